"""What is recorded of a function that does the same again is the same graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import recording
from jitml.ir.graph import Graph

X, SCALAR = jnp.arange(4.0), jnp.asarray(np.float32(2))


def graph_of(function: Any, *values: Any, hint: object = "here") -> Graph:
    return recording.record(function, values, "f", hint=hint).graph


@pytest.fixture(autouse=True)
def forgetting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_LATEST", {})


def test_the_same_again_is_the_same_graph() -> None:
    def function(x: Any) -> Any:
        return jnp.sum(jnp.sin(x) ** 2 * 3.0 + X)

    first = graph_of(function, X)
    assert graph_of(function, X + 1) is first
    assert graph_of(function, jnp.ones(5)[:4]) is first
    assert graph_of(function, X, hint="elsewhere") is not first


def test_values_are_those_of_this_time() -> None:
    held = [X]

    def function(x: Any) -> Any:
        return x * held[0] + x

    first = recording.record(function, [X], "f", hint=1)
    held[0] = X + 1
    again = recording.record(function, [X * 2], "f", hint=1)
    assert again.graph is first.graph
    assert np.array_equal(again.outputs[0], X * 2 * (X + 1) + X * 2)
    assert np.array_equal(first.outputs[0], X * X + X)


VARIANTS: dict[str, Any] = {
    "another op": lambda x, way: jnp.sin(x) if way else jnp.cos(x),
    "another operand": lambda x, way: (x * 2.0) - (x if way else x * 2.0),
    "another number": lambda x, way: x * (2.0 if way else 3.0),
    "another sign of zero": lambda x, way: x * (0.0 if way else -0.0),
    "another parameter": lambda x, way: x ** (2 if way else 3),
    "less": lambda x, way: jnp.sin(x) if way else jnp.cos(jnp.sin(x)),
    "nothing": lambda x, way: x if way else jnp.sin(x),
    "another output": lambda x, way: (jnp.sin(x), x) if way else (x, jnp.sin(x)),
    "one output": lambda x, way: (x, x) if way else x,
    "another captured shape": lambda x, way: x + (X if way else SCALAR),
    "another capture": lambda x, way: x + (X if way else jnp.arange(4)),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_what_differs_is_recorded_as_it_is(name: str) -> None:
    variant = VARIANTS[name]
    graphs = [graph_of(lambda x, way=way: variant(x, way), X) for way in (True, False, True)]
    alone = [
        graph_of(lambda x, way=way: variant(x, way), X, hint=number)
        for number, way in enumerate((True, False, True))
    ]
    assert [str(g) for g in graphs] == [str(g) for g in alone]
    assert graphs[0] != graphs[1] and graphs[0] == graphs[2]


def test_names_are_those_of_this_time() -> None:
    for name in ("a", "b", "a"):
        found = recording.record(lambda x: x + 1.0, [X], "f", [name], hint="here").graph
        assert found.inputs[0].name == name


def test_lines_are_those_of_this_time() -> None:
    way = True

    def function(x: Any) -> Any:
        if way:
            return jnp.sin(x)
        return jnp.sin(x)

    first = graph_of(function, X)
    way = False
    again = graph_of(function, X)
    assert first == again and again.eqns[0].source.line == first.eqns[0].source.line + 1


def test_lines_inside_branches_are_those_of_this_time() -> None:
    def one(x: Any) -> Any:
        return jnp.sin(x)

    def other(x: Any) -> Any:
        return jnp.sin(x)

    def lines(branch: Any) -> int:
        def function(x: Any) -> Any:
            return jitml.lax.cond(x[0] > 0, branch, branch, x)

        (eqn,) = [e for e in graph_of(function, X).eqns if e.op.name == "cond"]
        body: Any = eqn.op.parameters()["branches"][0]
        return int(body.eqns[0].source.line)

    assert lines(other) - lines(one) == 3 == lines(other) - lines(one)


def test_a_function_may_differentiate_itself() -> None:
    def function(x: Any, depth: int) -> Any:
        if depth == 0:
            return jnp.sin(x) * x
        return jitml.grad(lambda y: function(y, depth - 1))(x) * x

    expected = [float(function(0.7, depth)) for depth in range(4)]
    for _ in range(3):
        assert [float(function(0.7, depth)) for depth in range(4)] == expected
    step = 1e-3
    slope = (np.sin(0.7 + step) * (0.7 + step) - np.sin(0.7 - step) * (0.7 - step)) / (2 * step)
    assert expected[1] == pytest.approx(slope * 0.7, rel=1e-4)


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_MOST_LATEST", 4)
    for number in range(10):
        graph_of(lambda x: x + 1.0, X, hint=number)
    assert len(recording._LATEST) <= 4
