"""Zeros, infinities, NaN, denormals and saturation; the signs of zeros count."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.scalar.references import DTYPES
from tests.scalar.test_accuracy import compiled

NUMPY_NAMES = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh",
    "atanh": "arctanh", "atan2": "arctan2", "pow": "power",
}  # fmt: skip
IN_NUMPY = [
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "cbrt", "sin", "cos", "tan",
    "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
]  # fmt: skip
ORDINARY = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 2.5, -2.5, 1e30, -1e30, 1e-30]
BEYOND = [math.inf, -math.inf, math.nan]


def special_points(type_: str) -> Any:
    limits = np.finfo(DTYPES[type_])
    tiny = float(limits.smallest_subnormal)
    edges = [tiny, -tiny, 3 * tiny, float(limits.tiny), float(limits.max), -float(limits.max)]
    return np.array([*ORDINARY, *BEYOND, *edges], DTYPES[type_])


def assert_same(got: Any, expected: Any, points: Any, tolerance: float) -> None:
    """Equal to within rounding, with the same signs of zeros and NaN in the same places."""
    near = np.isclose(got, expected, rtol=tolerance, atol=0) & (
        np.signbit(got) == np.signbit(expected)
    )
    bad = ~(near | (np.isnan(got) & np.isnan(expected)))
    assert not bad.any(), list(zip(points[bad], got[bad], expected[bad], strict=True))


@pytest.mark.parametrize("name", IN_NUMPY)
@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_special_values_are_numpys(name: str, type_: str) -> None:
    points = special_points(type_)
    function = getattr(np, NUMPY_NAMES.get(name, name))
    with np.errstate(all="ignore"):
        expected = function(points.astype(np.float64)).astype(DTYPES[type_])
    # Two denormals may be an ulp apart, which is all of their size.
    tolerance = 1e-6 if type_ == "f32" else 1e-14
    assert_same(compiled(type_)[name](points), expected, points, tolerance)


@pytest.mark.parametrize("name", ["pow", "atan2"])
@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_special_pairs_are_numpys(name: str, type_: str) -> None:
    points = np.array([*ORDINARY, *BEYOND], DTYPES[type_])
    x, y = (grid.ravel() for grid in np.meshgrid(points, points))
    with np.errstate(all="ignore"):
        expected = getattr(np, NUMPY_NAMES[name])(x, y)
    tolerance = 1e-6 if type_ == "f32" else 1e-14
    assert_same(compiled(type_)[name](x, y), expected, np.stack([x, y], 1), tolerance)


@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_powers_far_beyond_the_range(type_: str) -> None:
    y = np.ldexp(np.array([1.0, -1.0, 1.7])[:, None], np.arange(5, 127)).astype(DTYPES[type_])
    x, y = (grid.ravel() for grid in np.broadcast_arrays(np.array([[[2.0]], [[0.7]]], y.dtype), y))
    with np.errstate(all="ignore"):
        expected = np.power(x.astype(np.float64), y.astype(np.float64)).astype(DTYPES[type_])
    tolerance = 1e-6 if type_ == "f32" else 1e-14
    assert_same(compiled(type_)["pow"](x, y), expected, np.stack([x, y], 1), tolerance)


OTHERS = {
    "erf": [(0.0, 0.0), (-0.0, -0.0), (9.0, 1.0), (-9.0, -1.0), (math.inf, 1.0), (-math.inf, -1.0)],
    "erfc": [(0.0, 1.0), (40.0, 0.0), (-40.0, 2.0), (math.inf, 0.0), (-math.inf, 2.0)],
    "erf_inv": [(0.0, 0.0), (-0.0, -0.0), (1.0, math.inf), (-1.0, -math.inf), (1.5, math.nan)],
    "logistic": [(0.0, 0.5), (math.inf, 1.0), (-math.inf, 0.0), (1000.0, 1.0), (-1000.0, 0.0)],
    "rsqrt": [(0.0, math.inf), (-0.0, -math.inf), (math.inf, 0.0), (4.0, 0.5), (-1.0, math.nan)],
    "lgamma": [
        (1.0, 0.0), (2.0, 0.0), (0.0, math.inf), (-0.0, math.inf), (-1.0, math.inf),
        (-7.0, math.inf), (math.inf, math.inf), (-math.inf, math.inf),
    ],
    "digamma": [
        (0.0, -math.inf), (-0.0, math.inf), (-3.0, math.nan), (math.inf, math.inf),
        (-math.inf, math.nan),
    ],
    "bessel_i0e": [(0.0, 1.0), (math.inf, 0.0), (-math.inf, 0.0)],
    "bessel_i1e": [(0.0, 0.0), (-0.0, -0.0), (math.inf, 0.0), (-math.inf, -0.0)],
    "tanh": [(20.0, 1.0), (-20.0, -1.0), (1e30, 1.0)],
    "sin": [(math.inf, math.nan), (-math.inf, math.nan)],
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_other_special_values(name: str, type_: str) -> None:
    points, expected = (
        np.array(column, DTYPES[type_])
        for column in zip(*OTHERS[name], (math.nan, math.nan), strict=True)
    )
    assert_same(compiled(type_)[name](points), expected, points, 0.0)


@pytest.mark.parametrize(("type_", "low", "high"), [("f32", 87.4, 103.9), ("f64", 708.5, 745.1)])
def test_denormal_results(type_: str, low: float, high: float) -> None:
    points = -np.linspace(low, high, 300).astype(DTYPES[type_])
    expected = np.exp(points.astype(np.longdouble)).astype(DTYPES[type_])
    smallest = float(np.finfo(DTYPES[type_]).smallest_subnormal)
    for name in ("exp", "logistic"):
        assert np.max(np.abs(compiled(type_)[name](points) - expected)) <= smallest
