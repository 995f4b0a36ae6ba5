"""Where elements are.

Results whose size depends on the data (nonzero, …) need data at hand, or `size=` to make the
size static.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.eager import operation
from jitml.ir.arguments import check_sequence
from jitml.ir.errors import (
    ArgumentError,
    ConcretizationTypeError,
    DTypeError,
    OutOfBoundsError,
    TracerError,
)
from jitml.numpy.arithmetic import add, clip, floor_divide, multiply, remainder
from jitml.numpy.choice import choose
from jitml.numpy.creation import asarray
from jitml.numpy.cumulative import cumsum
from jitml.numpy.indexing import take
from jitml.numpy.joining import stack
from jitml.numpy.logic import truth
from jitml.numpy.manipulation import ravel
from jitml.numpy.manipulation import size as size_of
from jitml.numpy.operands import as_axis, as_shape, fail, kind, no_out, operand, settle
from jitml.numpy.reductions import sum as _sum
from jitml.numpy.search import searchsorted
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = [
    "argwhere", "compress", "extract", "flatnonzero", "nonzero", "ravel_multi_index",
    "unravel_index", "where",
]  # fmt: skip


def values_at_hand(name: str, x: Any, hint: str = "") -> np.ndarray[Any, Any]:
    """The values of an operand, which its result's size (or so the hint, an error) depends on."""
    try:
        return np.asarray(settle(x))
    except TracerError:
        depends = "the result depends" if hint else "the size of the result depends"
        fail(
            ConcretizationTypeError,
            f"{name}: {depends} on {type_of(x)}, whose values are not known while tracing",
            hint or f"pass size= to {name}",
        )


def nonzero(a: ArrayLike, *, size: int | None = None, fill_value: Any = None) -> tuple[Array, ...]:
    """The positions of the elements that are not 0, an array for each axis.

    With `size` there are so many, the first ones, filled up with `fill_value` (0 by default).

    >>> import jitml.numpy as jnp
    >>> print(nonzero(jnp.array([0, 5, 0, 7]))[0])
    [1 3]
    """
    x = operand(a, "nonzero")
    if not type_of(x).ndim:
        fail(ArgumentError, "nonzero: a 0-d array has no positions", "use atleast_1d")
    dtype = DEFAULT_DTYPES.of(int)
    if size is None:
        return tuple(asarray(p.astype(dtype)) for p in np.nonzero(values_at_hand("nonzero", x)))
    return _first_nonzero(x, operator.index(size), fill_value)


def _first_nonzero(x: Any, size: int, fill_value: Any) -> tuple[Array, ...]:
    shape = type_of(x).shape
    flags = ravel(settle(truth(x)))
    dtype = DEFAULT_DTYPES.of(int)
    ends = cumsum(flags, dtype=dtype)
    number = settle(mv.iota(dtype, (size,), 0))
    flat = searchsorted(ends, number, side="right")
    count = _sum(flags, dtype=dtype)
    there = settle(ew.lt(number, count))
    fillers = fill_value if isinstance(fill_value, tuple) else (fill_value,) * len(shape)
    positions = unravel_index(flat, shape)
    return tuple(
        choose(there, p, 0 if f is None else f).astype(dtype)
        for p, f in zip(positions, fillers, strict=True)
    )


