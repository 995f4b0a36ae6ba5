"""`lu`: P A = L U with exchanged rows; `pivots_to_permutation`.

In: matrices of any shape. Out: L (without its ones) and U in one matrix, the rows exchanged at each
step counted from 0, and the permutation that they make: row i of P A is row `permutation[i]` of A.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import INT32
from jitml.ir.errors import DTypeError, ShapeError
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import add, sub
from jitml.ops.kinds import Traced, full_of
from jitml.ops.layout import broadcast_in_dim, iota
from jitml.ops.linalg.lapack import getrf
from jitml.ops.linalg.matrices import (
    MatrixOp,
    check_matrix,
    flipped,
    identity_like,
    is_small,
    lower_part,
    times,
    upper_part,
    valid_or_nan,
)
from jitml.ops.linalg.triangular import solve_triangular
from jitml.ops.slicing import pad, slice_
from jitml.ops.sort import take_along_axis
from jitml.trace.core import bind, bind1, type_of
from jitml.trace.numbers import literal
from jitml_runtime.record import frozen


@frozen
class Lu(MatrixOp):
    """L and U of P A = L U, pivots, permutation."""

    name = "lu"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix(self.name, a)
        *batch, m, n = a.shape
        return a, ArrayType(INT32, (*batch, min(m, n))), ArrayType(INT32, (*batch, m))

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        a = np.array(arrays[0])
        *batch, m, n = a.shape
        pivots = np.zeros((*batch, min(m, n)), np.int32)
        permutation = np.broadcast_to(np.arange(m, dtype=np.int32), (*batch, m)).copy()
        for place in np.ndindex(*batch):
            for k in range(min(m, n)):
                rows = a[place]
                size = abs(rows[k:, k].real) + abs(rows[k:, k].imag)
                pivot = k + int(np.argmax(size))
                pivots[(*place, k)] = pivot
                rows[[k, pivot]] = rows[[pivot, k]]
                order = permutation[place]
                order[[k, pivot]] = order[[pivot, k]]
                if rows[k, k] != 0:
                    rows[k + 1 :, k] /= rows[k, k]
                    rows[k + 1 :, k + 1 :] -= np.outer(rows[k + 1 :, k], rows[k, k + 1 :])
        return a, pivots, permutation

    def expands(self, *types: ArrayType) -> bool:
        return not is_small(*types)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        (a,) = inputs
        _, pivots, permutation = self.infer(type_of(a))
        if 0 in type_of(a).shape:
            order = iota(INT32, permutation.shape, permutation.ndim - 1)
            return [a, full_of(pivots, 0), order]
        factors, found, info = getrf(flipped(a))
        found = sub(found, 1)
        order = pivots_to_permutation(found, permutation.shape[-1])
        return [flipped(valid_or_nan(info, factors, "lt")), found, order]

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        """With X = L⁻¹ P Ȧ U⁻¹: L̇ = L tril(X, −1), U̇ = triu(X) U."""
        (t,) = tangents
        factors, pivots, order = bind(self, *primals)
        if t is None or 0 in type_of(factors).shape:
            return [factors, pivots, order], [None] * 3
        lower, upper = unpacked(factors)
        moved = solve_triangular(lower, take_rows(t, order), left=True, lower=True, unit=True)
        x = solve_triangular(upper, moved, left=False, lower=False)
        tangent = add(times(lower, lower_part(x, -1)), times(upper_part(x), upper))
        return [factors, pivots, order], [tangent, None, None]


def unpacked(factors: Traced) -> tuple[Traced, Traced]:
    """Square L and U of both in one matrix, with the identity where there is nothing of them."""
    type_ = type_of(factors)
    m, n = type_.shape[-2:]
    least = min(m, n)
    lower = _cut(lower_part(factors, -1), m, least)
    upper = _cut(upper_part(factors), least, n)
    lower, upper = _padded(lower, 0, m - least), _padded(upper, n - least, 0)
    rest = identity_like(upper)
    below = lower_part(sub(rest, _kept_identity(rest, least)))
    return add(lower, identity_like(lower)), add(upper, below)


def _kept_identity(identity: Traced, size: int) -> Traced:
    """The first `size` columns of an identity, zeros behind."""
    type_ = type_of(identity)
    n = type_.shape[-1]
    return _padded(_cut(identity, n, size), 0, n - size)


def _cut(x: Traced, rows: int, columns: int) -> Traced:
    *batch, _, _ = type_of(x).shape
    return slice_(x, (0,) * (len(batch) + 2), (*batch, rows, columns))


def _padded(x: Traced, rows: int, columns: int) -> Traced:
    """Zeros below and to the right."""
    type_ = type_of(x)
    if not rows and not columns:
        return x
    config = [(0, 0, 0)] * (type_.ndim - 2) + [(0, rows, 0), (0, columns, 0)]
    return pad(x, literal(0, ArrayType(type_.dtype, ())), config)


def take_rows(x: Traced, order: Traced) -> Traced:
    """The rows of matrices in the order of numbers from a permutation."""
    type_ = type_of(x)
    dims = tuple(range(type_.ndim - 1))
    return take_along_axis(x, broadcast_in_dim(order, type_.shape, dims), type_.ndim - 2)


def lu(a: Traced) -> tuple[Traced, Traced, Traced]:
    """Factors, pivots and permutation."""
    factors, pivots, order = bind(Lu(), a)
    return factors, pivots, order


@frozen
class PivotsToPermutation(MatrixOp):
    """The permutation of `size` rows that exchanges row i with row `pivots[i]`, for i in turn."""

    name = "pivots_to_permutation"
    size: int

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (pivots,) = types
        if pivots.dtype != INT32:
            raise DTypeError(f"{self.name}: pivots must be int32, not {pivots}")
        if not pivots.ndim or pivots.shape[-1] > self.size:
            raise ShapeError(
                f"{self.name}: at most {self.size} pivots for {self.size} rows, not {pivots}"
            )
        return (ArrayType(INT32, (*pivots.shape[:-1], self.size)),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        (pivots,) = arrays
        shape = (*pivots.shape[:-1], self.size)
        order = np.broadcast_to(np.arange(self.size, dtype=np.int32), shape).copy()
        for place in np.ndindex(*pivots.shape):
            (*batch, k), row = place, int(np.clip(pivots[place], 0, self.size - 1))
            lane = order[tuple(batch)]
            lane[[k, row]] = lane[[row, k]]
        return (order,)

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        return bind(self, *primals), [None]


def pivots_to_permutation(pivots: Traced, size: int) -> Traced:
    """The permutation that exchanges each row i of `size` with row `pivots[i]`, in turn."""
    return bind1(PivotsToPermutation(size), pivots)
