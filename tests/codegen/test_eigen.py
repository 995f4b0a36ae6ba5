"""Eigenvalues of many small matrices, one to a lane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp

RANDOM = np.random.default_rng(11)
PRECISION = {"float32": 2e-6, "float64": 2e-14, "complex64": 2e-6, "complex128": 2e-14}


def hermitian(dtype: str, count: int, n: int) -> Any:
    x = RANDOM.normal(size=(count, n, n))
    if dtype.startswith("c"):
        x = x + 1j * RANDOM.normal(size=x.shape)
    return (x + x.conj().swapaxes(-1, -2)).astype(dtype)


def factors(a: Any, **options: Any) -> tuple[Any, Any]:
    values, vectors = jitml.jit(lambda x: jnp.linalg.eigh(x, **options))(a)
    return np.asarray(values), np.asarray(vectors)


def check(a: Any, values: Any, vectors: Any) -> None:
    """A V = V diag(w), Vᴴ V = 1, and w ascends."""
    precise = np.complex128 if a.dtype.kind == "c" else np.float64
    wide, turned = a.astype(precise), vectors.astype(precise)
    size = np.abs(wide).max((-1, -2), keepdims=True) + np.finfo(a.dtype).tiny
    limit = PRECISION[a.dtype.name] * a.shape[-1]
    assert (np.abs(wide @ turned - turned * values[..., None, :]) <= limit * size).all()
    assert (np.diff(values) >= 0).all()
    identity = turned.conj().swapaxes(-1, -2) @ turned
    assert np.abs(identity - np.eye(a.shape[-1])).max() <= limit
    assert np.abs(values - np.linalg.eigvalsh(wide)).max() <= limit * size.max()


@pytest.mark.parametrize("dtype", PRECISION)
@pytest.mark.parametrize("n", [1, 2, 5, 16])
def test_matrices_of_lanes_are_factored(n: int, dtype: str) -> None:
    a = hermitian(dtype, 21, n)
    a[1], a[2], a[3] = np.eye(n), 0, np.ones((n, n))
    a[4] = a[4] * 0 + np.diag(np.arange(n, 0, -1))
    check(a, *factors(a))
    assert "eigh" in jitml.explain(jnp.linalg.eigh, a) and "evd" not in jitml.explain(
        jnp.linalg.eigh, a
    )


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_sizes_far_from_one(dtype: str) -> None:
    a = hermitian(dtype, 16, 4)
    for power in (2.0**-120, 2.0**120):
        scaled = (a * power).astype(dtype)
        values, vectors = factors(scaled)
        expected, same = factors(a)
        np.testing.assert_array_equal(vectors, same)
        np.testing.assert_array_equal(values, expected * np.asarray(power, values.dtype))


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_bits_do_not_depend_on_other_matrices(dtype: str) -> None:
    """Nor on threads: hard matrices go on while easy ones beside them are done."""
    a = hermitian(dtype, 300, 7)
    a[::3] = a[::3] * np.float32(1e-3) + np.eye(7) * np.arange(7)
    order = RANDOM.permutation(300)
    values, vectors = factors(a)
    for threads in (1, 2):
        with jitml.num_threads(threads):
            other = factors(a[order])
        assert other[0].tobytes() == values[order].tobytes()
        assert other[1].tobytes() == vectors[order].tobytes()


def test_what_is_diagonal_is_only_ordered() -> None:
    diagonal = RANDOM.normal(size=(16, 6))
    a = diagonal[:, :, None] * np.eye(6) * (1 + 0j)
    values, vectors = factors(a + 1j * np.eye(6), symmetrize_input=False)
    np.testing.assert_array_equal(values, np.sort(diagonal))
    np.testing.assert_array_equal(vectors.argmax(1), np.argsort(diagonal))
    assert ((vectors == 0) | (vectors == 1)).all()


def test_what_is_not_finite_spoils_its_own_matrix() -> None:
    a = hermitian("float32", 20, 3)
    a[2, 1, 0] = np.nan
    a[5, 2, 2] = np.inf
    a[7, 0, 2] = np.nan  # in the triangle that is not read
    values, vectors = factors(a, symmetrize_input=False)
    spoilt = np.isin(np.arange(20), (2, 5))
    np.testing.assert_array_equal(np.isnan(values).all(-1), spoilt)
    np.testing.assert_array_equal(np.isnan(vectors).all((-1, -2)), spoilt)
    assert np.isfinite(values[~spoilt]).all() and np.isfinite(vectors[~spoilt]).all()


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_one_triangle_is_read(dtype: str) -> None:
    """And of complex ones the real part of the diagonal."""
    a = hermitian(dtype, 18, 4)
    beside = 1e12j * np.eye(4) if dtype == "complex128" else 0
    for triangle, part in (("L", np.tril), ("U", np.triu)):
        values, vectors = factors(part(a) + beside, UPLO=triangle, symmetrize_input=False)
        check(a, values, vectors)


def test_derivatives_of_lanes() -> None:
    a = hermitian("float64", 16, 3)

    def f(x: Any) -> Any:
        values, vectors = jnp.linalg.eigh(x + x.swapaxes(-1, -2))
        return (values * jnp.abs(vectors).sum(-2)).sum()

    slope = np.asarray(jitml.grad(f)(a))
    step = RANDOM.normal(size=a.shape)
    change = (f(a + 1e-6 * step) - f(a - 1e-6 * step)) / 2e-6
    np.testing.assert_allclose((slope * step).sum(), change, rtol=1e-5)
