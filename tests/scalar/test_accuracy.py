"""Every function is as accurate as it says, in both types."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from tests.scalar.accuracy import kernels
from tests.scalar.kernels import Kernel
from tests.scalar.references import REFERENCES, errors_in_ulp, samples


@functools.cache
def compiled(type_: str) -> dict[str, Kernel]:
    return kernels(type_, 8)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize(("type_", "count"), [("f32", 4000), ("f64", 60)])
def test_error_is_within_the_stated_bound(name: str, type_: str, count: int) -> None:
    operands = samples(name, type_, count, seed=len(name))
    errors = errors_in_ulp(name, type_, operands, compiled(type_)[name](*operands))
    worst = int(np.argmax(errors))
    assert errors[worst] <= REFERENCES[name].ulp, [x[worst] for x in operands]


# Where one formula of f64 takes over from another, and the rare paths behind.
CROSSINGS = {
    "digamma": (0.2, 1.2, 2.2, 5.2, -0.3, -4.5),
    "erfc": (1e-5, 3e-3, 0.545, 2.0, 27.2),
    "lgamma": (0.5, 1.4, 1.5, 2.5, 4.5, -0.3, -4.5),
    "tanh": (0.5, 0.6, 0.62, 0.7, 5.0, 19.0),
    "erf_inv": (0.5, 0.99, 0.999, 0.9995, 0.99999, 1 - 2.0**-30, 1 - 2.0**-45),
}


@pytest.mark.parametrize("name", CROSSINGS)
def test_formulas_meet_where_one_takes_over_from_another(name: str) -> None:
    random = np.random.default_rng(len(name))
    points = np.array(CROSSINGS[name])[:, None]
    width = np.minimum(1e-3, np.abs(1 - points) / 2)
    x = np.concatenate(
        [points + width * random.uniform(-1, 1, 12), np.nextafter(points, 9), points], 1
    )
    x = np.concatenate([x.ravel(), -x.ravel()])
    errors = errors_in_ulp(name, "f64", [x], compiled("f64")[name](x))
    assert errors.max() <= REFERENCES[name].ulp, x[errors.argmax()]


# Floats next to multiples of π/2 (Muller, "Elementary Functions") and large powers of two.
HARD_ANGLES = [
    6381956970095103.0 * 2.0**797, 5706674932067741.0 * 2.0**-50, 1e22, 2.0**1023, 1.7e308, 2.0**26,
    2.0**27 + 1.0, 67108864.5, 3.141592653589793, 1.5707963267948966, 4.71238898038469,
    16367173.0 * 2.0**72, 2.0**127, 3.4e38, 65536.0, 65536.004, 65535.996, 11.0, 22.0, 355.0,
]  # fmt: skip


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_angles_hard_to_reduce(name: str, type_: str) -> None:
    dtype = np.float32 if type_ == "f32" else np.float64
    with np.errstate(over="ignore"):
        angles = np.array(HARD_ANGLES).astype(dtype)
    angles = angles[np.isfinite(angles)]
    angles = np.concatenate([angles, -angles])
    # mpmath judges here, as float64 functions may themselves reduce badly.
    results = compiled(type_)[name](angles).astype(np.float64)
    wide = errors_in_ulp(name, "f64", [angles], results)
    allowed = REFERENCES[name].ulp * (2.0**29 if type_ == "f32" else 1.0)
    assert wide.max() <= allowed, angles[wide.argmax()]


def test_exact_cases() -> None:
    powers = np.arange(-1074, 1024, dtype=np.float64)
    assert np.array_equal(compiled("f64")["log2"](np.ldexp(1.0, powers.astype(int))), powers)
    assert np.array_equal(compiled("f64")["exp2"](powers), np.ldexp(1.0, powers.astype(int)))
    squares = np.arange(1.0, 200.0)
    assert np.array_equal(compiled("f64")["pow"](squares, np.float64(2.0)), squares**2)
    assert np.array_equal(compiled("f32")["cbrt"](np.float32(squares) ** 3), np.float32(squares))
