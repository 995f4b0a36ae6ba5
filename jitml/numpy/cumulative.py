"""Running sums and products, and differences of neighbours."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError
from jitml.numpy.joining import concatenate, take_slice
from jitml.numpy.manipulation import broadcast_to, ndim
from jitml.numpy.operands import (
    as_axis,
    as_dtype,
    cast,
    fail,
    kind,
    no_out,
    operand,
    settle,
    strong,
)
from jitml.numpy.reductions import summed_dtype
from jitml.numpy.rows import alike
from jitml.ops import cumulative as cu
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = ["cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "diff"]


def _running(
    name: str,
    op: Callable[..., Any],
    a: ArrayLike,
    axis: int | None,
    dtype: DTypeLike | None,
    out: None = None,
) -> Any:
    no_out(name, out)
    x = operand(a, name)
    if dtype is not None:
        x = cast(x, as_dtype(dtype))
    elif kind(x) == "b":
        x = cast(x, DEFAULT_DTYPES.of(int))
    if kind(x) == "b":
        x = cast(x, dtypes.INT32)
    if axis is None or not type_of(x).ndim:
        axis = 0 if axis is None else axis
        x = mv.reshape(x, (type_of(x).size,))
    result = strong(op(x, as_axis(axis, type_of(x).ndim, name)))
    return result if dtype is None else cast(result, as_dtype(dtype))


def cumsum(
    a: ArrayLike, axis: int | None = None, dtype: DTypeLike | None = None, out: None = None
) -> Array:
    """The sums of all elements up to each one along an axis, of the raveled array without one.

    >>> import jitml.numpy as jnp
    >>> print(cumsum(jnp.array([1, 2, 3])))
    [1 3 6]
    """
    return settle(_running("cumsum", cu.cumsum, a, axis, dtype, out))


cumprod = alike(
    cumsum,
    lambda a, axis=None, dtype=None, out=None: settle(
        _running("cumprod", cu.cumprod, a, axis, dtype, out)
    ),
    "cumprod", "The products of all elements up to each one along an axis.",
    "cumprod(array([1, 2, 3]))", "[1 2 6]",
)  # fmt: skip


def _cumulative(
    name: str,
    op: Callable[..., Any],
    start: int,
    x: ArrayLike,
    axis: int | None,
    dtype: DTypeLike | None,
    include_initial: bool,
) -> Array:
    value = operand(x, name)
    rank = type_of(value).ndim
    if not rank or (axis is None and rank > 1):
        fail(ArgumentError, f"{name}: {type_of(value)} needs an axis", "pass axis=")
    where = as_axis(0 if axis is None else axis, rank, name)
    wanted = summed_dtype(type_of(value).dtype) if dtype is None else as_dtype(dtype)
    result = _running(name, op, cast(value, wanted), where, wanted)
    if include_initial:
        config = [(1, 0, 0) if k == where else (0, 0, 0) for k in range(rank)]
        result = mv.pad(result, cast(start, wanted), config)
    return settle(result)


def cumulative_sum(
    x: ArrayLike,
    /,
    *,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
    include_initial: bool = False,
) -> Array:
    """The running sum, after a 0 if asked.

    >>> import jitml.numpy as jnp
    >>> print(cumulative_sum(jnp.array([1, 2]), include_initial=True))
    [0 1 3]
    """
    return _cumulative("cumulative_sum", cu.cumsum, 0, x, axis, dtype, include_initial)


cumulative_prod = alike(
    cumulative_sum,
    lambda x, /, *, axis=None, dtype=None, include_initial=False: _cumulative(
        "cumulative_prod", cu.cumprod, 1, x, axis, dtype, include_initial
    ),
    "cumulative_prod", "The running product, after a 1 if asked.",
    "cumulative_prod(array([2, 3]), include_initial=True)", "[1 2 6]",
)  # fmt: skip


def diff(
    a: ArrayLike,
    n: int = 1,
    axis: int = -1,
    prepend: ArrayLike | None = None,
    append: ArrayLike | None = None,
) -> Array:
    """The n-th differences of neighbours along an axis.

    >>> import jitml.numpy as jnp
    >>> print(diff(jnp.array([1, 4, 9])))
    [3 5]
    """
    x = operand(a, "diff")
    where = as_axis(axis, type_of(x).ndim, "diff")
    if operator.index(n) < 0:
        fail(ArgumentError, f"diff: the order is negative: {n}")
    edge = (*type_of(x).shape[:where], 1, *type_of(x).shape[where + 1 :])
    parts = [
        part if ndim(part) else broadcast_to(part, edge)
        for part in (prepend, x, append)
        if part is not None
    ]
    x = operand(concatenate(parts, where)) if len(parts) > 1 else x
    for _ in range(n):
        length = type_of(x).shape[where]
        right, left = (
            take_slice(x, where, min(1, length), length),
            take_slice(x, where, 0, max(length - 1, 0)),
        )
        x = (ew.ne if kind(x) == "b" else ew.sub)(right, left)
    return settle(x)
