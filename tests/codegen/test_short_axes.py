"""Short axes along which values are put together: written position by position, the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.codegen import build, memory
from jitml.codegen.plan import Program
from jitml.ir.graph import Graph
from jitml.pipeline.compile import Compiled, lower_graph


def slopes(s: Any) -> Any:
    x, y, z = s[..., 0], s[..., 1], s[..., 2]
    return jnp.stack([y - x, x * (2 - z) - y, x * y - z], -1)


def runge_kutta(s: Any) -> Any:
    a = slopes(s)
    b = slopes(s + a * s.dtype.type(0.5))
    return s + a + b * slopes(s + b)


def planes(s: Any) -> Any:
    s = jnp.moveaxis(s, -1, 0)
    return jnp.concatenate([s[1:] * s[:1], s[:2] + s[1:]])


def turned(s: Any) -> Any:
    return jnp.roll(s, 1, -1) * s - jnp.pad(s[..., :2], ((0, 0), (1, 0)))


def in_steps(s: Any) -> Any:
    return lax.fori_loop(0, 3, lambda _, x: slopes(x) * x.dtype.type(0.5), s)


def columns(s: Any) -> Any:
    """Read to the end of rows, or not."""
    return jnp.stack([s[:, 0] * s[:, 2], s[:, 1]]), s[:, 1] + 1


PROGRAMS = [slopes, runge_kutta, planes, turned, in_steps, columns]


def programs(
    function: Callable[..., Any], x: Any, monkeypatch: pytest.MonkeyPatch
) -> tuple[Graph, tuple[Program, Program]]:
    """With short axes written position by position, and without."""
    graph = jitml.make_graph(function)(x)
    apart = lower_graph(graph)
    monkeypatch.setattr(build, "MOST_UNROLLED", 0)
    monkeypatch.setattr(memory, "MOST_COLUMNS", 0)
    together = lower_graph(graph)
    monkeypatch.undo()
    return graph, (apart, together)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64", "int8"])
@pytest.mark.parametrize("function", PROGRAMS)
def test_no_bit_depends_on_how_short_axes_are_written(
    function: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(5)
    for length in (1, 7, 150):
        x = jnp.asarray(random.uniform(-3, 3, (length, 3))).astype(dtype)
        graph, (apart, together) = programs(function, x, monkeypatch)
        outputs = (Compiled(graph, program).run([x]) for program in (apart, together))
        for one, other in zip(*outputs, strict=True):
            assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_steps_of_short_vectors_are_one_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    _, (apart, together) = programs(runge_kutta, np.ones((1000, 3), np.float32), monkeypatch)
    assert len(apart.plan.instructions) == 1 < len(together.plan.instructions)
    assert "masked" not in apart.kernels[0].text and "masked" in together.kernels[-1].text


def test_nine_directions_are_moved_one_by_one() -> None:
    """Those of a lattice in the plane: each is one kernel, which knows what it reads."""

    def moved(f: Any) -> Any:
        for q in range(9):
            f = f.at[:, q].set(jnp.roll(f[:, q], q - 4))
        return f

    program = lower_graph(jitml.make_graph(moved)(np.ones((5000, 9), np.float32)))
    assert len(program.plan.instructions) == 9


def test_long_axes_are_not_unrolled() -> None:
    x = np.ones((10, 50), np.float32)
    program = lower_graph(jitml.make_graph(lambda x: jnp.concatenate([x[1:], x[:1]]))(x))
    (kernel,) = program.kernels
    assert kernel.text.count("store") <= 9 < build.MOST_UNROLLED + 2


def test_a_wide_load_does_not_go_beyond_the_array() -> None:
    """Every third element, but not the last ones: rows that end early are read one by one."""
    x = jnp.arange(3 * 64 + 1, dtype="float32")
    program = lower_graph(jitml.make_graph(lambda x: x[::3] + 1)(x))
    assert "<48 x" not in program.kernels[0].text and "<24 x" not in program.kernels[0].text
    np.testing.assert_array_equal(jitml.jit(lambda x: x[::3] + 1)(x), np.arange(0, 193, 3) + 1)
