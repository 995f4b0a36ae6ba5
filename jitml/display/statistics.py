"""What the numbers of an array are like: range, mean, how many are not finite, a histogram.

In: NumPy arrays. Out: `Statistics`. Arrays of more than four million elements are judged by every
k-th of them, and the result says so.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

MOST = 1 << 22  # elements looked at
_BINS = 40
_MOST_IN_BINS = 1 << 18

Numbers = np.ndarray[Any, Any]


class Statistics(NamedTuple):
    """`low`, `mean` and `high` are of the finite elements (of magnitudes where these are complex),
    None if there are none; `every` is the stride of the elements looked at.
    """

    low: float | int | None
    mean: float | None
    high: float | int | None
    nans: int
    infinities: int
    zeros: int
    counts: tuple[int, ...]
    every: int

    @property
    def is_finite(self) -> bool:
        return not (self.nans or self.infinities)


def statistics_of(values: Numbers) -> Statistics:
    """The statistics of any array of numbers or booleans."""
    every = max(1, math.ceil(values.size / MOST))
    seen = plain(values.reshape(-1)[::every])
    if seen.dtype.kind == "f":
        finite = seen[np.isfinite(seen)]
        nans = int(np.isnan(seen).sum())
    else:
        finite, nans = seen, 0
    infinities = seen.size - finite.size - nans
    zeros = int(seen.size - np.count_nonzero(seen))
    if not finite.size:
        return Statistics(None, None, None, nans, infinities, zeros, (), every)
    low, high = finite.min().item(), finite.max().item()
    mean = _mean(finite.astype(np.float64))
    counts = _histogram(finite, low, high)
    return Statistics(low, mean, high, nans, infinities, zeros, counts, every)


def plain(values: Numbers) -> Numbers:
    """The values in a dtype that NumPy calculates well in: magnitudes of complex numbers, float32
    and float64 as they are, what is narrower as float32, booleans as 0 and 1.
    """
    if values.dtype.kind == "c":
        return np.abs(values)
    if values.dtype.kind == "b":
        return values.view(np.uint8)
    if values.dtype.kind in "iu" or values.dtype in (np.float32, np.float64):
        return values
    return values.astype(np.float32)


def _mean(finite: Numbers) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(finite.mean())
    return mean if math.isfinite(mean) else float((finite / finite.size).sum())


def _histogram(finite: Numbers, low: float, high: float) -> tuple[int, ...]:
    few = finite[:: max(1, math.ceil(finite.size / _MOST_IN_BINS))]
    if low == high:
        return ()
    bins = _BINS
    if finite.dtype.kind in "iu":
        bins = min(_BINS, int(high) - int(low) + 1)
    # Halves, so that the distance between the largest and the smallest numbers is finite.
    half = few.astype(np.float64) / 2
    position = (half - low / 2) / (high / 2 - low / 2) * bins
    found = np.clip(position.astype(np.int64), 0, bins - 1)
    return tuple(np.bincount(found, minlength=bins).tolist())
