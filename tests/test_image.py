"""Images in other sizes, against JAX."""

from __future__ import annotations

import os

import numpy as np
import pytest

import jitml
from jitml import image
from jitml.errors import ArgumentError, ShapeError

jax = pytest.importorskip("jax")
X = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
METHODS = ["nearest", "linear", "cubic", "cubic-pytorch", "lanczos3", "lanczos5", "area"]
SHAPES = [(4, 3), (9, 7), (2, 11), (8, 20)] if "JITML_GRID" in os.environ else [(2, 11)]


@pytest.mark.sampled
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("antialias", [True, False])
def test_sizes(method, antialias):
    for shape in SHAPES:
        found = image.resize(X, shape, method, antialias)
        expected = jax.image.resize(X, shape, method, antialias)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS[1:] if len(SHAPES) > 1 else ["cubic"])
@pytest.mark.parametrize("antialias", [True, False] if len(SHAPES) > 1 else [True])
def test_scales_and_translations(method, antialias):
    moved = np.array([1.3, 0.7], np.float32), np.array([-1.0, 2.0], np.float32)

    def of(library, scale, shift):
        given = (X, (6, 9), (0, 1), scale, shift, method, antialias)
        return library.image.scale_and_translate(*given)

    found = of(jitml, *moved)
    expected = jax.jit(lambda scale, shift: of(jax, scale, shift))(*moved)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_integers_and_unchanged_axes():
    whole = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert image.resize(whole, (6, 4), "nearest").dtype == np.uint8
    assert image.resize(whole, (3, 4), image.ResizeMethod.LINEAR).dtype == np.float32
    assert image.resize(X, (0, 7), "linear").shape == (0, 7)


def test_derivatives():
    slope = jitml.grad(lambda x: image.resize(x, (8, 7), "linear").sum())(X)
    np.testing.assert_allclose(slope.sum(0), np.full(7, 8), rtol=1e-5)

    def shifted(t):
        at = np.ones(1, np.float32), t.reshape(1)
        line = np.arange(5, dtype=np.float32)
        return image.scale_and_translate(line, (5,), (0,), *at, "linear")[2]

    assert float(jitml.grad(shifted)(np.float32(0.25))) == pytest.approx(-1)


def test_errors():
    with pytest.raises(ShapeError, match=r"resize: shape \(4,\) for an image of type f32\[4,7\]"):
        image.resize(X, (4,), "linear")
    with pytest.raises(ArgumentError, match="there is no method 'sinc'"):
        image.resize(X, (4, 4), "sinc")
    with pytest.raises(ArgumentError, match="there is no method 'nearest'"):
        image.scale_and_translate(X, X.shape, (0,), np.ones(1), np.ones(1), "nearest")
    with pytest.raises(ShapeError, match=r"scale f64\[2\] and translation f64\[1\] for 1 axes"):
        image.scale_and_translate(X, X.shape, (0,), np.ones(2), np.ones(1), "linear")
