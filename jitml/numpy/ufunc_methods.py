"""What the methods of ufuncs do: by folds and scatters where there are any, else one by one.

In: the ufunc, arrays. Out: arrays. `RULES` says which function serves for which method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError
from jitml.lax.control_flow import scan
from jitml.numpy import cumulative, extremes, reductions
from jitml.numpy.choice import choose
from jitml.numpy.creation import asarray, full
from jitml.numpy.editing import not_in_place
from jitml.numpy.indexing import take
from jitml.numpy.joining import concatenate
from jitml.numpy.logic import logical_and
from jitml.numpy.manipulation import broadcast_to, moveaxis, ravel, reshape
from jitml.numpy.operands import as_axes, as_axis, as_dtype, fail, no_out
from jitml.numpy.ranges import arange
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, Axis, DTypeLike


def _converted(a: ArrayLike, dtype: DTypeLike | None) -> Any:
    x = asarray(a)
    return x if dtype is None else x.astype(as_dtype(dtype))


def reduce(
    function: Any,
    a: ArrayLike,
    axis: Axis,
    dtype: DTypeLike | None,
    out: None,
    keepdims: bool,
    initial: ArrayLike | None,
    where: ArrayLike | None,
) -> Array:
    """Fold the slices along the axes one after the other."""
    name = f"{function.__name__}.reduce"
    no_out(name, out)
    x = _converted(a, dtype)
    axes = as_axes(axis, x.ndim, name)
    rest = [k for k in range(x.ndim) if k not in axes]
    rows = moveaxis(x, rest, range(len(axes), x.ndim)).reshape(-1, *(x.shape[k] for k in rest))
    first = initial if initial is not None else function.identity
    if where is not None:
        if first is None:
            fail(ArgumentError, f"{name}: `where` needs `initial`, for {name} has no identity")
        chosen = moveaxis(broadcast_to(where, x.shape), rest, range(len(axes), x.ndim))
        rows = choose(chosen.reshape(rows.shape), rows, first)
    if initial is None and rows.shape[0]:
        start, rows = rows[0], rows[1:]
    elif first is None:
        fail(ArgumentError, f"{name}: an empty array has no first element", "pass initial=")
    else:
        start = full(rows.shape[1:], first, rows.dtype)
    result = _folded(function, start, rows)[0]
    kept = [1 if k in axes else n for k, n in enumerate(x.shape)]
    return reshape(result, kept) if keepdims else result


def _folded(function: Any, start: Any, rows: Any) -> tuple[Any, Any]:
    """The last and all the results of calls with the one before and the next row."""
    dtype = function(start, rows[0]).dtype if rows.shape[0] else start.dtype

    def step(total: Any, row: Any) -> tuple[Any, Any]:
        following = function(total, row).astype(dtype)
        return following, following

    return scan(step, start.astype(dtype), rows)


def accumulate(function: Any, a: ArrayLike, axis: int, dtype: DTypeLike | None, out: None) -> Array:
    """The results of the fold after each slice."""
    name = f"{function.__name__}.accumulate"
    no_out(name, out)
    x = _converted(a, dtype)
    along = as_axis(axis, x.ndim, name)
    rows = moveaxis(x, along, 0)
    if rows.shape[0] < 2:
        return x
    _, later = _folded(function, rows[0], rows[1:])
    return moveaxis(concatenate([rows[:1].astype(later.dtype), later]), 0, along)


def outer(function: Any, a: ArrayLike, b: ArrayLike) -> Array:
    """The function of each element of one array with each of another."""
    x, y = asarray(a), asarray(b)
    return function(reshape(x, (*x.shape, *(1,) * y.ndim)), y)


def at(function: Any, a: ArrayLike, indices: Any, b: ArrayLike | None, inplace: bool) -> Array:
    """The elements at indices replaced, one after the other."""
    name = f"{function.__name__}.at"
    not_in_place(name, inplace)
    x = asarray(a)
    if (b is None) != (function.nin == 1):
        fail(ArgumentError, f"{name}: {function.nin - 1} arrays stand beside indices")
    where = reshape(arange(x.size), x.shape)[indices]
    values = x if b is None else broadcast_to(b, where.shape)

    def step(flat: Any, place: tuple[Any, Any]) -> tuple[Any, None]:
        k, value = place
        new = function(flat[k]) if b is None else function(flat[k], value)
        return flat.at[k].set(new.astype(flat.dtype)), None

    beside = ravel(where) if b is None else ravel(values)
    return reshape(scan(step, ravel(x), (ravel(where), beside))[0], x.shape)


def reduceat(
    function: Any,
    a: ArrayLike,
    indices: Any,
    axis: int,
    dtype: DTypeLike | None,
    out: None,
) -> Array:
    """Folds from each index up to the next; of the element alone if the next is not greater."""
    name = f"{function.__name__}.reduceat"
    no_out(name, out)
    x, starts = _converted(a, dtype), asarray(indices)
    if starts.ndim != 1 or not dtypes.is_integer(starts.dtype):
        fail(
            ArgumentError,
            f"{name}: indices are a vector of integers, got {type_of(starts)}",
        )
    along = as_axis(axis, x.ndim, name)
    rows = moveaxis(x, along, 0)
    first = take(rows, starts, 0)
    ends = concatenate([starts[1:], full((min(1, starts.shape[0]),), rows.shape[0], starts.dtype)])
    dtype = function(first, first).dtype
    column = (-1, *(1,) * (rows.ndim - 1))

    def step(totals: Any, place: tuple[Any, Any]) -> tuple[Any, None]:
        k, row = place
        inside = reshape(logical_and(starts < k, k < ends), column)
        return choose(inside, function(totals, row).astype(dtype), totals), None

    found, _ = scan(step, first.astype(dtype), (arange(rows.shape[0], dtype=starts.dtype), rows))
    return moveaxis(found, 0, along)


# ---- functions that serve for methods -------------------------------------------------------


def _extreme(fold: Callable[..., Any]) -> Callable[..., Any]:
    def rule(a: ArrayLike, dtype: DTypeLike | None = None, **options: Any) -> Array:
        return fold(_converted(a, dtype), **options)

    return rule


def _truth(fold: Callable[..., Any]) -> Callable[..., Any]:
    def rule(
        a: ArrayLike,
        dtype: DTypeLike | None = None,
        initial: ArrayLike | None = None,
        **options: Any,
    ) -> Array:
        if initial is not None:
            fail(ArgumentError, f"logical_{fold.__name__}: `initial` is not supported")
        return _converted(fold(a, **options), dtype)

    return rule


def _scatter(update: str) -> Callable[..., Any]:
    def rule(a: ArrayLike, indices: Any, b: ArrayLike | None, inplace: bool) -> Array:
        not_in_place(f"{update}.at", inplace)
        if b is None:
            fail(ArgumentError, f"{update}.at: an array stands beside indices")
        return getattr(asarray(a).at[indices], update)(b)

    return rule


RULES: dict[tuple[str, str], Callable[..., Any]] = {
    ("add", "reduce"): reductions.sum,
    ("multiply", "reduce"): reductions.prod,
    ("maximum", "reduce"): _extreme(extremes.max),
    ("minimum", "reduce"): _extreme(extremes.min),
    ("logical_and", "reduce"): _truth(reductions.all),
    ("logical_or", "reduce"): _truth(reductions.any),
    ("add", "accumulate"): cumulative.cumsum,
    ("multiply", "accumulate"): cumulative.cumprod,
    **{(name, "at"): _scatter(name) for name in ("add", "subtract", "multiply", "divide")},
    ("maximum", "at"): _scatter("max"),
    ("minimum", "at"): _scatter("min"),
}
