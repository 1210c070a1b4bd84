"""A restore that was killed, or found no room: refused until it was run again, then whole."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from docker.errors import APIError
from docker.models.containers import Container

from tests.harness.nightly import most_at_night
from tests.image.backup_scene import POST_RESTORE, Archives, Restore, populated, source
from tests.image.contained import Contained
from tests.platform import RestoreError
from tests.platform.containers import Executed, execute
from tests.platform.faults import another_program, wait_until_inside

# The hook, which dies before the step of this number: a step renames or removes in the storage,
# outside of the cluster in the making.
DYING = """
import os, signal, sys
from appliance.cli.main import main

steps = 0

def count(event, arguments):
    global steps
    path = str(arguments[0]) if event in ("os.rename", "os.remove", "shutil.rmtree") else ""
    if path.startswith("/storage/") and not path.startswith("/storage/pgdata.new/"):
        steps += 1
        if steps == int(sys.argv[1]):
            print("killed before", event, *arguments[:2], flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
sys.exit(main(["hook", "post-restore"]))
"""
# A dump that is loaded is renamed into its place, among other things.
FEWEST_STEPS = 6
BROKEN_OFF = "A restore into /storage was broken off, so there is no whole cluster."
A_COPY = "is a copy that was made while its database ran, so its cluster is torn"
FILL = "fallocate -l $(($(stat -f -c '%a*%S' /storage) - 4*1024*1024)) /storage/filling"


@pytest.fixture(scope="module")
def archives(shared: Contained, tmp_path_factory: pytest.TempPathFactory) -> Archives:
    return Archives(shared, tmp_path_factory.mktemp("archives"))


# Every change has `tests/hooks/test_killed.py`: the same steps, without containers.
@pytest.mark.nightly
def test_killed_before_each_of_its_steps_it_is_refused_at_the_start_and_can_be_run_again(
    archives: Archives,
) -> None:
    with populated(archives.platform, archives.hook) as restore:
        step, killed, seen = 1, [], {""}
        with restore.idle() as container:
            while (result := dying_before(container, step)).code == 137:
                killed.append(result.stdout.splitlines()[-1])
                step += 1
                if (marks := marks_of_work(container)) not in seen:
                    seen.add(marks)
                    started = execute(container, "appliance", "up")
                    assert started.code == 4, killed
                    assert BROKEN_OFF in started.stdout or A_COPY in started.stdout, killed
        assert result.code == 0, (killed, result)
        assert len(killed) >= FEWEST_STEPS, killed
        archives.books.check(restore.deploy(), archives.in_hook, exactly=True)


def test_a_torn_copy_is_refused_at_every_start_and_can_be_restored_then(
    archives: Archives,
) -> None:
    with populated(archives.platform, archives.hook) as restore:
        for _ in range(2):
            code, log = restore.start_too_early()
            assert (code, A_COPY in log) == (4, True), log
        restore.run_hook()
        appliance = restore.deploy()
        archives.books.check(appliance, archives.in_hook, exactly=True)
        assert source(appliance) == "dump"


@pytest.mark.parametrize("program", most_at_night(["pg_restore", "pg_dump"], ["pg_restore"]))
def test_a_container_that_is_killed_at_work_leaves_what_the_next_one_completes(
    archives: Archives, program: str
) -> None:
    with populated(archives.platform, archives.hook) as restore:
        with hanging_in(restore, program) as container:
            assert "pgdata.new" in execute(container, "ls", "/storage").stdout
        assert restore.look("cat", "/storage/pgdata/PG_VERSION") == "16"
        code, log = restore.start_too_early()
        assert code == 4, log
        assert BROKEN_OFF in log
        restore.run_hook()
        archives.books.check(restore.deploy(), archives.in_hook, exactly=True)
        assert restore.look("ls", "/storage").split() == ["backups", "pgdata", "run", "secrets"]


def test_a_cluster_whose_recovery_is_killed_is_recovered_by_the_next_run(
    archives: Archives,
) -> None:
    with populated(archives.platform, archives.paused) as restore:
        with hanging_in(restore, "pg_dump"):
            pass
        restore.run_hook()
        archives.books.check(restore.deploy(), archives.in_paused, exactly=True)


def test_a_disk_that_gets_full_half_way_is_refused_and_it_works_when_there_is_room(
    archives: Archives,
) -> None:
    with populated(archives.platform, archives.hook, size="800m") as restore:
        with restore.idle() as container:
            with another_program(container, "pg_restore", f'{FILL}; exec {{real}} "$@"'):
                failed = execute(container, POST_RESTORE)
            assert failed.code == 1
            assert "No space left on device" in failed.stderr
            assert "Traceback" not in failed.stderr
            assert "pgdata.new" not in execute(container, "ls", "/storage").stdout
            assert execute(container, "rm", "/storage/filling").code == 0
        code, log = restore.start_too_early()
        assert (code, BROKEN_OFF in log) == (4, True)
        restore.run_hook()
        archives.books.check(restore.deploy(), archives.in_hook, exactly=True)


def test_a_disk_that_is_too_small_is_refused_before_anything_is_loaded(archives: Archives) -> None:
    with populated(archives.platform, archives.hook, size="300m") as restore:
        with pytest.raises(RestoreError, match="The disk of /storage has too little room"):
            restore.run_hook()
        assert "pgdata.new" not in restore.look("ls", "/storage")


def dying_before(container: Container, step: int) -> Executed:
    """Run the hook until it comes to this step."""
    return execute(container, "/opt/appliance/bin/python", "-P", "-c", DYING, str(step))


def marks_of_work(container: Container) -> str:
    """What says that the restore is not finished."""
    marks = "ls /storage/run/restoring.json /storage/backups/.hook/manifest.json"
    return execute(container, "sh", "-c", marks).stdout


@contextmanager
def hanging_in(restore: Restore, program: str) -> Iterator[Container]:
    """A container whose hook has come to one of Postgres' programs, which hangs."""
    with restore.idle() as container, another_program(container, program, "exec sleep 999"):
        hook = threading.Thread(target=fail, args=(container,))
        hook.start()
        try:
            wait_until_inside(container, "sleep 999")
            yield container
        finally:
            container.kill()
            hook.join()


def fail(container: Container) -> None:
    """Run the hook in a container that is killed meanwhile."""
    with suppress(APIError):
        assert execute(container, POST_RESTORE).code != 0
