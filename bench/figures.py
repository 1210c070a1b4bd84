"""Figures: samples of ours and of the bare parts in pairs, and what they come to. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Spread:
    """A median with the smallest and the largest sample."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Spread":
        """Sum samples up.

        >>> Spread.of([3, 1, 2])
        Spread(median=2, low=1, high=3)
        """
        return cls(median(samples), min(samples), max(samples))


@dataclass(frozen=True)
class Aim:
    """A bound for the ratio, or for the figure itself where there is no ratio."""

    sign: str
    bound: float

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:g}"

    def met_by(self, value: float) -> bool:
        """Whether a median keeps to it."""
        return value <= self.bound if self.sign == "<=" else value >= self.bound


@dataclass(frozen=True)
class Figure:
    """One line of the table. Sample n of ours and sample n of the bare parts are a pair."""

    name: str
    unit: str
    ours: tuple[float, ...]
    bare: tuple[float, ...] = ()
    against: str = ""
    aim: Aim | None = None

    @property
    def ratio(self) -> Spread | None:
        """Ours divided by bare, pair by pair: what slows the machine down hits both of a pair.

        None if there is nothing to divide by.
        """
        if not (self.bare and all(self.bare)):
            return None
        return Spread.of([a / b for a, b in zip(self.ours, self.bare, strict=True)])

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without one."""
        value = self.ratio or Spread.of(self.ours)
        return self.aim.met_by(value.median) if self.aim else None

    def document(self) -> dict[str, Any]:
        """It as JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "against": self.against or None,
            "ours": _document(self.ours),
            "bare": _document(self.bare) if self.bare else None,
            "ratio": vars(self.ratio) if self.ratio else None,
            "aim": str(self.aim) if self.aim else None,
            "met": self.met,
        }


def _document(samples: tuple[float, ...]) -> dict[str, Any]:
    return {**vars(Spread.of(samples)), "samples": list(samples)}
