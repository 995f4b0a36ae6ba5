"""Loops of scalar code: each lane takes its own number of steps, and NaN none."""

from __future__ import annotations

import numpy as np
import pytest

from jitml.scalar.arithmetic import repeat
from jitml.scalar.value import Value
from tests.scalar.kernels import Kernel


def _is_below(k: Value, total: Value, limit: Value) -> Value:
    return k < limit


def _next(k: Value, total: Value, limit: Value) -> list[Value]:
    return [k + 1.0, total + k * limit]


def sums(limit: Value) -> list[Value]:
    """How many steps there were, and limit·(0 + 1 + …)."""
    return repeat(_is_below, _next, [limit * 0.0, limit.like(0.0)], (limit,))


@pytest.mark.parametrize("lanes", [1, 8])
def test_each_lane_takes_its_own_steps(lanes: int) -> None:
    limits = np.array([3, 0, 17, -2, 1, 250, 5, 4, 9, 2], np.float64)
    steps, totals = Kernel(sums, ["f64"], ["f64", "f64"], lanes)(limits)
    counts = np.maximum(limits, 0)
    np.testing.assert_array_equal(steps, counts)
    np.testing.assert_array_equal(totals, limits * counts * (counts - 1) / 2)


def test_nan_ends_a_loop() -> None:
    steps, totals = Kernel(sums, ["f64"], ["f64", "f64"], 4)(np.array([np.nan, 2, np.nan, 1]))
    np.testing.assert_array_equal(steps, [np.nan, 2, np.nan, 1])
    np.testing.assert_array_equal(totals, [0, 2, 0, 0])
