"""Floats become integers towards zero; what is out of range the nearest one, NaN zero."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from jitml.scalar.value import BITS, SIGNED, convert
from tests.scalar.kernels import Kernel
from tests.scalar.references import DTYPES

_INTEGERS = ["i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"]


def numbers(dtype: Any, bits: int) -> Any:
    """Both sides of every limit, and special ones."""
    limits = [s * 2.0**k for k in (0, 1, bits - 1, bits) for s in (1, -1)]
    some = [limit + step for limit in limits for step in (-1, -0.5, 0, 0.5, 1)]
    values = np.array([*some, -0.0, 1e30, -1e30, math.inf, -math.inf, math.nan], dtype)
    beside = [np.nextafter(values, dtype(end)) for end in (-math.inf, math.inf)]
    random = np.random.default_rng(2).standard_normal(80).astype(dtype)
    return np.concatenate([values, *beside, random * dtype(2.0 ** (bits - 2))])


def nearest(x: float, least: int, most: int) -> int:
    if math.isnan(x):
        return 0
    return max(least, min(most, int(x))) if math.isfinite(x) else (most if x > 0 else least)


@pytest.mark.parametrize("lanes", [1, 2, 8, 16])
@pytest.mark.parametrize("after", _INTEGERS)
@pytest.mark.parametrize("before", ["f32", "f64"])
def test_floats_to_integers(before: str, after: str, lanes: int) -> None:
    x = numbers(DTYPES[before], BITS[after])
    is_signed = after in SIGNED
    end = 1 << (BITS[after] - is_signed)
    kernel = Kernel(lambda v: convert(v, after), [before], [after], lanes)
    expected = [nearest(float(v), -end if is_signed else 0, end - 1) for v in x]
    assert kernel(x).tolist() == expected
