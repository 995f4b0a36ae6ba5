"""Vectors as samples of a function: convolution, interpolation, slopes, areas.

In: arrays of samples. Out: arrays of the same kind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, DTypeError, ShapeError
from jitml.lax.contraction import conv_general_dilated
from jitml.numpy.arithmetic import clip, remainder
from jitml.numpy.choice import choose
from jitml.numpy.cumulative import cumsum, diff
from jitml.numpy.elementwise import absolute, conj
from jitml.numpy.indexing import take
from jitml.numpy.joining import concatenate, take_slice
from jitml.numpy.logic import logical_and
from jitml.numpy.manipulation import moveaxis, ravel, reshape
from jitml.numpy.operands import (
    as_axes,
    as_axis,
    cast,
    fail,
    kind,
    operand,
    promoted,
    settle,
)
from jitml.numpy.reductions import sum as _sum
from jitml.numpy.repeating import flip
from jitml.numpy.search import searchsorted
from jitml.numpy.sorting import argsort
from jitml.ops import elementwise as ew
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = [
    "convolve", "correlate", "ediff1d", "gradient", "interp", "trapezoid", "unwrap",
]  # fmt: skip


# ---- convolution ----------------------------------------------------------------------------


def _vectors(name: str, a: ArrayLike, v: ArrayLike) -> list[Any]:
    x, y = (settle(z) for z in promoted(name, a, v, to_inexact=True))
    for z in (x, y):
        if z.ndim != 1:
            fail(ArgumentError, f"{name}: needs two vectors, got {type_of(x)} and {type_of(y)}")
        if not z.shape[0]:
            fail(ArgumentError, f"{name}: an empty vector cannot be convolved")
    return [x, y]


def _margins(name: str, mode: str, count: int) -> tuple[int, int]:
    """How far the shorter vector may stand out at each end."""
    if mode == "full":
        return count - 1, count - 1
    if mode == "same":
        return count // 2, count - count // 2 - 1
    if mode == "valid":
        return 0, 0
    fail(ArgumentError, f"{name}: mode {mode!r} is not known", "it is 'full', 'same' or 'valid'")


def _slide(
    name: str, x: Any, y: Any, mode: str, precision: Any, preferred: DTypeLike | None
) -> Any:
    """Products of the shorter vector `y` with the pieces of `x` that it passes."""
    margins = _margins(name, mode, y.shape[0])
    result = conv_general_dilated(
        reshape(x, (1, 1, -1)), reshape(y, (1, 1, -1)), (1,), [margins],
        precision=precision, preferred_element_type=preferred,
    )  # fmt: skip
    return reshape(result, (-1,))


def convolve(
    a: ArrayLike,
    v: ArrayLike,
    mode: str = "full",
    *,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """The convolution of two vectors: all of it, its middle, or where both overlap wholly.

    >>> import jitml.numpy as jnp
    >>> print(convolve(jnp.array([1.0, 2.0]), jnp.array([1.0, 1.0])))
    [1. 3. 2.]
    """
    x, y = _vectors("convolve", a, v)
    if x.shape[0] < y.shape[0]:
        x, y = y, x
    return _slide("convolve", x, flip(y), mode, precision, preferred_element_type)


def correlate(
    a: ArrayLike,
    v: ArrayLike,
    mode: str = "valid",
    *,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """The sums of products of `a` with the conjugate of `v` at each shift.

    >>> import jitml.numpy as jnp
    >>> print(correlate(jnp.array([1.0, 2.0, 3.0]), jnp.array([0.0, 1.0])))
    [2. 3.]
    """
    x, y = _vectors("correlate", a, v)
    y = conj(y)
    if x.shape[0] >= y.shape[0]:
        return _slide("correlate", x, y, mode, precision, preferred_element_type)
    return flip(_slide("correlate", y, x, mode, precision, preferred_element_type))


# ---- interpolation --------------------------------------------------------------------------


def interp(
    x: ArrayLike,
    xp: ArrayLike,
    fp: ArrayLike,
    left: ArrayLike | str | None = None,
    right: ArrayLike | str | None = None,
    period: ArrayLike | None = None,
) -> Array:
    """The values at `x` of the function that runs straight between the points (xp, fp).

    Beyond the points it has their first and last value, or `left` and `right`; "extrapolate"
    goes on straight.

    >>> import jitml.numpy as jnp
    >>> print(interp(1.5, jnp.array([1.0, 2.0]), jnp.array([10.0, 20.0])))
    15.0
    """
    at, places, values = (settle(z) for z in promoted("interp", x, xp, fp, to_inexact=True))
    if places.ndim != 1 or places.shape != values.shape or not places.shape[0]:
        fail(
            ArgumentError,
            "interp: xp and fp are vectors of one length, not empty; got "
            f"{type_of(places)} and {type_of(values)}",
        )
    if kind(operand(x)) == "c" or kind(operand(xp)) == "c":
        fail(DTypeError, "interp: complex places have no order")
    if kind(values) == "c":
        at, places = settle(ew.real(at)), settle(ew.real(places))
    if period is not None:
        at, places, values = _wrapped(at, places, values, period)
    inside = _between(at, places, values)
    if period is not None:
        return inside
    below = _beyond("left", left, values[0], inside)
    above = _beyond("right", right, values[-1], inside)
    return choose(at < places[0], below, choose(at > places[-1], above, inside))


def _wrapped(at: Any, places: Any, values: Any, period: Any) -> tuple[Any, Any, Any]:
    """Places of one period in order, with one more on each side."""
    if kind(operand(period, "interp")) not in "biuf" or type_of(operand(period)).ndim:
        fail(ArgumentError, f"interp: the period is a real number, not {period!r}")
    length = absolute(settle(cast(operand(period), at.dtype)))
    at, places = remainder(at, length), remainder(places, length)
    order = argsort(places)
    places, values = take(places, order), take(values, order)
    around = [places[-1:] - length, places, places[:1] + length]
    return at, concatenate(around), concatenate([values[-1:], values, values[:1]])


def _between(at: Any, places: Any, values: Any) -> Array:
    count = places.shape[0]
    right = clip(searchsorted(places, at, side="right"), min(1, count - 1), count - 1)
    left = clip(right - 1, 0)
    start, width = take(values, left), take(places, right) - take(places, left)
    is_point = width == 0
    part = (at - take(places, left)) / choose(is_point, 1, width)
    slope = choose(is_point, 0, take(values, right) - start)
    return start + part * slope


def _beyond(side: str, given: Any, edge: Any, inside: Any) -> Any:
    if given is None:
        return edge
    if isinstance(given, str):
        if given != "extrapolate":
            fail(
                ArgumentError, f"interp: {side}={given!r} is not known", "'extrapolate' or a value"
            )
        return inside
    return settle(cast(operand(given), inside.dtype))


# ---- slopes, areas, differences -------------------------------------------------------------


def gradient(
    f: ArrayLike,
    *varargs: ArrayLike,
    axis: int | Sequence[int] | None = None,
    edge_order: int | None = None,
) -> Any:
    """The slopes along each axis, by differences over both neighbours, at the ends over one.

    After `f` stands the distance of samples, one for all axes or one for each; or their places,
    a vector. `edge_order=2` uses three samples at the ends.

    >>> import jitml.numpy as jnp
    >>> print(gradient(jnp.array([1.0, 2.0, 4.0])))
    [1.  1.5 2. ]
    """
    x = settle(promoted("gradient", f, to_inexact=True)[0])
    axes = as_axes(axis, x.ndim, "gradient")
    order = 1 if edge_order is None else edge_order
    if order not in (1, 2):
        fail(ArgumentError, f"gradient: edge_order is 1 or 2, not {order!r}")
    distances: Sequence[Any] = varargs or (1.0,)
    if len(distances) == 1:
        distances = tuple(distances) * len(axes)
    if len(distances) != len(axes):
        fail(ArgumentError, f"gradient: {len(distances)} distances for {len(axes)} axes")
    slopes = [_slope(x, k, d, order) for k, d in zip(axes, distances, strict=True)]
    return slopes[0] if len(slopes) == 1 else slopes


def _slope(x: Any, axis: int, distance: Any, order: int) -> Array:
    size = x.shape[axis]
    if size < order + 1:
        fail(
            ShapeError,
            f"gradient: axis {axis} has {size} samples; edge_order={order} needs {order + 1}",
        )
    steps = _steps(distance, size, axis, x.dtype)
    y = moveaxis(x, axis, -1)
    before, after = (steps, steps) if not steps.ndim else (steps[:-1], steps[1:])
    rises = y[..., 1:] - y[..., :-1]
    if steps.ndim:
        slopes = rises / steps
        total = before + after
        middle = slopes[..., :-1] * (after / total) + slopes[..., 1:] * (before / total)
    else:
        slopes = rises / steps
        middle = (y[..., 2:] - y[..., :-2]) / (2 * steps)
    first, last = slopes[..., :1], slopes[..., -1:]
    if order == 2:
        first = 2 * first - middle[..., :1] if not steps.ndim else first + _bend(slopes, steps, 0)
        last = 2 * last - middle[..., -1:] if not steps.ndim else last + _bend(slopes, steps, -1)
    return moveaxis(concatenate([first, middle, last], axis=-1), -1, axis)


def _bend(slopes: Any, steps: Any, end: int) -> Any:
    """What the slope at an end gains over that of its first interval, by the second one."""
    near, far = (0, 1) if end == 0 else (-1, -2)
    ratio = steps[near] / (steps[near] + steps[far])
    return ((slopes[..., near] - slopes[..., far]) * ratio)[..., None]


def _steps(distance: Any, size: int, axis: int, dtype: Any) -> Any:
    """The distance of samples, or the distances of places."""
    given = settle(operand(distance, "gradient"))
    if not given.ndim:
        return given.astype(dtype) if not given.weak_type else given
    if given.shape != (size,):
        fail(
            ShapeError,
            f"gradient: places of shape {given.shape} for axis {axis} of size {size}",
        )
    return diff(given).astype(dtype)


def trapezoid(
    y: ArrayLike, x: ArrayLike | None = None, dx: ArrayLike = 1.0, axis: int = -1
) -> Array:
    """The area under samples at distance `dx`, or at the places `x`, by trapezoids.

    >>> import jitml.numpy as jnp
    >>> print(trapezoid(jnp.array([1.0, 2.0, 3.0])))
    4.0
    """
    given = [y, dx] if x is None else [y, x]
    values, width = (settle(z) for z in promoted("trapezoid", *given, to_inexact=True))
    where = as_axis(axis, values.ndim, "trapezoid")
    if x is not None:
        along = where if width.ndim > 1 else 0
        width = moveaxis(diff(width, axis=along), along, -1)
    lines = moveaxis(values, where, -1)
    return 0.5 * _sum(width * (lines[..., 1:] + lines[..., :-1]), axis=-1)


def unwrap(
    p: ArrayLike,
    discont: ArrayLike | None = None,
    axis: int = -1,
    period: ArrayLike = 2 * math.pi,
) -> Array:
    """`p` with jumps of more than half a period taken back by whole periods.

    >>> import jitml.numpy as jnp
    >>> print(unwrap(jnp.array([0.0, 5.0, 10.0]), period=4.0))
    [0. 1. 2.]
    """
    x = settle(promoted("unwrap", p, to_inexact=isinstance(period, float))[0])
    if kind(x) == "c":
        fail(DTypeError, "unwrap: complex numbers have no order")
    where = as_axis(axis, x.ndim, "unwrap")
    turn = settle(cast(operand(period, "unwrap"), x.dtype))
    is_float = dtypes.is_inexact(x.dtype)
    half = turn / 2 if is_float else turn // 2
    jumps = diff(x, axis=where)
    wrapped = remainder(jumps + half, turn) - half
    is_up = logical_and(jumps > 0, turn == 2 * half)  # by half a period: it stays upwards
    wrapped = choose(logical_and(wrapped == -half, is_up), half, wrapped)
    size = absolute(jumps)
    is_small = 2 * size < turn if discont is None else size < discont
    steps = choose(is_small, 0, wrapped - jumps)
    first = take_slice(x, where, 0, min(1, x.shape[where]))
    rest = take_slice(x, where, 1, x.shape[where]) if x.shape[where] > 1 else None
    if rest is None:
        return x
    return concatenate([first, rest + cumsum(steps, axis=where, dtype=x.dtype)], axis=where)


def ediff1d(
    ary: ArrayLike, to_end: ArrayLike | None = None, to_begin: ArrayLike | None = None
) -> Array:
    """The differences of neighbours in the raveled array, with values put at the ends.

    >>> import jitml.numpy as jnp
    >>> print(ediff1d(jnp.array([1, 2, 4]), to_end=9))
    [1 2 9]
    """
    x = ravel(ary)
    ends = [None if e is None else ravel(e).astype(x.dtype) for e in (to_begin, to_end)]
    pieces = [ends[0], diff(x), ends[1]]
    return concatenate([piece for piece in pieces if piece is not None])
