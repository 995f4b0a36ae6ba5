"""Means and variances.

16-bit floats are computed in float32 and rounded once.
"""

from __future__ import annotations

import math
from typing import Any

from jitml.eager import compiled_at_once
from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError
from jitml.numpy.choice import choose
from jitml.numpy.classification import isnan
from jitml.numpy.logic import logical_and, logical_not
from jitml.numpy.manipulation import broadcast_to
from jitml.numpy.nan_reductions import without_nan
from jitml.numpy.operands import (
    as_axes,
    as_dtype,
    cast,
    common_shape,
    expand_to,
    fail,
    inexact,
    kind,
    no_out,
    operand,
    promoted,
    settle,
    strong,
)
from jitml.numpy.reductions import sum as _sum
from jitml.numpy.rows import Function, alike
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, Axis, DTypeLike

__all__ = ["average", "mean", "nanmean", "nanstd", "nanvar", "std", "var"]


def working_operand(name: str, a: ArrayLike, dtype: DTypeLike | None) -> tuple[Any, Any]:
    """The operand as floats wide enough to compute in, and the dtype of the result."""
    x = operand(a, name)
    result = inexact(type_of(x).dtype, type_of(x).weak) if dtype is None else as_dtype(dtype)
    wide = dtypes.FLOAT32 if dtypes.is_float(result) and result.itemsize < 4 else result
    return cast(x, inexact(wide)), result


def _count(x: Any, axes: tuple[int, ...], mask: ArrayLike | None, keepdims: bool) -> Any:
    """How many elements are folded: a number, or with a mask an operand."""
    shape = type_of(x).shape
    if mask is None:
        return float(math.prod(shape[k] for k in axes))
    chosen = broadcast_to(mask, shape)
    return operand(_sum(chosen, axes, dtype=dtypes.real_dtype(type_of(x).dtype), keepdims=keepdims))


def _divided(x: Any, count: Any) -> Any:
    if isinstance(count, float):
        return ew.div(x, count)
    return ew.div(x, cast(count, type_of(x).dtype))


@compiled_at_once
def mean(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
) -> Array:
    """The mean of elements along axes.

    >>> import jitml.numpy as jnp
    >>> print(mean(jnp.array([1.0, 2.0])))
    1.5
    """
    no_out("mean", out)
    x, result = working_operand("mean", a, dtype)
    axes = as_axes(axis, type_of(x).ndim, "mean")
    total = operand(_sum(settle(x), axes, keepdims=keepdims, where=where))
    return settle(strong(cast(_divided(total, _count(x, axes, where, keepdims)), result)))


def average(
    a: ArrayLike,
    axis: Axis = None,
    weights: ArrayLike | None = None,
    returned: bool = False,
    keepdims: bool = False,
) -> Any:
    """The mean of elements, each counted by its weight.

    >>> import jitml.numpy as jnp
    >>> print(average(jnp.array([1.0, 2.0]), weights=jnp.array([3.0, 1.0])))
    1.25
    """
    if weights is None:
        result = mean(a, axis, keepdims=keepdims)
        x = operand(a)
        count = math.prod(type_of(x).shape[k] for k in as_axes(axis, type_of(x).ndim, "average"))
        return (result, settle(cast(count, type_of(result).dtype))) if returned else result
    x, w = promoted("average", a, weights, to_inexact=True)
    shape = type_of(x).shape
    axes = as_axes(axis, len(shape), "average")
    if type_of(w).shape != shape:
        if type_of(w).shape != tuple(shape[k] for k in axes):
            fail(
                ArgumentError,
                f"average: weights of shape {type_of(w).shape} for an array of {shape}",
            )
        w = mv.reshape(w, tuple(n if k in axes else 1 for k, n in enumerate(shape)))
        w = expand_to(w, shape)
    total = _sum(settle(w), axes, keepdims=keepdims)
    result = settle(ew.div(operand(_sum(settle(ew.mul(x, w)), axes, keepdims=keepdims)), total))
    return (result, total) if returned else result


_mean = mean


@compiled_at_once
def var(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
    mean: ArrayLike | None = None,
    correction: float | None = None,
) -> Array:
    """The mean square distance from the mean; the sum is divided by the count less `ddof`.

    `mean` is the mean if it is known, with its axes kept.

    >>> import jitml.numpy as jnp
    >>> print(var(jnp.array([1.0, 3.0])))
    1.0
    """
    no_out("var", out)
    x, result = working_operand("var", a, dtype)
    axes = as_axes(axis, type_of(x).ndim, "var")
    less = ddof if correction is None else correction
    if mean is None:
        mean = _mean(settle(x), axes, keepdims=True, where=where)
    center = cast(operand(mean, "var"), type_of(x).dtype)
    distance = ew.sub(x, expand_to(center, common_shape("var", [x, center])))
    squares = _square_size(distance)
    total = operand(_sum(settle(squares), axes, keepdims=keepdims, where=where))
    count = _count(x, axes, where, keepdims)
    count = max(count - less, 0.0) if isinstance(count, float) else ew.sub(count, float(less))
    return settle(cast(_divided(total, count), dtypes.real_dtype(result)))


def _square_size(x: Any) -> Any:
    """|x|² as a real."""
    if kind(x) != "c":
        return ew.mul(x, x)
    re, im = ew.real(x), ew.imag(x)
    return ew.add(ew.mul(re, re), ew.mul(im, im))


def _root(variance: Function, name: str, summary: str, call: str, result: str) -> Function:
    """The standard deviation that belongs to a variance."""

    def function(*arguments: Any, **options: Any) -> Array:
        return settle(ew.sqrt(operand(variance(*arguments, **options))))

    return alike(variance, function, name, summary, call, result)


std = _root(var, "std", "The square root of the variance.", "std(array([1.0, 3.0]))", "1.0")

# ---- without NaN ----------------------------------------------------------------------------


def _numbers(a: ArrayLike, where: ArrayLike | None) -> Any:
    """Which elements count."""
    good = logical_not(isnan(a))
    return good if where is None else logical_and(good, where)


def nanmean(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    where: ArrayLike | None = None,
) -> Array:
    """The mean without NaN.

    >>> import jitml.numpy as jnp
    >>> print(nanmean(jnp.array([1.0, float("nan")])))
    1.0
    """
    return mean(settle(without_nan(a, 0)), axis, dtype, out, keepdims, where=_numbers(a, where))


def nanvar(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    where: ArrayLike | None = None,
    mean: ArrayLike | None = None,
) -> Array:
    """The variance without NaN.

    >>> import jitml.numpy as jnp
    >>> print(nanvar(jnp.array([1.0, 3.0, float("nan")])))
    1.0
    """
    good = _numbers(a, where)
    result = var(settle(without_nan(a, 0)), axis, dtype, out, ddof, keepdims, where=good, mean=mean)
    count = _sum(good, axis, keepdims=keepdims)
    return settle(operand(choose(count > ddof, result, math.nan)))


nanstd = _root(
    nanvar, "nanstd", "The standard deviation without NaN.", "nanstd(array([1.0, 3.0, nan]))", "1.0"
)
