"""What a step of a loop wrote last is in registers: the next reads it there, and only that."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.codegen import control_plan, latest, scalar_loop
from jitml.codegen.target import host
from jitml.errors import OutOfBoundsError
from jitml.pipeline.compile import Compiled
from jitml.pipeline.lowering import lower

X = np.random.default_rng(4).uniform(-1.5, 1.5, 60)
PLACES = np.random.default_rng(5).integers(0, 7, 60)


def recurrence(x: Any, places: Any) -> Any:
    return lax.fori_loop(1, 60, lambda i, c: c.at[i].set(c[i - 1] * 0.5 + x[i]), x)


def backwards(x: Any, places: Any) -> Any:
    def step(k: Any, c: Any) -> Any:
        return c.at[58 - k].set(x[58 - k] - 0.3 * c[59 - k])

    return lax.fori_loop(0, 59, step, x)


def here_and_there(x: Any, places: Any) -> Any:
    """Some of what is read has just been written, some long ago, some never."""

    def step(c: Any, at: Any) -> Any:
        return c.at[at].set(c[at] * 0.5 + c[6 - at]), c[at]

    return lax.scan(step, x[:7], places)


def sums(x: Any, places: Any) -> Any:
    """What is kept has been rounded."""
    return lax.fori_loop(1, 60, lambda i, c: c.at[i].add(c[i - 1] * 0.3), x)


def some_outside(x: Any, places: Any) -> Any:
    """Updates outside, which would be of the other row, are dropped."""

    def step(c: Any, at: Any) -> Any:
        there = c[1, at] + c[0, at // 2]
        return c.at[at * 0, 2 * at].set(there + 1, mode="drop"), there

    return lax.scan(step, x[:14].reshape(2, 7), places)


def spread_out(x: Any, places: Any) -> Any:
    """Every other number that is read is a zero between those of the array."""

    def step(c: Any, at: Any) -> Any:
        there = lax.pad(c, jnp.zeros((), c.dtype), [(0, 0, 1)])[at]
        return c.at[at // 2].set(there + x[at]), there

    return lax.scan(step, x[:7], places)


def swaps(x: Any, places: Any) -> Any:
    """Two updates a step: the last one is kept."""

    def step(c: Any, at: Any) -> Any:
        a, b = c[at], c[(3 * at + 1) % 7]
        return c.at[at].set(b + 1).at[(3 * at + 1) % 7].set(a * 0.5), a

    return lax.scan(step, x[:7], places)


def while_small(x: Any, places: Any) -> Any:
    def step(s: Any) -> Any:
        i, c = s
        return i + 1, c.at[i + 1].set(c[i] + jnp.abs(x[i]) * 0 + 1)

    return lax.while_loop(lambda s: (s[1][s[0]] < 9) & (s[0] < 40), step, (0, x))


def two_arrays(x: Any, places: Any) -> Any:
    """Of each array its own update counts."""

    def step(i: Any, s: Any) -> Any:
        a, b = s
        return a.at[i].set(b[i - 1] * 0.5), b.at[i].set(a[i - 1] + b[i - 1])

    return lax.fori_loop(1, 60, step, (x, x * 2))


PROGRAMS = [
    recurrence, backwards, here_and_there, sums, some_outside, spread_out, swaps, while_small,
    two_arrays,
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "complex64"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_bits_are_those_of_steps(program: Any, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if dtype == "complex64" and program is while_small:
        pytest.skip("it compares numbers")
    kept: list[Any] = []
    monkeypatch.setattr(scalar_loop, "Latest", lambda *args: kept.append(args) or Latest(*args))
    x = jnp.asarray(X).astype(dtype)
    places = jnp.asarray(PLACES)
    graph = jitml.make_graph(program)(x, places)
    compiled = _compiled_anew(graph)
    found = compiled.run([x, places])
    assert bool(kept) == (dtype != "complex64")
    if kept:
        (text,) = [k.text for k in compiled.program.kernels if "%state" in k.text]
        assert re.search(r"icmp ne i64 %\S+ %state", text)
        assert re.search(r"%state\d+ = phi i64 \[-1, %\w+\], \[%(?!state)", text)
    monkeypatch.setattr(control_plan, "scalar_loop", lambda eqn, target: None)
    wanted = _compiled_anew(graph).run([x, places])
    for got, want in zip(found, wanted, strict=True):
        assert np.asarray(got).tobytes() == np.asarray(want).tobytes()


Latest = latest.Latest


def _compiled_anew(graph: Any) -> Any:
    return Compiled(graph, lower(graph, host()))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64"])
def test_integers_and_truths(dtype: str) -> None:
    x = (np.arange(60) % 3).astype(dtype)

    def flip(i: Any, c: Any) -> Any:
        return c.at[i].set(c[i - 1] ^ jnp.asarray(x)[i])

    expected = np.bitwise_xor.accumulate(x)
    np.testing.assert_array_equal(jitml.jit(lambda c: lax.fori_loop(1, 60, flip, c))(x), expected)


def test_a_read_outside_is_told_of() -> None:
    """It is not one of what was written last, wherever that was."""

    def f(x: Any) -> Any:
        return lax.fori_loop(0, 59, lambda i, c: c.at[i].set(c[i + 30] + 1), x)

    with pytest.raises(OutOfBoundsError, match=r"index 60 .* at loop step 30\)"):
        jitml.jit(f)(X)
