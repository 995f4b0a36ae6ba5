"""Means, variances, quantiles and norms of samples.

16-bit floats are computed in float32 and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError
from jitml.numpy import arithmetic
from jitml.numpy.creation import asarray
from jitml.numpy.elementwise import isnan, kind
from jitml.numpy.logic import logical_and, logical_not
from jitml.numpy.logic import where as _where
from jitml.numpy.manipulation import broadcast_to, moveaxis, reshape
from jitml.numpy.operands import (
    as_axes,
    as_dtype,
    cast,
    expand_to,
    fail,
    inexact,
    operand,
    promoted,
    settle,
    strong,
)
from jitml.numpy.reductions import any as _any
from jitml.numpy.reductions import sum as _sum
from jitml.numpy.reductions import without_nan
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.ops.sort import sort
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, Axis, DTypeLike


def _working(name: str, a: ArrayLike, dtype: DTypeLike | None) -> tuple[Any, Any]:
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
    x, result = _working("mean", a, dtype)
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


def var(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
    correction: float | None = None,
) -> Array:
    """The mean square distance from the mean; the sum is divided by the count less `ddof`.

    >>> import jitml.numpy as jnp
    >>> print(var(jnp.array([1.0, 3.0])))
    1.0
    """
    x, result = _working("var", a, dtype)
    axes = as_axes(axis, type_of(x).ndim, "var")
    less = ddof if correction is None else correction
    center = operand(mean(settle(x), axes, keepdims=True, where=where))
    distance = ew.sub(x, expand_to(center, type_of(x).shape))
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


def std(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
    correction: float | None = None,
) -> Array:
    """The square root of the variance.

    >>> import jitml.numpy as jnp
    >>> print(std(jnp.array([1.0, 3.0])))
    1.0
    """
    found = var(a, axis, dtype, out, ddof, keepdims, where=where, correction=correction)
    return settle(ew.sqrt(operand(found)))


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
) -> Array:
    """The variance without NaN.

    >>> import jitml.numpy as jnp
    >>> print(nanvar(jnp.array([1.0, 3.0, float("nan")])))
    1.0
    """
    good = _numbers(a, where)
    result = var(settle(without_nan(a, 0)), axis, dtype, out, ddof, keepdims, where=good)
    count = _sum(good, axis, keepdims=keepdims)
    return settle(operand(_where(count > ddof, result, math.nan)))


def nanstd(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    where: ArrayLike | None = None,
) -> Array:
    """The standard deviation without NaN.

    >>> import jitml.numpy as jnp
    >>> print(nanstd(jnp.array([1.0, 3.0, float("nan")])))
    1.0
    """
    return settle(ew.sqrt(operand(nanvar(a, axis, dtype, out, ddof, keepdims, where))))


# ---- quantiles ------------------------------------------------------------------------------

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def quantile(
    a: ArrayLike,
    q: ArrayLike,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Array:
    """The value below which the share `q` of the elements lies.

    >>> import jitml.numpy as jnp
    >>> print(quantile(jnp.array([1.0, 2.0, 3.0]), 0.5))
    2.0
    """
    return settle(_quantile("quantile", a, q, axis, method, keepdims, False))


def nanquantile(
    a: ArrayLike,
    q: ArrayLike,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Array:
    """The quantile without NaN.

    >>> import jitml.numpy as jnp
    >>> print(nanquantile(jnp.array([1.0, 3.0, float("nan")]), 0.5))
    2.0
    """
    return settle(_quantile("nanquantile", a, q, axis, method, keepdims, True))


def percentile(
    a: ArrayLike,
    q: ArrayLike,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Array:
    """The quantile of `q` per cent.

    >>> import jitml.numpy as jnp
    >>> print(percentile(jnp.array([1.0, 2.0, 3.0]), 50))
    2.0
    """
    return settle(_quantile("percentile", a, _share(q), axis, method, keepdims, False))


def nanpercentile(
    a: ArrayLike,
    q: ArrayLike,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Array:
    """The percentile without NaN.

    >>> import jitml.numpy as jnp
    >>> print(nanpercentile(jnp.array([1.0, 3.0, float("nan")]), 50))
    2.0
    """
    return settle(_quantile("nanpercentile", a, _share(q), axis, method, keepdims, True))


def _share(q: ArrayLike) -> Any:
    return arithmetic.divide(asarray(q), 100)


def median(
    a: ArrayLike,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Array:
    """The middle of the elements in order.

    >>> import jitml.numpy as jnp
    >>> print(median(jnp.array([3.0, 1.0, 2.0])))
    2.0
    """
    return settle(_quantile("median", a, 0.5, axis, "midpoint", keepdims, False))


def nanmedian(
    a: ArrayLike,
    axis: int | Sequence[int] | None = None,
    out: None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Array:
    """The median without NaN.

    >>> import jitml.numpy as jnp
    >>> print(nanmedian(jnp.array([3.0, 1.0, float("nan")])))
    2.0
    """
    return settle(_quantile("nanmedian", a, 0.5, axis, "midpoint", keepdims, True))


def _quantile(
    name: str, a: ArrayLike, q: ArrayLike, axis: Axis, method: str, keepdims: bool, skip_nan: bool
) -> Any:
    if method not in _METHODS:
        fail(
            ArgumentError,
            f"{name}: method {method!r} is not known",
            f"methods are {', '.join(_METHODS)}",
        )
    x, result = _working(name, a, None)
    if kind(x) == "c":
        fail(ArgumentError, f"{name}: complex numbers have no order")
    shape = type_of(x).shape
    axes = as_axes(axis, len(shape), name)
    rest = [k for k in range(len(shape)) if k not in axes]
    length = math.prod(shape[k] for k in axes)
    outer = tuple(shape[k] for k in rest)
    if not length:
        fail(ArgumentError, f"{name}: {type_of(x)} has no elements along the axes")
    rows = mv.reshape(mv.transpose(x, [*rest, *axes]), (*outer, length))
    (rows,) = sort([rows], len(outer))
    share = cast(asarray(q) if not isinstance(q, (int, float)) else float(q), type_of(x).dtype)
    bad = isnan(rows)
    count = _sum(logical_not(bad), -1, dtype=type_of(x).dtype) if skip_nan else float(length)
    found = _between(rows, operand(settle(share)), count, method)
    if not skip_nan:
        found = operand(_where(_any(bad, -1), math.nan, settle(found)))
    share_shape = type_of(operand(settle(share))).shape
    if keepdims:
        kept = tuple(1 if k in axes else n for k, n in enumerate(shape))
        found = mv.reshape(found, (*share_shape, *kept))
    return cast(found, result)


def _between(rows: Any, share: Any, count: Any, method: str) -> Any:
    """The values at share · (count − 1) along the sorted last axis, for each share (new first axes)."""
    from jitml.numpy.indexing import take_along_axis

    dtype = type_of(rows).dtype
    *outer, length = type_of(rows).shape
    share_shape = type_of(share).shape
    total = math.prod(share_shape)
    place = mv.reshape(share, (*(1,) * len(outer), total))
    place = expand_to(place, (*outer, total))
    top = count - 1.0 if isinstance(count, float) else ew.sub(operand(count), 1.0)
    top = (
        top if isinstance(top, float) else expand_to(mv.reshape(top, (*outer, 1)), (*outer, total))
    )
    place = ew.mul(place, top)
    below, above = ew.floor(place), ew.ceil(place)
    weight = ew.sub(place, below)

    def at(position: Any) -> Any:
        inside = arithmetic.clip(position, 0, length - 1)
        safe = _where(isnan(inside), 0, inside)
        return operand(
            take_along_axis(settle(rows), cast(operand(safe), dtypes.INT32), -1, mode="clip")
        )

    low, high = at(below), at(above)
    even = operand(np.asarray(0.5, dtype))
    if method == "linear":
        between = ew.add(ew.mul(low, ew.sub(1, weight)), ew.mul(high, weight))
        found = ew.select(ew.eq(weight, 0), low, between)
    elif method == "midpoint":
        same = ew.eq(weight, 0)
        found = ew.select(same, low, ew.mul(ew.add(low, high), even))
    elif method == "nearest":
        found = at(ew.round_even(place))
    else:
        found = low if method == "lower" else high
    turned = reshape(moveaxis(settle(found), -1, 0), (*share_shape, *outer))
    return operand(turned)
