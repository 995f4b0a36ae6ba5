"""Searching in sorted vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError
from jitml.numpy.choice import choose
from jitml.numpy.creation import full
from jitml.numpy.indexing import take
from jitml.numpy.operands import fail, kind, operand, promoted, settle
from jitml.numpy.repeating import flip
from jitml.ops import elementwise as ew
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = ["digitize", "searchsorted"]


def searchsorted(
    a: ArrayLike,
    v: ArrayLike,
    side: str = "left",
    sorter: ArrayLike | None = None,
    *,
    method: str = "scan",
) -> Array:
    """Where `v` would have to be put into the sorted vector `a` to keep it sorted.

    >>> import jitml.numpy as jnp
    >>> print(searchsorted(jnp.array([1, 2, 3]), 2))
    1
    """
    if side not in ("left", "right"):
        fail(ArgumentError, f"searchsorted: side {side!r} is not known", "it is 'left' or 'right'")
    x, wanted = promoted("searchsorted", a, v)
    if type_of(x).ndim != 1:
        fail(ArgumentError, f"searchsorted: `a` must have one dimension, got {type_of(x)}")
    if sorter is not None:
        x = operand(take(settle(x), sorter))
    return settle(_bisected(x, wanted, side == "left"))


def _bisected(x: Any, wanted: Any, left: bool) -> Any:
    """Binary search, all values at once: a step for each bit of the length."""
    length, shape = type_of(x).shape[0], type_of(wanted).shape
    dtype = dtypes.INT32 if length < np.iinfo(np.int32).max else dtypes.INT64
    low = operand(full(shape, 0, dtype))
    if not length:
        return low
    step = 1 << (length.bit_length() - 1)
    while step:
        tried = ew.add(low, step)
        inside = ew.le(tried, length)
        element = take(settle(x), settle(ew.sub(tried, 1)), mode="clip")
        passed = _comes_before(operand(element), wanted, left)
        low = ew.select(ew.and_(inside, passed), tried, low)
        step >>= 1
    return low


def _comes_before(x: Any, y: Any, strictly: bool) -> Any:
    """Whether x stands before y in sorted order, where NaN comes last."""
    if kind(x) == "c":
        fail(ArgumentError, "searchsorted: complex numbers are not supported")
    if kind(x) != "f":
        return (ew.lt if strictly else ew.le)(x, y)
    if strictly:
        return ew.or_(ew.lt(x, y), ew.and_(ew.ne(y, y), ew.eq(x, x)))
    return ew.or_(ew.le(x, y), ew.ne(y, y))


def digitize(
    x: ArrayLike, bins: ArrayLike, right: bool = False, *, method: str | None = None
) -> Array:
    """In which of the bins with these edges, ascending or descending, each value lies.

    >>> import jitml.numpy as jnp
    >>> print(digitize(jnp.array([0.5, 1.5]), jnp.array([0.0, 1.0])))
    [1 2]
    """
    edges = operand(bins, "digitize")
    if type_of(edges).ndim != 1:
        fail(ArgumentError, f"digitize: bins must have one dimension, got {type_of(edges)}")
    side, other = ("left", "right") if right else ("right", "left")
    count = type_of(edges).shape[0]
    ascending = searchsorted(edges, x, side)
    if count < 2:
        return ascending
    descending = count - searchsorted(flip(edges), x, other)
    rising = ew.le(take(settle(edges), 0), take(settle(edges), -1))
    return choose(settle(rising), ascending, descending)
