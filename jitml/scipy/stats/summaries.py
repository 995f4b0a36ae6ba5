"""Summaries of samples: the commonest value, ranks, the standard error of a mean."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jitml.numpy as jnp
from jitml.ir.errors import ArgumentError
from jitml.numpy.operands import as_axis, fail, operand, promoted, settle
from jitml.typing import Array, ArrayLike
from jitml.vectorization import vmap

__all__ = ["ModeResult", "mode", "rankdata", "sem"]

_METHODS = ("average", "min", "max", "dense", "ordinal")


class ModeResult(NamedTuple):
    """The commonest values, and how often they occur."""

    mode: Any
    count: Any


def mode(
    a: ArrayLike, axis: int | None = 0, nan_policy: str = "propagate", keepdims: bool = False
) -> ModeResult:
    """The commonest values along an axis, the least of several, and how often they occur.

    >>> print(mode(jnp.array([3, 1, 3])).mode)
    3
    """
    if nan_policy != "propagate":
        fail(
            ArgumentError,
            f"mode: nan_policy {nan_policy!r} is not supported",
            "it is 'propagate'; whether there is NaN is not known while tracing",
        )
    x = jnp.atleast_1d(settle(operand(a, "mode")))
    kept = [1] * x.ndim if axis is None else list(x.shape)
    if axis is None:
        x, where = jnp.ravel(x), 0
    else:
        where = as_axis(axis, x.ndim, "mode")
        kept[where] = 1
    outer = [n for k, n in enumerate(kept) if keepdims or (axis is not None and k != where)]
    lines = jnp.reshape(jnp.moveaxis(x, where, 0), (x.shape[where], -1))
    values, counts = vmap(_mode_of_line, in_axes=1)(lines)
    return ModeResult(jnp.reshape(values, outer), jnp.reshape(counts, outer))


def _mode_of_line(x: Array) -> tuple[Array, Array]:
    if not x.size:
        return jnp.asarray(math.nan), jnp.asarray(0.0)
    values, counts = jnp.unique(x, return_counts=True, size=x.size)
    return jnp.take(values, jnp.argmax(counts)), jnp.max(counts)


def rankdata(
    a: ArrayLike,
    method: str = "average",
    *,
    axis: int | None = None,
    nan_policy: str = "propagate",
) -> Array:
    """The ranks of the elements from 1 on; equal ones by "average", "min", "max", "dense" (no gaps)
    or "ordinal" (in order).

    >>> print(rankdata(jnp.array([10, 30, 20])))
    [1. 3. 2.]
    """
    if method not in _METHODS:
        fail(
            ArgumentError,
            f"rankdata: method {method!r} is not known",
            f"it is one of {', '.join(_METHODS)}",
        )
    if nan_policy != "propagate":
        fail(ArgumentError, f"rankdata: nan_policy {nan_policy!r} is not supported")
    x = jnp.atleast_1d(settle(operand(a, "rankdata")))
    if axis is None:
        return _ranks(jnp.ravel(x), method)
    where = as_axis(axis, x.ndim, "rankdata")
    lines = jnp.moveaxis(x, where, -1)
    ranks = vmap(lambda line: _ranks(line, method))(jnp.reshape(lines, (-1, lines.shape[-1])))
    return jnp.moveaxis(jnp.reshape(ranks, lines.shape), -1, where)


def _ranks(x: Array, method: str) -> Array:
    order = jnp.argsort(x, stable=True)
    places = jnp.zeros_like(order).at[order].set(jnp.arange(x.size, dtype=order.dtype))
    if method == "ordinal":
        return _or_nan(x, places + 1)
    found = jnp.take(x, order)
    starts = jnp.concatenate([jnp.ones(1, bool), found[1:] != found[:-1]])
    dense = jnp.take(jnp.cumsum(starts), places)
    if method == "dense":
        return _or_nan(x, dense)
    first = jnp.nonzero(starts, size=x.size + 1, fill_value=x.size)[0]
    low, high = jnp.take(first, dense - 1) + 1, jnp.take(first, dense)
    if method != "average":
        return _or_nan(x, low if method == "min" else high)
    return _or_nan(x, 0.5 * (low + high))


def _or_nan(x: Array, ranks: Array) -> Array:
    """The ranks, all NaN where an element is."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return ranks
    return jnp.where(jnp.any(jnp.isnan(x)), math.nan, ranks)


def sem(
    a: ArrayLike,
    axis: int | None = 0,
    ddof: int = 1,
    nan_policy: str = "propagate",
    *,
    keepdims: bool = False,
) -> Array:
    """The standard error of the mean along an axis; nan_policy "omit" leaves NaN out.

    >>> print(sem(jnp.array([1.0, 3.0])))
    1.0
    """
    (only,) = promoted("sem", a, to_inexact=True)
    x = jnp.asarray(settle(only))
    if nan_policy == "propagate":
        count = x.size if axis is None else x.shape[as_axis(axis, x.ndim, "sem")]
        return jnp.std(x, axis, ddof=ddof, keepdims=keepdims) / math.sqrt(count)
    if nan_policy == "omit":
        kept = jnp.sum(~jnp.isnan(x), axis, keepdims=keepdims)
        return jnp.nanstd(x, axis, ddof=ddof, keepdims=keepdims) / jnp.sqrt(kept).astype(x.dtype)
    fail(
        ArgumentError,
        f"sem: nan_policy {nan_policy!r} is not supported",
        "it is 'propagate' or 'omit'",
    )
