"""Complex arithmetic and functions against mpmath and NumPy, special values included."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from jitml.scalar import math
from jitml.scalar.complex import Complex
from jitml.scalar.value import Value
from tests.scalar.kernels import Kernel, build
from tests.scalar.references import DTYPES

UNARY: dict[str, tuple[Callable[[Any], Any], str | None]] = {
    "exp": (mpmath.exp, "exp"),
    "exp2": (lambda z: mpmath.mpf(2) ** z, None),
    "expm1": (mpmath.expm1, None),
    "log": (mpmath.log, "log"),
    "log1p": (lambda z: mpmath.log(1 + z), None),
    "log2": (lambda z: mpmath.log(z) / mpmath.log(2), None),
    "log10": (lambda z: mpmath.log(z) / mpmath.log(10), None),
    "logistic": (lambda z: 1 / (1 + mpmath.exp(-z)), None),
    "sqrt": (mpmath.sqrt, "sqrt"),
    "rsqrt": (lambda z: 1 / mpmath.sqrt(z), None),
    "sin": (mpmath.sin, "sin"),
    "cos": (mpmath.cos, "cos"),
    "tan": (mpmath.tan, "tan"),
    "sinh": (mpmath.sinh, "sinh"),
    "cosh": (mpmath.cosh, "cosh"),
    "tanh": (mpmath.tanh, "tanh"),
    "asin": (mpmath.asin, "arcsin"),
    "acos": (mpmath.acos, "arccos"),
    "atan": (mpmath.atan, "arctan"),
    "asinh": (mpmath.asinh, "arcsinh"),
    "acosh": (mpmath.acosh, "arccosh"),
    "atanh": (mpmath.atanh, "arctanh"),
    "reciprocal": (lambda z: 1 / z, None),
    "square": (lambda z: z * z, "square"),
    "sign": (lambda z: z / abs(z), "sign"),
}


def on_pairs(function: Callable[..., Any]) -> Callable[..., list[Value]]:
    """A function of complex numbers as one of their parts."""

    def run(*parts: Value) -> list[Value]:
        numbers = [Complex(parts[k], parts[k + 1]) for k in range(0, len(parts), 2)]
        result = function(*numbers)
        return [result] if isinstance(result, Value) else [result.re, result.im]

    return run


@functools.cache
def compiled(type_: str) -> dict[str, Kernel]:
    table = {
        name: Kernel(on_pairs(getattr(math, name)), [type_] * 2, [type_] * 2, 4) for name in UNARY
    }
    for name in ("add", "sub", "mul", "truediv"):
        function = on_pairs(getattr(operator, name))
        table[name] = Kernel(function, [type_] * 4, [type_] * 2, 4)
    table["pow"] = Kernel(on_pairs(math.pow), [type_] * 4, [type_] * 2, 4)
    table["abs"] = Kernel(on_pairs(abs), [type_] * 2, [type_], 4)
    table["angle"] = Kernel(on_pairs(math.angle), [type_] * 2, [type_], 4)
    build(list(table.values()))
    return table


def points(type_: str, count: int) -> tuple[Any, Any]:
    random = np.random.default_rng(11)
    wide = np.exp(random.standard_normal(count) * 8)
    re = [random.standard_normal(count), random.standard_normal(count) * 10, wide]
    im = [random.standard_normal(count), random.standard_normal(count) * 3, wide[::-1]]
    near = random.choice([0.5, 1.0, -1.0, 1e-8, 1 + 1e-6], count)
    re, im = [*re, near], [*im, random.standard_normal(count) * 1e-3]
    dtype = DTYPES[type_]
    return np.concatenate(re).astype(dtype), np.concatenate(im).astype(dtype)


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_against_mpmath(name: str, type_: str) -> None:
    re, im = points(type_, 25)
    got = compiled(type_)[name](re, im)
    function, limits = UNARY[name][0], np.finfo(DTYPES[type_])
    with mpmath.workprec(200):
        for x, y, p, q in zip(re, im, *got, strict=True):
            expected = function(mpmath.mpc(float(x), float(y)))
            if abs(expected) > float(limits.max):
                continue
            distance = abs(mpmath.mpc(float(p), float(q)) - expected)
            size = max(abs(expected), float(limits.tiny))
            # exp2 rounds z·ln 2 first.
            allowed = 3 + 2 * np.hypot(float(x), float(y)) if name == "exp2" else 3
            assert distance <= allowed * float(limits.eps) * size, (x, y, p, q, expected)


# C leaves the sign of these parts open, and NumPy takes it from the C library at hand.
OPEN = {"sin", "cos", "tan", "sinh", "cosh", "tanh"}


@pytest.mark.parametrize("name", [n for n, (_, numpy_name) in UNARY.items() if numpy_name])
def test_special_values_are_numpys(name: str) -> None:
    axis = np.array([0.0, -0.0, 1.0, -1.0, 2.0, -2.0, np.inf, -np.inf, np.nan])
    re, im = (grid.ravel() for grid in np.meshgrid(axis, axis))
    whole = np.empty(re.size, np.complex128)
    whole.real, whole.imag = re, im
    numpy_name = UNARY[name][1]
    assert numpy_name is not None
    with np.errstate(all="ignore"):
        expected = getattr(np, numpy_name)(whole)
    for got, want in zip(
        compiled("f64")[name](re, im), (expected.real, expected.imag), strict=True
    ):
        signs_agree = np.signbit(got) == np.signbit(want)
        if name in OPEN:
            signs_agree |= ~(np.isfinite(re) & np.isfinite(im))
            got, want = np.abs(got), np.abs(want)
        same = np.isclose(got, want, rtol=1e-14, atol=0) & signs_agree
        bad = ~(same | (np.isnan(got) & np.isnan(want)))
        if name in ("asin", "asinh", "acosh"):  # where a part is NaN, NumPy's versions differ
            bad &= ~np.isnan(whole)
        assert not bad.any(), list(zip(whole[bad], got[bad], want[bad], strict=True))


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv"])
@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_arithmetic_is_numpys(name: str, type_: str) -> None:
    re, im = points(type_, 200)
    re = np.append(re, DTYPES[type_]([0, 0, np.inf, np.nan, 1, -1]))
    im = np.append(im, DTYPES[type_]([0, -0.0, 1, 0, np.inf, 0]))
    complex_type = np.complex64 if type_ == "f32" else np.complex128
    x = np.empty(re.size, complex_type)
    x.real, x.imag = re, im
    for shift in (0, 1, 3, 401):
        y = np.roll(x, shift)
        got = compiled(type_)[name](x.real, x.imag, y.real, y.imag)
        with np.errstate(all="ignore"):
            expected = getattr(operator, name)(x, y)
        tolerance = 8 * np.finfo(DTYPES[type_]).eps
        scale = np.abs(expected) * tolerance
        for part, want in zip(got, (expected.real, expected.imag), strict=True):
            with np.errstate(all="ignore"):
                near = np.abs(part - want) <= scale
            assert (near | (part == want) | (np.isnan(part) & np.isnan(want))).all()


@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_size_and_angle(type_: str) -> None:
    re, im = points(type_, 100)
    limits = np.finfo(DTYPES[type_])
    edges = [limits.max / 2, limits.tiny, limits.smallest_subnormal * 3, np.inf, np.nan, 0]
    re = np.append(re, np.array([*edges, np.inf], DTYPES[type_]))
    im = np.append(im, np.array([*edges, np.nan], DTYPES[type_]))
    wide = np.longdouble if type_ == "f64" else np.float64
    expected = np.hypot(re.astype(wide), im.astype(wide)).astype(DTYPES[type_])
    np.testing.assert_array_max_ulp(compiled(type_)["abs"](re, im), expected, 1)
    expected = np.arctan2(im.astype(wide), re.astype(wide)).astype(DTYPES[type_])
    np.testing.assert_array_max_ulp(compiled(type_)["angle"](re, im), expected, 2)


def test_powers() -> None:
    re, im = points("f64", 40)
    with np.errstate(all="ignore"):
        x, y = re + 1j * im, np.roll(re, 7) * 0.1 + 0.2j * np.roll(im, 3)
        expected = x**y
    keep = np.isfinite(expected) & (np.abs(y) < 30) & (np.abs(expected) > 1e-290)
    got = compiled("f64")["pow"](x.real, x.imag, y.real, y.imag)
    result = got[0][keep] + 1j * got[1][keep]
    assert keep.sum() > 100
    np.testing.assert_allclose(result, expected[keep], rtol=1e-11)
    zero = np.zeros(4)
    real, imaginary = compiled("f64")["pow"](
        zero, zero, np.array([0.0, 2.0, -1.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0])
    )
    np.testing.assert_array_equal(real, [1.0, 0.0, np.nan, np.nan])
    np.testing.assert_array_equal(imaginary, [0.0, 0.0, np.nan, np.nan])


def test_equality_and_mixed_operands() -> None:
    def both(z: Complex) -> Complex:
        shifted = 1 - (z * 2j + z.re) / 2
        same = (shifted == shifted) & (shifted != z)
        return math.choose(same, math.conj(shifted), -z)

    kernel = Kernel(on_pairs(both), ["f64"] * 2, ["f64"] * 2, 4)
    z = np.array([1 + 2j, -3 + 0.5j])
    re, im = kernel(z.real, z.imag)
    np.testing.assert_array_equal(re + 1j * im, np.conj(1 - (z * 2j + z.real) / 2))
