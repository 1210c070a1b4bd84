"""The table on standard output and the document in the results folder."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance import __version__
from appliance.system.limits import detect
from bench.figures import Figure, Spread
from bench.knobs import Knobs

FORMAT = 1
_HEAD = ("figure", "unit", "ours", "bare", "ours/bare", "aim", "bare is")


def table(figures: Sequence[Figure]) -> str:
    """One line for each figure: median (smallest-largest).

    >>> print(table([Figure("warm boot", "ms", (10.0,), (8.0,), "the parts")]))
    figure     unit  ours              bare              ours/bare         aim  bare is
    warm boot  ms    10.0 (10.0-10.0)  8.00 (8.00-8.00)  1.25 (1.25-1.25)       the parts
    """
    return aligned([_HEAD, *map(_line, figures)])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells, in columns.

    >>> print(aligned([("a", "b"), ("long", "c")]))
    a     b
    long  c
    """
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def cell(samples: Sequence[float]) -> str:
    """Median, smallest and largest.

    >>> cell([250.4, 9, 31])
    '31.0 (9.00-250)'
    """
    spread = Spread.of(samples)
    return f"{_number(spread.median)} ({_number(spread.low)}-{_number(spread.high)})"


def document(figures: Sequence[Figure], knobs: Knobs, details: dict[str, Any]) -> dict[str, Any]:
    """Everything that was measured."""
    resources = detect()
    return {
        "format": FORMAT,
        "version": __version__,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpus": resources.cpus,
            "memory_mib": resources.memory_mib,
            "kernel": platform.release(),
            "python": platform.python_version(),
            "root": os.geteuid() == 0,
            "load_before": details.pop("load_before"),
        },
        "knobs": {name: value for name, value in asdict(knobs).items() if name in _COUNTS},
        "figures": [figure.document() for figure in figures],
        **details,
    }


_COUNTS = ("boots rounds requests clients warmup redeploys wal backups gigabytes quick").split()


def write(folder: Path, content: dict[str, Any]) -> Path:
    """Write the document under the time of the run."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{content['at'].replace(':', '').replace('+0000', 'Z')}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def _line(figure: Figure) -> tuple[str, ...]:
    aim = f"{figure.aim} {'met' if figure.met else 'missed'}" if figure.aim else ""
    return (
        figure.name,
        figure.unit,
        cell(figure.ours),
        cell(figure.bare) if figure.bare else "",
        _ratio(figure.ratio) if figure.ratio else "",
        aim,
        figure.against,
    )


def _ratio(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
