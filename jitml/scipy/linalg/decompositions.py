"""Factors of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitml.ir.dtypes import complex_dtype, is_complex
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.lax import linalg as lax_linalg
from jitml.numpy import linalg as nl
from jitml.numpy.creation import zeros
from jitml.numpy.elementwise import conj
from jitml.numpy.joining import concatenate
from jitml.numpy.linalg.operands import matrices, square_matrices, system
from jitml.numpy.manipulation import matrix_transpose
from jitml.numpy.matrices import diag, eye, tril, triu
from jitml.numpy.operands import fail, floated, promoted, settle
from jitml.ops.linalg import matrices as mt
from jitml.ops.linalg import qr as qr_op
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike


def cholesky(
    a: ArrayLike, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> Array:
    """The upper triangular U of positive definite a = Uᴴ U, or with `lower` L of a = L Lᴴ.

    >>> import jitml.numpy as jnp
    >>> print(cholesky(jnp.array([[4.0, 2.0], [2.0, 5.0]])))
    [[2. 1.]
     [0. 2.]]
    """
    x = square_matrices("cholesky", a)
    factor = lax_linalg.cholesky(x if lower else settle(mt.adjoint(x)), symmetrize_input=False)
    return factor if lower else settle(mt.adjoint(factor))


def cho_factor(
    a: ArrayLike, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Array, bool]:
    """The factor of `cholesky`, for `cho_solve`.

    >>> import jitml.numpy as jnp
    >>> print(cho_factor(jnp.array([[4.0, 2.0], [2.0, 5.0]]))[1])
    False
    """
    return cholesky(a, lower), lower


def lu_factor(
    a: ArrayLike, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Array, Array]:
    """L and U in one matrix, and the rows exchanged at each step, for `lu_solve`.

    >>> import jitml.numpy as jnp
    >>> print(lu_factor(jnp.array([[0.0, 2.0], [4.0, 0.0]]))[1])
    [1 1]
    """
    factors, pivots, _ = lax_linalg.lu(matrices("lu_factor", a))
    return factors, pivots


def lu(
    a: ArrayLike, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Array, Array] | tuple[Array, Array, Array]:
    """P, L and U of a = P L U; with `permute_l` P L and U.

    >>> import jitml.numpy as jnp
    >>> p, l, u = lu(jnp.array([[0.0, 2.0], [4.0, 0.0]]))
    >>> print(p)
    [[0. 1.]
     [1. 0.]]
    """
    factors, _, order = lax_linalg.lu(matrices("lu", a))
    m, n = factors.shape[-2:]
    k = min(m, n)
    lower = tril(factors, -1)[..., :k] + eye(m, k, dtype=factors.dtype)
    upper = triu(factors)[..., :k, :]
    real = np.zeros(0, factors.dtype).real.dtype
    p = matrix_transpose((order[..., None] == np.arange(m, dtype=np.int32)).astype(real))
    return (p.astype(factors.dtype) @ lower, upper) if permute_l else (p, lower, upper)


def qr(
    a: ArrayLike,
    overwrite_a: bool = False,
    lwork: Any = None,
    mode: str = "full",
    pivoting: bool = False,
    check_finite: bool = True,
) -> tuple[Array, ...]:
    """Q and R of a = Q R (R alone for mode "r"); with `pivoting` also the order of columns.

    >>> import jitml.numpy as jnp
    >>> q, r = qr(jnp.array([[3.0, 1.0], [4.0, 2.0]]), mode="economic")
    >>> print(jnp.round(q @ r))
    [[3. 1.]
     [4. 2.]]
    """
    if mode not in ("full", "r", "economic"):
        fail(ArgumentError, f"qr: mode={mode!r}: it is 'full', 'r' or 'economic'")
    found = lax_linalg.qr(matrices("qr", a), pivoting=pivoting, full_matrices=mode != "economic")
    return found[1:] if mode == "r" else found


def qr_multiply(
    a: ArrayLike,
    c: ArrayLike,
    mode: str = "right",
    pivoting: bool = False,
    conjugate: bool = False,
    overwrite_a: bool = False,
    overwrite_c: bool = False,
) -> tuple[Array, ...]:
    """c Q (or for mode "left" Q c) and R of a = Q R; with `pivoting` also the order of columns.

    >>> import jitml.numpy as jnp
    >>> product, r = qr_multiply(jnp.eye(2), jnp.ones(2))
    >>> print(jnp.abs(product))
    [1. 1.]
    """
    if mode not in ("left", "right"):
        fail(ArgumentError, f"qr_multiply: mode={mode!r}: it is 'left' or 'right'")
    x, other = (settle(v) for v in promoted("qr_multiply", a, c, to_inexact=True))
    q, *rest = (settle(v) for v in qr_op.qr(matrices("qr_multiply", x), False, pivoting))
    q = conj(q) if conjugate else q
    if mode == "left" and other.shape[0] == q.shape[-2] != q.shape[-1]:
        q = settle(qr_op.qr(x, True, pivoting)[0])
        q = conj(q) if conjugate else q
    product = q @ other if mode == "left" else other @ q
    return (product, *rest)


def svd(
    a: ArrayLike,
    full_matrices: bool = True,
    compute_uv: bool = True,
    overwrite_a: bool = False,
    check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Array | tuple[Array, Array, Array]:
    """U, singular values and Vᴴ; without `compute_uv` the values alone.

    >>> import jitml.numpy as jnp
    >>> print(svd(jnp.array([[3.0, 0.0], [0.0, 4.0]]), compute_uv=False))
    [4. 3.]
    """
    return lax_linalg.svd(a, full_matrices=full_matrices, compute_uv=compute_uv)


def eigh(
    a: ArrayLike,
    b: ArrayLike | None = None,
    lower: bool = True,
    eigvals_only: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    turbo: bool = True,
    eigvals: None = None,
    type: int = 1,
    check_finite: bool = True,
) -> Array | tuple[Array, Array]:
    """Eigenvalues and eigenvectors of Hermitian matrices, or with positive definite `b` of
    a v = w b v (`type` 1), a b v = w v (2) or b a v = w v (3).

    >>> import jitml.numpy as jnp
    >>> print(eigh(jnp.array([[2.0, 0.0], [0.0, 1.0]]), eigvals_only=True))
    [1. 2.]
    """
    if eigvals is not None:
        fail(ArgumentError, "eigh: eigvals is not available", "slice the result")
    if type not in (1, 2, 3):
        fail(ArgumentError, f"eigh: type={type!r}: it is 1, 2 or 3")
    if b is None:
        vectors, values = lax_linalg.eigh(a, lower=lower, symmetrize_input=False)
    else:
        vectors, values = _generalised(*system("eigh", a, b), lower, type)
    return values if eigvals_only else (values, vectors)


def _generalised(a: Any, b: Any, lower: bool, kind: int) -> tuple[Array, Array]:
    """By the Cholesky factor of `b`, which makes it an ordinary problem."""
    a, b = (_from_triangle(x, lower) for x in (a, b))
    factor = lax_linalg.cholesky(b)
    adjoint = settle(mt.adjoint(factor))

    def solved(x: Any, left: bool, turned: bool) -> Any:
        return lax_linalg.triangular_solve(
            factor, x, left_side=left, lower=True, transpose_a=turned, conjugate_a=turned
        )

    if kind == 1:
        vectors, values = lax_linalg.eigh(solved(solved(a, True, False), False, True))
        return solved(vectors, True, True), values
    vectors, values = lax_linalg.eigh(adjoint @ a @ factor)
    return (solved(vectors, True, True) if kind == 2 else factor @ vectors), values


def _from_triangle(x: Any, lower: bool) -> Any:
    """A Hermitian matrix of which one triangle is given."""
    part = tril(x) if lower else triu(x)
    rest = tril(x, -1) if lower else triu(x, 1)
    return part + settle(mt.adjoint(rest))


def eigh_tridiagonal(
    d: ArrayLike,
    e: ArrayLike,
    *,
    eigvals_only: bool = False,
    select: str = "a",
    select_range: tuple[float, float] | None = None,
    tol: float | None = None,
    key: Array | None = None,
) -> Array | tuple[Array, Array]:
    """Eigenvalues (and eigenvectors) of real symmetric tridiagonal matrices with diagonal `d` and
    `e` beside it: all, or with `select="i"` those at indices from one to another, both included.

    >>> import jitml.numpy as jnp
    >>> print(eigh_tridiagonal(jnp.array([2.0, 1.0]), jnp.array([0.0]), eigvals_only=True))
    [1. 2.]
    """
    if select not in ("a", "i"):
        fail(
            ArgumentError,
            f"eigh_tridiagonal: select={select!r} is not available",
            "it is 'a' or 'i': how many lie in a range of values is not known beforehand",
        )
    diagonal, beside = (settle(x) for x in promoted("eigh_tridiagonal", d, e, to_inexact=True))
    if diagonal.ndim != 1 or beside.shape != (max(0, diagonal.shape[0] - 1),):
        fail(
            ShapeError,
            f"eigh_tridiagonal: {type_of(diagonal)} and {type_of(beside)} are no diagonals of a "
            "matrix",
        )
    values, vectors = nl.eigh(diag(diagonal) + diag(beside, -1), "L", False)
    if select == "i":
        if select_range is None:
            fail(ArgumentError, "eigh_tridiagonal: select='i' needs select_range=(first, last)")
        first, last = (int(n) for n in select_range)
        values, vectors = values[first : last + 1], vectors[:, first : last + 1]
    return values if eigvals_only else (values, vectors)


def hessenberg(
    a: ArrayLike, *, calc_q: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> Array | tuple[Array, Array]:
    """The Hessenberg form H of a = Q H Qᴴ; with `calc_q` also Q.

    >>> import jitml.numpy as jnp
    >>> print(hessenberg(jnp.array([[1.0, 2.0], [3.0, 4.0]])))
    [[1. 2.]
     [3. 4.]]
    """
    packed, taus = lax_linalg.hessenberg(a)
    n = packed.shape[-1]
    form = triu(packed, -1)
    if not calc_q:
        return form
    if n < 2:
        return form, eye(n, dtype=packed.dtype) + zeros(packed.shape, packed.dtype)
    inner = lax_linalg.householder_product(packed[..., 1:, : n - 1], taus)
    batch = packed.shape[:-2]
    side, top = zeros((*batch, n - 1, 1), packed.dtype), eye(1, n, dtype=packed.dtype)
    top = top + zeros((*batch, 1, n), packed.dtype)
    return form, concatenate([top, concatenate([side, inner], -1)], -2)


def schur(a: ArrayLike, output: str = "real") -> tuple[Array, Array]:
    """T and Z of a = Z T Zᴴ with unitary Z; T is triangular, for real matrices and `output="real"`
    up to 2×2 blocks.

    >>> import jitml.numpy as jnp
    >>> t, z = schur(jnp.array([[1.0, 2.0], [0.0, 3.0]]))
    >>> print(t)
    [[1. 2.]
     [0. 3.]]
    """
    if output not in ("real", "complex"):
        fail(ArgumentError, f"schur: output={output!r}: it is 'real' or 'complex'")
    x = square_matrices("schur", a)
    if output == "complex" and not is_complex(x.dtype):
        x = x.astype(complex_dtype(x.dtype))
    t, z = lax_linalg.schur(x)
    return t, z


def rsf2csf(T: ArrayLike, Z: ArrayLike, check_finite: bool = True) -> tuple[Array, Array]:
    """The complex Schur form of a matrix whose real one is given.

    >>> import jitml.numpy as jnp
    >>> t, z = rsf2csf(jnp.eye(2), jnp.eye(2))
    >>> print(t.dtype)
    complex64
    """
    t, z = (settle(x) for x in promoted("rsf2csf", T, Z, to_inexact=True))
    if t.ndim != 2 or t.shape != z.shape:
        fail(ShapeError, f"rsf2csf: {type_of(t)} and {type_of(z)} are no Schur form")
    form, turn = schur(t, "complex")
    return form, z.astype(form.dtype) @ turn


def polar(
    a: ArrayLike,
    side: str = "right",
    *,
    method: str = "qdwh",
    eps: float | None = None,
    max_iterations: int | None = None,
) -> tuple[Array, Array]:
    """Unitary U and positive semi-definite P of a = U P, or for side "left" a = P U.

    >>> import jitml.numpy as jnp
    >>> u, p = polar(jnp.array([[-1.0, -2.0], [2.0, 1.0]]))
    >>> print(jnp.round(p))
    [[2. 1.]
     [1. 2.]]
    """
    if side not in ("left", "right"):
        fail(ArgumentError, f"polar: side={side!r}: it is 'left' or 'right'")
    if method not in ("qdwh", "svd"):
        fail(ArgumentError, f"polar: method={method!r}: it is 'qdwh' or 'svd'")
    x = settle(floated("polar", a))
    if x.ndim != 2:
        fail(ShapeError, f"polar: {type_of(x)} is no matrix")
    if method == "svd" or x.shape[0] < x.shape[1]:
        return _polar_by_svd(x, side)
    u, h, _, _ = lax_linalg.qdwh(x, eps=eps, max_iterations=max_iterations)
    return (u, h) if side == "right" else (u, u @ h @ settle(mt.adjoint(u)))


def _polar_by_svd(x: Any, side: str) -> tuple[Array, Array]:
    left, s, right = nl.svd(x, False)
    u = left @ right
    if side == "right":
        return u, settle(mt.adjoint(right)) @ settle(mt.scaled_rows(right, s))
    return u, settle(mt.scaled_columns(left, s)) @ settle(mt.adjoint(left))
