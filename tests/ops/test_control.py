"""Ops with nested graphs: text, verifier, meaning against native code, and dead code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracle import evaluate_op, to_array

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.ir.errors import InternalError
from jitml.ir.graph import Graph
from jitml.ir.text import parse_graph
from jitml.ir.verify import verify
from jitml.transforms.prune import prune

X = np.array([0.5, -1.5, 2.0], np.float32)


def scanned(x: Any) -> Any:
    return lax.scan(lambda c, y: ((c[0] * y, c[1] + 1), (c[0], y)), (x[0], 0), x, reverse=True)


def repeated(x: Any) -> Any:
    return lax.while_loop(lambda s: s[0].sum() < 9, lambda s: (s[0] * s[0] + 1, s[1] + 1), (x, 0))


def chosen(x: Any) -> Any:
    return lax.switch(jnp.int32(x[2]), [jnp.sin, lambda y: y * 2, lambda y: y + x[0]], x)


def nested(x: Any) -> Any:
    def step(c: Any, y: Any) -> Any:
        return lax.cond(y > 0, lambda: repeated(c)[0], lambda: c - y), c.sum()

    return lax.scan(step, x, x)


PROGRAMS: list[Callable[[Any], Any]] = [scanned, repeated, chosen, nested]
each_program = pytest.mark.parametrize("program", PROGRAMS)


@each_program
def test_text_round_trips(program: Callable[[Any], Any]) -> None:
    graph = verify(jitml.make_graph(program)(X))
    parsed = parse_graph(str(graph))
    assert parsed == graph and verify(parsed) == graph
    assert str(parsed) == str(graph)


@each_program
def test_native_code_means_what_the_ops_mean(program: Callable[[Any], Any]) -> None:
    graph = jitml.make_graph(program)(X)
    values: dict[Any, Any] = {graph.inputs[0]: to_array(X)}
    for eqn in graph.eqns:
        outputs = evaluate_op(eqn.op, [values.get(a, a) for a in eqn.inputs])
        values.update(zip(eqn.outputs, outputs, strict=True))
    found = jitml.tree.leaves(jitml.jit(program)(X))
    for atom, got in zip(graph.outputs, found, strict=True):
        assert got.dtype == values[atom].dtype
        np.testing.assert_allclose(got, values[atom], rtol=1e-5)


def test_the_verifier_looks_inside() -> None:
    graph = jitml.make_graph(scanned)(X)
    text = str(graph).replace("mul %c_0, %y", "mul %y, %nowhere")
    with pytest.raises(Exception, match="nowhere"):
        parse_graph(text)
    body = next(eqn.op for eqn in graph.eqns if eqn.op.name == "scan").body
    with pytest.raises(InternalError):
        verify(Graph("f", (), body.eqns, ()))


def operators(graph: Graph) -> list[str]:
    """The names of all ops of a graph, those inside of others after them."""
    found = []
    for eqn in graph.eqns:
        found.append(eqn.op.name)
        for inner in jitml.ir.nested.nested_graphs(eqn.op):
            found += operators(inner)
    return found


def test_unused_carries_and_outputs_are_dropped() -> None:
    def scan_part(x: Any) -> Any:
        return lax.scan(lambda c, y: ((c[0] * y, jnp.sin(c[1]) + c[0]), jnp.exp(y)), (x, x), x)[0][
            0
        ]

    def while_part(x: Any) -> Any:
        return lax.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, jnp.sin(s[1])), (0, x))[0]

    def cond_part(x: Any) -> Any:
        return lax.cond(x[0] > 0, lambda: (x * 2, jnp.sin(x)), lambda: (x, jnp.cos(x)))[0]

    for part in (scan_part, while_part, cond_part):
        graph = prune(verify(jitml.make_graph(part)(X)))
        assert not {"sin", "cos", "exp"} & set(operators(verify(graph)))
        np.testing.assert_allclose(jitml.jit(part)(X), part(jnp.asarray(X)), rtol=1e-6)


def test_a_carry_that_is_read_by_another_one_stays() -> None:
    def f(x: Any) -> Any:
        return lax.scan(lambda c, y: ((c[1] * y, c[0] + 1), None), (x[0], x[1]), x)[0][0]

    (scan,) = [e for e in prune(jitml.make_graph(f)(X)).eqns if e.op.name == "scan"]
    assert scan.op.carries == 2
