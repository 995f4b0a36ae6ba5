"""QR by panels, and eigenvectors by blocks of reflectors: right, and the same bits for any number
of threads and any width of vectors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from oracle import to_array

import jitml
import jitml.numpy as jnp
from jitml.codegen.emit import KernelText
from jitml.codegen.matrices import matrix_kernel
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ops.linalg.panel import Blocks, PanelQr, panels_of
from jitml.ops.linalg.reflectors import reflected
from jitml.pipeline.compile import Compiled, lower_graph
from jitml.trace.core import bind

RANDOM = np.random.default_rng(44)
REALS = ["float32", "float64"]
SHAPES = [(1, 1), (7, 3), (3, 7), (33, 33), (70, 40), (40, 70), (100, 100), (5, 129), (129, 5)]


def matrices(dtype: str, *shape: int) -> Any:
    return RANDOM.normal(size=shape).astype(dtype)


def check_qr(a: Any, q: Any, r: Any) -> None:
    """Q is orthogonal, R triangular, and column by column Q R is A, as far as rounding goes."""
    q, r = (np.asarray(x).astype(np.float64) for x in (q, r))
    eps = np.finfo(a.dtype).eps * 4 * math.sqrt(max(a.shape))
    assert not np.tril(r, -1).any()
    assert np.abs(q.T @ q - np.eye(q.shape[1])).max() < eps
    a = a.astype(np.float64)
    lengths = np.linalg.norm(a, axis=0)
    assert (np.abs(q @ r - a).max(0) <= 4 * eps * lengths).all()


@pytest.mark.parametrize("mode", ["reduced", "complete"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", REALS)
def test_qr(dtype: str, shape: tuple[int, int], mode: str) -> None:
    a = matrices(dtype, 2, *shape)
    factors = jitml.jit(lambda a: jnp.linalg.qr(a, mode=mode))(a)
    for x, q, r in zip(a, *map(np.asarray, factors), strict=True):
        expected = np.linalg.qr(x, mode)
        assert (q.shape, r.shape) == (expected[0].shape, expected[1].shape)
        check_qr(x, q, r)


@pytest.mark.parametrize("exponent", [-34, -20, -10, 18, 36])
def test_what_squares_would_leave_the_range(exponent: int) -> None:
    """Also columns of very different lengths."""
    a = matrices("float32", 40, 20) * np.float32(10.0) ** np.float32(exponent)
    a[:, 3] *= np.float32(1e-15) if exponent > 0 else np.float32(1e15)
    check_qr(a, *jnp.linalg.qr(a))


def test_numbers_below_the_smallest_normal_one() -> None:
    a = matrices("float32", 40, 20) * np.float32(1e-40)
    q, r = (np.asarray(x).astype(np.float64) for x in jnp.linalg.qr(a))
    assert np.abs(q.T @ q - np.eye(20)).max() < 1e-5
    assert np.abs(q @ r - a).max() < 1e-3 * np.abs(a.astype(np.float64)).max()


def test_columns_that_are_zero_or_depend_on_others() -> None:
    a = matrices("float64", 50, 40)
    a[:, 5] = 0
    a[:, 9] = a[:, 2] * 3
    a[7:, 0] = 0
    check_qr(a, *jnp.linalg.qr(a))
    q, r = map(np.asarray, jnp.linalg.qr(np.zeros((40, 35))))
    np.testing.assert_array_equal(q, np.eye(40, 35))
    np.testing.assert_array_equal(r, np.zeros((35, 35)))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_seen(bad: float) -> None:
    a = matrices("float32", 2, 40, 40)
    a[0, 20, 10] = bad
    for x in map(np.asarray, jnp.linalg.qr(a)):
        assert np.isnan(x[0]).any()
        assert np.isfinite(x[1]).all()


def test_signs_are_those_of_lapack() -> None:
    a = matrices("float64", 60, 45)
    for x, expected in zip(jnp.linalg.qr(a), np.linalg.qr(a), strict=True):
        np.testing.assert_allclose(x, expected, atol=1e-12)


@pytest.mark.parametrize("vector_bytes", [1, 16, 32, 64])
@pytest.mark.parametrize("dtype", REALS)
def test_bits_do_not_depend_on_vectors_and_threads(
    dtype: str, vector_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = matrices(dtype, 3, 70, 45)
    expected = [np.asarray(x) for x in jnp.linalg.qr(a)]
    for threads in (1, 2, 4):
        with jitml.num_threads(threads):
            for x, wanted in zip(jitml.jit(jnp.linalg.qr)(a), expected, strict=True):
                np.testing.assert_array_equal(x, wanted)

    def narrow(eqn: Eqn, target: Target) -> KernelText:
        return matrix_kernel(eqn, target._replace(vector_bytes=vector_bytes))

    monkeypatch.setattr("jitml.codegen.plan.matrix_kernel", narrow)
    graph = jitml.make_graph(jnp.linalg.qr)(a)
    found = Compiled(graph, lower_graph(graph)).run([to_array(a)])
    for x, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(x), wanted)


@pytest.mark.parametrize("columns", [1, 7, 16, 40, 65])
@pytest.mark.parametrize("dtype", REALS)
def test_a_panel_is_where_it_is_asked_for(dtype: str, columns: int) -> None:
    op, a = PanelQr(4, columns), matrices(dtype, 2, 90, 70)
    found = jitml.jit(lambda a: bind(op, a))(a)
    for x, expected in zip(found, op.value(a), strict=True):
        np.testing.assert_allclose(x, expected, atol=1e-4 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", [*REALS, "complex64"])
def test_blocks_are_put_together(dtype: str) -> None:
    parts = [matrices(dtype, 2, *shape) for shape in ((3, 4), (5, 19), (1, 1))]
    op = Blocks(9, 40, ((0, 2), (3, 21), (8, 0)), (3, 4, 1))
    found = jitml.jit(lambda *parts: bind(op, *parts))(*parts)[0]
    np.testing.assert_array_equal(found, op.value(*parts)[0])


def test_what_does_not_fit_is_an_error() -> None:
    a = jnp.zeros((6, 4))
    for op in (PanelQr(3, 4), PanelQr(0, 0), PanelQr(0, 5)):
        with pytest.raises(jitml.errors.ShapeError, match="panel_qr"):
            bind(op, a)
    for op in (Blocks(6, 4, ((1, 0),), (6,)), Blocks(6, 4, ((0, 1),), (6,))):
        with pytest.raises(jitml.errors.ShapeError, match="blocks"):
            bind(op, a)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 64, 384, 385, 1000])
def test_panels_are_few_and_cover_all_columns(count: int) -> None:
    panels = panels_of(count)
    assert len(panels) <= 12
    assert [c for first, size in panels for c in range(first, first + size)] == [*range(count)]


@pytest.mark.parametrize("dtype", REALS)
def test_reflectors_as_lapack_has_them(dtype: str) -> None:
    a, x = matrices(dtype, 2, 60, 45), matrices(dtype, 2, 60, 9)

    def product(a: Any, x: Any) -> Any:
        packed, taus = jnp.linalg.qr(a, mode="raw")
        return reflected(jnp.matrix_transpose(packed), taus, x)

    q = np.linalg.qr(a, "complete")[0]
    tolerance = 1e-4 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(jitml.jit(product)(a, x), q @ x, atol=tolerance)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("n", [33, 70])
@pytest.mark.parametrize("dtype", REALS)
def test_eigenvectors(dtype: str, n: int, lower: bool, scale: float) -> None:
    a = matrices(dtype, 2, n, n)
    a = (a + a.swapaxes(-1, -2)) / 2
    keep = (np.tril(a) if lower else np.triu(a)) * np.asarray(scale, dtype)
    keep += (np.triu if lower else np.tril)(np.full((n, n), math.nan, dtype), 1 if lower else -1)
    uplo = "L" if lower else "U"
    values, vectors = map(np.asarray, jnp.linalg.eigh(keep, uplo, symmetrize_input=False))
    eps = np.finfo(dtype).eps * 10 * n
    for x, w, v in zip(a, values, vectors, strict=True):
        assert np.abs(v.T @ v - np.eye(n)).max() < eps
        assert np.abs(x @ v - v * (w / np.asarray(scale, dtype))).max() < eps
        np.testing.assert_allclose(w / scale, np.linalg.eigvalsh(x), atol=eps)


def test_eigenvalues_of_what_is_diagonal_zero_or_not_finite() -> None:
    a = np.stack([np.diag(np.arange(40.0)[::-1]), np.zeros((40, 40)), np.eye(40)])
    a[2, 3, 3] = math.nan
    values, vectors = map(np.asarray, jnp.linalg.eigh(a))
    np.testing.assert_array_equal(values[0], np.arange(40.0))
    np.testing.assert_array_equal(values[1], np.zeros(40))
    np.testing.assert_array_equal(np.abs(vectors[0]), np.eye(40)[::-1])
    assert np.isnan(values[2]).all()
