"""Rows of factorisations, of what is solved with them, and of Fourier transforms.

Inputs are made well-conditioned by what is applied to them, and results are taken such that signs
and phases which LAPACK chooses cancel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cases import Case, Input, shapes

from jitml.ir.dtypes import INT32, DType
from jitml.ops.elementwise import abs_, add, convert, mul
from jitml.ops.fft import fft
from jitml.ops.kinds import Traced
from jitml.ops.layout import iota
from jitml.ops.linalg.cholesky import cholesky
from jitml.ops.linalg.determinant import det, pinv
from jitml.ops.linalg.eigen import eig, eigh
from jitml.ops.linalg.lu import lu, pivots_to_permutation
from jitml.ops.linalg.matrices import (
    DTYPES,
    adjoint,
    identity_like,
    scaled_columns,
    times,
)
from jitml.ops.linalg.panel import Blocks, PanelQr
from jitml.ops.linalg.qr import Geqrf, householder_product, orthogonal_product, qr
from jitml.ops.linalg.reduced import hessenberg, schur, tridiagonal
from jitml.ops.linalg.solve import LuSolve, solve
from jitml.ops.linalg.svd import svd
from jitml.ops.linalg.triangular import TriangularSolve
from jitml.ops.linalg.tridiagonal_solve import tridiagonal_solve
from jitml.ops.slicing import concatenate, slice_
from jitml.trace.core import bind, bind1, type_of

LARGE: dict[str, Any] = {"derivative_kinds": "", "rounding": 1024}


@dataclass(frozen=True)
class MatrixCase(Case):
    """A row of an op that takes only the dtypes that there are routines for."""

    def dtypes(self) -> list[DType]:
        return [dtype for dtype in super().dtypes() if dtype in DTYPES]


def _plus(x: Traced, number: float) -> Traced:
    return add(x, mul(identity_like(x), number))


def _hermitian(x: Traced) -> Traced:
    return add(x, adjoint(x))


def _positive(x: Traced) -> Traced:
    return _plus(times(x, adjoint(x)), 2.0)


def _projected(vectors: Traced, values: Traced) -> Traced:
    """V diag(w²) Vᴴ, which phases of vectors do not change."""
    scaled = scaled_columns(vectors, mul(values, values))
    return times(scaled, adjoint(vectors))


def _case(name: str, apply: Callable[..., Any], *each: Any, **options: Any) -> Case:
    inputs = each if isinstance(each[0], Input) else shapes(*each)
    return MatrixCase(
        name, apply, inputs, **{"kinds": "fc", "tolerance": 1e-5, "rounding": 64, **options}
    )


def _triangular(left: bool, lower: bool, transpose: bool, conjugate: bool, unit: bool) -> Case:
    op = TriangularSolve(left, lower, transpose, conjugate, unit)
    names = ("left", "lower", "transpose", "conjugate", "unit")
    chosen = [
        n for n, on in zip(names, (left, lower, transpose, conjugate, unit), strict=True) if on
    ]
    return _case(
        f"triangular_solve {' '.join(chosen)}",
        lambda a, b: bind1(op, _plus(a, 4.0), b),
        (2, 3, 3),
        (2, 3, 2) if left else (2, 2, 3),
    )


def _large_triangular(left: bool, conjugate: bool) -> Callable[..., Any]:
    op = TriangularSolve(left, not left, left, conjugate, False)
    return lambda a, b: bind1(op, _plus(a, 60.0), b)


def _lu_factors(a: Traced) -> Any:
    factors, pivots, order = lu(_plus(a, 0.5))
    return factors, pivots, order


def _sizes_of_qr(a: Traced, full: bool) -> Any:
    """Q R, and the sizes of the elements of R."""
    q, r = qr(_plus(a, 3.0), full)
    return times(q, r), abs_(r)


def _svd(a: Traced) -> Any:
    values, u, vh = svd(a, False, True)
    return values, times(scaled_columns(u, mul(values, values)), vh)


def _eigh(a: Traced, lower: bool) -> Any:
    vectors, values = eigh(_hermitian(a), lower)
    return values, _projected(vectors, values)


def _spread(a: Traced) -> Traced:
    """A matrix whose eigenvalues are real and lie apart."""
    type_ = type_of(a)
    steps = convert(iota(INT32, type_.shape, type_.ndim - 1), type_.dtype)
    return add(mul(a, 0.1), mul(mul(identity_like(a), steps), 3.0))


def _eig(a: Traced) -> Any:
    (values,) = eig(_spread(a), False, False)
    return values


def _eigenvectors(a: Traced) -> Any:
    values, vectors = eig(_spread(a), False, True, True)
    return values, vectors


def _left_eigenvectors(a: Traced) -> Any:
    return eig(_spread(a), True, True)


def _pivoting(a: Traced) -> Any:
    q, r, order = qr(_plus(a, 3.0), True, True)
    return times(q, r), abs_(r), order


def _orthogonal(left: bool, adjoint: bool) -> Callable[..., Any]:
    def apply(a: Traced, c: Traced) -> Traced:
        packed, taus = bind(Geqrf(), a)
        return orthogonal_product(packed, taus, c, left, adjoint)

    return apply


def _tridiagonal(lower: bool) -> Callable[..., Any]:
    return lambda a: tridiagonal(_hermitian(a), lower)


def _schur(a: Traced) -> Any:
    t, z = schur(_spread(a), True)
    return times(z, t, adjoint(z)), abs_(t)


def _schur_values(a: Traced) -> Traced:
    """Beside the diagonal, the phases are not fixed."""
    (t,) = schur(_spread(a), False)
    return abs_(t)


def _cycled(a: Traced) -> Traced:
    """The first row after all others."""
    *batch, m, n = type_of(a).shape
    low = (0,) * (len(batch) + 2)
    first = slice_(a, low, (*batch, 1, n))
    return concatenate([slice_(a, (*low[:-2], 1, 0), (*batch, m, n)), first], len(batch))


def _solve(op: LuSolve) -> Callable[..., Any]:
    def apply(a: Traced, b: Traced) -> Traced:
        a = _cycled(_plus(a, 4.0))  # by a permutation that is not its own inverse
        factors, _, order = lu(a)
        return bind1(op, a, factors, order, b)

    return apply


def _transform(kind: str, lengths: tuple[int, ...]) -> Callable[..., Any]:
    return lambda x: fft(x, kind, lengths)


CASES = [
    _case("cholesky", lambda a: cholesky(_positive(a)), (2, 3, 3)),
    _case("cholesky of size 1", lambda a: cholesky(_positive(a)), (1, 1)),
    # Larger than what has kernels of its own.
    _case("cholesky by LAPACK", lambda a: cholesky(_positive(a)), (2, 40, 40), **LARGE),
    _case("lu by LAPACK", lambda a: lu(_plus(a, 30.0)), (40, 35), **LARGE),
    *[
        _case(
            f"triangular_solve by LAPACK {left} {conjugate}",
            _large_triangular(left, conjugate),
            (40, 40),
            (40, 40),
            **LARGE,
        )
        for left in (False, True)
        for conjugate in (False, True)
    ],
    _case("cholesky of nothing", lambda a: cholesky(a), (2, 0, 0), derivative_kinds=""),
    *[
        _triangular(left, lower, transpose, conjugate, unit)
        for left, lower, transpose, conjugate, unit in (
            (True, True, False, False, False),
            (True, False, True, False, False),
            (False, True, True, True, False),
            (False, False, False, True, True),
            (True, True, False, True, True),
            (False, True, False, False, False),
        )
    ],
    _case("lu", _lu_factors, (2, 3, 3)),
    _case("lu of tall ones", _lu_factors, (2, 4, 3)),
    _case("lu of wide ones", _lu_factors, (3, 4)),
    _case("lu of nothing", lambda a: lu(a), (2, 0, 3), derivative_kinds=""),
    _case(
        "pivots_to_permutation",
        lambda x: pivots_to_permutation(x, 4),
        Input((2, 3), dtype="i32", numbers=[1, 3, 2, 0, 1, 3]),
    ),
    *[
        _case(
            f"lu_solve {transpose} {conjugate}",
            _solve(LuSolve(transpose, conjugate)),
            (2, 3, 3),
            (2, 3, 2),
        )
        for transpose in (False, True)
        for conjugate in (False, True)
    ],
    _case("solve", lambda a, b: solve(_plus(a, 4.0), b), (2, 3, 3), (2, 3, 2)),
    _case("det", det, (2, 3, 3)),
    _case("det of size 1", det, (2, 1, 1)),
    _case("det of size 4", lambda a: det(_plus(a, 2.0)), (4, 4)),
    _case("qr", lambda a: _sizes_of_qr(a, False), (2, 4, 3)),
    _case("qr complete", lambda a: _sizes_of_qr(a, True), (3, 3)),
    _case("qr of wide ones", lambda a: _sizes_of_qr(a, False), (2, 3, 4)),
    _case("geqrf", lambda a: bind(Geqrf(), a), (2, 4, 3), derivative_kinds=""),
    _case("geqrf pivoting", lambda a: bind(Geqrf(True), a), (2, 4, 3), derivative_kinds=""),
    _case("qr pivoting", _pivoting, (2, 3, 3), second=False),
    _case("panel_qr", lambda a: bind(PanelQr(1, 2), a), (2, 4, 3), kinds="f", derivative_kinds=""),
    _case(
        "blocks",
        lambda a, b: bind(Blocks(3, 4, ((0, 0), (1, 2)), (1, 2)), a, b),
        (2, 2, 2),
        (2, 2, 2),
        kinds="f",
        derivative_kinds="",
    ),
    _case("householder_product", householder_product, (2, 4, 3), (2, 3), derivative_kinds=""),
    *[
        _case(
            f"orthogonal_product {left} {adjoint}",
            _orthogonal(left, adjoint),
            (2, 4, 2),
            (2, 4, 3) if left else (2, 3, 4),
            derivative_kinds="",
        )
        for left in (False, True)
        for adjoint in (False, True)
    ],
    _case("hessenberg", hessenberg, (2, 4, 4), derivative_kinds=""),
    *[
        _case(f"tridiagonal {lower}", _tridiagonal(lower), (4, 4), derivative_kinds="")
        for lower in (False, True)
    ],
    _case("schur", _schur, (2, 3, 3), derivative_kinds=""),
    _case("schur values", _schur_values, (3, 3), derivative_kinds=""),
    _case("eig left", _left_eigenvectors, (3, 3), derivative_kinds=""),
    _case("svd", _svd, (2, 3, 3)),
    _case("svd of tall ones", _svd, (4, 2)),
    _case("svd of wide ones", _svd, (2, 2, 4)),
    _case("singular values", lambda a: svd(a, False, False)[0], (2, 3, 4)),
    _case("eigh lower", lambda a: _eigh(a, True), (2, 3, 3)),
    _case("eigh upper", lambda a: _eigh(a, False), (3, 3)),
    _case("eigenvalues", _eig, (2, 3, 3)),
    _case("eigenvectors", _eigenvectors, (3, 3)),
    _case(
        "pinv", pinv, Input((2, 4, 3)), Input((2,), numbers=[0, 0]), derivative_kinds="f", kinds="f"
    ),
    _case(
        "tridiagonal_solve",
        lambda lower, diagonal, upper, b: tridiagonal_solve(lower, add(diagonal, 5.0), upper, b),
        (2, 3),
        (2, 3),
        (2, 3),
        (2, 3, 2),
    ),
    *[
        _case(f"{kind} {shape}", _transform(kind, shape[-count:]), shape, kinds="c")
        for kind in ("FFT", "IFFT")
        for shape, count in (((2, 4), 1), ((5,), 1), ((2, 3, 4), 2), ((1,), 1))
    ],
    *[
        _case(f"RFFT {shape}", _transform("RFFT", shape[-count:]), shape, kinds="f")
        for shape, count in (((2, 4), 1), ((5,), 1), ((2, 3, 4), 2), ((2, 3), 2), ((1,), 1))
    ],
    *[
        _case(
            f"IRFFT {lengths}",
            _transform("IRFFT", lengths),
            (2, *lengths[:-1], lengths[-1] // 2 + 1),
            kinds="c",
        )
        for lengths in ((4,), (5,), (3, 4), (2, 3), (1,), (2,))
    ],
]
