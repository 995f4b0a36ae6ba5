"""Loops that update what they carry do so in place: the bytes that a step copies do not grow with
the arrays, and the results are those of copies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.codegen.target import host
from jitml.pipeline.lowering import lower
from jitml_runtime import Copy, Instruction, Loop

SIZE = 300
X = np.random.default_rng(7).uniform(0.5, 1.5, SIZE).astype(np.float32)


def doubled(x: Any) -> Any:
    return lax.fori_loop(0, SIZE, lambda i, c: c.at[i].set(x[i] * 2), jnp.zeros(SIZE))


def doubled_in_numpy(x: Any) -> Any:
    return x * 2


def recurrence(x: Any) -> Any:
    return lax.fori_loop(2, SIZE, lambda i, c: c.at[i].set(c[i - 1] * 0.5 + c[i - 2] * 0.25), x)


def recurrence_in_numpy(x: Any) -> Any:
    c = x.copy()
    for i in range(2, SIZE):
        c[i] = c[i - 1] * np.float32(0.5) + c[i - 2] * np.float32(0.25)
    return c


def reversed_by_swaps(x: Any) -> Any:
    def swap(i: Any, c: Any) -> Any:
        a, b = c[i], c[SIZE - 1 - i]
        return c.at[i].set(b).at[SIZE - 1 - i].set(a)

    return lax.fori_loop(0, SIZE // 2, swap, x)


def insertion_sort(x: Any) -> Any:
    def outer(i: Any, x: Any) -> Any:
        def goes_on(s: Any) -> Any:
            return lax.cond(s[0] > 0, lambda: s[1][s[0] - 1] > s[1][s[0]], lambda: False)

        def swap(s: Any) -> Any:
            j, x = s
            a, b = x[j - 1], x[j]
            return j - 1, x.at[j - 1].set(b).at[j].set(a)

        return lax.while_loop(goes_on, swap, (i, x))[1]

    return lax.fori_loop(1, SIZE, outer, x)


def some(x: Any) -> Any:
    def step(c: Any, i: Any) -> Any:
        c = lax.cond(x[i] > 1, lambda c: c.at[i].add(c[i - 1]), lambda c: c, c)
        return c, c[i]

    return lax.scan(step, x, jnp.arange(SIZE))


def some_in_numpy(x: Any) -> Any:
    c, ys = x.copy(), x.copy()
    for i in range(SIZE):
        if x[i] > 1:
            c[i] += c[i - 1]
        ys[i] = c[i]
    return c, ys


def blocks(x: Any) -> Any:
    def step(i: Any, c: Any) -> Any:
        block = lax.dynamic_slice(c, (i,), (3,))
        return lax.dynamic_update_slice(c, block * 0.5 + x[i], (i + 1,))

    return lax.fori_loop(0, SIZE - 4, step, x)


def blocks_in_numpy(x: Any) -> Any:
    c = x.copy()
    for i in range(SIZE - 4):
        c[i + 1 : i + 4] = c[i : i + 3] * np.float32(0.5) + x[i]
    return c


def some_blocks(x: Any) -> Any:
    def step(i: Any, c: Any) -> Any:
        row = jnp.full(2, x[i])
        return lax.cond(x[i] > 1, lambda c: lax.dynamic_update_slice(c, row, (i,)), lambda c: c, c)

    return lax.fori_loop(0, SIZE - 1, step, x)


def some_blocks_in_numpy(x: Any) -> Any:
    c = x.copy()
    for i in range(SIZE - 1):
        if x[i] > 1:
            c[i : i + 2] = x[i]
    return c


IN_PLACE: list[tuple[Callable[[Any], Any], Callable[[Any], Any]]] = [
    (doubled, doubled_in_numpy),
    (recurrence, recurrence_in_numpy),
    (reversed_by_swaps, lambda x: x[::-1]),
    (insertion_sort, np.sort),
    (some, some_in_numpy),
    (blocks, blocks_in_numpy),
    (some_blocks, some_blocks_in_numpy),
]


def copied_in_loops(function: Callable[[Any], Any]) -> int:
    """The most bytes that a copy inside of a loop of the compiled function moves."""
    plan = lower(jitml.make_graph(function)(X), host()).plan
    steps = plan.instructions
    inside = {n for k, s in enumerate(steps) if isinstance(s, Loop) for n in range(k + 1, s.end)}
    copies = [s for n, s in enumerate(steps) if n in inside and isinstance(s, Copy)]
    return max([plan.buffers[s.target].size_bytes for s in copies], default=0)


@pytest.mark.parametrize(("function", "wanted"), IN_PLACE)
def test_updates_are_made_in_place(
    function: Callable[[Any], Any], wanted: Callable[[Any], Any]
) -> None:
    assert copied_in_loops(function) <= 8
    found = jitml.tree.leaves(jitml.jit(function)(X))
    expected = wanted(X)
    for got, want in zip(found, expected if len(found) > 1 else [expected], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def shifted(x: Any) -> Any:
    """Reads what it overwrites: a copy is needed."""
    return lax.fori_loop(0, 3, lambda i, c: c.at[1:].set(c[:-1] * 0.5), x)


def shifted_in_numpy(x: Any) -> Any:
    for _ in range(3):
        x = np.concatenate([x[:1], x[:-1] * np.float32(0.5)])
    return x


def remembered(x: Any) -> Any:
    """The old carry is stacked: it must not be overwritten first."""
    return lax.scan(lambda c, i: (c.at[i].set(-1), c), x, jnp.arange(3))


def remembered_in_numpy(x: Any) -> Any:
    rows = [np.where(np.arange(SIZE) < k, -1, x) for k in range(4)]
    return rows[3], np.stack(rows[:3])


def late(x: Any) -> Any:
    """Reads the old carry at a place that the new one gives."""

    def step(c: Any, i: Any) -> Any:
        new = c.at[i].set(c[i] * 2)
        return new, c[jnp.int32(new[i]) - 1]

    return lax.scan(step, x, jnp.arange(SIZE))


def late_in_numpy(x: Any) -> Any:
    c, ys = x.copy(), x.copy()
    for i in range(SIZE):
        old = c.copy()
        c[i] *= 2
        ys[i] = old[int(c[i]) - 1]
    return c, ys


def passed_on(x: Any) -> Any:
    """An inner loop passes the carry on, which is overwritten while that is still needed."""

    def step(c: Any, i: Any) -> Any:
        (same, total), _ = lax.scan(lambda s, _: ((s[0], s[1] + s[0][i]), None), (c, 0.0), None, 2)
        return c.at[i].set(total), same.sum()

    return lax.scan(step, x, jnp.arange(5))


def passed_on_in_numpy(x: Any) -> Any:
    c, ys = x.copy(), []
    for i in range(5):
        ys.append(c.sum())
        c[i] *= 2
    return c, np.array(ys)


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (shifted, shifted_in_numpy),
        (remembered, remembered_in_numpy),
        (late, late_in_numpy),
        (passed_on, passed_on_in_numpy),
    ],
)
def test_nothing_is_overwritten_that_is_still_needed(
    function: Callable[[Any], Any], wanted: Callable[[Any], Any]
) -> None:
    found = jitml.tree.leaves(jitml.jit(function)(X))
    expected = wanted(X)
    for got, want in zip(found, expected if len(found) > 1 else [expected], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)


def test_updates_in_place_under_vmap_and_grad() -> None:
    def total(x: Any) -> Any:
        return (recurrence(x) * x).sum()

    rows = np.stack([X, X[::-1], X * 0.5])
    found = jitml.jit(jitml.vmap(total))(rows)
    wanted = [(recurrence_in_numpy(row) * row).sum() for row in rows]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert copied_in_loops(jitml.vmap(recurrence, axis_size=3, in_axes=None)) <= 8
    gradient = jitml.jit(jitml.grad(total))(X)
    step = np.zeros_like(X)
    step[5] = 0.01
    difference = (total(X + step) - total(X - step)) / 0.02
    np.testing.assert_allclose(gradient[5], difference, rtol=2e-2)


# ---- gradients -----------------------------------------------------------------------------------


def of_elements(x: Any) -> Any:
    return lax.fori_loop(0, SIZE, lambda i, s: s + jnp.sin(x[i]) * x[SIZE - 1 - i], 0.0)


def of_blocks(x: Any) -> Any:
    def step(i: Any, s: Any) -> Any:
        return s + jnp.sin(lax.dynamic_slice(x, (i,), (4,))).sum() * x[3]

    return lax.fori_loop(0, SIZE - 4, step, 0.0)


def of_rows(x: Any) -> Any:
    table = x.reshape(-1, 3)
    return lax.scan(lambda s, i: (s + (table[i] ** 2).sum(), None), 0.0, jnp.arange(SIZE // 3))[0]


def of_updated_blocks(x: Any) -> Any:
    return blocks(x).sum()


@pytest.mark.parametrize("function", [of_elements, of_blocks, of_rows, of_updated_blocks])
def test_a_step_of_a_gradient_touches_what_a_step_of_the_loop_does(
    function: Callable[[Any], Any],
) -> None:
    gradient = jitml.grad(function)
    assert copied_in_loops(gradient) <= 16
    steps = lower(jitml.make_graph(gradient)(X), host()).plan.instructions
    inside = {n for k, s in enumerate(steps) if isinstance(s, Loop) for n in range(k + 1, s.end)}
    extents = [s.extent for n, s in enumerate(steps) if n in inside and isinstance(s, Instruction)]
    assert max(extents, default=0) <= 8
    with jitml.enable_x64():
        x, along = X.astype(np.float64), np.cos(np.arange(SIZE))
        found = float(np.asarray(gradient(x)) @ along)
        ends = [float(function(jnp.asarray(x + e * along))) for e in (1e-6, -1e-6)]
    assert found == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6)


def test_an_update_of_most_of_what_is_read_stays_in_one_kernel() -> None:
    def smoothed(x: Any) -> Any:
        return lax.fori_loop(0, 9, lambda _, a: a.at[1:-1].set((a[:-2] + a[2:]) * 0.5), x)

    steps = lower(jitml.make_graph(smoothed)(X), host()).plan.instructions
    inside = {n for k, s in enumerate(steps) if isinstance(s, Loop) for n in range(k + 1, s.end)}
    assert [steps[n].label for n in sorted(inside)] == ["dynamic_update_slice"]


def bordered(x: Any) -> Any:
    """Most of it is new at each step; then its ends are made of their neighbours."""

    def step(_: Any, a: Any) -> Any:
        a = a.at[1:-1].set((a[:-2] + a[2:]) * 0.5)
        a = a.at[0].add(a[1])
        return a.at[-1].set(a[-2] * a[0])

    return lax.fori_loop(0, 4, step, x)


def bordered_in_numpy(x: Any) -> Any:
    for _ in range(4):
        x = np.concatenate([x[:1], (x[:-2] + x[2:]) * np.float32(0.5), x[-1:]])
        x[0] += x[1]
        x[-1] = x[-2] * x[0]
    return x


def two_ends(x: Any) -> Any:
    """Two carries and what is stacked are made of the same new array, which is stacked as well."""

    def step(state: Any, k: Any) -> Any:
        a, b = state
        new = a.at[1:-1].set(a[1:-1] * 0.5 + b[1:-1])
        first, second = new.at[k].add(new[2]), new.at[3].add(new[k])
        return (first, second), (new.at[4].add(new[5]), new)

    return lax.scan(step, (x, x * 2), jnp.arange(3))


def two_ends_in_numpy(x: Any) -> Any:
    a, b, ys, zs = x, x * 2, [], []
    for k in range(3):
        new = np.concatenate([a[:1], a[1:-1] * np.float32(0.5) + b[1:-1], a[-1:]])
        a, b, y = new.copy(), new.copy(), new.copy()
        a[k] += new[2]
        b[3] += new[k]
        y[4] += new[5]
        ys.append(y)
        zs.append(new)
    return a, b, np.stack(ys), np.stack(zs)


def shared(x: Any) -> Any:
    """Two carries are made of the same new array, which is nothing else."""

    def step(_: Any, state: Any) -> Any:
        a, b = state
        new = a.at[1:-1].set(a[1:-1] * 0.5 + b[1:-1])
        return new.at[0].add(new[2]), new.at[3].add(new[4])

    return lax.fori_loop(0, 3, step, (x[:200], x[:200] * 2))


def shared_in_numpy(x: Any) -> Any:
    a, b = x[:200], x[:200] * 2
    for _ in range(3):
        new = np.concatenate([a[:1], a[1:-1] * np.float32(0.5) + b[1:-1], a[-1:]])
        a, b = new.copy(), new.copy()
        a[0] += new[2]
        b[3] += new[4]
    return a, b


def exchanged(x: Any) -> Any:
    """Each carry becomes the other one, updated."""

    def step(_: Any, state: Any) -> Any:
        a, b = state
        return b.at[0].add(b[1]), a.at[1].add(a[0])

    return lax.fori_loop(0, 5, step, (x, x * 2))


def exchanged_in_numpy(x: Any) -> Any:
    a, b = x.copy(), x * 2
    for _ in range(5):
        a, b = b.copy(), a.copy()
        a[0] += a[1]
        b[1] += b[0]
    return a, b


def branched(x: Any) -> Any:
    """A branch that makes its result and then updates it."""

    def step(a: Any, k: Any) -> Any:
        def more(a: Any) -> Any:
            new = a.at[2:].set(a[2:] * 2)
            return new.at[0].add(new[3])

        return lax.cond(k % 2 == 0, more, lambda a: a.at[1].add(a[0]), a), a.sum()

    return lax.scan(step, x, jnp.arange(4))


def branched_in_numpy(x: Any) -> Any:
    a, ys = x.copy(), []
    for k in range(4):
        ys.append(a.sum())
        if k % 2:
            a[1] += a[0]
        else:
            a[2:] *= 2
            a[0] += a[3]
    return a, np.array(ys)


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (bordered, bordered_in_numpy),
        (two_ends, two_ends_in_numpy),
        (shared, shared_in_numpy),
        (exchanged, exchanged_in_numpy),
        (branched, branched_in_numpy),
    ],
)
def test_what_is_updated_at_last(
    function: Callable[[Any], Any], wanted: Callable[[Any], Any]
) -> None:
    found = jitml.tree.leaves(jitml.jit(function)(X))
    expected = wanted(X)
    for got, want in zip(found, expected if len(found) > 1 else [expected], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)


def test_small_updates_at_last_neither_copy_nor_compute_again() -> None:
    assert copied_in_loops(bordered) == 0
    steps = lower(jitml.make_graph(bordered)(X), host()).plan.instructions
    labels = [step.label for step in steps if isinstance(step, Instruction)]
    assert labels.count("scatter") == 2 and labels.count("dynamic_update_slice") == 1
