"""`eigh` and `eig`: eigenvalues and eigenvectors.

In: square matrices; `eigh` takes them to be Hermitian and reads one triangle. Out: eigenvalues, and
eigenvectors of length 1 as columns. Derivatives of vectors assume that eigenvalues differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import INT32, complex_dtype, is_complex, real_dtype
from jitml.ir.errors import DifferentiationError
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import (
    abs_,
    add,
    complex_,
    div,
    eq,
    gt,
    imag,
    lt,
    maximum,
    minimum,
    mul,
    neg,
    real,
    select,
    sub,
)
from jitml.ops.kinds import Traced, full_of, zeros_like
from jitml.ops.linalg.lapack import geev, stedc, syevd, sytrd
from jitml.ops.linalg.matrices import (
    SMALL,
    MatrixOp,
    adjoint,
    as_complex,
    as_rows,
    check_matrix,
    conjugate,
    diagonal_of,
    difference_table,
    each_matrix,
    flipped,
    identity_like,
    is_small,
    real_part,
    rows_and_columns,
    spread,
    times,
    upper_part,
    valid_or_nan,
)
from jitml.ops.linalg.panel import rows_of
from jitml.ops.linalg.reflectors import reflected
from jitml.ops.linalg.solve import solve
from jitml.ops.reduction import argmax, reduce_max, reduce_sum
from jitml.ops.slicing import concatenate, pad, slice_
from jitml.trace.core import bind, current_source, type_of
from jitml.trace.numbers import literal
from jitml_runtime.record import frozen

_SIDE, _MANY = 16, 16  # rows, and matrices, for which the lanes of vectors have one each


@frozen
class Eigh(MatrixOp):
    """Eigenvectors and ascending eigenvalues of Hermitian matrices."""

    name = "eigh"
    lower: bool

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix(self.name, a, square=True)
        return a, ArrayType(real_dtype(a.dtype), a.shape[:-1])

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        values, vectors = np.linalg.eigh(arrays[0], "L" if self.lower else "U")
        return np.asarray(vectors), np.asarray(values)

    def expands(self, *types: ArrayType) -> bool:
        (a,) = types
        return not (is_small(a) and a.shape[-1] <= _SIDE and a.size >= _MANY * a.shape[-1] ** 2)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        """By way of a tridiagonal form, unless matrices are small or there are complex numbers."""
        (a,) = inputs
        if is_complex(type_of(a).dtype) or type_of(a).shape[-1] <= SMALL:
            return self.by_library(a)
        return _symmetric_eigen(flipped(a) if self.lower else a)

    def by_library(self, a: Traced) -> Sequence[Traced]:
        """By the routine that does all of it."""
        if 0 in type_of(a).shape:
            return [a, full_of(self.infer(type_of(a))[1], 0)]
        # What lies row by row is the transpose, which is the conjugate.
        vectors, values, info = syevd("U" if self.lower else "L", True, a)
        found = conjugate(flipped(vectors))
        return [valid_or_nan(info, found), valid_or_nan(info, values)]

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        """With M = Vᴴ Ȧ V: ẇ = diag M, V̇ = V (F ∘ M), F_ij = 1 / (w_j − w_i)."""
        (t,) = tangents
        vectors, values = bind(self, *primals)
        if t is None:
            return [vectors, values], [None, None]
        moved = times(adjoint(vectors), t, vectors)
        factors = reciprocal_differences(values)
        weighted = mul(as_complex(factors, type_of(moved).dtype), moved)
        return [vectors, values], [times(vectors, weighted), real_part(diagonal_of(moved))]


def _symmetric_eigen(a: Traced) -> list[Traced]:
    """Eigenvectors and eigenvalues of real matrices, whose upper triangle is read: those of a
    tridiagonal form, the vectors turned back by the reflectors that led to it.
    """
    *batch, n, _ = type_of(a).shape
    scale = _safe_scale(a)
    packed, diagonal, beside, taus, _ = sytrd("L", mul(a, spread(scale, type_of(a))))
    values, vectors, info = stedc(diagonal, beside)
    vectors, none = flipped(vectors), [0] * len(batch)
    reflectors = slice_(flipped(packed), (*none, 1, 0), (*batch, n, n - 1))
    turned = reflected(reflectors, taus, rows_of(vectors, 1, n))
    vectors = concatenate([rows_of(vectors, 0, 1), turned], len(batch))
    values = div(values, spread(scale, type_of(values)))
    return [valid_or_nan(info, vectors), valid_or_nan(info, values)]


def _safe_scale(a: Traced) -> Traced:
    """What brings the largest element of each matrix where squares are in range; 1 if it is."""
    ndim = type_of(a).ndim
    largest = reduce_max(abs_(upper_part(a)), (ndim - 2, ndim - 1))
    limits = np.finfo(type_of(a).dtype)
    least = float(np.sqrt(limits.tiny / limits.eps))
    wanted = minimum(maximum(largest, least), 1 / least)
    return select(eq(largest, 0), full_of(type_of(largest), 1), div(wanted, largest))


def reciprocal_differences(values: Traced) -> Traced:
    """1 / (w_j − w_i), 0 on the diagonal."""
    table = difference_table(values)
    one = identity_like(table)
    return sub(div(full_of(type_of(table), 1), add(table, one)), one)


def eigh(a: Traced, lower: bool) -> tuple[Traced, Traced]:
    """Eigenvectors and eigenvalues of Hermitian matrices, of which one triangle is read."""
    vectors, values = bind(Eigh(lower), a)
    return vectors, values


@frozen
class Eig(MatrixOp):
    """Eigenvalues; left and right eigenvectors where asked for. The largest component of a vector
    is real.
    """

    name = "eig"
    left: bool
    right: bool
    vector_derivatives: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix(self.name, a, square=True)
        dtype = a.dtype if is_complex(a.dtype) else complex_dtype(a.dtype)
        vectors = ArrayType(dtype, a.shape)
        return ArrayType(dtype, a.shape[:-1]), *[vectors] * (self.left + self.right)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        (a,) = arrays
        dtype = self.infer(ArrayType(a.dtype, a.shape))[0].dtype
        if self.left:
            from scipy.linalg import eig

            found = each_matrix(lambda a: eig(a, left=True, right=True), a)
        else:
            values, vectors = np.linalg.eig(a)
            found = values, vectors, vectors
        chosen = [found[0], *[found[1]] * self.left, *[found[2]] * self.right]
        return tuple([x.astype(dtype) for x in chosen])

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        (a,) = inputs
        types = self.infer(type_of(a))
        if 0 in type_of(a).shape:
            return [full_of(t, 0) for t in types]
        *found, info = geev(self.left, self.right, flipped(a))
        if is_complex(type_of(a).dtype):
            values, *vectors = found
            vectors = [flipped(v) for v in vectors]
        else:
            re, im, *packed = found
            values = complex_(re, im)
            vectors = [_unpacked(flipped(v), im) for v in packed]
        return [valid_or_nan(info, x) for x in (values, *vectors)]

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        """With M = V⁻¹ Ȧ V: ẇ = diag M, V̇ = V (F ∘ M) up to the columns' lengths and phases."""
        (t,) = tangents
        outputs = bind(self, *primals)
        if t is None:
            return outputs, [None] * len(outputs)
        self._check_derivative()
        values, vectors = outputs if self.right else bind(Eig(False, True, True), *primals)
        t = t if is_complex(type_of(t).dtype) else complex_(t, zeros_like(t))
        moved = solve(vectors, times(t, vectors))
        slopes = diagonal_of(moved)
        if not self.right:
            return outputs, [slopes]
        raw = times(vectors, mul(reciprocal_differences(values), moved))
        return outputs, [slopes, _normalised(raw, vectors)]

    def _check_derivative(self) -> None:
        if self.left:
            raise DifferentiationError(
                "eig: left eigenvectors have no derivative",
                hint="take the inverse of the right ones: compute_left_eigenvectors=False",
                source=current_source(),
            )
        if self.right and not self.vector_derivatives:
            raise DifferentiationError(
                "eig: derivatives of eigenvectors hold where no two eigenvalues are equal, "
                "which is not checked",
                hint="ask for them with lax.linalg.eig(…, enable_eigvec_derivs=True), or use "
                "eigvals or eigh",
                source=current_source(),
            )


