"""Loops over scalars are one kernel, and give the bits of the same loop as a block of steps."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.codegen import control_plan
from jitml.codegen.target import host
from jitml.errors import OutOfBoundsError
from jitml.pipeline.compile import Compiled, compile_graph
from jitml.pipeline.lowering import lower
from jitml_runtime import Instruction, Loop

X = np.random.default_rng(3).uniform(-1.5, 1.5, 37)


def filtered(x: Any) -> Any:
    def step(c: Any, y: Any) -> Any:
        a, b = c
        a = jnp.tanh(a * 0.9 + jnp.sin(y)) / (1 + y * y)
        return (b, a), (a * b, a > b)

    return lax.scan(step, (x[0], x[1]), x, reverse=True)


def searched(x: Any) -> Any:
    def step(s: Any) -> Any:
        low, high, count = s
        middle = (low + high) * 0.5
        above = middle * middle > jnp.abs(x[3])
        return jnp.where(above, low, middle), jnp.where(above, middle, high), count + 1

    return lax.while_loop(
        lambda s: (s[1] - s[0] > 1e-3) & (s[2] < 90), step, (x[0] * 0, x[1] * 0 + 2, 0)
    )


def chosen(x: Any) -> Any:
    def step(i: Any, c: Any) -> Any:
        y = x[i]
        return lax.switch(i % 3, [lambda: c + y, lambda: c * x[2], lambda: c - 1.0])

    return lax.fori_loop(0, 30, step, x[0])


def counted(x: Any) -> Any:
    return lax.fori_loop(3, 30, lambda i, c: (c[0] + i, c[1] ^ (i << 3), ~c[2]), (0, 7, x[0] > 0))


PROGRAMS = [filtered, searched, chosen, counted]


def as_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_plan, "scalar_loop", lambda eqn, target: None)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16", "complex64"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_bits_are_those_of_steps(
    program: Callable[[Any], Any], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dtype == "complex64" and program is not counted:
        pytest.skip("these compare numbers")
    x = jnp.asarray(X).astype(dtype) if dtype != "complex64" else jnp.asarray(X)
    graph = jitml.make_graph(program)(x)
    plan = lower(graph, host()).plan
    assert not any(isinstance(step, Loop) for step in plan.instructions)
    found = compile_graph(graph).run([x])
    as_steps(monkeypatch)
    assert any(isinstance(step, Loop) for step in lower(graph, host()).plan.instructions)
    wanted = _compiled_anew(graph).run([x])
    for got, want in zip(found, wanted, strict=True):
        assert np.asarray(got).tobytes() == np.asarray(want).tobytes()


def _compiled_anew(graph: Any) -> Any:
    return Compiled(graph, lower(graph, host()))


def test_complex_carries_and_literals() -> None:
    def f(x: Any) -> Any:
        return lax.scan(lambda c, y: (c * 1j + y, (c, c.real)), 1 + 0j, x)

    carry, (cs, parts) = jitml.jit(f)(X.astype(np.float32))
    c, rows = np.complex64(1), []
    for y in X.astype(np.float32):
        rows.append(c)
        c = np.complex64(c * 1j + y)
    np.testing.assert_allclose(carry, c, rtol=1e-5)
    np.testing.assert_allclose(cs, rows, rtol=1e-5)
    np.testing.assert_allclose(parts, np.real(rows), rtol=1e-5)


def test_a_scan_of_scalars_is_one_instruction() -> None:
    graph = jitml.make_graph(lambda x: lax.scan(lambda c, y: (c * 0.5 + y, c), x[0] * 0, x)[1])(X)
    (step,) = [s for s in lower(graph, host()).plan.instructions if "scan" in s.label]
    assert isinstance(step, Instruction)


def test_the_first_failing_step_ends_the_loop() -> None:
    def f(x: Any) -> Any:
        return lax.while_loop(
            lambda s: x[s[0]] < 9, lambda s: (s[0] + 1, s[1] + x[s[0] + 1]), (0, x[0])
        )

    with pytest.raises(OutOfBoundsError, match=r"index 37 .* at loop step 36\)"):
        jitml.jit(f)(X)


def test_an_endless_loop_over_scalars_is_interrupted() -> None:
    f = jitml.jit(lambda x: lax.while_loop(lambda v: v != 3, lambda v: v + x, x * 0))
    assert int(f(1)) == 3
    timer = threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,))
    start = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        f(0)
    assert time.monotonic() - start < 2


# ---- maps of loops -------------------------------------------------------------------------------

COUNTS = np.random.default_rng(4).integers(0, 90, 300)


def powers(n: Any, x: Any, scale: Any) -> Any:
    """Each element its own number of steps; the third operand is shared."""
    return lax.while_loop(
        lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] * scale + x, ~s[2]), (0, x, x > 0)
    )


def rows(n: Any, row: Any, scale: Any) -> Any:
    """Reads a row of its own at each step."""
    return lax.while_loop(
        lambda s: s[0] < n,
        lambda s: (s[0] + 1, s[1] + row.at[s[0] % 5].get(mode="clip") * scale),
        (0, row[0]),
    )


def walk(n: Any, x: Any, scale: Any) -> Any:
    """Reads a shared table where its state says, with values of several widths."""
    table = jnp.arange(7, dtype="int8") * scale.astype("int8")

    def step(s: Any) -> Any:
        k, place, y, odd = s
        place = table.at[place + k].get(mode="fill", fill_value=2)
        return k + 1, place, y * scale + place.astype(y.dtype), odd ^ (y > 0)

    return lax.while_loop(lambda s: (s[0] < n) & ~(s[2] > 90), step, (0, table[3], x, x > 0))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64"])
@pytest.mark.parametrize("program", [powers, rows, walk])
def test_a_map_of_loops_is_one_kernel_with_the_bits_of_steps(
    program: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dtype == "complex64" and program is not rows:
        pytest.skip("it compares numbers")
    x = np.random.default_rng(8).uniform(-1, 1, (300, 5))
    arguments = [jnp.asarray(COUNTS, dtype="int32"), jnp.asarray(x).astype(dtype)]
    if program is not rows:
        arguments[1] = arguments[1][:, 0]
    scale = jnp.asarray(0.75).astype(dtype)
    graph = jitml.make_graph(jitml.vmap(program, in_axes=(0, 0, None)))(*arguments, scale)
    lowered = lower(graph, host())
    (step,) = [s for s in lowered.plan.instructions if s.label == "map"]
    assert isinstance(step, Instruction)
    assert step.extent == 300 and step.grain
    assert ("masked.store" in lowered.kernels[-1].text) == (program is not rows)
    found = {n: run_on(graph, [*arguments, scale], n) for n in (1, 2, 3)}
    as_steps(monkeypatch)
    wanted = _compiled_anew(graph).run([*arguments, scale])
    for outputs in found.values():
        for got, want in zip(outputs, wanted, strict=True):
            assert np.asarray(got).tobytes() == np.asarray(want).tobytes()
    if program is not walk:
        np.testing.assert_array_equal(np.asarray(wanted[0]), COUNTS)


@pytest.mark.parametrize("kept", [[0], [1], [2, 0], [3], [1, 2]])
@pytest.mark.parametrize("length", [3, 300])
def test_a_map_of_loops_of_which_some_results_are_used(kept: list[int], length: int) -> None:
    """What nobody reads is no result, and the map is one kernel all the same."""

    def some(n: Any, x: Any) -> Any:
        results = (*powers(n, x, jnp.float32(0.75)), x)
        return [results[k] for k in kept]

    n, x = COUNTS[:length].astype(np.int32), np.linspace(-1, 1, length, dtype=np.float32)
    graph = jitml.make_graph(jitml.vmap(some))(n, x)
    steps = lower(graph, host()).plan.instructions
    assert not any(isinstance(step, Loop) for step in steps)
    alone = [some(a, b) for a, b in zip(n, x, strict=True)]
    for number, found in enumerate(jitml.jit(jitml.vmap(some))(n, x)):
        wanted = np.stack([np.asarray(results[number]) for results in alone])
        assert np.asarray(found).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("length", [1, 2, 5, 31, 33])
def test_a_short_map_of_loops_writes_its_elements_alone(length: int) -> None:
    n, x = COUNTS[:length], np.linspace(-1, 1, length, dtype=np.float32)
    counts, _, signs = jitml.jit(jitml.vmap(powers, in_axes=(0, 0, None)))(n, x, 0.75)
    np.testing.assert_array_equal(counts, n)
    np.testing.assert_array_equal(signs, (x > 0) ^ (n % 2 == 1))


def run_on(graph: Any, arguments: list[Any], threads: int) -> Any:
    with jitml.num_threads(threads):
        return compile_graph(graph).run(arguments)


def test_a_map_of_loops_that_check_goes_one_by_one() -> None:
    f = jitml.vmap(
        lambda n, x: lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, x[s[0]]), (0, x[0])),
        in_axes=(0, None),
    )
    with pytest.raises(OutOfBoundsError, match=r"index 37 .* in lane 1, at loop step 37\)"):
        jitml.jit(f)(np.array([3, 90, 2, 80]), X)


def test_an_endless_loop_of_a_map_is_interrupted() -> None:
    f = jitml.jit(jitml.vmap(lambda x: lax.while_loop(lambda v: v != 3, lambda v: v + x, x * 0)))
    np.testing.assert_array_equal(f(np.array([1, 3, 1])), [3, 3, 3])
    timer = threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,))
    start = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        f(np.array([1, 0, 1]))
    assert time.monotonic() - start < 2


def test_what_does_not_wait_for_the_step_before_comes_first() -> None:
    """A comparison of the state, of which LLVM may make a jump, stands behind what does not."""

    def least(above: Any, letters: Any) -> Any:
        def step(left: Any, x: Any) -> Any:
            up, letter = x
            best = jnp.minimum(jnp.minimum(left, up) + 1, (letter != 3) * 5)
            return best, best

        return lax.scan(step, jnp.int32(0), (above, letters))[1]

    x = np.arange(40, dtype=np.int32)
    graph = jitml.make_graph(least)(x, x % 4)
    (code,) = (k for k in lower(graph, host()).kernels if "%state0 = phi" in k.text)
    steps = code.text.partition("body:")[2]
    assert steps.index("icmp ne") < steps.index("%state0")
