"""Gather: slices of an array at positions read from another array.

Dimension numbers mean what JAX's mean. Start positions are raw here: negative ones are out of
bounds. What happens to a slice that does not lie in the array is the `mode`: "raise" is a fault of
the program, "clip" moves the slice, "fill" gives the fill value for all of it, and
"promise_in_bounds" moves it too, without a meaning that one may rely on. "inside" is for the
compiler alone, where it has found that all slices lie in the array.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from jitml.ir.dtypes import DType, is_bool, is_inexact, is_integer, kind
from jitml.ir.errors import ArgumentError, AxisError, DTypeError, OutOfBoundsError, ShapeError
from jitml.ir.op import Undefined
from jitml.ir.text import PARAMETER_CLASSES, format_number, parse_number
from jitml.ir.types import ArrayType
from jitml.ops.kinds import Movement, Traced, choose, zeros_like
from jitml.ops.layout import check_axes, integers, move_axis
from jitml.scalar import value as scalar
from jitml.scalar.value import Value
from jitml.trace.core import bind1
from jitml.trace.numbers import convert_number
from jitml_runtime.record import frozen, replace


class GatherDimensionNumbers(NamedTuple):
    """Which axes are which in a gather, as in JAX. The last axis of the indices holds the start
    positions.

    `offset_dims`: axes of the output that run inside a slice. `collapsed_slice_dims`: axes of the
    operand that the output lacks. `start_index_map`: axis of the operand for each start position.
    The batching axes of operand and indices run together.
    """

    offset_dims: tuple[int, ...]
    collapsed_slice_dims: tuple[int, ...]
    start_index_map: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    start_indices_batching_dims: tuple[int, ...] = ()


PARAMETER_CLASSES["GatherDimensionNumbers"] = GatherDimensionNumbers
GATHER_MODES = ("raise", "clip", "fill", "promise_in_bounds", "inside")
ORDERS = ("given", "any")  # in which updates of one element are applied


# ---- what gather and scatter share ---------------------------------------------------------------


@frozen
class Slices:
    """Where slices start: axes that start positions move, axes that run along with the indices'."""

    moving: tuple[int, ...]
    batching: tuple[int, ...]
    indices_batching: tuple[int, ...]
    sizes: tuple[int, ...]
    mode: str

    def limits(self, shape: Sequence[int]) -> list[int]:
        """The last start position at which a slice lies in `shape` (−1: none does)."""
        return [shape[axis] - self.sizes[axis] for axis in self.moving]

    def lower_starts(
        self, read: Any, shape: Sequence[int], batch: Sequence[Any]
    ) -> tuple[list[Any], Value | None]:
        """Per axis of the operand the position at which the slice for indices row `batch` starts,
        and whether the slice lies in the operand (None: it does, by now)."""
        starts: list[Any] = [0] * len(shape)
        tests: list[Value] = []
        for k, (axis, limit) in enumerate(zip(self.moving, self.limits(shape), strict=True)):
            position = read(1, [*batch, k])
            if self.mode == "inside":
                starts[axis] = read.index(position)
                continue
            inside = in_bounds(position, limit)
            if self.mode == "raise":
                # Later reads happen only where the check holds: no need to clamp.
                read.check(inside, position)
            elif self.mode in ("fill", "drop") or limit < 0:
                tests.append(inside)
            else:
                starts[axis] = clamped_index(read, position, limit)
                continue
            starts[axis] = read.index(position)
        for axis, along in zip(self.batching, self.indices_batching, strict=True):
            starts[axis] = batch[along]
        return starts, reduce(operator.and_, tests) if tests else None

    def value_starts(self, shape: Sequence[int], indices: Any) -> tuple[list[Any], Any]:
        """The same in NumPy, for all rows of `indices` at once."""
        top = min(np.iinfo(np.int64).max, np.iinfo(indices.dtype).max)
        rows = np.minimum(indices, indices.dtype.type(top)).astype(np.int64)
        batch_shape = rows.shape[:-1]
        starts: list[Any] = [np.zeros(batch_shape, np.int64) for _ in shape]
        inside = np.ones(batch_shape, bool)
        for k, (axis, limit) in enumerate(zip(self.moving, self.limits(shape), strict=True)):
            clamps = self.mode in ("clip", "promise_in_bounds") and limit >= 0
            inside &= clamps | (rows[..., k] >= 0) & (rows[..., k] <= limit)
            starts[axis] = np.clip(rows[..., k], 0, max(limit, 0))
        for axis, along in zip(self.batching, self.indices_batching, strict=True):
            starts[axis] = np.indices(batch_shape)[along]
        return starts, inside


