"""Collectives: what the elements of a mapped axis tell each other.

Each takes the value of one element, and gives one element's result. `vmap` of the axis that they
name takes them away: there the values of all elements are one array, and a collective is a
reduction, a movement, or nothing at all. Where a value is the same for all elements, so is the
result of `all_reduce` and `all_gather`: it stays without an axis.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np

from jitml.ir.dtypes import INT32, is_integer
from jitml.ir.op import Op, Undefined
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import convert, div, eq, mul, select
from jitml.ops.kinds import Traced, full_of, zeros_like
from jitml.ops.layout import batch_to_front, iota, move_axis, reverse
from jitml.ops.reduction import reduce_max, reduce_min, reduce_sum
from jitml.ops.slicing import concatenate, slice_
from jitml.ops.tangents import LinearInFirst, WithoutTangents
from jitml.trace.axes import unbound_axis_error
from jitml.trace.core import bind1, type_of
from jitml_runtime.record import frozen, replace

Axis: TypeAlias = int | None
_FOLDS: dict[str, Callable[..., Traced]] = {
    "sum": reduce_sum, "max": reduce_max, "min": reduce_min
}  # fmt: skip


@frozen
class Collective(Op):
    """An op among the `size` elements of the axis `axis_name`."""

    axis_name: Hashable
    size: int

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        raise unbound_axis_error(self.axis_name, self.name)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        raise unbound_axis_error(self.axis_name, self.name)

    def gathered(
        self, inputs: Sequence[Traced], axes: Sequence[Axis]
    ) -> tuple[Sequence[Traced], Sequence[Axis]]:
        """The outputs for all elements of the axis, whose inputs are stacked along `axes` (None:
        one value for all), and the axes along which they are stacked themselves.
        """
        raise self._lacks("batch")


@frozen
class LinearCollective(LinearInFirst, Collective):
    """A collective that is linear in its one input."""

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,) = cotangents
        return [None if ct is None else self.pulled(ct)]

    def pulled(self, ct: Traced) -> Traced:
        """The cotangent of the input: a sum over the elements that the input went to."""
        raise self._lacks("transpose")

    def gathered(
        self, inputs: Sequence[Traced], axes: Sequence[Axis]
    ) -> tuple[Sequence[Traced], Sequence[Axis]]:
        x, axis = self.gathered_one(inputs[0], axes[0])
        return [x], [axis]

    def gathered_one(self, x: Traced, axis: Axis) -> tuple[Traced, Axis]:
        """`gathered` for the one input."""
        raise self._lacks("batch")


# ---- reductions ----------------------------------------------------------------------------------


@frozen
class AllReduce(LinearCollective):
    """The sum ("sum") or an extreme ("max", "min") of the values of all elements."""

    name = "all_reduce"
    kind: str

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        """Of an extreme: the mean of the tangents of all elements that equal it."""
        (x,), (t,) = primals, tangents
        if self.kind == "sum" or t is None:
            return super().jvp(primals, tangents)
        out = bind1(self, x)
        chosen, add_up = eq(x, out), replace(self, kind="sum")
        total = bind1(add_up, select(chosen, t, zeros_like(t)))
        return [out], [div(total, bind1(add_up, convert(chosen, type_of(t).dtype)))]

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        if self.kind != "sum":
            raise self._lacks("transpose")
        return super().transpose(cotangents, inputs)

    def pulled(self, ct: Traced) -> Traced:
        return bind1(self, ct)

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[Axis]
    ) -> tuple[Sequence[Traced], Sequence[Axis]]:
        return [bind1(self, *inputs)], axes

    def gathered_one(self, x: Traced, axis: Axis) -> tuple[Traced, Axis]:
        if axis is not None:
            return _FOLDS[self.kind](x, (axis,)), None
        return (_times(x, self.size) if self.kind == "sum" else x), None


def _times(x: Traced, size: int) -> Traced:
    """`x` as often as there are elements; integers wrap around, as their sum would."""
    dtype = type_of(x).dtype
    return mul(x, int(np.asarray(size).astype(dtype)) if is_integer(dtype) else size)


# ---- movements -----------------------------------------------------------------------------------


@frozen
class AllGather(LinearCollective):
    """The values of all elements, stacked along a new first axis."""

    name = "all_gather"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        return (x.with_shape((self.size, *x.shape)),)

    def pulled(self, ct: Traced) -> Traced:
        return reduce_sum(bind1(AllToAll(self.axis_name, self.size), ct), (0,))

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[Axis]
    ) -> tuple[Sequence[Traced], Sequence[Axis]]:
        (axis,) = axes
        return [bind1(self, *inputs)], [None if axis is None else axis + 1]

    def gathered_one(self, x: Traced, axis: Axis) -> tuple[Traced, Axis]:
        return batch_to_front(self.size, x, axis), None


@frozen
class AllToAll(LinearCollective):
    """Slice k of the input along its first axis goes to element k, which stacks what it gets in
    the order of those that sent it.
    """

    name = "all_to_all"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def pulled(self, ct: Traced) -> Traced:
        return bind1(self, ct)

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[Axis]
    ) -> tuple[Sequence[Traced], Sequence[Axis]]:
        (x,), (axis,) = inputs, axes
        assert axis is not None
        return [bind1(self, move_axis(x, axis, 1))], [1]

    def gathered_one(self, x: Traced, axis: Axis) -> tuple[Traced, Axis]:
        return batch_to_front(self.size, x, axis), 1


@frozen
class Permute(LinearCollective):
    """Element k gets the value of element `sources[k]`, or zeros where that is −1.

    No element is a source twice.
    """

    name = "ppermute"
    sources: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def pulled(self, ct: Traced) -> Traced:
        back = [-1] * self.size
        for target, source in enumerate(self.sources):
            if source >= 0:
                back[source] = target
        return bind1(replace(self, sources=tuple(back)), ct)

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[Axis]
    ) -> tuple[Sequence[Traced], Sequence[Axis]]:
        return [bind1(self, *inputs)], axes

    def gathered_one(self, x: Traced, axis: Axis) -> tuple[Traced, Axis]:
        if axis is None and min(self.sources, default=0) >= 0:
            return x, None
        stacked = batch_to_front(self.size, x, axis)
        blocks = [_block(stacked, *run) for run in _runs(self.sources)]
        return concatenate(blocks, 0), 0


def _runs(sources: Sequence[int]) -> list[tuple[int, int, int]]:
    """Consecutive sources, as (first, step, count) with a step of 1, −1 or, for no source, 0: few,
    for shifts and the like.
    """
    runs: list[tuple[int, int, int]] = []
    for source in sources:
        if runs:
            first, step, count = runs[-1]
            steps = (0,) if first < 0 else (1, -1) if count == 1 else (step,)
            going = [
                d for d in steps if source == first + count * d and (source < 0) == (first < 0)
            ]
            if going:
                runs[-1] = (first, going[0], count + 1)
                continue
        runs.append((source, 1, 1))
    return runs


def _block(x: Traced, first: int, step: int, count: int) -> Traced:
    """The rows of `x` of a run; zeros for one of none."""
    shape = type_of(x).shape
    if first < 0:
        return full_of(type_of(x).with_shape((count, *shape[1:])), 0)
    low = first if step > 0 else first - count + 1
    rows = slice_(x, [low, *[0] * (len(shape) - 1)], [low + count, *shape[1:]])
    return reverse(rows, (0,)) if step < 0 else rows


@frozen
class AxisIndex(WithoutTangents, Collective):
    """The number of the element, as an i32."""

    name = "axis_index"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (ArrayType(INT32, ()),)

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[Axis]
    ) -> tuple[Sequence[Traced], Sequence[Axis]]:
        return [bind1(self)], [None]

    def gathered(
        self, inputs: Sequence[Traced], axes: Sequence[Axis]
    ) -> tuple[Sequence[Traced], Sequence[Axis]]:
        return [iota(INT32, (self.size,), 0)], [0]
