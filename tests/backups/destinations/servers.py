"""Real S3 servers: moto in a thread of this process, and SeaweedFS if it is installed."""

import json
import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import requests
from moto.server import ThreadedMotoServer

from appliance.backups.destinations.bucket import S3Credentials, S3Timeouts
from appliance.backups.destinations.s3 import S3Destination
from tests.harness.appliance import free_port
from tests.harness.fast import skip_if_fast
from tests.harness.waiting import wait_until

BUCKET = "backups"
WEED_SERVICES = ("master", "volume", "filer", "s3")
WEED = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))

# Tries less often than a real one, so that what fails does so at once.
IMPATIENT = S3Timeouts(retry=1.5, retries=1)


@dataclass(frozen=True)
class Server:
    """An S3 server with a bucket, somebody who may do all, and somebody who may only read."""

    name: str
    endpoint: str
    owner: S3Credentials
    reader: S3Credentials

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.endpoint.rpartition(":")[2])

    @property
    def raw(self) -> Any:
        """Another client, to look and to break things."""
        return client("s3", self.endpoint, self.owner)

    def destination(self, prefix: str = "", **changed: Any) -> S3Destination:
        """A destination here; any argument may be changed."""
        return S3Destination(
            **{
                "name": "r2",
                "bucket": BUCKET,
                "prefix": prefix,
                "endpoint": self.endpoint,
                "region": None,
                "credentials": self.owner,
                **changed,
            }
        )


def _tell_moto(endpoint: str, command: str, content: str = "") -> None:
    plain = {"Content-Type": "text/plain"}
    url = f"{endpoint}/moto-api/{command}"
    requests.post(url, data=content, headers=plain, timeout=10).raise_for_status()


@contextmanager
def moto() -> Iterator[Server]:
    """moto, which looks at signatures and rights as IAM does."""
    skip_if_fast()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    threaded = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    threaded.start()
    host, port = threaded.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        # An earlier one in this process may have left its users, and its strictness.
        _tell_moto(endpoint, "reset")
        _tell_moto(endpoint, "reset-auth", "1000000")
        anybody = S3Credentials("anybody", "anything")
        owner = _moto_user(endpoint, anybody, "owner", ["s3:*"])
        reader = _moto_user(endpoint, anybody, "reader", ["s3:ListBucket", "s3:GetObject"])
        client("s3", endpoint, anybody).create_bucket(Bucket=BUCKET)
        _tell_moto(endpoint, "reset-auth", "0")
        yield Server("moto", endpoint, owner, reader)
    finally:
        threaded.stop()


@contextmanager
def seaweedfs() -> Iterator[Server]:
    """SeaweedFS as a process of its own: another reading of the same protocol."""
    skip_if_fast()
    owner, reader = S3Credentials("owner", "owner-secret"), S3Credentials("reader", "reader-secret")
    folder = Path(tempfile.mkdtemp(prefix="weed-"))
    services = [f"{name}.port{kind}" for name in WEED_SERVICES for kind in ("", ".grpc")]
    ports = {name: free_port() for name in services}
    rights = [
        _weed_user(owner, "Admin", "Read", "List", "Write"),
        _weed_user(reader, "Read", "List"),
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": rights}))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(_weed_command(folder, ports), stdout=log, stderr=log)
    try:
        server = Server("seaweedfs", f"http://127.0.0.1:{ports['s3.port']}", owner, reader)
        wait_until(lambda: _makes_bucket(server), "a bucket in SeaweedFS", 60)
        yield server
    finally:
        process.kill()
        process.wait(10)
        shutil.rmtree(folder)
        for port in ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink()


@cache
def client(service: str, endpoint: str, credentials: S3Credentials) -> Any:
    """A boto3 client, which shares nothing with what is tested."""
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
    )


def _moto_user(endpoint: str, root: S3Credentials, name: str, actions: list[str]) -> S3Credentials:
    iam = client("iam", endpoint, root)
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return S3Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def _weed_user(who: S3Credentials, *actions: str) -> dict[str, Any]:
    key = {"accessKey": who.access_key_id, "secretKey": who.secret_access_key}
    return {"name": who.access_key_id, "credentials": [key], "actions": list(actions)}


def _weed_command(folder: Path, ports: dict[str, int]) -> list[str]:
    where = [f"-{name}={port}" for name, port in ports.items()]
    local = [
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={folder}",
        f"-s3.config={folder}/s3.json",
    ]
    small = ["-volume.max=50", "-master.volumeSizeLimitMB=64", "-filer", "-s3"]
    quiet = ["-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    return [str(WEED), "server", *local, *small, *quiet, *where]


def _makes_bucket(server: Server) -> bool:
    try:
        server.raw.create_bucket(Bucket=BUCKET)
    except Exception as error:
        return "BucketAlready" in str(error)
    return True
