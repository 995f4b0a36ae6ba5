"""Rows folded by warps have the CPU's bits, whatever their length, dtype, alignment and values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.transforms.inline_calls import inline_calls
from tests.gpu.agreement import agree

# Less than a turn of a warp, one of each width, several, and with a rest.
LENGTHS = (33, 34, 36, 64, 100, 128, 131, 260, 300, 514, 1040)
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: x.sum(1),
    "sum of all": lambda x: x.sum(),
    "sum of a part": lambda x: x[:, 4:-4].sum(1),
    "sum of a part that is not aligned": lambda x: x[:, 1:].sum(1),
    "greatest": lambda x: x.max(1),
    "position of the greatest": lambda x: x.argmax(1),
    "products": lambda x: x * x[:1] * x.sum(1, keepdims=True).astype(x.dtype),
    "softmax": jitml.nn.softmax,
    "two folds": lambda x: (x - x.max(1, keepdims=True)).sum(1),
    "rows that begin apart": lambda x: (x[:, 1:] * x[:, :-1]).sum(1),
    "all but the first": lambda x: x[1:].sum(1),
}
DTYPES = ("float32", "float64", "float16", "bfloat16", "int8", "int32", "int64")


def sample(length: int, dtype: str) -> Any:
    """Rows of numbers, of zeros of both signs, and of few numbers that are greater than others."""
    random = np.random.default_rng(length)
    rows = random.standard_normal((5, length)) * 9
    rows[1] = np.copysign(0.0, rows[1])
    rows[2:4] = np.where(np.abs(rows[2:4]) < 2, np.copysign(0.0, rows[2:4]), -5.0)
    rows[3, 1::2] = -5.0
    return rows.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_rows_have_the_bits_of_the_cpu(name: str, dtype: str, emulated: Any) -> None:
    if name == "softmax" and dtype.startswith("int"):
        pytest.skip("has no meaning")
    for length in LENGTHS:
        x = sample(length, dtype)
        agree(inline_calls(jitml.make_graph(FUNCTIONS[name])(jnp.asarray(x))), [x])


def test_the_greatest_of_zeros_has_the_sign_that_the_tree_gives(emulated: Any) -> None:
    for length in LENGTHS:
        x = sample(length, "float32")
        agree(inline_calls(jitml.make_graph(lambda x: x.max(1))(jnp.asarray(x))), [x])


def test_folds_of_one_row_do_not_race(emulated: Any) -> None:
    for length in (100, 300):  # an odd number of turns
        x = sample(length, "float32")
        agree(inline_calls(jitml.make_graph(jitml.nn.softmax)(jnp.asarray(x))), [x])


def test_a_fold_by_each_thread_beside_one_by_warps(emulated: Any) -> None:
    """A product of complex numbers is no warp's: it does not write what others read."""

    def phase_and_size(x: Any) -> Any:
        size = jnp.abs(x)
        return jnp.prod(x / size, -1) * jnp.log(size).sum(-1)

    x = sample(34, "float32") + 1j
    agree(inline_calls(jitml.make_graph(phase_and_size)(jnp.asarray(x))), [x])


@pytest.mark.parametrize("length", [12289, 12290, 13001])
def test_the_last_of_the_blocks_of_a_long_odd_row_is_shorter(length: int, emulated: Any) -> None:
    x = sample(length, "float32")
    agree(inline_calls(jitml.make_graph(lambda x: x.sum(1))(jnp.asarray(x))), [x])
    agree(inline_calls(jitml.make_graph(lambda x: x.argmax(1))(jnp.asarray(x))), [x])
