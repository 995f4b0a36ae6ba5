"""Sets: distinct elements, membership, and what two arrays have in common or not.

Results whose size depends on the data need data at hand, or `size=` to make the size static.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from jitml.ir.errors import ArgumentError
from jitml.numpy.choice import choose
from jitml.numpy.classification import isnan
from jitml.numpy.comparison import equal, not_equal
from jitml.numpy.creation import full
from jitml.numpy.cumulative import cumsum
from jitml.numpy.indexing import take
from jitml.numpy.joining import concatenate, unstack
from jitml.numpy.logic import logical_and, logical_not, logical_or
from jitml.numpy.manipulation import expand_dims, moveaxis, ravel, reshape
from jitml.numpy.operands import as_axis, cast, fail, kind, operand, promoted, settle
from jitml.numpy.positions import extract, flatnonzero, nonzero, values_at_hand
from jitml.numpy.ranges import arange
from jitml.numpy.reductions import any as _any
from jitml.numpy.reductions import sum as _sum
from jitml.numpy.search import searchsorted
from jitml.numpy.sorting import argsort, lexsort, sort
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike

__all__ = [
    "intersect1d", "isin", "setdiff1d", "setxor1d", "union1d", "unique", "unique_all",
    "unique_counts", "unique_inverse", "unique_values",
]  # fmt: skip

# ---- distinct elements ----------------------------------------------------------------------


class UniqueResult(NamedTuple):
    """The distinct values, their first places, which one each element is, and their counts."""

    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


def unique(
    ar: ArrayLike,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    size: int | None = None,
    fill_value: Any = None,
    sorted: bool = True,
) -> Any:
    """The distinct elements in ascending order; with an axis the distinct slices along it.

    With `size` there are so many, filled up with `fill_value` (the smallest).

    >>> import jitml.numpy as jnp
    >>> print(unique(jnp.array([3, 1, 3])))
    [1 3]
    """
    result = _unique("unique", ar, axis, equal_nan, size, fill_value)
    asked = (True, return_index, return_inverse, return_counts)
    chosen = [part for part, wanted in zip(result, asked, strict=True) if wanted]
    return chosen[0] if len(chosen) == 1 else tuple(chosen)


def _unique(
    name: str, ar: ArrayLike, axis: int | None, equal_nan: bool, size: int | None, fill_value: Any
) -> UniqueResult:
    given = operand(ar, name)
    along = 0 if axis is None else as_axis(axis, type_of(given).ndim, name)
    x = ravel(given) if axis is None else moveaxis(settle(given), along, 0)
    length, dtype = type_of(x).shape[0], DEFAULT_DTYPES.of(int)
    shape = type_of(given).shape if axis is None else (length,)
    if not length:
        return _nothing(name, x, shape, along, size, fill_value)
    order, first = _in_order(x, equal_nan)
    if size is None:
        values_at_hand(name, first)
    found = nonzero(first, size=None if size is None else size + 1, fill_value=length)[0]
    ends = found[1:] if size is not None else concatenate([found[1:], full((1,), length, dtype)])
    starts = found[: ends.shape[0]]
    numbers = cumsum(first, dtype=dtype) - 1
    inverse = full((length,), 0, dtype).at[order].set(numbers, unique_indices=True)
    there = starts < length
    indices = take(order, starts, mode="clip")
    if size is not None:
        indices = choose(there, indices, order[:1])
    values = take(x, indices, 0)
    if size is not None and fill_value is not None:
        shaped = reshape(there, (-1,) + (1,) * (x.ndim - 1))
        values = choose(shaped, values, cast(fill_value, x.dtype))
    return UniqueResult(
        moveaxis(values, 0, along), indices, reshape(inverse, shape), (ends - starts).astype(dtype)
    )


def _nothing(
    name: str, x: Any, shape: tuple[int, ...], axis: int, size: int | None, fill_value: Any
) -> UniqueResult:
    """What is distinct among no elements: nothing, or so many fill values."""
    dtype = DEFAULT_DTYPES.of(int)
    if size and fill_value is None:
        fail(ArgumentError, f"{name}: nothing fills up {size} elements", "pass fill_value=")
    none = full((size or 0,), 0, dtype)
    values = full((size or 0, *x.shape[1:]), 0 if fill_value is None else fill_value, x.dtype)
    return UniqueResult(moveaxis(values, 0, axis), none, full(shape, 0, dtype), none)


def _in_order(x: Any, equal_nan: bool) -> tuple[Any, Any]:
    """The ascending order of slices along the first axis, and in it which differ from the one
    before.
    """
    length = x.shape[0]
    rows = reshape(x, (length, math.prod(x.shape[1:])))
    columns = list(unstack(rows, axis=1))
    order = lexsort(columns[::-1]) if columns else arange(length)
    ordered = take(rows, order, 0)
    left, right = ordered[:-1], ordered[1:]
    differs = left != right
    if equal_nan and kind(operand(x)) in "fc":
        differs = logical_and(differs, logical_not(logical_and(isnan(left), isnan(right))))
    return order, concatenate([full((1,), True), _any(differs, axis=1)])


def unique_all(x: ArrayLike, /, *, size: int | None = None, fill_value: Any = None) -> UniqueResult:
    """The distinct elements, their first places, the number of each element's value, and counts.

    >>> import jitml.numpy as jnp
    >>> print(unique_all(jnp.array([3, 1, 3])).counts)
    [1 2]
    """
    return _unique("unique_all", x, None, False, size, fill_value)


def unique_values(x: ArrayLike, /, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The distinct elements.

    >>> import jitml.numpy as jnp
    >>> print(unique_values(jnp.array([3, 1, 3])))
    [1 3]
    """
    return _unique("unique_values", x, None, False, size, fill_value).values


