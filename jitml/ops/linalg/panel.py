"""`panel_qr`: QR of a few columns, with its reflectors in blocked form; and what is made of it.

In: real matrices. Out: of columns A the reflectors V, R and T of A = (I − V Tᵀ Vᵀ) [R; 0]: "compact
WY" (Schreiber and Van Loan, 1989). Panels of columns one after the other make the QR of any matrix,
most of which is products then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.errors import ShapeError
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import and_, eq, lt, select, sub
from jitml.ops.kinds import Traced, full_of
from jitml.ops.linalg.matrices import (
    Underivable,
    check_matrix,
    check_same_batch,
    each_matrix,
    flipped,
    identity_like,
    rows_and_columns,
    times,
)
from jitml.ops.slicing import concatenate, pad, slice_
from jitml.trace.core import bind, bind1, type_of
from jitml.trace.numbers import literal
from jitml_runtime.record import frozen

_COLUMNS = 32  # of a panel, at least
_PANELS = 12  # at most: each one costs time to compile


@frozen
class PanelQr(Underivable):
    """V: f[m, columns], unit lower triangular; R and T: f[columns, columns], upper and lower
    triangular, of the first `columns` of m rows: of those of f[first + m, n] from `first` on.
    """

    name = "panel_qr"
    first: int
    columns: int

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix(self.name, a)
        *batch, m, n = a.shape
        if not 0 < self.columns <= min(m - self.first, n) or self.first < 0:
            raise ShapeError(
                f"{self.name}: {self.columns} columns, and as many rows from {self.first} on, "
                f"are not in {a}"
            )
        square = a.with_shape((*batch, self.columns, self.columns))
        return a.with_shape((*batch, m - self.first, self.columns)), square, square

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        (a,) = arrays
        return each_matrix(_factors, a[..., self.first :, : self.columns])


@frozen
class Blocks(Underivable):
    """Matrices of zeros but for blocks: of each input the first rows, as many as `heights` say,
    from the element at (row, column) of `places` on.
    """

    name = "blocks"
    rows: int
    columns: int
    places: tuple[tuple[int, int], ...]
    heights: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        *batch, _, _ = types[0].shape
        for x, (row, column), height in zip(types, self.places, self.heights, strict=True):
            check_matrix(self.name, x)
            check_same_batch(self.name, x, types[0], 2, 2)
            ends = row + height, column + x.shape[-1]
            if height > x.shape[-2] or ends[0] > self.rows or ends[1] > self.columns:
                raise ShapeError(f"{self.name}: {x} at {row, column} is not inside")
        return (types[0].with_shape((*batch, self.rows, self.columns)),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        batch = arrays[0].shape[:-2]
        result = np.zeros((*batch, self.rows, self.columns), arrays[0].dtype)
        for x, (row, column), height in zip(arrays, self.places, self.heights, strict=True):
            result[..., row : row + height, column : column + x.shape[-1]] = x[..., :height, :]
        return (result,)


def _factors(a: Any) -> tuple[Any, Any, Any]:
    """V, R and T of one matrix, a column at a time."""
    m, n = a.shape
    a, v, t = a.copy(), np.eye(m, n, dtype=a.dtype), np.zeros((n, n), a.dtype)
    for k in range(n):
        size = np.linalg.norm(a[k:, k])
        if a[k + 1 :, k].any():
            beta = -np.copysign(size, a[k, k])
            tau = (beta - a[k, k]) / beta
            v[k + 1 :, k] = a[k + 1 :, k] / (a[k, k] - beta)
            a[k:] -= tau * np.outer(v[k:, k], v[k:, k] @ a[k:])
            t[k, k] = tau
            t[k, :k] = -tau * (v[:, k] @ v[:, :k]) @ t[:k, :k]
    return v, np.triu(a[:n]), t


def blocked_qr(a: Traced, full_matrices: bool) -> list[Traced]:
    """Q and R of real matrices that are not empty, by panels."""
    *_, m, n = type_of(a).shape
    count, above = min(m, n), 0  # rows of `a` that are done
    panels: list[tuple[Traced, Traced]] = []
    blocks: list[tuple[Traced, tuple[int, int], int]] = []
    for first, size in panels_of(count):
        v, r, t = bind(PanelQr(above, size), a)
        panels.append((v, t))
        blocks.append((r, (first, first), size))
        if first + size < n:
            rest = rows_of(a, above, type_of(a).shape[-2], size)
            a, above = sub(rest, times(v, times(t, times(flipped(v), rest)))), size
            blocks.append((a, (first, first + size), size))
    parts, places, heights = zip(*blocks, strict=True)
    columns = m if full_matrices else count
    r = bind1(Blocks(columns, n, places, heights), *parts)
    return [_product(panels, columns), r]


def panels_of(count: int) -> list[tuple[int, int]]:
    """First column and number of columns of each panel."""
    width = -(-count // _PANELS)
    width = -(-width // _COLUMNS) * _COLUMNS
    return [(first, min(width, count - first)) for first in range(0, count, width)]


def _product(panels: Sequence[tuple[Traced, Traced]], columns: int) -> Traced:
    """The first `columns` of the product Q of all I − V Tᵀ Vᵀ, from the last one on: what those
    before have not reached is the identity still.
    """
    q: Traced = None
    columns -= sum(type_of(v).shape[-1] for v, _ in panels)
    for v, t in reversed(panels):
        *batch, rows, size = type_of(v).shape
        columns += size
        if q is None:
            before = identity_like(full_of(type_of(v).with_shape((*batch, rows, columns)), 0))
            reached = flipped(rows_of(v, 0, columns))
        else:
            before = _behind_identity(q, size)
            moved = times(flipped(rows_of(v, size, rows)), q)
            reached = concatenate([flipped(rows_of(v, 0, size)), moved], len(batch) + 1)
        q = sub(before, times(v, times(flipped(t), reached)))
    return q


def _behind_identity(x: Traced, size: int) -> Traced:
    """[[I, 0], [0, X]] for the identity of `size`."""
    type_ = type_of(x)
    config = [(0, 0, 0)] * (type_.ndim - 2) + [(size, 0, 0)] * 2
    moved = pad(x, literal(0, ArrayType(type_.dtype, ())), config)
    row, column = rows_and_columns(moved)
    is_one = and_(lt(row, size), eq(row, column))
    return select(is_one, full_of(type_of(moved), 1), moved)


def rows_of(x: Traced, first: int, end: int, column: int = 0) -> Traced:
    """Some rows of matrices, from a column on."""
    *batch, _, n = type_of(x).shape
    return slice_(x, (*[0] * len(batch), first, column), (*batch, end, n))
