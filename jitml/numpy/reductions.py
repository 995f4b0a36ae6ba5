"""Sums, products, extremes, truths, positions of extremes, and running folds.

Sums and products of booleans and small integers have the default integer dtype; 16-bit floats
are summed in float32 and rounded once. `where` leaves elements out; what is left out counts as
the fold's identity.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.dtypes import DType
from jitml.ir.errors import ArgumentError
from jitml.numpy.elementwise import isnan, kind
from jitml.numpy.logic import truth
from jitml.numpy.logic import where as _where
from jitml.numpy.operands import (
    as_axes,
    as_axis,
    as_dtype,
    cast,
    expand_to,
    fail,
    operand,
    settle,
    strong,
)
from jitml.ops import cumulative as cu
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.ops import reduction as rd
from jitml.ops.sort import sort
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike, Axis, DTypeLike

_any, _max, _min = any, max, min
Fold = Callable[[Any, Any], Any]


def summed_dtype(dtype: DType) -> DType:
    """The dtype of a sum: the default integer at least, for booleans and integers."""
    if dtypes.is_inexact(dtype):
        return dtype
    default = DEFAULT_DTYPES.of(int)
    if dtypes.kind(dtype) == "u":
        default = np.dtype(f"u{default.name}")
    return default if dtypes.is_bool(dtype) or dtype.itemsize < default.itemsize else dtype


def lowest(dtype: DType) -> Any:
    """The identity of max."""
    return rd.lowest(dtype)


def highest(dtype: DType) -> Any:
    """The identity of min."""
    return rd.highest(dtype)


def masked(x: Any, mask: ArrayLike | None, identity: Any) -> Any:
    """`x` with `identity` where the mask is false."""
    if mask is None:
        return x
    type_ = type_of(x)
    return operand(_where(mask, x, settle(cast(identity, type_.dtype, type_.weak))))


def folded_shape(shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    """What folding over axes leaves of a shape."""
    if keepdims:
        return tuple(1 if k in axes else n for k, n in enumerate(shape))
    return tuple(n for k, n in enumerate(shape) if k not in axes)


def restored(x: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Any:
    """The folded array, with axes of size 1 in the place of the folded ones if asked."""
    if not keepdims:
        return x
    return mv.reshape(x, folded_shape(shape, axes, keepdims))


def fold(
    name: str,
    op: Fold,
    x: Any,
    axis: Axis,
    keepdims: bool,
    mask: ArrayLike | None,
    identity: Any,
) -> Any:
    """An operand folded over axes."""
    x = masked(x, mask, identity)
    shape = type_of(x).shape
    axes = as_axes(axis, len(shape), name)
    return strong(restored(op(x, tuple(sorted(axes))), shape, axes, keepdims))


def _no_out(name: str, out: object) -> None:
    if out is not None:
        fail(
            ArgumentError, f"{name}: `out` is not supported", "arrays never change; use the result"
        )


def _with_initial(result: Any, initial: ArrayLike | None, op: Callable[[Any, Any], Any]) -> Any:
    if initial is None:
        return result
    type_ = type_of(result)
    return op(
        result, cast(initial if not hasattr(initial, "dtype") else operand(initial), type_.dtype)
    )


# ---- sums and products ----------------------------------------------------------------------


def sum(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
    promote_integers: bool = True,
) -> Array:
    """The sum of elements along axes, of all without axes.

    >>> import jitml.numpy as jnp
    >>> print(sum(jnp.arange(4)))
    6
    """
    _no_out("sum", out)
    x = _accumulated("sum", a, dtype, promote_integers)
    if kind(x) == "b":
        return any(settle(x), axis, keepdims=keepdims, where=where)
    result = fold("sum", rd.reduce_sum, x, axis, keepdims, where, 0)
    return settle(_with_initial(result, initial, ew.add))


def _accumulated(
    name: str, a: ArrayLike, dtype: DTypeLike | None, promote_integers: bool = True
) -> Any:
    """The operand in the dtype of its sum."""
    x = operand(a, name)
    if dtype is not None:
        return cast(x, as_dtype(dtype))
    own = type_of(x).dtype
    return cast(x, summed_dtype(own) if promote_integers else own, type_of(x).weak)


def prod(
    a: ArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
    promote_integers: bool = True,
) -> Array:
    """The product of elements along axes.

    >>> import jitml.numpy as jnp
    >>> print(prod(jnp.array([2, 3])))
    6
    """
    _no_out("prod", out)
    x = _accumulated("prod", a, dtype, promote_integers)
    if kind(x) == "b" and dtype is None:
        x = cast(x, dtypes.INT32)
    if kind(x) == "b":
        return all(settle(x), axis, keepdims=keepdims, where=where)
    result = fold("prod", rd.reduce_prod, x, axis, keepdims, where, 1)
    return settle(_with_initial(result, initial, ew.mul))


# ---- extremes -------------------------------------------------------------------------------


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
    if initial is None and _any(type_.shape[k] == 0 for k in axes):
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
        "max": (rd.reduce_max, ew.maximum, lowest),
        "min": (rd.reduce_min, ew.minimum, highest),
    }[name]
    if kind(x) == "c":
        return settle(_complex_extreme(name, x, axes, keepdims, initial, where))
    result = fold(name, op, x, axis, keepdims, where, identity(type_.dtype))
    return settle(_with_initial(result, initial, pair))


def _complex_extreme(
    name: str,
    x: Any,
    axes: tuple[int, ...],
    keepdims: bool,
    initial: ArrayLike | None,
    where: ArrayLike | None,
) -> Any:
    """The last or first of complex numbers in order; NaN wins."""
    from jitml.numpy.arithmetic import maximum, minimum

    if initial is None:
        return strong(_complex_end(name, x, axes, keepdims))
    start = cast(initial if not hasattr(initial, "dtype") else operand(initial), type_of(x).dtype)
    if where is not None:
        x = operand(_where(where, x, settle(start)))
    if _any(type_of(x).shape[k] == 0 for k in axes):
        return expand_to(start, folded_shape(type_of(x).shape, axes, keepdims))
    return (maximum if name == "max" else minimum)(_complex_end(name, x, axes, keepdims), start)


def _complex_end(name: str, x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """The last or first element of each row of folded elements, put in order."""
    from jitml.numpy.joining import take_slice

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
    _no_out("max", out)
    return _extreme("max", a, axis, keepdims, initial, where)


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
    _no_out("min", out)
    return _extreme("min", a, axis, keepdims, initial, where)


amax, amin = max, min


def ptp(a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False) -> Array:
    """The distance between the greatest and the smallest element.

    >>> import jitml.numpy as jnp
    >>> print(ptp(jnp.array([3, 7])))
    4
    """
    _no_out("ptp", out)
    return settle(ew.sub(max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims)))


# ---- truths ---------------------------------------------------------------------------------


def all(
    a: ArrayLike,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
) -> Array:
    """Whether all elements along axes are true.

    >>> import jitml.numpy as jnp
    >>> print(all(jnp.array([1, 0])))
    False
    """
    _no_out("all", out)
    x = truth(operand(a, "all"))
    return settle(fold("all", rd.reduce_and, x, axis, keepdims, where, True))


def any(
    a: ArrayLike,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
) -> Array:
    """Whether some element along axes is true.

    >>> import jitml.numpy as jnp
    >>> print(any(jnp.array([1, 0])))
    True
    """
    _no_out("any", out)
    x = truth(operand(a, "any"))
    return settle(fold("any", rd.reduce_or, x, axis, keepdims, where, False))


def count_nonzero(a: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Array:
    """How many elements along axes are not 0.

    >>> import jitml.numpy as jnp
    >>> print(count_nonzero(jnp.array([3, 0, 5])))
    2
    """
    return sum(settle(truth(operand(a, "count_nonzero"))), axis, keepdims=keepdims)


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


def argmax(
    a: ArrayLike, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Array:
    """Where the greatest element is: the first of equals, NaN before all.

    >>> import jitml.numpy as jnp
    >>> print(argmax(jnp.array([1, 3, 2])))
    1
    """
    _no_out("argmax", out)
    return _position("argmax", rd.argmax, a, axis, keepdims)


def argmin(
    a: ArrayLike, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Array:
    """Where the smallest element is: the first of equals, NaN before all.

    >>> import jitml.numpy as jnp
    >>> print(argmin(jnp.array([2, 1, 3])))
    1
    """
    _no_out("argmin", out)
    return _position("argmin", rd.argmin, a, axis, keepdims)


# ---- running folds --------------------------------------------------------------------------


def _running(
    name: str, op: Callable[..., Any], a: ArrayLike, axis: int | None, dtype: DTypeLike | None
) -> Any:
    x = operand(a, name)
    if dtype is not None:
        x = cast(x, as_dtype(dtype))
    elif kind(x) == "b":
        x = cast(x, DEFAULT_DTYPES.of(int))
    if kind(x) == "b":
        x = cast(x, dtypes.INT32)
    if axis is None or not type_of(x).ndim:
        axis = 0 if axis is None else axis
        x = mv.reshape(x, (type_of(x).size,))
    result = strong(op(x, as_axis(axis, type_of(x).ndim, name)))
    return result if dtype is None else cast(result, as_dtype(dtype))


def cumsum(
    a: ArrayLike, axis: int | None = None, dtype: DTypeLike | None = None, out: None = None
) -> Array:
    """The sums of all elements up to each one along an axis, of the raveled array without one.

    >>> import jitml.numpy as jnp
    >>> print(cumsum(jnp.array([1, 2, 3])))
    [1 3 6]
    """
    _no_out("cumsum", out)
    return settle(_running("cumsum", cu.cumsum, a, axis, dtype))


def cumprod(
    a: ArrayLike, axis: int | None = None, dtype: DTypeLike | None = None, out: None = None
) -> Array:
    """The products of all elements up to each one along an axis.

    >>> import jitml.numpy as jnp
    >>> print(cumprod(jnp.array([1, 2, 3])))
    [1 2 6]
    """
    _no_out("cumprod", out)
    return settle(_running("cumprod", cu.cumprod, a, axis, dtype))


def _cumulative(
    name: str,
    op: Callable[..., Any],
    start: int,
    x: ArrayLike,
    axis: int | None,
    dtype: DTypeLike | None,
    include_initial: bool,
) -> Array:
    value = operand(x, name)
    rank = type_of(value).ndim
    if not rank or (axis is None and rank > 1):
        fail(ArgumentError, f"{name}: {type_of(value)} needs an axis", "pass axis=")
    where = as_axis(0 if axis is None else axis, rank, name)
    wanted = summed_dtype(type_of(value).dtype) if dtype is None else as_dtype(dtype)
    result = _running(name, op, cast(value, wanted), where, wanted)
    if include_initial:
        config = [(1, 0, 0) if k == where else (0, 0, 0) for k in range(rank)]
        result = mv.pad(result, cast(start, wanted), config)
    return settle(result)


def cumulative_sum(
    x: ArrayLike,
    /,
    *,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
    include_initial: bool = False,
) -> Array:
    """The running sum, after a 0 if asked.

    >>> import jitml.numpy as jnp
    >>> print(cumulative_sum(jnp.array([1, 2]), include_initial=True))
    [0 1 3]
    """
    return _cumulative("cumulative_sum", cu.cumsum, 0, x, axis, dtype, include_initial)


def cumulative_prod(
    x: ArrayLike,
    /,
    *,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
    include_initial: bool = False,
) -> Array:
    """The running product, after a 1 if asked.

    >>> import jitml.numpy as jnp
    >>> print(cumulative_prod(jnp.array([2, 3]), include_initial=True))
    [1 2 6]
    """
    return _cumulative("cumulative_prod", cu.cumprod, 1, x, axis, dtype, include_initial)


def diff(
    a: ArrayLike,
    n: int = 1,
    axis: int = -1,
    prepend: ArrayLike | None = None,
    append: ArrayLike | None = None,
) -> Array:
    """The n-th differences of neighbours along an axis.

    >>> import jitml.numpy as jnp
    >>> print(diff(jnp.array([1, 4, 9])))
    [3 5]
    """
    from jitml.numpy.joining import concatenate, take_slice
    from jitml.numpy.manipulation import broadcast_to, ndim

    x = operand(a, "diff")
    where = as_axis(axis, type_of(x).ndim, "diff")
    if operator.index(n) < 0:
        fail(ArgumentError, f"diff: the order is negative: {n}")
    edge = (*type_of(x).shape[:where], 1, *type_of(x).shape[where + 1 :])
    parts = [
        part if ndim(part) else broadcast_to(part, edge)
        for part in (prepend, x, append)
        if part is not None
    ]
    x = operand(concatenate(parts, where)) if len(parts) > 1 else x
    for _ in range(n):
        length = type_of(x).shape[where]
        right, left = (
            take_slice(x, where, _min(1, length), length),
            take_slice(x, where, 0, _max(length - 1, 0)),
        )
        x = (ew.ne if kind(x) == "b" else ew.sub)(right, left)
    return settle(x)
