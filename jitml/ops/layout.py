"""Movement ops that keep all elements: broadcast, reshape, transpose, reverse, iota.

Each op moves elements and computes none, so it is linear and its `lower` is an index map. The
functions below the ops leave the checks to `infer` and return their input where the op would change
nothing.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import BOOL, DType, is_supported
from jitml.ir.errors import AxisError, DTypeError, ShapeError
from jitml.ir.op import Undefined
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import Convert
from jitml.ops.kinds import Movement, Traced
from jitml.ops.tangents import LinearInFirst, WithoutTangents
from jitml.trace.core import bind1, current_source, type_of
from jitml_runtime.record import frozen


def check_axes(name: str, axes: Sequence[int], ndim: int) -> None:
    """Raise AxisError unless `axes` are different axes of an array with `ndim` dimensions."""
    for axis in axes:
        if not 0 <= axis < ndim:
            raise AxisError(
                f"{name}: axis {axis} is out of range for an array with {ndim} dimensions",
                hint=f"axes run from 0 to {ndim - 1}" if ndim else "a 0-d array has no axes",
            )
    if len(set(axes)) != len(axes):
        raise AxisError(f"{name}: an axis is given twice in {tuple(axes)}")


def check_sizes(name: str, shape: Sequence[int]) -> None:
    """Raise ShapeError if a size is negative."""
    if any(n < 0 for n in shape):
        raise ShapeError(f"{name}: the shape {tuple(shape)} has a negative size")


def integers(numbers: Sequence[Any]) -> tuple[int, ...]:
    """The numbers as plain Python integers."""
    return tuple(map(operator.index, numbers))


@frozen
class LinearMovement(LinearInFirst, Movement):
    """A movement op with one input, in which it is linear."""

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,), (x,) = cotangents, inputs
        return [None if ct is None else self.transpose_one(ct, x.type)]

    def transpose_one(self, ct: Traced, type_: ArrayType) -> Traced:
        """The cotangent of the input, which is of `type_`."""
        raise self._lacks("transpose")

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        (x,), (axis,) = inputs, axes
        assert axis is not None
        out, out_axis = self.batch_one(size, x, axis)
        return [out], [out_axis]

    def batch_one(self, size: int, x: Traced, axis: int) -> tuple[Traced, int]:
        """The output for an input with a batch axis, and the output's batch axis."""
        raise self._lacks("batch")


# ---- broadcast -----------------------------------------------------------------------------------


