"""Matrices of a pattern (identity, triangles), and diagonals."""

from __future__ import annotations

import operator
from typing import Any

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy.exchange import on_device
from jitml.numpy.joining import take_slice
from jitml.numpy.manipulation import ravel
from jitml.numpy.operands import (
    as_axes,
    as_dtype,
    as_shape,
    cast,
    expand_to,
    fail,
    no_out,
    operand,
    settle,
)
from jitml.numpy.reductions import sum
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.ops.kinds import full_of
from jitml.ops.movement import iota
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = ["diag", "diagflat", "diagonal", "eye", "identity", "trace", "tri", "tril", "triu"]


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
    return on_device(
        settle(_cast_truth(_compare_axes(ew.eq, N, N if M is None else M, k), dtype)), device
    )


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
    offset = max(min(operator.index(k), shape[1]), -shape[0])  # beyond it lies nothing
    row = ew.add(row, offset) if offset else row
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


# ---- diagonals ------------------------------------------------------------------------------


def diagonal(a: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The elements of a diagonal, as the last axis.

    >>> print(diagonal(reshape(stack([1, 2, 3, 4]), (2, 2))))
    [1 4]
    """
    x = operand(a, "diagonal")
    rank = type_of(x).ndim
    if rank < 2:
        fail(ShapeError, f"diagonal: needs at least 2 dimensions, got {type_of(x)}")
    pair = as_axes((axis1, axis2), rank, "diagonal")
    order = [k for k in range(rank) if k not in pair] + list(pair)
    x = mv.transpose(x, order)
    *outer, rows, columns = type_of(x).shape
    k = operator.index(offset)
    count = max(0, min(rows, columns - k) if k >= 0 else min(rows + k, columns))
    if not count:
        return settle(take_slice(mv.reshape(x, (*outer, rows * columns)), len(outer), 0, 0))
    # Element i of the diagonal lies columns + 1 further than element i − 1 in row-major order.
    first = k if k >= 0 else -k * columns
    flat = mv.reshape(x, (*outer, rows * columns))
    last = first + (count - 1) * (columns + 1) + 1
    return settle(take_slice(flat, len(outer), first, last, columns + 1))


def diag(v: ArrayLike, k: int = 0) -> Array:
    """A vector as the diagonal of a matrix, or the diagonal of a matrix.

    >>> print(diag(stack([1, 2])))
    [[1 0]
     [0 2]]
    """
    x = operand(v, "diag")
    if type_of(x).ndim == 2:
        return diagonal(settle(x), k)
    if type_of(x).ndim != 1:
        fail(ShapeError, f"diag: needs 1 or 2 dimensions, got {type_of(x)}")
    n, gap = type_of(x).shape[0], abs(operator.index(k))
    size = n + gap
    zero = full_of(type_of(x).with_shape(()), 0)
    row = expand_to(mv.pad(x, zero, [(max(k, 0), max(-k, 0), 0)]), (size, size))
    on = ew.eq(
        ew.add(mv.iota(dtypes.INT32, (size, size), 0), k), mv.iota(dtypes.INT32, (size, size), 1)
    )
    return settle(ew.select(on, row, zero))


def diagflat(v: ArrayLike, k: int = 0) -> Array:
    """All elements as the diagonal of a matrix.

    >>> diagflat(broadcast_to(1, (2, 2))).shape
    (4, 4)
    """
    return diag(ravel(v), k)


def trace(
    a: ArrayLike,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: DTypeLike | None = None,
    out: None = None,
) -> Array:
    """The sum of a diagonal.

    >>> print(trace(reshape(stack([1, 2, 3, 4]), (2, 2))))
    5
    """
    no_out("trace", out)
    return sum(diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)
