"""Rounding to integers and to decimal places."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitml.eager import compiled_at_once
from jitml.ir import dtypes
from jitml.numpy.operands import cast, kind, no_out, operand, settle, strong
from jitml.numpy.rows import Unary, default_floated, numeric, parts
from jitml.ops import elementwise as ew
from jitml.ops.kinds import full_of
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = ["around", "ceil", "fix", "floor", "rint", "round", "trunc"]


def _rounding(name: str, op: Unary, summary: str, call: str, result: str) -> Unary:
    """A function that leaves integers as they are."""
    return numeric(name, lambda x: op(x) if kind(x) not in "biu" else x, summary, call, result)


floor = _rounding("floor", ew.floor, "The greatest integer not above.", "floor(1.7)", "1.0")
ceil = _rounding("ceil", ew.ceil, "The least integer not below.", "ceil(1.2)", "2.0")
trunc = fix = _rounding("trunc", ew.trunc, "The integer part.", "trunc(-1.7)", "-1.0")


def _rint(x: Any) -> Any:
    return parts(ew.round_even)(default_floated(x))


rint = numeric("rint", _rint, "The nearest integer, ties to even.", "rint(2.5)", "2.0")


@compiled_at_once
def round(a: ArrayLike, decimals: int = 0, out: None = None) -> Array:
    """Round to `decimals` places, ties to even.

    >>> print(round(2.5))
    2.0
    """
    no_out("round", out)
    x = operand(a, "round")
    if kind(x) in "biu":
        return settle(x if decimals >= 0 else _round_integers(x, 10**-decimals))
    return settle(parts(lambda part: _round_floats(part, decimals))(x))


around = round


def _round_floats(x: Any, decimals: int) -> Any:
    if decimals == 0:
        return ew.round_even(x)
    type_ = type_of(x)
    wide = cast(x, dtypes.FLOAT32) if type_.dtype.itemsize < 4 else x
    if decimals > 0:
        factor = 10.0**decimals
        result = ew.div(ew.round_even(ew.mul(wide, factor)), factor)
    else:
        factor = 10.0**-decimals
        result = ew.mul(ew.round_even(ew.div(wide, factor)), factor)
    return strong(cast(result, type_.dtype))


def _round_integers(x: Any, unit: int) -> Any:
    if unit > np.iinfo(type_of(x).dtype).max:
        return full_of(type_of(x), 0)
    rest = ew.rem(x, unit)
    rest = ew.select(ew.lt(rest, 0), ew.add(rest, unit), rest)
    below = ew.sub(x, rest)
    odd = ew.ne(ew.rem(ew.div(below, unit), 2), 0)
    up = ew.or_(ew.gt(rest, unit // 2), ew.and_(ew.eq(rest, unit // 2), odd))
    return ew.select(up, ew.add(below, unit), below)
