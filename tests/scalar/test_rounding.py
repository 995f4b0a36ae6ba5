"""Remainders, neighbours, signs and integer powers are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jitml.scalar import math
from jitml.scalar.value import Value
from tests.scalar.kernels import Kernel
from tests.scalar.references import DTYPES
from tests.scalar.test_special_values import special_points


def pairs(type_: str, count: int) -> tuple[Any, Any]:
    """Bit patterns, ordinary numbers, small whole numbers and denormals, plus all special pairs."""
    random = np.random.default_rng(3)
    dtype = DTYPES[type_]
    bits: Any = np.uint32 if type_ == "f32" else np.uint64
    top = 2 ** (32 if type_ == "f32" else 64)

    def operand() -> Any:
        return np.concatenate(
            [
                random.integers(0, top, count, bits).view(dtype),
                random.standard_normal(count).astype(dtype),
                random.integers(-99, 100, count).astype(dtype),
                random.integers(1, 2**20, count).astype(bits).view(dtype),
            ]
        )

    special = [grid.ravel() for grid in np.meshgrid(special_points(type_), special_points(type_))]
    x, y = operand(), operand()
    return (
        np.concatenate([x, x, special[0]]),
        np.concatenate([y, np.roll(y, count), special[1]]),
    )


def assert_same_bits(got: Any, expected: Any) -> None:
    both_nan = np.isnan(got) & np.isnan(expected)
    bad = ~(both_nan | ((got == expected) & (np.signbit(got) == np.signbit(expected))))
    assert not bad.any(), (np.flatnonzero(bad)[:5], got[bad][:5], expected[bad][:5])


@pytest.mark.parametrize("type_", ["f32", "f64"])
@pytest.mark.parametrize("name", ["fmod", "nextafter"])
def test_exact_functions_of_two(name: str, type_: str) -> None:
    x, y = pairs(type_, 20000)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x, y)
    kernel = Kernel(getattr(math, name), [type_, type_], [type_], 4)
    assert_same_bits(kernel(x, y), expected)


@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_remainders_beside_multiples(type_: str) -> None:
    """Where the rounded quotient is a whole number and the exact one is not, or is large."""
    random, dtype = np.random.default_rng(5), DTYPES[type_]
    y = random.standard_normal(40000).astype(dtype)
    digits = np.finfo(dtype).nmant
    times = np.ldexp(random.uniform(1, 2, 40000), random.integers(0, digits + 3, 40000))
    x = (np.trunc(times) * y).astype(dtype)
    x = np.concatenate([x, np.nextafter(x, dtype(0)), np.nextafter(x, dtype(np.inf)), x * 0])
    y = np.tile(y, 4)
    kernel = Kernel(math.fmod, [type_, type_], [type_], 8)
    assert_same_bits(kernel(x, y), np.fmod(x, y))


@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_round_half_away_and_sign(type_: str) -> None:
    x = np.concatenate([pairs(type_, 2000)[0], np.arange(-9, 9).astype(DTYPES[type_]) + 0.5])
    x = np.append(x, np.nextafter(DTYPES[type_](0.5), DTYPES[type_](0)))
    with np.errstate(all="ignore"):
        whole = np.trunc(x)
        expected = whole + np.where(np.abs(x - whole) >= 0.5, np.sign(x), 0)
        expected_sign = np.where(x == 0, x, np.sign(x))
    half = Kernel(math.round_half_away, [type_], [type_], 8)
    assert_same_bits(half(x), np.copysign(expected, x).astype(DTYPES[type_]))
    assert_same_bits(Kernel(math.sign, [type_], [type_], 8)(x), expected_sign)


def test_sign_of_integers() -> None:
    x = np.array([-(2**31), -5, 0, 7, 2**31 - 1], np.int32)
    assert np.array_equal(Kernel(math.sign, ["i32"], ["i32"], 4)(x), np.sign(x))
    y = np.array([0, 1, 2**32 - 1], np.uint32)
    assert np.array_equal(Kernel(math.sign, ["u32"], ["u32"], 4)(y), np.sign(y))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 12, -1, -3])
def test_integer_powers(n: int) -> None:
    def power(x: Value) -> Value:
        return math.integer_pow(x, n)

    x = np.linspace(-3, 3, 41)
    np.testing.assert_allclose(Kernel(power, ["f64"], ["f64"], 4)(x + 0.1), (x + 0.1) ** n, 1e-14)
    if n >= 0:
        whole = np.arange(-20, 20, dtype=np.int32)
        assert np.array_equal(Kernel(power, ["i32"], ["i32"], 8)(whole), whole**n)
    else:
        with pytest.raises(AssertionError, match="not an integer"):
            Kernel(power, ["i32"], ["i32"], 8)(np.ones(1, np.int32))
