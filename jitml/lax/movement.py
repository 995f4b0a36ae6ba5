"""Shapes and axes in `jitml.lax`.

Broadcast, reshape, slices at fixed and at computed positions.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.arguments import check_sequence
from jitml.ir.errors import ArgumentError, DTypeError, ShapeError
from jitml.lax.operands import strict
from jitml.numpy import joining, manipulation, repeating
from jitml.numpy.operands import (
    as_axes,
    as_axis,
    as_dtype,
    as_shape,
    cast,
    fail,
    is_number,
    settle,
)
from jitml.numpy.operands import (
    operand as as_operand,
)
from jitml.numpy.operands import (
    operands as as_operands,
)
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.trace.core import type_of
from jitml.trace.numbers import literal
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = [
    "broadcast", "broadcast_in_dim", "broadcast_shapes", "broadcasted_iota", "collapse",
    "concatenate", "dynamic_index_in_dim", "dynamic_slice", "dynamic_slice_in_dim",
    "dynamic_update_index_in_dim", "dynamic_update_slice", "dynamic_update_slice_in_dim",
    "expand_dims", "index_in_dim", "iota", "pad", "reshape", "rev", "slice", "slice_in_dim",
    "split", "squeeze", "stack", "tile", "transpose", "unstack",
]  # fmt: skip

broadcast_shapes = manipulation.broadcast_shapes


def iota(dtype: DTypeLike, size: int) -> Array:
    """0, 1, … as a vector.

    >>> print(iota("float32", 3))
    [0. 1. 2.]
    """
    return broadcasted_iota(dtype, (size,), 0)


def broadcasted_iota(
    dtype: DTypeLike, shape: Sequence[int], dimension: int, *, out_sharding: object = None
) -> Array:
    """An array of `shape` that counts 0, 1, … along one axis.

    >>> print(broadcasted_iota("int32", (2, 2), 1))
    [[0 1]
     [0 1]]
    """
    sizes = as_shape(shape, "iota")
    return settle(mv.iota(as_dtype(dtype), sizes, as_axis(dimension, len(sizes), "iota")))


def broadcast(operand: ArrayLike, sizes: Sequence[int], *, out_sharding: object = None) -> Array:
    """The array repeated along new first axes.

    >>> print(broadcast(1, (2,)))
    [1 1]
    """
    x = as_operand(operand, "broadcast")
    new, own = as_shape(sizes, "broadcast"), type_of(x).shape
    dims = tuple(range(len(new), len(new) + len(own)))
    return settle(mv.broadcast_in_dim(x, (*new, *own), dims))


def broadcast_in_dim(
    operand: ArrayLike,
    shape: Sequence[int],
    broadcast_dimensions: Sequence[int],
    *,
    out_sharding: object = None,
) -> Array:
    """The array in a larger shape: its axis k becomes axis `broadcast_dimensions[k]`.

    >>> print(broadcast_in_dim(1, (2,), ()))
    [1 1]
    """
    x = as_operand(operand, "broadcast_in_dim")
    return settle(mv.broadcast_in_dim(x, as_shape(shape), tuple(broadcast_dimensions)))


def reshape(
    operand: ArrayLike,
    new_sizes: Any,
    dimensions: Sequence[int] | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """The elements in row-major order in another shape.

    >>> print(reshape(1, (1, 1)))
    [[1]]
    """
    x = as_operand(operand, "reshape")
    if dimensions is not None:
        x = mv.transpose(x, tuple(dimensions))
    return settle(mv.reshape(x, as_shape(new_sizes, "reshape")))


def collapse(operand: Array, start_dimension: int, stop_dimension: int | None = None) -> Array:
    """Neighbouring axes as one.

    >>> import jitml.numpy as jnp
    >>> collapse(jnp.ones((2, 3, 4)), 1).shape
    (2, 12)
    """
    sizes = type_of(as_operand(operand)).shape
    span = range(len(sizes))[start_dimension:stop_dimension]
    first, last = span.start, max(span.stop, span.start)
    joined = (*sizes[:first], math.prod(sizes[first:last]), *sizes[last:])
    return settle(mv.reshape(as_operand(operand), joined))


def transpose(operand: ArrayLike, permutation: Sequence[int]) -> Array:
    """The axes in another order.

    >>> import jitml.numpy as jnp
    >>> transpose(jnp.ones((2, 3)), (1, 0)).shape
    (3, 2)
    """
    return settle(mv.transpose(as_operand(operand, "transpose"), tuple(permutation)))


def rev(operand: ArrayLike, dimensions: Sequence[int]) -> Array:
    """The elements in reverse order along axes.

    >>> print(rev(iota("int32", 3), (0,)))
    [2 1 0]
    """
    x = as_operand(operand, "rev")
    return settle(mv.reverse(x, as_axes(tuple(dimensions), type_of(x).ndim, "rev")))


def squeeze(array: ArrayLike, dimensions: Sequence[int]) -> Array:
    """Without axes of size 1.

    >>> print(squeeze(broadcast(1, (1,)), (0,)))
    1
    """
    return manipulation.squeeze(array, tuple(dimensions))


def expand_dims(array: ArrayLike, dimensions: Sequence[int]) -> Array:
    """With new axes of size 1 at places of the result.

    >>> expand_dims(1, (0,)).shape
    (1,)
    """
    return manipulation.expand_dims(array, tuple(dimensions))


def concatenate(operands: Any, dimension: int) -> Array:
    """Arrays of one dtype joined along an axis.

    >>> print(concatenate([iota("int32", 2), iota("int32", 1)], 0))
    [0 1 0]
    """
    check_sequence("concatenate", operands, "arrays")
    xs = as_operands("concatenate", *operands)
    if not xs:
        fail(ArgumentError, "concatenate: needs at least one array")
    types = [type_of(x) for x in xs]
    if len({t.dtype for t in types}) > 1:
        listed = ", ".join(map(str, types))
        fail(DTypeError, f"concatenate: dtypes differ: {listed}", "jitml.numpy promotes them")
    return joining.concatenate(list(operands), dimension)


def stack(operands: Sequence[ArrayLike], axis: int = 0) -> Array:
    """Arrays of one shape joined along a new axis.

    >>> print(stack([1, 2]))
    [1 2]
    """
    check_sequence("stack", operands, "arrays")
    return joining.stack(list(operands), axis)


def unstack(x: ArrayLike, axis: int = 0) -> tuple[Array, ...]:
    """The slices along an axis, without it.

    >>> [int(x) for x in unstack(iota("int32", 2))]
    [0, 1]
    """
    return joining.unstack(x, axis=axis)


def split(operand: ArrayLike, sizes: Sequence[int], axis: int = 0) -> list[Array]:
    """Parts of given sizes along an axis.

    >>> [len(x) for x in split(iota("int32", 3), (1, 2))]
    [1, 2]
    """
    total = type_of(as_operand(operand)).shape[axis]
    if sum(sizes) != total:
        fail(ShapeError, f"split: the sizes {tuple(sizes)} do not add up to {total}")
    return joining.array_split(operand, np.cumsum(sizes)[:-1].tolist(), axis)


def tile(operand: ArrayLike, reps: Sequence[int]) -> Array:
    """The array repeated as a whole along its axes.

    >>> print(tile(iota("int32", 2), (2,)))
    [0 1 0 1]
    """
    return repeating.tile(operand, tuple(reps))


def pad(
    operand: ArrayLike, padding_value: ArrayLike, padding_config: Sequence[tuple[int, int, int]]
) -> Array:
    """`padding_value` put before, behind and between elements, for each axis (low, high, interior).

    >>> print(pad(iota("int32", 2), 9, [(1, 0, 1)]))
    [9 0 9 1]
    """
    x, value = strict("pad", operand, padding_value)
    return settle(mv.pad(x, value, padding_config))


# ---- slices at fixed positions --------------------------------------------------------------


def slice(
    operand: ArrayLike,
    start_indices: Sequence[int],
    limit_indices: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Array:
    """The elements from `start_indices` up to `limit_indices`.

    >>> print(slice(iota("int32", 5), (1,), (4,), (2,)))
    [1 3]
    """
    x = as_operand(operand, "slice")
    return settle(mv.slice_(x, tuple(start_indices), tuple(limit_indices), strides))


def slice_in_dim(
    operand: ArrayLike,
    start_index: int | None,
    limit_index: int | None,
    stride: int = 1,
    axis: int = 0,
) -> Array:
    """A slice along one axis.

    >>> print(slice_in_dim(iota("int32", 5), 1, -1))
    [1 2 3]
    """
    x = as_operand(operand, "slice_in_dim")
    where = as_axis(axis, type_of(x).ndim, "slice_in_dim")
    size = type_of(x).shape[where]
    if not -size <= (limit_index or 0) <= size or not -size <= (start_index or 0) <= size:
        fail(
            ShapeError,
            f"slice_in_dim: from {start_index} to {limit_index} along an axis of size {size}",
        )
    span = range(size)[start_index:limit_index]
    return settle(joining.take_slice(x, where, span.start, max(span.start, span.stop), stride))


def index_in_dim(operand: ArrayLike, index: int, axis: int = 0, keepdims: bool = True) -> Array:
    """One position along an axis.

    >>> print(index_in_dim(iota("int32", 3), -1, keepdims=False))
    2
    """
    from jitml.numpy.index_entries import static_position

    x = as_operand(operand, "index_in_dim")
    where = as_axis(axis, type_of(x).ndim, "index_in_dim")
    at = static_position(operator.index(index), where, type_of(x).shape[where])
    found = joining.take_slice(x, where, at, at + 1)
    return settle(found if keepdims else mv.squeeze(found, (where,)))


# ---- slices at computed positions, which are clamped ----------------------------------------


def _starts(x: Any, starts: Any, wraps: Any = True) -> list[Any]:
    """Start positions as 0-d integers of one dtype; negative ones count from the end."""
    sizes = type_of(x).shape
    if not isinstance(starts, (list, tuple)):
        rows = as_operand(starts, "dynamic_slice")
        starts = [manipulation.squeeze(r, 0) for r in _pieces(rows)]
    if len(starts) != len(sizes):
        fail(
            ShapeError, f"dynamic_slice: {len(starts)} start positions for {len(sizes)} dimensions"
        )
    flags = wraps if isinstance(wraps, (list, tuple)) else [wraps] * len(sizes)
    return [_start(s, n, w) for s, n, w in zip(starts, sizes, flags, strict=True)]


def _pieces(rows: Any) -> list[Any]:
    if type_of(rows).ndim != 1:
        fail(ShapeError, f"dynamic_slice: start positions are a vector, not {type_of(rows)}")
    count = type_of(rows).shape[0]
    return [settle(joining.take_slice(rows, 0, k, k + 1)) for k in range(count)]


def _start(start: Any, size: int, wraps: bool) -> Any:
    if is_number(start) or isinstance(start, np.integer):
        number = operator.index(start)
        return literal(number + size if number < 0 and wraps else number)
    x = as_operand(start, "dynamic_slice")
    if not dtypes.is_integer(type_of(x).dtype):
        fail(DTypeError, f"dynamic_slice: start positions are integers, not {type_of(x)}")
    if dtypes.kind(type_of(x).dtype) == "u" or not wraps:
        return x
    if type_of(x).dtype.itemsize < 4:
        x = cast(x, dtypes.INT32)
    return ew.select(ew.lt(x, 0), ew.add(x, size), x)


def dynamic_slice(
    operand: ArrayLike,
    start_indices: Any,
    slice_sizes: Sequence[int],
    *,
    allow_negative_indices: Any = True,
) -> Array:
    """A slice of fixed size at computed positions, moved so that it lies in the array.

    >>> print(dynamic_slice(iota("int32", 5), (3,), (3,)))
    [2 3 4]
    """
    x = as_operand(operand, "dynamic_slice")
    starts = _starts(x, start_indices, allow_negative_indices)
    return settle(mv.dynamic_slice(x, starts, as_shape(slice_sizes, "dynamic_slice")))


def dynamic_update_slice(
    operand: ArrayLike,
    update: ArrayLike,
    start_indices: Any,
    *,
    allow_negative_indices: Any = True,
) -> Array:
    """The array with `update` put at computed positions, moved so that it lies in the array.

    >>> print(dynamic_update_slice(iota("int32", 3), iota("int32", 1), (2,)))
    [0 1 0]
    """
    x, new = strict("dynamic_update_slice", operand, update)
    starts = _starts(x, start_indices, allow_negative_indices)
    return settle(mv.dynamic_update_slice(x, new, starts))


def _one_start(x: Any, start: Any, axis: int) -> list[Any]:
    return [start if k == axis else 0 for k in range(type_of(x).ndim)]


def dynamic_slice_in_dim(
    operand: ArrayLike,
    start_index: ArrayLike,
    slice_size: int,
    axis: int = 0,
    *,
    allow_negative_indices: bool = True,
) -> Array:
    """A slice of fixed size at a computed position of one axis.

    >>> print(dynamic_slice_in_dim(iota("int32", 5), 1, 2))
    [1 2]
    """
    x = as_operand(operand, "dynamic_slice_in_dim")
    where = as_axis(axis, type_of(x).ndim, "dynamic_slice_in_dim")
    sizes = [
        operator.index(slice_size) if k == where else n for k, n in enumerate(type_of(x).shape)
    ]
    starts = _one_start(x, start_index, where)
    return dynamic_slice(x, starts, sizes, allow_negative_indices=allow_negative_indices)


def dynamic_index_in_dim(
    operand: ArrayLike,
    index: ArrayLike,
    axis: int = 0,
    keepdims: bool = True,
    *,
    allow_negative_indices: bool = True,
) -> Array:
    """One computed position along an axis.

    >>> print(dynamic_index_in_dim(iota("int32", 5), 3, keepdims=False))
    3
    """
    found = dynamic_slice_in_dim(
        operand, index, 1, axis, allow_negative_indices=allow_negative_indices
    )
    return found if keepdims else manipulation.squeeze(found, axis)


def dynamic_update_slice_in_dim(
    operand: ArrayLike,
    update: ArrayLike,
    start_index: ArrayLike,
    axis: int,
    *,
    allow_negative_indices: bool = True,
) -> Array:
    """The array with `update` put at a computed position of one axis.

    >>> print(dynamic_update_slice_in_dim(iota("int32", 3), iota("int32", 1), 1, 0))
    [0 0 2]
    """
    x = as_operand(operand, "dynamic_update_slice_in_dim")
    where = as_axis(axis, type_of(x).ndim, "dynamic_update_slice_in_dim")
    starts = _one_start(x, start_index, where)
    return dynamic_update_slice(x, update, starts, allow_negative_indices=allow_negative_indices)


def dynamic_update_index_in_dim(
    operand: ArrayLike,
    update: ArrayLike,
    index: ArrayLike,
    axis: int,
    *,
    allow_negative_indices: bool = True,
) -> Array:
    """The array with one computed position of an axis replaced.

    >>> print(dynamic_update_index_in_dim(iota("int32", 3), 7, 1, 0))
    [0 7 2]
    """
    x, new = strict("dynamic_update_index_in_dim", operand, update)
    where = as_axis(axis, type_of(x).ndim, "dynamic_update_index_in_dim")
    if type_of(new).ndim != type_of(x).ndim:
        new = mv.expand_dims(new, (where,))
    return dynamic_update_slice_in_dim(
        x, new, index, where, allow_negative_indices=allow_negative_indices
    )
