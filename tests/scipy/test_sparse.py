"""`jitml.scipy.sparse.linalg`: solutions, and their derivatives, against direct solvers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import ArgumentError, ShapeError
from jitml.scipy.sparse import linalg

R = np.random.default_rng(0)
A = R.normal(size=(6, 6)) + 4 * np.eye(6)
SYMMETRIC = A @ A.T
COMPLEX = A + 1j * R.normal(size=(6, 6))
B = R.normal(size=6)
CASES = [
    ("cg", SYMMETRIC),
    ("gmres", A),
    ("bicgstab", A),
    ("gmres", COMPLEX),
    ("bicgstab", COMPLEX),
]


def solve(name: str, matrix: Any, b: Any, **options: Any) -> Any:
    return getattr(linalg, name)(matrix, b, tol=1e-12, maxiter=300, **options)[0]


@pytest.mark.sampled
@pytest.mark.parametrize(("name", "matrix"), CASES)
def test_solutions(name: str, matrix: Any) -> None:
    b = B.astype(matrix.dtype)
    for options in ({}, {"M": lambda v: v / np.diag(matrix)}, {"x0": b * 0.1}):
        found = solve(name, matrix, b, **options)
        np.testing.assert_allclose(found, np.linalg.solve(matrix, b), 1e-8)


@pytest.mark.sampled
@pytest.mark.parametrize(("name", "matrix"), CASES[:3])
def test_derivatives(name: str, matrix: Any) -> None:
    def total(m: Any, b: Any) -> Any:
        return jnp.sum(jnp.sin(solve(name, lambda x: m @ x, b)))

    def directly(m: Any, b: Any) -> Any:
        return jnp.sum(jnp.sin(jnp.linalg.solve(m, b)))

    found, expected = (jitml.grad(f, (0, 1))(matrix, B) for f in (total, directly))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, 1e-7, 1e-9)
    rows = np.stack([B, 2 * B])
    np.testing.assert_allclose(
        jitml.vmap(lambda b: solve(name, matrix, b))(rows), np.linalg.solve(matrix, rows.T).T, 1e-8
    )


def test_trees() -> None:
    found, info = linalg.cg(
        lambda x: {"a": 2 * x["a"], "b": 4 * x["b"]}, {"a": jnp.ones(2), "b": jnp.ones((2, 2))}
    )
    assert info is None
    np.testing.assert_allclose(found["a"], [0.5, 0.5])
    np.testing.assert_allclose(found["b"], np.full((2, 2), 0.25))


def test_what_is_there_already_is_not_looked_for() -> None:
    assert np.all(solve("gmres", A, np.zeros(6)) == 0)
    assert np.all(np.isfinite(solve("bicgstab", A, np.zeros(6))))
    few = linalg.cg(SYMMETRIC, B, maxiter=1)[0]
    assert np.linalg.norm(SYMMETRIC @ np.asarray(few) - B) > 1e-3


def test_errors() -> None:
    with pytest.raises(ShapeError, match=r"cg: the matrix has shape \(2, 3\)"):
        linalg.cg(np.ones((2, 3)), np.ones(3))
    with pytest.raises(ShapeError, match="bicgstab: x0 has 2 numbers, b has 6"):
        linalg.bicgstab(A, B, np.ones(2))
    with pytest.raises(ArgumentError, match="gmres: there is no solve_method 'best'"):
        linalg.gmres(A, B, solve_method="best")
