"""Distinct elements, membership, counts of elements and of bins."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError
from jitml.numpy.choice import choose
from jitml.numpy.classification import isnan
from jitml.numpy.comparison import equal
from jitml.numpy.creation import asarray, full
from jitml.numpy.cumulative import cumsum
from jitml.numpy.extremes import max as _max
from jitml.numpy.extremes import min as _min
from jitml.numpy.indexing import take
from jitml.numpy.joining import concatenate, take_slice
from jitml.numpy.logic import logical_not
from jitml.numpy.manipulation import broadcast_to, expand_dims, moveaxis, ravel, reshape
from jitml.numpy.operands import as_axis, cast, fail, floated, kind, operand, promoted, settle
from jitml.numpy.positions import nonzero, values_at_hand
from jitml.numpy.ranges import linspace
from jitml.numpy.reductions import any as _any
from jitml.numpy.reductions import sum as _sum
from jitml.numpy.search import searchsorted
from jitml.numpy.sorting import argsort
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike

__all__ = [
    "apply_along_axis", "bincount", "histogram", "histogram_bin_edges", "isin", "unique",
    "unique_all", "unique_values",
]  # fmt: skip

# ---- sets -----------------------------------------------------------------------------------


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
) -> Any:
    """The distinct elements in ascending order.

    With `size` there are so many, filled up with `fill_value` (the smallest).

    >>> import jitml.numpy as jnp
    >>> print(unique(jnp.array([3, 1, 3])))
    [1 3]
    """
    if axis is not None and type_of(operand(ar)).ndim != 1:
        fail(ArgumentError, "unique: an axis of arrays of more dimensions is not supported")
    result = _unique(ar, equal_nan, size, fill_value)
    asked = (True, return_index, return_inverse, return_counts)
    chosen = [part for part, wanted in zip(result, asked, strict=True) if wanted]
    return chosen[0] if len(chosen) == 1 else tuple(chosen)


def _unique(ar: ArrayLike, equal_nan: bool, size: int | None, fill_value: Any) -> UniqueResult:
    x = ravel(ar)
    length, dtype = type_of(x).shape[0], DEFAULT_DTYPES.of(int)
    order = argsort(x)
    ordered = take(x, order)
    if not length:
        nothing = settle(mv.iota(dtype, (0,), 0))
        return UniqueResult(x, nothing, reshape(nothing, type_of(operand(ar)).shape), nothing)
    left, right = take_slice(ordered, 0, 0, length - 1), take_slice(ordered, 0, 1, length)
    differs = settle(ew.ne(left, right))
    if equal_nan and kind(x) in "fc":
        differs = settle(
            ew.and_(differs, ew.not_(ew.and_(operand(isnan(left)), operand(isnan(right)))))
        )
    first = concatenate([full((1,), True), differs])
    starts = nonzero(first, size=size, fill_value=length)[0]
    numbers = cumsum(first, dtype=dtype) - 1
    inverse = full((length,), 0, dtype).at[order].set(numbers, unique_indices=True)
    ends = concatenate(
        [take_slice(starts, 0, min(1, starts.shape[0]), starts.shape[0]), full((1,), length, dtype)]
    )
    there = starts < length
    values = take(ordered, starts, mode="clip")
    if size is not None:
        filler = take_slice(ordered, 0, 0, 1) if fill_value is None else fill_value
        values = choose(there, values, cast(filler, x.dtype))
    ends = take_slice(ends, 0, 0, starts.shape[0])
    indices = take(order, starts, mode="clip")
    if size is not None:
        indices = choose(there, indices, take_slice(order, 0, 0, 1))
    shaped = reshape(inverse, type_of(operand(ar)).shape)
    return UniqueResult(values, indices, shaped, ends - starts)


def unique_all(x: ArrayLike, /, *, size: int | None = None, fill_value: Any = None) -> UniqueResult:
    """The distinct elements, their first places, the number of each element's value, and counts.

    >>> import jitml.numpy as jnp
    >>> print(unique_all(jnp.array([3, 1, 3])).counts)
    [1 2]
    """
    return _unique(x, False, size, fill_value)


def unique_values(x: ArrayLike, /, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The distinct elements.

    >>> import jitml.numpy as jnp
    >>> print(unique_values(jnp.array([3, 1, 3])))
    [1 3]
    """
    return _unique(x, False, size, fill_value).values


