"""Sums, products, extremes and running folds that leave NaN out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jitml.ir import dtypes
from jitml.ir.dtypes import DType
from jitml.numpy.elementwise import isnan, kind
from jitml.numpy.logic import where as _where
from jitml.numpy.operands import (
    operand,
    settle,
)
from jitml.numpy.reductions import (
    all,
    argmax,
    argmin,
    cumprod,
    cumsum,
    highest,
    lowest,
    masked,
    max,
    min,
    prod,
    sum,
)
from jitml.ops import elementwise as ew
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, Axis, DTypeLike

# ---- folds that leave NaN out ---------------------------------------------------------------


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


def nanprod(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Array:
    """The product without NaN.

    >>> import jitml.numpy as jnp
    >>> print(nanprod(jnp.array([2.0, float("nan")])))
    2.0
    """
    return prod(without_nan(a, 1), axis, dtype, out, keepdims, initial, where)


def _of_kind(x: Any, limit: float) -> float | complex:
    """A limit of the order in which x stands: complex numbers have it in both parts."""
    return complex(limit, limit) if kind(x) == "c" else limit


def _nan_extreme(
    extreme: Callable[..., Any],
    filler: Callable[[DType], Any],
    a: ArrayLike,
    axis: Axis,
    keepdims: bool,
    initial: ArrayLike | None,
    where: ArrayLike | None,
) -> Array:
    x = operand(a)
    worst = _of_kind(x, filler(dtypes.real_dtype(type_of(x).dtype)))
    result = extreme(without_nan(x, worst), axis, None, keepdims, initial, where)
    if kind(x) not in "fc" or initial is not None:
        return result
    empty = all(isnan(x), axis, keepdims=keepdims)
    return settle(operand(_where(empty, float("nan"), result)))


def nanmax(
    a: ArrayLike,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Array:
    """The greatest element that is not NaN.

    >>> import jitml.numpy as jnp
    >>> print(nanmax(jnp.array([1.0, float("nan")])))
    1.0
    """
    return _nan_extreme(max, lowest, a, axis, keepdims, initial, where)


def nanmin(
    a: ArrayLike,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Array:
    """The smallest element that is not NaN.

    >>> import jitml.numpy as jnp
    >>> print(nanmin(jnp.array([1.0, float("nan")])))
    1.0
    """
    return _nan_extreme(min, highest, a, axis, keepdims, initial, where)


def nanargmax(
    a: ArrayLike, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Array:
    """Where the greatest element that is not NaN is; −1 if all are.

    >>> import jitml.numpy as jnp
    >>> print(nanargmax(jnp.array([float("nan"), 1.0])))
    1
    """
    x = operand(a)
    found = argmax(without_nan(x, _of_kind(x, -math.inf)), axis, out, keepdims)
    empty = all(isnan(x), axis, keepdims=bool(keepdims))
    return settle(operand(_where(empty, -1, found)))


def nanargmin(
    a: ArrayLike, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Array:
    """Where the smallest element that is not NaN is; −1 if all are.

    >>> import jitml.numpy as jnp
    >>> print(nanargmin(jnp.array([float("nan"), 1.0])))
    1
    """
    x = operand(a)
    found = argmin(without_nan(x, _of_kind(x, math.inf)), axis, out, keepdims)
    empty = all(isnan(x), axis, keepdims=bool(keepdims))
    return settle(operand(_where(empty, -1, found)))


def nancumsum(
    a: ArrayLike, axis: int | None = None, dtype: DTypeLike | None = None, out: None = None
) -> Array:
    """The running sum without NaN.

    >>> import jitml.numpy as jnp
    >>> print(nancumsum(jnp.array([1.0, float("nan"), 2.0])))
    [1. 1. 3.]
    """
    return cumsum(without_nan(a, 0), axis, dtype, out)


def nancumprod(
    a: ArrayLike, axis: int | None = None, dtype: DTypeLike | None = None, out: None = None
) -> Array:
    """The running product without NaN.

    >>> import jitml.numpy as jnp
    >>> print(nancumprod(jnp.array([2.0, float("nan"), 2.0])))
    [2. 2. 4.]
    """
    return cumprod(without_nan(a, 1), axis, dtype, out)
