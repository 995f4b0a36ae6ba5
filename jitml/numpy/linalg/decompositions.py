"""Factors, eigenvalues and singular values of matrices."""

from __future__ import annotations

from typing import Any, NamedTuple

from jitml.ir.errors import ArgumentError
from jitml.numpy.elementwise import absolute, conj, sign
from jitml.numpy.indexing import take_along_axis
from jitml.numpy.linalg.operands import matrices, square_matrices
from jitml.numpy.manipulation import matrix_transpose
from jitml.numpy.operands import fail, settle
from jitml.numpy.repeating import flip
from jitml.numpy.sorting import argsort
from jitml.ops.linalg import cholesky as cholesky_op
from jitml.ops.linalg import eigen
from jitml.ops.linalg import matrices as mt
from jitml.ops.linalg import qr as qr_op
from jitml.ops.linalg import svd as svd_op
from jitml.typing import Array, ArrayLike


class EigResult(NamedTuple):
    """Eigenvalues, and eigenvectors as columns."""

    eigenvalues: Array
    eigenvectors: Array


class EighResult(NamedTuple):
    """Eigenvalues in ascending order, and eigenvectors as columns."""

    eigenvalues: Array
    eigenvectors: Array


class QRResult(NamedTuple):
    """Orthonormal columns, and an upper triangular matrix."""

    Q: Array
    R: Array


class SVDResult(NamedTuple):
    """Left singular vectors as columns, singular values, right ones as conjugated rows."""

    U: Array
    S: Array
    Vh: Array


def symmetrised(x: Any) -> Any:
    """The Hermitian part of matrices."""
    return settle((x + settle(mt.adjoint(x))) / 2)


def cholesky(a: ArrayLike, *, upper: bool = False, symmetrize_input: bool = True) -> Array:
    """The lower triangular L of positive definite a = L Lᴴ, or Lᴴ if `upper`; NaN for matrices that
    are not positive definite.

    >>> import jitml.numpy as jnp
    >>> print(cholesky(jnp.array([[4.0, 2.0], [2.0, 5.0]])))
    [[2. 0.]
     [1. 2.]]
    """
    x = square_matrices("cholesky", a)
    if symmetrize_input:
        x = symmetrised(x)
    elif upper:
        x = settle(mt.adjoint(x))
    factor = settle(cholesky_op.cholesky(x))
    return settle(mt.adjoint(factor)) if upper else factor


def qr(a: ArrayLike, mode: str = "reduced") -> Array | QRResult:
    """Q with orthonormal columns and upper triangular R of a = Q R.

    `mode`: "reduced"; "complete", with all columns of Q; "r", R alone; "raw", as LAPACK has it.

    >>> import jitml.numpy as jnp
    >>> q, r = qr(jnp.array([[3.0, 1.0], [4.0, 2.0]]))
    >>> print(jnp.round(q @ r))
    [[3. 1.]
     [4. 2.]]
    """
    x = matrices("qr", a)
    if mode == "raw":
        packed, taus = qr_op.geqrf(x)
        return QRResult(matrix_transpose(settle(packed)), settle(taus))
    if mode not in ("reduced", "complete", "r"):
        fail(ArgumentError, f"qr: mode={mode!r}: it is 'reduced', 'complete', 'r' or 'raw'")
    q, r = (settle(v) for v in qr_op.qr(x, mode == "complete"))
    return r if mode == "r" else QRResult(q, r)


def svd(
    a: ArrayLike,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    subset_by_index: tuple[int, int] | None = None,
) -> Array | SVDResult:
    """Singular values in descending order, with `compute_uv` also U and Vᴴ of a = U diag(S) Vᴴ.

    `subset_by_index` keeps the singular values of a range of indices, and their vectors.

    >>> import jitml.numpy as jnp
    >>> print(svd(jnp.array([[3.0, 0.0], [0.0, 4.0]]), compute_uv=False))
    [4. 3.]
    """
    x = matrices("svd", a, square=hermitian)
    found = _svd_of_hermitian(x, compute_uv) if hermitian else _svd(x, full_matrices, compute_uv)
    if subset_by_index is not None:
        found = _subset("svd", found, subset_by_index, full_matrices and not hermitian)
    s, *vectors = found
    return SVDResult(vectors[0], s, vectors[1]) if compute_uv else s


