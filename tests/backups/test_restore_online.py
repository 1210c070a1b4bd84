"""Into a running appliance: beside it, compared, then swapped while requests wait."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.apps.books.books import BOOKS
from appliance.backups.server.databases import TEMPORARY_PREFIX
from appliance.database import roles
from appliance.migrations import runner
from appliance.migrations.tracks import load_tracks
from appliance.postgres import config
from load import bookkeeping
from tests.backups import scene
from tests.backups.scene import TRANSACTIONS, BackupCommand
from tests.harness import speed
from tests.harness.appliance import Appliance, ending
from tests.harness.appliance_load import Load, client_of
from tests.harness.postgres_program import PostgresProgram
from tests.harness.waiting import wait_until

# What is written before the swap gets numbers above this, and what comes after it does not.
BEFORE_SWAP = 1_000_000
_NEWEST_MIGRATION = "SELECT max(number) FROM appliance.engine_ledger"


def _restore_under_load(*appliances: Appliance) -> None:
    owner = appliances[0]
    scene.keep_books(owner)
    load = Load(*appliances)
    cli = BackupCommand(owner, owner.storage.backups)
    cli.run("create", "--name", "base")
    with owner.connect("postgres") as connection:
        connection.execute("SELECT setval('transactions_id_seq', %s)", (BEFORE_SWAP,))
    with load:
        restored = cli.run("restore", "base", "--force").stdout
        load.wait_for_more(40)
    assert restored.startswith("Restored base:")
    assert load.outcomes.failures == [], load.outcomes.story()
    after_swap = {id_ for id_ in load.writes.acknowledged.so_far().values() if id_ <= BEFORE_SWAP}
    assert len(after_swap) >= 10
    assert len(after_swap) < len(load.writes.acknowledged)
    for one in appliances:
        with client_of(one) as client:
            there = bookkeeping.transactions(client)
            assert bookkeeping.trial_balance(client)["balanced"] is True
        kept = [entry["id"] for entry in there if entry["description"].startswith("Kept")]
        assert len(kept) == TRANSACTIONS
        new = {entry["id"]: entry["description"] for entry in there}
        sales = {name: id_ for id_, name in new.items() if id_ not in kept}
        said = load.writes.acknowledged.so_far()
        assert sales == {name: id_ for name, id_ in said.items() if id_ in after_swap}
    assert _temporary(owner) == []


def test_no_request_fails_and_afterwards_there_is_the_backup_and_what_came_after_the_swap(
    appliance: Appliance,
) -> None:
    _restore_under_load(appliance)


def test_two_containers_serve_all_the_time_and_both_have_what_was_restored(
    pair: tuple[Appliance, Appliance],
) -> None:
    _restore_under_load(*pair)


def test_killed_half_way_it_has_changed_nothing_and_the_next_one_clears_up(
    cli: BackupCommand, copied: Path
) -> None:
    before = scene.held_in(cli.appliance, "appliance")
    process = cli.start("restore", "made", "--force")
    wait_until(lambda: _temporary(cli.appliance), "a database is loaded beside", 60)
    scene.kill(process)
    assert _temporary(cli.appliance)
    assert scene.held_in(cli.appliance, "appliance") == before
    assert cli.appliance.status("/up") == 200
    cli.run("restore", "made", "--force")
    assert _temporary(cli.appliance) == []


def test_a_connection_that_is_cut_while_it_compares_is_told_in_words(cli: BackupCommand) -> None:
    with cli.appliance.connect() as connection:
        rows = "SELECT n, md5(n::text) || md5((-n)::text) AS t FROM generate_series(1, 300000) n"
        connection.execute(f"CREATE TABLE large AS {rows}")
    cli.run("create", "--name", "large")
    with cli.appliance.connect() as connection:
        connection.execute("DROP TABLE large")
    with scene.unchanged(cli.appliance):
        process = cli.start("restore", "large", "--force")
        wait_until(lambda: _cut_comparison(cli.appliance, process), "the reading is cut", 60)
        said = scene.ended(process, code=1)
    assert "pg_dump failed" in said
    assert _temporary(cli.appliance) == []


_DYING_AT_THE_END = """
import sys, psycopg
from appliance.backups.server import databases
from appliance.entry import main
from tests.harness import speed

calls, drop = [], databases.drop_temporary

def fail(connection):
    calls.append(connection)
    if len(calls) > 1:
        raise psycopg.OperationalError("the connection is lost")
    drop(connection)

