"""`lu_solve`: X of op(A) X = B by the factors of A.

In: A, its factors and permutation as `lu` gives them, and B. Out: X. Derivatives go through A and B
alone, not through the factors, which depend on A: they take the factors for granted once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.errors import ShapeError
from jitml.ir.op import Undefined
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import add, neg, stop_gradient
from jitml.ops.kinds import Traced
from jitml.ops.layout import iota
from jitml.ops.linalg.lu import lu, take_rows
from jitml.ops.linalg.matrices import (
    MatrixOp,
    check_matrix,
    check_same_batch,
    conjugate,
    flipped,
    times,
)
from jitml.ops.linalg.triangular import TriangularSolve
from jitml.ops.sort import sort
from jitml.trace.core import bind1, type_of
from jitml_runtime.record import frozen


@frozen
class LuSolve(MatrixOp):
    """op(A)⁻¹ B; op conjugates, transposes, both, or neither."""

    name = "lu_solve"
    transpose_a: bool = False
    conjugate_a: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, factors, order, b = types
        check_matrix(self.name, a, square=True, what="a")
        check_same_batch(self.name, a, b, 2, 2)
        if factors.shape != a.shape or order.shape != a.shape[:-1]:
            raise ShapeError(f"{self.name}: {factors} and {order} are no factors of {a}")
        if b.shape[-2] != a.shape[-1]:
            raise ShapeError(
                f"{self.name}: b must have as many rows as a: {a}, {b}  "
                f"({a.shape[-1]} != {b.shape[-2]})"
            )
        return (b,)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        a, _, _, b = arrays
        a = np.swapaxes(a, -1, -2) if self.transpose_a else a
        return (np.linalg.solve(np.conj(a) if self.conjugate_a else a, b).astype(b.dtype),)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        """A = Pᵀ L U: the rows of B in order, L⁻¹, U⁻¹; or in the opposite order."""
        _, factors, order, b = inputs
        if 0 in type_of(b).shape:
            return [b]
        lower = TriangularSolve(True, True, self.transpose_a, self.conjugate_a, True)
        upper = TriangularSolve(True, False, self.transpose_a, self.conjugate_a, False)
        if not self.transpose_a:
            return [bind1(upper, factors, bind1(lower, factors, take_rows(b, order)))]
        x = bind1(lower, factors, bind1(upper, factors, b))
        return [take_rows(x, inverse_order(order))]

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        """op(A) Ẋ = Ḃ − op(Ȧ) X."""
        a, factors, order, _ = primals
        a_dot, _, _, right = tangents
        x = bind1(self, *primals)
        if a_dot is not None:
            moved = flipped(a_dot) if self.transpose_a else a_dot
            product = times(conjugate(moved) if self.conjugate_a else moved, x)
            right = neg(product) if right is None else add(right, neg(product))
        return [x], [None if right is None else bind1(self, a, factors, order, right)]

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,), (a, factors, order, _) = cotangents, inputs
        if any(isinstance(x, Undefined) for x in (a, factors, order)):
            raise self._lacks("transpose")
        turned = LuSolve(not self.transpose_a, self.conjugate_a)
        return [None, None, None, None if ct is None else bind1(turned, a, factors, order, ct)]


def inverse_order(order: Traced) -> Traced:
    """The permutation that undoes another."""
    type_ = type_of(order)
    return sort([order, iota(type_.dtype, type_.shape, type_.ndim - 1)], type_.ndim - 1)[1]


def solve(a: Traced, b: Traced) -> Traced:
    """a⁻¹ b by factors with exchanged rows."""
    factors, _, order = lu(bind1(stop_gradient, a))
    return bind1(LuSolve(), a, factors, order, b)
