"""`cholesky`: the lower triangular L of positive definite A = L Lᴴ.

In: Hermitian matrices, of which the lower triangle is read. Out: L, with zeros above the diagonal;
NaN for matrices that are not positive definite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.types import ArrayType
from jitml.ops.kinds import Traced
from jitml.ops.linalg.lapack import potrf
from jitml.ops.linalg.matrices import (
    MatrixOp,
    check_matrix,
    flipped,
    half_diagonal,
    is_small,
    lower_part,
    times,
    valid_or_nan,
)
from jitml.ops.linalg.triangular import solve_triangular
from jitml.trace.core import bind1, type_of
from jitml_runtime.record import frozen


@frozen
class Cholesky(MatrixOp):
    """L of A = L Lᴴ."""

    name = "cholesky"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix(self.name, a, square=True)
        return (a,)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        (a,) = arrays
        result = np.full(a.shape, np.nan, a.dtype)
        for place in np.ndindex(a.shape[:-2]):
            try:
                result[place] = np.linalg.cholesky(a[place])
            except np.linalg.LinAlgError:
                continue
        return (result,)

    def expands(self, *types: ArrayType) -> bool:
        return not is_small(*types)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        if 0 in type_of(*inputs).shape:
            return inputs
        factor, info = potrf("L", flipped(*inputs))
        return [lower_part(valid_or_nan(info, flipped(factor)))]

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        """L̇ = L Φ(L⁻¹ Ȧ L⁻ᴴ), Φ the lower triangle with half the diagonal."""
        (t,) = tangents
        factor = bind1(self, *primals)
        if t is None:
            return [factor], [None]
        right = solve_triangular(factor, t, left=False, lower=True, adjoint=True)
        both = solve_triangular(factor, right, left=True, lower=True)
        return [factor], [times(factor, half_diagonal(both))]


def cholesky(a: Traced) -> Traced:
    """The lower Cholesky factor of Hermitian `a`, of which the lower triangle is read."""
    return bind1(Cholesky(), a)
