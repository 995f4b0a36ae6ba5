"""Quotients rounded down and remainders of special numbers: signs of 0, infinity, slopes."""

from __future__ import annotations

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp

VALUES = np.array([0, -0.0, 1, -1, 2.5, -2.5, np.inf, -np.inf, np.nan, 7, -7], np.float32)
X, Y = (grid.ravel() for grid in np.meshgrid(VALUES, VALUES))


@pytest.mark.parametrize("name", ["floor_divide", "remainder"])
def test_special_numbers(name: str) -> None:
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(X, Y)
        if name == "floor_divide":  # the array API standard: infinity by a finite number
            expected = np.where(np.isinf(X), X / Y, expected)
    found = np.asarray(getattr(jnp, name)(X, Y))
    np.testing.assert_array_equal(found, expected)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[known], np.signbit(expected)[known])


def test_slopes_where_nothing_remains() -> None:
    slopes = jitml.grad(lambda x, y: jnp.remainder(x, y), (0, 1))(4.0, 2.0)
    assert [float(s) for s in slopes] == [1.0, -2.0]
    assert float(jitml.grad(lambda x: jnp.floor_divide(x, 2.0))(4.0)) == 0.0
