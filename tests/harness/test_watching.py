"""The witness sees two postmasters, and takes nobody else for one."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.harness import processes, shared_memory
from tests.harness.appliance import ending
from tests.harness.postgres_program import PostgresProgram
from tests.harness.prepared import prepared_storage
from tests.harness.waiting import wait_until
from tests.harness.watching import PostmasterWatch

# One child, which has its command line for as long as both live.
PROGRAM = "#!/bin/sh\n(read -r line)\nread -r line\n"


@pytest.fixture
def pgdata(tmp_path: Path) -> Path:
    """A folder in which something that is called postgres can work."""
    program, folder = tmp_path / "postgres", tmp_path / "pgdata"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    folder.mkdir()
    return folder


@contextmanager
def working_in(pgdata: Path) -> Iterator[tuple[int, int]]:
    """A program with one child, which lives on if the program is killed; gives both numbers."""
    program = [str(pgdata.with_name("postgres")), "-D", str(pgdata)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, cwd=pgdata, process_group=0) as running:
        (child,) = wait_until(lambda: processes.descendants(running.pid), "it has its child")
        try:
            yield running.pid, child.pid
        finally:
            for pid in (child.pid, running.pid):
                processes.kill(pid)


def test_two_on_one_cluster_are_a_violation(pgdata: Path) -> None:
    with ExitStack() as both, PostmasterWatch(pgdata) as witness:
        masters = {both.enter_context(working_in(pgdata))[0] for _ in range(2)}
        wait_until(lambda: witness.violations, "it sees them")
        assert witness.postmasters_seen == masters


def test_one_with_a_child_that_was_just_forked_is_none_also_if_only_the_child_is_left(
    pgdata: Path,
) -> None:
    with PostmasterWatch(pgdata) as witness, working_in(pgdata) as (master, child):
        wait_until(lambda: witness.postmasters_seen, "it sees the postmaster")
        processes.kill(master)
        wait_until(lambda: processes.ended(master), "the postmaster is dead")
        enough = witness.samples + 3
        wait_until(lambda: witness.samples > enough, "it has looked again")
        assert [process.pid for process in processes.postgres_processes(pgdata)] == [child]
    assert (witness.violations, witness.postmasters_seen) == ([], {master})


def test_what_another_one_has_left_behind_is_a_violation(pgdata: Path) -> None:
    with PostmasterWatch(pgdata) as witness, working_in(pgdata) as (master, _):
        processes.kill(master)
        wait_until(lambda: processes.ended(master), "the postmaster is dead")
        with working_in(pgdata):
            wait_until(lambda: witness.violations, "it sees the child beside the next one")


def test_the_shared_memory_of_a_killed_postgres_is_removed() -> None:
    with prepared_storage() as root, ending(PostgresProgram(root)) as program:
        program.start().wait_until_serving()
        segment = shared_memory.segment(program.storage.pgdata / "postmaster.pid")
        program.kill_everything()
        wait_until(lambda: segment in shared_memory.unused(), "nobody has it")
        shared_memory.remove_left(root)
        assert segment not in shared_memory.unused()
