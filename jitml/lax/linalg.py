"""Factorisations as LAPACK has them: the names of `jax.lax.linalg`.

All take batches of matrices, as the last two axes, of one float or complex dtype: nothing is
promoted or broadcast.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import numpy as np

from jitml.ir.dtypes import is_complex, real_dtype
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.lax.control_flow import while_loop
from jitml.lax.operands import strict
from jitml.numpy import linalg as nl
from jitml.numpy.arithmetic import minimum
from jitml.numpy.joining import concatenate
from jitml.numpy.linalg.decompositions import subset_of, symmetrised
from jitml.numpy.linalg.operands import checked, matrices, square_matrices
from jitml.numpy.manipulation import matrix_transpose
from jitml.numpy.matrices import eye
from jitml.numpy.operands import fail, operand, settle
from jitml.ops import elementwise as ew
from jitml.ops.linalg import cholesky as cholesky_op
from jitml.ops.linalg import eigen, reduced
from jitml.ops.linalg import lu as lu_op
from jitml.ops.linalg import matrices as mt
from jitml.ops.linalg import qr as qr_op
from jitml.ops.linalg import tridiagonal_solve as tridiagonal_op
from jitml.ops.linalg.triangular import TriangularSolve
from jitml.trace.core import bind1, type_of
from jitml.typing import Array, ArrayLike

__all__ = [
    "EigImplementation", "EighImplementation", "SvdAlgorithm", "cholesky", "cholesky_update", "eig",
    "eigh", "hessenberg", "householder_product", "lu", "lu_pivots_to_permutation", "ormqr", "qdwh",
    "qr", "schur", "svd", "symmetric_product", "triangular_solve", "tridiagonal",
    "tridiagonal_solve",
]  # fmt: skip


class EigImplementation(enum.Enum):
    """Whose `eig`; on a CPU it is LAPACK's in any case."""

    CUSOLVER = "cusolver"
    MAGMA = "magma"
    LAPACK = "lapack"


class EighImplementation(enum.Enum):
    """By which algorithm; on a CPU it is LAPACK's divide and conquer in any case."""

    QR = "QR"
    JACOBI = "Jacobi"
    QDWH = "QDWH"


class SvdAlgorithm(enum.Enum):
    """By which algorithm; on a CPU it is LAPACK's divide and conquer in any case."""

    DEFAULT = "default"
    QR = "QR"
    JACOBI = "Jacobi"
    POLAR = "polar"


def cholesky(x: ArrayLike, *, symmetrize_input: bool = True) -> Array:
    """The lower triangular L of positive definite x = L Lᴴ; NaN for matrices that are not.

    >>> import jitml.numpy as jnp
    >>> print(cholesky(jnp.array([[4.0, 2.0], [2.0, 5.0]])))
    [[2. 0.]
     [1. 2.]]
    """
    a = square_matrices("cholesky", x)
    return settle(cholesky_op.cholesky(symmetrised(a) if symmetrize_input else a))


def cholesky_update(r_matrix: ArrayLike, w_vector: ArrayLike) -> Array:
    """The upper triangular factor of RᵀR + w wᵀ, for upper triangular R.

    >>> import jitml.numpy as jnp
    >>> r = cholesky_update(jnp.array([[3.0, 0.0], [0.0, 2.0]]), jnp.array([4.0, 0.0]))
    >>> print(jnp.abs(r))
    [[5. 0.]
     [0. 2.]]
    """
    r = square_matrices("cholesky_update", r_matrix)
    (w,) = (settle(x) for x in strict("cholesky_update", w_vector))
    if r.ndim != 2 or w.shape != r.shape[:1]:
        fail(ShapeError, f"cholesky_update: {type_of(r)} and {type_of(w)} do not fit")
    factor = settle(qr_op.qr(concatenate([r, w[None, :]]), False)[1])
    diagonal = settle(mt.diagonal_of(factor))
    negative = (diagonal < 0).astype(factor.dtype)
    return factor * (1 - 2 * negative)[:, None]