databases.drop_temporary = fail
sys.exit(main())
"""


def test_what_was_restored_is_told_though_the_old_data_could_not_be_removed(
    cli: BackupCommand, copied: Path
) -> None:
    restore = subprocess.run(
        [sys.executable, "-c", _DYING_AT_THE_END, "backup", "restore", "made", "--force"],
        env={**cli.appliance.environment, **cli.variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120 * speed.scale(),
    )
    assert (restore.returncode, restore.stderr) == (0, "")
    assert restore.stdout.startswith("Restored made:")
    assert cli.audited()[-1] == ("restore", "made", True)
    assert _temporary(cli.appliance)
    cli.run("restore", "made", "--force")
    assert _temporary(cli.appliance) == []


@pytest.fixture
def older(place: Path) -> Path:
    """A folder with a backup of a new cluster that lacks the last engine migration."""
    with ending(PostgresProgram(place / "s")) as program:
        program.start().wait_until_serving()
        engine, *others = load_tracks(BOOKS.tracks(), None)
        with program.connect(database="postgres") as superuser:
            roles.ensure(superuser)
        with program.connect(config.OWNER_ROLE) as owner:
            tracks = (replace(engine, migrations=engine.migrations[:-1]), *others)
            runner.migrate(owner, tracks, timeout_s=30, report=program.lines.append)
        cli = BackupCommand(Appliance(program.storage.root), scene.own_folder(place, "older"))
        cli.run("create", "--name", "older")
        return cli.folder


def test_an_older_schema_is_migrated_before_the_swap(
    cli: BackupCommand, copied: Path, older: Path, place: Path
) -> None:
    words = ("restore", "older", "--force", "--dir", str(older))
    client = place / "client"
    client.mkdir()
    (client / "0001_bad.sql").write_text("SELECT 1 / 0;")
    with scene.unchanged(cli.appliance):
        said = cli.refused(*words, code=5, CLIENT_MIGRATIONS_DIR=str(client))
        assert "0001_bad.sql" in said
    try:
        cli.run(*words)
        newest = len(load_tracks((), None)[0].migrations)
        assert cli.json("show", "older", "--dir", str(older))["schema"]["engine"] == newest - 1
        with cli.appliance.connect() as connection:
            assert connection.execute(_NEWEST_MIGRATION).fetchone() == (newest,)
        assert cli.appliance.status("/up") == 200
    finally:
        cli.run("restore", "made", "--force")


@pytest.fixture
def others(cli: BackupCommand) -> BackupCommand:
    """A backup with a database and a role besides, that are gone, and a database that is new."""
    _run(cli.appliance, "CREATE ROLE helper IN ROLE app; CREATE ROLE reader LOGIN")
    _run(cli.appliance, "CREATE DATABASE second OWNER helper")
    with cli.appliance.connect("postgres", "second") as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        connection.execute("GRANT SELECT ON kept TO reader")
    cli.run("create", "--name", "others")
    for text in ("DROP DATABASE second", "DROP ROLE helper, reader", "CREATE DATABASE third"):
        _run(cli.appliance, text)
    with cli.appliance.connect("postgres", "third") as connection:
        connection.execute("CREATE TABLE new AS SELECT 3 AS three")
    return cli


def test_roles_and_databases_that_are_missing_are_made_and_others_stay(
    others: BackupCommand,
) -> None:
    appliance = others.appliance
    try:
        third = scene.state(appliance)["held"]["third"]
        others.run("restore", "others", "--force")
        assert scene.state(appliance)["held"]["third"] == third
        with appliance.connect("postgres", "second") as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
            for question in (
                "SELECT datdba = 'helper'::regrole FROM pg_database WHERE datname = 'second'",
                "SELECT pg_has_role('helper', 'app', 'MEMBER')",
                "SELECT has_table_privilege('reader', 'kept', 'SELECT')",
            ):
                assert connection.execute(question).fetchone() == (True,), question
        # One more time, over what is there now: other sessions in it are ended.
        with appliance.connect("postgres", "second"):
            others.run("restore", "others", "--force")
    finally:
        for text in ("DROP DATABASE second", "DROP DATABASE third", "DROP ROLE helper, reader"):
            _run(appliance, text)


def _temporary(appliance: Appliance) -> list[str]:
    with appliance.connect("postgres", "postgres") as connection:
        like = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
        return [row[0] for row in connection.execute(like, (TEMPORARY_PREFIX,))]


def _cut_comparison(appliance: Appliance, process: "subprocess.Popen[str]") -> bool:
    """End the reading of the database that is loaded beside, if one is under way."""
    assert process.poll() is None, process.communicate()
    with appliance.connect("postgres", "postgres") as connection:
        copies = """
            SELECT pg_terminate_backend(pid) FROM pg_stat_progress_copy
            WHERE starts_with(datname, %s) AND command = 'COPY TO' AND bytes_processed > 100000
        """
        return bool(connection.execute(copies, (TEMPORARY_PREFIX,)).fetchall())


def _run(appliance: Appliance, text: str) -> None:
    with appliance.connect("postgres", "postgres") as connection:
        for statement in text.split("; "):
            connection.execute(statement)
