"""Works with a destination in a process of its own, which may be killed or measured.

Arguments: a JSON document of where, `store` or `fetch`, the folder of the files.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from appliance.backups.destinations.bucket import S3Credentials
from appliance.backups.destinations.destination import Destination
from appliance.backups.destinations.folder import FolderDestination
from appliance.backups.destinations.s3 import S3Destination
from appliance.backups.format.backup_name import BackupName
from tests.backups.destinations.backups import manifest_of
from tests.backups.destinations.servers import BUCKET


def main(where: str, action: str, folder: Path) -> None:
    """Do it; `hang` is `store` that stops for ever in the middle, and says so."""
    destination = _destination(**json.loads(where))
    if action == "fetch":
        destination.fetch(destination.read_manifest(BackupName("large")), folder, lambda _: None)
    else:
        destination.store(manifest_of(folder, "large"), folder, _hang if action == "hang" else _go)
    print(_peak_bytes())


def _destination(**spec: Any) -> Destination:
    if "path" in spec:
        return FolderDestination("local", Path(spec["path"]))
    credentials = S3Credentials(spec["key"], spec["secret"])
    return S3Destination("r2", BUCKET, spec["prefix"], spec["endpoint"], None, credentials)


def _go(_: int) -> None:
    pass


def _hang(size: int) -> None:
    # The first file is small, so this is a block in the middle of the second.
    if size == 1 << 20:
        print("in the middle", flush=True)
        time.sleep(600)


def _peak_bytes() -> int:
    line = next(
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