def isin(
    element: ArrayLike, test_elements: ArrayLike, assume_unique: bool = False, invert: bool = False
) -> Array:
    """Which elements occur among the test elements.

    >>> print(isin(2, 2))
    True
    """
    found = _any(equal(expand_dims(operand(element, "isin"), -1), ravel(test_elements)), axis=-1)
    return logical_not(found) if invert else found


def bincount(
    x: ArrayLike, weights: ArrayLike | None = None, minlength: int = 0, *, length: int | None = None
) -> Array:
    """How often each integer from 0 on occurs; with weights, their sums.

    >>> import jitml.numpy as jnp
    >>> print(bincount(jnp.array([0, 2, 2])))
    [1 0 2]
    """
    values = operand(x, "bincount")
    if not dtypes.is_integer(type_of(values).dtype) or type_of(values).ndim != 1:
        fail(ArgumentError, f"bincount: needs a vector of integers, got {type_of(values)}")
    if length is None:
        known = values_at_hand("bincount", values)
        length = max(int(known.max(initial=-1)) + 1, minlength)
        if known.size and known.min() < 0:
            fail(ArgumentError, f"bincount: {known.min()} is negative")
    amounts = full((), 1, DEFAULT_DTYPES.of(int)) if weights is None else asarray(weights)
    totals = full((length,), 0, amounts.dtype)
    return totals.at[settle(values)].add(broadcast_to(amounts, type_of(values).shape), mode="drop")


def histogram(
    a: ArrayLike,
    bins: Any = 10,
    range: Sequence[ArrayLike] | None = None,
    weights: ArrayLike | None = None,
    density: bool | None = None,
) -> tuple[Array, Array]:
    """How many elements lie in each bin, and the edges of the bins.

    >>> import jitml.numpy as jnp
    >>> print(histogram(jnp.array([0.0, 1.0, 1.0]), 2)[0])
    [1. 2.]
    """
    edges = histogram_bin_edges(a, bins, range, weights)
    values = cast(operand(ravel(a)), edges.dtype)
    count = edges.shape[0] - 1
    place = searchsorted(edges, settle(values), side="right") - 1
    place = choose(settle(ew.eq(values, edges[-1])), count - 1, place)
    amounts = (
        full((), 1, edges.dtype) if weights is None else cast(operand(ravel(weights)), edges.dtype)
    )
    place = choose(place < 0, count, place)
    total = full((count,), 0, edges.dtype).at[place].add(settle(amounts), mode="drop")
    if density:
        widths = edges[1:] - edges[:-1]
        total = total / widths / _sum(total)
    return total, edges


def histogram_bin_edges(
    a: ArrayLike,
    bins: Any = 10,
    range: Sequence[ArrayLike] | None = None,
    weights: ArrayLike | None = None,
) -> Array:
    """The edges of so many bins of equal width, or the given edges.

    >>> import jitml.numpy as jnp
    >>> print(histogram_bin_edges(jnp.array([0.0, 1.0]), 2))
    [0.  0.5 1. ]
    """
    if isinstance(bins, str):
        fail(
            ArgumentError,
            f"histogram: bins={bins!r} is not supported",
            "give their number or edges",
        )
    if np.ndim(bins) == 1:
        return settle(floated("histogram", asarray(bins)))
    x = settle(floated("histogram", ravel(a)))
    if range is not None:
        low, high = (cast(end, x.dtype) for end in range)
    elif not x.shape[0]:
        low, high = 0.0, 1.0
    else:
        low, high = _min(x), _max(x)
    same = settle(ew.eq(*promoted("histogram", low, high)))
    low = choose(same, settle(operand(low)) - 0.5, low)
    high = choose(same, settle(operand(high)) + 0.5, high)
    return linspace(low, high, operator.index(bins) + 1).astype(x.dtype)


def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: ArrayLike, *args: Any, **kwargs: Any
) -> Array:
    """`func1d` applied to each vector along an axis.

    >>> import jitml.numpy as jnp
    >>> print(apply_along_axis(jnp.sum, 1, jnp.ones((2, 3))))
    [3. 3.]
    """
    from jitml.vectorization import vmap

    x = operand(arr, "apply_along_axis")
    rank = type_of(x).ndim
    where_ = as_axis(axis, rank, "apply_along_axis")
    lines = moveaxis(settle(x), where_, -1)

    def function(line: Any) -> Any:
        return asarray(func1d(line, *args, **kwargs))

    for _ in range(rank - 1):
        function = vmap(function)
    result = function(lines)
    extra = result.ndim - (rank - 1)
    return moveaxis(
        result, list(range(rank - 1, rank - 1 + extra)), list(range(where_, where_ + extra))
    )
