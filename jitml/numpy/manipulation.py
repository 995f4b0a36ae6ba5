"""Shapes, axes and broadcasting."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from jitml.eager import compiled_at_once
from jitml.ir.errors import ArgumentError, AxisError, ShapeError
from jitml.numpy.operands import (
    as_axes,
    as_axis,
    as_shape,
    common_shape,
    expand_to,
    fail,
    joined_shape,
    operand,
    operands,
    settle,
)
from jitml.ops import movement as mv
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, Shape

__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "broadcast_shapes",
    "broadcast_to", "expand_dims", "matrix_transpose", "moveaxis", "ndim", "permute_dims", "ravel",
    "reshape", "rollaxis", "shape", "size", "squeeze", "swapaxes", "transpose",
]  # fmt: skip

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


@compiled_at_once
def reshape(
    a: ArrayLike,
    shape: Shape,
    order: str = "C",
    *,
    copy: bool | None = None,
    out_sharding: object = None,
) -> Array:
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


@compiled_at_once
def ravel(a: ArrayLike, order: str = "C", *, out_sharding: object = None) -> Array:
    """All elements in one dimension.

    >>> print(ravel(1))
    [1]
    """
    return reshape(a, (-1,) if size(a) else (0,), order)


@compiled_at_once
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


@compiled_at_once
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


@compiled_at_once
def broadcast_to(array: ArrayLike, shape: Shape, *, out_sharding: object = None) -> Array:
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


@compiled_at_once
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


@compiled_at_once
def matrix_transpose(x: ArrayLike, /) -> Array:
    """The last two axes exchanged.

    >>> matrix_transpose(broadcast_to(1, (2, 3))).shape
    (3, 2)
    """
    if ndim(x) < 2:
        fail(ShapeError, f"matrix_transpose: needs at least 2 dimensions, got {ndim(x)}")
    return swapaxes(x, -1, -2)


@compiled_at_once
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


@compiled_at_once
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
