"""Whether a folder was touched: every name, mode, owner and byte in one number."""

import hashlib
from pathlib import Path


def fingerprint(folder: Path) -> str:
    """A hash over everything below a folder, itself included."""
    digest = hashlib.sha256()
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        digest.update(f"{path} {status.st_mode} {status.st_uid} {status.st_mtime_ns}\n".encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()
