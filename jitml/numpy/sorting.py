"""Sorting, and the order that sorts."""

from __future__ import annotations

from typing import Any

from jitml.ir import dtypes
from jitml.ir.arguments import check_sequence
from jitml.ir.errors import ArgumentError
from jitml.numpy.manipulation import ravel
from jitml.numpy.operands import as_axis, as_dtype_or, cast, fail, inexact, operand, settle, strong
from jitml.ops import movement as mv
from jitml.ops.sort import sort as _sort
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = ["argpartition", "argsort", "lexsort", "partition", "sort", "sort_complex"]


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
    dtype: DTypeLike | None = None,
) -> Array:
    """Where each element of the sorted array stands in `a`; equal elements keep their order.

    >>> import jitml.numpy as jnp
    >>> print(argsort(jnp.array([3, 1, 2])))
    [1 2 0]
    """
    x, where_ = _line("argsort", a, axis)
    place = mv.iota(as_dtype_or(dtype, DEFAULT_DTYPES.of(int)), type_of(x).shape, where_)
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
    check_sequence("lexsort", keys, "arrays")
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