def flatnonzero(a: ArrayLike, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The linear positions of the elements that are not 0.

    >>> import jitml.numpy as jnp
    >>> print(flatnonzero(jnp.array([[0, 5], [7, 0]])))
    [1 2]
    """
    return nonzero(ravel(a), size=size, fill_value=fill_value)[0]


def argwhere(a: ArrayLike, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The positions of the elements that are not 0, a row for each.

    >>> import jitml.numpy as jnp
    >>> print(argwhere(jnp.array([0, 5])))
    [[1]]
    """
    return stack(list(nonzero(a, size=size, fill_value=fill_value)), axis=1)


@operation
def where(
    condition: ArrayLike,
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    /,
    *,
    size: int | None = None,
    fill_value: ArrayLike | None = None,
) -> Any:
    """`x` where `condition` is true, else `y`; of the condition alone, where it is true.

    The gradient through the side not taken is 0 even where that side is infinite or NaN.

    >>> print(where(True, 1, 2))
    1
    """
    if x is None and y is None:
        return nonzero(condition, size=size, fill_value=fill_value)
    if x is None or y is None:
        fail(ArgumentError, "where: give both x and y, or neither")
    return choose(condition, x, y)


def extract(
    condition: ArrayLike, arr: ArrayLike, *, size: int | None = None, fill_value: Any = 0
) -> Array:
    """The elements for which the condition holds.

    >>> import jitml.numpy as jnp
    >>> print(extract(jnp.array([True, False]), jnp.array([1, 2])))
    [1]
    """
    chosen = flatnonzero(condition, size=size, fill_value=size_of(arr))
    return take(ravel(arr), chosen, mode="fill", fill_value=fill_value)


def compress(
    condition: ArrayLike,
    a: ArrayLike,
    axis: int | None = None,
    *,
    size: int | None = None,
    fill_value: ArrayLike = 0,
    out: None = None,
) -> Array:
    """The slices along an axis for which the condition holds.

    With `size` there are so many, filled up with `fill_value`.

    >>> import jitml.numpy as jnp
    >>> print(compress(jnp.array([True, False]), jnp.array([1, 2])))
    [1]
    """
    no_out("compress", out)
    x = operand(a, "compress")
    count = (
        type_of(x).size
        if axis is None
        else type_of(x).shape[as_axis(axis, type_of(x).ndim, "compress")]
    )
    chosen = flatnonzero(condition, size=size, fill_value=count)
    if size is None:
        return take(a, chosen, axis)
    return take(a, chosen, axis, mode="fill", fill_value=fill_value)


# ---- linear positions -----------------------------------------------------------------------


def unravel_index(indices: ArrayLike, shape: Any) -> tuple[Array, ...]:
    """The positions along each axis of linear positions in an array of `shape`.

    >>> [int(i) for i in unravel_index(5, (2, 3))]
    [1, 2]
    """
    sizes = as_shape(shape, "unravel_index")
    rest, found = settle(operand(indices, "unravel_index")), []
    for n in reversed(sizes):
        found.append(remainder(rest, n) if n else rest)
        rest = floor_divide(rest, n) if n else rest
    return tuple(reversed(found))


def ravel_multi_index(
    multi_index: Sequence[ArrayLike],
    dims: Sequence[int],
    mode: str = "raise",
    order: str = "C",
    *,
    dtype: DTypeLike | None = None,
) -> Array:
    """The linear positions of positions along each axis.

    One out of bounds raises, for which it must be known; `mode` "clip" and "wrap" opt out.

    >>> print(ravel_multi_index((1, 2), (2, 3)))
    5
    """
    if mode not in ("raise", "clip", "wrap"):
        hint = "it is 'raise', 'clip' or 'wrap'"
        fail(ArgumentError, f"ravel_multi_index: mode {mode!r} is not known", hint)
    check_sequence("ravel_multi_index", multi_index, "arrays")
    check_sequence("ravel_multi_index", dims, "sizes")
    if len(multi_index) != len(dims):
        fail(
            ArgumentError,
            f"ravel_multi_index: {len(multi_index)} arrays of positions for {len(dims)} axes",
        )
    pairs = list(zip(multi_index, dims, strict=True))
    total: Any = 0
    for axis, (position, n) in enumerate(pairs if order == "C" else reversed(pairs)):
        inside = operand(position, "ravel_multi_index")
        if kind(inside) not in "iu":
            fail(DTypeError, f"ravel_multi_index: positions are integers, not {type_of(inside)}")
        if mode == "raise":
            _check_positions(inside, axis if order == "C" else len(dims) - 1 - axis, n)
        else:
            inside = operand(clip(inside, 0, n - 1) if mode == "clip" else remainder(inside, n))
        total = add(multiply(total, n), settle(inside))
    return asarray(total, dtype) if dtype is not None else settle(operand(total))


def _check_positions(x: Any, axis: int, size: int) -> None:
    known = values_at_hand("ravel_multi_index", x, "pass mode='clip' or mode='wrap'")
    outside = known[(known < 0) | (known >= size)]
    if outside.size:
        fail(
            OutOfBoundsError,
            f"ravel_multi_index: {outside.flat[0]} is out of bounds for axis {axis} of size {size}",
        )
