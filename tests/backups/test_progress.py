"""Long work tells how far it is: on a terminal one line that changes, for programs nothing."""

import os
import pty
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.backups import scene
from tests.backups.scene import BackupCommand
from tests.harness import processes
from tests.harness.command import COMMAND
from tests.harness.freezing import standing_still
from tests.harness.waiting import wait_until

CLEARED = "\r\x1b[K"


class Terminal:
    """`appliance backup …` with a terminal as its standard error."""

    def __init__(self, cli: BackupCommand, *words: str) -> None:
        self.shown = ""
        ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [COMMAND, "backup", *words],
            env={**cli.appliance.environment, **cli.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        )
        os.close(theirs)
        self._thread = threading.Thread(target=self._read, args=(ours,), daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait for its end, which must be a good one."""
        scene.ended(self.process)
        self._thread.join(30)

    def lines(self) -> list[str]:
        """Every line that it showed in the place of the one before."""
        return [line for line in self.shown.split(CLEARED) if line]

    def _read(self, descriptor: int) -> None:
        try:
            while block := os.read(descriptor, 4096):
                self.shown += block.decode()
        except OSError:
            # The other end was closed.
            os.close(descriptor)


@contextmanager
def large(cli: BackupCommand) -> Iterator[None]:
    """A table that takes a moment."""
    with cli.appliance.connect() as connection:
        rows = "SELECT n, md5(n::text) || md5((-n)::text) AS t FROM generate_series(1, 400000) n"
        connection.execute(f"CREATE TABLE large AS {rows}")
    try:
        yield
    finally:
        with cli.appliance.connect() as connection:
            connection.execute("DROP TABLE large")


def test_a_terminal_shows_the_phase_and_how_much_is_done(cli: BackupCommand) -> None:
    with scene.held(cli.appliance) as wait:
        terminal = Terminal(cli, "create", "--name", "made")
        wait()
        waiting = r"dumping: 0 B of [0-9.]+ MB"
        wait_until(lambda: any(re.fullmatch(waiting, line) for line in terminal.lines()), "a line")
    terminal.finish()
    assert terminal.shown.endswith(CLEARED)
    assert "\n" not in terminal.shown
    assert all(re.match(r"[a-z]+: ", line) for line in terminal.lines())


def test_it_counts_bytes_and_tables_while_they_are_copied(cli: BackupCommand) -> None:
    counted = r"dumping: [1-9][0-9.]* [kM]B of [0-9.]+ MB, [1-9][0-9]* tables?(, [0-9]+ s left)?"
    with large(cli):
        terminal = Terminal(cli, "create", "--name", "made")
        wait_until(lambda: _copying(cli), "the large table is being copied")
        with standing_still(_dump(terminal)):
            wait_until(
                lambda: any(re.fullmatch(counted, line) for line in terminal.lines()), "figures"
            )
        terminal.finish()


def test_whoever_reads_documents_or_is_no_terminal_is_not_disturbed(cli: BackupCommand) -> None:
    with scene.held(cli.appliance) as wait:
        process = cli.start("create", "--name", "made")
        wait()
    said = process.communicate(timeout=scene.LIMIT_S)
    assert said[1] == ""
    assert said[0].startswith("Made made (")
    assert said[0].count("\n") == 1
    # The document, and nothing on standard error: `json` makes sure of that.
    assert cli.json("verify", "made")["ok"] is True


def _copying(cli: BackupCommand) -> bool:
    with cli.appliance.connect("postgres") as connection:
        query = "SELECT bytes_processed FROM pg_stat_progress_copy WHERE relid = 'large'::regclass"
        return any(row[0] > 100_000 for row in connection.execute(query))


def _dump(terminal: Terminal) -> int:
    """The pg_dump that it has started; its workers are below that."""
    children = processes.descendants(terminal.process.pid)
    return next(child.pid for child in children if child.parent == terminal.process.pid)
