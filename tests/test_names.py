"""`named_scope` and `named_call`: names in graphs, `explain` and errors."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax, named_call, named_scope
from jitml.errors import ArgumentError, OutOfBoundsError
from jitml.ir.text import parse_graph


def names(graph: Any) -> list[str]:
    return [eqn.source.scope for eqn in graph.eqns]


@jitml.jit
def inner(x: Any) -> Any:
    with named_scope("sine"):
        return jnp.sin(x)


@named_call
def layer(x: Any) -> Any:
    return inner(x) * 2


@named_scope("last")
def last(x: Any) -> Any:
    return x + 1


def model(x: Any) -> Any:
    with named_scope("first"):
        x = layer(x)
    return last(inner(x))


def test_names_nest_through_calls() -> None:
    assert names(jitml.make_graph(model)(1.0)) == [
        "first/layer/sine",
        "first/layer",
        "sine",
        "last",
    ]


def test_transforms_keep_names() -> None:
    assert set(names(jitml.make_graph(jitml.grad(model))(1.0))) == {
        "first/layer/sine", "first/layer", "sine", "last",
    }  # fmt: skip
    assert "[first/layer/sine]" in str(jitml.make_graph(jitml.vmap(model))(jnp.ones(3)))


def test_names_in_loops_of_functions_that_are_called() -> None:
    looped = jitml.jit(lambda x: lax.fori_loop(0, 3, lambda i, x: inner(x), x))

    def outer(x: Any) -> Any:
        with named_scope("outer"):
            return looped(x)

    assert "[outer/sine]" in str(jitml.make_graph(outer)(1.0))


def test_text_reads_back_with_names() -> None:
    graph = jitml.make_graph(model)(1.0)
    assert names(parse_graph(str(graph))) == names(graph)


def test_explain_shows_names() -> None:
    assert "[last]" in jitml.jit(model).explain(1.0).partition("== plan")[2]


def test_errors_show_names() -> None:
    def lookup(x: Any, i: Any) -> Any:
        with named_scope("table"):
            return x[i]

    for function in (lookup, jitml.jit(lookup)):
        with pytest.raises(OutOfBoundsError, match=r"in lookup \[table\]:  return x\[i\]"):
            function(jnp.ones(3), 7)


def test_names_are_those_of_the_thread() -> None:
    found: list[list[str]] = []
    with named_scope("here"):
        thread = threading.Thread(
            target=lambda: found.append(names(jitml.make_graph(jnp.sin)(1.0)))
        )
        thread.start()
        thread.join()
    assert found == [[""]]


def test_a_name_is_a_string() -> None:
    with pytest.raises(ArgumentError, match="takes a string, not a int"), named_scope(3):  # type: ignore[arg-type]
        pass


def test_names_of_calls() -> None:
    named = named_call(lambda x: jnp.sin(x), name="wave")
    assert names(jitml.make_graph(named)(1.0)) == ["wave"]
