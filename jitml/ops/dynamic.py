"""Slices at positions known only at run time, clamped so that the slice lies in the array."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from jitml.ir.dtypes import INT32, INT64, is_integer
from jitml.ir.errors import DTypeError, ShapeError
from jitml.ir.op import Undefined
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import convert, maximum, minimum
from jitml.ops.indexing import Gather, GatherDimensionNumbers, clamped_index
from jitml.ops.kinds import Movement, Traced, choose, zeros_like
from jitml.ops.layout import (
    batch_to_front,
    broadcast_in_dim,
    insert,
    integers,
    reshape,
)
from jitml.ops.scatter import Scatter, ScatterDimensionNumbers
from jitml.ops.slicing import check_lengths, concatenate
from jitml.ops.tangents import LinearInFirst
from jitml.trace.core import bind, bind1, type_of
from jitml.trace.numbers import literal
from jitml_runtime.record import frozen


def check_starts(name: str, x: ArrayType, starts: Sequence[ArrayType]) -> None:
    """Raise a named error unless `starts` are 0-d integers, one per axis of `x`."""
    check_lengths(name, x, starts=starts)
    for start in starts:
        if start.shape or not is_integer(start.dtype):
            raise DTypeError(
                f"{name}: a start position is {start}", hint="start positions are 0-d integers"
            )


def clamped_starts(shape: Sequence[int], sizes: Sequence[int], starts: Sequence[Any]) -> list[int]:
    """Start positions at hand, clamped so that a slice of `sizes` lies in `shape`."""
    return [min(max(int(s), 0), n - k) for n, k, s in zip(shape, sizes, starts, strict=True)]


def lowered_starts(read: Any, shape: Sequence[int], sizes: Sequence[int], first: int) -> list[Any]:
    """The clamped start positions in the inputs from `first` on; None where only 0 can be."""
    return [
        None if n == k else clamped_index(read, read(first + axis, []), n - k)
        for axis, (n, k) in enumerate(zip(shape, sizes, strict=True))
    ]


@frozen
class DynamicSlice(LinearInFirst, Movement):
    """The block of `sizes` of the first input at the start positions that the other inputs give."""

    name = "dynamic_slice"
    sizes: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, *starts = types
        check_starts(self.name, x, starts)
        check_lengths(self.name, x, sizes=self.sizes)
        if any(not 0 <= k <= n for k, n in zip(self.sizes, x.shape, strict=True)):
            raise ShapeError(
                f"dynamic_slice: a slice of sizes {self.sizes} does not fit in {x}",
                hint="no size may exceed the array's",
            )
        return (x.with_shape(self.sizes),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x, *starts = arrays
        first = clamped_starts(np.shape(x), self.sizes, starts)
        blocks = zip(first, self.sizes, strict=True)
        return (np.asarray(x)[tuple(slice(s, s + k) for s, k in blocks)],)

    def lower(self, read: Any, index: Sequence[Any]) -> Any:
        starts = lowered_starts(read, read.type(0).shape, self.sizes, 1)
        return read(0, [i if s is None else i + s for i, s in zip(index, starts, strict=True)])

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,), (x, *starts) = cotangents, inputs
        nothing = [None] * len(starts)
        if ct is None or not isinstance(x, Undefined):
            return [None, *nothing]
        zeros = zeros_like(x)
        return [dynamic_update_slice(zeros, ct, starts), *nothing]

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        (x, *starts), (axis, *start_axes) = inputs, axes
        if all(a is None for a in start_axes):
            assert axis is not None
            sizes = insert(self.sizes, axis, size)
            return [dynamic_slice(x, [*starts[:axis], _ZERO, *starts[axis:]], sizes)], [axis]
        shape = without(type_of(x).shape, axis)
        moving, indices = start_vectors(size, shape, self.sizes, starts, start_axes)
        if indices is None:
            return [x], [axis]
        numbers = GatherDimensionNumbers(tuple(range(len(shape))), (), moving)
        op = Gather(numbers, self.sizes, "promise_in_bounds")
        return op.batch(size, (x, indices), (axis, 0))


_ZERO = literal(0, ArrayType(INT32, ()))


@frozen
class DynamicUpdateSlice(Movement):
    """The first input with the second as a block in it, where the other inputs say."""

    name = "dynamic_update_slice"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, update, *starts = types
        check_starts(self.name, x, starts)
        if update.dtype != x.dtype:
            raise DTypeError(
                f"{self.name}: the array is {x}, the update is {update}",
                hint="convert the update with .astype",
            )
        if update.ndim != x.ndim or any(k > n for k, n in zip(update.shape, x.shape, strict=True)):
            raise ShapeError(
                f"{self.name}: the update {update} does not fit in {x}",
                hint="it must have as many axes, none longer than the array's",
            )
        return (ArrayType(x.dtype, x.shape, x.weak and update.weak),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x, update, *starts = map(np.asarray, arrays)
        first = clamped_starts(x.shape, update.shape, starts)
        blocks = zip(first, update.shape, strict=True)
        result = x.copy()
        result[tuple(slice(s, s + k) for s, k in blocks)] = update
        return (result,)

    def lower(self, read: Any, index: Sequence[Any]) -> Any:
        shape, sizes = read.type(0).shape, read.type(1).shape
        starts = lowered_starts(read, shape, sizes, 2)
        local = [i if s is None else i - s for i, s in zip(index, starts, strict=True)]
        moved = [(i, k) for i, k, s in zip(local, sizes, starts, strict=True) if s is not None]
        if not moved:
            return read(1, index)
        inside = reduce(operator.and_, [test for i, k in moved for test in (i >= 0, i < k)])
        return choose(inside, read(1, local, where=inside), read(0, index))

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        x, update, *starts = primals
        dx, du = tangents[:2]
        out = bind1(self, *primals)
        if dx is None and du is None:
            return [out], [None]
        dx = zeros_like(x) if dx is None else dx
        du = zeros_like(update) if du is None else du
        return [out], [bind1(self, dx, du, *starts)]

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,), (x, update, *starts) = cotangents, inputs
        if ct is None:
            return [None] * len(inputs)
        sizes = type_of(update).shape
        ct_x = bind1(self, ct, zeros_like(update), *starts) if isinstance(x, Undefined) else None
        ct_update = dynamic_slice(ct, starts, sizes) if isinstance(update, Undefined) else None
        return [ct_x, ct_update, *[None] * len(starts)]

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        (x, update, *starts), (axis, update_axis, *start_axes) = inputs, axes
        if all(a is None for a in start_axes):
            x, update = batch_to_front(size, x, axis), batch_to_front(size, update, update_axis)
            return [dynamic_update_slice(x, update, [_ZERO, *starts])], [0]
        shape = without(type_of(x).shape, axis)
        sizes = without(type_of(update).shape, update_axis)
        moving, indices = start_vectors(size, shape, sizes, starts, start_axes)
        if indices is None:
            return [update], [update_axis]
        numbers = ScatterDimensionNumbers(tuple(range(len(shape))), (), moving)
        op = Scatter("set", numbers, "promise_in_bounds", unique_indices=True)
        return op.batch(size, (x, indices, update), (axis, 0, update_axis))

    def as_scatter(self, x: Traced, update: Traced, *starts: Traced) -> list[Traced]:
        """The same as a scatter, which can be made in the memory of `x`."""
        shape, sizes = type_of(x).shape, type_of(update).shape
        moving, rows = start_vectors(1, shape, sizes, starts, [None] * len(starts))
        if rows is None:
            return bind(self, x, update, *starts)
        numbers = ScatterDimensionNumbers(tuple(range(len(shape))), (), moving)
        op = Scatter("set", numbers, "promise_in_bounds", unique_indices=True)
        return bind(op, x, reshape(rows, (len(moving),)), update)


def without(shape: tuple[int, ...], axis: int | None) -> tuple[int, ...]:
    """`shape` without its batch axis."""
    return shape if axis is None else (*shape[:axis], *shape[axis + 1 :])


def start_vectors(
    size: int,
    shape: Sequence[int],
    sizes: Sequence[int],
    starts: Sequence[Traced],
    axes: Sequence[int | None],
) -> tuple[tuple[int, ...], Traced | None]:
    """The axes that can move, and their clamped start positions with a row per batch element."""
    moving = tuple(a for a, (n, k) in enumerate(zip(shape, sizes, strict=True)) if n != k)
    columns = []
    for axis in moving:
        start = bounded_start(starts[axis], shape[axis] - sizes[axis])
        whole = start if axes[axis] is not None else broadcast_in_dim(start, (size,), ())
        columns.append(reshape(whole, (size, 1)))
    return moving, concatenate(columns, 1) if columns else None


def bounded_start(start: Traced, limit: int) -> Traced:
    """Start positions clamped to 0 … limit, as i32 if that can hold them."""
    start = maximum(start, 0)
    if limit < np.iinfo(type_of(start).dtype).max:
        start = minimum(start, limit)
    return convert(start, INT32 if limit < 2**31 else INT64)


def dynamic_slice(x: Traced, starts: Sequence[Traced], sizes: Sequence[int]) -> Traced:
    """The block of `sizes` of `x` at `starts` (0-d integers), clamped to lie in `x`."""
    return bind1(DynamicSlice(integers(sizes)), x, *starts)


def dynamic_update_slice(x: Traced, update: Traced, starts: Sequence[Traced]) -> Traced:
    """`x` with `update` as the block at `starts` (0-d integers), clamped to lie in `x`."""
    return bind1(DynamicUpdateSlice(), x, update, *starts)


def row_at(x: Traced, number: Traced) -> Traced:
    """The row of `x` at a position along the first axis."""
    shape = type_of(x).shape
    starts = [number, *[convert(literal(0), type_of(number).dtype)] * (len(shape) - 1)]
    return reshape(dynamic_slice(x, starts, (1, *shape[1:])), shape[1:])
