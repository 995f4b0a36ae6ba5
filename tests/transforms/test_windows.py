"""Maps of loops whose steps multiply by matrices: a window of elements makes steps together, each
element its own number, and none depends on another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import errors, jit, jvp, lax, vmap
from jitml.ir.graph import Graph
from jitml.ops import control
from jitml.ops.while_loop import Lanes
from jitml.pipeline.passes import run_all

SIZE = 200
RNG = np.random.default_rng(11)
COUNTS = RNG.integers(0, 40, SIZE).astype(np.int32)
STATES = RNG.uniform(-1, 1, (SIZE, 32))
MATRIX = RNG.normal(size=(32, 32)) * 0.15
Loop = Callable[..., Any]


def products(n: Any, x: Any, a: Any) -> Any:
    return lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, jnp.tanh(a @ c[1])), (0, x))


def products_in_numpy(n: int, x: Any, a: Any) -> Any:
    for _ in range(n):
        x = np.tanh(a @ x)
    return n, x


def converging(n: Any, x: Any, a: Any) -> Any:
    """Ends where the state says so; what it returns first is not read by the loop."""

    def step(c: Any) -> Any:
        x, _ = c
        y = 0.5 * (a @ x) + x[0] * 0.1
        return y, jnp.abs(y - x).max()

    y, change = lax.while_loop(lambda c: c[1] > 1e-6 * (n + 1), step, (x, x[0] * 0 + 1))
    return change, y


def converging_in_numpy(n: int, x: Any, a: Any) -> Any:
    change = 1.0
    while change > 1e-6 * (n + 1):
        y = 0.5 * (a @ x) + x[0] * 0.1
        x, change = y, np.abs(y - x).max()
    return change, x


PROGRAMS: list[tuple[Loop, Loop]] = [
    (products, products_in_numpy),
    (converging, converging_in_numpy),
]


def mapped(f: Loop, *, own_matrix: bool = False) -> Loop:
    return vmap(f, in_axes=(0, 0, 0 if own_matrix else None))


@pytest.mark.parametrize("own_matrix", [False, True])
@pytest.mark.parametrize(("program", "plain"), PROGRAMS)
def test_values(program: Loop, plain: Loop, own_matrix: bool) -> None:
    a = np.stack([MATRIX * (1 - k / SIZE) for k in range(SIZE)]) if own_matrix else MATRIX
    with jitml.enable_x64():
        found = jit(mapped(program, own_matrix=own_matrix))(COUNTS, STATES, a)
    rows = [plain(COUNTS[k], STATES[k], a[k] if own_matrix else a) for k in range(SIZE)]
    for got, column in zip(found, zip(*rows, strict=True), strict=True):
        np.testing.assert_allclose(got, np.stack(column), rtol=1e-9, atol=1e-12)


def window_of(graph: Graph) -> Any:
    """The loop that moves elements through the window, and the one inside, of their steps."""
    (outer,) = [eqn.op for eqn in graph.eqns if isinstance(eqn.op, Lanes)]
    (inner,) = [eqn.op for eqn in outer.body.eqns if eqn.op.name == "while"]
    return outer, inner


def test_an_element_does_not_depend_on_the_others() -> None:
    f = jit(mapped(products))
    x = STATES.astype(np.float32)
    found = [np.asarray(y) for y in f(COUNTS, x, MATRIX.astype(np.float32))]
    order = RNG.permutation(SIZE)
    counts = COUNTS[order]
    counts[: SIZE // 2] += 3  # these elements take longer, the others the same time
    shuffled = [np.asarray(y) for y in f(counts, x[order], MATRIX.astype(np.float32))]
    for a, b in zip(found, shuffled, strict=True):
        np.testing.assert_array_equal(a[order][SIZE // 2 :], b[SIZE // 2 :])


@pytest.mark.parametrize("longest", [0, 1, 60])
def test_work_is_that_of_the_elements(longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted by the meaning of the program in NumPy."""
    graph = run_all(jitml.make_graph(mapped(products))(COUNTS, STATES, MATRIX))
    _, inner = window_of(graph)
    size = inner.body.outputs[-1].type.shape[0]
    counts = RNG.integers(0, longest + 1, SIZE).astype(np.int32)
    counts[SIZE // 2] = longest
    steps = 0
    plain = control.evaluate

    def counting(graph: Graph, arrays: Any) -> Any:
        nonlocal steps
        steps += graph is inner.body
        return plain(graph, arrays)

    monkeypatch.setattr("jitml.ops.while_loop.evaluate", counting)
    found, states = plain(graph, [counts, STATES.astype(np.float32), MATRIX.astype(np.float32)])
    np.testing.assert_array_equal(found, counts)
    assert 4 <= size <= SIZE // 16
    assert counts.sum() <= steps * size <= counts.sum() + size * longest
    wanted = [products_in_numpy(n, x, MATRIX)[1] for n, x in zip(counts, STATES, strict=True)]
    np.testing.assert_allclose(states, wanted, rtol=1e-3, atol=1e-4)


def test_nothing_is_checked_for_an_element_that_has_ended() -> None:
    table = jnp.arange(40.0)

    def f(n: Any, x: Any, a: Any) -> Any:
        def step(c: Any) -> Any:
            return c[0] + 1, jnp.tanh(a @ c[1]) + table[c[0]]

        return lax.while_loop(lambda c: c[0] < n, step, (0, x))

    compiled = jit(mapped(f))
    counts, x = np.where(COUNTS < 3, 40, COUNTS).astype(np.int32), STATES.astype(np.float32)
    np.testing.assert_array_equal(compiled(counts, x, MATRIX.astype(np.float32))[0], counts)
    counts[7] = 41
    with pytest.raises(errors.OutOfBoundsError, match=r"index 40 .* \(in an element of a map") as e:
        compiled(counts, x, MATRIX.astype(np.float32))
    assert "test_windows.py" in str(e.value)


def test_which_loops_go_in_windows() -> None:
    def ops(f: Loop, *arguments: Any) -> set[str]:
        return {eqn.op.name for eqn in run_all(jitml.make_graph(f)(*arguments)).eqns}

    few = (COUNTS[:20], STATES[:20], MATRIX)
    assert "lanes" in ops(mapped(products), COUNTS, STATES, MATRIX)
    assert "scan" in ops(mapped(products), *few)
    assert "scan" in ops(mapped(products), COUNTS, STATES[:, :4], MATRIX[:4, :4])
    scaled = vmap(lambda n, x: lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, c[1] * 2),
                                              (0, x)))  # fmt: skip
    assert "scan" in ops(scaled, COUNTS, STATES)


def test_derivatives() -> None:
    with jitml.enable_x64():
        f = mapped(products)
        along = np.cos(STATES)
        _, slopes = jvp(lambda x: f(COUNTS, x, MATRIX)[1], (STATES,), (along,))
        ends = [f(COUNTS, STATES + e * along, MATRIX)[1] for e in (1e-6, -1e-6)]
        wanted = (np.asarray(ends[0]) - np.asarray(ends[1])) / 2e-6
        np.testing.assert_allclose(slopes, wanted, rtol=1e-6, atol=1e-8)
        gradient = jitml.grad(lambda x: f(COUNTS, x, MATRIX)[1].sum())(jnp.asarray(STATES))
        assert float((gradient * along).sum()) == pytest.approx(wanted.sum(), rel=1e-6)