@frozen
class BroadcastInDim(LinearMovement):
    """Axis i of the input becomes axis `dims[i]` of `shape`, repeated where it has length 1."""

    name = "broadcast_in_dim"
    shape: tuple[int, ...]
    dims: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        check_sizes(self.name, self.shape)
        check_axes(self.name, self.dims, len(self.shape))
        if len(self.dims) != x.ndim or list(self.dims) != sorted(self.dims):
            raise AxisError(
                f"{self.name}: {self.dims} must name, in rising order, one axis of {self.shape} "
                f"for each axis of {x}"
            )
        for n, dim in zip(x.shape, self.dims, strict=True):
            if n not in (1, self.shape[dim]):
                raise ShapeError(
                    f"{self.name}: {x} does not fit shape {self.shape} along axis {dim}: "
                    f"{n} is neither 1 nor {self.shape[dim]}",
                    hint="only axes of length 1 are repeated",
                )
        return (x.with_shape(self.shape),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x = np.asarray(arrays[0])
        sizes = dict(zip(self.dims, x.shape, strict=True))
        aligned = x.reshape([sizes.get(d, 1) for d in range(len(self.shape))])
        return (np.broadcast_to(aligned, self.shape),)

    def lower(self, read: Any, index: Sequence[Any]) -> Any:
        shape = read.type(0).shape
        return read(0, [0 if n == 1 else index[d] for n, d in zip(shape, self.dims, strict=True)])

    def transpose_one(self, ct: Traced, type_: ArrayType) -> Traced:
        from jitml.ops.reduction import reduce_sum

        kept = {d for n, d in zip(type_.shape, self.dims, strict=True) if n == self.shape[d]}
        summed = tuple(d for d in range(len(self.shape)) if d not in kept)
        return reshape(reduce_sum(ct, summed) if summed else ct, type_.shape)

    def batch_one(self, size: int, x: Traced, axis: int) -> tuple[Traced, int]:
        where = self.dims[axis - 1] + 1 if axis else 0
        shape = insert(self.shape, where, size)
        dims = insert(shift(self.dims, where), axis, where)
        return broadcast_in_dim(x, shape, dims), where


def broadcast_in_dim(x: Traced, shape: Sequence[int], dims: Sequence[int]) -> Traced:
    """`x` with its axis i as axis `dims[i]` of `shape`, repeated along the others."""
    shape, dims = integers(shape), integers(dims)
    if type_of(x).shape == shape and dims == tuple(range(len(shape))):
        return x
    return bind1(BroadcastInDim(shape, dims), x)


def insert(numbers: tuple[int, ...], position: int, number: int) -> tuple[int, ...]:
    """`numbers` with `number` put in at `position`."""
    return (*numbers[:position], number, *numbers[position:])


def shift(axes: Sequence[int], axis: int) -> tuple[int, ...]:
    """Where `axes` are once a new axis is put in at `axis`."""
    return tuple(a + (a >= axis) for a in axes)


# ---- reshape -------------------------------------------------------------------------------------


@frozen
class Reshape(LinearMovement):
    """The same elements in row-major order, in another shape."""

    name = "reshape"
    shape: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        check_sizes(self.name, self.shape)
        if x.size != math.prod(self.shape):
            raise ShapeError(
                f"reshape: {x} has {x.size} elements, {self.shape} has {math.prod(self.shape)}",
                hint="the product of the sizes must stay the same",
            )
        return (x.with_shape(self.shape),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return (np.asarray(arrays[0]).reshape(self.shape),)

    def lower(self, read: Any, index: Sequence[Any]) -> Any:
        shape = read.type(0).shape
        source: list[Any] = [0] * len(shape)
        for inside, outside in matching_axes(shape, self.shape):
            linear = linearize(index, self.shape, outside)
            delinearize(linear, shape, inside, source)
        return read(0, source)

    def transpose_one(self, ct: Traced, type_: ArrayType) -> Traced:
        return reshape(ct, type_.shape)

    def batch_one(self, size: int, x: Traced, axis: int) -> tuple[Traced, int]:
        return reshape(move_axis(x, axis, 0), (size, *self.shape)), 0


def matching_axes(a: Sequence[int], b: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Smallest runs of axes of shapes `a` and `b` (of equal size, not 0) that hold the same
    elements.

    Axes of length 1 belong to no run.
    """
    left = [i for i, n in enumerate(a) if n != 1]
    right = [i for i, n in enumerate(b) if n != 1]
    if 0 in a or 0 in b:
        return
    while left:
        run_a, run_b = [left.pop(0)], [right.pop(0)]
        while (difference := _size(a, run_a) - _size(b, run_b)) != 0:
            if difference < 0:
                run_a.append(left.pop(0))
            else:
                run_b.append(right.pop(0))
        yield run_a, run_b


def _size(shape: Sequence[int], axes: Sequence[int]) -> int:
    return math.prod(shape[i] for i in axes)


def linearize(index: Sequence[Any], shape: Sequence[int], axes: Sequence[int]) -> Any:
    """The row-major position of `index` among the given axes (at least one)."""
    position = index[axes[0]]
    for axis in axes[1:]:
        position = position * shape[axis] + index[axis]
    return position


def delinearize(position: Any, shape: Sequence[int], axes: Sequence[int], index: list[Any]) -> None:
    """Split a row-major position into an index along `axes`, written to `index`."""
    for axis in reversed(axes[1:]):
        index[axis] = position % shape[axis]
        position = position // shape[axis]
    index[axes[0]] = position


def reshape(x: Traced, shape: Sequence[int]) -> Traced:
    """`x` with the same elements in `shape`."""
    shape = integers(shape)
    return x if type_of(x).shape == shape else bind1(Reshape(shape), x)


def squeeze(x: Traced, axes: Sequence[int]) -> Traced:
    """`x` without its axes `axes`, which must have length 1."""
    type_ = type_of(x)
    check_axes("squeeze", axes, type_.ndim)
    if any(type_.shape[a] != 1 for a in axes):
        raise ShapeError(
            f"squeeze: not all of the axes {tuple(axes)} of {type_} have length 1",
            hint="index or reduce the longer axes instead",
            source=current_source(),
        )
    return reshape(x, tuple(n for a, n in enumerate(type_.shape) if a not in axes))


def expand_dims(x: Traced, axes: Sequence[int]) -> Traced:
    """`x` with new axes of length 1, at the positions `axes` of the result."""
    shape = type_of(x).shape
    check_axes("expand_dims", axes, len(shape) + len(axes))
    rest = iter(shape)
    rank = len(shape) + len(axes)
    return reshape(x, tuple(1 if a in axes else next(rest) for a in range(rank)))


# ---- transpose, reverse --------------------------------------------------------------------------


@frozen
class Transpose(LinearMovement):
    """Axis i of the output is axis `permutation[i]` of the input."""

    name = "transpose"
    permutation: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        check_axes(self.name, self.permutation, x.ndim)
        if len(self.permutation) != x.ndim:
            raise AxisError(
                f"transpose: {self.permutation} is not a permutation of the axes of {x}"
            )
        return (x.with_shape(tuple(x.shape[a] for a in self.permutation)),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return (np.transpose(np.asarray(arrays[0]), self.permutation),)

    def lower(self, read: Any, index: Sequence[Any]) -> Any:
        return read(0, [index[i] for i in inverse(self.permutation)])

    def transpose_one(self, ct: Traced, type_: ArrayType) -> Traced:
        return transpose(ct, inverse(self.permutation))

    def batch_one(self, size: int, x: Traced, axis: int) -> tuple[Traced, int]:
        return transpose(x, (axis, *shift(self.permutation, axis))), 0


def inverse(permutation: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes `permutation`."""
    return tuple(sorted(range(len(permutation)), key=permutation.__getitem__))


def transpose(x: Traced, permutation: Sequence[int]) -> Traced:
    """`x` with its axes in the order `permutation`."""
    permutation = integers(permutation)
    if permutation == tuple(range(type_of(x).ndim)):
        return x
    return bind1(Transpose(permutation), x)


def move_axis(x: Traced, source: int, destination: int) -> Traced:
    """`x` with its axis `source` at `destination`, the others in order."""
    rank = type_of(x).ndim
    check_axes("move_axis", (source,), rank)
    check_axes("move_axis", (destination,), rank)
    others = tuple(a for a in range(rank) if a != source)
    return transpose(x, insert(others, destination, source))


def batch_to_front(size: int, x: Traced, axis: int | None) -> Traced:
    """`x` with its batch axis first; repeated along a new one if it has none."""
    if axis is not None:
        return move_axis(x, axis, 0)
    shape = type_of(x).shape
    return broadcast_in_dim(x, (size, *shape), range(1, len(shape) + 1))


@frozen
class Reverse(LinearMovement):
    """Turn the order of the elements around along `axes`."""

    name = "reverse"
    axes: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        check_axes(self.name, self.axes, types[0].ndim)
        return types

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return (np.flip(np.asarray(arrays[0]), self.axes),)

    def lower(self, read: Any, index: Sequence[Any]) -> Any:
        shape = read.type(0).shape
        return read(0, [-i + (shape[a] - 1) if a in self.axes else i for a, i in enumerate(index)])

    def transpose_one(self, ct: Traced, type_: ArrayType) -> Traced:
        return bind1(self, ct)

    def batch_one(self, size: int, x: Traced, axis: int) -> tuple[Traced, int]:
        return reverse(x, shift(self.axes, axis)), axis


def reverse(x: Traced, axes: Sequence[int]) -> Traced:
    """`x` in reverse order along `axes`."""
    axes = tuple(sorted(integers(axes)))
    return bind1(Reverse(axes), x) if axes else x


# ---- iota ----------------------------------------------------------------------------------------


@frozen
class Iota(WithoutTangents, Movement):
    """0, 1, 2, … along `axis`, of `dtype`; an integer dtype that is too narrow wraps around."""

    name = "iota"
    dtype: DType
    shape: tuple[int, ...]
    axis: int

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        check_sizes(self.name, self.shape)
        check_axes(self.name, (self.axis,), len(self.shape))
        if self.dtype == BOOL or not is_supported(self.dtype):
            raise DTypeError(
                f"iota does not take {self.dtype}", hint="use an integer or float dtype"
            )
        return (ArrayType(self.dtype, self.shape),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        numbers = np.arange(self.shape[self.axis]).astype(self.dtype)
        aligned = numbers.reshape([-1 if a == self.axis else 1 for a in range(len(self.shape))])
        return (np.broadcast_to(aligned, self.shape),)

    def lower(self, read: Any, index: Sequence[Any]) -> Any:
        return Convert(self.dtype).lower(read.value(index[self.axis]))

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        return [bind1(self)], [None]


def iota(dtype: DType, shape: Sequence[int], axis: int) -> Traced:
    """An array of `shape` that counts 0, 1, 2, … along `axis`."""
    return bind1(Iota(np.dtype(dtype), integers(shape), operator.index(axis)))
