"""`python -m tests.chaos`: CHAOS_ROUNDS rounds with CHAOS_SEED, then the verdict."""

import os
import secrets
import shutil
import signal
import sys

from tests.chaos import report
from tests.chaos.run import run


def main() -> int:
    """Run and report; 1 if something failed."""
    rounds = _number("CHAOS_ROUNDS", 20)
    seed = _number("CHAOS_SEED", secrets.randbelow(1_000_000))
    # What was started is ended, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("chaos: ended by SIGTERM"))
    _say(f"{rounds} rounds with seed {seed}")
    outcome = run(seed, rounds, _say)
    if outcome.faults:
        print(report.failure(outcome), end="\n\n")
    else:
        shutil.rmtree(outcome.folder, ignore_errors=True)
    print(report.table(outcome), report.verdict(outcome), sep="\n")
    return 1 if outcome.faults else 0


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "") or str(default)
    if not text.isdigit():
        raise SystemExit(f"{name}={text} must be a whole number from 0.")
    return int(text)


def _say(text: str) -> None:
    print(f"chaos: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