def eig(
    x: ArrayLike,
    *,
    compute_left_eigenvectors: bool = True,
    compute_right_eigenvectors: bool = True,
    enable_eigvec_derivs: bool = False,
    implementation: EigImplementation | None = None,
    use_magma: bool | None = None,
) -> list[Array]:
    """Eigenvalues, left and right eigenvectors where asked for; complex. The derivatives of right
    eigenvectors hold where eigenvalues differ, and must be enabled.

    >>> import jitml.numpy as jnp
    >>> values, left, right = eig(jnp.array([[1.0, 0.0], [0.0, 2.0]]))
    >>> print(values)
    [1.+0.j 2.+0.j]
    """
    wanted = (compute_left_eigenvectors, compute_right_eigenvectors)
    found = eigen.eig(square_matrices("eig", x), *wanted, enable_eigvec_derivs)
    return [settle(v) for v in found]


def eigh(
    x: ArrayLike,
    *,
    lower: bool = True,
    symmetrize_input: bool = True,
    sort_eigenvalues: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    implementation: EighImplementation | None = None,
) -> tuple[Array, Array]:
    """Eigenvectors and ascending eigenvalues of Hermitian matrices; of `subset_by_index` alone, if
    that gives a range.

    >>> import jitml.numpy as jnp
    >>> vectors, values = eigh(jnp.array([[2.0, 0.0], [0.0, 1.0]]))
    >>> print(values)
    [1. 2.]
    """
    a = square_matrices("eigh", x)
    vectors, values = eigen.eigh(symmetrised(a) if symmetrize_input else a, lower)
    vectors, values = settle(vectors), settle(values)
    if subset_by_index is not None:
        first, last = subset_of("eigh", subset_by_index, values.shape[-1])
        return vectors[..., first:last], values[..., first:last]
    return vectors, values


def hessenberg(a: ArrayLike) -> tuple[Array, Array]:
    """The Hessenberg form, with reflectors below its first subdiagonal, and their factors.

    >>> import jitml.numpy as jnp
    >>> h, taus = hessenberg(jnp.eye(3))
    >>> print(taus)
    [0. 0.]
    """
    packed, taus = reduced.hessenberg(square_matrices("hessenberg", a))
    return settle(packed), settle(taus)


def householder_product(a: ArrayLike, taus: ArrayLike) -> Array:
    """The orthonormal columns that reflectors in `a`, as `geqrf` gives them, stand for.

    >>> import jitml.numpy as jnp
    >>> print(jnp.abs(householder_product(jnp.eye(2), jnp.zeros(2))))
    [[1. 0.]
     [0. 1.]]
    """
    x, factors = (settle(v) for v in strict("householder_product", a, taus))
    return settle(qr_op.householder_product(checked("householder_product", x), factors))


def ormqr(
    a: ArrayLike, taus: ArrayLike, c: ArrayLike, *, left: bool = True, transpose: bool = False
) -> Array:
    """Q c, or c Q unless `left`, for the Q that reflectors in `a` stand for; with `transpose` its
    adjoint.

    >>> import jitml.numpy as jnp
    >>> print(ormqr(jnp.eye(2), jnp.zeros(2), jnp.ones((2, 1))))
    [[1.]
     [1.]]
    """
    x, factors, other = (settle(v) for v in strict("ormqr", a, taus, c))
    return settle(qr_op.orthogonal_product(x, factors, other, left, transpose))


def lu(x: ArrayLike) -> tuple[Array, Array, Array]:
    """L and U in one matrix, the rows exchanged at each step, and the permutation of rows.

    >>> import jitml.numpy as jnp
    >>> factors, pivots, permutation = lu(jnp.array([[0.0, 1.0], [2.0, 3.0]]))
    >>> print(factors, permutation)
    [[2. 3.]
     [0. 1.]] [1 0]
    """
    factors, pivots, order = lu_op.lu(matrices("lu", x))
    return settle(factors), settle(pivots), settle(order)


def lu_pivots_to_permutation(pivots: ArrayLike, permutation_size: int) -> Array:
    """The permutation of rows that exchanges row i with row pivots[i], for all i in turn.

    >>> import jitml.numpy as jnp
    >>> print(lu_pivots_to_permutation(jnp.array([2, 2]), 3))
    [2 0 1]
    """
    (x,) = strict("lu_pivots_to_permutation", pivots)
    return settle(lu_op.pivots_to_permutation(settle(x), permutation_size))


def qr(
    x: ArrayLike,
    *,
    pivoting: bool = False,
    full_matrices: bool = True,
    use_magma: bool | None = None,
) -> tuple[Array, Array] | tuple[Array, Array, Array]:
    """Q and R of x = Q R; with `pivoting` of x with its columns in the order of the third output.

    >>> import jitml.numpy as jnp
    >>> q, r, order = qr(jnp.array([[1.0, 2.0], [0.0, 0.0]]), pivoting=True)
    >>> print(order)
    [1 0]
    """
    found = qr_op.qr(matrices("qr", x), full_matrices, pivoting)
    return tuple([settle(v) for v in found])


