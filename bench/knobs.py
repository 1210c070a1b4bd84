"""How much is measured: BENCH_* in the environment, with defaults for a run of some minutes."""

import os
import re
import tempfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Knobs:
    """A field's name in upper case behind BENCH_ is its variable."""

    boots: int = 8
    rounds: int = 10
    requests: int = 2500
    clients: int = 8
    warmup: int = 400
    redeploys: int = 5
    wal: int = 500
    backups: int = 3
    gigabytes: float = 1.0
    image: str = "appliance:latest"
    dir: Path = Path(tempfile.gettempdir())
    results: Path = Path(__file__).parent / "results"
    only: str = ""
    against: Path = Path()
    quick: bool = False

    def wants(self, part: str) -> bool:
        """Whether a part is measured: one of boots, load, redeploys, backups, image."""
        return self.only in ("", part)


_PARTS_AGAINST = ("boots", "load", "redeploys")
_PARTS = (*_PARTS_AGAINST, "backups", "image")
_QUICK: dict[str, Any] = {
    "boots": 1,
    "rounds": 1,
    "requests": 160,
    "warmup": 48,
    "redeploys": 1,
    "wal": 16,
    "backups": 1,
    "gigabytes": 0.02,
}


def read() -> Knobs:
    """Read them; BENCH_QUICK=1 makes everything small, what else is set still counts."""
    quick = os.environ.get("BENCH_QUICK", "") not in ("", "0")
    knobs = replace(Knobs(quick=quick), **(_QUICK if quick else {}))
    given: dict[str, Any] = {}
    for field in fields(Knobs):
        text = os.environ.get(f"BENCH_{field.name.upper()}", "")
        if text and field.name != "quick":
            given[field.name] = _parse(field.name, text)
    return _possible(replace(knobs, **given))


def _possible(knobs: Knobs) -> Knobs:
    if knobs.against != Path() and knobs.only not in ("", *_PARTS_AGAINST):
        parts = ", ".join(_PARTS_AGAINST)
        raise SystemExit(f"BENCH_ONLY={knobs.only} with BENCH_AGAINST must be one of {parts}.")
    return knobs


def _parse(name: str, text: str) -> str | int | float | Path:
    if name == "only" and text not in _PARTS:
        raise SystemExit(f"BENCH_ONLY={text} must be one of {', '.join(_PARTS)}.")
    if name in ("image", "only"):
        return text
    if name in ("dir", "results"):
        return Path(text).absolute()
    if name == "against":
        return _checkout(Path(text).absolute())
    if name == "gigabytes":
        return _size(text)
    if not text.isdigit() or int(text) < 1:
        raise SystemExit(f"BENCH_{name.upper()}={text} must be a whole number from 1.")
    return int(text)


def _checkout(path: Path) -> Path:
    if not (path / ".venv/bin/appliance").exists():
        raise SystemExit(f"BENCH_AGAINST={path} must be a checkout where `make up` has been run.")
    return path


def _size(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) == 0:
        raise SystemExit(f"BENCH_GIGABYTES={text} must be a number above 0.")
    return float(text)
