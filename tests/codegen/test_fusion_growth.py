"""Long programs whose kernels must be parted: what several parts need is computed once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen.fuse import fuse
from jitml.pipeline.passes import PASSES
from jitml.transforms.runner import run_passes

X = np.random.default_rng(0).standard_normal((16, 256)).astype(np.float32)


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


@pytest.mark.parametrize("program", [centred, rows])
def test_work_grows_as_the_program(program: Any) -> None:
    computed = []
    for steps in (100, 200):
        graph = run_passes(jitml.make_graph(lambda x, n=steps: program(jnp, x, n))(X), PASSES).graph
        groups = [g.built for g in fuse(graph).groups if g.built is not None]
        computed.append(sum(len(built.computed) for built in groups))
        assert computed[-1] < 2 * len(graph.eqns)
    assert computed[1] < 2.2 * computed[0]


@pytest.mark.parametrize("program", [centred, rows])
def test_parted_programs_give_what_numpy_gives(program: Any) -> None:
    found = jitml.jit(lambda x: program(jnp, x, 60))(X)
    np.testing.assert_allclose(found, program(np, X.astype(np.float64), 60), rtol=1e-3, atol=1e-3)
