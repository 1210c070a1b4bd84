"""Migrations when appliances start: real processes, their exit codes and their words."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from appliance.apps.books.books import BOOKS
from appliance.errors import ExitCode
from appliance.migrations.tracks import ENGINE_FOLDER, read_migrations
from appliance.postgres import config
from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.command import COMMAND
from tests.harness.postgres_program import PostgresProgram
from tests.harness.processes import Process
from tests.harness.waiting import wait_until
from tests.migrations.database import Database

ENGINE = read_migrations(ENGINE_FOLDER)
BOOKS_FILES = BOOKS.tracks()[0].migrations
OURS = len(ENGINE) + len(BOOKS_FILES)
Make = Callable[..., Appliance]


@pytest.fixture
def make_api(database: Database) -> Iterator[Make]:
    """Make appliances for the run mode `api` on the shared Postgres, which outlives them."""
    made: list[Appliance] = []

    def make(**variables: str) -> Appliance:
        made.append(Appliance(database.storage.root, **variables))
        return made[-1]

    yield make
    for one in made:
        one.kill_everything()


def forget_the_last(database: Database) -> None:
    with database.connect() as superuser:
        superuser.execute("DELETE FROM appliance.engine_ledger WHERE number = %s", (len(ENGINE),))


@pytest.mark.first_start
def test_a_failing_migration_ends_the_container_and_the_log_says_which_and_why(
    make_appliance: Make, client_files: Path
) -> None:
    (client_files / "0001_bad.sql").write_text("SELECT nonsense;")
    broken = make_appliance(CLIENT_MIGRATIONS_DIR=str(client_files)).start()
    assert broken.wait() == ExitCode.SCHEMA
    assert "0001_bad.sql failed on line 1" in broken.log
    assert 'column "nonsense" does not exist' in broken.log
    assert "Traceback" not in broken.log
    (client_files / "0001_bad.sql").write_text("SELECT 'mended';")
    make_appliance(CLIENT_MIGRATIONS_DIR=str(client_files)).start().wait_until_up()


@pytest.mark.first_start
def test_two_containers_that_start_at_once_apply_each_file_once(
    make_appliance: Make, client_files: Path
) -> None:
    (client_files / "0001_notes.sql").write_text("CREATE TABLE notes (id int);")
    both = [make_appliance(CLIENT_MIGRATIONS_DIR=str(client_files)).start() for _ in range(2)]
    for appliance in both:
        appliance.wait_until_up()
    logs = "\n".join(appliance.log for appliance in both)
    for name in [*(migration.name for migration in (*ENGINE, *BOOKS_FILES)), "0001_notes.sql"]:
        assert logs.count(f"migration {name} in ") == 1


def test_processes_that_migrate_at_once_apply_each_file_once(
    database: Database, make_api: Make
) -> None:
    database.write("0001_slow.sql", "CREATE TABLE slow (id int); SELECT pg_sleep(0.3);")
    environment = make_api(CLIENT_MIGRATIONS_DIR=str(database.files)).environment
    running = [
        subprocess.Popen(
            [COMMAND, "migrate"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60)[0].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    assert sum(f"{OURS + 1} migrations applied." in text for text in said) == 1
    assert sum("Nothing to do" in text for text in said) == 2
    assert len(database.ledger("engine")) == len(ENGINE)


def test_a_database_ahead_of_the_build_is_in_sync_and_is_served(
    database: Database, make_api: Make
) -> None:
    database.migrate()
    with database.connect() as superuser:
        superuser.execute(
            "INSERT INTO appliance.engine_ledger VALUES (%s, 'x', 'y', now(), 1, 'z')",
            (len(ENGINE) + 1,),
        )
    assert database.migrate() == 0
    api = make_api().start("api").wait_until_up()
    engine = requests.get(f"{api.url}/ready", timeout=5).json()["checks"]["migrations"]["engine"]
    assert engine == {"applied": len(ENGINE) + 1, "required": len(ENGINE), "pending": []}


def test_an_appliance_starts_on_a_database_that_a_later_version_migrated(
    appliance: Appliance, make_appliance: Make
) -> None:
    with appliance.connect() as owner:
        owner.execute(
            "INSERT INTO appliance.engine_ledger VALUES (%s, 'x', 'y', now(), 1, 'z')",
            (len(ENGINE) + 1,),
        )
    assert appliance.stop() == 0
    make_appliance().start().wait_until_up()


@pytest.mark.parametrize("skip", ["", "True", "1", "yes", " true"])
def test_the_api_refuses_to_start_behind_the_schema_it_needs(
    database: Database, make_api: Make, skip: str
) -> None:
    database.migrate()
    forget_the_last(database)
    api = make_api(SKIP_SCHEMA_CHECK=skip).start("api")
    assert api.wait() == ExitCode.SCHEMA
    last, before = ENGINE[-1], ENGINE[-2]
    assert f"needs engine migration {last.number:04d}" in api.log
    assert f"the database has {before.number:04d}" in api.log
    assert f"Pending: {last.name}" in api.log
    assert "SKIP_SCHEMA_CHECK=true" in api.log


def test_the_api_refuses_an_empty_database_in_words(database: Database, make_api: Make) -> None:
    refused = make_api().run("api", check=False)
    assert refused.returncode == ExitCode.SCHEMA
    assert "the database has 0000" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_exactly_true_skips_the_check(database: Database, make_api: Make) -> None:
    database.migrate()
    forget_the_last(database)
    api = make_api(SKIP_SCHEMA_CHECK="true").start("api").wait_until_up()
    assert "the schema was not checked" in api.log


def test_a_client_track_behind_is_shown_in_health_only(database: Database, make_api: Make) -> None:
    database.migrate()
    database.write("0001_notes.sql", "CREATE TABLE notes (id int);")
    api = make_api(CLIENT_MIGRATIONS_DIR=str(database.files)).start("api").wait_until_up()
    ready = requests.get(f"{api.url}/ready", timeout=5)
    assert ready.status_code == 200
    client = ready.json()["checks"]["migrations"]["client"]
    assert client == {"applied": 0, "required": 1, "pending": ["0001_notes.sql"]}


def test_a_database_killed_in_the_middle_is_exit_code_6_and_the_rerun_works(
    make_program: Callable[..., PostgresProgram], make_appliance: Make, client_files: Path
) -> None:
    slow = client_files / "0001_slow.sql"
    slow.write_text("CREATE TABLE slow (id int); SELECT pg_sleep(600);")
    program = make_program().start().wait_until_serving()
    appliance = make_appliance(CLIENT_MIGRATIONS_DIR=str(client_files))
    running = subprocess.Popen(
        [COMMAND, "migrate"],
        env=appliance.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with program.connect(database="postgres") as superuser:
        wait_until(lambda: superuser.execute(sleeping).fetchone() == (1,), "the file runs")
    program.kill_everything()
    said, _ = running.communicate(timeout=30)
    assert running.returncode == ExitCode.DATABASE, said
    assert "0001_slow.sql" in said
    assert "Traceback" not in said
    slow.write_text("CREATE TABLE slow (id int);")
    program.start().wait_until_serving()
    assert "1 migration applied." in appliance.run("migrate").stdout


def test_objects_without_a_ledger_end_the_container_until_they_are_adopted(
    appliance: Appliance, make_appliance: Make
) -> None:
    with appliance.connect(config.SUPERUSER) as superuser:
        superuser.execute(
            "DROP TABLE appliance.engine_ledger, appliance.books_ledger, appliance.client_ledger"
        )
    appliance.kill_everything()
    refused = make_appliance().start()
    assert refused.wait() == ExitCode.SCHEMA
    assert "no ledger" in refused.log
    assert "appliance migrate --adopt engine --adopt books" in refused.log
    open_for_repair = make_appliance(SKIP_SCHEMA_CHECK="true").start()
    wait_until(lambda: "although the migrations failed" in open_for_repair.log, "it goes on")
    said = open_for_repair.run("migrate", "--adopt", "engine", "--adopt", "books").stdout
    assert f"{OURS} migrations adopted" in said
    assert open_for_repair.stop() == 0
    make_appliance().start().wait_until_up()


def of_storage(appliance: Appliance) -> list[Process]:
    """The processes that were started for this appliance's storage."""
    wanted = f"STORAGE_DIR={appliance.storage.root}".encode()

    def started_for_it(process: Process) -> bool:
        try:
            return wanted in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    return [process for process in processes.everyone() if started_for_it(process)]


@pytest.mark.first_start
def test_a_migration_that_waits_for_the_database_ends_with_its_appliance(
    make_appliance: Make,
) -> None:
    waiting = make_appliance()
    waiting.storage.pgdata.mkdir(parents=True)
    (waiting.storage.pgdata / "PG_VERSION").write_text("15\n")
    assert waiting.start().wait() == ExitCode.STORAGE
    assert of_storage(waiting) == []