class UniqueInverseResult(NamedTuple):
    """The distinct values, and which of them each element is."""

    values: Array
    inverse_indices: Array


class UniqueCountsResult(NamedTuple):
    """The distinct values, and how often each occurs."""

    values: Array
    counts: Array


def unique_inverse(
    x: ArrayLike, /, *, size: int | None = None, fill_value: Any = None
) -> UniqueInverseResult:
    """The distinct elements, and which of them each element is.

    >>> import jitml.numpy as jnp
    >>> print(unique_inverse(jnp.array([3, 1, 3])).inverse_indices)
    [1 0 1]
    """
    found = _unique("unique_inverse", x, None, False, size, fill_value)
    return UniqueInverseResult(found.values, found.inverse_indices)


def unique_counts(
    x: ArrayLike, /, *, size: int | None = None, fill_value: Any = None
) -> UniqueCountsResult:
    """The distinct elements, and how often each occurs.

    >>> import jitml.numpy as jnp
    >>> print(unique_counts(jnp.array([3, 1, 3])).counts)
    [1 2]
    """
    found = _unique("unique_counts", x, None, False, size, fill_value)
    return UniqueCountsResult(found.values, found.counts)


# ---- membership -----------------------------------------------------------------------------

_METHODS = ("auto", "compare_all", "binary_search", "sort")
_FEW = 16


def isin(
    element: ArrayLike,
    test_elements: ArrayLike,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    method: str = "auto",
) -> Array:
    """Which elements occur among the test elements.

    >>> print(isin(2, 2))
    True
    """
    if method not in _METHODS:
        fail(ArgumentError, f"isin: method {method!r} is not known", f"one of {_METHODS}")
    x, tests = (settle(z) for z in promoted("isin", element, ravel(test_elements)))
    few = method == "compare_all" or (method == "auto" and tests.shape[0] <= _FEW)
    if few or not tests.shape[0] or kind(operand(x)) == "c":
        found = _any(equal(expand_dims(x, -1), tests), axis=-1)
    else:
        ordered = sort(tests)
        found = equal(take(ordered, searchsorted(ordered, x), mode="clip"), x)
    return logical_not(found) if invert else found


def _distinct(name: str, ar: ArrayLike, assume_unique: bool) -> Any:
    return ravel(ar) if assume_unique else _unique(name, ar, None, True, None, None).values


def union1d(
    ar1: ArrayLike, ar2: ArrayLike, *, size: int | None = None, fill_value: Any = None
) -> Array:
    """The distinct elements of both arrays in ascending order.

    >>> import jitml.numpy as jnp
    >>> print(union1d(jnp.array([1, 2]), jnp.array([2, 3])))
    [1 2 3]
    """
    both = concatenate([ravel(ar1), ravel(ar2)])
    return _unique("union1d", both, None, True, size, fill_value).values


