"""Cosine transforms against SciPy."""

from __future__ import annotations

import numpy as np
import pytest

import jitml
from jitml.errors import ArgumentError, ShapeError
from jitml.scipy import fft, integrate

reference = pytest.importorskip("scipy.fft")
X = np.random.default_rng(0).normal(size=(2, 7)).astype(np.float32)


@pytest.mark.sampled
@pytest.mark.parametrize("kind", [1, 2, 3, 4])
@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
@pytest.mark.parametrize("name", ["dct", "idct"])
def test_types_and_norms(kind, norm, name):
    for length in (None, 5, 10):
        found = getattr(fft, name)(X, kind, length, norm=norm)
        expected = getattr(reference, name)(X, kind, length, norm=norm)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"s": (3, 8)}, {"axes": (0,)}, {"s": (9,), "axes": (1,)}])
def test_several_axes(options):
    for name in ("dctn", "idctn"):
        found = getattr(fft, name)(X, norm="ortho", **options)
        expected = getattr(reference, name)(X, norm="ortho", **options)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_complex_numbers_and_integers():
    z = X + 1j * X[::-1]
    np.testing.assert_allclose(fft.dct(z, axis=0), reference.dct(z, axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fft.dct(np.arange(4)), reference.dct(np.arange(4.0)), atol=1e-4)


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_derivatives_are_the_transposed_transform(kind):
    matrix = reference.dct(np.eye(7), kind, axis=0)
    weights = np.arange(7.0, dtype=np.float32)
    slope = jitml.grad(lambda x: (fft.dct(x, kind) * weights).sum())(X[0])
    np.testing.assert_allclose(slope, weights @ matrix, rtol=1e-4, atol=1e-4)


def test_errors():
    with pytest.raises(ArgumentError, match="dct: there is no type 5"):
        fft.dct(X, 5)
    with pytest.raises(ArgumentError, match="dctn: norm is 'none'"):
        fft.dctn(X, norm="none")
    with pytest.raises(ShapeError, match="idctn: 1 lengths for 2 axes"):
        fft.idctn(X, s=(3,), axes=(0, 1))
    with pytest.raises(ArgumentError, match="idct: 0 numbers were asked for"):
        fft.idct(X, n=0)
    with pytest.raises(ShapeError, match="an axis of size 1 has no transform 1"):
        fft.dct(X[:, :1], 1)


def test_trapezoid():
    np.testing.assert_allclose(integrate.trapezoid(X, dx=0.5), np.trapezoid(X, dx=0.5), rtol=1e-5)
    with pytest.raises(ShapeError):
        integrate.trapezoid(X, X[:, :3])
