"""Repeating, turning and rolling arrays; grids."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, ConcretizationTypeError, ShapeError, TracerError
from jitml.numpy.arithmetic import remainder
from jitml.numpy.cumulative import cumsum
from jitml.numpy.indexing import take
from jitml.numpy.joining import take_slice
from jitml.numpy.manipulation import broadcast_to, ndim, ravel, reshape, shape, swapaxes
from jitml.numpy.operands import (
    as_axes,
    as_axis,
    as_shape,
    cast,
    common_shape,
    expand_to,
    fail,
    operand,
    settle,
)
from jitml.numpy.reductions import sum
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.ops.kinds import full_of
from jitml.trace.core import Tracer, type_of
from jitml.typing import Array, ArrayLike, Shape

__all__ = ["flip", "fliplr", "flipud", "meshgrid", "repeat", "resize", "roll", "rot90", "tile"]


def tile(A: ArrayLike, reps: Shape) -> Array:
    """An array repeated as a whole along its axes.

    >>> print(tile(stack([1, 2]), 2))
    [1 2 1 2]
    """
    x, counts = operand(A, "tile"), as_shape(reps, "tile")
    rank = max(type_of(x).ndim, len(counts))
    sizes = (1,) * (rank - type_of(x).ndim) + type_of(x).shape
    counts = (1,) * (rank - len(counts)) + counts
    apart = tuple(n for size in sizes for n in (1, size))
    wide = tuple(n for pair in zip(counts, sizes, strict=True) for n in pair)
    tiled = expand_to(mv.reshape(x, apart), wide)
    return settle(mv.reshape(tiled, tuple(c * n for c, n in zip(counts, sizes, strict=True))))


def repeat(
    a: ArrayLike,
    repeats: ArrayLike,
    axis: int | None = None,
    *,
    total_repeat_length: int | None = None,
    out_sharding: object = None,
) -> Array:
    """Each element repeated along an axis.

    >>> print(repeat(stack([1, 2]), 2))
    [1 1 2 2]
    """
    x = operand(a, "repeat")
    if axis is None:
        x, axis = ravel(settle(x)), 0
    where = as_axis(axis, type_of(x).ndim, "repeat")
    counts = _known_counts(repeats) if total_repeat_length is None else None
    if counts is not None and counts.size == 1:
        return settle(_repeat_each(x, where, int(counts.reshape(()))))
    if counts is None:
        return take(
            settle(x), _repeat_positions(repeats, shape(x)[where], total_repeat_length), where
        )
    if counts.shape != (type_of(x).shape[where],):
        fail(
            ShapeError,
            f"repeat: {counts.shape} counts for axis {where} of size {type_of(x).shape[where]}",
        )
    return take(settle(x), np.repeat(np.arange(counts.size), counts), where)


def _known_counts(repeats: ArrayLike) -> Any:
    try:
        return np.asarray(repeats)
    except TracerError:
        fail(
            ConcretizationTypeError,
            "repeat: the size of the result depends on repeats, which is not known while tracing",
            "pass total_repeat_length= to repeat",
        )


def _repeat_each(x: Any, axis: int, count: int) -> Any:
    sizes = type_of(x).shape
    if count < 0:
        fail(ArgumentError, f"repeat: a count is negative: {count}")
    apart = mv.reshape(x, (*sizes[: axis + 1], 1, *sizes[axis + 1 :]))
    wide = expand_to(apart, (*sizes[: axis + 1], count, *sizes[axis + 1 :]))
    return mv.reshape(wide, (*sizes[:axis], sizes[axis] * count, *sizes[axis + 1 :]))


def _repeat_positions(repeats: ArrayLike, length: int, total: int | None) -> Any:
    """For each of `total` results, which element it repeats; the last one fills what is left."""
    ends = cumsum(broadcast_to(repeats, (length,)))
    index = settle(mv.iota(type_of(ends).dtype, (total or 0, length), 0))
    passed = sum(settle(ew.ge(index, expand_to(ends, (total or 0, length)))), axis=1)
    return settle(ew.minimum(passed, length - 1))


def flip(m: ArrayLike, axis: int | Sequence[int] | None = None) -> Array:
    """The elements in reverse order along axes, all if none is given.

    >>> print(flip(stack([1, 2])))
    [2 1]
    """
    x = operand(m, "flip")
    return settle(mv.reverse(x, as_axes(axis, type_of(x).ndim, "flip")))


def fliplr(m: ArrayLike) -> Array:
    """The columns in reverse order.

    >>> print(fliplr(reshape(stack([1, 2]), (1, 2))))
    [[2 1]]
    """
    return flip(m, 1)


def flipud(m: ArrayLike) -> Array:
    """The rows in reverse order.

    >>> print(flipud(stack([1, 2])))
    [2 1]
    """
    return flip(m, 0)


def rot90(m: ArrayLike, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    """Turned by k right angles in the plane of two axes.

    >>> print(rot90(reshape(stack([1, 2]), (1, 2))))
    [[2]
     [1]]
    """
    first, second = as_axes(tuple(axes), ndim(m), "rot90")
    turns = operator.index(k) % 4
    if turns == 0:
        return settle(operand(m))
    if turns == 2:
        return flip(m, (first, second))
    if turns == 1:
        return swapaxes(flip(m, second), first, second)
    return flip(swapaxes(m, first, second), second)


def roll(a: ArrayLike, shift: ArrayLike, axis: int | Sequence[int] | None = None) -> Array:
    """Elements moved along axes; those that leave at the end come in at the front.

    >>> print(roll(stack([1, 2, 3]), 1))
    [3 1 2]
    """
    x = operand(a, "roll")
    if axis is None:
        return reshape(roll(ravel(settle(x)), shift, 0), type_of(x).shape)
    axes = (
        as_axes(axis, type_of(x).ndim, "roll")
        if not isinstance(axis, int)
        else (as_axis(axis, type_of(x).ndim, "roll"),)
    )
    distances = (
        np.broadcast_to(np.asarray(shift), (len(axes),)) if not _is_abstract(shift) else None
    )
    for number, k in enumerate(axes):
        if distances is None:
            x = _roll_by_array(x, shift, number, len(axes), k)
        else:
            x = _roll_by(x, int(distances[number]), k)
    return settle(x)


def _is_abstract(x: Any) -> bool:
    return isinstance(x, Tracer)


def _roll_by(x: Any, distance: int, axis: int) -> Any:
    length = type_of(x).shape[axis]
    cut = (length - distance) % length if length else 0
    if not cut:
        return x
    return mv.concatenate([take_slice(x, axis, cut, length), take_slice(x, axis, 0, cut)], axis)


def _roll_by_array(x: Any, shift: Any, number: int, count: int, axis: int) -> Any:
    length = type_of(x).shape[axis]
    if not length:
        return x
    distance = broadcast_to(shift, (count,))
    one = mv.reshape(take_slice(distance, 0, number, number + 1), ())
    start = remainder(ew.neg(cast(one, dtypes.INT32)), length)
    doubled = mv.concatenate([x, x], axis)
    zero = full_of(type_of(start), 0)
    starts = [start if k == axis else zero for k in range(type_of(x).ndim)]
    return mv.dynamic_slice(doubled, starts, type_of(x).shape)


def resize(a: ArrayLike, new_shape: Shape) -> Array:
    """The elements repeated or cut to fill a new shape.

    >>> print(resize(stack([1, 2]), 3))
    [1 2 1]
    """
    sizes = as_shape(new_shape, "resize")
    flat, total = ravel(a), math.prod(sizes)
    length = shape(flat)[0]
    if not length:
        return settle(expand_to(full_of(type_of(flat).with_shape(()), 0), sizes))
    return reshape(settle(take_slice(tile(flat, -(-total // length)), 0, 0, total)), sizes)


def meshgrid(
    *xi: ArrayLike, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> list[Array]:
    """The coordinates of the points of a grid, an array for each axis.

    >>> [x.shape for x in meshgrid(stack([1, 2]), stack([1, 2, 3]))]
    [(3, 2), (3, 2)]
    """
    if indexing not in ("xy", "ij"):
        fail(ArgumentError, f"meshgrid: indexing {indexing!r} is not known", "it is 'xy' or 'ij'")
    vectors = [ravel(x) for x in xi]
    rank = len(vectors)
    columns = [
        settle(mv.reshape(v, tuple(shape(v)[0] if j == k else 1 for j in range(rank))))
        for k, v in enumerate(vectors)
    ]
    grids = columns if sparse or rank < 1 else _in_common_shape(columns)
    if indexing == "xy" and rank >= 2:
        grids = [swapaxes(g, 0, 1) for g in grids]
    return grids


def _in_common_shape(columns: list[Any]) -> list[Any]:
    """Each array in the common shape, its dtype left as it is."""
    shape = common_shape("meshgrid", columns)
    return [settle(expand_to(x, shape)) for x in columns]
