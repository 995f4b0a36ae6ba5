"""`svd`: A = U diag(s) Vᴴ.

In: matrices. Out: singular values in descending order, U and Vᴴ where asked for: as many singular
vectors as values, or with `full_matrices` a whole basis. Derivatives of vectors assume that
singular values differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import real_dtype
from jitml.ir.errors import DifferentiationError
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import add, convert, div, eq, mul, sub
from jitml.ops.kinds import Traced, full_of
from jitml.ops.linalg.lapack import gesdd
from jitml.ops.linalg.matrices import (
    MatrixOp,
    adjoint,
    as_columns,
    as_complex,
    as_rows,
    check_matrix,
    diagonal_of,
    identity_like,
    real_part,
    scaled_columns,
    scaled_rows,
    times,
    valid_or_nan,
)
from jitml.trace.core import bind, current_source, type_of
from jitml_runtime.record import frozen


@frozen
class Svd(MatrixOp):
    """Singular values; with `compute_uv` also U and Vᴴ."""

    name = "svd"
    full_matrices: bool
    compute_uv: bool

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix(self.name, a)
        *batch, m, n = a.shape
        k = min(m, n)
        values = ArrayType(real_dtype(a.dtype), (*batch, k))
        if not self.compute_uv:
            return (values,)
        rows, columns = (m, n) if self.full_matrices else (k, k)
        return (
            values,
            ArrayType(a.dtype, (*batch, m, rows)),
            ArrayType(a.dtype, (*batch, columns, n)),
        )

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        if not self.compute_uv:
            return (np.linalg.svd(arrays[0], compute_uv=False),)
        u, s, vh = np.linalg.svd(arrays[0], self.full_matrices)
        return np.asarray(s), np.asarray(u), np.asarray(vh)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        """What lies row by row is the transpose: its left vectors are the rows of Vᴴ."""
        (a,) = inputs
        types = self.infer(type_of(a))
        if 0 in type_of(a).shape:
            vectors = [_identity(t) for t in types[1:]]
            return [full_of(types[0], 0), *vectors]
        job = ("A" if self.full_matrices else "S") if self.compute_uv else "N"
        values, *vectors, info = gesdd(job, a)
        return [valid_or_nan(info, x) for x in (values, *reversed(vectors))]

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        (t,) = tangents
        outputs = bind(self, *primals)
        if t is None:
            return outputs, [None] * len(outputs)
        m, n = type_of(primals[0]).shape[-2:]
        if self.compute_uv and self.full_matrices and m != n:
            raise DifferentiationError(
                f"svd: no derivative of all singular vectors of matrices of shape ({m}, {n})",
                hint="full_matrices=False has one",
                source=current_source(),
            )
        values, u, vh = outputs if self.compute_uv else bind(Svd(False, True), *primals)
        moved = times(adjoint(u), t, adjoint(vh))
        slopes = real_part(diagonal_of(moved))
        if not self.compute_uv:
            return outputs, [slopes]
        left, right = _turns(values, moved)
        u_dot = times(u, left)
        vh_dot = times(adjoint(right), vh)
        if m > n:
            outside = times(t, adjoint(vh))
            u_dot = add(u_dot, _beside(sub(outside, times(u, adjoint(u), outside)), values))
        if n > m:
            outside = times(adjoint(u), t)
            rest = sub(outside, times(outside, adjoint(vh), vh))
            vh_dot = add(vh_dot, scaled_rows(rest, div(full_of(type_of(values), 1), values)))
        return outputs, [slopes, u_dot, vh_dot]


def _turns(values: Traced, moved: Traced) -> tuple[Traced, Traced]:
    """Uᴴ U̇ and Vᴴ V̇ for M = Uᴴ Ȧ V, within the singular vectors at hand.

    F_ij = 1 / (s_j² − s_i²): Uᴴ U̇ = F ∘ (M S + S Mᴴ), Vᴴ V̇ = F ∘ (S M + Mᴴ S); the skew part of
    the diagonal goes to U.
    """
    dtype, k = type_of(moved).dtype, type_of(values).shape[-1]
    row, column = as_rows(values, k), as_columns(values, k)
    table = mul(add(row, column), sub(row, column))
    one = identity_like(table)
    factors = as_complex(sub(div(full_of(type_of(table), 1), add(table, one)), one), dtype)
    right_scaled, left_scaled = scaled_columns(moved, values), scaled_rows(moved, values)
    is_zero = convert(eq(values, 0), type_of(values).dtype)
    inverse = sub(div(full_of(type_of(values), 1), add(values, is_zero)), is_zero)
    skew = mul(sub(moved, adjoint(moved)), 0.5)
    diagonal = scaled_columns(mul(skew, identity_like(skew)), inverse)
    left = add(mul(factors, add(right_scaled, adjoint(right_scaled))), diagonal)
    return left, mul(factors, add(left_scaled, adjoint(left_scaled)))


def _beside(x: Traced, values: Traced) -> Traced:
    """x · diag(1/values)."""
    return scaled_columns(x, div(full_of(type_of(values), 1), values))


def _identity(type_: ArrayType) -> Traced:
    return identity_like(full_of(type_, 0))


def svd(a: Traced, full_matrices: bool, compute_uv: bool) -> list[Traced]:
    """Singular values; with `compute_uv` also U and Vᴴ."""
    return bind(Svd(full_matrices, compute_uv), a)
