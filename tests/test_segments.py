"""Folds of segments against loops over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import ArgumentError, ConcretizationTypeError, DTypeError, OutOfBoundsError

X = np.array([[3.0, 1.0], [0.5, 2.0], [4.0, -1.0], [2.0, 2.0]])
NUMBERS = np.array([2, 0, 2, 0])
FOLDS = [
    ("sum", np.sum, 0.0),
    ("prod", np.prod, 1.0),
    ("max", np.max, -np.inf),
    ("min", np.min, np.inf),
]


@pytest.mark.parametrize(("name", "fold", "start"), FOLDS)
@pytest.mark.parametrize("count", [None, 4])
def test_folds(name: str, fold: Any, start: float, count: int | None) -> None:
    function = getattr(jitml.ops, f"segment_{name}")
    expected = np.full((count or 3, 2), start)
    for k in set(NUMBERS):
        expected[k] = fold(X[k == NUMBERS], axis=0)
    np.testing.assert_array_equal(function(X, NUMBERS, count), expected)
    if count:
        jitted = jitml.jit(lambda x, n: function(x, n, count))
        np.testing.assert_array_equal(jitted(X, NUMBERS), expected)
    if count and name != "prod":
        slopes = jitml.grad(lambda x: jnp.sum(jnp.sin(function(x, NUMBERS, count)[::2])))(X)
        assert np.all(np.isfinite(slopes)) and np.any(slopes != 0)


def test_numbers_out_of_range_are_left_out() -> None:
    ids = jnp.array([-1, 0, 5])
    assert jitml.ops.segment_sum(jnp.array([1, 2, 4]), ids, 2).tolist() == [2, 0]
    with pytest.raises(OutOfBoundsError):
        jitml.ops.segment_sum(jnp.array([1, 2, 4]), ids, 2, mode="raise")


def test_integers_and_empty_data() -> None:
    found = jitml.ops.segment_max(jnp.array([3, 7], "int8"), jnp.array([0, 0]), 2)
    assert found.tolist() == [7, -128] and found.dtype == jnp.int8
    assert jitml.ops.segment_sum(jnp.zeros(0), jnp.zeros(0, int)).shape == (0,)


def test_mistakes_are_told() -> None:
    x = jnp.ones(3)
    with pytest.raises(DTypeError, match="segment_sum: numbers of segments are integers"):
        jitml.ops.segment_sum(x, x)
    with pytest.raises(ArgumentError, match=r"segment_min: segment_ids of shape \(2,\) for data"):
        jitml.ops.segment_min(x, jnp.array([0, 1]))
    with pytest.raises(ConcretizationTypeError, match="pass num_segments= to segment_prod"):
        jitml.jit(jitml.ops.segment_prod)(x, jnp.array([0, 1, 1]))
    with pytest.raises(AttributeError, match="no attribute 'segment_mean'"):
        _ = jitml.ops.segment_mean
