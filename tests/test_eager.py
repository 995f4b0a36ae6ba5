"""Operators on arrays at hand give what the functions behind them give: value, dtype, weakness."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.pipeline.compile import STATISTICS

OPERATORS = [
    (operator.add, jnp.add),
    (operator.sub, jnp.subtract),
    (operator.truediv, jnp.divide),
    (operator.ne, jnp.not_equal),
]
ARRAYS = [
    jnp.asarray(np.array([1, 2, 3], dtype))
    for dtype in ("bool", "uint8", "int64", "float16", "float32", "complex64")
] + [jnp.asarray(2), jnp.asarray(2.0), jnp.ones((2, 1), jnp.bfloat16)]
NUMBERS = [0, 3, -0.0, 0.0, 2.5, True, 1j, 300]


def outcome(function: Any, x: Any, y: Any) -> Any:
    try:
        result = function(x, y)
    except (TypeError, OverflowError) as error:
        return type(error)
    return (result.dtype, result.shape, result.weak_type, np.asarray(result).tobytes())


@pytest.mark.parametrize("wide", [False, True])
def test_the_short_cut_changes_nothing(wide: bool) -> None:
    with jitml.enable_x64(wide):
        for apply, function in OPERATORS:
            for x in ARRAYS:
                for y in (*NUMBERS, ARRAYS[2], ARRAYS[6], ARRAYS[7]):
                    assert outcome(apply, x, y) == outcome(function, x, y), (apply, x, y)


def test_another_number_needs_no_other_kernel() -> None:
    x = jnp.arange(5.0)
    x + 1.0, jnp.add(x, 1.0), jnp.power(x, 1.5)
    before = STATISTICS.kernels
    for number in range(20):
        x + (number + 0.25), number * x, jnp.add(x, number + 0.5), jnp.power(x, number + 0.125)
    assert STATISTICS.kernels - before <= 1  # that of the product
