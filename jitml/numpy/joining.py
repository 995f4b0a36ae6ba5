"""Joining arrays, and taking them apart."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy.manipulation import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    ndim,
    ravel,
    reshape,
    shape,
    squeeze,
    transpose,
)
from jitml.numpy.operands import as_axis, as_dtype, cast, fail, no_out, operand, promoted, settle
from jitml.ops import movement as mv
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = [
    "append", "array_split", "block", "column_stack", "concat", "concatenate", "dsplit", "dstack",
    "hsplit", "hstack", "split", "stack", "unstack", "vsplit", "vstack",
]  # fmt: skip

# ---- joining --------------------------------------------------------------------------------


def _list_of_arrays(name: str, arrays: Any) -> list[Any]:
    """The arrays to join: a sequence, or one array taken apart along its first axis."""
    if not isinstance(arrays, (list, tuple)):
        if not ndim(arrays):
            fail(ArgumentError, f"{name}: needs a sequence of arrays, got one number")
        arrays = unstack(arrays)
    if not arrays:
        fail(ArgumentError, f"{name}: needs at least one array")
    return list(arrays)


def concatenate(arrays: Any, axis: int | None = 0, dtype: DTypeLike | None = None) -> Array:
    """Arrays joined along an axis that they have; along None, raveled.

    >>> print(concatenate([reshape(1, 1), reshape(2, 1)]))
    [1 2]
    """
    parts = _list_of_arrays("concatenate", arrays)
    xs = promoted("concatenate", *parts)
    if dtype is not None:
        xs = [cast(x, as_dtype(dtype)) for x in xs]
    if axis is None:
        return settle(mv.concatenate([ravel(settle(x)) for x in xs], 0))
    types = [type_of(x) for x in xs]
    if not types[0].ndim:
        fail(
            ShapeError,
            "concatenate: 0-d arrays cannot be joined",
            "stack joins them along a new axis",
        )
    where = as_axis(axis, types[0].ndim, "concatenate")
    rest = {(*t.shape[:where], *t.shape[where + 1 :]) for t in types}
    if len(rest) > 1 or len({t.ndim for t in types}) > 1:
        fail(
            ShapeError,
            f"concatenate: shapes differ beside axis {where}: {', '.join(map(str, types))}",
            "all sizes but those of the joined axis must be equal",
        )
    return settle(mv.concatenate(xs, where))


concat = concatenate


def stack(arrays: Any, axis: int = 0, out: None = None, dtype: DTypeLike | None = None) -> Array:
    """Arrays of one shape joined along a new axis.

    >>> print(stack([1, 2]))
    [1 2]
    """
    no_out("stack", out)
    parts = _list_of_arrays("stack", arrays)
    shapes = [shape(x) for x in parts]
    if len(set(shapes)) > 1:
        fail(ShapeError, f"stack: the shapes differ: {', '.join(map(str, shapes))}")
    where = as_axis(axis, len(shapes[0]) + 1, "stack")
    rows = promoted("stack", *parts)
    new = (*shapes[0][:where], 1, *shapes[0][where:])
    return concatenate([settle(mv.reshape(x, new)) for x in rows], where, dtype)


def vstack(tup: Any, dtype: DTypeLike | None = None) -> Array:
    """Arrays joined as rows.

    >>> print(vstack([1, 2]))
    [[1]
     [2]]
    """
    return concatenate([atleast_2d(x) for x in _list_of_arrays("vstack", tup)], 0, dtype)


def hstack(tup: Any, dtype: DTypeLike | None = None) -> Array:
    """Arrays joined side by side.

    >>> print(hstack([1, 2]))
    [1 2]
    """
    parts = [atleast_1d(x) for x in _list_of_arrays("hstack", tup)]
    return concatenate(parts, 0 if ndim(parts[0]) == 1 else 1, dtype)


def dstack(tup: Any, dtype: DTypeLike | None = None) -> Array:
    """Arrays joined along the third axis.

    >>> dstack([1, 2]).shape
    (1, 1, 2)
    """
    return concatenate([atleast_3d(x) for x in _list_of_arrays("dstack", tup)], 2, dtype)


def column_stack(tup: Any) -> Array:
    """Vectors as the columns of a matrix.

    >>> print(column_stack([1, 2]))
    [[1 2]]
    """
    parts = _list_of_arrays("column_stack", tup)
    return concatenate([x if ndim(x) >= 2 else transpose(atleast_2d(x)) for x in parts], 1)


def append(arr: ArrayLike, values: ArrayLike, axis: int | None = None) -> Array:
    """`values` put behind `arr`.

    >>> print(append(1, 2))
    [1 2]
    """
    if axis is None:
        return concatenate([ravel(arr), ravel(values)])
    return concatenate([arr, values], axis)


def block(arrays: Any) -> Array:
    """An array of nested lists of blocks: the innermost lists join along the last axis.

    >>> print(block([[1, 2], [3, 4]]))
    [[1 2]
     [3 4]]
    """

    def depth(x: Any) -> int:
        return 1 + max(map(depth, x)) if isinstance(x, list) else 0

    def rank(x: Any) -> int:
        return max(map(rank, x)) if isinstance(x, list) else ndim(x)

    levels = depth(arrays)
    full = max(levels, rank(arrays))

    def joined(x: Any, level: int) -> Any:
        if isinstance(x, list):
            return concatenate([joined(item, level + 1) for item in x], full - levels + level)
        return reshape(x, (1,) * (full - ndim(x)) + shape(x))

    return settle(operand(joined(arrays, 0)))


# ---- splitting ------------------------------------------------------------------------------


def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The slices along an axis, without it.

    >>> [int(x) for x in unstack(stack([1, 2]))]
    [1, 2]
    """
    value = operand(x, "unstack")
    where = as_axis(axis, type_of(value).ndim, "unstack")
    return tuple(
        squeeze(take_slice(value, where, i, i + 1), where)
        for i in range(type_of(value).shape[where])
    )