def index_limit(value: Value, limit: int) -> int:
    """`limit`, or the largest number of the value's type if that is less."""
    bits = scalar.BITS[value.type] - (value.type in scalar.SIGNED)
    return min(limit, (1 << bits) - 1)


def in_bounds(value: Value, limit: int) -> Value:
    """Whether 0 <= value <= limit, by one unsigned comparison."""
    if limit < 0:
        return value != value
    return scalar.bitcast(value, "u" + value.type[1:]) <= index_limit(value, limit)


def clamped_index(read: Any, value: Value, limit: int) -> Any:
    """The integer `value` moved into 0 … limit, as an index."""
    if limit == 0:
        return 0
    if value.number is not None:
        return min(max(int(value.number), 0), limit)
    low = scalar.maximum(value, 0) if value.type in scalar.SIGNED else value
    return read.index(scalar.minimum(low, index_limit(value, limit)))


def plus(a: Any, b: Any) -> Any:
    """The sum of two index parts, either of which may be the number 0."""
    if isinstance(a, int) and a == 0:
        return b
    return a if isinstance(b, int) and b == 0 else a + b


def check_index_array(name: str, indices: ArrayType, moving: Sequence[int]) -> None:
    """Raise a named error unless `indices` has an integer start position per moving axis."""
    if not is_integer(indices.dtype):
        raise DTypeError(
            f"{name}: the indices are {indices}", hint="indices must be integers; use .astype(int)"
        )
    if not indices.ndim or indices.shape[-1] != len(moving):
        raise ShapeError(
            f"{name}: the last axis of indices {indices} must hold {len(moving)} positions",
            hint="one for each axis of the array that is indexed",
        )


def check_sorted(name: str, label: str, axes: Sequence[int], ndim: int) -> None:
    """Raise AxisError unless `axes` are axes of an array of `ndim` dimensions, in rising order."""
    check_axes(f"{name}: {label}", axes, ndim)
    if list(axes) != sorted(axes):
        raise AxisError(f"{name}: {label} {tuple(axes)} must be in rising order")


def check_operand_axes(
    name: str, operand: ArrayType, indices: ArrayType, removed: tuple[int, ...], slices: Slices
) -> None:
    """Raise a named error unless the axes of operand and indices are used once and fit."""
    check_sorted(name, "axes that slices lack", removed, operand.ndim)
    check_sorted(name, "operand_batching_dims", slices.batching, operand.ndim)
    check_axes(f"{name}: batching axes of the indices", slices.indices_batching, indices.ndim - 1)
    check_axes(f"{name}: moving and batching axes", slices.moving + slices.batching, operand.ndim)
    check_axes(f"{name}: lacking and batching axes", removed + slices.batching, operand.ndim)
    along = tuple(indices.shape[a] for a in slices.indices_batching)
    if tuple(operand.shape[a] for a in slices.batching) != along:
        raise ShapeError(
            f"{name}: the batching axes {slices.batching} of {operand} and "
            f"{slices.indices_batching} of {indices} differ"
        )


def check_mode(name: str, mode: str, modes: Sequence[str]) -> None:
    """Raise ArgumentError unless `mode` is one of `modes`."""
    if mode not in modes:
        raise ArgumentError(
            f"{name}: there is no mode {mode!r}", hint=f"modes are {', '.join(modes)}"
        )


def check_order(name: str, order: str) -> None:
    """Raise unless updates of one element can be applied in this order."""
    if order not in ORDERS:
        raise ArgumentError(
            f"{name}: there is no order {order!r} of updates",
            hint='they are applied in the order "given", or in "any"',
        )


def window_axes(ndim: int, removed: Sequence[int]) -> list[int]:
    """The axes of the operand that slices have."""
    return [axis for axis in range(ndim) if axis not in removed]


def up(axes: Sequence[int]) -> tuple[int, ...]:
    """`axes` once a new first axis is there."""
    return tuple(axis + 1 for axis in axes)


# ---- gather --------------------------------------------------------------------------------------


