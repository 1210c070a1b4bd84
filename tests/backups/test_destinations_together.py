"""One backup in several places: made once, kept in all, found wherever a whole copy is left."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.backups import backup_status
from tests.backups import scene
from tests.backups.destinations import lines
from tests.backups.destinations.backups import contents
from tests.backups.destinations.servers import BUCKET, Server
from tests.backups.scene import BackupCommand
from tests.harness.appliance import free_port

EVERYWHERE = ["local", "nas", "r2"]
EXPIRED = "<Error><Code>ExpiredToken</Code><Message>no</Message></Error>"


@pytest.fixture
def prefix() -> str:
    """The test's own part of the bucket."""
    return f"together/{secrets.token_hex(4)}"


@pytest.fixture
def nas(place: Path) -> Path:
    """A folder elsewhere."""
    return scene.own_folder(place, "nas")


@pytest.fixture
def three(cli: BackupCommand, nas: Path, s3_server: Server, prefix: str) -> BackupCommand:
    """The command with backups in a folder, in another folder, and in a bucket."""
    cli.variables |= scene.in_bucket(s3_server, prefix)
    cli.variables["BACKUP_DESTINATIONS"] = f"nas={nas}, {cli.variables['BACKUP_DESTINATIONS']}"
    return cli


def test_it_is_kept_in_all_of_them_and_listed_once(
    three: BackupCommand, nas: Path, s3_server: Server, prefix: str
) -> None:
    made = three.json("create", "--name", "made")
    assert made["destinations"] == EVERYWHERE
    local = contents(three.folder / "made")
    assert contents(nas / "made") == local
    assert _in_bucket(s3_server, prefix) == {f"made/{path}" for path in local}
    assert [one["destinations"] for one in three.json("list")] == [EVERYWHERE]
    assert "kept in    local, nas, r2\n" in three.run("show", "made").stdout
    noted = backup_status.read(three.appliance.storage).backup
    assert noted is not None
    assert (noted.name, list(noted.destinations)) == ("made", EVERYWHERE)


def test_some_are_in_one_place_and_some_in_another(three: BackupCommand) -> None:
    three.run("create", "--name", "near", "--to", "local")
    three.run("create", "--name", "far", "--to", "r2", "--to", "nas")
    kept = {one["name"]: one["destinations"] for one in three.json("list")}
    assert kept == {"far": ["nas", "r2"], "near": ["local"]}
    assert three.names() == ["far", "near"]
    assert "There is a backup far in nas already." in three.refused("create", "--name", "far")
    three.run("prune", "--keep", "1", "-y")
    assert three.names() == ["far"]


def test_deleting_removes_it_everywhere(
    three: BackupCommand, nas: Path, s3_server: Server, prefix: str
) -> None:
    size = three.json("create", "--name", "made")["size"]
    (nas / "made" / "manifest.json").write_text("{")
    freed = three.json("delete", "made", "-y")["bytes_freed"]
    assert freed > 3 * size
    assert three.json("list") == []
    assert [*three.folder.iterdir(), *nas.iterdir(), *_in_bucket(s3_server, prefix)] == []


def test_a_copy_far_away_is_fetched_proven_and_restored_if_the_near_ones_are_gone(
    three: BackupCommand, nas: Path
) -> None:
    three.run("create", "--name", "made")
    shutil.rmtree(three.folder / "made")
    shutil.rmtree(nas / "made")
    assert three.json("list")[0]["path"].startswith(f"s3://{BUCKET}/")
    before = scene.held_in(three.appliance, "appliance")
    three.run("verify", "made")
    three.run("restore", "made", "--force")
    assert scene.held_in(three.appliance, "appliance") == before
    assert list(three.appliance.storage.backups.glob(".staging*")) == []


@pytest.mark.parametrize("damaged", EVERYWHERE)
def test_a_damaged_copy_does_not_hide_the_whole_ones(
    three: BackupCommand, nas: Path, s3_server: Server, prefix: str, damaged: str
) -> None:
    three.run("create", "--name", "made")
    if damaged == "r2":
        s3_server.raw.put_object(Bucket=BUCKET, Key=f"{prefix}/made/manifest.json", Body=b"{")
    else:
        folder = three.folder if damaged == "local" else nas
        (folder / "made" / "manifest.json").write_text("{")
    listed = three.json("list")
    assert [(one["name"], one["fault"]) for one in listed] == [("made", None)]
    assert listed[0]["destinations"] == [name for name in EVERYWHERE if name != damaged]
    three.run("restore", "made", "--force")


