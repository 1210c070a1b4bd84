"""What is refused, fails or is broken off changes nothing, and says why."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pyrage
import pytest

from tests.backups import scene
from tests.backups.scene import BackupCommand
from tests.harness.appliance import Appliance, ending
from tests.harness.freezing import standing_still
from tests.harness.requirements import needs_root
from tests.harness.waiting import wait_until

MIB = 1 << 20
MARKER = "a text that nobody may find on the disk"
DISK_MIB, RESERVE_MIB = 500, 256
# What zstd and pg_dump begin their files with.
PLAIN = (b"\x28\xb5\x2f\xfd", b"PGDMP")


def _largest(backup: Path) -> Path:
    found = (path for path in backup.rglob("*.dat*") if path.is_file())
    return max(found, key=lambda path: path.stat().st_size)


def _altered(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file is missing": (lambda made: _largest(made).unlink(), "is missing"),
    "a byte is another": (lambda made: _altered(_largest(made)), "was altered"),
    "a file is cut off": (lambda made: os.truncate(_largest(made), 9), "has 9 bytes, not"),
    "roles are missing": (lambda made: (made / "roles.sql").unlink(), "roles.sql is missing"),
    "of a newer format": (
        lambda made: scene.edit(made, lambda manifest: manifest.update(format=99)),
        "has format 99; this version reads format 1",
    ),
    "no manifest": (lambda made: (made / "manifest.json").write_text("{"), "cannot be read"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_backup_is_neither_proven_nor_restored(
    cli: BackupCommand, copied: Path, damage: str
) -> None:
    break_it, words = DAMAGES[damage]
    break_it(copied)
    with scene.unchanged(cli.appliance):
        assert words in cli.refused("verify", "made")
        assert words in cli.refused("restore", "made", "--force")
    assert cli.audited()[-2:] == [("verify", "made", False), ("restore", "made", False)]


def test_data_that_is_there_is_replaced_only_by_force(cli: BackupCommand, copied: Path) -> None:
    with scene.unchanged(cli.appliance):
        said = cli.refused("restore", "made")
        assert "There is data in appliance; a restore replaces all of it." in said
        assert "--force" in said
    cli.run("restore", "made", "--force")


@pytest.fixture(scope="module")
def key() -> pyrage.x25519.Identity:
    """The key of whoever may read backups."""
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def encrypting(cli: BackupCommand, key: pyrage.x25519.Identity) -> BackupCommand:
    """The command on a server that encrypts for a key that it does not have, with a backup."""
    cli.variables["BACKUP_RECIPIENTS"] = str(key.to_public())
    assert cli.json("create", "--name", "made")["encrypted"] is True
    return cli


def test_who_has_no_key_or_another_one_is_told_and_changes_nothing(
    encrypting: BackupCommand, key: pyrage.x25519.Identity, place: Path
) -> None:
    stranger = pyrage.x25519.Identity.generate()
    file = place / "key"
    file.write_text(f"# a comment\n{stranger}\n")
    with scene.unchanged(encrypting.appliance):
        for words in (("verify", "made"), ("restore", "made", "--force")):
            said = encrypting.refused(*words)
            assert "No key is at hand for the backup made, which is encrypted." in said
            assert str(key.to_public()) in said
            assert "BACKUP_IDENTITY, or --identity FILE" in said
            for said in (
                encrypting.refused(*words, "--identity", str(file)),
                encrypting.refused(*words, BACKUP_IDENTITY=str(stranger)),
            ):
                assert "No key at hand opens the backup made" in said
                assert str(stranger) not in said
    assert f"opened by  {key.to_public()}\n" in encrypting.run("show", "made").stdout


@needs_root
def test_a_key_that_only_root_may_read_opens_a_backup_that_the_server_cannot(
    encrypting: BackupCommand, key: pyrage.x25519.Identity, place: Path
) -> None:
    file = place / "key"
    file.write_text(f"{key}\n")
    file.chmod(0o600)
    encrypting.run("verify", "made", "--identity", str(file))
    before = scene.held_in(encrypting.appliance, "appliance")
    encrypting.run("restore", "made", "--force", "--identity", str(file))
    assert scene.held_in(encrypting.appliance, "appliance") == before


@pytest.mark.skipif(not shutil.which("age"), reason="needs the program age")
def test_the_program_age_opens_it_too(
    encrypting: BackupCommand, key: pyrage.x25519.Identity, place: Path
) -> None:
    (place / "key").write_text(f"{key}\n")
    opened = [
        subprocess.run(["age", "-d", "-i", place / "key", file], capture_output=True, check=True)
        for file in sorted((encrypting.folder / "made").rglob("*.age"))
    ]
    assert [done.stdout[:5] for done in opened[:-1]] == [b"PGDMP"] * len(opened[:-1])
    assert b"CREATE ROLE" in opened[-1].stdout


def test_a_backup_that_a_passphrase_opens_needs_that_one(cli: BackupCommand, place: Path) -> None:
    passphrase = "correct horse battery staple, and nine more words"
    right = cli.given(BACKUP_PASSPHRASE=passphrase)
    wrong = cli.given(BACKUP_PASSPHRASE="correct horse battery staple, and ten more words")
    right.run("create", "--name", "made")
    with scene.unchanged(cli.appliance):
        said = wrong.refused("restore", "made", "--force")
        assert "The passphrase does not open the backup made." in said
        assert "ten more words" not in said
        assert "BACKUP_PASSPHRASE, or --passphrase-file FILE" in cli.refused("verify", "made")
    before = scene.held_in(cli.appliance, "appliance")
    right.run("restore", "made", "--force")
    assert scene.held_in(cli.appliance, "appliance") == before
    file = place / "passphrase"
    file.write_text(f"{passphrase}\n")
    file.chmod(0o600)
    for words in (("verify", "made"), ("restore", "made", "--force")):
        wrong.run(*words, "--passphrase-file", str(file))
    identity = cli.folder / "made" / "identity.age"
    encrypting = identity.read_bytes()
    identity.write_bytes(encrypting[:-1] + bytes([encrypting[-1] ^ 1]))
    said = right.refused("verify", "made")
    assert "In local: The backup made is damaged: identity.age was altered." in said
    identity.unlink()
    with scene.unchanged(cli.appliance):
        said = right.refused("restore", "made", "--force")
        assert "The backup made is damaged: identity.age is missing." in said


@pytest.fixture
def small_disk(place: Path) -> Iterator[Appliance]:
    """An appliance on a disk of its own."""
    (place / "disk").mkdir()
    size = f"size={DISK_MIB}m,mode=755"
    mount = ["mount", "-t", "tmpfs", "-o", size, "none", str(place / "disk")]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("needs the right to mount a disk")
    try:
        with ending(Appliance(place / "disk" / "s")) as appliance:
            yield appliance.start().wait_until_up()
    finally:
        subprocess.run(["umount", "--lazy", place / "disk"], check=True)


def test_a_disk_that_fills_up_meanwhile_ends_the_backup_and_not_the_service(
    small_disk: Appliance,
) -> None:
    cli = BackupCommand(small_disk, small_disk.storage.backups)
    cli.run("create", "--name", "made")
    with scene.held(small_disk) as wait:
        process = cli.start("create", "--name", "second", BACKUP_RECIPIENTS=_a_recipient())
        wait()
        room = small_disk.storage.free_bytes() - RESERVE_MIB * MIB
        (small_disk.storage.root.parent / "filler").write_bytes(bytes(room + MIB))
        said = scene.ended(process, code=1)
    assert "has too little room: 255 MiB are free, and 256 MiB are needed" in said
    scene.keep_books(small_disk)
    for words in (("create",), ("verify", "made"), ("restore", "made", "--force")):
        with scene.unchanged(small_disk):
            assert "has too little room" in cli.refused(*words)
    assert list(cli.folder.glob(".staging*")) == []
    assert cli.names() == ["made"]


@needs_root
def test_nothing_is_on_the_disk_in_the_clear_while_a_backup_is_encrypted(
    encrypting: BackupCommand, place: Path
) -> None:
    temporary = scene.own_folder(place, "tmp")
    with encrypting.appliance.connect() as connection:
        rows = "SELECT n, md5(n::text) || %s || md5((-n)::text) FROM generate_series(1, 200000) n"
        connection.execute(f"CREATE TABLE secret AS {rows}", (MARKER,))
    try:
        process = encrypting.start("create", "--name", "second", TMPDIR=str(temporary))
        wait_until(lambda: _written(encrypting.folder) > MIB, "some of it is written")
        with standing_still(process.pid) as pids:
            assert process.poll() is None
            files = {file for pid in pids for file in _open_files(pid)}
            assert any(file.parent.name == "databases" for file in files)
            assert [file for file in files if _is_plain(file)] == []
            _assert_encrypted(encrypting.folder)
            assert not any(_is_plain(path) for path in temporary.rglob("*") if path.is_file())
        scene.ended(process)
        _assert_encrypted(encrypting.folder)
    finally:
        with encrypting.appliance.connect() as connection:
            connection.execute("DROP TABLE secret")


def _a_recipient() -> str:
    return str(pyrage.x25519.Identity.generate().to_public())


def _written(folder: Path) -> int:
    found = folder.glob(".staging-second-*/databases/*")
    return sum(path.stat().st_size for path in found)


def _open_files(pid: int) -> list[Path]:
    """What a process has open, deleted files too, but no pipes."""
    found = [link for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_file()]
    return [
        link if link.readlink().name.endswith("(deleted)") else link.readlink() for link in found
    ]


def _assert_encrypted(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if _is_plain(path)] == []


def _is_plain(path: Path) -> bool:
    content = path.read_bytes()
    return MARKER.encode() in content or content.startswith(PLAIN)
