"""Extremes along axes, and their positions; NaN wins."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jitml.eager import compiled_at_once
from jitml.ir.errors import ArgumentError
from jitml.numpy.arithmetic import maximum, minimum
from jitml.numpy.choice import choose
from jitml.numpy.classification import isnan
from jitml.numpy.joining import take_slice
from jitml.numpy.operands import (
    as_axes,
    as_axis,
    expand_to,
    fail,
    kind,
    no_out,
    operand,
    settle,
    strong,
)
from jitml.numpy.reductions import fold, folded_shape, restored, start_value, with_initial
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.ops import reduction as rd
from jitml.ops.sort import sort
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike, Axis

__all__ = ["amax", "amin", "argmax", "argmin", "max", "min", "ptp"]


def _extreme(
    name: str,
    a: ArrayLike,
    axis: Axis,
    keepdims: bool,
    initial: ArrayLike | None,
    where: ArrayLike | None,
) -> Array:
    x = operand(a, name)
    type_ = type_of(x)
    axes = as_axes(axis, type_.ndim, name)
    if initial is None and any(type_.shape[k] == 0 for k in axes):
        fail(
            ArgumentError, f"{name}: {type_} has no elements to take the {name} of", "pass initial="
        )
    if initial is None and where is not None:
        fail(
            ArgumentError,
            f"{name}: with `where`, nothing may be left",
            "pass initial= for that case",
        )
    op, pair, identity = {
        "max": (rd.reduce_max, ew.maximum, rd.lowest),
        "min": (rd.reduce_min, ew.minimum, rd.highest),
    }[name]
    if kind(x) == "c":
        return settle(_complex_extreme(name, x, axes, keepdims, initial, where))
    result = fold(name, op, x, axis, keepdims, where, identity(type_.dtype))
    return settle(with_initial(result, initial, pair))


def _complex_extreme(
    name: str,
    x: Any,
    axes: tuple[int, ...],
    keepdims: bool,
    initial: ArrayLike | None,
    where: ArrayLike | None,
) -> Any:
    """The last or first of complex numbers in order; NaN wins."""
    if initial is None:
        return strong(_complex_end(name, x, axes, keepdims))
    start = start_value(initial, type_of(x).dtype)
    if where is not None:
        x = operand(choose(where, x, settle(start)))
    if any(type_of(x).shape[k] == 0 for k in axes):
        return expand_to(start, folded_shape(type_of(x).shape, axes, keepdims))
    return (maximum if name == "max" else minimum)(_complex_end(name, x, axes, keepdims), start)


def _complex_end(name: str, x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """The last or first element of each row of folded elements, put in order."""
    shape = type_of(x).shape
    rest = [k for k in range(len(shape)) if k not in axes]
    outer = tuple(shape[k] for k in rest)
    length = math.prod(shape[k] for k in axes)
    rows = mv.reshape(mv.transpose(x, [*rest, *axes]), (*outer, length))
    (ordered,) = sort([rows], len(outer))
    last = take_slice(ordered, len(outer), length - 1, length)
    found = last if name == "max" else take_slice(ordered, len(outer), 0, 1)
    found = mv.reshape(ew.select(operand(isnan(last)), last, found), outer)
    return restored(found, shape, axes, keepdims)


@compiled_at_once
def max(
    a: ArrayLike,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Array:
    """The greatest element along axes; NaN wins.

    >>> import jitml.numpy as jnp
    >>> print(max(jnp.arange(4)))
    3
    """
    no_out("max", out)
    return _extreme("max", a, axis, keepdims, initial, where)


@compiled_at_once
def min(
    a: ArrayLike,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Array:
    """The smallest element along axes; NaN wins.

    >>> import jitml.numpy as jnp
    >>> print(min(jnp.arange(4)))
    0
    """
    no_out("min", out)
    return _extreme("min", a, axis, keepdims, initial, where)


amax, amin = max, min


def ptp(a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False) -> Array:
    """The distance between the greatest and the smallest element.

    >>> import jitml.numpy as jnp
    >>> print(ptp(jnp.array([3, 7])))
    4
    """
    no_out("ptp", out)
    return settle(ew.sub(max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims)))


# ---- positions of extremes ------------------------------------------------------------------


def _position(
    name: str, op: Callable[..., Any], a: ArrayLike, axis: int | None, keepdims: bool | None
) -> Array:
    x = operand(a, name)
    shape = type_of(x).shape
    if 0 in ([shape[as_axis(axis, len(shape), name)]] if axis is not None else shape):
        fail(ArgumentError, f"{name}: {type_of(x)} has no elements to choose from")
    if kind(x) == "c":
        end = expand_to(operand((max if op is rd.argmax else min)(x, axis, keepdims=True)), shape)
        x, op = ew.or_(ew.eq(x, end), operand(isnan(x))), rd.argmax
    if axis is None:
        flat = op(mv.reshape(x, (type_of(x).size,)), 0, DEFAULT_DTYPES.of(int))
        return settle(mv.reshape(flat, (1,) * len(shape)) if keepdims else flat)
    where = as_axis(axis, len(shape), name)
    found = op(x, where, DEFAULT_DTYPES.of(int))
    return settle(restored(found, shape, (where,), bool(keepdims)))


@compiled_at_once
def argmax(
    a: ArrayLike, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Array:
    """Where the greatest element is: the first of equals, NaN before all.

    >>> import jitml.numpy as jnp
    >>> print(argmax(jnp.array([1, 3, 2])))
    1
    """
    no_out("argmax", out)
    return _position("argmax", rd.argmax, a, axis, keepdims)


@compiled_at_once
def argmin(
    a: ArrayLike, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Array:
    """Where the smallest element is: the first of equals, NaN before all.

    >>> import jitml.numpy as jnp
    >>> print(argmin(jnp.array([2, 1, 3])))
    1
    """
    no_out("argmin", out)
    return _position("argmin", rd.argmin, a, axis, keepdims)
