"""Instructions of a machine and what stands in for them elsewhere give the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jitml.codegen.target import host
from jitml.scalar.composed import COMPOSED
from jitml.scalar.value import Value, exponent, mantissa, maximum, minimum, scale
from tests.scalar.accuracy import kernels
from tests.scalar.kernels import Kernel, build
from tests.scalar.references import DTYPES, REFERENCES, samples
from tests.scalar.test_special_values import special_points

needs_avx512 = pytest.mark.skipif(not host().has_avx512, reason="a machine without AVX-512")


def _values(function: Callable[..., Value], type_: str, *operands: Any) -> list[Any]:
    """By the composed instructions in one lane, in vectors, and by the machine's own."""
    table = [
        Kernel(function, [type_] * len(operands), [type_], lanes, own)
        for lanes, own in (
            (1, False),
            (16, False),
            *((n, host().has_avx512) for n in (2, 4, 8, 32)),
        )
    ]
    build(table, 0)
    return [kernel(*operands) for kernel in table]


def _edges(type_: str) -> Any:
    """Positive numbers: special ones, and those beside powers of 2 and 3/2 of them."""
    dtype = DTYPES[type_]
    powers = np.exp2(np.arange(np.finfo(dtype).minexp - 60, np.finfo(dtype).maxexp)).astype(dtype)
    around = np.concatenate([powers, powers * dtype(1.5), powers * dtype(0.75)])
    beside = [np.nextafter(around, dtype(0)), around, np.nextafter(around, dtype(np.inf))]
    return np.unique(np.concatenate([*beside, np.abs(special_points(type_))]))


@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_parts_of_numbers(type_: str) -> None:
    x = _edges(type_)
    finite = x[(x > 0) & np.isfinite(x)]
    for m, k in zip(
        _values(mantissa, type_, finite), _values(exponent, type_, finite), strict=True
    ):
        assert ((m >= 0.75) & (m < 1.5)).all()
        assert np.array_equal(np.ldexp(m.astype(np.longdouble), k.astype(int)), finite)
    special = np.array([0.0, -0.0, np.inf], DTYPES[type_])
    for k in _values(exponent, type_, special):
        assert np.array_equal(k, [-np.inf, -np.inf, np.inf])
    for m in _values(mantissa, type_, special):
        assert np.isfinite(m).all()
    undefined = np.array([-1.0, -1e-40, -np.inf, np.nan], DTYPES[type_])
    for sums in _values(lambda x: mantissa(x) + exponent(x), type_, undefined):
        assert np.isnan(sums).all()


@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_scaled_numbers_are_rounded_once(type_: str) -> None:
    random = np.random.default_rng(0)
    dtype = DTYPES[type_]
    limit = 250 if type_ == "f32" else 2040
    x = (random.uniform(0.5, 4.0, 20_000) * random.choice([-1, 1], 20_000)).astype(dtype)
    n = random.integers(-limit, limit, x.size)
    with np.errstate(over="ignore", under="ignore"):
        expected = np.ldexp(x, n)
    for got in _values(scale, type_, x, n.astype(dtype)):
        assert np.array_equal(got, expected)


def _same_bits(a: Any, b: Any) -> Any:
    bits = f"u{a.dtype.itemsize}"
    return np.array_equal(a.view(bits), b.view(bits))


@pytest.mark.parametrize("type_", ["f32", "f64"])
@pytest.mark.parametrize("function", [minimum, maximum])
def test_extremes_take_nan_and_the_second_of_equals(
    type_: str, function: Callable[..., Value]
) -> None:
    points = special_points(type_)
    a, b = (x.ravel().copy() for x in np.meshgrid(points, points))
    is_first = np.isnan(a) | (a < b if function is minimum else a > b)
    for got in _values(function, type_, a, b):
        assert _same_bits(got, np.where(is_first, a, b))
    three = b.dtype.type(3)
    for got in _values(lambda y: function(y.like(3), y), type_, b):
        assert _same_bits(got, np.where(three < b if function is minimum else three > b, 3, b))


@needs_avx512
@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_functions_do_not_depend_on_the_machine(
    type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(host()), "has_avx512", False)
    plain = kernels(type_, 16, level=0)
    monkeypatch.undo()
    own = kernels(type_, 16, level=0)
    bits = np.uint32 if type_ == "f32" else np.uint64
    special = special_points(type_)
    for name, reference in REFERENCES.items():
        operands = samples(name, type_, 200, seed=3)
        extra = [special, special[::-1]][: reference.arity]
        operands = [np.concatenate(pair) for pair in zip(operands, extra, strict=True)]
        one, other = plain[name](*operands), own[name](*operands)
        same = (one.view(bits) == other.view(bits)) | (np.isnan(one) & np.isnan(other))
        assert same.all(), (name, [x[~same][:3] for x in operands])


def test_all_of_them_are_known() -> None:
    assert set(COMPOSED) == {"scale", "mantissa", "exponent", "minimum", "maximum"}
