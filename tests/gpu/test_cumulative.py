"""Cumulative folds have the CPU's bits, wherever their lines begin, whatever is read together."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.transforms.inline_calls import inline_calls
from tests.gpu.agreement import agree

# Lines in tiles of 32, few long ones, one; and lines side by side: by vectors, and one by one.
SHAPES = (
    ((40, 70), 1), ((33, 32), 1), ((9, 257), 1), ((70, 9), 1), ((3, 1100), 1), ((2, 2049), 1),
    ((1031,), 0), ((40, 16), 0), ((7, 36), 0), ((5, 33), 0), ((2, 20, 24), 1), ((40, 3), 1),
)  # fmt: skip
FUNCTIONS = {"sum": lax.cumsum, "greatest": lax.cummax, "product": lax.cumprod}
DTYPES = ("float32", "float64", "bfloat16", "int8", "int32", "complex64", "complex128")


def sample(shape: tuple[int, ...], dtype: str) -> Any:
    random = np.random.default_rng(shape[0])
    x = random.standard_normal(shape) * (9 + 2j if dtype.startswith("complex") else 3)
    return x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_lines_have_the_bits_of_the_cpu(
    name: str, reverse: bool, dtype: str, emulated: Any
) -> None:
    if name == "greatest" and dtype.startswith("complex"):
        pytest.skip("complex numbers have no order")
    for shape, axis in SHAPES:
        x = sample(shape, dtype)

        def fold(x: Any, axis: int = axis) -> Any:
            return FUNCTIONS[name](x, axis, reverse)

        agree(jitml.make_graph(fold)(jnp.asarray(x)), [x])


def test_lines_of_slices_that_move(emulated: Any) -> None:
    """Slices of odd sizes begin anywhere: they are read one by one."""
    rows = sample((5, 3, 35), "float32")

    def function(rows: Any) -> Any:
        return lax.scan(lambda c, row: (c, jnp.cumsum(row, 1) + jnp.cumsum(row, 0)), 0, rows)[1]

    agree(inline_calls(jitml.make_graph(function)(jnp.asarray(rows))), [rows])
