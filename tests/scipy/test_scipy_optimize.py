"""Minima, against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import ArgumentError, ShapeError
from jitml.scipy.optimize import line_search as search
from jitml.scipy.optimize import minimize

METHODS = ["BFGS", "l-bfgs-experimental-do-not-rely-on-this"]


def valley(x):
    """Rosenbrock's function."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def hills(x):
    """Himmelblau's function, which has four minima."""
    return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("function", "start"),
    [
        (valley, [-1.2, 1.0, -1.2, 1.0]),
        (hills, [0.0, 0.0]),
        (hills, [3.4, 3.4]),
    ],
)
def test_minima_are_scipys(method, function, start):
    reference = pytest.importorskip("scipy.optimize")
    x = np.array(start)
    with jitml.enable_x64():
        found = minimize(function, x, method=method)
        slope = jitml.grad(function)
        expected = reference.minimize(function, x, jac=lambda x: np.asarray(slope(x)))
        assert bool(found.success) and int(found.status) == 0
        np.testing.assert_allclose(found.x, expected.x, atol=2e-4)
        np.testing.assert_allclose(found.jac, slope(found.x), atol=1e-12)
        assert np.abs(found.jac).max() < (1e-5 if method == "BFGS" else 1e-4)
        assert int(found.nfev) == int(found.njev) < 3 * expected.nfev


def test_curvature_of_a_parabola():
    matrix = np.array([[3.0, 1.0], [1.0, 2.0]], np.float32)
    found = minimize(lambda x, a: x @ a @ x / 2 - x[0], jnp.ones(2), (matrix,), method="bfgs")
    np.testing.assert_allclose(found.hess_inv, np.linalg.inv(matrix), rtol=0.1, atol=0.05)
    np.testing.assert_allclose(found.x, np.linalg.inv(matrix)[0], rtol=1e-4)


def test_maps_compiles_and_has_derivatives():
    starts = np.array([[0, 0], [3, -3], [-3, 3]], np.float32)
    found = jitml.jit(jitml.vmap(lambda x: minimize(hills, x, method="BFGS")))(starts)
    np.testing.assert_allclose(
        found.x, [[3, 2], [3.584428, -1.848126], [-2.805118, 3.131312]], atol=1e-3
    )

    def place(target):
        square = lambda x, a: ((x - a) ** 2).sum()  # noqa: E731
        return minimize(square, jnp.zeros(2), (target,), method="BFGS").x.sum()

    assert float(jitml.grad(place)(3.0)) == pytest.approx(2)


def test_what_ends_it():
    start = np.array([-1.2, 1.0], np.float32)
    short = minimize(valley, start, method="BFGS", options={"maxiter": 3})
    assert (int(short.status), int(short.nit), bool(short.success)) == (1, 3, False)
    assert int(minimize(valley, start, method=METHODS[1], options={"maxfun": 4}).status) == 1
    assert int(minimize(lambda x: jnp.nan * x.sum(), start, method="BFGS").status) == 3
    loose = minimize(valley, start, method="BFGS", tol=10.0)
    assert int(loose.nit) < 10
    done = minimize(hills, np.array([3, 2], np.float32), method="BFGS")
    assert (int(done.nit), bool(done.success)) == (0, True)
    falls = minimize(lambda x: -x.sum(), start, method="BFGS", options={"maxiter": 2})
    assert int(falls.status) == 1


def test_errors():
    start = np.ones(2, np.float32)
    with pytest.raises(ArgumentError, match="there is no method 'newton'"):
        minimize(hills, start, method="newton")
    with pytest.raises(ArgumentError, match="there is no option 'steps'"):
        minimize(hills, start, method="BFGS", options={"steps": 3})
    with pytest.raises(ArgumentError, match="args is a list, not a tuple"):
        minimize(hills, start, [1], method="BFGS")
    with pytest.raises(ShapeError, match=r"x0 is f32\[1,2\], not a vector"):
        minimize(hills, start[None], method="BFGS")


def lopsided(x):
    """Steep on the left, flat on the right of its minimum at 1."""
    return (jnp.exp(-6 * (x - 1)) + 6 * x).sum()


def flat(x):
    return ((x - 1) ** 4).sum() + 0.01 * x.sum() ** 2


@pytest.mark.parametrize("function", [lopsided, flat, lambda x: -jnp.exp(-((x - 1) ** 2)).sum()])
@pytest.mark.parametrize("curvature", [0.9, 0.01])
def test_steps_keep_wolfes_conditions(function, curvature, monkeypatch):
    monkeypatch.setattr(search, "CURVATURE", curvature)
    slopes = jitml.value_and_grad(function)
    with jitml.enable_x64():

        def along_line(x, length):
            value, gradient = slopes(x)
            along = -jnp.sign(gradient) * length
            found = search.line_search(slopes, x, along, value, gradient, 30)
            return found, found.low.value - value, gradient @ along

        lengths = np.exp2(np.arange(-6.0, 7))
        for start in (0.3, 1.9):
            starts = np.full((len(lengths), 1), start)
            found, gain, slope = jitml.jit(jitml.vmap(along_line))(starts, lengths)
            assert found.is_done.all()
            assert (gain <= 1e-4 * found.low.step * slope).all()
            assert (abs(found.low.slope) <= -curvature * slope).all()