def take_slice(x: Any, axis: int, start: int, stop: int, step: int = 1) -> Any:
    """A slice along one axis."""
    sizes = type_of(x).shape
    starts = tuple(start if k == axis else 0 for k in range(len(sizes)))
    stops = tuple(stop if k == axis else n for k, n in enumerate(sizes))
    steps = tuple(step if k == axis else 1 for k in range(len(sizes)))
    return mv.slice_(x, starts, stops, None if step == 1 else steps)


def array_split(
    ary: ArrayLike, indices_or_sections: int | Sequence[int] | ArrayLike, axis: int = 0
) -> list[Array]:
    """Parts along an axis: of nearly equal size, or between given positions.

    >>> [len(x) for x in array_split(broadcast_to(1, (5,)), 2)]
    [3, 2]
    """
    x = operand(ary, "split")
    where = as_axis(axis, type_of(x).ndim, "split")
    length = type_of(x).shape[where]
    if ndim(np.asarray(indices_or_sections)) == 0:
        count = operator.index(indices_or_sections)  # type: ignore[arg-type]
        if count < 1:
            fail(ArgumentError, f"split: {count} sections")
        each, extra = divmod(length, count)
        cuts = [k * each + min(k, extra) for k in range(count + 1)]
    else:
        given = [operator.index(i) for i in np.asarray(indices_or_sections)]
        inner = [slice(None, i).indices(length)[1] for i in given]
        cuts = [0, *inner, length]
    pairs = itertools.pairwise(cuts)
    return [settle(take_slice(x, where, a, max(a, b))) for a, b in pairs]


def split(
    ary: ArrayLike, indices_or_sections: int | Sequence[int] | ArrayLike, axis: int = 0
) -> list[Array]:
    """Parts of equal size along an axis, or between given positions.

    >>> [len(x) for x in split(broadcast_to(1, (4,)), 2)]
    [2, 2]
    """
    if np.ndim(np.asarray(indices_or_sections)) == 0:
        length = shape(ary)[as_axis(axis, ndim(ary), "split")]
        count = operator.index(indices_or_sections)  # type: ignore[arg-type]
        if count > 0 and length % count:
            fail(
                ShapeError,
                f"split: axis {axis} of size {length} has no {count} equal parts",
                "array_split makes parts of nearly equal size",
            )
    return array_split(ary, indices_or_sections, axis)


def hsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Array]:
    """Parts side by side.

    >>> len(hsplit(broadcast_to(1, (2, 4)), 2))
    2
    """
    return split(ary, indices_or_sections, 0 if ndim(ary) == 1 else 1)


def vsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Array]:
    """Parts of the rows.

    >>> len(vsplit(broadcast_to(1, (4, 2)), 2))
    2
    """
    return split(ary, indices_or_sections, 0)


def dsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Array]:
    """Parts along the third axis.

    >>> len(dsplit(broadcast_to(1, (1, 1, 4)), 2))
    2
    """
    return split(ary, indices_or_sections, 2)
