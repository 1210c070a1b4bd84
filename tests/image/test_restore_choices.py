"""Restores by a newer image, of one database alone; and what is there after a restore."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.nightly import most_at_night
from tests.image.backup_scene import Archives, restored, source, sql_in
from tests.image.contained import Contained
from tests.image.engine import Engine
from tests.image.test_resources import JOIN, PARALLEL
from tests.platform.containers import execute, remove_by_force
from tests.platform.faults import edited, refusal, variables

ENGINE = "/opt/appliance/lib/python3.13/site-packages/appliance/migrations/sql/engine"
NEWER = "CREATE TABLE appliance.made_by_newer (n integer)"
KINDS = ("hook", "paused")
DATABASES = "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY datname"


@pytest.fixture(scope="module")
def archives(shared: Contained, tmp_path_factory: pytest.TempPathFactory) -> Archives:
    return Archives(shared, tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def from_dump(archives: Archives) -> Iterator[Contained]:
    """What was restored from a dump, for tests that only look at it."""
    with restored(archives.platform, archives.hook) as appliance:
        yield appliance


@pytest.fixture(scope="module")
def newer_image(engine: Engine) -> Iterator[str]:
    """An image that has one more migration than the one under test."""
    name = f"appliance-newer-{secrets.token_hex(3)}"
    container = engine.client.containers.create(engine.image, ["sleep", "infinity"])
    try:
        container.start()
        last = int(execute(container, "ls", ENGINE).stdout.split()[-1].partition("_")[0])
        add = f"echo '{NEWER}' > {ENGINE}/{last + 1:04d}_newer.sql"
        assert execute(container, "sh", "-c", add).code == 0
        container.commit(name, changes='CMD ["appliance", "up"]')
    finally:
        remove_by_force(container)
    yield f"{name}:latest"
    engine.client.images.remove(name)


@pytest.mark.parametrize("kind", most_at_night(KINDS, ["hook"]))
def test_a_newer_image_restores_the_backup_of_an_older_one_and_migrates_it(
    archives: Archives, newer_image: str, kind: str
) -> None:
    with restored(archives.platform, getattr(archives, kind), newer_image) as appliance:
        archives.books.check(appliance, getattr(archives, f"in_{kind}"), exactly=True)
        assert appliance.sql("SELECT count(*) FROM appliance.made_by_newer") == "0"


@pytest.mark.parametrize("kind", most_at_night(KINDS, ["hook"]))
def test_one_database_is_restored_alone(archives: Archives, tmp_path: Path, kind: str) -> None:
    archive = edited(getattr(archives, kind), tmp_path / "edited", variables(RESTORE_DB="stock"))
    with restored(archives.platform, archive) as appliance:
        assert sql_in(appliance, "stock", "SELECT n FROM boxes") == "7"
        # The app's own was not restored; at its start it made a new one.
        assert appliance.sql("SELECT count(*) FROM transactions") == "0"


@pytest.mark.parametrize("kind", most_at_night(KINDS, ["hook"]))
def test_a_database_that_is_not_in_the_backup_is_refused_with_the_names_of_those_that_are(
    archives: Archives, tmp_path: Path, kind: str
) -> None:
    archive = edited(getattr(archives, kind), tmp_path / "edited", variables(RESTORE_DB="shop"))
    said = refusal(archives.platform, archive)
    assert "post-restore failed with exit code 1" in said
    assert "has no database shop; it has appliance, postgres, stock." in said


def test_every_database_comes_back_with_its_roles(from_dump: Contained) -> None:
    assert source(from_dump) == "dump"
    assert from_dump.sql(DATABASES).split() == ["appliance", "postgres", "stock"]
    assert sql_in(from_dump, "stock", "SET ROLE keeper", "SELECT n FROM boxes") == "7"
    owners = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'stock'"
    assert from_dump.sql(owners) == "keeper"


def test_nothing_in_the_storage_is_a_hardlink_or_belongs_to_somebody_else(
    from_dump: Contained, archives: Archives
) -> None:
    for appliance in (from_dump, archives.books.appliance):
        for found in ("/storage -type f -links +1", "/storage/pgdata /storage/backups ! -uid 5432"):
            result = execute(appliance.container, "find", *found.split())
            assert (result.code, result.stdout) == (0, "")


@pytest.mark.nightly
def test_a_parallel_hash_join_of_a_million_rows_works_in_what_was_restored(
    from_dump: Contained,
) -> None:
    shared_memory = execute(from_dump.container, "df", "-m", "--output=size", "/dev/shm")
    assert shared_memory.stdout.split()[1] == "64"
    from_dump.sql(
        "CREATE TABLE big AS "
        "SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 1000000) AS g",
        "ANALYZE big",
    )
    assert "Parallel Hash" in from_dump.sql(*PARALLEL, f"EXPLAIN {JOIN}")
    assert from_dump.sql(*PARALLEL, JOIN) == "1000000"
