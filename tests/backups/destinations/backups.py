"""Backups to keep: small ones with odd names in them, and large ones."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from appliance.backups.destinations.destination import Destination
from appliance.backups.format.backup_name import BackupName
from appliance.backups.format.manifest import DatabaseDump, File, Manifest, Table, describe

MIB = 1 << 20

SMALL = {
    "dump/toc.dat": b"the table of contents",
    "dump/3001.dat.gz": os.urandom(70_000),
    "dump/empty.dat": b"",
    "roles.sql": b"CREATE ROLE reader;\n",
    "a b/100%/\u00fc#+&=~.txt": b"a database may be called so",
}


def make(folder: Path, name: str = "nightly", contents: dict[str, bytes] | None = None) -> Manifest:
    """Write a backup's files and return its manifest, which is not written."""
    for path, content in (SMALL if contents is None else contents).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return manifest_of(folder, name)


def make_large(folder: Path, mebibytes: int, name: str = "large") -> Manifest:
    """A file of so many MiB and a bit between two small ones."""
    folder.mkdir(parents=True, exist_ok=True)
    block = os.urandom(MIB)
    with (folder / "b-large.dat").open("wb") as file:
        for _ in range(mebibytes):
            file.write(block)
        file.write(b"and a bit")
    return make(folder, name, {"a-first.dat": b"first", "roles.sql": b"last"})


def manifest_of(folder: Path, name: str) -> Manifest:
    """The manifest of all files in a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    dump = "dump" if (folder / "dump").exists() else "b-large.dat"
    return Manifest(
        name=BackupName(name),
        created_at="2026-11-20T03:00:00+00:00",
        finished_at="2026-11-20T03:00:05+00:00",
        appliance_version="0.1.0",
        postgres_version="16.15",
        system_identifier="7400000000000000000",
        schema={"appliance": 3},
        encrypted=False,
        recipients=(),
        identity_file=None,
        roles="roles.sql",
        files=tuple(describe(path, folder) for path in paths),
        databases=(
            DatabaseDump(
                "app", dump, 4096, {}, (Table("public.a", 2, 9, "0" * 64, "(a)"),), "0" * 64
            ),
        ),
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def with_file(manifest: Manifest, file: File) -> Manifest:
    """A manifest that names one file more."""
    return replace(manifest, files=(*manifest.files, file))


def ignore(_: int) -> None:
    """A report that nobody reads."""


def every_use_of(
    destination: Destination, manifest: Manifest, folder: Path
) -> list[Callable[[], object]]:
    """Read, fetch and delete one."""
    return [
        lambda: destination.read_manifest(manifest.name),
        lambda: destination.fetch(manifest, folder, ignore),
        lambda: destination.delete(manifest.name),
    ]
