"""Kernels of small matrices: the same bits for one matrix and for many, on any threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.ops.linalg.matrices import SMALL

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