def setdiff1d(
    ar1: ArrayLike,
    ar2: ArrayLike,
    assume_unique: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Array:
    """The distinct elements of the first array that the second lacks.

    >>> import jitml.numpy as jnp
    >>> print(setdiff1d(jnp.array([1, 2, 3]), jnp.array([2])))
    [1 3]
    """
    x = ravel(ar1)
    if size is None:
        x = _distinct("setdiff1d", x, assume_unique)
        return x[values_at_hand("setdiff1d", isin(x, ar2, invert=True))]
    first: Any = True
    if not assume_unique:
        x, first = _marked(x)
    wanted = logical_and(first, isin(x, ar2, invert=True))
    return extract(wanted, x, size=size, fill_value=0 if fill_value is None else fill_value)


def setxor1d(
    ar1: ArrayLike,
    ar2: ArrayLike,
    assume_unique: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Array:
    """The elements of one of the arrays alone, in ascending order.

    With `size` there are so many, filled up with `fill_value` (the smallest).

    >>> import jitml.numpy as jnp
    >>> print(setxor1d(jnp.array([1, 2]), jnp.array([2, 3])))
    [1 3]
    """
    x, y = (settle(z) for z in promoted("setxor1d", ravel(ar1), ravel(ar2)))
    ordered, first = _marked(concatenate([x, y]))
    wanted = logical_and(first, not_equal(_member(ordered, x), _member(ordered, y)))
    return _chosen("setxor1d", ordered, wanted, size, fill_value)


def _marked(x: Any) -> tuple[Any, Any]:
    """The elements in order, and which of them differ from the one before."""
    if not x.shape[0]:
        return x, full((0,), False)
    order, first = _in_order(x, True)
    return take(x, order), first


def _member(x: Any, tests: Any) -> Any:
    """Which elements of `x` the tests have; NaN is one of them like any other."""
    found = isin(x, tests)
    if kind(operand(x)) in "fc":
        found = logical_or(found, logical_and(isnan(x), _any(isnan(tests))))
    return found


def _chosen(name: str, ordered: Any, wanted: Any, size: int | None, fill_value: Any) -> Array:
    """The wanted elements, with `size` so many, filled up."""
    if size is None:
        values_at_hand(name, wanted)
        return ordered[wanted]
    if fill_value is None:
        if not ordered.shape[0]:
            return full((size,), 0, ordered.dtype)
        smallest = take(ordered, flatnonzero(wanted, size=1, fill_value=0))
        filler = choose(_any(wanted), smallest, 0)
    else:
        filler = cast(fill_value, ordered.dtype)
    places = flatnonzero(wanted, size=size, fill_value=ordered.shape[0])
    there = places < ordered.shape[0]
    return choose(there, take(ordered, places, mode="fill", fill_value=0), filler)


def intersect1d(
    ar1: ArrayLike,
    ar2: ArrayLike,
    assume_unique: bool = False,
    return_indices: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The elements of both arrays in ascending order; and if asked their first places in each.

    With `size` there are so many, filled up with `fill_value` (the smallest).

    >>> import jitml.numpy as jnp
    >>> print(intersect1d(jnp.array([1, 2, 3]), jnp.array([2, 3, 4])))
    [2 3]
    """
    x, y = (settle(z) for z in promoted("intersect1d", ravel(ar1), ravel(ar2)))
    ordered, first = _marked(x)
    wanted = logical_and(first, isin(ordered, y))
    values = _chosen("intersect1d", ordered, wanted, size, fill_value)
    if not return_indices:
        return values
    count = values.shape[0]
    there = arange(count) < _sum(wanted)
    return values, *(_places(values, there, z) for z in (x, y))


def _places(values: Any, there: Any, x: Any) -> Any:
    """The first place in `x` of each value, and its length for those that fill up."""
    if not x.shape[0]:
        return full(values.shape, 0, DEFAULT_DTYPES.of(int))
    order = argsort(x)
    found = take(order, searchsorted(take(x, order), values), mode="clip")
    return choose(there, found, x.shape[0]).astype(DEFAULT_DTYPES.of(int))
