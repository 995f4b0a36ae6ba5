"""`det` and `pinv`: functions of matrices whose derivatives exist where those of their
factorisations do not.

In: matrices. Out: determinants; pseudo-inverses, for which singular values below a share of the
largest one count as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import INT32, real_dtype
from jitml.ir.errors import ShapeError
from jitml.ir.types import ArrayType
from jitml.ops.cumulative import cumprod
from jitml.ops.elementwise import (
    add,
    and_,
    div,
    eq,
    gt,
    mul,
    ne,
    select,
    sub,
)
from jitml.ops.kinds import Traced, full_of, zeros_like
from jitml.ops.layout import iota, squeeze
from jitml.ops.linalg.lu import lu, take_rows
from jitml.ops.linalg.matrices import (
    MatrixOp,
    adjoint,
    check_matrix,
    diagonal_of,
    identity_like,
    rows_and_columns,
    scaled_columns,
    spread,
    times,
)
from jitml.ops.linalg.qr import qr, take_columns
from jitml.ops.linalg.solve import inverse_order
from jitml.ops.linalg.svd import svd
from jitml.ops.linalg.triangular import solve_triangular
from jitml.ops.reduction import reduce_max, reduce_prod, reduce_sum, reduce_xor
from jitml.ops.slicing import slice_
from jitml.trace.core import bind1, type_of
from jitml_runtime.record import frozen


@frozen
class Det(MatrixOp):
    """Determinants."""

    name = "det"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix(self.name, a, square=True)
        return (ArrayType(a.dtype, a.shape[:-2]),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return (np.linalg.det(arrays[0]).astype(arrays[0].dtype),)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        (a,) = inputs
        n = type_of(a).shape[-1]
        if n == 0:
            return [full_of(self.infer(type_of(a))[0], 1)]
        if n == 1:
            return [diagonal_of_size_one(a)]
        factors, pivots, _ = lu(a)
        product = reduce_prod(diagonal_of(factors), (type_of(a).ndim - 2,))
        return [mul(product, parity(pivots, type_of(product)))]

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        """The trace of adj(A) Ȧ."""
        (a,), (t,) = primals, tangents
        n, out = type_of(a).shape[-1], bind1(self, a)
        if t is None or n == 0:
            return [out], [None]
        if n == 1:
            return [out], [diagonal_of_size_one(t)]
        moved = _adjugate_times(a, t)
        return [out], [reduce_sum(diagonal_of(moved), (type_of(a).ndim - 2,))]


def diagonal_of_size_one(a: Traced) -> Traced:
    """The elements of 1×1 matrices."""
    ndim = type_of(a).ndim
    return squeeze(a, (ndim - 2, ndim - 1))


def parity(pivots: Traced, type_: ArrayType) -> Traced:
    """1, or −1 where an odd number of rows was exchanged, as an array of `type_`."""
    place = iota(INT32, type_of(pivots).shape, type_of(pivots).ndim - 1)
    odd = reduce_xor(ne(pivots, place), (type_of(pivots).ndim - 1,))
    one = full_of(ArrayType(type_.dtype, type_.shape), 1)
    return select(odd, mul(one, -1.0), one)


def _adjugate_times(a: Traced, b: Traced) -> Traced:
    """adj(A) B, also where A is singular: with the columns of A in the order P for which A P = Q R
    and R has its smallest diagonal element last, adj(A) = det(P) det(Q) P adj(R) Qᴴ.
    """
    q, r, order = qr(a, True, True)
    back = inverse_order(order)
    phase = bind1(Det(), take_columns(q, back))
    y = times(adjoint(q), b)
    return take_rows(_triangular_adjugate_times(r, mul(y, spread(phase, type_of(y)))), back)


def _triangular_adjugate_times(r: Traced, y: Traced) -> Traced:
    """adj(R) Y = det(R) R⁻¹ Y with the last diagonal element multiplied out: 1/d, where d is the
    product of the others, stands in its place; rows above the last are multiplied by det(R).
    """
    n, axis = type_of(r).shape[-1], type_of(r).ndim - 2
    products = cumprod(diagonal_of(r), axis)
    whole, before = _element(products, n - 1), _element(products, n - 2)
    row, column = rows_and_columns(r)
    is_last = and_(eq(row, n - 1), eq(column, n - 1))
    lost = eq(before, 0)  # below rank n − 1 the adjugate is 0
    inverse = div(full_of(type_of(before), 1), before)
    upper = select(is_last, spread(inverse, type_of(r)), r)
    # Nothing infinite to go back through.
    upper = select(spread(lost, type_of(r)), identity_like(r), upper)
    y = select(ne(rows_and_columns(y)[0], n - 1), mul(y, spread(whole, type_of(y))), y)
    x = solve_triangular(upper, y, left=True, lower=False)
    return select(spread(lost, type_of(x)), zeros_like(x), x)


def _element(x: Traced, place: int) -> Traced:
    """One element of each vector."""
    *batch, _ = type_of(x).shape
    low, high = (*[0] * len(batch), place), (*batch, place + 1)
    return squeeze(slice_(x, low, high), (len(batch),))


def det(a: Traced) -> Traced:
    """The determinants of square matrices."""
    return bind1(Det(), a)


@frozen
class Pinv(MatrixOp):
    """Pseudo-inverses; singular values of at most `rtol` (the second input) times the largest one
    count as 0.
    """

    name = "pinv"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, rtol = types
        check_matrix(self.name, a)
        *batch, m, n = a.shape
        if (rtol.dtype, rtol.shape) != (real_dtype(a.dtype), tuple(batch)):
            raise ShapeError(f"{self.name}: rtol must be one number for each matrix: {a}, {rtol}")
        return (ArrayType(a.dtype, (*batch, n, m)),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        a, rtol = arrays
        return (np.linalg.pinv(a, rtol).astype(a.dtype),)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        a, rtol = inputs
        if 0 in type_of(a).shape:
            return [full_of(self.infer(type_of(a), type_of(rtol))[0], 0)]
        values, u, vh = svd(a, False, True)
        axis = type_of(values).ndim - 1
        largest = reduce_max(values, (axis,))
        least = spread(mul(largest, rtol), type_of(values))
        one = full_of(type_of(values), 1)
        kept = gt(values, least)
        inverse = select(kept, div(one, select(kept, values, one)), zeros_like(one))
        return [times(scaled_columns(adjoint(vh), inverse), adjoint(u))]

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        """Ṗ = −P Ȧ P + P Pᴴ Ȧᴴ (I − A P) + (I − P A) Ȧᴴ Pᴴ P (Golub and Pereyra, 1973)."""
        (a, _), (t, _) = primals, tangents
        p = bind1(self, *primals)
        if t is None or 0 in type_of(a).shape:
            return [p], [None]
        left, right = times(a, p), times(p, a)
        turned = adjoint(t)
        first = times(p, t, p)
        second = times(p, adjoint(p), turned, sub(identity_like(left), left))
        third = times(sub(identity_like(right), right), turned, adjoint(p), p)
        return [p], [add(sub(second, first), third)]


def pinv(a: Traced, rtol: Traced) -> Traced:
    """Pseudo-inverses; `rtol` has one number for each matrix."""
    return bind1(Pinv(), a, rtol)
