"""What happens in which round: nothing here but a seed, a number and dice."""

import random
from dataclasses import dataclass
from enum import Enum


class Action(Enum):
    """What one round does to the containers; the value is said in the timeline and the table."""

    REDEPLOY = "redeploy"
    REDEPLOY_KILLED = "redeploy, the new one killed"
    REDEPLOY_BROKEN = "redeploy, its migration fails"
    REDEPLOY_CRASHING = "redeploy, a postgres program killed meanwhile"
    REDEPLOY_DEAF = "redeploy, the owner's agent paused"
    REDEPLOY_PAUSED = "redeploy, the owner paused meanwhile"
    REDEPLOY_UNATTENDED = "redeploy, an agent killed meanwhile"
    THREE_AT_ONCE = "three containers at once"
    KILL_POSTMASTER = "the postmaster killed"
    KILL_BACKEND = "a process of Postgres killed"
    KILL_AGENT = "the agent killed"
    KILL_API = "the API's master killed"
    KILL_WORKER = "a worker of the API killed"
    PAUSE_CONTAINER = "the container paused"
    PAUSE_POSTGRES = "Postgres paused"
    PAUSE_AGENT = "the agent paused"
    TAKEOVER = "the owner killed beside a standby"
    LOST_SUPERVISOR = "one of two supervisors killed"
    CRASH_BESIDE_STANDBY = "the postmaster killed beside a standby"
    OUTAGE = "all killed at once, one started"


# Every action is in the deck; what people do often is in it more often.
DECK = (
    *[Action.REDEPLOY] * 3,
    *[Action.REDEPLOY_KILLED] * 3,
    *[Action.TAKEOVER] * 2,
    *[Action.KILL_POSTMASTER] * 2,
    *[Action.KILL_BACKEND] * 2,
    *[action for action in Action if action not in (Action.REDEPLOY, Action.REDEPLOY_KILLED)],
)

_LONGEST_PAUSE_S = 3.0
_LONGEST_MOMENT_S = 1.5
_LONGEST_CALM_S = 0.8
# From the request to the first answer of the new container's Postgres, on a quiet machine and more.
_HANDOFF_S = 0.5
_SHARE_IN_HANDOFF = 0.6


@dataclass(frozen=True)
class Round:
    """One round.

    It begins after `calm_s`. `moment_s` is how long after its first step the second comes; with
    `in_handoff` it counts from the moment at which a new container requests the database. `pause_s`
    is how long something is stopped, `poll_s` how often a new container's health is asked for,
    and `die` chooses among several processes or containers.
    """

    number: int
    action: Action
    calm_s: float
    in_handoff: bool
    moment_s: float
    pause_s: float
    poll_s: float
    die: int

    def words(self) -> str:
        """For the timeline."""
        since = " in the handoff" if self.in_handoff else ""
        return (
            f"round {self.number + 1}: {self.action.value} (dice: moment {self.moment_s:.3f} s"
            f"{since}, pause {self.pause_s:.3f} s, poll {self.poll_s:g} s, choice {self.die})"
        )


def draw(seed: int, number: int) -> Round:
    """The round of this number, from 0: the next card of a deck that is shuffled when used up."""
    pass_, card = divmod(number, len(DECK))
    deck = list(DECK)
    dice_of(f"{seed} deck {pass_}").shuffle(deck)
    dice = dice_of(f"{seed} round {number}")
    in_handoff = dice.random() < _SHARE_IN_HANDOFF
    return Round(
        number=number,
        action=deck[card],
        calm_s=dice.uniform(0, _LONGEST_CALM_S),
        in_handoff=in_handoff,
        moment_s=dice.uniform(0, _HANDOFF_S if in_handoff else _LONGEST_MOMENT_S),
        pause_s=dice.uniform(0.1, _LONGEST_PAUSE_S),
        poll_s=dice.choice((0.02, 0.1, 0.3, 1.0)),
        die=dice.randrange(1_000_000),
    )


def dice_of(name: str) -> random.Random:
    """Dice that always fall the same way."""
    return random.Random(name)  # noqa: S311 - nothing here is secret
