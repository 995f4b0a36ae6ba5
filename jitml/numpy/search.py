"""Sorting and searching.

Results whose size depends on the data (nonzero, unique, …) need data at hand, or `size=` to
make the size static.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, ConcretizationTypeError, TracerError
from jitml.numpy.creation import asarray, full
from jitml.numpy.elementwise import kind
from jitml.numpy.indexing import take
from jitml.numpy.logic import truth, where
from jitml.numpy.manipulation import ravel
from jitml.numpy.operands import as_axis, cast, fail, inexact, operand, promoted, settle, strong
from jitml.numpy.reductions import cumsum
from jitml.numpy.reductions import sum as _sum
from jitml.numpy.repeating import flip
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.ops.sort import sort as _sort
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike


def _line(name: str, a: ArrayLike, axis: int | None) -> tuple[Any, int]:
    """The operand and the axis to go along: the raveled operand without one."""
    x = operand(a, name)
    if axis is None:
        return operand(ravel(settle(x))), 0
    return x, as_axis(axis, type_of(x).ndim, name)


def sort(
    a: ArrayLike,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
) -> Array:
    """The elements in ascending (or descending) order along an axis; NaN comes last.

    >>> import jitml.numpy as jnp
    >>> print(sort(jnp.array([3, 1, 2])))
    [1 2 3]
    """
    x, where_ = _line("sort", a, axis)
    (ordered,) = _sort([x], where_, bool(stable))
    return settle(mv.reverse(ordered, (where_,)) if descending else ordered)


def argsort(
    a: ArrayLike,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
) -> Array:
    """Where each element of the sorted array stands in `a`; equal elements keep their order.

    >>> import jitml.numpy as jnp
    >>> print(argsort(jnp.array([3, 1, 2])))
    [1 2 0]
    """
    x, where_ = _line("argsort", a, axis)
    place = mv.iota(DEFAULT_DTYPES.of(int), type_of(x).shape, where_)
    if not descending:
        return settle(_sort([x, place], where_, bool(stable), 1)[1])
    # Sorted from the end and turned round, so that equal elements keep their order.
    turned = _sort([mv.reverse(v, (where_,)) for v in (x, place)], where_, True, 1)[1]
    return settle(mv.reverse(turned, (where_,)))


def sort_complex(a: ArrayLike) -> Array:
    """The elements as complex numbers, by real part and then imaginary part.

    >>> import jitml.numpy as jnp
    >>> print(sort_complex(jnp.array([2.0, 1.0])))
    [1.+0.j 2.+0.j]
    """
    x = strong(operand(sort(a)))
    return settle(cast(x, dtypes.complex_dtype(inexact(type_of(x).dtype))))


def lexsort(keys: Any, axis: int = -1) -> Array:
    """The order by several keys, of which the last counts first.

    >>> import jitml.numpy as jnp
    >>> print(lexsort((jnp.array([1, 0, 1]), jnp.array([0, 1, 0]))))
    [0 2 1]
    """
    columns = [operand(k, "lexsort") for k in keys]
    if not columns:
        fail(ArgumentError, "lexsort: needs at least one key")
    shape = type_of(columns[0]).shape
    where_ = as_axis(axis, len(shape), "lexsort") if shape else 0
    if not shape:
        return settle(operand(0))
    place = mv.iota(DEFAULT_DTYPES.of(int), shape, where_)
    return settle(_sort([*reversed(columns), place], where_, True, len(columns))[-1])


def partition(a: ArrayLike, kth: int, axis: int = -1) -> Array:
    """The `kth` element in its sorted place, smaller ones before it, greater ones behind.

    >>> import jitml.numpy as jnp
    >>> print(partition(jnp.array([3, 1, 2]), 1))
    [1 2 3]
    """
    _check_kth("partition", a, kth, axis)
    return sort(a, axis)


def argpartition(a: ArrayLike, kth: int, axis: int = -1) -> Array:
    """Where the elements of the partitioned array stand in `a`.

    >>> import jitml.numpy as jnp
    >>> print(argpartition(jnp.array([3, 1, 2]), 1))
    [1 2 0]
    """
    _check_kth("argpartition", a, kth, axis)
    return settle(cast(operand(argsort(a, axis)), dtypes.INT32))


def _check_kth(name: str, a: ArrayLike, kth: int, axis: int) -> None:
    x, where_ = _line(name, a, axis)
    as_axis(kth, type_of(x).shape[where_], f"{name}: kth as an index")


# ---- searching ------------------------------------------------------------------------------


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


def digitize(x: ArrayLike, bins: ArrayLike, right: bool = False, *, method: str = "scan") -> Array:
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
    return where(settle(rising), ascending, descending)


# ---- where elements are ---------------------------------------------------------------------


def values_at_hand(name: str, x: Any) -> np.ndarray[Any, Any]:
    """The values of an operand, which its result's size depends on."""
    try:
        return np.asarray(settle(x))
    except TracerError:
        fail(
            ConcretizationTypeError,
            f"{name}: the size of the result depends on {type_of(x)}, whose values are not known "
            "while tracing",
            f"pass size= to {name}",
        )


