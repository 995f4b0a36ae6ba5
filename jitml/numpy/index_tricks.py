"""What is made by indexing: `r_`, `c_`, `s_`, `mgrid`, `ogrid`; and `ix_`.

In: slices, whose step may be an imaginary number (so many points, both ends included), numbers
and arrays. Out: arrays, or the index itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError
from jitml.numpy.creation import array, asarray
from jitml.numpy.joining import concatenate, stack
from jitml.numpy.manipulation import moveaxis, reshape
from jitml.numpy.operands import fail, operand
from jitml.numpy.positions import nonzero
from jitml.numpy.ranges import arange, linspace
from jitml.numpy.repeating import meshgrid
from jitml.numpy.types import result_type
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = ["c_", "index_exp", "ix_", "mgrid", "ogrid", "r_", "s_"]

s_, index_exp = np.s_, np.index_exp


def _points(piece: slice, name: str) -> Array:
    """The numbers that a slice names."""
    start, step = (0 if piece.start is None else piece.start), piece.step
    if piece.stop is None:
        fail(ArgumentError, f"{name}: the slice {piece!r} has no end", f"as in {name}[0:5]")
    if isinstance(step, complex):
        return linspace(start, piece.stop, int(abs(step)))
    return arange(start, piece.stop, 1 if step is None else step)


class _Grid:
    """`mgrid` and `ogrid`: coordinates along each axis, written as slices."""

    def __init__(self, name: str, is_sparse: bool) -> None:
        self._name, self._is_sparse = name, is_sparse

    def __repr__(self) -> str:
        return f"jitml.numpy.{self._name}"

    def __getitem__(self, key: slice | tuple[slice, ...]) -> Any:
        pieces = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(piece, slice) for piece in pieces):
            fail(ArgumentError, f"{self._name}: takes slices, not {key!r}", "as in mgrid[0:5, 0:3]")
        axes = [_points(piece, self._name) for piece in pieces]
        if not isinstance(key, tuple):
            return axes[0]
        dtype = result_type(*axes)
        grids = meshgrid(*(a.astype(dtype) for a in axes), indexing="ij", sparse=self._is_sparse)
        return list(grids) if self._is_sparse else stack(grids)


mgrid, ogrid = _Grid("mgrid", False), _Grid("ogrid", True)


class _Joiner:
    """`r_` and `c_`: arrays, numbers and slices joined along an axis.

    A string in front may say otherwise: "axis", "axis,ndmin", "axis,ndmin,place" (where the axes
    of those with fewer than `ndmin` go), or for `r_` "r" or "c" (a matrix of one row or column).
    """

    def __init__(self, name: str, axis: int, ndmin: int, place: int) -> None:
        self._name = name
        self._axis, self._ndmin, self._place = axis, ndmin, place

    def __repr__(self) -> str:
        return f"jitml.numpy.{self._name}"

    def __getitem__(self, key: Any) -> Array:
        items = list(key) if isinstance(key, tuple) else [key]
        axis, ndmin, place, matrix = self._axis, self._ndmin, self._place, ""
        if items and isinstance(items[0], str):
            directive = items.pop(0)
            if directive in ("r", "c") and self._name == "r_":
                matrix = directive
            else:
                axis, ndmin, place = self._parsed(directive)
        arrays = [_raised(self._item(item), ndmin, place) for item in items]
        joined = concatenate(arrays, axis)
        if matrix and joined.ndim == 1:
            return reshape(joined, (1, -1) if matrix == "r" else (-1, 1))
        return joined

    def _parsed(self, directive: str) -> tuple[int, int, int]:
        try:
            given = [int(part) for part in directive.split(",")]
        except ValueError:
            given = []
        if not 1 <= len(given) <= 3:
            fail(
                ArgumentError,
                f"{self._name}: {directive!r} is not understood",
                'a string in front is "axis", "axis,ndmin" or "axis,ndmin,place"',
            )
        defaults = [self._axis, self._ndmin, self._place]
        axis, ndmin, place = given + defaults[len(given) :]
        return axis, ndmin, place

    def _item(self, item: Any) -> Array:
        return _points(item, self._name) if isinstance(item, slice) else asarray(item)


def _raised(x: Array, ndmin: int, place: int) -> Array:
    """`x` with at least `ndmin` axes, its own from `place` on (−1: at the end)."""
    own = x.ndim
    result = array(x, ndmin=ndmin)
    if own == 0 or own >= ndmin or place == -1:
        return result
    first = place if place >= 0 else place + 1 + ndmin - own
    return moveaxis(result, range(ndmin - own, ndmin), range(first, first + own))


r_, c_ = _Joiner("r_", 0, 1, -1), _Joiner("c_", -1, 2, 0)


def ix_(*args: ArrayLike) -> tuple[Array, ...]:
    """Vectors as an index of the whole grid that they span; masks as their positions.

    >>> import jitml.numpy as jnp
    >>> print(jnp.arange(6).reshape(2, 3)[ix_([0, 1], [2, 0])])
    [[2 0]
     [5 3]]
    """
    found = []
    for k, given in enumerate(args):
        x = asarray(given)
        type_ = type_of(operand(x))
        if type_.ndim != 1:
            fail(ArgumentError, f"ix_: takes vectors, got {type_}")
        if dtypes.is_bool(type_.dtype):
            x = nonzero(x)[0]
        elif not type_.shape[0]:
            x = x.astype(int)
        shape = (1,) * k + (-1,) + (1,) * (len(args) - 1 - k)
        found.append(reshape(x, shape))
    return tuple(found)
