"""How many elements lie in each bin, in one dimension and more."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError
from jitml.numpy.choice import choose
from jitml.numpy.creation import asarray, full
from jitml.numpy.extremes import max as _max
from jitml.numpy.extremes import min as _min
from jitml.numpy.joining import stack, unstack
from jitml.numpy.logic import logical_and
from jitml.numpy.manipulation import broadcast_to, ravel, reshape
from jitml.numpy.operands import cast, fail, floated, operand, promoted, settle
from jitml.numpy.positions import values_at_hand
from jitml.numpy.ranges import linspace
from jitml.numpy.reductions import sum as _sum
from jitml.numpy.search import searchsorted
from jitml.ops import elementwise as ew
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike

__all__ = ["bincount", "histogram", "histogram2d", "histogram_bin_edges", "histogramdd"]


def bincount(
    x: ArrayLike,
    weights: ArrayLike | None = None,
    minlength: int = 0,
    *,
    length: int | None = None,
    out_sharding: object = None,
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
    values = settle(cast(operand(ravel(a)), edges.dtype))
    count = edges.shape[0] - 1
    place = _bins("histogram", values, edges)
    amounts = (
        full((), 1, edges.dtype) if weights is None else cast(operand(ravel(weights)), edges.dtype)
    )
    total = full((count,), 0, edges.dtype).at[place].add(settle(amounts), mode="drop")
    if density:
        widths = edges[1:] - edges[:-1]
        total = total / widths / _sum(total)
    return total, edges


def _bins(name: str, values: Any, edges: Any) -> Array:
    """The number of the bin of each value: the last one has both its edges, and what lies outside
    has a number beyond it.
    """
    count = edges.shape[0] - 1
    if count < 1:
        fail(ArgumentError, f"{name}: there is no bin between {count + 1} edges")
    place = searchsorted(edges, values, side="right") - 1
    place = choose(values == edges[-1], count - 1, place)
    return choose(place < 0, count, place)


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


def histogramdd(
    sample: ArrayLike,
    bins: Any = 10,
    range: Sequence[Any] | None = None,
    weights: ArrayLike | None = None,
    density: bool | None = None,
) -> tuple[Array, list[Array]]:
    """How many points lie in each box, and the edges along each dimension.

    A row of the sample is a point; `bins` are numbers or edges, one for all dimensions or one each.

    >>> import jitml.numpy as jnp
    >>> print(histogramdd(jnp.array([[0.0, 0.0], [1.0, 1.0]]), 2)[0].astype(int))
    [[1 0]
     [0 1]]
    """
    points = asarray(sample)
    if points.ndim != 2:
        fail(ArgumentError, f"histogramdd: needs a row for each point, got {points.shape}")
    columns = [settle(floated("histogramdd", column)) for column in unstack(points, axis=1)]
    edges = _all_edges(columns, bins, range)
    place: Any = 0
    is_inside: Any = True
    for column, edge in zip(columns, edges, strict=True):
        own = _bins("histogramdd", column, edge)
        is_inside = logical_and(is_inside, own < edge.shape[0] - 1)
        place = place * (edge.shape[0] - 1) + own
    shape = tuple(edge.shape[0] - 1 for edge in edges)
    total = bincount(choose(is_inside, place, math.prod(shape)), weights, length=math.prod(shape))
    counts = reshape(total, shape)
    return (_density(counts, edges) if density else counts), edges


def _all_edges(columns: list[Any], bins: Any, limits: Sequence[Any] | None) -> list[Array]:
    """The edges of the bins of each column."""
    count = len(columns)
    if not isinstance(bins, (list, tuple)) and np.ndim(bins) == 0:
        bins = [bins] * count
    if len(bins) != count or (limits is not None and len(limits) != count):
        fail(ArgumentError, f"histogramdd: give bins and ranges for each of {count} dimensions")
    limits = [None] * count if limits is None else limits
    return [
        histogram_bin_edges(column, own, None if limit is None else tuple(limit))
        for column, own, limit in zip(columns, bins, limits, strict=True)
    ]


def _density(counts: Any, edges: list[Any]) -> Array:
    """Counts by the sum of all and the volumes of the boxes."""
    counts = counts.astype(edges[0].dtype)
    total = _sum(counts)
    for k, edge in enumerate(edges):
        widths = [1] * counts.ndim
        widths[k] = edge.shape[0] - 1
        counts = counts / reshape(edge[1:] - edge[:-1], widths)
    return counts / total


def histogram2d(
    x: ArrayLike,
    y: ArrayLike,
    bins: Any = 10,
    range: Sequence[Any] | None = None,
    weights: ArrayLike | None = None,
    density: bool | None = None,
) -> tuple[Array, Array, Array]:
    """How many points (x, y) lie in each box, and the edges along both dimensions.

    >>> import jitml.numpy as jnp
    >>> print(histogram2d(jnp.array([0.0, 1.0]), jnp.array([0.0, 1.0]), 2)[0].astype(int))
    [[1 0]
     [0 1]]
    """
    first, second = (settle(z) for z in promoted("histogram2d", x, y))
    if first.ndim != 1 or first.shape != second.shape:
        fail(
            ArgumentError,
            f"histogram2d: needs two vectors of one length, got {type_of(first)} and "
            f"{type_of(second)}",
        )
    if not isinstance(bins, (list, tuple)) and np.ndim(bins) == 1:
        bins = [bins, bins]  # edges for both
    points = stack([first, second], axis=1)
    counts, (edges_x, edges_y) = histogramdd(points, bins, range, weights, density)
    return counts, edges_x, edges_y
