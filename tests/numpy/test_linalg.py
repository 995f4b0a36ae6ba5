"""`jitml.numpy.linalg` against NumPy: values, dtypes, shapes, eager and jitted; errors; gradients
against differences and JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import DifferentiationError, DTypeError, JitmlError, ShapeError

la = jnp.linalg
RANDOM = np.random.default_rng(7)
DTYPES = ("float32", "float64", "complex64", "complex128")


def matrix(dtype: str, *shape: int) -> Any:
    x = RANDOM.normal(size=shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * RANDOM.normal(size=shape)
    return x.astype(dtype)


def positive(dtype: str, *shape: int) -> Any:
    x = matrix(dtype, *shape)
    return (x @ x.conj().swapaxes(-1, -2) + 3 * np.eye(shape[-1])).astype(dtype)


def close(found: Any, expected: Any, dtype: str) -> None:
    tolerance = 2e-4 if np.dtype(dtype).char in "fF" else 1e-9
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def both_ways(function: Callable[..., Any], *args: Any) -> Any:
    """The result, which is the same to the bit eagerly and jitted."""
    eager, jitted = function(*args), jitml.jit(function)(*args)
    for a, b in zip(jitml.tree.leaves(eager), jitml.tree.leaves(jitted), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    return jitted


Function = Callable[[Any], Any]
VALUES: dict[str, tuple[Function, Function, tuple[tuple[int, ...], ...]]] = {
    "inv": (la.inv, np.linalg.inv, ((3, 3), (2, 4, 4), (1, 1), (0, 0), (2, 0, 3, 3))),
    "det": (la.det, np.linalg.det, ((3, 3), (2, 4, 4), (1, 1), (0, 0), (2, 2, 2, 2))),
    "slogdet": (la.slogdet, np.linalg.slogdet, ((3, 3), (2, 4, 4), (1, 1), (0, 0))),
    "pinv": (la.pinv, np.linalg.pinv, ((3, 3), (2, 4, 3), (3, 5), (0, 3))),
    "svdvals": (la.svdvals, np.linalg.svdvals, ((3, 3), (2, 4, 3), (3, 5), (0, 3))),
    "matrix_power": (
        lambda x: la.matrix_power(x, 5), lambda x: np.linalg.matrix_power(x, 5), ((3, 3), (2, 2, 2))
    ),
    "inverse power": (
        lambda x: la.matrix_power(x, -2), lambda x: np.linalg.matrix_power(x, -2), ((3, 3),)
    ),
    "power 0": (
        lambda x: la.matrix_power(x, 0), lambda x: np.linalg.matrix_power(x, 0), ((3, 3), (2, 2, 2))
    ),
    "norm": (la.norm, np.linalg.norm, ((3, 4), (5,), (0,))),
    "matrix_norm": (la.matrix_norm, np.linalg.matrix_norm, ((3, 4), (2, 3, 3))),
    "vector_norm": (la.vector_norm, np.linalg.vector_norm, ((3, 4), (4,))),
    "cond": (la.cond, np.linalg.cond, ((3, 3), (2, 4, 3))),
    "matrix_transpose": (la.matrix_transpose, np.linalg.matrix_transpose, ((2, 3, 4),)),
    "trace": (la.trace, np.linalg.trace, ((3, 3), (2, 3, 4))),
    "diagonal": (la.diagonal, np.linalg.diagonal, ((3, 3), (2, 3, 4))),
    "tensorinv": (
        lambda x: la.tensorinv(x, 1), lambda x: np.linalg.tensorinv(x, 1), ((6, 2, 3),)
    ),
    **{
        f"norm {order!r}": (
            lambda x, order=order: la.norm(x, order, (-2, -1)),
            lambda x, order=order: np.linalg.norm(x, order, (-2, -1)),
            ((3, 4), (2, 3, 3)),
        )
        for order in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
    },
    **{
        f"vector norm {order!r}": (
            lambda x, order=order: la.norm(x, order, 1, True),
            lambda x, order=order: np.linalg.norm(x, order, 1, True),
            ((3, 4),),
        )
        for order in (0, 1, 2, 3, -1, np.inf, -np.inf)
    },
    **{
        f"cond {order!r}": (
            lambda x, order=order: la.cond(x, order),
            lambda x, order=order: np.real(np.linalg.cond(x, order)),  # NumPy 2.2: complex
            ((3, 3),),
        )
        for order in ("fro", "nuc", 1, -1, 2, -2, np.inf)
    },
}  # fmt: skip


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", VALUES)
def test_values(name: str, dtype: str) -> None:
    ours, numpys, shapes = VALUES[name]
    for shape in shapes:
        x = matrix(dtype, *shape)
        expected = numpys(x)
        if name == "matrix_power" and 0 in shape:
            continue
        found = both_ways(ours, x)
        pairs = zip(jitml.tree.leaves(found), jitml.tree.leaves(tuple(expected))
                    if isinstance(expected, tuple) else [expected], strict=True)  # fmt: skip
        for a, b in pairs:
            wanted = np.asarray(b)
            wanted = wanted.astype(np.asarray(a).dtype) if wanted.dtype.kind == "f" else wanted
            close(a, wanted, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_decompositions_give_back_what_was_decomposed(dtype: str) -> None:
    real = np.zeros(0, dtype).real.dtype
    for shape in ((3, 3), (2, 4, 3), (3, 5), (1, 1), (0, 3), (2, 0, 0)):
        x = matrix(dtype, *shape)
        for full in (False, True):
            u, s, vh = both_ways(lambda x, full=full: la.svd(x, full), x)
            k = min(shape[-2:])
            assert s.dtype == real and u.shape == np.linalg.svd(x, full)[0].shape
            close((np.asarray(u)[..., :k] * np.asarray(s)[..., None, :]).astype(dtype)
                  @ np.asarray(vh)[..., :k, :], x, dtype)  # fmt: skip
            q, r = both_ways(lambda x, full=full: la.qr(x, "complete" if full else "reduced"), x)
            close(np.asarray(q) @ np.asarray(r), x, dtype)
            np.testing.assert_array_equal(np.asarray(r), np.triu(np.asarray(r)))
        close(np.abs(la.qr(x, "r")), np.abs(np.linalg.qr(x, "r")), dtype)
    x = positive(dtype, 2, 4, 4)
    close(both_ways(la.cholesky, x), np.linalg.cholesky(x), dtype)
    close(la.cholesky(x, upper=True), np.linalg.cholesky(x, upper=True), dtype)
    for uplo in ("L", "U"):
        values, vectors = both_ways(lambda x, uplo=uplo: la.eigh(x, uplo), x)
        close(values, np.linalg.eigvalsh(x), dtype)
        close(
            x @ np.asarray(vectors), np.asarray(vectors) * np.asarray(values)[..., None, :], dtype
        )
    close(la.eigvalsh(x), np.linalg.eigvalsh(x), dtype)
    x = matrix(dtype, 2, 4, 4)
    values, vectors = both_ways(la.eig, x)
    close((x @ np.asarray(vectors)).astype(values.dtype),
          np.asarray(vectors) * np.asarray(values)[..., None, :], dtype)  # fmt: skip
    close(np.sort_complex(np.asarray(la.eigvals(x))), np.sort_complex(np.asarray(values)), dtype)
    close(np.linalg.norm(vectors, axis=-2), np.ones((2, 4), real), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_hermitian_singular_values(dtype: str) -> None:
    x = matrix(dtype, 2, 4, 4)
    x = x + x.conj().swapaxes(-1, -2)
    u, s, vh = (np.asarray(v) for v in la.svd(x, hermitian=True))
    close((u * s[..., None, :]).astype(dtype) @ vh, x, dtype)
    close(s, np.linalg.svdvals(x), dtype)
    close(la.svd(x, hermitian=True, compute_uv=False), s, dtype)
    kept = la.svd(x, full_matrices=False, subset_by_index=(1, 3))
    close(kept.S, s[..., 1:3], dtype)
    assert kept.U.shape == (2, 4, 2) and kept.Vh.shape == (2, 2, 4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_systems(dtype: str) -> None:
    for a_shape, b_shape in (
        ((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (2, 3, 1)), ((2, 1, 3, 3), (4, 3, 2)),
        ((2, 3, 3), (3,)), ((0, 0), (0, 2)), ((1, 1), (1, 0)),
    ):  # fmt: skip
        a, b = matrix(dtype, *a_shape), matrix(dtype, *b_shape)
        close(both_ways(la.solve, a, b), np.linalg.solve(a, b), dtype)
    for shape in ((4, 3), (3, 3), (3, 4)):
        a, b = matrix(dtype, *shape), matrix(dtype, shape[0], 2)
        x, residuals, rank, s = both_ways(la.lstsq, a, b)
        expected = np.linalg.lstsq(a, b)
        close(x, expected[0], dtype)
        close(s, expected[3], dtype)
        assert int(rank) == expected[2] and residuals.shape == (2,)
        close(la.lstsq(a, b[:, 0])[0], expected[0][:, 0], dtype)
    gap = la.lstsq(matrix(dtype, 4, 3), matrix(dtype, 4), numpy_resid=True)[1]
    assert gap.shape == (1,)
    a, b = matrix(dtype, 2, 3, 6), matrix(dtype, 2, 3)
    close(both_ways(la.tensorsolve, a, b), np.linalg.tensorsolve(a, b), dtype)
    xs = [matrix(dtype, *s) for s in ((3,), (3, 5), (5, 2), (2, 4), (4,))]
    close(la.multi_dot(xs), np.linalg.multi_dot(xs), dtype)
    close(la.multi_dot(xs[1:4]), np.linalg.multi_dot(xs[1:4]), dtype)


def test_ranks() -> None:
    x = np.outer([1.0, 2.0, 3.0], [1.0, 0.0, 2.0])
    assert int(la.matrix_rank(x)) == 1
    assert int(la.matrix_rank(np.eye(3) * [1, 1e-3, 1], tol=1e-2)) == 2
    assert int(la.matrix_rank(np.eye(3) * [1, 1e-3, 1], rtol=1e-2)) == 2
    assert int(la.matrix_rank(np.zeros((2, 3)))) == 0
    assert int(la.matrix_rank(np.zeros((0, 3)))) == 0
    assert int(la.matrix_rank(np.ones(3))) == 1
    assert la.matrix_rank(np.stack([x, np.eye(3)])).tolist() == [1, 3]


def test_integers_are_converted() -> None:
    x = np.array([[2, 1], [1, 3]], np.int32)
    assert la.inv(x).dtype == np.float32
    assert la.det(x.astype(np.int64)).dtype == np.float64
    assert la.matrix_power(x, 2).dtype == np.int32


def test_singular_inputs_do_not_raise() -> None:
    zeros = np.zeros((3, 3))
    assert not np.isfinite(np.asarray(la.inv(zeros))).all()
    assert not np.isfinite(np.asarray(la.solve(zeros, np.ones(3)))).all()
    assert float(la.det(zeros)) == 0
    assert tuple(map(float, la.slogdet(zeros))) == (0.0, -np.inf)
    assert np.isnan(np.asarray(la.cholesky(-np.eye(2)))).any()
    batch = np.stack([np.eye(2), -np.eye(2)])
    found = np.asarray(la.cholesky(batch))
    np.testing.assert_array_equal(found[0], np.eye(2))
    assert np.isnan(found[1]).any()
    for function in (la.svd, la.eigh, la.eig, la.qr, la.inv, la.det, la.pinv, la.svdvals):
        for leaf in jitml.tree.leaves(function(np.full((3, 3), np.nan))):
            assert np.isnan(np.asarray(leaf)).any(), function.__name__


ERRORS: dict[str, tuple[Callable[[], Any], type[JitmlError], str]] = {
    "not square": (lambda: la.inv(np.ones((2, 3))), ShapeError, r"inv: f64\[2,3\] is not square"),
    "vector": (lambda: la.det(np.ones(3)), ShapeError, r"det: f64\[3\] is no matrix"),
    "half": (lambda: la.cholesky(np.ones((2, 2), np.float16)), DTypeError, "float16"),
    "sizes": (lambda: la.solve(np.eye(3), np.ones(4)), ShapeError, r"solve: .*\(3 != 4\)"),
    "rows": (lambda: la.solve(np.eye(3), np.ones((4, 2))), ShapeError, "as many rows as a"),
    "batches": (
        lambda: la.solve(np.ones((2, 3, 3)), np.ones((4, 3, 1))), ShapeError, "do not broadcast"
    ),
    "mode": (lambda: la.qr(np.eye(2), "full"), JitmlError, "mode='full'"),
    "UPLO": (lambda: la.eigh(np.eye(2), "X"), JitmlError, "UPLO='X'"),
    "power": (lambda: la.matrix_power(np.eye(2), 0.5), JitmlError, "must be an integer"),
    "norm": (lambda: la.norm(np.eye(2), "big", (0, 1)), JitmlError, "no norm of matrices"),
    "chain": (lambda: la.multi_dot([np.eye(2), np.eye(3)]), ShapeError, "do not fit"),
    "lstsq": (lambda: la.lstsq(np.eye(3), np.ones(2)), ShapeError, "as many rows as a"),
    "cross": (lambda: la.cross(np.ones(2), np.ones(2)), ShapeError, "3 elements"),
    "outer": (lambda: la.outer(np.eye(2), np.ones(2)), ShapeError, "no vector"),
    "subset": (
        lambda: la.svd(np.eye(3), False, subset_by_index=(2, 5)), JitmlError, "no range of 3"
    ),
    "vectors of eig": (
        lambda: jitml.jacfwd(lambda x: la.eig(x)[1])(np.eye(2)), DifferentiationError,
        "enable_eigvec_derivs",
    ),
    "all columns": (
        lambda: jitml.jacfwd(lambda x: la.qr(x, "complete"))(np.ones((3, 2))),
        DifferentiationError, "mode='reduced'",
    ),
    "all vectors": (
        lambda: jitml.jacfwd(la.svd)(np.ones((3, 2))), DifferentiationError, "full_matrices=False"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_users_line(name: str) -> None:
    wrong, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message) as raised:
        wrong()
    assert "test_linalg.py" in str(raised.value)


GRADIENTS: dict[str, tuple[Callable[[Any, Any], Any], tuple[int, ...]]] = {
    "inv": (lambda np_, x: np_.sum(np_.linalg.inv(x) ** 2), (3, 3)),
    "solve": (lambda np_, x: np_.sum(np_.linalg.solve(x, x[:, :1] ** 2) ** 2), (3, 3)),
    "det": (lambda np_, x: np_.linalg.det(x) ** 2, (4, 4)),
    "slogdet": (lambda np_, x: np_.linalg.slogdet(x)[1] ** 2, (4, 4)),
    "cholesky": (lambda np_, x: np_.sum(np_.linalg.cholesky(x @ x.T + np_.eye(3)) ** 3), (3, 3)),
    "pinv": (lambda np_, x: np_.sum(np_.linalg.pinv(x) ** 3), (4, 3)),
    "lstsq": (lambda np_, x: np_.sum(np_.linalg.lstsq(x, x[:, 0] ** 2)[0] ** 2), (4, 3)),
    "nuclear norm": (lambda np_, x: np_.linalg.norm(x, "nuc"), (3, 4)),
    "eigh": (lambda np_, x: np_.sum(np_.linalg.eigh(x)[1] ** 2 * np_.arange(3.0)), (3, 3)),
    "qr": (lambda np_, x: np_.sum(np_.linalg.qr(x)[1] ** 2 * np_.arange(3.0)), (4, 3)),
    "matrix_power": (lambda np_, x: np_.sum(np_.linalg.matrix_power(x, 3) ** 2), (3, 3)),
    "multi_dot": (lambda np_, x: np_.sum(np_.linalg.multi_dot([x, x, x]) ** 2), (3, 3)),
}


@pytest.mark.sampled
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_jaxs(name: str) -> None:
    jax = pytest.importorskip("jax")
    function, shape = GRADIENTS[name]
    x = np.random.default_rng(3).normal(size=shape)
    with jax.enable_x64(True):
        expected = jax.grad(lambda x: function(jax.numpy, x))(x)
        second = jax.grad(
            lambda x: jax.numpy.sum(jax.grad(lambda x: function(jax.numpy, x))(x) ** 2)
        )
        twice = second(x)

    def slope(x: Any) -> Any:
        return jitml.grad(lambda x: function(jnp, x))(x)

    np.testing.assert_allclose(slope(x), expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(jitml.jit(slope)(x), expected, rtol=1e-7, atol=1e-9)
    found = jitml.grad(lambda x: jnp.sum(slope(x) ** 2))(x)
    tolerance = 1e-6 * max(1.0, np.abs(twice).max())
    np.testing.assert_allclose(found, twice, rtol=1e-6, atol=tolerance)


def test_the_gradient_of_a_singular_determinant_is_the_adjugate() -> None:
    x = np.diag([1.0, 2.0, 0.0, 3.0])
    np.testing.assert_allclose(jitml.grad(la.det)(x), np.diag([0.0, 0.0, 6.0, 0.0]), atol=1e-12)
    np.testing.assert_array_equal(jitml.grad(la.det)(np.zeros((3, 3))), np.zeros((3, 3)))


@pytest.mark.parametrize(
    "function",
    [la.cholesky, la.inv, la.svd, la.eigh, la.eig, la.qr, la.det, la.slogdet, la.pinv],
    ids=lambda f: f.__name__,
)
def test_a_map_is_a_loop(function: Callable[..., Any]) -> None:
    x = positive("float64", 3, 4, 4)
    mapped = jitml.tree.leaves(jitml.jit(jitml.vmap(function))(x))
    inner = jitml.tree.leaves(jitml.vmap(function, in_axes=2)(np.moveaxis(x, 0, 2)))
    looped = zip(*(jitml.tree.leaves(function(one)) for one in x), strict=True)
    for whole, other, ones in zip(mapped, inner, looped, strict=True):
        np.testing.assert_array_equal(np.asarray(whole), np.asarray(other))
        np.testing.assert_allclose(whole, np.stack([np.asarray(v) for v in ones]), rtol=1e-12)
