"""Sums, products, extremes and running folds that leave NaN out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jitml.ir import dtypes
from jitml.ir.dtypes import DType
from jitml.numpy.choice import choose
from jitml.numpy.classification import isnan
from jitml.numpy.cumulative import cumprod, cumsum
from jitml.numpy.extremes import argmax, argmin, max, min
from jitml.numpy.operands import kind, operand, settle
from jitml.numpy.reductions import all, masked, prod, sum
from jitml.numpy.rows import Function, alike
from jitml.ops import elementwise as ew
from jitml.ops.reduction import highest, lowest
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, Axis, DTypeLike

__all__ = [
    "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmin", "nanprod", "nansum",
]  # fmt: skip


def without_nan(a: ArrayLike, filler: Any) -> Any:
    """The operand with `filler` in the place of NaN."""
    x = operand(a)
    if kind(x) not in "fc":
        return x
    return masked(x, settle(ew.not_(operand(isnan(x)))), filler)


def nansum(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Array:
    """The sum without NaN.

    >>> import jitml.numpy as jnp
    >>> print(nansum(jnp.array([1.0, float("nan")])))
    1.0
    """
    return sum(without_nan(a, 0), axis, dtype, out, keepdims, initial, where)


nanprod = alike(
    nansum,
    lambda a, *rest, **options: prod(without_nan(a, 1), *rest, **options),
    "nanprod", "The product without NaN.", "nanprod(array([2.0, nan]))", "2.0",
)  # fmt: skip


def _of_kind(x: Any, limit: float) -> float | complex:
    """A limit of the order in which x stands: complex numbers have it in both parts."""
    return complex(limit, limit) if kind(x) == "c" else limit


def _extreme(
    extreme: Function,
    worst: Callable[[DType], Any],
    name: str, summary: str, call: str, result: str,
) -> Function:  # fmt: skip
    """max or min without NaN, which is the result only where there is nothing else."""

    def function(
        a: ArrayLike,
        axis: Axis = None,
        out: None = None,
        keepdims: bool = False,
        initial: ArrayLike | None = None,
        where: ArrayLike | None = None,
    ) -> Array:
        x = operand(a)
        filler = _of_kind(x, worst(dtypes.real_dtype(type_of(x).dtype)))
        found = extreme(without_nan(x, filler), axis, out, keepdims, initial, where)
        if kind(x) not in "fc" or initial is not None:
            return found
        empty = all(isnan(x), axis, keepdims=keepdims)
        return settle(operand(choose(empty, float("nan"), found)))

    return alike(extreme, function, name, summary, call, result)


nanmax = _extreme(
    max, lowest,
    "nanmax", "The greatest element that is not NaN.", "nanmax(array([1.0, nan]))", "1.0",
)  # fmt: skip
nanmin = _extreme(
    min, highest,
    "nanmin", "The smallest element that is not NaN.", "nanmin(array([1.0, nan]))", "1.0",
)  # fmt: skip


def _position(
    position: Function, worst: float, name: str, summary: str, call: str, result: str
) -> Function:
    """argmax or argmin without NaN; −1 where there is nothing else."""

    def function(
        a: ArrayLike, axis: int | None = None, out: None = None, keepdims: bool | None = None
    ) -> Array:
        x = operand(a)
        found = position(without_nan(x, _of_kind(x, worst)), axis, out, keepdims)
        empty = all(isnan(x), axis, keepdims=bool(keepdims))
        return settle(operand(choose(empty, -1, found)))

    return alike(position, function, name, summary, call, result)


nanargmax = _position(
    argmax, -math.inf,
    "nanargmax", "Where the greatest element that is not NaN is; −1 if all are.",
    "nanargmax(array([nan, 1.0]))", "1",
)  # fmt: skip
nanargmin = _position(
    argmin, math.inf,
    "nanargmin", "Where the smallest element that is not NaN is; −1 if all are.",
    "nanargmin(array([nan, 1.0]))", "1",
)  # fmt: skip
nancumsum = alike(
    cumsum,
    lambda a, *rest, **options: cumsum(without_nan(a, 0), *rest, **options),
    "nancumsum", "The running sum without NaN.", "nancumsum(array([1.0, nan, 2.0]))", "[1. 1. 3.]",
)  # fmt: skip
nancumprod = alike(
    cumprod,
    lambda a, *rest, **options: cumprod(without_nan(a, 1), *rest, **options),
    "nancumprod", "The running product without NaN.",
    "nancumprod(array([2.0, nan, 2.0]))", "[2. 2. 4.]",
)  # fmt: skip
