"""Matrices of a pattern: identity, triangles."""

from __future__ import annotations

import operator
from typing import Any

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError
from jitml.numpy.operands import (
    as_dtype,
    as_shape,
    cast,
    expand_to,
    fail,
    operand,
    settle,
)
from jitml.ops import elementwise as ew
from jitml.ops.kinds import full_of
from jitml.ops.movement import iota
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike, DTypeLike

# ---- matrices -------------------------------------------------------------------------------


def eye(
    N: int,
    M: int | None = None,
    k: int = 0,
    dtype: DTypeLike | None = None,
    *,
    device: object = None,
) -> Array:
    """A matrix with ones on its k-th diagonal.

    >>> print(eye(2))
    [[1. 0.]
     [0. 1.]]
    """
    return settle(_cast_truth(_compare_axes(ew.eq, N, N if M is None else M, k), dtype))


def identity(n: int, dtype: DTypeLike | None = None) -> Array:
    """The identity matrix.

    >>> print(identity(2, int))
    [[1 0]
     [0 1]]
    """
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: DTypeLike | None = None) -> Array:
    """A matrix with ones on and below its k-th diagonal.

    >>> print(tri(2))
    [[1. 0.]
     [1. 1.]]
    """
    wanted = dtypes.FLOAT32 if dtype is None else dtype
    return settle(_cast_truth(_compare_axes(ew.ge, N, N if M is None else M, k), wanted))


def _compare_axes(compare: Any, rows: int, columns: int, k: int) -> Any:
    """Where `row + k` compares with `column`."""
    shape = as_shape((rows, columns), "eye")
    row = iota(dtypes.INT32, shape, 0)
    row = ew.add(row, operator.index(k)) if k else row
    return compare(row, iota(dtypes.INT32, shape, 1))


def _cast_truth(truths: Any, dtype: DTypeLike | None) -> Any:
    return cast(truths, DEFAULT_DTYPES.of(float) if dtype is None else as_dtype(dtype))


def _triangle(name: str, m: ArrayLike, k: int, keep_lower: bool) -> Array:
    x = operand(m, name)
    shape = type_of(x).shape
    if len(shape) < 2:
        fail(ArgumentError, f"{name}: needs at least 2 dimensions, got {type_of(x)}")
    lower = _compare_axes(ew.ge, shape[-2], shape[-1], k if keep_lower else k - 1)
    zero = full_of(type_of(x), 0)
    lower = expand_to(lower, shape)
    return settle(ew.select(lower, x, zero) if keep_lower else ew.select(lower, zero, x))


def tril(m: ArrayLike, k: int = 0) -> Array:
    """`m` with zeros above its k-th diagonal.

    >>> print(tril(ones((2, 2))))
    [[1. 0.]
     [1. 1.]]
    """
    return _triangle("tril", m, k, True)


def triu(m: ArrayLike, k: int = 0) -> Array:
    """`m` with zeros below its k-th diagonal.

    >>> print(triu(ones((2, 2))))
    [[1. 1.]
     [0. 1.]]
    """
    return _triangle("triu", m, k, False)
