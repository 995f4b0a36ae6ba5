"""Sums with terms that are mostly zero: the values of plain sums, the work of what is not zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.ir.graph import Graph
from jitml.ops.accumulate import Sums
from jitml.ops.control import evaluate
from jitml.trace.core import trace_graph
from jitml.transforms.dce import dce

X = np.arange(1.0, 9.0)
START = np.array(3)


def element(x: Any, i: Any) -> Any:
    return jnp.zeros(8).at[i].add(x[0])


def block(x: Any, i: Any) -> Any:
    return lax.dynamic_update_slice(jnp.zeros(8), x[:2], (i,))


def padded(x: Any, i: Any) -> Any:
    return lax.pad(x[:2], 0.0, [(2, 4, 0)])


def several(x: Any, i: Any) -> Any:
    return element(x, i) + (block(x, i) + padded(x, i)) + element(x, i + 1)


def with_a_whole_one(x: Any, i: Any) -> Any:
    return block(x, i) + jnp.sin(x)


SPARSE = [element, block, padded, several]
DENSE: list[Any] = [
    lambda x, i: jnp.ones(8).at[i].add(x[0]),
    lambda x, i: lax.dynamic_update_slice(jnp.ones(8), x[:2], (i,)),
    lambda x, i: jnp.zeros(8).at[i].max(x[0]),
    lambda x, i: lax.pad(x[:2], 1.0, [(2, 4, 0)]),
    lambda x, i: lax.pad(x[:3], 0.0, [(2, 3, 0)]),  # much of it is not zero
    lambda x, i: lax.dynamic_update_slice(jnp.zeros(8), x[:3], (i,)),
    lambda x, i: lax.pad(x, 0.0, [(-2, 2, 0)]),
    lambda x, i: lax.pad(x[:4], 0.0, [(1, 0, 1)]),
]


def added(term: Any) -> tuple[Graph, Any]:
    """The graph of a total and a term added to it, and the sum in NumPy."""
    with jitml.enable_x64():
        graph = jitml.make_graph(term)(X, START)
        types = [*graph.input_types, graph.output_types[0]]

        def total(*values: Any) -> list[Any]:
            return [Sums(graph, values[:-1]).added(values[-1], graph.outputs[0])]

        (wanted,) = evaluate(graph, [X, START])
        return trace_graph(total, types, "total").graph, wanted


@pytest.mark.parametrize("term", [*SPARSE, with_a_whole_one, *DENSE])
def test_values(term: Any) -> None:
    graph, wanted = added(term)
    (found,) = evaluate(graph, [X, START, X * 10])
    np.testing.assert_allclose(found, X * 10 + wanted, rtol=1e-15)


@pytest.mark.parametrize("term", SPARSE)
def test_only_elements_are_added(term: Any) -> None:
    graph, _ = added(term)
    needed = dce(graph)
    sums = [eqn for eqn in needed.eqns if eqn.op.name == "add"]
    assert all(v.type.size <= 3 for eqn in sums for v in eqn.outputs)


@pytest.mark.parametrize("term", DENSE)
def test_other_terms_are_added_whole(term: Any) -> None:
    graph, _ = added(term)
    assert any(eqn.op.name == "add" and eqn.outputs[0].type.size == 8 for eqn in graph.eqns)


def test_sums_inside_of_a_step_are_made_so_too() -> None:
    with jitml.enable_x64():
        graph = jitml.make_graph(lambda x, i: jnp.sin(x) + several(x, i) * 1)(X, START)
        (wanted,) = evaluate(graph, [X, START])
        step = trace_graph(
            lambda *values: [Sums(graph, values).value(graph.outputs[0])], graph.input_types, "step"
        ).graph
    np.testing.assert_allclose(evaluate(step, [X, START])[0], wanted, rtol=1e-15)