def schur(
    x: ArrayLike,
    *,
    compute_schur_vectors: bool = True,
    sort_eig_vals: bool = False,
    select_callable: Callable[..., Any] | None = None,
) -> tuple[Array, ...]:
    """T, and with `compute_schur_vectors` Z, of x = Z T Zᴴ: T is upper triangular, for reals
    up to 2×2 blocks on its diagonal.

    >>> import jitml.numpy as jnp
    >>> t, z = schur(jnp.array([[1.0, 2.0], [0.0, 3.0]]))
    >>> print(t)
    [[1. 2.]
     [0. 3.]]
    """
    if sort_eig_vals or select_callable is not None:
        fail(ArgumentError, "schur: eigenvalues cannot be sorted", "leave sort_eig_vals=False")
    found = reduced.schur(square_matrices("schur", x), compute_schur_vectors)
    return tuple([settle(v) for v in found])


def svd(
    x: ArrayLike,
    *,
    full_matrices: bool = True,
    compute_uv: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    algorithm: SvdAlgorithm | None = None,
) -> Array | tuple[Array, Array, Array]:
    """U, singular values and Vᴴ of x = U diag(s) Vᴴ; without `compute_uv` the values alone.

    >>> import jitml.numpy as jnp
    >>> print(svd(jnp.array([[3.0, 0.0], [0.0, 4.0]]), compute_uv=False))
    [4. 3.]
    """
    found = nl.svd(x, full_matrices, compute_uv, subset_by_index=subset_by_index)
    return tuple(found) if isinstance(found, tuple) else found


def symmetric_product(
    a_matrix: ArrayLike,
    c_matrix: ArrayLike,
    *,
    alpha: float = 1.0,
    beta: float = 0.0,
    symmetrize_output: bool = False,
) -> Array:
    """alpha · a aᵀ + beta · c, of which the lower triangle is meant; both are there.

    >>> import jitml.numpy as jnp
    >>> print(symmetric_product(jnp.array([[1.0], [2.0]]), jnp.zeros((2, 2))))
    [[1. 2.]
     [2. 4.]]
    """
    a, c = (settle(x) for x in strict("symmetric_product", a_matrix, c_matrix))
    if a.ndim < 2 or c.shape != (*a.shape[:-1], a.shape[-2]):
        fail(ShapeError, f"symmetric_product: {type_of(a)} and {type_of(c)} do not fit")
    result = alpha * (a @ matrix_transpose(a)) + beta * c
    if not symmetrize_output:
        return result
    return settle(
        ew.add(mt.lower_part(result), matrix_transpose(settle(mt.lower_part(result, -1))))
    )


