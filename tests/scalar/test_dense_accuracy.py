"""Functions that have formulas of their own in f32 are as accurate as they say, at many points: all
magnitudes, and every float around where one formula takes over from another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

from jitml.scalar import math
from tests.scalar.kernels import Kernel

# The float64 function that judges; the error allowed in ulp, a little above the largest one known,
# so that each compensation counts; where formulas meet or errors are large.
FUNCTIONS: dict[str, tuple[Callable[..., Any], float, tuple[float, ...]]] = {
    "bessel_i0e": (scipy.special.i0e, 1.25, (1e-3, 0.5, 1, 2, 6, 8, 9, 16, 1e38)),
    "bessel_i1e": (scipy.special.i1e, 1.95, (1e-38, 0.3, 0.5, 1, 2, 6, 8, 9, 16, 1e38)),
    "ndtr": (scipy.special.ndtr, 1.7, (-13, -1, -0.7071068, -0.5, 0.7071068, 14)),
    "log_ndtr": (
        scipy.special.log_ndtr,
        1.75,
        (-2e19, -15, -14.14, -1, -0.7071068, -0.34, 0.78, 0.97, 0.99, 1.1, 6),
    ),
    "ndtri": (
        scipy.special.ndtri,
        1.8,
        (1e-44, 1e-38, 1e-15, 5e-4, 3.8e-3, 0.125, 0.25, 0.45, 0.5, 0.875, 0.9995, 1),
    ),
    "logit": (scipy.special.logit, 1.6, (1e-38, 0.25, 0.5, 0.55, 0.75, 1)),
    "gamma": (scipy.special.gamma, 0.8, (0.5, 1, 1.5, 4.5, 35)),
    "lgamma": (scipy.special.gammaln, 0.8, (0.5, 1.4, 1.5, 2.5, 4.5)),
    "digamma": (scipy.special.digamma, 0.6, (0.2, 1.2, 2.2, 5.2)),
    "erf": (scipy.special.erf, 1.9, (1e-38, 0.5, 1.2, 3.95)),
    "erfc": (scipy.special.erfc, 1.6, (1e-3, 0.5, 0.544, 10)),
    "erf_inv": (scipy.special.erfinv, 1.6, (0.99, 0.9966, 0.999, 1)),
}


def points(every: int, around: int, crossings: tuple[float, ...]) -> Any:
    """Each `every`th float, and the `around` next ones on both sides of the crossings."""
    spread = np.arange(0, 2**32, every, dtype=np.uint64)
    near = np.array(crossings, np.float32).view(np.uint32).astype(np.int64)
    near = (near[:, None] + np.arange(-around, around)).ravel()
    close = near[near >= 0].astype(np.uint32).view(np.float32)
    return np.concatenate([spread.astype(np.uint32).view(np.float32), close, -close])


def largest_error(name: str, x: Any) -> tuple[float, Any]:
    """In ulp, and where it is; infinite where NaN or an infinity is wrong."""
    judge = FUNCTIONS[name][0]
    got = Kernel(getattr(math, name), ["f32"], ["f32"], 8)(x)
    with np.errstate(all="ignore"):
        exact = judge(x.astype(np.float64))
        rounded = exact.astype(np.float32)
        error = np.abs(got.astype(np.float64) - exact) / np.spacing(np.abs(rounded))
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    error = np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))
    worst = int(np.argmax(error))
    return float(error[worst]), x[worst]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_near_crossings(name: str) -> None:
    error, x = largest_error(name, points(2**17 - 1, 2**9, FUNCTIONS[name][2]))
    assert error <= FUNCTIONS[name][1], x


@pytest.mark.sampled
@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_at_millions_of_points(name: str) -> None:
    error, x = largest_error(name, points(2**10 - 1, 2**16, FUNCTIONS[name][2]))
    assert error <= FUNCTIONS[name][1], x
