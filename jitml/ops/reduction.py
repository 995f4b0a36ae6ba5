"""Reductions: sum, product, extremes, bitwise folds, and the positions of extremes.

In: one array and the axes to fold. Out: the array without them. The order of a fold is the code
generator's; an op says only what its state is, how two states combine and what an empty fold gives.
16-bit floats are folded in f32 and rounded once. NaN wins over every number; among equals an
arg-reduction takes the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from jitml.ir.dtypes import (
    FLOAT32,
    INT32,
    DType,
    is_bool,
    is_complex,
    is_float,
    is_integer,
    kind,
    short_name,
)
from jitml.ir.errors import ArgumentError, AxisError, DTypeError, ShapeError
from jitml.ir.op import Undefined
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import convert, div, eq, mul, select
from jitml.ops.kinds import Reduction, Traced, zeros_like
from jitml.ops.tangents import LinearInFirst, WithoutTangents
from jitml.scalar import value as scalar
from jitml.trace.core import bind1, type_of
from jitml_runtime.record import frozen

_KIND_NAMES = {"b": "bool", "i": "signed", "u": "unsigned", "f": "float", "c": "complex"}
_STATE_TYPES = {"bool": "i1", "f16": "f32", "bf16": "f32"}


def check_axes(name: str, axes: Sequence[int], ndim: int) -> tuple[int, ...]:
    """`axes` sorted, if they are axes of an array of rank `ndim`, each named once."""
    for axis in axes:
        if not 0 <= axis < ndim:
            raise AxisError(
                f"{name}: axis {axis} is out of range for an array with {ndim} dimensions",
                hint="axes of this op count from 0",
            )
    if len(set(axes)) != len(axes):
        raise AxisError(f"{name}: an axis is named twice in {tuple(axes)}")
    return tuple(sorted(axes))


def check_kind(name: str, dtype: DType, kinds: str) -> None:
    """Raise DTypeError unless the kind of `dtype` is among `kinds`."""
    if kind(dtype) not in kinds:
        raise DTypeError(
            f"{name} does not take {dtype.name}",
            hint=f"it takes {', '.join(_KIND_NAMES[k] for k in kinds)}; convert with .astype",
        )


def without(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """`shape` (or any sequence over axes) without the entries of `axes`."""
    return tuple(n for axis, n in enumerate(shape) if axis not in axes)


def widened(x: Any) -> Any:
    """A NumPy array to compute with: 16-bit floats as f32, all else as it is."""
    x = np.asarray(x)
    return x.astype(FLOAT32) if is_float(x.dtype) and x.dtype.itemsize == 2 else x


def lowest(dtype: DType) -> bool | int | float:
    """The number below all others of a real dtype."""
    if is_bool(dtype):
        return False
    return -math.inf if is_float(dtype) else int(np.iinfo(dtype).min)


def highest(dtype: DType) -> bool | int | float:
    """The number above all others of a real dtype."""
    if is_bool(dtype):
        return True
    return math.inf if is_float(dtype) else int(np.iinfo(dtype).max)


def adjacent_groups(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """Sorted `axes` split into runs of adjacent ones."""
    groups: list[list[int]] = []
    for axis in axes:
        if groups and groups[-1][-1] + 1 == axis:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    return [tuple(group) for group in groups]


@frozen
class Fold(WithoutTangents, Reduction):
    """A reduction whose result has the dtype of its input."""

    kinds: ClassVar[str]
    ufunc: ClassVar[Any]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        check_axes(self.name, self.axes, x.ndim)
        check_kind(self.name, x.dtype, self.kinds)
        return (x.with_shape(without(x.shape, self.axes)),)

    def empty_value(self, dtype: DType) -> Any:
        """What a fold over no element gives."""
        return self.identity(dtype)[0]

    def identity(self, dtype: DType) -> tuple[Any, ...]:
        raise self._lacks("lower")

    def state_types(self, dtype: DType) -> tuple[str, ...]:
        short = short_name(dtype)
        return (_STATE_TYPES.get(short, short),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x = np.asarray(arrays[0])
        wide = widened(x)
        empty = any(x.shape[axis] == 0 for axis in self.axes)
        initial = self.empty_value(x.dtype) if empty else self.identity(x.dtype)[0]
        with np.errstate(all="ignore"):
            result = self.ufunc.reduce(wide, axis=self.axes, dtype=wide.dtype, initial=initial)
            return (np.asarray(result).astype(x.dtype),)

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        shifted, out_axis = batched_axes(self.axes, axes[0])
        return [bind1(type(self)(shifted), *inputs)], [out_axis]

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        """One fold per group of adjacent axes, innermost first; 16-bit floats stay f32 between."""
        (x,) = inputs
        dtype, weak = type_of(x).dtype, type_of(x).weak
        groups = adjacent_groups(self.axes)
        wide = FLOAT32 if len(groups) > 1 and is_float(dtype) and dtype.itemsize == 2 else dtype
        x = convert(x, wide, weak)
        for group in reversed(groups):
            x = bind1(type(self)(group), x)
        return [convert(x, dtype, weak)]


def batched_axes(axes: tuple[int, ...], batch: int | None) -> tuple[tuple[int, ...], int]:
    """Where reduced `axes` lie beside a batch axis, and where the batch axis ends up."""
    assert batch is not None
    shifted = tuple(axis + (axis >= batch) for axis in axes)
    return shifted, batch - sum(axis < batch for axis in shifted)


class ReduceSum(LinearInFirst, Fold):
    """The sum over `axes`."""

    name = "reduce_sum"
    kinds = "iufc"
    ufunc = np.add

    # −0 and not 0, since 0 + −0 is 0: the identity must leave every number as it is.
    def identity(self, dtype: DType) -> tuple[Any, ...]:
        if is_complex(dtype):
            return (complex(-0.0, -0.0),)
        return (-0.0 if is_float(dtype) else 0,)

    def empty_value(self, dtype: DType) -> Any:
        return 0

    def combine(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        return (a[0] + b[0],)

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,), (x,) = cotangents, inputs
        return [None if ct is None else spread(ct, x.type.shape, self.axes)]


def spread(x: Traced, shape: tuple[int, ...], axes: Sequence[int]) -> Traced:
    """A reduced array repeated along the reduced `axes` of `shape`."""
    from jitml.ops.movement import broadcast_in_dim

    return broadcast_in_dim(x, shape, without(range(len(shape)), axes))


class ReduceProd(Fold):
    """The product over `axes`."""

    name = "reduce_prod"
    kinds = "iufc"
    ufunc = np.multiply

    def identity(self, dtype: DType) -> tuple[Any, ...]:
        return (1.0 if is_float(dtype) else complex(1.0, 0.0) if is_complex(dtype) else 1,)

    def combine(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        return (a[0] * b[0],)

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        (x,), (t,) = primals, tangents
        out = bind1(self, x)
        return [out], [None if t is None else self._tangent(x, t)]

    def _tangent(self, x: Traced, t: Traced) -> Traced:
        """Σ t_i · Π_{j≠i} x_j; the products of the others need no division, so x may be 0."""
        from jitml.ops.cumulative import exclusive_cumprod

        x, t = self._in_line(x), self._in_line(t)
        axis = type_of(x).ndim - 1
        others = mul(exclusive_cumprod(x, axis), exclusive_cumprod(x, axis, reverse=True))
        return reduce_sum(mul(t, others), (axis,))

    def _in_line(self, x: Traced) -> Traced:
        """`x` with the reduced axes merged into one, the last."""
        from jitml.ops.movement import reshape, transpose

        shape = type_of(x).shape
        kept = without(range(len(shape)), self.axes)
        lengths = [shape[axis] for axis in self.axes]
        line = (*without(shape, self.axes), math.prod(lengths))
        return reshape(transpose(x, (*kept, *self.axes)), line)


class _Extreme(Fold):
    kinds = "biuf"

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        """The mean of the tangents of all elements that equal the extreme."""
        (x,), (t,) = primals, tangents
        out = bind1(self, x)
        if t is None or 0 in type_of(x).shape:
            return [out], [None]
        chosen = eq(x, spread(out, type_of(x).shape, self.axes))
        total = reduce_sum(select(chosen, t, zeros_like(t)), self.axes)
        count = reduce_sum(convert(chosen, type_of(t).dtype), self.axes)
        return [out], [div(total, count)]


class ReduceMax(_Extreme):
    """The largest element over `axes`; NaN if there is one."""

    name = "reduce_max"
    ufunc = np.maximum

    def identity(self, dtype: DType) -> tuple[Any, ...]:
        return (lowest(dtype),)

    def combine(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        return (a[0] | b[0] if a[0].type == "i1" else scalar.maximum(a[0], b[0]),)


class ReduceMin(_Extreme):
    """The smallest element over `axes`; NaN if there is one."""

    name = "reduce_min"
    ufunc = np.minimum

    def identity(self, dtype: DType) -> tuple[Any, ...]:
        return (highest(dtype),)

    def combine(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        return (a[0] & b[0] if a[0].type == "i1" else scalar.minimum(a[0], b[0]),)


class ReduceAnd(Fold):
    """Bitwise and over `axes`; of bools, whether all are true."""

    name = "reduce_and"
    kinds = "biu"
    ufunc = np.bitwise_and

    def identity(self, dtype: DType) -> tuple[Any, ...]:
        return (-1 if kind(dtype) == "i" else highest(dtype),)

    def combine(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        return (a[0] & b[0],)


class ReduceOr(Fold):
    """Bitwise or over `axes`; of bools, whether any is true."""

    name = "reduce_or"
    kinds = "biu"
    ufunc = np.bitwise_or

    def identity(self, dtype: DType) -> tuple[Any, ...]:
        return (False if is_bool(dtype) else 0,)

    def combine(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        return (a[0] | b[0],)


class ReduceXor(Fold):
    """Bitwise exclusive or over `axes`; of bools, whether an odd number is true."""

    name = "reduce_xor"
    kinds = "biu"
    ufunc = np.bitwise_xor

    def identity(self, dtype: DType) -> tuple[Any, ...]:
        return (False if is_bool(dtype) else 0,)

    def combine(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        return (a[0] ^ b[0],)


@frozen
class _ArgReduction(WithoutTangents, Reduction):
    """The position of an extreme along one axis, as an integer of `dtype`."""

    dtype: DType

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        check_axes(self.name, self.axes, x.ndim)
        check_kind(self.name, x.dtype, "biuf")
        (axis,) = self.axes
        if not is_integer(self.dtype):
            raise DTypeError(f"{self.name}: positions are integers, not {self.dtype.name}")
        if x.shape[axis] == 0:
            raise ShapeError(f"{self.name}: axis {axis} of {x} is empty, so it has no extreme")
        if x.shape[axis] - 1 > np.iinfo(self.dtype).max:
            raise ArgumentError(
                f"{self.name}: {self.dtype.name} cannot number an axis of {x.shape[axis]} elements",
                hint="ask for int64 positions",
            )
        return (ArrayType(self.dtype, without(x.shape, self.axes)),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        find = np.argmax if self.name == "argmax" else np.argmin
        return (np.asarray(find(widened(arrays[0]), axis=self.axes[0])).astype(self.dtype),)

    def state_types(self, dtype: DType) -> tuple[str, ...]:
        short = short_name(dtype)
        position = "i32" if np.can_cast(self.dtype, np.int32) else "i64"
        return ({"bool": "u8", "f16": "f32", "bf16": "f32"}.get(short, short), position)

    def element(self, x: Any, position: Any) -> tuple[Any, ...]:
        _, type_ = self.state_types(self.dtype)
        position = scalar.convert(position, type_)
        return (scalar.convert(x, "u8") if x.type == "i1" else x, position)

    def combine(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        """The better of two; the earlier of equals, in whatever order they come."""
        (x, i), (y, j) = a, b
        better, same = self._better(x, y), x == y
        if x.type in scalar.FLOATS:
            x_nan, y_nan = scalar.is_nan(x), scalar.is_nan(y)
            better, same = better | (x_nan & ~y_nan), same | (x_nan & y_nan)
        take = better | (same & (i < j))
        return scalar.select(take, x, y), scalar.select(take, i, j)

    def append(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        (x, i), (y, j) = a, b
        take = ~(x >= y if self.name == "argmax" else x <= y)
        if x.type in scalar.FLOATS:
            take = take & (x == x)
        return scalar.select(take, y, x), scalar.select(take, j, i)

    def _better(self, x: Any, y: Any) -> Any:
        return x > y if self.name == "argmax" else x < y

    def result(self, state: tuple[Any, ...]) -> Any:
        return scalar.convert(state[1], short_name(self.dtype))

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        shifted, out_axis = batched_axes(self.axes, axes[0])
        return [bind1(type(self)(shifted, self.dtype), *inputs)], [out_axis]


class ArgMax(_ArgReduction):
    """The first position of the largest element; of the first NaN if there is one."""

    name = "argmax"

    def identity(self, dtype: DType) -> tuple[Any, ...]:
        # Its position is only seen where all elements are the lowest: there it is right.
        return (0 if is_bool(dtype) else lowest(dtype), 0)


class ArgMin(_ArgReduction):
    """The first position of the smallest element; of the first NaN if there is one."""

    name = "argmin"

    def identity(self, dtype: DType) -> tuple[Any, ...]:
        return (1 if is_bool(dtype) else highest(dtype), 0)


def _reduce(op: type[Fold], x: Traced, axes: Sequence[int]) -> Traced:
    checked = check_axes(op.name, axes, type_of(x).ndim)
    check_kind(op.name, type_of(x).dtype, op.kinds)
    return bind1(op(checked), x) if checked else x


def reduce_sum(x: Traced, axes: Sequence[int]) -> Traced:
    """The sum of `x` over `axes`."""
    return _reduce(ReduceSum, x, axes)


def reduce_prod(x: Traced, axes: Sequence[int]) -> Traced:
    """The product of `x` over `axes`."""
    return _reduce(ReduceProd, x, axes)


def reduce_max(x: Traced, axes: Sequence[int]) -> Traced:
    """The largest element of `x` over `axes`; −inf (or the smallest integer) of none."""
    return _reduce(ReduceMax, x, axes)


def reduce_min(x: Traced, axes: Sequence[int]) -> Traced:
    """The smallest element of `x` over `axes`; inf (or the largest integer) of none."""
    return _reduce(ReduceMin, x, axes)


def reduce_and(x: Traced, axes: Sequence[int]) -> Traced:
    """Bitwise and of `x` over `axes`."""
    return _reduce(ReduceAnd, x, axes)


def reduce_or(x: Traced, axes: Sequence[int]) -> Traced:
    """Bitwise or of `x` over `axes`."""
    return _reduce(ReduceOr, x, axes)


def reduce_xor(x: Traced, axes: Sequence[int]) -> Traced:
    """Bitwise exclusive or of `x` over `axes`."""
    return _reduce(ReduceXor, x, axes)


def argmax(x: Traced, axis: int, dtype: DType = INT32) -> Traced:
    """The first position of the largest element along `axis`."""
    return bind1(ArgMax(check_axes("argmax", (axis,), type_of(x).ndim), dtype), x)


def argmin(x: Traced, axis: int, dtype: DType = INT32) -> Traced:
    """The first position of the smallest element along `axis`."""
    return bind1(ArgMin(check_axes("argmin", (axis,), type_of(x).ndim), dtype), x)
