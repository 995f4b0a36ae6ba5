"""Ops without kernels are stated in others; nothing else changes."""

from __future__ import annotations

from typing import Any

import jitml
import jitml.numpy as jnp
from jitml.codegen.expand import expand
from jitml.ops.reduction import ReduceSum


def function(x: Any) -> Any:
    y = jnp.tanh(x)
    total = y.sum()  # of several blocks
    return y * total


def test_other_equations_stay_as_they_are() -> None:
    graph = jitml.make_graph(function)(jitml.ShapeDtypeStruct((1 << 16,), "float32"))
    after = expand(graph)
    kept = [eqn for eqn in graph.eqns if eqn in after.eqns]
    assert [eqn.op.name for eqn in kept] == ["tanh"]
    names = [eqn.op.name for eqn in after.eqns]
    assert "partial" in names and not any(isinstance(e.op, ReduceSum) for e in after.eqns)


def test_equations_keep_their_lines() -> None:
    graph = jitml.make_graph(function)(jitml.ShapeDtypeStruct((1 << 16,), "float32"))
    lines = {eqn.op.name: eqn.source.line for eqn in graph.eqns}
    for eqn in expand(graph).eqns:
        assert eqn.source.line == lines.get(eqn.op.name, lines["reduce_sum"]), eqn.op.name
