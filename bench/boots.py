"""Boots and idle memory, ours and the bare parts in turn; only one system runs at a time."""

from dataclasses import dataclass, field

from bench import memory
from bench.books import ACCOUNT, PAGE, WRITE, seed, send
from bench.figures import Aim, Figure
from bench.systems import System, wipe
from load.connection import KeptConnection

# New connections reach other workers: every worker has then served, and holds one session.
_CONNECTIONS = 16


@dataclass
class Boots:
    """What one system did, round by round. Seconds and MiB."""

    cold: list[dict[str, float]] = field(default_factory=list)
    warm: list[dict[str, float]] = field(default_factory=list)
    memory: list[dict[str, float]] = field(default_factory=list)

    def round(self, system: System, requests: int) -> None:
        """Boot it cold, then on its own data; serve a little, and weigh it while it is idle."""
        wipe(system)
        try:
            self.cold.append(system.boot())
            key = seed(system.storage)
            system.stop()
            self.warm.append(system.boot())
            serve_a_little(system.port, key, requests)
            self.memory.append(memory.by_program(system.programs()))
        finally:
            system.stop()

    def milliseconds(self, which: str) -> tuple[float, ...]:
        """The totals of one kind of boot."""
        return tuple(boot["total"] * 1000 for boot in getattr(self, which))

    def mebibytes(self) -> tuple[float, ...]:
        """The memory of all programs together."""
        return tuple(sum(programs.values()) for programs in self.memory)


def run(systems: dict[str, System], rounds: int, requests: int) -> dict[str, Boots]:
    """Round by round each system once; every second round in the opposite order."""
    found = {name: Boots() for name in systems}
    for number in range(rounds):
        for name in list(systems)[:: -1 if number % 2 else 1]:
            found[name].round(systems[name], requests)
    return found


def figures(found: dict[str, Boots]) -> list[Figure]:
    """The lines of the table. `same` is plain gunicorn with our app, `least` with the bare app."""
    ours, same, least = (found[name] for name in ("ours", "same", "least"))
    pss, fast, light = "MiB PSS", Aim("<=", 1.3), Aim("<=", 1.25)
    cold, warm = "initdb, postgres, schema, gunicorn", "postgres, then gunicorn"
    return [
        _boot("cold boot to 200 on /up", "cold", ours, same, f"{cold} with our app", fast),
        _boot("warm boot to 200 on /up", "warm", ours, same, f"{warm} with our app"),
        Figure("idle memory", pss, ours.mebibytes(), same.mebibytes(), "with our app", light),
        Figure("idle memory", pss, ours.mebibytes(), least.mebibytes(), "with the bare app"),
    ]


def _boot(
    name: str, kind: str, ours: Boots, bare: Boots, against: str, aim: Aim | None = None
) -> Figure:
    return Figure(name, "ms", ours.milliseconds(kind), bare.milliseconds(kind), against, aim)


def serve_a_little(port: int, key: str, requests: int) -> None:
    """Send requests one at a time, so that every run leaves as many sessions behind."""
    for number in range(_CONNECTIONS):
        connection = KeptConnection(port)
        for step in range(max(1, requests // _CONNECTIONS // 3)):
            for request in (ACCOUNT, PAGE, WRITE):
                send(connection, request, key, f"warm-{number}-{step}")
        connection.close()
