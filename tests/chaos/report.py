"""The verdict for people: a table, and after a failure the seed and the timeline."""

from collections.abc import Iterator

from load.latency import percentile
from tests.chaos.run import Outcome

_EVENTS = 60
_FAULTS = 20
_LOG_LINES = 5
_WIDTH = 110


def table(outcome: Outcome) -> str:
    """What was done, and what it came to."""
    return "\n".join(f"{name:<14}{text}".rstrip() for name, text in _rows(outcome))


def verdict(outcome: Outcome) -> str:
    """One line."""
    if outcome.faults:
        return f"chaos: FAILED in round {outcome.last_round}; seed {outcome.seed}"
    return f"chaos: {outcome.actions.total()} rounds passed; seed {outcome.seed}"


def failure(outcome: Outcome) -> str:
    """What is wrong, what came before, and how to see it again."""
    more = len(outcome.faults) - _FAULTS
    return "\n".join(
        [
            "What failed:",
            *(f"  {fault}" for fault in outcome.faults[:_FAULTS]),
            *([f"  and {more} more"] if more > 0 else []),
            "",
            "What came before (seconds since the start):",
            *(line[: _WIDTH * 2] for line in outcome.timeline.last(_EVENTS)),
            "",
            f"Again:  CHAOS_SEED={outcome.seed} CHAOS_ROUNDS={outcome.rounds} make chaos",
            f"Look:   {outcome.folder} (timeline.txt, the containers' logs, their storage)",
        ]
    )


def _rows(outcome: Outcome) -> Iterator[tuple[str, str]]:
    samples, cuts = outcome.requests.samples, outcome.requests.retried
    # Those of answers that came without a cut.
    seconds = sorted(sample.seconds for sample in samples if not sample.failures) or [0.0]
    reads = sum(not sample.writes for sample in samples)
    yield "seed", str(outcome.seed)
    yield "took", f"{outcome.took_s:.0f} s, {outcome.containers} containers"
    for index, (action, count) in enumerate(sorted(outcome.actions.items())):
        yield "" if index else "rounds", f"{count:4d}  {action}"
    yield "requests", f"{len(samples)}, of them {reads} reads; failed {len(outcome.failures)}"
    yield (
        "answers",
        (
            f"median {percentile(seconds, 0.5) * 1000:.0f} ms, "
            f"p99 {percentile(seconds, 0.99) * 1000:.0f} ms, "
            f"longest hold {seconds[-1] * 1000:.0f} ms"
        ),
    )
    for why, count in sorted(cuts.items()):
        yield "cut", f"{count} ({why}); sent again with the same key"
    yield "writes", _writes(outcome)
    two = f"two at once, {len(outcome.violations)} times" if outcome.violations else "never two"
    yield "postmasters", f"{outcome.postmasters}, {two} ({outcome.samples} samples)"


def _writes(outcome: Outcome) -> str:
    sent, acknowledged = len(outcome.writes.sent), len(outcome.writes.acknowledged)
    found = "not compared" if outcome.recorded is None else f"{outcome.recorded} in the books"
    return f"{sent} sent, {acknowledged} acknowledged, {found}"
