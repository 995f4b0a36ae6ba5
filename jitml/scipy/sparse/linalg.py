"""Iterative solvers: the names and signatures of `jax.scipy.sparse.linalg`.

The matrix is an array, or a function that multiplies by it; right-hand sides are trees of arrays,
which the iterations see as one vector. Solutions are differentiable in the right-hand side and in
what the function closes over. Sources: Hestenes and Stiefel (1952); van der Vorst (1992); Saad and
Schultz (1986).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jitml.numpy as jnp
from jitml import lax
from jitml.flatten_util import ravel_pytree
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.ir.source import user_source
from jitml.trace.forms import traced_form
from jitml.typing import Array

__all__ = ["bicgstab", "cg", "gmres"]

Product = Callable[[Any], Any]
# (A, b, x, M, the square of the residual's largest size, the most iterations) -> x
Iteration = Callable[[Product, Array, Array, Product, Array, int], Array]


def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
) -> tuple[Any, None]:
    """Solve A x = b by conjugate gradients, for a symmetric positive definite A; `M` is about the
    inverse of A. Ends when the residual is at most max(tol·|b|, atol). Returns x and None.

    >>> import jitml.numpy as jnp
    >>> x, _ = cg(lambda x: 2 * x, jnp.ones(3))
    >>> print(x)
    [0.5 0.5 0.5]
    """
    return _solved("cg", _conjugate_gradients, A, b, x0, tol, atol, maxiter, M, True), None


def bicgstab(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
) -> tuple[Any, None]:
    """Solve A x = b by stabilized biconjugate gradients, for any A; else as `cg`.

    >>> import jitml.numpy as jnp
    >>> x, _ = bicgstab(jnp.array([[2.0, 1.0], [0.0, 4.0]]), jnp.array([3.0, 4.0]))
    >>> print(x.round(4))
    [1. 1.]
    """
    return _solved("bicgstab", _stabilized, A, b, x0, tol, atol, maxiter, M, False), None


def gmres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: float = 1e-5,
    atol: float = 0.0,
    restart: int = 20,
    maxiter: int | None = None,
    M: Any = None,
    solve_method: str = "batched",
) -> tuple[Any, None]:
    """Solve A x = b by the smallest residual in Krylov spaces of `restart` dimensions, for any A;
    else as `cg`. Both values of `solve_method`, "batched" and "incremental", do the same here.

    >>> import jitml.numpy as jnp
    >>> x, _ = gmres(jnp.array([[2.0, 1.0], [0.0, 4.0]]), jnp.array([3.0, 4.0]))
    >>> print(x.round(4))
    [1. 1.]
    """
    if solve_method not in ("batched", "incremental"):
        raise ArgumentError(
            f"gmres: there is no solve_method {solve_method!r}",
            hint="it is 'batched' or 'incremental'",
            source=user_source(),
        )

    def iterate(a: Product, c: Array, x: Array, m: Product, small: Array, most: int) -> Array:
        return _restarted(a, c, x, m, small, most, min(restart, c.size))

    return _solved("gmres", iterate, A, b, x0, tol, atol, maxiter, M, False), None


# ---- what they share ----------------------------------------------------------------------------


def _solved(
    name: str,
    iterate: Iteration,
    A: Any,
    b: Any,
    x0: Any,
    tol: float,
    atol: float,
    maxiter: int | None,
    M: Any,
    is_symmetric: bool,
) -> Any:
    known, unravel = ravel_pytree(b)
    known = jnp.asarray(known)
    if not jnp.issubdtype(known.dtype, jnp.inexact):
        known = known.astype(float)
    start = jnp.zeros_like(known) if x0 is None else ravel_pytree(x0)[0].astype(known.dtype)
    if start.shape != known.shape:
        raise ShapeError(
            f"{name}: x0 has {start.size} numbers, b has {known.size}", source=user_source()
        )
    limit = jnp.maximum(tol * jnp.linalg.norm(known), atol)
    most = 10 * known.size if maxiter is None else maxiter
    precondition = _product(name, M, unravel) if M is not None else lambda v: v

    def solve(product: Product, right: Array) -> Array:
        return iterate(product, right, start, precondition, limit * limit, most)

    product = _product(name, A, unravel)
    is_real = not jnp.issubdtype(known.dtype, jnp.complexfloating)
    found = lax.custom_linear_solve(product, known, solve, solve, is_symmetric and is_real)
    return unravel(found)


def _product(name: str, A: Any, unravel: Product) -> Product:
    """Multiplication of vectors by A."""
    if callable(A):
        form = traced_form(A)
        return lambda v: ravel_pytree(form(unravel(v)))[0]
    matrix = jnp.asarray(A)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ShapeError(
            f"{name}: the matrix has shape {matrix.shape}",
            hint="it is square, or a function that multiplies by it",
            source=user_source(),
        )
    return lambda v: matrix @ v


def _size(v: Array) -> Array:
    """The square of a vector's length."""
    return jnp.real(jnp.vdot(v, v))


