"""Files that must survive: temp file, fsync, rename, fsync of the directory."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_atomically(path: Path, content: str, mode: int = 0o644, *, durable: bool = True) -> None:
    """Replace `path` with `content` so that a crash leaves either the old file or the new one.

    Root may call it in a folder that belongs to another user: no link there is followed. Not
    `durable`, it costs no wait for the disk, and a power cut may leave an empty file.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, _NEW_FILE, mode)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(descriptor)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        fsync_directory(path.parent)


def write_json(
    path: Path, document: dict[str, Any], mode: int = 0o644, *, durable: bool = True
) -> None:
    """Replace `path` with a JSON document; the document carries its own `format` version."""
    write_atomically(path, json.dumps(document, indent=2) + "\n", mode, durable=durable)


def fsync_directory(path: Path) -> None:
    """Make renames in this directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename_durably(source: Path, target: Path) -> None:
    """Rename within one file system; after the return it survives a crash."""
    source.rename(target)
    fsync_directory(target.parent)
