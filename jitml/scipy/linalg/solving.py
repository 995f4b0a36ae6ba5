"""Systems of equations by matrices or by their factors."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitml.implicit import custom_linear_solve
from jitml.ir.arguments import check_sequence
from jitml.ir.dtypes import is_complex
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.lax.control_flow import fori_loop
from jitml.lax.elementwise import stop_gradient
from jitml.numpy import linalg as nl
from jitml.numpy.creation import full_like, zeros_like
from jitml.numpy.elementwise import absolute, conj
from jitml.numpy.extremes import min as least
from jitml.numpy.linalg.operands import system
from jitml.numpy.linalg.solving import batch_shape
from jitml.numpy.manipulation import broadcast_to, matrix_transpose
from jitml.numpy.matrices import eye
from jitml.numpy.operands import fail, settle
from jitml.ops import elementwise as ew
from jitml.ops.linalg.lu import pivots_to_permutation, take_rows
from jitml.ops.linalg.solve import inverse_order
from jitml.ops.linalg.triangular import TriangularSolve
from jitml.scipy.linalg.decompositions import cho_factor, schur
from jitml.trace.core import bind1, type_of
from jitml.typing import Array, ArrayLike

_TRANS = {0: "N", 1: "T", 2: "C", "N": "N", "T": "T", "C": "C"}


def inv(a: ArrayLike, overwrite_a: bool = False, check_finite: bool = True) -> Array:
    """The inverse of square matrices.

    >>> import jitml.numpy as jnp
    >>> print(inv(jnp.array([[2.0, 0.0], [0.0, 4.0]])))
    [[0.5  0.  ]
     [0.   0.25]]
    """
    return nl.inv(a)


def det(a: ArrayLike, overwrite_a: bool = False, check_finite: bool = True) -> Array:
    """The determinant of square matrices.

    >>> import jitml.numpy as jnp
    >>> print(det(jnp.array([[2.0, 0.0], [0.0, 4.0]])))
    8.0
    """
    return nl.det(a)


def solve(
    a: ArrayLike,
    b: ArrayLike,
    lower: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    debug: bool = False,
    check_finite: bool = True,
    assume_a: str = "gen",
) -> Array:
    """x of a x = b; `assume_a="pos"` takes `a` to be positive definite and reads one triangle.

    >>> import jitml.numpy as jnp
    >>> print(solve(jnp.array([[2.0, 0.0], [0.0, 4.0]]), jnp.array([2.0, 4.0])))
    [1. 1.]
    """
    if assume_a not in ("gen", "sym", "her", "pos"):
        fail(ArgumentError, f"solve: assume_a={assume_a!r}: it is 'gen', 'sym', 'her' or 'pos'")
    if assume_a != "pos":
        return nl.solve(a, b)
    matrix, columns, is_vector = _right_side("solve", *system("solve", a, b))
    factor = cho_factor(stop_gradient(matrix), lower)
    x = custom_linear_solve(
        lambda x: matrix @ x, columns, lambda _, y: cho_solve(factor, y), symmetric=True
    )
    return x[..., 0] if is_vector else x


def _right_side(name: str, a: Any, b: Any) -> tuple[Any, Any, bool]:
    """Matrices and right-hand sides with the same batch, and whether `b` was one vector."""
    is_vector = b.ndim == 1
    columns = b[:, None] if is_vector else b
    if columns.shape[-2] != a.shape[-1]:
        fail(
            ShapeError,
            f"{name}: b must have as many rows as a: {type_of(a)}, {type_of(b)}  "
            f"({a.shape[-1]} != {columns.shape[-2]})",
        )
    batch = batch_shape(name, a, columns)
    a = broadcast_to(a, (*batch, *a.shape[-2:]))
    return a, broadcast_to(columns, (*batch, *columns.shape[-2:])), is_vector


def _triangular(a: Any, b: Any, lower: bool, trans: str, unit: bool = False) -> Any:
    adjoint = trans == "C" and is_complex(a.dtype)
    op = TriangularSolve(True, lower, trans != "N", adjoint, unit)
    return settle(bind1(op, a, b))


def solve_triangular(
    a: ArrayLike,
    b: ArrayLike,
    trans: int | str = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    debug: Any = None,
    check_finite: bool = True,
) -> Array:
    """x of a x = b for a triangular matrix; `trans` 1 or "T" takes its transpose, 2 or "C" its
    adjoint.

    >>> import jitml.numpy as jnp
    >>> print(solve_triangular(jnp.array([[2.0, 0.0], [2.0, 1.0]]), jnp.array([2.0, 3.0]),
    ...                        lower=True))
    [1. 1.]
    """
    if trans not in _TRANS:
        fail(ArgumentError, f"solve_triangular: trans={trans!r}: it is 0, 1, 2, 'N', 'T' or 'C'")
    left, columns, is_vector = _right_side("solve_triangular", *system("solve_triangular", a, b))
    x = _triangular(left, columns, lower, _TRANS[trans], unit_diagonal)
    return x[..., 0] if is_vector else x


def cho_solve(
    c_and_lower: tuple[ArrayLike, bool],
    b: ArrayLike,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Array:
    """x of a x = b by the factor of `a` that `cho_factor` gives.

    >>> import jitml.numpy as jnp
    >>> print(cho_solve(cho_factor(jnp.array([[4.0, 0.0], [0.0, 1.0]])), jnp.array([4.0, 1.0])))
    [1. 1.]
    """
    check_sequence("cho_solve", c_and_lower, "what cho_factor gives")
    factor, lower = c_and_lower
    c, columns, is_vector = _right_side("cho_solve", *system("cho_solve", factor, b))
    first, second = ("N", "C") if lower else ("C", "N")
    x = _triangular(c, _triangular(c, columns, lower, first), lower, second)
    return x[..., 0] if is_vector else x


def lu_solve(
    lu_and_piv: tuple[Array, ArrayLike],
    b: ArrayLike,
    trans: int = 0,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Array:
    """x of a x = b by the factors of `a` that `lu_factor` gives; `trans` 1 takes the transpose of
    `a`, 2 its adjoint.

    >>> import jitml.numpy as jnp
    >>> from jitml.scipy.linalg import lu_factor
    >>> print(lu_solve(lu_factor(jnp.array([[0.0, 2.0], [4.0, 0.0]])), jnp.array([2.0, 4.0])))
    [1. 1.]
    """
    if trans not in (0, 1, 2):
        fail(ArgumentError, f"lu_solve: trans={trans!r}: it is 0, 1 or 2")
    check_sequence("lu_solve", lu_and_piv, "what lu_factor gives")
    factors, pivots = lu_and_piv
    f, columns, is_vector = _right_side("lu_solve", *system("lu_solve", factors, b))
    n = f.shape[-1]
    order = settle(pivots_to_permutation(settle(pivots), n))
    order = broadcast_to(order, f.shape[:-1])
    mode = _TRANS[trans]
    if mode == "N":
        rows = settle(take_rows(columns, order))
        x = _triangular(f, _triangular(f, rows, True, mode, True), False, mode)
    else:
        x = _triangular(f, _triangular(f, columns, False, mode), True, mode, True)
        x = settle(take_rows(x, settle(inverse_order(order))))
    return x[..., 0] if is_vector else x


def solve_sylvester(
    A: ArrayLike, B: ArrayLike, C: ArrayLike, *, method: str = "schur", tol: float = 1e-8
) -> Array:
    """X of A X + X B = C, by Schur forms; NaN if an eigenvalue of A and one of −B are within `tol`.

    >>> import jitml.numpy as jnp
    >>> print(solve_sylvester(jnp.eye(2), jnp.eye(2), 2 * jnp.ones((2, 2))))
    [[1. 1.]
     [1. 1.]]
    """
    if method not in ("schur", "eigen"):
        fail(ArgumentError, f"solve_sylvester: method={method!r}: it is 'schur' or 'eigen'")
    a, c = system("solve_sylvester", A, C)
    b, _ = system("solve_sylvester", B, C)
    if a.ndim != 2 or b.ndim != 2 or c.shape != (a.shape[0], b.shape[0]):
        fail(
            ShapeError,
            f"solve_sylvester: {type_of(a)}, {type_of(b)} and {type_of(c)} do not fit",
        )
    s, u = schur(a, "complex")
    t, v = schur(b, "complex")
    right = matrix_transpose(conj(u)) @ c.astype(s.dtype) @ v
    identity = eye(s.shape[0], dtype=s.dtype)

    def column(j: Any, y: Any) -> Any:
        known = right[:, j] - y @ t[:, j]
        x = _triangular(s + t[j, j] * identity, known[:, None], False, "N")
        return y.at[:, j].set(x[:, 0])

    y = fori_loop(0, t.shape[0], column, zeros_like(right))
    x = u @ y @ matrix_transpose(conj(v))
    x = x if is_complex(c.dtype) else settle(ew.real(x)).astype(c.dtype)
    if 0 in c.shape:
        return x
    gaps = absolute(nl.diagonal(s)[:, None] + nl.diagonal(t)[None, :])
    return settle(ew.select(least(gaps) < tol, full_like(x, np.nan), x))