def _svd(x: Any, full_matrices: bool, compute_uv: bool) -> list[Any]:
    return [settle(v) for v in svd_op.svd(x, full_matrices, compute_uv)]


def _svd_of_hermitian(x: Any, compute_uv: bool) -> list[Any]:
    """Singular values are the sizes of eigenvalues; the signs go to the rows of Vᴴ."""
    vectors, values = (settle(v) for v in eigen.eigh(symmetrised(x), True))
    order = flip(argsort(absolute(values), axis=-1), -1)
    values = take_along_axis(values, order, -1)
    if not compute_uv:
        return [absolute(values)]
    u = take_along_axis(vectors, order[..., None, :], -1)
    signs = sign(values)
    signs = signs + (signs == 0)
    return [absolute(values), u, conj(matrix_transpose(u * signs[..., None, :].astype(u.dtype)))]


def subset_of(name: str, subset: Any, count: int) -> tuple[int, int]:
    """The first and the last but one of a range of indices."""
    first, last = (int(n) for n in subset)
    if not 0 <= first < last <= count:
        fail(ArgumentError, f"{name}: subset_by_index={subset} is no range of {count} values")
    return first, last


def _subset(name: str, found: list[Any], subset: Any, is_full: bool) -> list[Any]:
    s, *vectors = found
    first, last = subset_of(name, subset, s.shape[-1])
    if is_full and (first, last) != (0, s.shape[-1]):
        fail(
            ArgumentError,
            f"{name}: subset_by_index with full_matrices=True",
            "a subset has no whole basis: pass full_matrices=False",
        )
    kept = s[..., first:last]
    if not vectors:
        return [kept]
    return [kept, vectors[0][..., first:last], vectors[1][..., first:last, :]]


def svdvals(x: ArrayLike, /) -> Array:
    """Singular values in descending order.

    >>> import jitml.numpy as jnp
    >>> print(svdvals(jnp.array([[3.0, 0.0], [0.0, 4.0]])))
    [4. 3.]
    """
    return settle(svd_op.svd(matrices("svdvals", x), False, False)[0])


def eigh(a: ArrayLike, UPLO: str | None = None, symmetrize_input: bool = True) -> EighResult:
    """Eigenvalues (ascending) and eigenvectors of Hermitian matrices.

    `UPLO` says which triangle is read where `symmetrize_input` is False ("L" by default).

    >>> import jitml.numpy as jnp
    >>> print(eigh(jnp.array([[2.0, 0.0], [0.0, 1.0]])).eigenvalues)
    [1. 2.]
    """
    vectors, values = _eigh("eigh", a, UPLO, symmetrize_input)
    return EighResult(values, vectors)


def eigvalsh(a: ArrayLike, UPLO: str | None = "L", *, symmetrize_input: bool = True) -> Array:
    """The eigenvalues of Hermitian matrices in ascending order.

    >>> import jitml.numpy as jnp
    >>> print(eigvalsh(jnp.array([[2.0, 0.0], [0.0, 1.0]])))
    [1. 2.]
    """
    return _eigh("eigvalsh", a, UPLO, symmetrize_input)[1]


def _eigh(name: str, a: ArrayLike, uplo: str | None, symmetrize: bool) -> tuple[Any, Any]:
    if uplo not in (None, "L", "U"):
        fail(ArgumentError, f"{name}: UPLO={uplo!r}: it is 'L' or 'U'")
    x = square_matrices(name, a)
    if symmetrize:
        x = symmetrised(x)
    vectors, values = eigen.eigh(x, uplo != "U")
    return settle(vectors), settle(values)


def eig(a: ArrayLike) -> EigResult:
    """Eigenvalues and right eigenvectors of square matrices, complex.

    >>> import jitml.numpy as jnp
    >>> print(eig(jnp.array([[0.0, 1.0], [-1.0, 0.0]])).eigenvalues)
    [0.+1.j 0.-1.j]
    """
    values, vectors = eigen.eig(square_matrices("eig", a), False, True)
    return EigResult(settle(values), settle(vectors))


def eigvals(a: ArrayLike) -> Array:
    """The eigenvalues of square matrices, complex.

    >>> import jitml.numpy as jnp
    >>> print(eigvals(jnp.array([[0.0, 1.0], [-1.0, 0.0]])))
    [0.+1.j 0.-1.j]
    """
    return settle(eigen.eig(square_matrices("eigvals", a), False, False)[0])