def _unpacked(packed: Traced, im: Traced) -> Traced:
    """Complex vectors from LAPACK's packing: a conjugate pair has its real part in the first
    column and its imaginary part in the second.
    """
    n = type_of(packed).shape[-1]
    zeros = zeros_like(packed)
    first, second = (as_rows(x, n) for x in (gt(im, 0), lt(im, 0)))
    before, after = _shifted(packed, 1), _shifted(packed, -1)
    re = select(second, before, packed)
    return complex_(re, select(first, after, select(second, neg(packed), zeros)))


def _shifted(x: Traced, by: int) -> Traced:
    """Columns moved by one place."""
    type_ = type_of(x)
    config = [(0, 0, 0)] * (type_.ndim - 1) + [(by, -by, 0)]
    return pad(x, literal(0, ArrayType(type_.dtype, ())), config)


def _normalised(t: Traced, vectors: Traced) -> Traced:
    """Tangents of eigenvectors which keep their length, and their largest component real."""
    axis, n = type_of(vectors).ndim - 2, type_of(vectors).shape[-1]
    size = add(mul(real(vectors), real(vectors)), mul(imag(vectors), imag(vectors)))
    row, _ = rows_and_columns(vectors)
    is_largest = eq(row, as_rows(argmax(size, axis, INT32), n))

    def largest(x: Traced) -> Traced:
        return reduce_sum(select(is_largest, x, zeros_like(x)), (axis,))

    along = real(reduce_sum(mul(conjugate(vectors), t), (axis,)))
    turn = div(largest(imag(t)), largest(real(vectors)))
    return add(t, mul(vectors, as_rows(complex_(neg(along), neg(turn)), n)))


def eig(a: Traced, left: bool, right: bool, vector_derivatives: bool = False) -> list[Traced]:
    """Eigenvalues, and left and right eigenvectors where asked for."""
    return bind(Eig(left, right, vector_derivatives), a)
