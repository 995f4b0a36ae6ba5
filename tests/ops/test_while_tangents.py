"""Reverse mode through loops whose number of steps the data decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.ir.text import parse_graph
from jitml.ir.verify import verify
from jitml.ops import while_tangents

X = np.array([0.3, 0.7, 1.1])


@pytest.fixture(autouse=True)
def _in_64_bits() -> Iterator[None]:
    with jitml.enable_x64():
        yield


def coupled(x: Any) -> Any:
    def step(s: Any) -> Any:
        return s[0] * 0.9 + jnp.sin(s[1]), s[1] * 1.1 + x[0] * s[0]

    return lax.while_loop(lambda s: s[1] < 100, step, (x[1], x[2]))[0]


def vectors(x: Any) -> Any:
    def step(u: Any) -> Any:
        return u * 1.3 + jnp.roll(u, 1) * x[0]

    return (lax.while_loop(lambda u: (u * u).sum() < 50, step, x) * x).sum()


def counted(x: Any) -> Any:
    """Carries of which only one moves, beside a count and a flag."""

    def step(s: Any) -> Any:
        count, value, _ = s
        return count + 1, value * x[count % 3] + 1, value > 2

    return lax.while_loop(lambda s: s[0] < 7, step, (0, x[1], False))[1]


def newton(x: Any) -> Any:
    def step(s: Any) -> Any:
        return s[1], 0.5 * (s[1] + x.sum() / s[1])

    return lax.while_loop(lambda s: abs(s[0] - s[1]) > 1e-12, step, (x[0] * 0, x.sum()))[1]


def inside_of_a_scan(x: Any) -> Any:
    def step(c: Any, y: Any) -> Any:
        c = lax.while_loop(lambda v: v < 3, lambda v: v * 1.5 + y, c) - 2.5
        return c, c * y

    carry, ys = lax.scan(step, x[0], x)
    return carry + ys.sum()


def no_steps(x: Any) -> Any:
    return lax.while_loop(lambda v: v.sum() < 0, lambda v: v * x, x * x).sum()


PROGRAMS = [coupled, vectors, counted, newton, inside_of_a_scan, no_steps]
each_program = pytest.mark.parametrize("program", PROGRAMS)


def differences(f: Callable[[Any], Any], x: Any) -> Any:
    steps = np.eye(x.size) * 1e-6
    return np.array([(np.asarray(f(x + h)) - np.asarray(f(x - h))) / 2e-6 for h in steps])


@each_program
def test_gradients_equal_differences(program: Callable[[Any], Any]) -> None:
    wanted = differences(jitml.jit(program), X)
    np.testing.assert_allclose(jitml.grad(program)(X), wanted, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(jitml.jit(jitml.grad(program))(X), wanted, rtol=1e-6, atol=1e-8)
    forward = jitml.jit(lambda x, t: jitml.jvp(program, (x,), (t,))[1])(X, X)
    np.testing.assert_allclose(forward, wanted @ X, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("program", [coupled, counted, vectors])
def test_second_derivatives_and_batches(program: Callable[[Any], Any]) -> None:
    gradient = jitml.jit(jitml.grad(program))
    wanted = differences(gradient, X)
    np.testing.assert_allclose(jitml.jit(jitml.hessian(program))(X), wanted, rtol=1e-5, atol=1e-6)
    rows = np.stack([X, X * 0.5, X + 0.1])
    each = np.stack([gradient(row) for row in rows])
    np.testing.assert_allclose(jitml.jit(jitml.vmap(jitml.grad(program)))(rows), each, rtol=1e-12)
    total = jitml.jit(jitml.grad(lambda r: jitml.vmap(program)(r).sum()))(rows)
    np.testing.assert_allclose(total, each, rtol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 15, 16, 17, 256, 257, 3000])
def test_any_number_of_steps(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the places for states hold, and fewer."""
    monkeypatch.setattr(while_tangents, "_MOST_KEPT", 16)

    def f(a: Any, n: Any) -> Any:
        step = lambda s: (s[0] + 1, s[1] * a + jnp.sin(s[1]) * 1e-3)  # noqa: E731
        return lax.while_loop(lambda s: s[0] < n, step, (0, a))[1]

    slope, value = 1.0, 0.999
    for _ in range(steps):
        slope = value + 0.999 * slope + np.cos(value) * 1e-3 * slope
        value = value * 0.999 + np.sin(value) * 1e-3
    np.testing.assert_allclose(jitml.jit(jitml.grad(f))(0.999, steps), slope, rtol=1e-10)


def test_the_linear_part_reads_back() -> None:
    from jitml.transforms.linearize import linearize

    graph = linearize(jitml.make_graph(coupled)(X), (True,)).graph
    assert any(eqn.op.name == "while_tangents" for eqn in verify(graph).eqns)
    assert parse_graph(str(graph)) == graph