@pytest.fixture(params=["nobody listens", "expired", "unknown key", "wrong secret", "no bucket"])
def broken(
    request: pytest.FixtureRequest, s3_server: Server, prefix: str
) -> Iterator[tuple[dict[str, str], str]]:
    """What the settings say of a bucket that cannot be used, and what is said of that."""
    good = scene.in_bucket(s3_server, prefix)
    where = good["BACKUP_DESTINATIONS"]
    with ExitStack() as stack:
        if request.param == "expired":
            endpoint = stack.enter_context(lines.answering(400, EXPIRED))
            good["BACKUP_DESTINATIONS"] = where.replace(s3_server.endpoint, endpoint)
        changed, words = {
            "nobody listens": (
                {"BACKUP_DESTINATIONS": where.replace(str(s3_server.port), str(free_port()))},
                "nobody listens at the endpoint",
            ),
            "expired": ({}, "the credentials have expired"),
            "unknown key": (
                {"BACKUP_S3_ACCESS_KEY_ID": "a-stranger"},
                "the server does not know the access key",
            ),
            "wrong secret": (
                {"BACKUP_S3_SECRET_ACCESS_KEY": "a-wrong-secret"},
                "the secret key does not belong to the access key",
            ),
            "no bucket": (
                {"BACKUP_DESTINATIONS": where.replace(BUCKET, "no-such-bucket")},
                "there is no such bucket",
            ),
        }[request.param]
        yield good | changed, words


def test_a_bucket_that_cannot_be_used_leaves_the_copy_that_is_near_and_says_so(
    cli: BackupCommand, copied: Path, broken: tuple[dict[str, str], str]
) -> None:
    variables, words = broken
    far = cli.given(**variables)
    before = contents(copied)
    with scene.unchanged(cli.appliance):
        said = far.refused("create", "--name", "second")
    assert "The backup second was made and kept in local, but not in r2:" in said
    assert words in said
    assert variables["BACKUP_S3_SECRET_ACCESS_KEY"] not in said
    # Whoever restores in an emergency needs the near copy most when the far one is away.
    listed = far.run("list", code=1)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["NAME", "second", "made"]
    assert words in listed.stderr
    far.run("restore", "second", "--force")
    far.run("verify", "second")
    with scene.unchanged(cli.appliance):
        # What lies there would stay, or would not be counted.
        assert words in far.refused("delete", "second", "-y")
        assert words in far.refused("prune", "--keep", "1", "-y")
    assert contents(copied) == before
    assert sorted(cli.names()) == ["made", "second"]


def test_one_copy_among_several_is_proven_and_restored_if_somebody_says_which(
    three: BackupCommand, nas: Path
) -> None:
    three.run("create", "--name", "made")
    roles = three.folder / "made" / "roles.sql"
    roles.write_bytes(roles.read_bytes()[::-1])
    with scene.unchanged(three.appliance):
        for words in (("verify", "made"), ("restore", "made", "--force")):
            for where in ((), ("--from", "local")):
                said = three.refused(*words, *where)
                assert "In local: The backup made is damaged: roles.sql was altered." in said
            said = three.refused(*words, "--from", "tape", code=2)
            assert "There is no destination 'tape'." in said
            assert "There are: local, nas, r2." in said
    (nas / "made" / "roles.sql").rename(nas / "made" / "roles")
    said = three.refused("verify", "made", "--from", "nas")
    assert "The backup made is damaged: roles.sql is missing." in said
    (nas / "made" / "roles").rename(nas / "made" / "roles.sql")
    for name in ("nas", "r2"):
        three.run("verify", "made", "--from", name)
        three.run("restore", "made", "--force", "--from", name)
    shutil.rmtree(nas / "made")
    said = three.refused("verify", "made", "--from", "nas")
    assert "There is no backup made in nas." in said


def test_a_mount_that_is_missing_is_not_filled(three: BackupCommand, nas: Path) -> None:
    nas.rmdir()
    said = three.refused("create", "--name", "made")
    assert "kept in local, r2, but not in nas:" in said
    assert f"The folder {nas} for backups does not exist." in said
    assert not nas.exists()
    listed = three.run("list", code=1).stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["NAME", "made"]
    shutil.rmtree(three.folder / "made")
    two = three.given(BACKUP_DESTINATIONS=f"nas={nas}")
    assert two.run("list", "--json", code=1).stdout == "[]\n"
    assert two.refused("list") == (
        f"appliance: The folder {nas} for backups does not exist. "
        f"Make it with `mkdir {nas}`, or mount what belongs there.\n"
    )
    noted = backup_status.read(three.appliance.storage)
    assert noted.failure is not None
    assert "kept in local, r2, but not in nas" in noted.failure.message


def _in_bucket(server: Server, prefix: str) -> set[str]:
    pages = server.raw.get_paginator("list_objects_v2")
    return {
        entry["Key"].removeprefix(f"{prefix}/")
        for page in pages.paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        for entry in page.get("Contents", [])
    }
