"""Rounding, remainders, neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.types import ArrayType
from jitml.ops.elementwise.arithmetic import add, div, mul, neg, safe_divisor, sub
from jitml.ops.elementwise.bits import or_
from jitml.ops.elementwise.comparison import eq, gt, lt, ne
from jitml.ops.elementwise.conversion import bitcast
from jitml.ops.elementwise.selection import select
from jitml.ops.kinds import Row, Traced, full_like
from jitml.scalar import value as scalar
from jitml.scalar.value import Value
from jitml.trace.core import type_of

_FLOAT = "f"

floor: Row = Row("floor", np.floor, _FLOAT, (None,), (), scalar.floor)
ceil: Row = Row("ceil", np.ceil, _FLOAT, (None,), (), scalar.ceil)
trunc: Row = Row("trunc", np.trunc, _FLOAT, (None,), (), scalar.trunc)
round_even: Row = Row("round_even", np.rint, _FLOAT, (None,), (), scalar.round_even)


def _round_away_value(x: Any) -> Any:
    below = np.floor(np.abs(x))
    return np.copysign(below + (np.abs(x) - below >= 0.5), x)


round_away: Row = Row(
    "round_away", _round_away_value, _FLOAT, (None,), (),
    lambda x: scalar.copysign(_round_half_up(abs(x)), x),
)  # fmt: skip


def _round_half_up(x: Value) -> Value:
    below = scalar.floor(x)
    return scalar.select(x - below >= 0.5, below + 1, below)


class _NextAfter(Row):
    """For 16-bit floats a step of the bits: kernels compute in f32, whose neighbours are nearer."""

    def expands(self, *types: ArrayType) -> bool:
        return types[0].dtype.itemsize == 2

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        x, y = inputs
        dtype = type_of(x).dtype
        bits = bitcast(x, np.dtype(np.int16))
        one = full_like(bits, 1)
        outward = eq(lt(x, y), gt(x, 0))
        stepped = bitcast(select(outward, add(bits, one), sub(bits, one)), dtype)
        least = bitcast(one, dtype)
        from_zero = select(gt(y, 0), least, neg(least))
        moved = select(eq(x, 0), from_zero, stepped)
        undefined = or_(ne(x, x), ne(y, y))
        return [select(undefined, add(x, y), select(eq(x, y), y, moved))]


nextafter: Row = _NextAfter("nextafter", np.nextafter, _FLOAT, (None, None))


def _remainder(a: Any, b: Any) -> Any:
    """Remainder with the sign of the dividend (C's fmod and %); of integers, x rem 0 = x."""
    if a.type in scalar.FLOATS:
        from jitml.scalar import math as scalar_math

        return scalar_math.fmod(a, b)
    zero, safe = safe_divisor(a, b)
    rest = a % safe
    return scalar.select(zero, a, rest)


def _remainder_value(a: Any, b: Any) -> Any:
    if np.asarray(a).dtype.kind not in "iu":
        return np.fmod(a, b)
    return np.where(np.asarray(b) == 0, a, np.fmod(a, np.where(np.asarray(b) == 0, 1, b)))


rem: Row = Row(
    "rem", _remainder_value, "iuf",
    (lambda t, y, a, b: t, lambda t, y, a, b: neg(mul(t, trunc(div(a, b))))), (), _remainder,
)  # fmt: skip
