"""Ranges keep the digits of Python's numbers where a wide dtype is asked for."""

from __future__ import annotations

import numpy as np
import pytest

import jitml.numpy as jnp

BIG = 16777217.0  # which float32 does not hold


@pytest.mark.parametrize("dtype", ["float64", "int64", "int32"])
def test_linspace(dtype: str) -> None:
    found = jnp.linspace(BIG, 0.0, 3, dtype=dtype)
    np.testing.assert_array_equal(found, np.linspace(BIG, 0.0, 3, dtype=dtype))


def test_other_ranges() -> None:
    np.testing.assert_allclose(jnp.geomspace(BIG, 1.0, 2, dtype="float64"), [BIG, 1.0], 1e-14)
    np.testing.assert_allclose(jnp.logspace(0.1, 1, 2, dtype="float64"), [10**0.1, 10], 1e-14)
    assert jnp.arange(BIG, BIG + 2, dtype="float64").tolist() == [BIG, BIG + 1]
    assert jnp.linspace(0, 1, 3, dtype="float16").dtype == jnp.float16
