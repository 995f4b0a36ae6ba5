"""Elements read at positions that are numbers of an array: 32-bit ones are not widened."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import jitml

X = np.random.default_rng(1).standard_normal((70, 6), np.float32)


def texts(function: Any, *args: Any) -> str:
    program = jitml.jit(function).lower(*args).compile()._program.program
    return "".join(kernel.text for kernel in program.kernels)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "uint8"])
def test_positions_of_every_width(dtype: str) -> None:
    where = np.random.default_rng(2).integers(0, 60, 333).astype(dtype)
    flat = X.ravel()
    for function in (lambda x, i: x[i], lambda x, i: x[7:][i] + 1, lambda x, i: x[::-1][i]):
        np.testing.assert_array_equal(jitml.jit(function)(flat, where), function(flat, where))
    np.testing.assert_array_equal(
        jitml.jit(lambda x, i: x[i, i % 6])(X, where), X[where, where % 6]
    )
    text = texts(lambda x, i: x.at[i].get(mode="promise_in_bounds"), flat, where)
    offsets = re.findall(r"getelementptr i32, ptr %b\d+, <\d+ x (\w+)>", text)
    assert set(offsets) == {"i32" if dtype in ("int32", "uint8") else "i64"}


def test_positions_without_sign_stay_so() -> None:
    where = np.random.default_rng(6).integers(128, 256, 333).astype(np.uint8)
    numbers = jitml.lax.GatherDimensionNumbers((), (0,), (0,))

    def get(x: Any, i: Any) -> Any:
        return jitml.lax.gather(x, i[:, None], numbers, (1,), mode="promise_in_bounds")

    np.testing.assert_array_equal(jitml.jit(get)(X.ravel(), where), X.ravel()[where])


def test_positions_beside_others() -> None:
    """Of one of two axes, along which lanes go on; of both, in another order than in memory."""
    random = np.random.default_rng(4)
    column, row = (random.integers(0, n, 333).astype(np.int32) for n in (6, 70))
    x = np.random.default_rng(5).standard_normal((333, 6), np.float32)
    rows = np.arange(333)

    def get(x: Any, *where: Any) -> Any:
        return x.at[where].get(mode="promise_in_bounds")

    found = jitml.jit(lambda x, i: get(x, jitml.numpy.arange(333), i))(x, column)
    np.testing.assert_array_equal(found, x[rows, column])
    along = jitml.jit(lambda x, i: jitml.numpy.take_along_axis(x, i[:, None], 1))(x, column)
    np.testing.assert_array_equal(along[:, 0], x[rows, column])
    np.testing.assert_array_equal(
        jitml.jit(lambda x, i, j: get(x.T, i, j))(X, column, row), X.T[column, row]
    )


def test_positions_from_the_end_and_outside() -> None:
    where = np.random.default_rng(3).integers(-90, 90, 333).astype(np.int32)
    x = X[:, 0].copy()
    found = jitml.jit(lambda x, i: x.at[i].get(mode="fill", fill_value=-1))(x, where)
    inside = (where >= -70) & (where < 70)
    np.testing.assert_array_equal(found, np.where(inside, x[np.where(inside, where, 0)], -1))
    with pytest.raises(IndexError, match="size 70"):
        jitml.jit(lambda x, i: x[i])(x, where)
