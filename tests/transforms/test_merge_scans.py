"""What a forward and a backward pass both scan is scanned once, with the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.pipeline import lowering, passes
from jitml.pipeline.compile import Compiled, lower_graph
from jitml.transforms.merge_scans import merge_scans
from jitml.transforms.runner import run_passes

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
W = np.eye(3, dtype=np.float32)[::-1] + X[:3]


def network(w: Any, x: Any) -> Any:
    def step(carry: Any, x: Any) -> Any:
        h, c = carry
        c = jnp.tanh(h @ w + x) * c + x
        return (jnp.tanh(c), c), h * c

    zero = jnp.zeros(3, "float32")
    (h, _), hs = lax.scan(step, (zero, zero), x)
    return (hs**2).sum() + h.sum()


def steps(w: Any, x: Any) -> Any:
    return lax.fori_loop(0, 5, lambda i, c: jnp.sin(c @ w) + i, x).sum()


def twice(w: Any, x: Any) -> Any:
    return network(w, x) * network(w, x[::-1]) + steps(w, x)


@pytest.mark.parametrize(("function", "scans"), [(network, 2), (steps, 2), (twice, 6)])
def test_forward_steps_run_once(function: Any, scans: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = jitml.make_graph(jitml.value_and_grad(function))(W, X)
    after = run_passes(graph, passes.PASSES).graph
    assert sum(eqn.op.name == "scan" for eqn in after.eqns) == scans
    arguments = [jnp.asarray(W), jnp.asarray(X)]
    found = Compiled(graph, lower_graph(graph)).run(arguments)
    monkeypatch.setattr(lowering, "PASSES", tuple(p for p in passes.PASSES if p is not merge_scans))
    program = lower_graph(graph)
    assert sum("scan" in step.label for step in program.plan.instructions) > scans
    wanted = Compiled(graph, program).run(arguments)
    for x, y in zip(found, wanted, strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()
