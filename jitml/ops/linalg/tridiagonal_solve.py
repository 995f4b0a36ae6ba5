"""`tridiagonal_solve`: X of T X = B for tridiagonal T.

In: three diagonals of T, all as long as T (the first element of the lower and the last of the upper
one are not read), and B. Out: X.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.errors import ShapeError
from jitml.ir.op import Undefined
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import mul, sub
from jitml.ops.kinds import Traced
from jitml.ops.linalg.lapack import gtsv
from jitml.ops.linalg.matrices import (
    MatrixOp,
    as_columns,
    check_matrix,
    check_same_batch,
    flipped,
    valid_or_nan,
)
from jitml.ops.slicing import pad, slice_
from jitml.trace.core import bind1, type_of
from jitml.trace.numbers import literal
from jitml_runtime.record import frozen


@frozen
class TridiagonalSolve(MatrixOp):
    """X of T X = B."""

    name = "tridiagonal_solve"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        *diagonals, b = types
        check_matrix(self.name, b, what="b")
        for diagonal in diagonals:
            check_same_batch(self.name, diagonal, b, 1, 2)
            if diagonal.shape[-1:] != (b.shape[-2],):
                raise ShapeError(
                    f"{self.name}: diagonals must be as long as b has rows: {diagonal}, {b}"
                )
        return (b,)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        lower, diagonal, upper, b = arrays
        n = diagonal.shape[-1]
        matrix = np.zeros((*diagonal.shape, n), b.dtype)
        for k in range(n):
            matrix[..., k, k] = diagonal[..., k]
            if k:
                matrix[..., k, k - 1] = lower[..., k]
                matrix[..., k - 1, k] = upper[..., k - 1]
        return (np.linalg.solve(matrix, b).astype(b.dtype),)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        lower, diagonal, upper, b = inputs
        if 0 in type_of(b).shape:
            return [b]
        x, info = gtsv(_cut(lower, 1, 0), diagonal, _cut(upper, 0, 1), flipped(b))
        return [valid_or_nan(info, flipped(x))]

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        """T Ẋ = Ḃ − Ṫ X."""
        *diagonals, _ = primals
        x = bind1(self, *primals)
        neighbours = (_moved(x, 1), x, _moved(x, -1))
        right = tangents[3]
        for t, neighbour in zip(tangents[:3], neighbours, strict=True):
            if t is None:
                continue
            part = mul(as_columns(t, type_of(x).shape[-1]), neighbour)
            right = mul(part, -1.0) if right is None else sub(right, part)
        return [x], [None if right is None else bind1(self, *diagonals, right)]

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,), (lower, diagonal, upper, _) = cotangents, inputs
        if any(isinstance(x, Undefined) for x in (lower, diagonal, upper)):
            raise self._lacks("transpose")
        if ct is None:
            return [None] * 4
        turned = (_along(upper, 1), diagonal, _along(lower, -1))
        return [None, None, None, bind1(self, *turned, ct)]


def _cut(x: Traced, low: int, high: int) -> Traced:
    """Vectors without their first or last elements."""
    *batch, n = type_of(x).shape
    return slice_(x, (*[0] * len(batch), min(low, n)), (*batch, max(min(low, n), n - high)))


def _along(x: Traced, by: int) -> Traced:
    """Vectors moved by one place, 0 for what comes in."""
    return _shift(x, by, type_of(x).ndim - 1)


def _moved(x: Traced, by: int) -> Traced:
    """Rows moved by one place."""
    return _shift(x, by, type_of(x).ndim - 2)


def _shift(x: Traced, by: int, axis: int) -> Traced:
    type_ = type_of(x)
    config = [(by, -by, 0) if k == axis else (0, 0, 0) for k in range(type_.ndim)]
    return pad(x, literal(0, ArrayType(type_.dtype, ())), config)


def tridiagonal_solve(lower: Traced, diagonal: Traced, upper: Traced, b: Traced) -> Traced:
    """X of T X = B, T given by three diagonals of the same length."""
    return bind1(TridiagonalSolve(), lower, diagonal, upper, b)