@frozen
class Gather(Movement):
    """Slices of `slice_sizes` of the first input, at the start positions along the last axis of the
    second.

    `fill_value` is the number as text (equal text is equal bits), empty for the default of the
    dtype. `order` is that in which the derivative adds up what reaches one element (see `scatter`).
    """

    name = "gather"
    dimension_numbers: GatherDimensionNumbers
    slice_sizes: tuple[int, ...]
    mode: str = "raise"
    fill_value: str = ""
    order: str = "given"

    @property
    def _slices(self) -> Slices:
        n = self.dimension_numbers
        return Slices(
            n.start_index_map, n.operand_batching_dims, n.start_indices_batching_dims,
            self.slice_sizes, self.mode,
        )  # fmt: skip

    @property
    def _removed(self) -> tuple[int, ...]:
        n = self.dimension_numbers
        return n.collapsed_slice_dims + n.operand_batching_dims

    def start_limits(self, x: ArrayType, indices: ArrayType) -> list[int]:
        """For each start position the last at which a slice lies in the array."""
        return self._slices.limits(x.shape)

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, indices = types
        numbers = self.dimension_numbers
        check_mode(self.name, self.mode, GATHER_MODES)
        check_order(self.name, self.order)
        check_index_array(self.name, indices, numbers.start_index_map)
        check_operand_axes(self.name, x, indices, numbers.collapsed_slice_dims, self._slices)
        self._check_sizes(x, indices)
        offsets = [self.slice_sizes[a] for a in window_axes(x.ndim, self._removed)]
        rank = indices.ndim - 1 + len(offsets)
        check_sorted(self.name, "offset_dims", numbers.offset_dims, rank)
        if len(numbers.offset_dims) != len(offsets):
            raise AxisError(
                f"gather: offset_dims {numbers.offset_dims} must name an axis of the output "
                f"for each of the {len(offsets)} axes of a slice"
            )
        rows, inside = iter(indices.shape[:-1]), iter(offsets)
        shape = tuple(next(inside if a in numbers.offset_dims else rows) for a in range(rank))
        return (x.with_shape(shape),)

    def _check_sizes(self, x: ArrayType, indices: ArrayType) -> None:
        if len(self.slice_sizes) != x.ndim:
            raise ArgumentError(
                f"gather: slice_sizes {self.slice_sizes} need one entry per axis of {x}"
            )
        fits = all(0 <= k <= n for k, n in zip(self.slice_sizes, x.shape, strict=True))
        if not fits and indices.size:
            raise ShapeError(
                f"gather: slices of sizes {self.slice_sizes} do not fit in {x}",
                hint="no slice size may exceed the array's",
            )
        if any(
            self.slice_sizes[a] != 1 for a in self.dimension_numbers.collapsed_slice_dims
        ) or any(self.slice_sizes[a] > 1 for a in self.dimension_numbers.operand_batching_dims):
            raise ShapeError(
                f"gather: slice_sizes {self.slice_sizes} must be 1 along axes that slices lack"
            )

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x, indices = map(np.asarray, arrays)
        (out,) = self.infer(ArrayType(x.dtype, x.shape), ArrayType(indices.dtype, indices.shape))
        if not out.size:
            return (np.empty(out.shape, x.dtype),)
        offset_dims = self.dimension_numbers.offset_dims
        starts, inside = self._slices.value_starts(x.shape, indices)
        if self.mode in ("raise", "inside") and not inside.all():
            raise OutOfBoundsError(f"gather: an index is out of bounds for {x.shape}")
        source = [np.expand_dims(s, offset_dims) for s in starts]
        for axis, along in zip(window_axes(x.ndim, self._removed), offset_dims, strict=True):
            steps = [-1 if a == along else 1 for a in range(out.ndim)]
            source[axis] = source[axis] + np.arange(out.shape[along]).reshape(steps)
        result = np.broadcast_to(x[tuple(source)], out.shape)
        if self.mode == "fill":
            fill = np.asarray(self._fill(x.dtype)).astype(x.dtype)
            result = np.where(np.expand_dims(inside, offset_dims), result, fill)
        return (result,)

    def _fill(self, dtype: DType) -> bool | int | float | complex:
        return parse_number(self.fill_value) if self.fill_value else default_fill(dtype)

    def lower(self, read: Any, index: Sequence[Any]) -> Any:
        x, offset_dims = read.type(0), self.dimension_numbers.offset_dims
        batch = [i for a, i in enumerate(index) if a not in offset_dims]
        source, inside = self._slices.lower_starts(read, x.shape, batch)
        for axis, along in zip(window_axes(x.ndim, self._removed), offset_dims, strict=True):
            if self.slice_sizes[axis] > 1:
                source[axis] = plus(source[axis], index[along])
        element = read(0, source, where=inside)
        if inside is None:
            return element
        return choose(inside, element, number_like(element, self._fill(x.dtype)))

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        (x, indices), (t, _) = primals, tangents
        linear = replace(self, fill_value="0.0") if self.mode == "fill" else self
        tangent = None if t is None else bind1(linear, t, indices)
        return [bind1(self, x, indices)], [tangent]

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        from jitml.ops.scatter import ScatterDimensionNumbers, scatter

        (ct,), (x, indices) = cotangents, inputs
        if ct is None or not isinstance(x, Undefined):
            return [None, None]
        mode = "drop" if self.mode == "fill" else self.mode
        numbers = ScatterDimensionNumbers(*self.dimension_numbers)
        total = scatter(zeros_like(x), indices, ct, numbers, "add", mode, False, self.order)
        return [total, None]

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        (x, indices), (axis, indices_axis) = inputs, axes
        n, sizes = self.dimension_numbers, self.slice_sizes
        offset_dims = up(n.offset_dims)
        batching, indices_batching = n.operand_batching_dims, n.start_indices_batching_dims
        collapsed, moving = n.collapsed_slice_dims, n.start_index_map
        if axis is not None:
            x = move_axis(x, axis, 0)
            batching, collapsed, moving = up(batching), up(collapsed), up(moving)
        if indices_axis is not None:
            indices = move_axis(indices, indices_axis, 0)
            indices_batching = up(indices_batching)
        if axis is not None and indices_axis is not None:
            batching, indices_batching = (0, *batching), (0, *indices_batching)
            sizes = (min(size, 1), *sizes)
        elif axis is not None:
            offset_dims, sizes = (0, *offset_dims), (size, *sizes)
        numbers = GatherDimensionNumbers(offset_dims, collapsed, moving, batching, indices_batching)
        op = replace(self, dimension_numbers=numbers, slice_sizes=sizes)
        return [bind1(op, x, indices)], [0]


