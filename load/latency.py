"""Percentiles of what clients waited."""

from collections.abc import Sequence
from math import ceil


def percentile(samples: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of samples that are in order.

    >>> percentile(range(1, 101), 0.99)
    99
    """
    return samples[max(0, ceil(len(samples) * share) - 1)]
