"""`jitml.scipy.linalg` and `jitml.lax.linalg` against SciPy and JAX; errors name users' lines."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import JitmlError

sp = pytest.importorskip("scipy.linalg")
sl, ll = jitml.scipy.linalg, jitml.lax.linalg
RANDOM = np.random.default_rng(11)
DTYPES = ("float32", "float64", "complex64", "complex128")


def matrix(dtype: str, *shape: int) -> Any:
    x = RANDOM.normal(size=shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * RANDOM.normal(size=shape)
    return x.astype(dtype)


def positive(dtype: str, n: int) -> Any:
    x = matrix(dtype, n, n)
    return (x @ x.conj().T + 3 * np.eye(n)).astype(dtype)


def close(found: Any, expected: Any, dtype: str = "float64") -> None:
    tolerance = 5e-4 if np.dtype(dtype).char in "fF" else 1e-9
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def adjoint(x: Any) -> Any:
    return np.asarray(x).conj().swapaxes(-1, -2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_systems(dtype: str) -> None:
    a, b, p = matrix(dtype, 4, 4), matrix(dtype, 4, 2), positive(dtype, 4)
    for side in (b, b[:, 0]):
        close(sl.solve(a, side), sp.solve(a, side), dtype)
        close(sl.solve(p, side, assume_a="pos"), sp.solve(p, side), dtype)
        for trans in (0, 1, 2):
            factors = sl.lu_factor(a)
            close(
                sl.lu_solve(factors, side, trans), sp.lu_solve(sp.lu_factor(a), side, trans), dtype
            )
            for lower in (False, True):
                for unit in (False, True):
                    expected = sp.solve_triangular(p, side, trans, lower, unit)
                    close(sl.solve_triangular(p, side, trans, lower, unit), expected, dtype)
        for lower in (False, True):
            close(sl.cho_solve(sl.cho_factor(p, lower), side), sp.solve(p, side), dtype)
    close(sl.inv(a), sp.inv(a), dtype)
    close(sl.det(a), sp.det(a), dtype)
    c = matrix(dtype, 4, 3)
    b = matrix(dtype, 3, 3)
    close(jitml.jit(sl.solve_sylvester)(a, b, c), sp.solve_sylvester(a, b, c), dtype)
    assert np.isnan(np.asarray(sl.solve_sylvester(np.eye(2), -np.eye(2), np.eye(2)))).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_factors(dtype: str) -> None:
    p = positive(dtype, 4)
    for lower in (False, True):
        close(
            sl.cholesky(np.triu(p) if not lower else np.tril(p), lower),
            sp.cholesky(p, lower),
            dtype,
        )
    for shape in ((4, 4), (5, 3), (3, 5)):
        x = matrix(dtype, *shape)
        for found, expected in zip(jitml.jit(sl.lu)(x), sp.lu(x), strict=True):
            close(found, expected, dtype)
        close(np.matmul(*map(np.asarray, sl.lu(x, permute_l=True))), x, dtype)
        for mode in ("full", "economic"):
            q, r, order = sl.qr(x, mode=mode, pivoting=True)
            close(np.asarray(q) @ np.asarray(r), x[:, np.asarray(order)], dtype)
            assert np.asarray(q).shape == sp.qr(x, mode=mode)[0].shape
        assert len(sl.qr(x, mode="r")) == 1
        u, s, vh = sl.svd(x, full_matrices=False)
        close((np.asarray(u) * np.asarray(s)) @ np.asarray(vh), x, dtype)
    x = matrix(dtype, 5, 3)
    for mode, c in (("right", matrix(dtype, 2, 5)), ("left", matrix(dtype, 3, 2)),
                    ("right", matrix(dtype, 5))):  # fmt: skip
        found, expected = sl.qr_multiply(x, c, mode), sp.qr_multiply(x, c, mode)
        close(np.abs(found[0]), np.abs(expected[0]), dtype)
        close(np.abs(found[1]), np.abs(expected[1]), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_forms(dtype: str) -> None:
    x = matrix(dtype, 5, 5)
    for output in ("real", "complex"):
        t, z = map(np.asarray, sl.schur(x, output))
        close(z @ t @ adjoint(z), x, dtype)
    t, z = map(np.asarray, sl.rsf2csf(*sl.schur(x)))
    close(z @ t @ adjoint(z), x, dtype)
    close(t, np.triu(t), dtype)
    h, q = map(np.asarray, sl.hessenberg(x, calc_q=True))
    close(q @ h @ adjoint(q), x, dtype)
    close(sl.hessenberg(np.stack([x, x])), np.stack([h, h]), dtype)
    for shape in ((5, 5), (5, 3)):
        for method in ("qdwh", "svd"):
            for side in ("right", "left"):
                if side == "left" and shape[0] != shape[1]:
                    continue
                a = matrix(dtype, *shape)
                found, expected = sl.polar(a, side, method=method), sp.polar(a, side)
                close(found[0], expected[0], dtype)
                close(found[1], expected[1], dtype)
    r, w = np.linalg.cholesky(positive(dtype, 4)).conj().T, matrix(dtype, 4).real.astype(dtype)
    updated = np.asarray(ll.cholesky_update(r.real.astype(dtype), w.real))
    close(updated.T @ updated, r.real.T @ r.real + np.outer(w, w), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_eigenvalues(dtype: str) -> None:
    a, b = matrix(dtype, 4, 4), positive(dtype, 4)
    a = (a + adjoint(a)).astype(dtype)
    close(sl.eigh(np.tril(a), eigvals_only=True), sp.eigh(a, eigvals_only=True), dtype)
    for kind in (1, 2, 3):
        values, vectors = map(np.asarray, sl.eigh(a, b, type=kind))
        close(values, sp.eigh(a, b, eigvals_only=True, type=kind), dtype)
        left, right = ((a @ vectors, b @ vectors * values), (a @ b @ vectors, vectors * values),
                       (b @ a @ vectors, vectors * values))[kind - 1]  # fmt: skip
        close(left, right, dtype)
    d, e = matrix(dtype, 5).real, matrix(dtype, 4).real
    close(sl.eigh_tridiagonal(d, e, eigvals_only=True), sp.eigvalsh_tridiagonal(d, e), dtype)
    some = sl.eigh_tridiagonal(d, e, eigvals_only=True, select="i", select_range=(1, 2))
    close(some, sp.eigvalsh_tridiagonal(d, e)[1:3], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_of_matrices(dtype: str) -> None:
    x = matrix(dtype, 4, 4)
    for scale in (0.01, 1, 8):
        close(np.asarray(jitml.jit(sl.expm)(scale * x)) / np.abs(sp.expm(scale * x)).max(),
              sp.expm(scale * x) / np.abs(sp.expm(scale * x)).max(), dtype)  # fmt: skip
    close(sl.expm(np.stack([x, 2 * x])), np.stack([sp.expm(x), sp.expm(2 * x)]), dtype)
    e = matrix(dtype, 4, 4)
    for found, expected in zip(sl.expm_frechet(x, e), sp.expm_frechet(x, e), strict=True):
        close(found, expected, dtype)
    p = positive(dtype, 4)
    close(jitml.jit(sl.sqrtm)(p), sp.sqrtm(p), dtype)
    close(sl.sqrtm(x) @ sl.sqrtm(x), x, dtype)
    result, error = sl.funm(p, jnp.exp, disp=False)
    close(
        np.asarray(result) / np.abs(sp.expm(p)).max(), sp.expm(p) / np.abs(sp.expm(p)).max(), dtype
    )
    assert float(error) < 1
    assert np.isnan(np.asarray(sl.expm(1e9 * np.eye(2)))).all()


def test_the_gradient_of_expm() -> None:
    jax = pytest.importorskip("jax")
    x = np.random.default_rng(0).normal(size=(3, 3)) * 3
    with jax.enable_x64(True):
        expected = jax.grad(lambda x: jax.numpy.sum(jax.scipy.linalg.expm(x) ** 2))(x)
    close(jitml.grad(lambda x: jnp.sum(sl.expm(x) ** 2))(x), expected)
    close(jitml.jit(jitml.grad(lambda x: jnp.sum(sl.expm(x) ** 2)))(x), expected)


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("assumed", ["gen", "pos"])
def test_the_gradient_of_solve_takes_the_matrix_as_a_whole(lower: bool, assumed: str) -> None:
    a, b = positive("float32", 3), np.float32([1.0, -2.0, 0.5])
    slope = jitml.grad(lambda a: jnp.sin(sl.solve(a, b, lower, assume_a=assumed)).sum())(a)
    x = np.linalg.solve(a, b)
    close(slope, -np.outer(np.linalg.solve(a, np.cos(x)), x), "float32")


MADE: dict[str, list[tuple[Any, ...]]] = {
    "block_diag": [(np.ones((2, 3)), 2 * np.ones((1, 2)), 5.0), ()],
    "circulant": [(np.arange(4.0),), (np.arange(1),)],
    "companion": [(np.array([2.0, 1, 3, 4]),), (np.array([1.0, 2.0]),)],
    "convolution_matrix": [(np.arange(1.0, 4), n, m) for n in (1, 3, 5)
                           for m in ("full", "same", "valid")],
    "dft": [(4,), (3, "n"), (3, "sqrtn")],
    "fiedler": [(np.array([1.0, 4, 2]),)],
    "fiedler_companion": [(np.arange(1.0, n),) for n in (3, 4, 5, 6, 7, 8)],
    "hadamard": [(1,), (4,)],
    "hankel": [(np.arange(3.0),), (np.arange(3.0), np.arange(4.0))],
    "helmert": [(4,), (4, True)],
    "hilbert": [(4,)],
    "invhilbert": [(4,)],
    "invpascal": [(4,), (4, "lower"), (4, "upper")],
    "leslie": [(np.arange(1.0, 4), np.array([0.5, 0.25]))],
    "pascal": [(4,), (4, "lower"), (4, "upper")],
    "toeplitz": [(np.arange(3.0),), (np.arange(3.0), np.arange(5.0)), (np.arange(2) * 1j,)],
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_matrices_of_a_pattern(name: str) -> None:
    with jitml.enable_x64():
        for arguments in MADE[name]:
            close(getattr(sl, name)(*arguments), getattr(sp, name)(*arguments))


def test_all_names_of_jax_are_there_with_their_signatures() -> None:
    jax = pytest.importorskip("jax")
    importlib.import_module("jax.scipy.linalg")
    importlib.import_module("jax.lax.linalg")
    for ours, theirs in (
        (sl, jax.scipy.linalg), (ll, jax.lax.linalg), (jnp.linalg, jax.numpy.linalg),
        (jnp.fft, jax.numpy.fft),
    ):  # fmt: skip
        names = [n for n in dir(theirs) if not n.startswith("_") and not n.endswith("_p")]
        for name in names:
            function = getattr(theirs, name)
            if inspect.isclass(function) or not callable(function):
                assert hasattr(ours, name) or inspect.ismodule(function)
                continue
            expected = inspect.signature(function).parameters
            found = inspect.signature(getattr(ours, name)).parameters
            assert list(found) == list(expected), name
            assert [p.kind for p in found.values()] == [p.kind for p in expected.values()], name


ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "solve": (lambda: sl.solve(np.eye(2), np.ones(3)), r"\(2 != 3\)"),
    "assume": (lambda: sl.solve(np.eye(2), np.ones(2), assume_a="odd"), "assume_a='odd'"),
    "trans": (lambda: sl.solve_triangular(np.eye(2), np.ones(2), trans=3), "trans=3"),
    "rows": (lambda: sl.lu_solve(sl.lu_factor(np.eye(2)), np.ones(3)), r"\(2 != 3\)"),
    "expm": (lambda: sl.expm(np.ones((2, 3))), "expm: .* is not square"),
    "sqrtm": (lambda: sl.sqrtm(np.ones((2, 2, 2))), "no single matrix"),
    "hadamard": (lambda: sl.hadamard(3), "no power of two"),
    "leslie": (lambda: sl.leslie(np.ones(3), np.ones(3)), "do not fit"),
    "kind": (lambda: sl.pascal(3, "middle"), "kind='middle'"),
    "values": (lambda: sl.eigh_tridiagonal(np.ones(2), np.ones(1), select="v"), "select='v'"),
    "sort": (lambda: ll.schur(np.eye(2), sort_eig_vals=True), "cannot be sorted"),
    "reflectors": (lambda: ll.householder_product(np.ones((2, 3)), np.ones(2)), "at least as many"),
    "triangular": (
        lambda: ll.triangular_solve(np.eye(2), np.ones((3, 2)), left_side=True), r"\(2 != 3\)"
    ),
    "triangular dtype": (
        lambda: ll.triangular_solve(np.eye(2), np.ones((2, 2), np.float32)), "dtypes differ"
    ),
    "schur": (lambda: jitml.jacfwd(lambda x: ll.schur(x)[0])(np.eye(2)), "schur has no derivative"),
    "diagonals": (
        lambda: ll.tridiagonal_solve(np.ones(2), np.ones(3), np.ones(3), np.ones((3, 1))),
        "as long as b has rows",
    ),
    "missing": (lambda: jitml.scipy.nothing, "no attribute"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_users_line(name: str) -> None:
    wrong, message = ERRORS[name]
    kind = AttributeError if name == "missing" else JitmlError
    with pytest.raises(kind, match=message) as raised:
        wrong()
    assert name == "missing" or "test_scipy_linalg.py" in str(raised.value)


def test_fiedler_companion_has_slopes() -> None:
    slope = jitml.grad(lambda a: jitml.scipy.linalg.fiedler_companion(a).sum())(
        np.array([3.0, 1.0, 2.5])
    )
    np.testing.assert_allclose(slope, [3.5 / 9, -1 / 3, -1 / 3], 1e-6)