def default_fill(dtype: DType) -> bool | int | float:
    """What slices out of bounds are filled with, as in JAX: NaN, the integer farthest out, True."""
    if is_inexact(dtype):
        return float("nan")
    if is_bool(dtype):
        return True
    limits = np.iinfo(dtype)
    return int(limits.min if kind(dtype) == "i" else limits.max)


def number_like(element: Any, number: bool | int | float | complex) -> Any:
    """The constant `number` with the type of a scalar value, complex or not."""
    if isinstance(element, Value):
        assert not isinstance(number, complex)
        return element.like(number)
    parts = complex(number)
    return type(element)(element.re.like(parts.real), element.im.like(parts.imag))


_FILL_NUMBERS: dict[str, tuple[type, ...]] = {
    "b": (bool,),
    "i": (bool, int),
    "u": (bool, int),
    "f": (bool, int, float),
    "c": (bool, int, float, complex),
}


def fill_text(fill_value: Any, dtype: DType) -> str:
    """The parameter that stands for `fill_value` (None: the default of the dtype)."""
    if fill_value is None:
        return ""
    number: Any = fill_value.item() if isinstance(fill_value, np.generic) else fill_value
    fits = isinstance(number, _FILL_NUMBERS[kind(dtype)])
    if kind(dtype) == "b" and number in (0, 1):  # as NumPy writes False and True
        number, fits = bool(number), True
    if not fits:
        raise ArgumentError(
            f"gather: the fill value {fill_value!r} does not fit {dtype.name}",
            hint="give a Python number of the array's kind",
        )
    return format_number(convert_number(number, dtype))


def gather(
    x: Traced,
    indices: Traced,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Sequence[int],
    mode: str = "raise",
    fill_value: Any = None,
    order: str = "given",
) -> Traced:
    """Slices of `x` at the start positions in the last axis of `indices`."""
    numbers = GatherDimensionNumbers(*map(integers, dimension_numbers))
    fill = fill_text(fill_value, x.dtype) if mode == "fill" else ""
    return bind1(Gather(numbers, integers(slice_sizes), mode, fill, order), x, indices)
