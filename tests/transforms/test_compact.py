"""Branches of the elements of a map, computed for many elements at a time: the same bits as one by
one, for the work of those that take the branch, with the checks of those alone.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import errors, grad, jit, jvp, lax, vmap
from jitml.ir.graph import Graph
from jitml.ir.nested import nested_graphs
from jitml.ops import control
from jitml.ops.while_loop import Lanes
from jitml.pipeline.passes import run_all

compaction = sys.modules["jitml.transforms.compact"]
SIZE = 2000
RNG = np.random.default_rng(5)
TAKES = jnp.asarray(RNG.random(SIZE) < 0.2)
KINDS = jnp.asarray(RNG.integers(-1, 5, SIZE).astype(np.int32))
X = jnp.asarray(RNG.uniform(-1, 1, SIZE).astype(np.float32))
ROWS = jnp.asarray(RNG.uniform(-1, 1, (SIZE, 6)).astype(np.float32))
TABLE = jnp.asarray(RNG.uniform(-1, 1, 10).astype(np.float32))


def dear(x: Any, *more: Any) -> Any:
    for k in range(12):
        x = jnp.sin(x) + 0.1 * k
    return x + sum(more)


def softmax(row: Any) -> Any:
    e = jnp.exp(row - row.max())
    return e / e.sum()


def looping(x: Any) -> Any:
    return lax.while_loop(lambda v: v < 5, lambda v: v * 1.5 + 0.1, jnp.abs(x))


def mapped(*branches: Callable[..., Any]) -> Callable[..., Any]:
    """The map of a conditional between two branches, or of a switch."""
    if len(branches) == 2:
        return vmap(lambda p, *xs: lax.cond(p, *branches, *xs))
    return vmap(lambda k, *xs: lax.switch(k, branches, *xs))


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "cheap_or_dear": (mapped(dear, lambda x: x + 1), (TAKES, X)),
    "dear_or_dear": (mapped(dear, lambda x: dear(-x) * 2), (TAKES, X)),
    "rows": (mapped(softmax, lambda r: r), (TAKES, ROWS)),
    "two_results": (mapped(lambda x: (dear(x), 1), lambda x: (x, 0)), (TAKES, X)),
    "looked_up": (mapped(lambda x: TABLE[jnp.int32(x * 4)], lambda x: 0 * x), (TAKES, abs(X))),
    "switch": (
        mapped(dear, lambda x: x, looping, lambda x: TABLE[3] * x, lambda x: x * 2),
        (KINDS, X),
    ),
    "loop": (mapped(looping, lambda x: x), (TAKES, X)),
    "no_cheap_one": (mapped(looping, dear), (TAKES, X)),
    "products": (
        mapped(lambda r: jnp.outer(r, r) @ r, lambda r: r * 2),
        (TAKES, ROWS),
    ),
    "shared": (
        lambda p, x, t: vmap(lambda p, x: lax.cond(p, dear, lambda x, _: x, x, t[2]))(p, x),
        (TAKES, X, TABLE),
    ),
    "nested": (
        mapped(lambda x: lax.cond(x > 0, dear, looping, x), lambda x: x),
        (TAKES, X),
    ),
    "a_map": (
        lambda p, x: lax.map(lambda c: lax.cond(c[0], dear, lambda x: x, c[1] * 2) + 1, (p, x)),
        (TAKES, X),
    ),
    "gradient": (
        grad(lambda x, p: mapped(dear, lambda x: x * x)(p, x).sum()),
        (X, TAKES),
    ),
    "gradient_of_shared": (
        grad(lambda t, p, x: vmap(lambda p, x: lax.cond(p, dear, dear, x, t[2]))(p, x).sum()),
        (TABLE, TAKES, X),
    ),
    "tangent": (lambda p, x: jvp(lambda x: mapped(softmax, lambda r: r)(p, x), (x,), (x,)),
                (TAKES, ROWS)),
    "twice_mapped": (
        lambda p, x: vmap(lambda s: mapped(dear, lambda x: x)(p, x * s))(jnp.arange(3.0)),
        (TAKES, X),
    ),
}  # fmt: skip


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """What makes elements go one by one from here on."""
    monkeypatch.setenv("JITML_CACHE", "0")

    def change() -> None:
        monkeypatch.setattr(compaction, "_LEAST_NS", 1 << 60)
        jitml.clear_caches()

    yield change
    monkeypatch.undo()
    jitml.clear_caches()


def leaves(tree: Any) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(x) for x in jitml.tree.leaves(tree)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_bits_are_those_of_one_by_one(name: str, one_by_one: Callable[[], None]) -> None:
    f, arguments = PROGRAMS[name]
    found = leaves(jit(f)(*arguments))
    one_by_one()
    for x, y in zip(found, leaves(jit(f)(*arguments)), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def counts(graph: Graph) -> Counter[str]:
    """How many of each op there are, also inside."""
    found = Counter(eqn.op.name for eqn in graph.eqns)
    for eqn in graph.eqns:
        for inner in nested_graphs(eqn.op):
            found += counts(inner)
    return found


def passed(f: Callable[..., Any], *arguments: Any) -> Graph:
    return run_all(jitml.make_graph(f)(*arguments))


def test_cheap_branches_are_computed_for_all() -> None:
    graph = passed(mapped(lambda x: jnp.sin(x) * 2 + 1, lambda x: x * x - 3), TAKES, X)
    assert not {"lanes", "scan", "cond"} & set(counts(graph))


def test_one_dear_branch_makes_one_loop() -> None:
    graph = passed(mapped(dear, lambda x: x + 1), TAKES, X)
    found = counts(graph)
    assert (found["lanes"], found["scan"], found["cond"]) == (1, 0, 0)


def test_very_dear_branches_stay_apart() -> None:
    square = jnp.ones((20, 64, 64))

    def chain(x: Any) -> Any:
        return x @ x @ x @ x

    found = counts(passed(mapped(chain, lambda x: x), TAKES[:20], square))
    assert (found["lanes"], found["scan"], found["cond"]) == (0, 1, 1)


def test_few_elements_stay_apart() -> None:
    found = counts(passed(mapped(dear, lambda x: x + 1), TAKES[:100], X[:100]))
    assert (found["lanes"], found["scan"], found["cond"]) == (0, 1, 1)


def test_the_derivative_of_a_map_is_one_too() -> None:
    f = mapped(dear, lambda x: x * x)
    for g in (grad(lambda x, p: f(p, x).sum()), lambda x, p: jvp(lambda x: f(p, x), (x,), (x,))):
        found = counts(passed(g, X, TAKES))
        assert found["lanes"] >= 1
        assert (found["scan"], found["cond"]) == (0, 0)


@pytest.mark.parametrize("taken", [0, 1, 3, SIZE])
def test_work_is_that_of_the_elements_that_take_the_branch(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted by the meaning of the program in NumPy: a dear branch runs in as few blocks as hold
    those that take it.
    """
    graph = passed(mapped(dear, lambda x: x + 1), TAKES, X)
    (loop,) = [eqn.op for eqn in graph.eqns if isinstance(eqn.op, Lanes)]
    block = next(v.type.shape[0] for e in loop.body.eqns if e.op.name == "sin" for v in e.outputs)
    takes = np.zeros(SIZE, bool)
    takes[RNG.permutation(SIZE)[:taken]] = True
    steps = []
    plain = control.evaluate

    def counting(graph: Graph, arrays: Any) -> Any:
        steps.append(graph is loop.body)
        return plain(graph, arrays)

    monkeypatch.setattr("jitml.ops.while_loop.evaluate", counting)
    (found,) = plain(graph, [takes, np.asarray(X)])
    assert sum(steps) == -(-taken // block)
    assert block <= 512
    wanted = np.where(takes, np.asarray(dear(X)), np.asarray(X) + 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_untaken_branches_check_nothing() -> None:
    f = jit(mapped(lambda i: TABLE[i] * 2, lambda i: 0.0 * i))
    i = jnp.arange(SIZE)
    wanted = np.where(np.arange(SIZE) < 10, np.asarray(TABLE)[np.arange(SIZE) % 10] * 2, 0)
    np.testing.assert_array_equal(np.asarray(f(i < 10, i)), wanted)
    np.testing.assert_array_equal(np.asarray(f(i < 0, i)), np.zeros(SIZE))
    with pytest.raises(errors.OutOfBoundsError, match="index 10 is out of bounds") as caught:
        f(i < 11, i)
    assert "test_compact.py" in str(caught.value)
    assert "at element" not in str(caught.value)


def test_it_shows_in_explanations() -> None:
    text = jitml.explain(mapped(dear, lambda x: x), TAKES, X)
    assert "dear.lanes" in text
    assert "\n" in text.partition(" lanes ")[2]
