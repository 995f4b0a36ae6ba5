"""Arrays between their elements, against SciPy and JAX."""

from __future__ import annotations

import numpy as np
import pytest

import jitml
from jitml.errors import ArgumentError, DTypeError, ShapeError
from jitml.scipy.interpolate import RegularGridInterpolator
from jitml.scipy.ndimage import map_coordinates

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 7)).astype(np.float32)
PLACES = [RNG.uniform(-9, 12, 20).astype(np.float32) for _ in range(2)]
# SciPy's names of the modes that treat the cells of a grid alike.
MODES = {"constant": "grid-constant", "nearest": "nearest", "wrap": "grid-wrap",
         "mirror": "mirror", "reflect": "reflect"}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", [0, 1])
def test_coordinates(mode, order):
    reference = pytest.importorskip("scipy.ndimage")
    found = map_coordinates(X, PLACES, order, mode, 3.0)
    expected = reference.map_coordinates(X, PLACES, order=order, mode=MODES[mode], cval=3.0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_integers_are_rounded_and_places_may_be_integers():
    whole = (X * 9).astype(np.int32)
    found = map_coordinates(whole, [np.array([0.5]), np.array([1.5])], 1)
    mean = whole[:2, 1:3].mean()
    assert found.dtype == np.int32
    assert int(found[0]) == int(np.sign(mean) * np.floor(abs(mean) + 0.5))
    taken = map_coordinates(X, [np.array([1, 9]), np.array([2, 2])], 1)
    assert taken.tolist() == [X[1, 2], 0]


def test_derivatives():
    places = [np.array([0.3, 2.6], np.float32), np.array([1.2, 4.9], np.float32)]
    slopes = jitml.grad(lambda a, b: map_coordinates(X, [a, b], 1).sum(), (0, 1))(*places)
    corner = X[:2, 1:3]
    np.testing.assert_allclose(slopes[0][0], (corner[1] - corner[0]) @ [0.8, 0.2], rtol=1e-4)
    weights = jitml.grad(lambda x: map_coordinates(x, places, 1).sum())(X)
    assert float(weights.sum()) == pytest.approx(2, rel=1e-5)


def test_errors():
    with pytest.raises(ShapeError, match="1 coordinates for 2 dimensions"):
        map_coordinates(X, PLACES[:1], 1)
    with pytest.raises(ArgumentError, match="mode is 'odd'"):
        map_coordinates(X, PLACES, 1, "odd")
    with pytest.raises(ArgumentError, match="order is 3"):
        map_coordinates(X, PLACES, 3)


GRID = np.array([0, 1, 3, 4], np.float32), np.linspace(0, 1, 7, dtype=np.float32) ** 2


@pytest.mark.parametrize("method", ["linear", "nearest"])
@pytest.mark.parametrize("fill", [np.nan, None, -1.0])
def test_grids(method, fill):
    reference = pytest.importorskip("scipy.interpolate")
    points = (RNG.uniform(-0.5, 4.5, (9, 2)) / [1, 4]).astype(np.float32)
    ours = RegularGridInterpolator(GRID, X, method, fill_value=fill)
    theirs = reference.RegularGridInterpolator(
        GRID, X.astype(np.float64), method, bounds_error=False, fill_value=fill
    )
    np.testing.assert_allclose(ours(points), theirs(points), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(jitml.jit(ours)(points), ours(points), rtol=1e-5)


def test_points_and_values_of_other_shapes():
    deep = np.stack([X, 2 * X], -1)
    f = RegularGridInterpolator(GRID, deep)
    assert f(np.zeros((3, 5, 2))).shape == (3, 5, 2)
    assert f((np.zeros(3, np.float32), np.float32(0))).shape == (3, 2)
    line = RegularGridInterpolator(GRID[:1], X[:, 0])
    np.testing.assert_allclose(line(np.array([2.0])), [(X[1, 0] + X[2, 0]) / 2], rtol=1e-6)
    slope = jitml.grad(lambda x: line(x).sum())(np.array([2.0], np.float32))
    np.testing.assert_allclose(slope, [(X[2, 0] - X[1, 0]) / 2], rtol=1e-5)


def test_errors_of_grids():
    with pytest.raises(ArgumentError, match="method is 'cubic'"):
        RegularGridInterpolator(GRID, X, "cubic")
    with pytest.raises(ArgumentError, match="bounds_error=True is not supported"):
        RegularGridInterpolator(GRID, X, bounds_error=True)
    with pytest.raises(ShapeError, match=r"points f32\[7\], f32\[4\] for values f32\[4,7\]"):
        RegularGridInterpolator(GRID[::-1], X)
    with pytest.raises(DTypeError, match="fill_value is complex"):
        RegularGridInterpolator(GRID, X, fill_value=1j)
    with pytest.raises(ShapeError, match="points with 3 coordinates in a grid of 2 dimensions"):
        RegularGridInterpolator(GRID, X)(np.zeros((2, 3)))