def triangular_solve(
    a: ArrayLike,
    b: ArrayLike,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Array:
    """x of op(a) x = b if `left_side`, else of x op(a) = b, for a triangular matrix.

    >>> import jitml.numpy as jnp
    >>> print(triangular_solve(jnp.array([[2.0, 0.0], [2.0, 1.0]]), jnp.array([[2.0], [3.0]]),
    ...                        left_side=True, lower=True))
    [[1.]
     [1.]]
    """
    x, y = (settle(v) for v in strict("triangular_solve", a, b))
    is_vector = y.ndim == x.ndim - 1
    if is_vector:
        y = y[..., None] if left_side else y[..., None, :]
    conjugates = conjugate_a and is_complex(x.dtype)
    op = TriangularSolve(left_side, lower, transpose_a, conjugates, unit_diagonal)
    result = settle(bind1(op, x, y))
    if is_vector:
        return result[..., 0] if left_side else result[..., 0, :]
    return result


def tridiagonal(a: ArrayLike, *, lower: bool = True) -> tuple[Array, Array, Array, Array]:
    """A Hermitian matrix in tridiagonal form: reflectors, the diagonal, the one beside it, and the
    factors of the reflectors.

    >>> import jitml.numpy as jnp
    >>> print(tridiagonal(jnp.array([[1.0, 2.0], [2.0, 3.0]]))[1])
    [1. 3.]
    """
    found = reduced.tridiagonal(square_matrices("tridiagonal", a), lower)
    return tuple([settle(v) for v in found])


def tridiagonal_solve(
    dl: ArrayLike,
    d: ArrayLike,
    du: ArrayLike,
    b: ArrayLike,
    *,
    perturb_singular: bool = False,
) -> Array:
    """x of T x = b, where T has the diagonals `dl` (below; the first element is not used), `d` and
    `du` (above; the last one is not used).

    >>> import jitml.numpy as jnp
    >>> zeros, twos = jnp.zeros(2), jnp.full(2, 2.0)
    >>> print(tridiagonal_solve(zeros, twos, zeros, jnp.ones((2, 1))))
    [[0.5]
     [0.5]]
    """
    if perturb_singular:
        fail(ArgumentError, "tridiagonal_solve: perturb_singular=True is not available")
    xs = [settle(x) for x in strict("tridiagonal_solve", dl, d, du, b)]
    return settle(tridiagonal_op.tridiagonal_solve(*xs))


# ---- polar decomposition ---------------------------------------------------------------------


def qdwh(
    x: ArrayLike,
    *,
    is_hermitian: bool = False,
    max_iterations: int | None = None,
    eps: float | None = None,
    dynamic_shape: tuple[int, int] | None = None,
) -> tuple[Array, Array, Array, Array]:
    """Unitary u and positive semi-definite h of x = u h, by Halley's iteration with dynamic weights
    (Nakatsukasa, Bai and Gygi, 2010); how many steps it took, whether it has converged.

    >>> import jitml.numpy as jnp
    >>> u, h, steps, converged = qdwh(jnp.array([[-1.0, -2.0], [2.0, 1.0]]))
    >>> print(jnp.round(h), converged)
    [[2. 1.]
     [1. 2.]] True
    """
    a = matrices("qdwh", x)
    if a.ndim != 2 or a.shape[0] < a.shape[1]:
        fail(ShapeError, f"qdwh: {type_of(a)} is no matrix with at least as many rows as columns")
    if dynamic_shape is not None:
        fail(ArgumentError, "qdwh: dynamic_shape is not available", "cut the matrix instead")
    real = real_dtype(a.dtype)
    precision = float(np.finfo(real).eps) if eps is None else float(eps)
    most = 10 if max_iterations is None else int(max_iterations)
    size = nl.norm(a, 1) * nl.norm(a, np.inf)
    scale = settle(ew.sqrt(size))
    scale = scale + (scale == 0)
    tolerance = (10 * precision / 2) ** (1 / 3)

    def goes_on(state: Any) -> Any:
        _, least, step, change = state
        return (step < most) & ((change > tolerance) | (least < 1 - 10 * precision))

    def advance(state: Any) -> Any:
        u, least, step, _ = state
        after, least = _halley_step(u, least)
        return after, least, step + 1, nl.norm(after - u)

    start = (a / scale.astype(a.dtype), settle(operand(real.type(precision))),
             settle(operand(np.int32(0))), settle(operand(real.type(np.inf))))  # fmt: skip
    u, _, steps, change = while_loop(goes_on, advance, start)
    # One step of Newton and Schulz takes off what rounding has left.
    u = 1.5 * u - 0.5 * u @ (settle(mt.adjoint(u)) @ u)
    h = symmetrised(settle(mt.adjoint(u)) @ a)
    return u, h, steps, change <= tolerance


def _halley_step(u: Any, least: Any) -> tuple[Any, Any]:
    """One step, by a QR factorisation; `least` bounds the smallest singular value from below."""
    square = least * least
    d = settle(ew.cbrt(4 * (1 - square) / (square * square)))
    root = settle(ew.sqrt(1 + d))
    inner = 8 - 4 * d + 8 * (2 - square) / (square * root)
    a = root + settle(ew.sqrt(inner)) / 2
    b = (a - 1) ** 2 / 4
    c = a + b - 1
    n = u.shape[1]
    wide = settle(ew.sqrt(c)).astype(u.dtype)
    q = settle(qr_op.qr(concatenate([wide * u, eye(n, dtype=u.dtype)]), False)[0])
    q1, q2 = q[: u.shape[0]], q[u.shape[0] :]
    first = (b / c).astype(u.dtype)
    second = ((a - b / c) / settle(ew.sqrt(c))).astype(u.dtype)
    after = first * u + second * (q1 @ settle(mt.adjoint(q2)))
    return after, minimum(least * (a + b * square) / (1 + c * square), 1.0)
