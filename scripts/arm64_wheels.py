"""Prove that every pinned wheel, by one of its hashes, is there for Linux on arm64.

usage: .venv/bin/python scripts/arm64_wheels.py     (after `make test`; needs the package index)
It asks pip for each file of requirements/ and each Python that we support. Nothing is installed.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.markers import Marker

REQUIREMENTS = Path(__file__).parents[1] / "requirements"
PYTHONS = ("3.11", "3.12", "3.13")
# pip takes no range of C libraries: each one up to that of Debian 12 is named.
PLATFORMS = ["manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, 37))]
PIN = re.compile(
    r"^(?P<pin>[\w.,\[\]-]+==\S+)(?: ; (?P<marker>[^\\\n]+))?(?P<hashes>(?: \\\n +\S+)+)",
    re.MULTILINE,
)


def main() -> int:
    """Ask for all of them; the exit code is 1 if something is not there."""
    missing = [
        f"{file.name} on Python {python}"
        for python in PYTHONS
        for file in sorted(REQUIREMENTS.glob("*.txt"))
        if not resolves(file, python)
    ]
    print(f"arm64: {', '.join(missing) or 'nothing'} is missing")
    return 1 if missing else 0


def resolves(file: Path, python: str) -> bool:
    """Whether pip finds a wheel with one of the hashes for each pin of the file; it says which."""
    pins = wanted(file.read_text(encoding="utf-8"), python)
    print(f"arm64: {len(pins)} wheels of {file.name} on Python {python}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder, "asked.txt")
        asked.write_text("\n".join(pins), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "--quiet", "install", "--dry-run", "--no-deps"]
        command += ["--ignore-installed", "--ignore-requires-python", "--require-hashes"]
        command += ["--only-binary=:all:", f"--python-version={python}", f"--target={folder}/none"]
        command += [f"--platform={platform}" for platform in PLATFORMS]
        return subprocess.run([*command, "-r", asked], check=False).returncode == 0


def wanted(text: str, python: str) -> list[str]:
    """The pins that hold there, without their markers: pip would judge those by this machine."""
    there = {"python_full_version": f"{python}.0", "python_version": python}
    there |= {"sys_platform": "linux", "platform_machine": "aarch64"}
    return [
        found["pin"] + found["hashes"]
        for found in PIN.finditer(text)
        if not found["marker"] or Marker(found["marker"]).evaluate(there)
    ]


if __name__ == "__main__":
    sys.exit(main())
