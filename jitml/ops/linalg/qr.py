"""`qr` with and without exchanged columns; `householder_product`, `orthogonal_product`.

In: matrices. Out: Q with orthonormal columns and upper triangular R of A = Q R, or of A with its
columns in another order, which is an output then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import INT32, is_complex
from jitml.ir.errors import DifferentiationError, ShapeError
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import add, complex_, imag, mul, sub
from jitml.ops.kinds import Traced, full_of, zeros_like
from jitml.ops.layout import broadcast_in_dim, iota
from jitml.ops.linalg import lapack
from jitml.ops.linalg.matrices import (
    MatrixOp,
    Underivable,
    adjoint,
    as_rows,
    check_matrix,
    check_same_batch,
    diagonal_of,
    each_matrix,
    flipped,
    identity_like,
    lower_part,
    times,
    upper_part,
)
from jitml.ops.linalg.panel import blocked_qr
from jitml.ops.linalg.triangular import solve_triangular
from jitml.ops.slicing import pad, slice_
from jitml.ops.sort import take_along_axis
from jitml.trace.core import bind, bind1, current_source, type_of
from jitml.trace.numbers import literal
from jitml_runtime.record import frozen


@frozen
class Geqrf(Underivable):
    """R in the upper triangle, Householder reflectors below, their factors; if `pivoting`, also
    where the columns come from.
    """

    name = "geqrf"
    pivoting: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix(self.name, a)
        *batch, m, n = a.shape
        order = (ArrayType(INT32, (*batch, n)),) * self.pivoting
        return (a, ArrayType(a.dtype, (*batch, min(m, n))), *order)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        from scipy.linalg import get_lapack_funcs

        (routine,) = get_lapack_funcs(("geqp3" if self.pivoting else "geqrf",), arrays)
        if not self.pivoting:
            return each_matrix(lambda a: routine(a)[:2], *arrays)
        packed, order, taus = each_matrix(lambda a: routine(a)[:3], *arrays)
        return packed, taus, (order - 1).astype(np.int32)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        (a,) = inputs
        types = self.infer(type_of(a))
        if 0 in type_of(a).shape:
            order = [iota(INT32, t.shape, t.ndim - 1) for t in types[2:]]
            return [a, full_of(types[1], 0), *order]
        if self.pivoting:
            packed, taus, order, _ = lapack.geqp3(flipped(a))
            return [flipped(packed), taus, sub(order, 1)]
        packed, taus, _ = lapack.geqrf(flipped(a))
        return [flipped(packed), taus]


def _product(a: Any, taus: Any) -> Any:
    """The product of the reflectors I − τ v vᴴ; v is column k of `a` below a 1 in row k."""
    m = a.shape[0]
    q = np.eye(m, dtype=a.dtype)
    for k, tau in enumerate(taus):
        v = np.where(np.arange(m) > k, a[:, k], np.arange(m) == k)
        q = q - tau * np.outer(q @ v, v.conj())
    return q.astype(a.dtype)


@frozen
class HouseholderProduct(Underivable):
    """The first columns of the product of the reflectors in `a`, as many as `a` has."""

    name = "householder_product"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, taus = types
        check_matrix(self.name, a, what="a")
        check_same_batch(self.name, a, taus, 2, 1)
        m, n = a.shape[-2:]
        if not m >= n >= taus.shape[-1]:
            raise ShapeError(
                f"{self.name}: at least as many rows as columns, and as many of these as factors, "
                f"are needed: {a}, {taus}"
            )
        return (a,)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return each_matrix(lambda a, taus: (_product(a, taus)[:, : a.shape[1]],), *arrays)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        a, taus = inputs
        if 0 in type_of(a).shape:
            return [a]
        if 0 in type_of(taus).shape:
            return [identity_like(a)]
        columns, _ = lapack.orgqr(flipped(a), taus)
        return [flipped(columns)]


@frozen
class OrthogonalProduct(Underivable):
    """Q C, or C Q unless `left`; Q (or with `adjoint` its adjoint) is that of `geqrf`."""

    name = "orthogonal_product"
    left: bool
    adjoint: bool

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, taus, c = types
        for what, matrix in (("a", a), ("c", c)):
            check_matrix(self.name, matrix, what=what)
        check_same_batch(self.name, a, taus, 2, 1)
        check_same_batch(self.name, a, c, 2, 2)
        if c.shape[-2 if self.left else -1] != a.shape[-2] or taus.shape[-1] > a.shape[-1]:
            raise ShapeError(f"{self.name}: sizes do not fit: {a}, {taus}, {c}")
        return (c,)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        def applied(a: Any, taus: Any, c: Any) -> tuple[Any]:
            q = _product(a, taus)
            q = q.conj().T if self.adjoint else q
            return (q @ c if self.left else c @ q,)

        return each_matrix(applied, *arrays)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        a, taus, c = inputs
        if 0 in type_of(c).shape or 0 in type_of(taus).shape:
            return [c]
        turned = "C" if is_complex(type_of(c).dtype) else "T"
        side, trans = "L" if self.left else "R", turned if self.adjoint else "N"
        # The routine wants as many columns as there are factors.
        *batch, m, _ = type_of(a).shape
        a = slice_(a, (0,) * type_of(a).ndim, (*batch, m, type_of(taus).shape[-1]))
        product, _ = lapack.ormqr(side, trans, flipped(a), taus, flipped(c))
        return [flipped(product)]


@frozen
class Qr(MatrixOp):
    """Q and R, all columns of Q with `full_matrices`; the order of columns with `pivoting`."""

    name = "qr"
    full_matrices: bool
    pivoting: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix(self.name, a)
        *batch, m, n = a.shape
        k = m if self.full_matrices else min(m, n)
        order = (ArrayType(INT32, (*batch, n)),) * self.pivoting
        return ArrayType(a.dtype, (*batch, m, k)), ArrayType(a.dtype, (*batch, k, n)), *order

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        (a,) = arrays
        if self.pivoting:
            from scipy.linalg import qr

            mode = "full" if self.full_matrices else "economic"
            q, r, order = each_matrix(lambda a: qr(a, mode=mode, pivoting=True), a)
            return q, r, order.astype(np.int32)
        q, r = np.linalg.qr(a, "complete" if self.full_matrices else "reduced")
        return np.asarray(q), np.asarray(r)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        """By panels, unless there are complex numbers."""
        (a,) = inputs
        type_ = type_of(a)
        if self.pivoting or is_complex(type_.dtype) or 0 in type_.shape:
            return self.by_library(a)
        return blocked_qr(a, self.full_matrices)

    def by_library(self, a: Traced) -> Sequence[Traced]:
        """By the reflectors of `geqrf`."""
        *batch, m, n = type_of(a).shape
        k = m if self.full_matrices else min(m, n)
        packed, taus, *order = bind(Geqrf(self.pivoting), a)
        whole = (0,) * (len(batch) + 2)
        if k > n:
            config = [(0, 0, 0)] * (len(batch) + 1) + [(0, k - n, 0)]
            zero = literal(0, ArrayType(type_of(a).dtype, ()))
            reflectors = pad(packed, zero, config)
        else:
            reflectors = slice_(packed, whole, (*batch, m, k))
        q = bind1(HouseholderProduct(), reflectors, taus)
        return [q, upper_part(slice_(packed, whole, (*batch, k, n))), *order]

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        """With X = Qᴴ Ȧ R⁻¹ = Ω + Ṙ R⁻¹, Ω skew-Hermitian: Q̇ = Q (Ω − X) + Ȧ R⁻¹."""
        (t,) = tangents
        q, r, *order = bind(self, *primals)
        nothing: list[Traced | None] = [None] * len(order)
        if t is None:
            return [q, r, *order], [None, None, *nothing]
        *_, m, n = type_of(primals[0]).shape
        if self.full_matrices and m > n:
            raise DifferentiationError(
                f"qr: no derivative of all columns of Q for matrices of shape ({m}, {n})",
                hint="mode='reduced' (full_matrices=False) has one",
                source=current_source(),
            )
        if order:
            t = take_columns(t, order[0])
        return [q, r, *order], [*_tangents(q, r, t), *nothing]


def _tangents(q: Traced, r: Traced, t: Traced) -> tuple[Traced, Traced]:
    """Tangents of Q and R for the tangent of Q R; with more columns than rows the first ones tell
    that of Q.
    """
    m = type_of(q).shape[-2]
    first, whole = (x if _columns(x) <= m else _first_columns(x, m) for x in (r, t))
    moved = solve_triangular(first, whole, left=False, lower=False)
    x = times(adjoint(q), moved)
    below = lower_part(x, -1)
    skew = sub(below, adjoint(below))
    if is_complex(type_of(x).dtype):
        skew = add(skew, _imaginary_diagonal(x))
    q_dot = add(times(q, sub(skew, x)), moved)
    if _columns(r) <= m:
        return q_dot, times(sub(x, skew), first)
    # Q is square and unitary: R = Qᴴ A.
    return q_dot, upper_part(sub(times(adjoint(q), t), times(skew, r)))


def _columns(x: Traced) -> int:
    return type_of(x).shape[-1]


def _first_columns(x: Traced, count: int) -> Traced:
    shape = type_of(x).shape
    return slice_(x, (0,) * len(shape), (*shape[:-1], count))


def _imaginary_diagonal(x: Traced) -> Traced:
    """The imaginary parts of the diagonal."""
    parts = imag(diagonal_of(x))
    spread = as_rows(complex_(zeros_like(parts), parts), type_of(x).shape[-2])
    return mul(identity_like(x), spread)


def take_columns(x: Traced, order: Traced) -> Traced:
    """The columns of matrices in the order of numbers from a permutation."""
    type_ = type_of(x)
    dims = (*range(type_.ndim - 2), type_.ndim - 1)
    return take_along_axis(x, broadcast_in_dim(order, type_.shape, dims), type_.ndim - 1)


def qr(a: Traced, full_matrices: bool, pivoting: bool = False) -> list[Traced]:
    """Q, R, and with `pivoting` the order of columns."""
    return bind(Qr(full_matrices, pivoting), a)


def householder_product(a: Traced, taus: Traced) -> Traced:
    """The orthonormal columns that reflectors, as `geqrf` gives them, stand for."""
    return bind1(HouseholderProduct(), a, taus)


def orthogonal_product(a: Traced, taus: Traced, c: Traced, left: bool, adjoint: bool) -> Traced:
    """`c` multiplied by the Q of `geqrf`."""
    return bind1(OrthogonalProduct(left, adjoint), a, taus, c)


def geqrf(a: Traced) -> tuple[Traced, Traced]:
    """R with reflectors below its diagonal, and their factors."""
    packed, taus = bind(Geqrf(), a)
    return packed, taus
