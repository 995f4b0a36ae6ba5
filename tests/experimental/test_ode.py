"""`jitml.experimental.ode.odeint` against solutions that are known, and its derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import DTypeError
from jitml.experimental.ode import odeint

T = np.linspace(0.0, 3.0, 7)
START = {"x": np.array([1.0, 2.0]), "v": np.zeros(2)}


def spring(y: Any, t: Any, strength: Any) -> Any:
    return {"x": y["v"], "v": -strength * y["x"]}


def test_solutions_are_those_that_are_known() -> None:
    found = odeint(spring, START, T, 4.0)
    np.testing.assert_allclose(found["x"], np.cos(2 * T)[:, None] * START["x"], 1e-6, 1e-6)
    turned = odeint(lambda y, t: 1j * y, np.complex128(1), T)
    np.testing.assert_allclose(turned, np.exp(1j * T), 1e-6)
    half = odeint(lambda y, t: -y, np.float32(1), T.astype("float32"), rtol=1e-5, atol=1e-5)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, np.exp(-T), 1e-4)


def test_derivatives_follow_the_adjoint_equations() -> None:
    def last(x: Any, t: Any, strength: Any) -> Any:
        return odeint(spring, {"x": x, "v": jnp.zeros(2)}, t, strength)["x"][-1].sum()

    by_start, by_times, by_strength = jitml.grad(last, (0, 1, 2))(START["x"], T, np.float64(4))
    np.testing.assert_allclose(by_start, np.full(2, np.cos(6.0)), 1e-5)
    np.testing.assert_allclose(by_times[-1], -2 * np.sin(6.0) * 3, 1e-5)
    np.testing.assert_allclose(by_times[1:-1], 0, atol=1e-9)
    np.testing.assert_allclose(by_strength, -np.sin(6.0) * 3 * 3 / 4, 1e-5)


def test_what_is_closed_over_moves_the_solution() -> None:
    def last(rate: Any) -> Any:
        return odeint(lambda y, t: -rate * y, np.float64(1), T[[0, 2]])[-1]

    np.testing.assert_allclose(jitml.jit(jitml.grad(last))(1.5), -np.exp(-1.5), 1e-6)
    found = jitml.vmap(last)(np.array([0.5, 1.0]))
    np.testing.assert_allclose(found, np.exp([-0.5, -1.0]), 1e-6)


def test_times_are_floats() -> None:
    with pytest.raises(DTypeError, match="odeint: the times are int64, not floats"):
        odeint(spring, START, np.arange(3), 1.0)