def nonzero(a: ArrayLike, *, size: int | None = None, fill_value: Any = None) -> tuple[Array, ...]:
    """The positions of the elements that are not 0, an array for each axis.

    With `size` there are so many, the first ones, filled up with `fill_value` (0 by default).

    >>> import jitml.numpy as jnp
    >>> print(nonzero(jnp.array([0, 5, 0, 7]))[0])
    [1 3]
    """
    x = operand(a, "nonzero")
    if not type_of(x).ndim:
        fail(ArgumentError, "nonzero: a 0-d array has no positions", "use atleast_1d")
    dtype = DEFAULT_DTYPES.of(int)
    if size is None:
        return tuple(asarray(p.astype(dtype)) for p in np.nonzero(values_at_hand("nonzero", x)))
    return _first_nonzero(x, operator.index(size), fill_value)


def _first_nonzero(x: Any, size: int, fill_value: Any) -> tuple[Array, ...]:
    shape = type_of(x).shape
    flags = ravel(settle(truth(x)))
    dtype = DEFAULT_DTYPES.of(int)
    ends = cumsum(flags, dtype=dtype)
    number = settle(mv.iota(dtype, (size,), 0))
    flat = searchsorted(ends, number, side="right")
    count = _sum(flags, dtype=dtype)
    there = settle(ew.lt(number, count))
    fillers = fill_value if isinstance(fill_value, tuple) else (fill_value,) * len(shape)
    positions = unravel_index(flat, shape)
    return tuple(
        where(there, p, 0 if f is None else f).astype(dtype)
        for p, f in zip(positions, fillers, strict=True)
    )


def unravel_index(indices: ArrayLike, shape: Any) -> tuple[Array, ...]:
    """The positions along each axis of linear positions in an array of `shape`.

    >>> [int(i) for i in unravel_index(5, (2, 3))]
    [1, 2]
    """
    from jitml.numpy.arithmetic import floor_divide, remainder
    from jitml.numpy.operands import as_shape

    sizes = as_shape(shape, "unravel_index")
    rest, found = settle(operand(indices, "unravel_index")), []
    for n in reversed(sizes):
        found.append(remainder(rest, n) if n else rest)
        rest = floor_divide(rest, n) if n else rest
    return tuple(reversed(found))


def ravel_multi_index(
    multi_index: Sequence[ArrayLike], dims: Sequence[int], mode: str = "clip", order: str = "C"
) -> Array:
    """The linear positions of positions along each axis.

    >>> print(ravel_multi_index((1, 2), (2, 3)))
    5
    """
    from jitml.numpy.arithmetic import add, clip, multiply, remainder

    if mode not in ("clip", "wrap"):
        fail(
            ArgumentError,
            f"ravel_multi_index: mode {mode!r} is not known",
            "it is 'clip' or 'wrap'",
        )
    pairs = list(zip(multi_index, dims, strict=True))
    total: Any = 0
    for position, n in pairs if order == "C" else reversed(pairs):
        inside = clip(position, 0, n - 1) if mode == "clip" else remainder(position, n)
        total = add(multiply(total, n), inside)
    return settle(operand(total))


def flatnonzero(a: ArrayLike, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The linear positions of the elements that are not 0.

    >>> import jitml.numpy as jnp
    >>> print(flatnonzero(jnp.array([[0, 5], [7, 0]])))
    [1 2]
    """
    return nonzero(ravel(a), size=size, fill_value=fill_value)[0]


def argwhere(a: ArrayLike, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The positions of the elements that are not 0, a row for each.

    >>> import jitml.numpy as jnp
    >>> print(argwhere(jnp.array([0, 5])))
    [[1]]
    """
    from jitml.numpy.joining import stack

    return stack(list(nonzero(a, size=size, fill_value=fill_value)), axis=1)


def extract(
    condition: ArrayLike, arr: ArrayLike, *, size: int | None = None, fill_value: Any = 0
) -> Array:
    """The elements for which the condition holds.

    >>> import jitml.numpy as jnp
    >>> print(extract(jnp.array([True, False]), jnp.array([1, 2])))
    [1]
    """
    chosen = flatnonzero(condition, size=size, fill_value=shape_size(arr))
    return take(ravel(arr), chosen, mode="fill", fill_value=fill_value)


def shape_size(a: ArrayLike) -> int:
    """How many elements an array has."""
    return type_of(operand(a)).size


def compress(
    condition: ArrayLike, a: ArrayLike, axis: int | None = None, *, size: int | None = None
) -> Array:
    """The slices along an axis for which the condition holds.

    >>> import jitml.numpy as jnp
    >>> print(compress(jnp.array([True, False]), jnp.array([1, 2])))
    [1]
    """
    return take(a, flatnonzero(condition, size=size), axis)
