"""Special functions are as accurate as they say, in both types."""

from __future__ import annotations

import numpy as np
import pytest

from jitml.scalar import math
from tests.scalar.kernels import Kernel
from tests.scalar.special_accuracy import eighths, largest_error, largest_error_at
from tests.scalar.special_references import SPECIAL


@pytest.mark.parametrize("name", [n for n in SPECIAL if len(SPECIAL[n].samplers) == 1])
def test_formulas_meet_where_one_takes_over_from_another(name: str) -> None:
    error, point = largest_error_at(name, "f64", [eighths(name)])
    assert error <= 3 * SPECIAL[name].double, point


@pytest.mark.sampled
@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_error_is_within_the_stated_bound(name: str, type_: str) -> None:
    error, point = largest_error(name, type_, 12, seed=1)
    assert error <= (SPECIAL[name].single if type_ == "f32" else SPECIAL[name].double), point


def test_quantiles_far_out() -> None:
    """An error of x by one ulp is one of two in log Φ(x) = −x²/2 − …."""
    tails = np.ldexp(1.1, -np.arange(3, 1073))
    x = Kernel(math.ndtri, ["f64"], ["f64"], 8)(tails)
    logarithms = Kernel(math.log_ndtr, ["f64"], ["f64"], 8)(x)
    error = np.abs(logarithms - np.log(tails)) / np.spacing(np.abs(logarithms))
    assert error.max() <= 7.0, tails[error.argmax()]
