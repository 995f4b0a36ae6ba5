"""Quantiles, percentiles and medians."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError
from jitml.numpy import arithmetic
from jitml.numpy.choice import choose
from jitml.numpy.classification import isnan
from jitml.numpy.comparison import equal
from jitml.numpy.creation import asarray
from jitml.numpy.cumulative import cumsum
from jitml.numpy.indexing import take_along_axis
from jitml.numpy.logic import logical_not, logical_or
from jitml.numpy.manipulation import broadcast_to, expand_dims, moveaxis, reshape
from jitml.numpy.operands import (
    as_axes,
    cast,
    expand_to,
    fail,
    kind,
    no_out,
    operand,
    settle,
    strong,
)
from jitml.numpy.reductions import any as _any
from jitml.numpy.reductions import sum as _sum
from jitml.numpy.rows import alike
from jitml.numpy.statistics import working_operand
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.ops.sort import sort
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, Axis

__all__ = ["median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile"]

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf")


def quantile(
    a: ArrayLike,
    q: ArrayLike,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: ArrayLike | None = None,
) -> Array:
    """The value below which the share `q` of the elements lies.

    With `method="inverted_cdf"` the elements may have weights.

    >>> import jitml.numpy as jnp
    >>> print(quantile(jnp.array([1.0, 2.0, 3.0]), 0.5))
    2.0
    """
    no_out("quantile", out)
    return settle(_quantile("quantile", a, q, axis, method, keepdims, False, weights))


def _variant(name: str, skip_nan: bool, is_per_cent: bool) -> Any:
    def function(
        a: ArrayLike,
        q: ArrayLike,
        axis: Axis = None,
        out: None = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: bool = False,
        *,
        weights: ArrayLike | None = None,
    ) -> Array:
        no_out(name, out)
        share = arithmetic.divide(asarray(q), 100) if is_per_cent else q
        found = _quantile(name, a, share, axis, method, keepdims, skip_nan, weights)
        return settle(strong(found) if is_per_cent else found)

    return function


nanquantile = alike(
    quantile, _variant("nanquantile", skip_nan=True, is_per_cent=False),
    "nanquantile", "The quantile without NaN.", "nanquantile(array([1.0, 3.0, nan]), 0.5)", "2.0",
)  # fmt: skip
percentile = alike(
    quantile, _variant("percentile", skip_nan=False, is_per_cent=True),
    "percentile", "The quantile of `q` per cent.", "percentile(array([1.0, 2.0, 3.0]), 50)", "2.0",
)  # fmt: skip
nanpercentile = alike(
    quantile, _variant("nanpercentile", skip_nan=True, is_per_cent=True),
    "nanpercentile", "The percentile without NaN.",
    "nanpercentile(array([1.0, 3.0, nan]), 50)", "2.0",
)  # fmt: skip


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
    no_out("median", out)
    return settle(_quantile("median", a, 0.5, axis, "midpoint", keepdims, False))


def _nanmedian(a: ArrayLike, axis: Axis, out: None, keepdims: bool) -> Array:
    no_out("nanmedian", out)
    return settle(_quantile("nanmedian", a, 0.5, axis, "midpoint", keepdims, True))


nanmedian = alike(
    median,
    lambda a, axis=None, out=None, overwrite_input=False, keepdims=False: _nanmedian(
        a, axis, out, keepdims
    ),
    "nanmedian", "The median without NaN.", "nanmedian(array([3.0, 1.0, nan]))", "2.0",
)  # fmt: skip


def _quantile(
    name: str,
    a: ArrayLike,
    q: ArrayLike,
    axis: Axis,
    method: str,
    keepdims: bool,
    skip_nan: bool,
    weights: ArrayLike | None = None,
) -> Any:
    _check_method(name, method, weights)
    x, result = working_operand(name, a, None)
    if kind(x) == "c":
        fail(ArgumentError, f"{name}: complex numbers have no order")
    shape = type_of(x).shape
    axes = as_axes(axis, len(shape), name)
    share = cast(asarray(q) if not isinstance(q, (int, float)) else float(q), type_of(x).dtype)
    share = operand(settle(share))
    rows = _rows(name, x, axes)
    if method == "inverted_cdf":
        found, bad = _inverted_cdf(name, x, rows, axes, share, weights, skip_nan)
    else:
        (rows,) = sort([rows], type_of(rows).ndim - 1)
        bad = isnan(rows)
        count: Any = float(type_of(rows).shape[-1])
        if skip_nan:
            count = _sum(logical_not(bad), -1, dtype=type_of(x).dtype)
        found = _between(rows, share, count, method)
    if not skip_nan:
        found = operand(choose(_any(bad, -1), math.nan, settle(found)))
    if keepdims:
        kept = tuple(1 if k in axes else n for k, n in enumerate(shape))
        found = mv.reshape(found, (*type_of(share).shape, *kept))
    return cast(found, result)


def _check_method(name: str, method: str, weights: ArrayLike | None) -> None:
    if method not in _METHODS:
        fail(
            ArgumentError,
            f"{name}: method {method!r} is not known",
            f"methods are {', '.join(_METHODS)}",
        )
    if weights is not None and method != "inverted_cdf":
        fail(
            ArgumentError,
            f"{name}: method {method!r} takes no weights",
            "method='inverted_cdf' does",
        )


def _rows(name: str, x: Any, axes: tuple[int, ...]) -> Any:
    """The elements along the axes in one last axis."""
    shape = type_of(x).shape
    rest = [k for k in range(len(shape)) if k not in axes]
    length = math.prod(shape[k] for k in axes)
    if not length:
        fail(ArgumentError, f"{name}: {type_of(x)} has no elements along the axes")
    return mv.reshape(mv.transpose(x, [*rest, *axes]), (*(shape[k] for k in rest), length))


def _inverted_cdf(
    name: str,
    x: Any,
    rows: Any,
    axes: tuple[int, ...],
    share: Any,
    weights: ArrayLike | None,
    skip_nan: bool,
) -> tuple[Any, Any]:
    """The first element in order up to which the weights have the share of their sum, for each
    share; and which elements are NaN.
    """
    type_ = type_of(x)
    amounts = cast(operand(asarray(1.0 if weights is None else weights)), type_.dtype)
    amounts = _rows(name, operand(broadcast_to(amounts, type_.shape)), axes)
    rows, amounts = sort([rows, amounts], type_of(rows).ndim - 1, True, 1)
    bad = isnan(rows)
    if skip_nan:
        amounts = operand(choose(bad, 0, settle(amounts)))
    *outer, length = type_of(rows).shape
    reached = cumsum(amounts, axis=-1)
    shares = reshape(share, (*type_of(share).shape, *(1,) * (len(outer) + 1)))
    wanted = shares * reached[..., -1:]
    passed = logical_or(reached < wanted, equal(reached, 0))
    place = arithmetic.clip(_sum(passed, -1, dtype="int32"), 0, length - 1)
    wide = broadcast_to(settle(rows), (*place.shape, length))
    return operand(take_along_axis(wide, expand_dims(place, -1), -1)[..., 0]), bad


def _between(rows: Any, share: Any, count: Any, method: str) -> Any:
    """The values at share · (count − 1) along the sorted last axis, for each share."""
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
        safe = choose(isnan(inside), 0, inside)
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