def _conjugate_gradients(
    A: Product, b: Array, x: Array, M: Product, small: Array, most: int
) -> Array:
    def goes_on(state: Any) -> Any:
        return (_size(state[1]) > small) & (state[4] < most)

    def step(state: Any) -> Any:
        x, r, p, gamma, k = state
        product = A(p)
        rate = gamma / jnp.vdot(p, product)
        x, r = x + rate * p, r - rate * product
        z = M(r)
        after = jnp.vdot(r, z)
        return x, r, z + after / gamma * p, after, k + 1

    r = b - A(x)
    z = M(r)
    found: Array = lax.while_loop(goes_on, step, (x, r, z, jnp.vdot(r, z), 0))[0]
    return found


def _stabilized(A: Product, b: Array, x: Array, M: Product, small: Array, most: int) -> Array:
    first = b - A(x)

    def goes_on(state: Any) -> Any:
        return (_size(state[1]) > small) & (state[4] < most) & state[5]

    def step(state: Any) -> Any:
        x, r, p, rho, k, _ = state
        toward = M(p)
        product = A(toward)
        alpha = rho / jnp.vdot(first, product)
        s = r - alpha * product
        second = M(s)
        other = A(second)
        is_there = _size(s) <= small
        omega = jnp.where(is_there, 0, jnp.vdot(other, s) / jnp.vdot(other, other))
        x = x + alpha * toward + omega * second
        r = jnp.where(is_there, s, s - omega * other)
        after = jnp.vdot(first, r)
        beta = after / rho * alpha / omega
        works = is_there | ((after != 0) & (omega != 0))
        return x, r, r + beta * (p - omega * product), after, k + 1, works

    start = (x, first, first, jnp.vdot(first, first), 0, True)
    found: Array = lax.while_loop(goes_on, step, start)[0]
    return found


def _restarted(
    A: Product, b: Array, x: Array, M: Product, small: Array, most: int, restart: int
) -> Array:
    def goes_on(state: Any) -> Any:
        return (_size(state[1]) > small) & (state[2] < most)

    def step(state: Any) -> Any:
        x, r, k = state
        x = x + _smallest(A, M, M(r), restart)
        return x, b - A(x), k + 1

    found: Array = lax.while_loop(goes_on, step, (x, b - A(x), 0))[0]
    return found


def _smallest(A: Product, M: Product, r: Array, count: int) -> Array:
    """The vector of a Krylov space for which M·A brings the residual down most (Arnoldi)."""
    length = jnp.sqrt(_size(r))
    tiny = jnp.finfo(r.dtype).eps

    def step(k: Any, state: Any) -> Any:
        basis, table = state
        v = M(A(basis[:, k]))
        before = jnp.sqrt(_size(v))
        row = jnp.zeros(count + 1, v.dtype)
        for _ in range(2):  # once more against rounding
            parts = basis.conj().T @ v
            v, row = v - basis @ parts, row + parts
        after = jnp.sqrt(_size(v))
        is_new = after > tiny * before
        basis = basis.at[:, k + 1].set(jnp.where(is_new, v / jnp.where(is_new, after, 1), 0))
        return basis, table.at[k].set(row.at[k + 1].set(jnp.where(is_new, after, 0)))

    basis = jnp.zeros((r.size, count + 1), r.dtype)
    basis = basis.at[:, 0].set(jnp.where(length > 0, r / jnp.where(length > 0, length, 1), 0))
    table = jnp.zeros((count, count + 1), r.dtype)
    basis, table = lax.fori_loop(0, count, step, (basis, table))
    target = jnp.zeros(count + 1, r.dtype).at[0].set(length)
    weights: Array = jnp.linalg.lstsq(table.T, target)[0]
    return basis[:, :-1] @ weights
