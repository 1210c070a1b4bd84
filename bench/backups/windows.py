"""What clients see during a backup, and without one: windows of equal length, in turn."""

import time
from dataclasses import dataclass, field

from bench.backups import dumps, programs
from bench.backups.stage import Stage
from bench.books import MIX
from bench.redeploy.outcome import Outcome, outcome
from load.own_process import Traffic

_WARM_UP_S = 1.0


@dataclass
class Windows:
    """What clients saw. Window n of one kind and window n of the other are neighbours."""

    during: list[Outcome] = field(default_factory=list)
    without: list[Outcome] = field(default_factory=list)

    def round(self, stage: Stage, clients: int, seconds: float, number: int) -> None:
        """One of each; every second round in the opposite order."""
        for busy in (True, False) if number % 2 else (False, True):
            found = _window(stage, clients, seconds, busy=busy)
            (self.during if busy else self.without).append(found)


def _window(stage: Stage, clients: int, seconds: float, *, busy: bool) -> Outcome:
    with Traffic(stage.ours.port, stage.key, MIX, clients) as traffic:
        time.sleep(_WARM_UP_S)
        since = time.monotonic()
        if busy:
            _back_up_until(stage, since + seconds)
        else:
            time.sleep(seconds)
        requests = traffic.end()
    found = outcome(requests, since, since + seconds, 0.0, {})
    if found.failed:
        raise SystemExit(f"{found.failed} requests failed, and nothing was replaced.")
    return found


def _back_up_until(stage: Stage, moment: float) -> None:
    """Make one backup after the other; the last one may end later, and is not looked at then."""
    while time.monotonic() < moment:
        programs.finish(dumps.begin(stage, {}), stage.log)
        dumps.forget(stage)
