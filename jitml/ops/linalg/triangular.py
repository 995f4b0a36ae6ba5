"""`triangular_solve`: X of op(A) X = B, or X op(A) = B, for triangular A.

In: square matrices A, of which one triangle is read, and B. Out: X, of the type of B. Where A is
singular X has infinities and NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.errors import ShapeError
from jitml.ir.op import Undefined
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import add, neg
from jitml.ops.kinds import Traced
from jitml.ops.linalg.lapack import trsm
from jitml.ops.linalg.matrices import (
    MatrixOp,
    check_matrix,
    check_same_batch,
    conjugate,
    flipped,
    is_small,
    lower_part,
    times,
    upper_part,
)
from jitml.trace.core import bind1, type_of
from jitml_runtime.record import frozen, replace


@frozen
class TriangularSolve(MatrixOp):
    """op(A)⁻¹ B, or B op(A)⁻¹ unless `left_side`; op transposes, conjugates, or both."""

    name = "triangular_solve"
    left_side: bool
    lower: bool
    transpose_a: bool
    conjugate_a: bool
    unit_diagonal: bool

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, b = types
        check_matrix(self.name, a, square=True, what="a")
        check_matrix(self.name, b, what="b")
        check_same_batch(self.name, a, b, 2, 2)
        axis = -2 if self.left_side else -1
        if b.shape[axis] != a.shape[-1]:
            which = "rows" if self.left_side else "columns"
            raise ShapeError(
                f"{self.name}: b must have as many {which} as a: {a}, {b}  "
                f"({a.shape[-1]} != {b.shape[axis]})"
            )
        return (b,)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        a, b = arrays
        a = np.tril(a) if self.lower else np.triu(a)
        if self.unit_diagonal:
            diagonal = np.arange(a.shape[-1])
            a[..., diagonal, diagonal] = 1
        a = np.swapaxes(a, -1, -2) if self.transpose_a else a
        a = np.conj(a) if self.conjugate_a else a
        if self.left_side:
            return (np.linalg.solve(a, b).astype(b.dtype),)
        x = np.linalg.solve(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2))
        return (np.swapaxes(x, -1, -2).astype(b.dtype),)

    def expands(self, *types: ArrayType) -> bool:
        return not is_small(*types)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        """What lies row by row is the transpose of what the routine reads, so the side and the
        triangle change, and the rest stays.
        """
        a, b = inputs
        if 0 in type_of(b).shape:
            return [b]
        trans = "T" if self.transpose_a else "N"
        if self.conjugate_a:
            trans, a = ("C", a) if self.transpose_a else ("N", conjugate(a))
        side, uplo = "R" if self.left_side else "L", "U" if self.lower else "L"
        return [trsm(side, uplo, trans, "U" if self.unit_diagonal else "N", a, b)]

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        """op(A) Ẋ = Ḃ − op(Ȧ) X."""
        (a, b), (a_dot, b_dot) = primals, tangents
        x = bind1(self, a, b)
        right = b_dot
        if a_dot is not None:
            moved = self._applied(a_dot)
            product = times(moved, x) if self.left_side else times(x, moved)
            right = neg(product) if b_dot is None else add(b_dot, neg(product))
        return [x], [None if right is None else bind1(self, a, right)]

    def _applied(self, a: Traced) -> Traced:
        """op(A) of what is read of A and is not fixed."""
        part = lower_part if self.lower else upper_part
        sign = -1 if self.lower else 1
        a = part(a, sign if self.unit_diagonal else 0)
        a = flipped(a) if self.transpose_a else a
        return conjugate(a) if self.conjugate_a else a

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,), (a, b) = cotangents, inputs
        if isinstance(a, Undefined) or not isinstance(b, Undefined):
            raise self._lacks("transpose")
        turned = replace(self, transpose_a=not self.transpose_a)
        return [None, None if ct is None else bind1(turned, a, ct)]


def solve_triangular(
    a: Traced,
    b: Traced,
    *,
    left: bool,
    lower: bool,
    transpose: bool = False,
    adjoint: bool = False,
    unit: bool = False,
) -> Traced:
    """op(A)⁻¹ B, or B op(A)⁻¹; op is the transpose, the adjoint, or nothing."""
    op = TriangularSolve(left, lower, transpose or adjoint, adjoint, unit)
    return bind1(op, a, b)
