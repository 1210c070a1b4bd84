"""One run: rounds under load on one storage, then what was written is looked for in the books."""

import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from load import bookkeeping
from load.outcomes import Outcomes
from load.writes import Writes
from tests.chaos import actions
from tests.chaos.clients import Clients, client_of
from tests.chaos.containers import Container
from tests.chaos.fleet import Fleet
from tests.chaos.plan import Round, draw
from tests.chaos.timeline import Timeline
from tests.harness.waiting import wait_until
from tests.harness.watching import PostmasterWatch

ROUND_LIMIT_S = 90
PROGRESS_LIMIT_S = 30.0

_ACCOUNTS = 8
_PROGRESS = 10


class RoundTooLong(Exception):  # noqa: N818 - it says a state of the run
    """The watchdog bit."""


@dataclass
class Outcome:
    """What came of a run. It passed if there are no `faults`."""

    seed: int
    rounds: int
    folder: Path
    timeline: Timeline = field(default_factory=Timeline)
    writes: Writes = field(default_factory=Writes)
    requests: Outcomes[Container] = field(default_factory=Outcomes)
    failures: list[str] = field(default_factory=list)
    actions: Counter[str] = field(default_factory=Counter)
    last_round: int = 0
    containers: int = 0
    samples: int = 0
    postmasters: int = 0
    violations: list[str] = field(default_factory=list)
    recorded: int | None = None
    faults: list[str] = field(default_factory=list)
    took_s: float = 0.0


def run(seed: int, rounds: int, say: Callable[[str], None]) -> Outcome:
    """Run so many rounds, fewer if something fails; what is left of them lies in the folder."""
    folder = Path(tempfile.mkdtemp(prefix="ap-chaos-", dir="/tmp"))
    folder.chmod(0o755)
    outcome = Outcome(seed, rounds, folder)
    fleet = Fleet(folder / "s", outcome.timeline)
    watch = PostmasterWatch(folder / "s" / "pgdata")
    try:
        with watch:
            _Run(outcome, fleet, watch, say).run()
    except (AssertionError, RoundTooLong, OSError) as error:
        outcome.timeline.note("FAILED", str(error))
        outcome.faults.append(str(error))
    except (KeyboardInterrupt, SystemExit):
        fleet.end()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        fleet.end()
        outcome.faults[:0] = outcome.failures
        outcome.violations = watch.violations
        outcome.faults += [f"two postmasters: {seen}" for seen in watch.violations]
        outcome.samples, outcome.postmasters = watch.samples, len(watch.postmasters_seen)
        outcome.containers, outcome.took_s = len(fleet.made), outcome.timeline.seconds()
        _write_logs(fleet, outcome)
    return outcome


class _Run:
    def __init__(
        self, outcome: Outcome, fleet: Fleet, watch: PostmasterWatch, say: Callable[[str], None]
    ) -> None:
        self._outcome, self._fleet, self._watch, self._say = outcome, fleet, watch, say

    def run(self) -> None:
        outcome = self._outcome
        first = self._fleet.start()
        self._fleet.wait_until_healthy(first, poll_s=0.1)
        self._fleet.switch(first)
        with client_of(self._fleet, first.key()) as books:
            names = (f"Account {number}" for number in range(_ACCOUNTS))
            accounts = bookkeeping.open_accounts(books, *names)
        clients = Clients(self._fleet, outcome.writes, first.key(), accounts, outcome.seed)
        outcome.requests, outcome.failures = clients.outcomes, clients.failures
        with clients:
            for number in range(outcome.rounds):
                with _time_limit(ROUND_LIMIT_S, f"round {number} took over {ROUND_LIMIT_S} s"):
                    self._round(draw(outcome.seed, number))
                if outcome.failures or self._watch.violations:
                    break
        with client_of(self._fleet, first.key()) as books:
            recorded = bookkeeping.transactions(books)
            outcome.recorded = len(recorded)
            outcome.faults += outcome.writes.check(recorded, bookkeeping.trial_balance(books))

    def _round(self, round_: Round) -> None:
        time.sleep(round_.calm_s)
        began = time.monotonic()
        self._outcome.last_round = round_.number + 1
        self._outcome.timeline.note("chaos", round_.words())
        actions.perform(self._fleet, round_)
        self._wait_for_progress()
        self._fleet.check()
        self._outcome.actions[round_.action.value] += 1
        seconds = time.monotonic() - began
        self._say(f"round {round_.number + 1}: {round_.action.value}, {seconds:.1f} s")

    def _wait_for_progress(self) -> None:
        """The clients are served again."""
        acknowledged = self._outcome.writes.acknowledged
        wanted = len(acknowledged) + _PROGRESS
        wait_until(
            lambda: len(acknowledged) >= wanted or self._outcome.failures,
            "the clients are served again",
            PROGRESS_LIMIT_S,
        )


@contextmanager
def _time_limit(seconds: float, what: str) -> Iterator[None]:
    """The watchdog: raises RoundTooLong in the main thread, whatever it waits for."""

    def bite(_number: int, _frame: FrameType | None) -> None:
        raise RoundTooLong(what)

    before = signal.signal(signal.SIGALRM, bite)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _write_logs(fleet: Fleet, outcome: Outcome) -> None:
    with suppress(OSError):
        outcome.timeline.write(outcome.folder / "timeline.txt")
        for container in fleet.made:
            (outcome.folder / f"{container.name}.log").write_text(container.log + "\n")
