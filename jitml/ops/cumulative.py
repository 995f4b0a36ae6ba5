"""Cumulative folds along one axis: sum, product, extremes, log of a sum of exponentials.

In: one array, an axis and a direction. Out: an array of the same type, whose element i folds all
elements up to i. The code generator runs the fold in order and asks `lower_combine` for one step;
16-bit floats run in f32 and are rounded where they are stored. Derivatives are first-order linear
recurrences, computed in log2(n) whole-array steps, and right where elements are 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from jitml.ir.op import Op, Undefined
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import add, eq, exp, mul, ne, or_, select, sub, zero_times
from jitml.ops.kinds import Traced, full_of, zeros_like
from jitml.ops.reduction import check_axes, check_kind, widened
from jitml.scalar import value as scalar
from jitml.trace.core import bind1, type_of
from jitml.trace.numbers import literal
from jitml_runtime.record import frozen


@frozen
class Cumulative(Op):
    """A fold along `axis` that keeps every partial result; `reverse` runs it from the end."""

    axis: int
    reverse: bool = False

    kinds: ClassVar[str]
    ufunc: ClassVar[Any]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        check_axes(self.name, (self.axis,), x.ndim)
        check_kind(self.name, x.dtype, self.kinds)
        return (x,)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x = np.asarray(arrays[0])
        wide = np.flip(widened(x), self.axis) if self.reverse else widened(x)
        with np.errstate(all="ignore"):
            result = self.ufunc.accumulate(wide, axis=self.axis, dtype=wide.dtype)
            return ((np.flip(result, self.axis) if self.reverse else result).astype(x.dtype),)

    def lower_combine(self, running: Any, x: Any) -> Any:
        """The partial result after element `x`, where `running` is the one before it."""
        raise self._lacks("lower")

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        (x,), (t,) = primals, tangents
        y = bind1(self, x)
        return [y], [None if t is None else self.tangent(t, y, x)]

    def tangent(self, t: Traced, y: Traced, x: Traced) -> Traced:
        """The tangent of the output `y` for the tangent `t` of `x`."""
        raise self._lacks("jvp")

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        (batch,) = axes
        assert batch is not None
        op = type(self)(self.axis + (self.axis >= batch), self.reverse)
        return [bind1(op, *inputs)], [batch]


class CumSum(Cumulative):
    """Sums of all elements up to each."""

    name = "cumsum"
    kinds = "iufc"
    ufunc = np.add

    def lower_combine(self, running: Any, x: Any) -> Any:
        return running + x

    def tangent(self, t: Traced, y: Traced, x: Traced) -> Traced:
        return bind1(self, t)

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,) = cotangents
        return [None if ct is None else bind1(CumSum(self.axis, not self.reverse), ct)]


class CumProd(Cumulative):
    """Products of all elements up to each."""

    name = "cumprod"
    kinds = "iufc"
    ufunc = np.multiply

    def lower_combine(self, running: Any, x: Any) -> Any:
        return running * x

    def tangent(self, t: Traced, y: Traced, x: Traced) -> Traced:
        before = _shifted(y, 1.0, 1, self.axis, self.reverse)
        return linear_recurrence(x, mul(before, t), self.axis, self.reverse)


class _CumExtreme(Cumulative):
    kinds = "biuf"

    def tangent(self, t: Traced, y: Traced, x: Traced) -> Traced:
        """The tangent of the latest element that equals the extreme so far."""
        from jitml.ops.movement import iota
        from jitml.ops.sort import position_dtype, take_along_axis

        shape = type_of(x).shape
        length = shape[self.axis]
        position = iota(position_dtype(length), shape, self.axis)
        attained = or_(eq(x, y), ne(x, x))
        if self.reverse:
            last = full_of(type_of(position), max(length - 1, 0))
            where = bind1(CumMin(self.axis, True), select(attained, position, last))
        else:
            where = bind1(CumMax(self.axis), select(attained, position, zeros_like(position)))
        return take_along_axis(t, where, self.axis)


class CumMax(_CumExtreme):
    """The largest of all elements up to each; NaN from the first NaN on."""

    name = "cummax"
    ufunc = np.maximum

    def lower_combine(self, running: Any, x: Any) -> Any:
        return running | x if x.type == "i1" else scalar.maximum(running, x)


class CumMin(_CumExtreme):
    """The smallest of all elements up to each; NaN from the first NaN on."""

    name = "cummin"
    ufunc = np.minimum

    def lower_combine(self, running: Any, x: Any) -> Any:
        return running & x if x.type == "i1" else scalar.minimum(running, x)


class CumLogSumExp(Cumulative):
    """The logarithm of the sum of the exponentials of all elements up to each."""

    name = "cumlogsumexp"
    kinds = "f"
    ufunc = np.logaddexp

    def lower_combine(self, running: Any, x: Any) -> Any:
        from jitml.scalar.exponential import exp
        from jitml.scalar.logarithm import log1p

        gap = running - x
        grown = scalar.maximum(running, x) + log1p(exp(-abs(gap)))
        # The gap of two equal infinities is NaN; their sum is right.
        return scalar.select(scalar.is_nan(gap), running + x, grown)

    def tangent(self, t: Traced, y: Traced, x: Traced) -> Traced:
        """ẏ_i = exp(y_{i-1} − y_i) ẏ_{i-1} + exp(x_i − y_i) ẋ_i, all weights at most 1."""
        before = _shifted(y, -math.inf, 1, self.axis, self.reverse)
        finite = select(eq(y, -math.inf), zeros_like(y), y)
        decay, weight = exp(sub(before, finite)), exp(sub(x, finite))
        return linear_recurrence(decay, mul(weight, t), self.axis, self.reverse)


def _shifted(x: Traced, fill: float, by: int, axis: int, reverse: bool) -> Traced:
    """`x` moved `by` places along `axis` in the direction of the fold, with `fill` behind it."""
    from jitml.ops.movement import pad

    type_ = type_of(x)
    by = min(by, type_.shape[axis])
    config = [(0, 0, 0)] * type_.ndim
    config[axis] = (-by, by, 0) if reverse else (by, -by, 0)
    return pad(x, literal(fill, type_), tuple(config))


def linear_recurrence(a: Traced, u: Traced, axis: int, reverse: bool = False) -> Traced:
    """h with h_i = a_i h_{i-1} + u_i along `axis` (h before the first element is 0)."""
    length, step = type_of(u).shape[axis], 1
    while step < length:
        # After each round (a_i, u_i) stand for `step` steps at once. The zeros shifted in are
        # strong: what an infinite or NaN a_i would have multiplied lies before the beginning.
        u = add(u, zero_times(_shifted(u, 0.0, step, axis, reverse), a))
        step *= 2
        if step < length:
            a = zero_times(_shifted(a, 0.0, step // 2, axis, reverse), a)
    return u


def exclusive_cumprod(x: Traced, axis: int, reverse: bool = False) -> Traced:
    """The product of all elements before each."""
    return cumprod(_shifted(x, 1.0, 1, axis, reverse), axis, reverse)


def cumsum(x: Traced, axis: int, reverse: bool = False) -> Traced:
    """Sums of all elements of `x` up to each along `axis`; `reverse` starts at the end."""
    return bind1(CumSum(axis, reverse), x)


def cumprod(x: Traced, axis: int, reverse: bool = False) -> Traced:
    """Products of all elements of `x` up to each along `axis`."""
    return bind1(CumProd(axis, reverse), x)


def cummax(x: Traced, axis: int, reverse: bool = False) -> Traced:
    """The largest of all elements of `x` up to each along `axis`."""
    return bind1(CumMax(axis, reverse), x)


def cummin(x: Traced, axis: int, reverse: bool = False) -> Traced:
    """The smallest of all elements of `x` up to each along `axis`."""
    return bind1(CumMin(axis, reverse), x)


def cumlogsumexp(x: Traced, axis: int, reverse: bool = False) -> Traced:
    """log Σ exp of all elements of `x` up to each along `axis`."""
    return bind1(CumLogSumExp(axis, reverse), x)
