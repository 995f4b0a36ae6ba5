"""Columns folded by blocks have the CPU's bits, whatever their length, number, dtype and values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.codegen.nvptx.assembler import find_assembler
from jitml.transforms.inline_calls import inline_calls
from tests.gpu.agreement import agree

# Less than the tree has lanes, as many, with a rest; columns of one block and of several.
SHAPES = ((17, 16), (20, 36), (33, 128), (63, 20), (64, 132), (70, 33), (129, 64), (200, 260))
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: x.sum(0),
    "sum of a part": lambda x: x[3:].sum(0),
    "sum of columns that are not aligned": lambda x: x[:, 1:].sum(0),
    "sum of each of a batch": lambda x: jnp.stack([x, x + x, x]).sum(1),
    "greatest": lambda x: x.max(0),
    "position of the greatest": lambda x: x.argmax(0),
    "products": lambda x: x * x.sum(0, keepdims=True).astype(x.dtype),
    "dear elements": lambda x: jnp.tanh(x.astype("float32") * 0.1).sum(0),
    "softmax": lambda x: jitml.nn.softmax(x, axis=0),
    "two folds": lambda x: (x - x.max(0, keepdims=True)).sum(0),
    "two results": lambda x: x.max(0) + x.min(0),
}
DTYPES = ("float32", "float64", "float16", "bfloat16", "int8", "int32", "int64", "bool")


def sample(shape: tuple[int, int], dtype: str) -> Any:
    """Numbers, columns of zeros of both signs, and of few that are greater than others."""
    random = np.random.default_rng(shape[0])
    x = random.standard_normal(shape) * 9
    x[:, 1] = np.copysign(0.0, x[:, 1])
    x[:, 2:4] = np.where(np.abs(x[:, 2:4]) < 2, np.copysign(0.0, x[:, 2:4]), -5.0)
    return x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_columns_have_the_bits_of_the_cpu(name: str, dtype: str, emulated: Any) -> None:
    is_whole = dtype.startswith(("int", "bool"))
    if (name == "softmax" and is_whole) or (dtype == "bool" and name == "two folds"):
        pytest.skip("has no meaning")
    for shape in SHAPES:
        x = sample(shape, dtype)
        agree(inline_calls(jitml.make_graph(FUNCTIONS[name])(jnp.asarray(x))), [x])


def test_the_last_of_the_blocks_of_a_long_reduction_is_shorter(measured: Any) -> None:
    x = sample((9000, 20), "float32")
    agree(inline_calls(jitml.make_graph(lambda x: x.sum(0))(jnp.asarray(x))), [x])
    assert measured.launches[0].counts.widest_access == 16


def test_the_first_failed_check_of_a_column_is_told(emulated: Any) -> None:
    x, divisors = np.full((40, 20), 7, np.int32), np.ones((40, 20), np.int32)
    divisors[[30, 7], [19, 3]] = 0
    with pytest.raises(ZeroDivisionError):
        np.asarray(jitml.jit(lambda x, y: (x // y).sum(0))(x, divisors))
    for k in (7, 30):
        divisors[k] = 1
    agree(jitml.make_graph(lambda x, y: (x // y).sum(0))(x, divisors), [x, divisors])


@pytest.mark.parametrize("name", ["lgamma", "tanh", "digamma"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dear_elements_are_not_spilled(name: str, dtype: str) -> None:
    if find_assembler() is None:
        pytest.skip("there is no ptxas")
    function = getattr(lax, name)
    shape = jitml.ShapeDtypeStruct((300, 512), dtype)
    for target in ("sm_80", "sm_120"):
        (kernel,) = jitml.aot(lambda x: function(x).sum(0), shape, target=target).kernels
        assert kernel.resources and kernel.resources.spilled_bytes == 0
