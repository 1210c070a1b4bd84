"""Files that must survive: temp file, fsync, rename, fsync of the directory."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_atomically(path: Path, content: str, mode: int = 0o644, *, durable: bool = True) -> None:
    """Replace `path` with `content` so that a crash leaves either the old file or the new one.

    Root may call it in a folder that belongs to another user: no link there is followed, and the
    file becomes that user's. Not `durable`, it costs no wait for the disk, and a power cut may
    leave an empty file.
    """
    write_together([path], content, mode, durable=durable)


def write_together(
    paths: Sequence[Path], content: str, mode: int = 0o644, *, durable: bool = True
) -> None:
    """Replace each of `paths`, in their order, as `write_atomically` does; if one cannot be, none.

    Only a crash can come between them.
    """
    temporaries = [path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp") for path in paths]
    try:
        for temporary in temporaries:
            _write_new(temporary, content, mode, durable=durable)
        for temporary, path in zip(temporaries, paths, strict=True):
            temporary.replace(path)
    except OSError:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        for path in paths:
            fsync_directory(path.parent)


def write_json(
    path: Path, document: dict[str, Any], mode: int = 0o644, *, durable: bool = True
) -> None:
    """Replace `path` with a JSON document; the document carries its own `format` version."""
    write_atomically(path, as_text(document), mode, durable=durable)


def as_text(document: dict[str, Any]) -> str:
    """A JSON document as it is written to a file."""
    return json.dumps(document, indent=2) + "\n"


def give_to_owner_of(folder: Path, descriptor: int) -> None:
    """Let a file that root opened in another user's folder belong to that user."""
    if os.geteuid() == 0:
        status = folder.stat()
        os.fchown(descriptor, status.st_uid, status.st_gid)


def fsync_directory(path: Path) -> None:
    """Make renames in this directory durable."""
    fsync(path, os.O_DIRECTORY)


def fsync(path: Path, flags: int = 0) -> None:
    """Wait until a file's content, or a directory's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """Make the name of every file below a folder durable; their content is already."""
    for path, _, _ in os.walk(folder, topdown=False):
        fsync_directory(Path(path))


def rename_durably(source: Path, target: Path) -> None:
    """Rename within one file system; after the return it survives a crash."""
    source.rename(target)
    fsync_directory(target.parent)


def _write_new(path: Path, content: str, mode: int, *, durable: bool) -> None:
    with open(os.open(path, _NEW_FILE, mode), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        give_to_owner_of(path.parent, file.fileno())
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
