"""What a round does to the fleet: one function for each action of the plan.

Moments, durations and choices are the round's; the functions only say what comes after what.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from appliance.errors import ExitCode
from tests.chaos.containers import ENDS_LIMIT, HEALTH_LIMIT_S, Container
from tests.chaos.fleet import DEPLOY_LIMIT_S, Fleet
from tests.chaos.plan import Action, Round
from tests.harness.waiting import wait_until

Do = Callable[[Fleet, Round], None]


def perform(fleet: Fleet, round_: Round) -> None:
    """Do what the round says."""
    _ACTIONS[round_.action](fleet, round_)


def _redeploy(fleet: Fleet, round_: Round) -> None:
    fleet.deploy(round_.poll_s)


def _redeploy_killed(fleet: Fleet, round_: Round) -> None:
    new = fleet.start()
    _await_moment(new, round_)
    fleet.kill(new)


def _redeploy_broken(fleet: Fleet, round_: Round) -> None:
    with tempfile.TemporaryDirectory(prefix="ap-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "0001_broken.sql").write_text("CREATE TABLE half (id int); SELECT nonsense;\n")
        new = fleet.start(CLIENT_MIGRATIONS_DIR=name)
        code = new.wait(DEPLOY_LIMIT_S)
    assert code == ExitCode.SCHEMA, f"{new.name} ended with {code} after a broken migration"
    fleet.kill(new)


def _redeploy_crashing(fleet: Fleet, round_: Round) -> None:
    _fresh(fleet, fleet.owner(), "postgres", round_)

    def crash(new: Container) -> None:
        _await_moment(new, round_)
        # Of the new one it is the program that waits in the lock, or has it by now.
        victim = new if round_.die % 3 == 0 else fleet.owner()
        victim.kill_program("postgres")

    fleet.deploy(round_.poll_s, crash)


def _redeploy_deaf(fleet: Fleet, round_: Round) -> None:
    with fleet.owner().paused("agent"):
        fleet.deploy(round_.poll_s)


def _redeploy_paused(fleet: Fleet, round_: Round) -> None:
    owner = fleet.owner()

    def pause(new: Container) -> None:
        _await_moment(new, round_)
        with owner.paused():
            time.sleep(round_.pause_s)

    fleet.deploy(round_.poll_s, pause)


def _redeploy_unattended(fleet: Fleet, round_: Round) -> None:
    owner = fleet.owner()
    _fresh(fleet, owner, "agent", round_)

    def kill(new: Container) -> None:
        _await_moment(new, round_)
        (fleet.living(), new)[round_.die % 2].kill_program("agent")

    fleet.deploy(round_.poll_s, kill)


def _three_at_once(fleet: Fleet, round_: Round) -> None:
    first, second = fleet.start(), fleet.start()
    for new in (first, second):
        fleet.wait_until_healthy(new, round_.poll_s)
    fleet.switch((first, second)[round_.die % 2])
    time.sleep(round_.moment_s)
    fleet.retire_others()


def _kill_postmaster(fleet: Fleet, round_: Round) -> None:
    _fresh(fleet, fleet.owner(), "postgres", round_)
    fleet.owner().kill_program("postgres")


def _kill_backend(fleet: Fleet, round_: Round) -> None:
    fleet.owner().kill_backend(round_.die)


def _kill_agent(fleet: Fleet, round_: Round) -> None:
    _fresh(fleet, fleet.living(), "agent", round_)
    fleet.living().kill_program("agent")


def _kill_api(fleet: Fleet, round_: Round) -> None:
    _fresh(fleet, fleet.living(), "api", round_)
    fleet.living().kill_api()


def _kill_worker(fleet: Fleet, round_: Round) -> None:
    fleet.living().kill_worker(round_.die)


def _pause(program: str | None) -> Do:
    def pause(fleet: Fleet, round_: Round) -> None:
        container = fleet.owner() if program == "postgres" else fleet.living()
        with container.paused(program):
            time.sleep(round_.pause_s)

    return pause


def _takeover(fleet: Fleet, round_: Round) -> None:
    standby = fleet.living()
    owner = fleet.deploy(round_.poll_s, keep=True)
    time.sleep(round_.moment_s)
    fleet.kill(owner)
    fleet.switch(standby)


def _lost_supervisor(fleet: Fleet, round_: Round) -> None:
    standby = fleet.living()
    owner = fleet.deploy(round_.poll_s, keep=True)
    time.sleep(round_.moment_s)
    victim, other = (owner, standby) if round_.die % 2 else (standby, owner)
    fleet.kill_supervisor(victim)
    fleet.switch(other)


def _crash_beside_standby(fleet: Fleet, round_: Round) -> None:
    fleet.deploy(round_.poll_s, keep=True)
    time.sleep(round_.moment_s)
    fleet.owner().kill_program("postgres")
    time.sleep(round_.moment_s)
    fleet.retire_others()


def _outage(fleet: Fleet, round_: Round) -> None:
    fleet.deploy(round_.poll_s, keep=True)
    time.sleep(round_.moment_s)
    fleet.kill(*fleet.running)
    fleet.switch(None)
    new = fleet.start()
    fleet.wait_until_healthy(new, round_.poll_s)
    fleet.switch(new)


def _await_moment(new: Container, round_: Round) -> None:
    if round_.in_handoff:
        # One that never requests it becomes healthy nevertheless.
        wait_until(
            lambda: new.has_requested() or new.status("/up", HEALTH_LIMIT_S) == 200,
            f"{new.name} requests the database",
        )
    time.sleep(round_.moment_s)


def _fresh(fleet: Fleet, container: Container, program: str, round_: Round) -> None:
    """Redeploy first if this program was killed here so often that the supervisor gives up."""
    if container.ends[program] >= ENDS_LIMIT:
        fleet.timeline.note("platform", f"{program} of {container.name} was killed often enough")
        fleet.deploy(round_.poll_s)


_ACTIONS: dict[Action, Do] = {
    Action.REDEPLOY: _redeploy,
    Action.REDEPLOY_KILLED: _redeploy_killed,
    Action.REDEPLOY_BROKEN: _redeploy_broken,
    Action.REDEPLOY_CRASHING: _redeploy_crashing,
    Action.REDEPLOY_DEAF: _redeploy_deaf,
    Action.REDEPLOY_PAUSED: _redeploy_paused,
    Action.REDEPLOY_UNATTENDED: _redeploy_unattended,
    Action.THREE_AT_ONCE: _three_at_once,
    Action.KILL_POSTMASTER: _kill_postmaster,
    Action.KILL_BACKEND: _kill_backend,
    Action.KILL_AGENT: _kill_agent,
    Action.KILL_API: _kill_api,
    Action.KILL_WORKER: _kill_worker,
    Action.PAUSE_CONTAINER: _pause(None),
    Action.PAUSE_POSTGRES: _pause("postgres"),
    Action.PAUSE_AGENT: _pause("agent"),
    Action.TAKEOVER: _takeover,
    Action.LOST_SUPERVISOR: _lost_supervisor,
    Action.CRASH_BESIDE_STANDBY: _crash_beside_standby,
    Action.OUTAGE: _outage,
}
