"""Ctrl-C, SIGTERM and SIGKILL: what is said, what is left, and who clears it up."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from appliance.backups import audit
from appliance.backups.server.databases import TEMPORARY_PREFIX
from tests.backups import scene
from tests.backups.scene import BackupCommand
from tests.harness import processes
from tests.harness.appliance import Appliance
from tests.harness.waiting import wait_until

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
UNCHANGED = "appliance: broken off. Nothing was changed.\n"

Process = subprocess.Popen[str]


@contextmanager
def loading(cli: BackupCommand, process: Process) -> Iterator[None]:
    """A restore stands still while it loads: nobody may alter a role."""
    with cli.appliance.connect("postgres", "postgres") as connection, connection.transaction():
        connection.execute("LOCK TABLE pg_authid IN SHARE MODE")
        scene.wait_until_held(cli.appliance)
        yield


@contextmanager
def comparing(cli: BackupCommand, process: Process) -> Iterator[None]:
    """A restore stands still while it compares: its dump of what was loaded does not run."""
    pid = _stopped(process, "/pg_dump ")
    yield
    # Whoever was broken off has ended it.
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@contextmanager
def swapping(cli: BackupCommand, process: Process) -> Iterator[None]:
    """A restore stands still in its swap: nobody may rename a database."""
    with cli.appliance.connect("postgres", "postgres") as connection, connection.transaction():
        with comparing(cli, process):
            connection.execute("LOCK TABLE pg_database IN SHARE MODE")
        scene.wait_until_held(cli.appliance)
        yield


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("phase", [loading, comparing])
def test_a_restore_that_is_broken_off_says_that_nothing_was_changed(
    cli: BackupCommand,
    copied: Path,
    phase: Callable[[BackupCommand, Process], AbstractContextManager[None]],
    number: signal.Signals,
) -> None:
    with scene.unchanged(cli.appliance):
        said = _broken_off(cli, phase, number, SIGNALS[number])
    assert said.endswith(UNCHANGED)
    assert _temporary(cli.appliance) == []
    last = audit.tail(cli.appliance.storage, 1)[0]
    assert (last["action"], last["ok"]) == ("restore", False)
    assert last["message"] == "Broken off. Nothing was changed."


@pytest.mark.parametrize("number", SIGNALS)
def test_a_restore_that_has_begun_to_swap_is_not_broken_off_any_more(
    cli: BackupCommand, copied: Path, number: signal.Signals
) -> None:
    said = _broken_off(cli, swapping, number, 0)
    assert said.startswith("Restored made:")
    assert _temporary(cli.appliance) == []
    assert cli.audited()[-1] == ("restore", "made", True)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_backup_that_is_broken_off_leaves_neither_files_nor_programs(
    cli: BackupCommand, number: signal.Signals
) -> None:
    with scene.held(cli.appliance) as wait:
        process = cli.start("create", "--name", "first")
        wait()
        programs = scene.below(process.pid)
        assert programs
        process.send_signal(number)
        if number == signal.SIGTERM:
            # As timeout(1) does.
            process.send_signal(number)
        assert scene.ended(process, SIGNALS[number]).endswith("appliance: broken off.\n")
        assert [pid for pid in programs if processes.alive(pid)] == []
    assert list(cli.folder.iterdir()) == []
    assert cli.audited()[-1] == ("create", "first", False)


def test_a_backup_that_is_killed_half_way_is_none_and_the_next_one_clears_up(
    shared: Appliance,
) -> None:
    cli = BackupCommand(shared, shared.storage.backups)
    with scene.held(cli.appliance) as wait:
        process = cli.start("create", "--name", "first")
        wait()
        scene.kill(process)
        assert [path.name[:15] for path in cli.folder.glob(".staging*")] == [".staging-first-"]
        assert cli.names() == []
        cli.refused("verify", "first")
    cli.run("create", "--name", "first")
    assert list(cli.folder.glob(".staging*")) == []
    assert cli.names() == ["first"]
    cli.run("delete", "first", "-y")


NEXT = (("backup", "create", "--name", "next"), ("hook", "pre-backup"))


@pytest.mark.parametrize("words", NEXT, ids=lambda words: words[0])
def test_what_a_killed_restore_left_goes_with_the_next_backup(
    cli: BackupCommand, copied: Path, words: tuple[str, ...]
) -> None:
    process = cli.start("restore", "made", "--force")
    wait_until(lambda: _temporary(cli.appliance), "a database is loaded beside", 60)
    scene.kill(process)
    assert _temporary(cli.appliance)
    cli.appliance.run(*words)
    assert _temporary(cli.appliance) == []


def _broken_off(
    cli: BackupCommand,
    phase: Callable[[BackupCommand, Process], AbstractContextManager[None]],
    number: signal.Signals,
    code: int,
) -> str:
    """What a restore says that gets a signal in a phase, and leaves no program behind."""
    process = cli.start("restore", "made", "--force")
    with phase(cli, process):
        programs = scene.below(process.pid)
        process.send_signal(number)
        if code:
            process.wait(30)
    said = scene.ended(process, code)
    assert [pid for pid in programs if processes.alive(pid)] == []
    return said


def _stopped(process: Process, command: str) -> int:
    """Wait until a program runs below one, and have it stand still at once; its number."""

    def found() -> int:
        assert process.poll() is None, process.communicate()
        below = processes.descendants(process.pid)
        pid = next((one.pid for one in below if command in one.command), 0)
        if pid:
            os.kill(pid, signal.SIGSTOP)
        return pid

    return wait_until(found, command, 60)


def _temporary(appliance: Appliance) -> list[str]:
    with appliance.connect("postgres", "postgres") as connection:
        like = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
        return [row[0] for row in connection.execute(like, (TEMPORARY_PREFIX,))]
