"""Maps of loops whose elements make their steps together: the same bits as one by one, and no step
of an element that has ended.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import errors, jit, lax, vmap
from jitml.ir.graph import Graph
from jitml.ir.nested import nested_graphs
from jitml.ops.while_loop import While
from jitml.pipeline.passes import run_all

module = sys.modules["jitml.transforms.in_step"]
RNG = np.random.default_rng(7)
TABLE = jnp.asarray(RNG.uniform(-1, 1, (3, 3)).astype(np.float32))


def integrated(y: Any, rate: Any) -> Any:
    """Heun's method with a step size of its own for each element."""

    def body(s: Any) -> Any:
        t, y, h, count = s
        a = jnp.stack([y[1], rate * (1 - y[0] ** 2) * y[1] - y[0]])
        b = jnp.stack([y[1] + h * a[1], -y[0] - h * a[0]])
        error = jnp.linalg.norm(h * (a - b)) / 1e-2
        accepted = error <= 1
        h = h * jnp.clip(0.9 * error**-0.5, 0.2, 5.0)
        return jnp.where(accepted, t + h, t), jnp.where(accepted, y + h * a, y), h, count + 1

    start = (y[0] * 0, y, y[0] * 0 + 0.1, 0)
    return lax.while_loop(lambda s: (s[0] < 1) & (s[3] < 60), body, start)


def powered(x: Any, least: Any) -> Any:
    """A matrix that is the same for all; elements whose norm is small make no step."""
    norm = lambda v: jnp.sqrt((v * v).sum())  # noqa: E731
    return lax.while_loop(lambda v: norm(v) > least, lambda v: 0.9 * (TABLE @ v), x)


def halved(m: Any, least: Any) -> Any:
    """Two results of different ranks, one of them in no need of a map."""
    body = lambda s: (s[0] / 2, s[1] + 1, s[2])  # noqa: E731
    return lax.while_loop(lambda s: s[0].max() > least, body, (m, 0, TABLE))


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "integrated": (integrated, (2,)),
    "powered": (powered, (3,)),
    "halved": (halved, (2, 2)),
}


def arrays(shape: tuple[int, ...], size: int, dtype: str) -> list[Any]:
    x = RNG.uniform(-1, 1, (size, *shape))
    x[size // 2] = np.nan
    return [jnp.asarray(x.astype(dtype)), jnp.asarray(RNG.uniform(0.1, 1, size).astype(dtype))]


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jitml.tree.leaves(tree)]


def whole_blocks(graph: Graph) -> int:
    """How many loops go on as long as any element of a block does."""
    asked = [e.op.condition for e in graph.eqns if isinstance(e.op, While)]
    own = sum(any(e.op.name == "reduce_or" for e in condition.eqns) for condition in asked)
    return own + sum(whole_blocks(g) for e in graph.eqns for g in nested_graphs(e.op))


@pytest.mark.parametrize("size", [1, 7, 8, 13, 64, 700])
@pytest.mark.parametrize("name", PROGRAMS)
def test_bits_are_those_of_one_by_one(
    name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, shape = PROGRAMS[name]
    for dtype in ("float32", "float64"):
        given = arrays(shape, size, dtype)
        together = bits(jit(vmap(program))(*given))
        graph = run_all(jitml.make_graph(vmap(program))(*given))
        assert bool(whole_blocks(graph)) == (size >= 8)
        with monkeypatch.context() as patch:
            patch.setattr(module, "_block_size", lambda eqn: 0)
            alone = bits(jit(lambda *xs: vmap(program)(*xs))(*given))
        assert together == alone


def test_an_element_alone_gives_the_same() -> None:
    given = arrays((2,), 40, "float32")
    mapped = jit(vmap(integrated))(*given)
    for lane in (0, 5, 20, 39):
        alone = jit(integrated)(*[x[lane] for x in given])
        assert bits(alone) == bits([x[lane] for x in mapped])


def test_blocks_are_small_where_a_step_is_much_work() -> None:
    """A step of many elements together would not be cheaper than their steps one by one."""

    def squared(m: Any) -> Any:
        return lax.while_loop(lambda v: v.max() > 1e-3, lambda v: 0.5 * (v @ v), m)

    def loops(size: int) -> int:
        given = jnp.ones((20, size, size)) / size
        return whole_blocks(run_all(jitml.make_graph(vmap(squared))(given)))

    assert loops(4) == 1
    assert loops(60) == 0


def test_scalars_are_left_to_their_own_kernel() -> None:
    root = vmap(lambda a: lax.while_loop(lambda x: x * x > a, lambda x: 0.9 * x, a))
    assert not whole_blocks(run_all(jitml.make_graph(root)(jnp.ones(100))))


def test_steps_of_elements_that_have_ended_check_nothing() -> None:
    """Each element ends before the index at which its read would fail."""

    def body(s: Any) -> Any:
        number, total = s
        return number + 1, total + TABLE[number]

    def added(start: Any) -> Any:
        return lax.while_loop(lambda s: s[0] < 3, body, (start, jnp.zeros(3)))

    starts = jnp.arange(20) % 4
    np.testing.assert_allclose(jit(vmap(added))(starts)[1][3], 0)
    with pytest.raises(errors.OutOfBoundsError):
        jit(vmap(lambda k: lax.while_loop(lambda s: s[0] < 9, body, (k, jnp.zeros(3)))))(starts)


def test_a_map_that_gives_more_than_its_loop_leaves() -> None:
    """What it is given, too: such a map stays as it is."""

    def grown(x: Any) -> Any:
        found = lax.while_loop(lambda c: c[1].sum() < 5.0, lambda c: (c[0] + 1, c[1] * 1.5), (0, x))
        return x, *found

    rows = np.abs(np.random.default_rng(0).normal(size=(300, 6))).astype(np.float32) + 0.1
    kept, counts, last = jit(lambda rows: lax.map(grown, rows))(rows)
    assert np.array_equal(kept, rows)
    expected = [(r * np.float32(1.5) ** n).sum() for r, n in zip(rows, counts, strict=True)]
    np.testing.assert_allclose(np.asarray(last).sum(1), expected, rtol=1e-5)
    assert (np.asarray(last).sum(1) >= 5).all()
