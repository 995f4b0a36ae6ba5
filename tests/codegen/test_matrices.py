"""Kernels of small matrices: the same bits for one matrix and for many, on any threads."""

from __future__ import annotations

from collections.abc import Callable
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
from jitml.ops.linalg.lu import Lu
from jitml.ops.linalg.matrices import SMALL
from jitml.pipeline.compile import Compiled, lower_graph

RANDOM = np.random.default_rng(5)
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "cholesky": jnp.linalg.cholesky,
    "lu": jitml.lax.linalg.lu,
    "inv": jnp.linalg.inv,
}


def matrices(dtype: str, count: int, n: int) -> Any:
    x = RANDOM.normal(size=(count, n, n))
    if dtype.startswith("c"):
        x = x + 1j * RANDOM.normal(size=x.shape)
    return (x @ x.conj().swapaxes(-1, -2) + np.eye(n)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_bits_do_not_depend_on_the_batch_or_on_threads(name: str, dtype: str) -> None:
    function = FUNCTIONS[name]
    for n in (1, 3, SMALL):
        x = matrices(dtype, 70, n)
        one, two = (run(function, x, threads) for threads in (1, 2))
        alone = [[np.asarray(v) for v in jitml.tree.leaves(function(x[k]))] for k in (0, 69)]
        for k, (a, b) in enumerate(zip(one, two, strict=True)):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a[[0, 69]], np.stack([v[k] for v in alone]))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (6, 4), (7, 19), (20, 17), (SMALL, SMALL)])
@pytest.mark.parametrize("count", [3, 19])
def test_rows_are_eliminated_in_order(count: int, shape: tuple[int, int], dtype: str) -> None:
    """Each element is what it is without vectors: rounded products, subtracted in order."""
    x = RANDOM.normal(size=(count, *shape))
    if dtype.startswith("c"):
        x = x + 1j * RANDOM.normal(size=x.shape)
    x[1, :, 0] = 0
    a = x.astype(dtype)
    factors, pivots, order = (np.asarray(v) for v in jitml.jit(jitml.lax.linalg.lu)(a))
    expected, expected_pivots, expected_order = Lu().value(a)
    np.testing.assert_array_equal(pivots, expected_pivots)
    np.testing.assert_array_equal(order, expected_order)
    if dtype.startswith("c"):
        np.testing.assert_allclose(factors, expected, rtol=3e-4 if dtype == "complex64" else 1e-11)
    else:
        np.testing.assert_array_equal(factors, expected)


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@pytest.mark.parametrize("columns", [1, 2, 7, 16, 19, SMALL])
@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("count", [1, 18])
def test_columns_are_solved_side_by_side(count: int, left: bool, columns: int, dtype: str) -> None:
    a = matrices(dtype, count, 6)
    b = RANDOM.normal(size=(count, 6, columns)).astype(dtype)
    b = b if left else b.swapaxes(-1, -2)
    for lower in (True, False):
        part = np.tril(a) if lower else np.triu(a)
        for transpose in (False, True):
            x = jitml.lax.linalg.triangular_solve(
                a, b, left_side=left, lower=lower, transpose_a=transpose
            )
            applied = part.swapaxes(-1, -2) if transpose else part
            back = applied @ np.asarray(x) if left else np.asarray(x) @ applied
            np.testing.assert_allclose(back, b, atol=2e-4 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_what_has_no_factor_is_nan_in_its_lane(dtype: str) -> None:
    a = matrices(dtype, 37, 5)
    a[[3, 36], 2, 2] = -1
    factors = np.asarray(jitml.jit(jnp.linalg.cholesky)(a))
    alone = np.stack([np.asarray(jnp.linalg.cholesky(x)) for x in a])
    np.testing.assert_array_equal(factors, alone)
    np.testing.assert_array_equal(np.isnan(factors[[3, 36]]), [np.tri(5, dtype=bool)] * 2)
    assert np.isfinite(np.delete(factors, [3, 36], 0)).all()


@pytest.mark.parametrize("vector_bytes", [1, 16, 32])
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_vectors_of_any_width_give_the_same_bits(
    dtype: str, vector_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also lanes that are too few for pieces, and none, as a thread of a GPU has."""
    a = matrices(dtype, 21, 5)
    functions = [*FUNCTIONS.values(), jnp.linalg.eigh]
    expected = [run(function, a, 1) for function in functions]

    def narrow(eqn: Eqn, target: Target) -> KernelText:
        return matrix_kernel(eqn, target._replace(vector_bytes=vector_bytes))

    monkeypatch.setattr("jitml.codegen.plan.matrix_kernel", narrow)
    for function, wanted in zip(functions, expected, strict=True):
        graph = jitml.make_graph(function)(a)
        found = Compiled(graph, lower_graph(graph)).run([to_array(a)])
        for x, y in zip(wanted, found, strict=True):
            np.testing.assert_array_equal(x, np.asarray(y))


def run(function: Callable[[Any], Any], x: Any, threads: int) -> list[Any]:
    with jitml.num_threads(threads):
        return [np.asarray(v) for v in jitml.tree.leaves(jitml.jit(function)(x))]


@pytest.mark.parametrize("n", [SMALL, SMALL + 1])
def test_kernels_and_lapack_agree(n: int) -> None:
    (x,) = matrices("float64", 1, n)
    np.testing.assert_allclose(jnp.linalg.cholesky(x), np.linalg.cholesky(x), atol=1e-10)
    np.testing.assert_allclose(jnp.linalg.solve(x, x[0]), np.linalg.solve(x, x[0]), atol=1e-7)
    text = jitml.explain(jnp.linalg.cholesky, x)
    assert ("dpotrf" in text) == (n > SMALL)
    broken = x - 2 * np.linalg.norm(x) * np.eye(n)
    found = np.asarray(jnp.linalg.cholesky(broken))
    np.testing.assert_array_equal(np.isnan(found), np.tri(n, dtype=bool))
    assert not np.isfinite(np.asarray(jnp.linalg.inv(np.zeros((n, n))))).all()
