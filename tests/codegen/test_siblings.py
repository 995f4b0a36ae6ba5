"""Kernels over the same elements become one, if neither waits for the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen import siblings

X, Y, Z = np.random.default_rng(3).standard_normal((3, 8192), np.float32)


def labels(function: Any, *args: Any) -> list[str]:
    program = jitml.jit(function).lower(*args).compile()._program
    return [step.label for step in program.plan.instructions]


def shared(x: Any, y: Any) -> Any:
    return x * y, jnp.where(x > y, x, 0), y - 1


def behind(x: Any, y: Any) -> Any:
    """The second result waits for the first, by way of its sum."""
    z = x * y
    return z, x - z.sum()


def before(x: Any, y: Any) -> Any:
    """The first result waits for the second."""
    z = x * y
    return x - z.sum(), z


def two_of_three(x: Any, y: Any, z: Any) -> Any:
    """What waits for a kernel in between goes with neither of the first two."""
    a = jnp.sort(x + y)
    return x - z, a, x * a


def test_kernels_that_share_what_they_read() -> None:
    assert labels(shared, X, Y) == ["mul select sub"]


def test_kernels_that_share_nothing() -> None:
    assert labels(lambda x, y: (x + 1, y * 2), X, Y) == ["add", "mul"]
    assert labels(lambda x, y: (x + 1, y * 2), X[:99], Y[:99]) == ["add mul"]


def test_kernels_of_other_shapes() -> None:
    assert len(labels(lambda x: (x + 1, x[:4096] * 2), X)) == 2


def test_kernels_of_many_arrays() -> None:
    arrays = np.ones((13, 8192), np.float32)
    assert len(labels(lambda *xs: [x + xs[0] for x in xs], *arrays)) == 3


@pytest.mark.parametrize("function", [shared, behind, before, two_of_three])
def test_no_bit_depends_on_it(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    args = (X, Y, Z)[: function.__code__.co_argcount]
    joined = jitml.jit(function)(*args)
    monkeypatch.setattr(siblings, "_is_worth_it", lambda group, other: False)
    apart = jitml.jit(lambda *xs: function(*xs))(*args)
    for a, b in zip(joined, apart, strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_a_result_that_takes_the_memory_of_what_the_other_reads() -> None:
    step = jitml.jit(lambda x, y: (x * y, x + y), donate_argnums=(0, 1))
    found = step(jnp.array(X), jnp.array(Y))
    np.testing.assert_array_equal(found, (X * Y, X + Y))


def test_all_of_a_loops_step() -> None:
    def step(_: Any, state: Any) -> Any:
        a, b, count = state
        return a * a - b * b + 0.1, 2 * a * b, count + (a < b)

    start = X, Y, np.zeros(8192, np.int32)
    found = jitml.jit(lambda *s: jitml.lax.fori_loop(0, 3, step, s))(*start)
    expected: Any = start
    for k in range(3):
        expected = step(k, expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    names = labels(lambda *s: jitml.lax.fori_loop(0, 3, step, s), *start)
    assert sum(name != "scan" for name in names) == 1


def test_kernels_that_do_more_stay_apart() -> None:
    """Those that fold rows, run through transposes, or check."""
    square = X.reshape(64, 128)
    assert len(labels(lambda x: (x + 1, x - x.max(1, keepdims=True)), square)) == 2
    assert len(labels(lambda x, y: (x + 1, x * y.T), square, square.T.copy())) == 2
    where = np.arange(8192, dtype=np.int32)[::-1].copy()
    assert len(labels(lambda x, i: (x[i], i + 1), X, where)) == 2
    small = square[:, :16].copy()
    assert len(labels(lambda x, v: (x.sum(1), v + 1), small, X[:64])) == 2
