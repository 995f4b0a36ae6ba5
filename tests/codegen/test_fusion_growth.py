"""Long programs whose kernels must be parted: the work of fusing them grows as the programs do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.codegen import plan
from jitml.codegen.build import _GroupBuilder
from jitml.codegen.fuse import fuse
from jitml.codegen.siblings import MOST_ARRAYS
from jitml.pipeline.compile import lower_graph
from jitml.pipeline.passes import PASSES
from jitml.transforms import merge_scans
from jitml.transforms.runner import run_passes

X = np.random.default_rng(0).standard_normal((16, 256)).astype(np.float32)
ROW, LONG = X[0], np.resize(X, 1 << 16)

Program = Callable[[Any, Any, int], Any]


def centred(m: Any, x: Any, steps: int) -> Any:
    """Each step needs the one before element by element, and a mean over it."""
    for _ in range(steps):
        y = m.tanh(x) * 0.5
        x = (y + x) - y.mean()
    return x


def rows(m: Any, x: Any, steps: int) -> Any:
    for _ in range(steps):
        y = m.exp(x - x.max(axis=1, keepdims=True))
        x = x + y / y.sum(axis=1, keepdims=True)
    return x


def fan(m: Any, x: Any, steps: int) -> Any:
    """All terms are written before the first sum."""
    terms = [m.sin(x + k) for k in range(steps)]
    return sum(terms)


def ladder(m: Any, x: Any, steps: int) -> Any:
    """Each value is needed by the next two."""
    a, b = x, x + 1
    for k in range(steps):
        a, b = b, m.sin(a) + b * (k / steps)
    return b


def stacked(m: Any, x: Any, steps: int) -> Any:
    return m.stack([x * k for k in range(steps)])


def stacked_sums(m: Any, x: Any, steps: int) -> Any:
    return m.stack([(x * k).sum() for k in range(steps)])


def scaled_sums(m: Any, x: Any, steps: int) -> Any:
    total = x
    for k in range(steps):
        total = total + x * m.sin(x + k).sum() * 1e-3
    return total


def shifted(m: Any, x: Any, steps: int) -> Any:
    for _ in range(steps):
        x = m.concatenate([x[1:], x[:1]]) * 0.5
    return x


def mixed(m: Any, x: Any, steps: int) -> Any:
    """Sums of sums: few values are larger than others."""
    return sum(m.sum(m.sin(x * (k / steps)), axis=0) for k in range(steps))


def slope(m: Any, x: Any, steps: int) -> Any:
    """The gradient of a chain, which needs all steps of the chain."""
    kept = []
    for k in range(steps):
        kept.append(x)
        x = m.sin(x) * (0.5 + k / steps)
    g = x * 0 + 1
    for k in reversed(range(steps)):
        g = g * (0.5 + k / steps) * m.cos(kept[k])
    return g


def fused(program: Program, x: Any, steps: int) -> Any:
    graph = run_passes(jitml.make_graph(lambda x: program(jnp, x, steps))(x), PASSES).graph
    return graph, fuse(graph)


@pytest.mark.parametrize("program", [centred, rows])
def test_work_grows_as_the_program(program: Program) -> None:
    computed = []
    for steps in (100, 200):
        graph, found = fused(program, X, steps)
        computed.append(sum(len(g.built.computed) for g in found.groups if g.built is not None))
        assert computed[-1] < 2 * len(graph.eqns)
    assert computed[1] < 2.2 * computed[0]


CASES = [
    (centred, X, 100),
    (rows, X, 60),
    (fan, ROW, 400),
    (ladder, ROW, 300),
    (stacked, ROW, 250),
    (stacked_sums, LONG, 60),
    (scaled_sums, LONG, 60),
    (shifted, ROW, 120),
    (mixed, X, 300),
    (slope, ROW, 250),
]


@pytest.mark.parametrize("program, x, steps", CASES, ids=[c[0].__name__ for c in CASES])
def test_attempts_grow_as_the_program(
    monkeypatch: pytest.MonkeyPatch, program: Program, x: Any, steps: int
) -> None:
    """Equations that are lowered, those of kernels that turn out to be too large among them."""
    lowered = [0]
    compute = _GroupBuilder._compute_here

    def counted(builder: Any, *arguments: Any) -> None:
        lowered[0] += 1
        compute(builder, *arguments)

    monkeypatch.setattr(_GroupBuilder, "_compute_here", counted)
    counts = []
    for n in (steps, 2 * steps):
        lowered[0] = 0
        graph, _ = fused(program, x, n)
        counts.append(lowered[0])
        assert lowered[0] < 8 * len(graph.eqns)
    assert counts[1] < 2.5 * counts[0]


@pytest.mark.parametrize("program", [centred, rows, fan, ladder, mixed, slope])
def test_parted_programs_give_what_numpy_gives(program: Program) -> None:
    steps = 60 if program in (centred, rows) else 400
    found = jitml.jit(lambda x: program(jnp, x, steps))(X)
    expected = program(np, X.astype(np.float64), steps)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


def test_loops_that_compute_everything_again_are_parted() -> None:
    """Sums one after the other, each of all that the ones before have changed."""

    def program(m: Any, x: Any, steps: int) -> Any:
        for _ in range(steps):
            x = x - x.sum() * 1e-4
        return x

    sizes = []
    for steps in (100, 200):
        graph = jitml.make_graph(lambda x, n=steps: program(jnp, x, n))(ROW)
        code = lower_graph(graph)
        sizes.append(sum(len(code.kernels[s.kernel].text) for s in code.plan.instructions))
    assert sizes[1] < 2.5 * sizes[0]


def test_few_kernels_for_what_two_parts_need() -> None:
    """What is cut in two stores what both need from the kernel that computes it anyway."""
    _, found = fused(ladder, ROW, 500)
    assert len(found.groups) <= 4
    _, found = fused(fan, ROW, 1000)
    assert len(found.buffers) - 2 < len(found.groups)  # one value goes from part to part
    _, found = fused(slope, ROW, 500)
    assert all(len(g.roots) <= MOST_ARRAYS + 1 for g in found.groups)
    assert len(found.groups) < 80


def test_values_stored_one_after_the_other_share_kernels() -> None:
    """A kernel that reads what another stores joins it, where few arrays are run through."""

    def program(m: Any, x: Any, steps: int) -> Any:
        return jitml.grad(lambda x: ladder(m, x, steps).sum())(x)

    _, found = fused(program, ROW, 250)
    assert len(found.groups) < 50


def test_equal_sorts_are_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    write = plan.sort_kernel
    monkeypatch.setattr(plan, "sort_kernel", lambda *a: written.append(a) or write(*a))

    def program(x: Any, y: Any) -> Any:
        for _ in range(5):
            x, y = jnp.sort(x) * 2, jnp.sort(y, axis=0) + 1
        return x, y

    lower_graph(jitml.make_graph(program)(ROW, X))
    assert len(written) == 2


def test_scans_are_compared_with_those_that_they_may_join(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    merge = merge_scans._merged
    monkeypatch.setattr(merge_scans, "_merged", lambda *a: compared.append(a) or merge(*a))

    def program(x: Any) -> Any:
        for k in range(20):
            x, _ = lax.scan(lambda c, _, k=k: (c * 0.5 + k, None), x, None, length=3)
        return x

    run_passes(jitml.make_graph(program)(ROW), PASSES)
    assert not compared  # each needs the one before
