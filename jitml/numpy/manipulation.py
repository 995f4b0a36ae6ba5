"""Shapes, axes, joining, splitting and repeating."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, AxisError, ShapeError
from jitml.numpy.operands import (
    as_axes,
    as_axis,
    as_dtype,
    as_shape,
    cast,
    common_shape,
    expand_to,
    fail,
    joined_shape,
    operand,
    operands,
    promoted,
    settle,
)
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.ops.kinds import full_of
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, DTypeLike, Shape

# ---- shape ----------------------------------------------------------------------------------


def shape(a: ArrayLike) -> tuple[int, ...]:
    """The shape of an array.

    >>> shape(1.0)
    ()
    """
    return type_of(operand(a, "shape")).shape


def ndim(a: ArrayLike) -> int:
    """How many dimensions an array has.

    >>> ndim(1.0)
    0
    """
    return type_of(operand(a, "ndim")).ndim


def size(a: ArrayLike, axis: int | Sequence[int] | None = None) -> int:
    """How many elements an array has, in all or along axes.

    >>> size(1.0)
    1
    """
    type_ = type_of(operand(a, "size"))
    return math.prod(type_.shape[k] for k in as_axes(axis, type_.ndim, "size"))


def reshape(a: ArrayLike, shape: Shape, order: str = "C", *, copy: bool | None = None) -> Array:
    """The elements in row-major order in another shape, of which one size may be −1.

    >>> print(reshape(1, (1, -1)))
    [[1]]
    """
    x = operand(a, "reshape")
    if order not in ("C", "F", "A"):
        fail(ArgumentError, f"reshape: order {order!r} is not known", "it is 'C' or 'F'")
    sizes = _completed(type_of(x).shape, shape)
    if order == "F":
        turned = mv.transpose(x, range(len(type_of(x).shape))[::-1])
        result = mv.reshape(turned, sizes[::-1])
        return settle(mv.transpose(result, range(len(sizes))[::-1]))
    return settle(mv.reshape(x, sizes))


def _completed(own: tuple[int, ...], shape: Shape) -> tuple[int, ...]:
    """`shape` with its −1 resolved."""
    sizes = _integers(shape)
    total, known = math.prod(own), math.prod(n for n in sizes if n != -1)
    if sizes.count(-1) > 1 or any(n < -1 for n in sizes):
        fail(
            ShapeError,
            f"reshape: {sizes} is not a shape",
            "one size may be −1, the others not negative",
        )
    if -1 in sizes:
        if known == 0 or total % known:
            fail(ShapeError, f"reshape: {total} elements of shape {own} do not fill {sizes}")
        sizes = tuple(total // known if n == -1 else n for n in sizes)
    if math.prod(sizes) != total:
        fail(
            ShapeError,
            f"reshape: shape {own} has {total} elements, {sizes} has {math.prod(sizes)}",
            "write one size as −1 to have it computed",
        )
    return sizes


def _integers(shape: Shape) -> tuple[int, ...]:
    try:
        return (operator.index(shape),)  # type: ignore[arg-type]
    except TypeError:
        try:
            return tuple(operator.index(n) for n in shape)  # type: ignore[union-attr]
        except TypeError:
            return as_shape(shape, "reshape")


def ravel(a: ArrayLike, order: str = "C") -> Array:
    """All elements in one dimension.

    >>> print(ravel(1))
    [1]
    """
    return reshape(a, (-1,) if size(a) else (0,), order)


def squeeze(a: ArrayLike, axis: int | Sequence[int] | None = None) -> Array:
    """Without the axes of size 1, or without those of them that are given.

    >>> print(squeeze(reshape(1, (1, 1))))
    1
    """
    x = operand(a, "squeeze")
    sizes = type_of(x).shape
    if axis is None:
        axes = tuple(k for k, n in enumerate(sizes) if n == 1)
    else:
        axes = as_axes(axis, len(sizes), "squeeze")
    wide = [k for k in axes if sizes[k] != 1]
    if wide:
        fail(ShapeError, f"squeeze: axis {wide[0]} has size {sizes[wide[0]]}, not 1")
    return settle(mv.reshape(x, tuple(n for k, n in enumerate(sizes) if k not in axes)))


def expand_dims(a: ArrayLike, axis: int | Sequence[int]) -> Array:
    """With new axes of size 1 at the given places of the result.

    >>> expand_dims(1, 0).shape
    (1,)
    """
    x = operand(a, "expand_dims")
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    rank = type_of(x).ndim + count
    axes = as_axes(axis, rank, "expand_dims")
    sizes = iter(type_of(x).shape)
    return settle(mv.reshape(x, tuple(1 if k in axes else next(sizes) for k in range(rank))))


def atleast_1d(*arys: ArrayLike) -> Any:
    """With at least one dimension.

    >>> atleast_1d(1).shape
    (1,)
    """
    return _each(lambda x: x if ndim(x) >= 1 else reshape(x, (1,)), arys)


def atleast_2d(*arys: ArrayLike) -> Any:
    """With at least two dimensions: new axes come first.

    >>> atleast_2d(1).shape
    (1, 1)
    """
    return _each(lambda x: x if ndim(x) >= 2 else reshape(x, (1,) * (2 - ndim(x)) + shape(x)), arys)


def atleast_3d(*arys: ArrayLike) -> Any:
    """With at least three dimensions: of a vector the middle one, of a matrix the first two.

    >>> atleast_3d(1).shape
    (1, 1, 1)
    """

    def raised(x: Any) -> Any:
        sizes = {0: (1, 1, 1), 1: (1, *shape(x), 1), 2: (*shape(x), 1)}.get(ndim(x))
        return x if sizes is None else reshape(x, sizes)

    return _each(raised, arys)


def _each(function: Any, arrays: Sequence[ArrayLike]) -> Any:
    results = [settle(function(operand(a))) for a in arrays]
    return results[0] if len(results) == 1 else results


# ---- broadcasting ---------------------------------------------------------------------------


def broadcast_shapes(*shapes: Shape) -> tuple[int, ...]:
    """The shape that arrays of these shapes broadcast to.

    >>> broadcast_shapes((2, 1), (3,))
    (2, 3)
    """
    sizes = [as_shape(s, "broadcast_shapes") for s in shapes]
    try:
        return joined_shape(sizes)
    except ValueError:
        listed = " and ".join(map(str, sizes))
        fail(ShapeError, f"broadcast_shapes: shapes do not broadcast: {listed}")


def broadcast_to(array: ArrayLike, shape: Shape) -> Array:
    """Repeat along axes of size 1 and new first axes to get `shape`.

    >>> print(broadcast_to(1, (2,)))
    [1 1]
    """
    x, sizes = operand(array, "broadcast_to"), as_shape(shape, "broadcast_to")
    own = type_of(x).shape
    fits = len(own) <= len(sizes) and all(
        n in (1, m) for n, m in zip(reversed(own), reversed(sizes), strict=False)
    )
    if not fits:
        fail(ShapeError, f"broadcast_to: shape {own} does not broadcast to {sizes}")
    return settle(expand_to(x, sizes))


def broadcast_arrays(*args: ArrayLike) -> list[Array]:
    """All arrays in the shape that they broadcast to.

    >>> [x.shape for x in broadcast_arrays(1, broadcast_to(1, (2,)))]
    [(2,), (2,)]
    """
    xs = operands("broadcast_arrays", *args)
    shape = common_shape("broadcast_arrays", xs)
    return [settle(expand_to(x, shape)) for x in xs]


# ---- axes -----------------------------------------------------------------------------------


def transpose(a: ArrayLike, axes: Sequence[int] | None = None) -> Array:
    """The axes in another order, reversed if none is given.

    >>> transpose(reshape(1, (1, 1, 1)), (2, 0, 1)).shape
    (1, 1, 1)
    """
    x = operand(a, "transpose")
    rank = type_of(x).ndim
    order = tuple(range(rank))[::-1] if axes is None else as_axes(tuple(axes), rank, "transpose")
    if len(order) != rank:
        fail(AxisError, f"transpose: {len(order)} axes are given for an array of {rank} dimensions")
    return settle(mv.transpose(x, order))


permute_dims = transpose


def matrix_transpose(x: ArrayLike, /) -> Array:
    """The last two axes exchanged.

    >>> matrix_transpose(broadcast_to(1, (2, 3))).shape
    (3, 2)
    """
    if ndim(x) < 2:
        fail(ShapeError, f"matrix_transpose: needs at least 2 dimensions, got {ndim(x)}")
    return swapaxes(x, -1, -2)


def swapaxes(a: ArrayLike, axis1: int, axis2: int) -> Array:
    """Two axes exchanged.

    >>> swapaxes(broadcast_to(1, (2, 3)), 0, 1).shape
    (3, 2)
    """
    x = operand(a, "swapaxes")
    order = list(range(type_of(x).ndim))
    i, j = (as_axis(k, len(order), "swapaxes") for k in (axis1, axis2))
    order[i], order[j] = order[j], order[i]
    return settle(mv.transpose(x, order))


def moveaxis(a: ArrayLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Array:
    """Axes moved to other places, the others left in order.

    >>> moveaxis(broadcast_to(1, (2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    x = operand(a, "moveaxis")
    rank = type_of(x).ndim
    sources = as_axes(source, rank, "moveaxis")
    targets = as_axes(destination, rank, "moveaxis")
    if len(sources) != len(targets):
        fail(AxisError, f"moveaxis: {len(sources)} axes to {len(targets)} places")
    order = [k for k in range(rank) if k not in sources]
    for target, source_axis in sorted(zip(targets, sources, strict=True)):
        order.insert(target, source_axis)
    return settle(mv.transpose(x, order))


def rollaxis(a: ArrayLike, axis: int, start: int = 0) -> Array:
    """One axis moved back until it stands before `start`.

    >>> rollaxis(broadcast_to(1, (2, 3)), 1).shape
    (3, 2)
    """
    rank = ndim(a)
    axis = as_axis(axis, rank, "rollaxis")
    start = start if start == rank else as_axis(start, rank, "rollaxis")
    return moveaxis(a, axis, start - 1 if axis < start else start)


# ---- joining --------------------------------------------------------------------------------


def _list_of_arrays(name: str, arrays: Any) -> list[Any]:
    """The arrays to join: a sequence, or one array taken apart along its first axis."""
    if not isinstance(arrays, (list, tuple)):
        if not ndim(arrays):
            fail(ArgumentError, f"{name}: needs a sequence of arrays, got one number")
        arrays = unstack(arrays)
    if not arrays:
        fail(ArgumentError, f"{name}: needs at least one array")
    return list(arrays)


def concatenate(arrays: Any, axis: int | None = 0, dtype: DTypeLike | None = None) -> Array:
    """Arrays joined along an axis that they have; along None, raveled.

    >>> print(concatenate([reshape(1, 1), reshape(2, 1)]))
    [1 2]
    """
    parts = _list_of_arrays("concatenate", arrays)
    xs = promoted("concatenate", *parts)
    if dtype is not None:
        xs = [cast(x, as_dtype(dtype)) for x in xs]
    if axis is None:
        return settle(mv.concatenate([ravel(settle(x)) for x in xs], 0))
    types = [type_of(x) for x in xs]
    if not types[0].ndim:
        fail(
            ShapeError,
            "concatenate: 0-d arrays cannot be joined",
            "stack joins them along a new axis",
        )
    where = as_axis(axis, types[0].ndim, "concatenate")
    rest = {(*t.shape[:where], *t.shape[where + 1 :]) for t in types}
    if len(rest) > 1 or len({t.ndim for t in types}) > 1:
        fail(
            ShapeError,
            f"concatenate: shapes differ beside axis {where}: {', '.join(map(str, types))}",
            "all sizes but those of the joined axis must be equal",
        )
    return settle(mv.concatenate(xs, where))


concat = concatenate


def stack(arrays: Any, axis: int = 0, out: None = None, dtype: DTypeLike | None = None) -> Array:
    """Arrays of one shape joined along a new axis.

    >>> print(stack([1, 2]))
    [1 2]
    """
    parts = _list_of_arrays("stack", arrays)
    shapes = [shape(x) for x in parts]
    if len(set(shapes)) > 1:
        fail(ShapeError, f"stack: the shapes differ: {', '.join(map(str, shapes))}")
    where = as_axis(axis, len(shapes[0]) + 1, "stack")
    rows = promoted("stack", *parts)
    new = (*shapes[0][:where], 1, *shapes[0][where:])
    return concatenate([settle(mv.reshape(x, new)) for x in rows], where, dtype)


def vstack(tup: Any, dtype: DTypeLike | None = None) -> Array:
    """Arrays joined as rows.

    >>> print(vstack([1, 2]))
    [[1]
     [2]]
    """
    return concatenate([atleast_2d(x) for x in _list_of_arrays("vstack", tup)], 0, dtype)


def hstack(tup: Any, dtype: DTypeLike | None = None) -> Array:
    """Arrays joined side by side.

    >>> print(hstack([1, 2]))
    [1 2]
    """
    parts = [atleast_1d(x) for x in _list_of_arrays("hstack", tup)]
    return concatenate(parts, 0 if ndim(parts[0]) == 1 else 1, dtype)


def dstack(tup: Any, dtype: DTypeLike | None = None) -> Array:
    """Arrays joined along the third axis.

    >>> dstack([1, 2]).shape
    (1, 1, 2)
    """
    return concatenate([atleast_3d(x) for x in _list_of_arrays("dstack", tup)], 2, dtype)


def column_stack(tup: Any) -> Array:
    """Vectors as the columns of a matrix.

    >>> print(column_stack([1, 2]))
    [[1 2]]
    """
    parts = _list_of_arrays("column_stack", tup)
    return concatenate([x if ndim(x) >= 2 else transpose(atleast_2d(x)) for x in parts], 1)


def append(arr: ArrayLike, values: ArrayLike, axis: int | None = None) -> Array:
    """`values` put behind `arr`.

    >>> print(append(1, 2))
    [1 2]
    """
    if axis is None:
        return concatenate([ravel(arr), ravel(values)])
    return concatenate([arr, values], axis)


def block(arrays: Any) -> Array:
    """An array of nested lists of blocks: the innermost lists join along the last axis.

    >>> print(block([[1, 2], [3, 4]]))
    [[1 2]
     [3 4]]
    """

    def depth(x: Any) -> int:
        return 1 + max(map(depth, x)) if isinstance(x, list) else 0

    def rank(x: Any) -> int:
        return max(map(rank, x)) if isinstance(x, list) else ndim(x)

    levels = depth(arrays)
    full = max(levels, rank(arrays))

    def joined(x: Any, level: int) -> Any:
        if isinstance(x, list):
            return concatenate([joined(item, level + 1) for item in x], full - levels + level)
        return reshape(x, (1,) * (full - ndim(x)) + shape(x))

    return settle(operand(joined(arrays, 0)))


# ---- splitting ------------------------------------------------------------------------------


def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The slices along an axis, without it.

    >>> [int(x) for x in unstack(stack([1, 2]))]
    [1, 2]
    """
    value = operand(x, "unstack")
    where = as_axis(axis, type_of(value).ndim, "unstack")
    return tuple(
        squeeze(take_slice(value, where, i, i + 1), where)
        for i in range(type_of(value).shape[where])
    )


def take_slice(x: Any, axis: int, start: int, stop: int, step: int = 1) -> Any:
    """A slice along one axis."""
    sizes = type_of(x).shape
    starts = tuple(start if k == axis else 0 for k in range(len(sizes)))
    stops = tuple(stop if k == axis else n for k, n in enumerate(sizes))
    steps = tuple(step if k == axis else 1 for k in range(len(sizes)))
    return mv.slice_(x, starts, stops, None if step == 1 else steps)


def array_split(
    ary: ArrayLike, indices_or_sections: int | Sequence[int] | ArrayLike, axis: int = 0
) -> list[Array]:
    """Parts along an axis: of nearly equal size, or between given positions.

    >>> [len(x) for x in array_split(broadcast_to(1, (5,)), 2)]
    [3, 2]
    """
    x = operand(ary, "split")
    where = as_axis(axis, type_of(x).ndim, "split")
    length = type_of(x).shape[where]
    if ndim(np.asarray(indices_or_sections)) == 0:
        count = operator.index(indices_or_sections)  # type: ignore[arg-type]
        if count < 1:
            fail(ArgumentError, f"split: {count} sections")
        each, extra = divmod(length, count)
        cuts = [k * each + min(k, extra) for k in range(count + 1)]
    else:
        given = [operator.index(i) for i in np.asarray(indices_or_sections)]
        inner = [slice(None, i).indices(length)[1] for i in given]
        cuts = [0, *inner, length]
    pairs = zip(cuts[:-1], cuts[1:], strict=True)
    return [settle(take_slice(x, where, a, max(a, b))) for a, b in pairs]


def split(
    ary: ArrayLike, indices_or_sections: int | Sequence[int] | ArrayLike, axis: int = 0
) -> list[Array]:
    """Parts of equal size along an axis, or between given positions.

    >>> [len(x) for x in split(broadcast_to(1, (4,)), 2)]
    [2, 2]
    """
    if np.ndim(np.asarray(indices_or_sections)) == 0:
        length = shape(ary)[as_axis(axis, ndim(ary), "split")]
        count = operator.index(indices_or_sections)  # type: ignore[arg-type]
        if count > 0 and length % count:
            fail(
                ShapeError,
                f"split: axis {axis} of size {length} has no {count} equal parts",
                "array_split makes parts of nearly equal size",
            )
    return array_split(ary, indices_or_sections, axis)


def hsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Array]:
    """Parts side by side.

    >>> len(hsplit(broadcast_to(1, (2, 4)), 2))
    2
    """
    return split(ary, indices_or_sections, 0 if ndim(ary) == 1 else 1)


def vsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Array]:
    """Parts of the rows.

    >>> len(vsplit(broadcast_to(1, (4, 2)), 2))
    2
    """
    return split(ary, indices_or_sections, 0)


def dsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Array]:
    """Parts along the third axis.

    >>> len(dsplit(broadcast_to(1, (1, 1, 4)), 2))
    2
    """
    return split(ary, indices_or_sections, 2)


# ---- repeating and turning ------------------------------------------------------------------


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
) -> Array:
    """Each element repeated along an axis.

    >>> print(repeat(stack([1, 2]), 2))
    [1 1 2 2]
    """
    x = operand(a, "repeat")
    if axis is None:
        x, axis = ravel(settle(x)), 0
    where = as_axis(axis, type_of(x).ndim, "repeat")
    counts = np.asarray(repeats) if total_repeat_length is None else None
    if counts is not None and counts.size == 1:
        return settle(_repeat_each(x, where, int(counts.reshape(()))))
    from jitml.numpy.indexing import take

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


def _repeat_each(x: Any, axis: int, count: int) -> Any:
    sizes = type_of(x).shape
    if count < 0:
        fail(ArgumentError, f"repeat: a count is negative: {count}")
    apart = mv.reshape(x, (*sizes[: axis + 1], 1, *sizes[axis + 1 :]))
    wide = expand_to(apart, (*sizes[: axis + 1], count, *sizes[axis + 1 :]))
    return mv.reshape(wide, (*sizes[:axis], sizes[axis] * count, *sizes[axis + 1 :]))


def _repeat_positions(repeats: ArrayLike, length: int, total: int | None) -> Any:
    """For each of `total` results, which element it repeats; the last one fills what is left."""
    from jitml.numpy.reductions import cumsum, sum

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
    from jitml.trace.core import Tracer

    return isinstance(x, Tracer)


def _roll_by(x: Any, distance: int, axis: int) -> Any:
    length = type_of(x).shape[axis]
    cut = (length - distance) % length if length else 0
    if not cut:
        return x
    return mv.concatenate([take_slice(x, axis, cut, length), take_slice(x, axis, 0, cut)], axis)


def _roll_by_array(x: Any, shift: Any, number: int, count: int, axis: int) -> Any:
    from jitml.numpy.arithmetic import remainder

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
    from jitml.numpy.reductions import sum

    return sum(diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)
