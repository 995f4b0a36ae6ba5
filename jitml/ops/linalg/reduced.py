"""Forms that matrices are reduced to by unitary transformations: Schur, Hessenberg, tridiagonal.

In: square matrices. Out: what LAPACK gives. None of these has a derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitml.ir.dtypes import is_complex, real_dtype
from jitml.ir.types import ArrayType
from jitml.ops.kinds import Traced, full_of
from jitml.ops.linalg.lapack import gees, gehrd, sytrd
from jitml.ops.linalg.matrices import Underivable, check_matrix, each_matrix, flipped, valid_or_nan
from jitml.trace.core import bind, type_of
from jitml_runtime.record import frozen


@frozen
class Schur(Underivable):
    """T, and with `vectors` Z, of A = Z T Zᴴ with unitary Z and (quasi-)triangular T."""

    name = "schur"
    vectors: bool

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix(self.name, a, square=True)
        return (a,) * (1 + self.vectors)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        from scipy.linalg import schur

        return each_matrix(schur, *arrays)[: 1 + self.vectors]

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        (a,) = inputs
        if 0 in type_of(a).shape:
            return [a] * (1 + self.vectors)
        *found, info = gees(self.vectors, flipped(a))
        return [valid_or_nan(info, flipped(x)) for x in found]


@frozen
class Hessenberg(Underivable):
    """The Hessenberg form, with reflectors below its first subdiagonal, and their factors."""

    name = "hessenberg"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix(self.name, a, square=True)
        *batch, n, _ = a.shape
        return a, ArrayType(a.dtype, (*batch, max(0, n - 1)))

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        from scipy.linalg import get_lapack_funcs

        (routine,) = get_lapack_funcs(("gehrd",), arrays)
        return each_matrix(lambda a: routine(a)[:2], *arrays)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        (a,) = inputs
        factors = self.infer(type_of(a))[1]
        if factors.size == 0:
            return [a, full_of(factors, 0)]
        packed, taus, _ = gehrd(flipped(a))
        return [flipped(packed), taus]


@frozen
class Tridiagonal(Underivable):
    """Of Hermitian matrices a tridiagonal form: reflectors, diagonal, the one beside it, factors of
    the reflectors.
    """

    name = "tridiagonal"
    lower: bool

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix(self.name, a, square=True)
        *batch, n, _ = a.shape
        real, beside = real_dtype(a.dtype), (*batch, max(0, n - 1))
        return (
            a, ArrayType(real, (*batch, n)), ArrayType(real, beside), ArrayType(a.dtype, beside)
        )  # fmt: skip

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        from scipy.linalg import get_lapack_funcs

        (a,) = arrays
        (routine,) = get_lapack_funcs(("hetrd" if is_complex(a.dtype) else "sytrd",), arrays)
        return each_matrix(lambda a: routine(a, lower=self.lower)[:4], a)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        (a,) = inputs
        if 0 in type_of(a).shape:
            return [a, *[full_of(t, 0) for t in self.infer(type_of(a))[1:]]]
        packed, diagonal, beside, taus, _ = sytrd("L" if self.lower else "U", flipped(a))
        return [flipped(packed), diagonal, beside, taus]


def schur(a: Traced, vectors: bool) -> list[Traced]:
    """The Schur form, and with `vectors` the unitary factor."""
    return bind(Schur(vectors), a)


def hessenberg(a: Traced) -> tuple[Traced, Traced]:
    """The Hessenberg form with reflectors, and their factors."""
    packed, taus = bind(Hessenberg(), a)
    return packed, taus


def tridiagonal(a: Traced, lower: bool) -> list[Traced]:
    """Reflectors, diagonal, the one beside it, factors of the reflectors."""
    return bind(Tridiagonal(lower), a)
