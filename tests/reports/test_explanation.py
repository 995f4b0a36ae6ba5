"""`f.explain(x)`: what belongs to a line of the user's, through all stages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import jitml
import jitml.nn as nn
import jitml.numpy as jnp
from jitml import lax
from jitml.ir.graph import Eqn, Graph
from jitml.ir.nested import nested_graphs
from jitml.pipeline.passes import PASSES
from jitml.transforms.runner import run_passes

X = jnp.ones((8, 6))


def layer(h: Any, w: Any) -> Any:
    z = h @ w
    return jnp.tanh(z)


def model(x: Any, w: Any) -> Any:
    h = layer(x, w)
    p = nn.softmax(h)
    return (p * h).mean()


def looped(x: Any) -> Any:
    def body(carry: Any, row: Any) -> Any:
        after = carry + jnp.exp(row)
        return after, after.sum()

    last, sums = lax.scan(body, x[0], x)
    return lax.cond(last.sum() > 0, lambda s: s.var(), lambda s: s.std(), sums)


def statistics(x: Any) -> Any:
    a = jnp.linalg.solve(x.T @ x + jnp.eye(6), x.T)
    b = jnp.sort(x.ravel())[::-1].cumsum()
    c = x.at[jnp.arange(3), 1].add(2.0)
    return a.sum() + b[3] + jnp.var(c) + jnp.fft.fft(x[0]).real[1]


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "model": (model, (X, X.T)),
    "gradient": (jitml.grad(model, (0, 1)), (X, X.T)),
    "map": (jitml.vmap(jitml.grad(model), (0, None)), (jnp.stack([X, X]), X.T)),
    "loop": (looped, (X,)),
    "gradient of loop": (jitml.grad(looped), (X,)),
    "statistics": (statistics, (X,)),
    "second derivative": (jitml.hessian(lambda x: jnp.sin(x[0]).sum() ** 2), (X,)),
}


def all_equations(graph: Graph) -> Iterator[Eqn]:
    for eqn in graph.eqns:
        yield eqn
        for inner in nested_graphs(eqn.op):
            yield from all_equations(inner)


@pytest.mark.parametrize("name", PROGRAMS)
def test_equations_keep_their_lines_through_every_pass(name: str) -> None:
    function, args = PROGRAMS[name]
    graph = jitml.make_graph(function)(*args)
    known = {eqn.source.place for eqn in all_equations(graph)}
    lost = []
    for step in run_passes(graph, PASSES, dump="").steps:
        for eqn in all_equations(step.graph):
            if eqn.source.place not in known or not eqn.source.file.endswith(__file__[-20:]):
                lost.append((step.name, str(eqn.op.name), str(eqn.source)))
    assert not lost


def test_all_stages_are_text_as_ever() -> None:
    explanation = jitml.jit(model).explain(X, X.T)
    assert isinstance(explanation, str) and repr(explanation) == str(explanation)
    headings = re.findall(r"^== (\w+)", explanation, re.M)
    assert headings[:2] == ["source", "recorded"] and headings[-1] == "kernel"
    assert "h = layer(x, w)" in explanation


def test_the_data_links_lines_to_steps_and_kernels() -> None:
    explanation = jitml.jit(model).explain(X, X.T)
    data = json.loads(json.dumps(explanation.as_dict()))
    first = layer.__code__.co_firstlineno
    product = data["lines"][f"test_explanation.py:{first + 1}"]
    steps = [data["plan"][number] for number in product["steps"]]
    assert {step["label"] for step in steps} >= {"dot_general"}
    assert [step["kernel"] for step in steps if step["kernel"] is not None]
    assert all("z" in step["variables"] for step in steps)
    assert [p["name"] for p in data["passes"]][:2] == ["inline_calls", "tile_attention"]
    assert len(data["kernels"]) == explanation.count("== kernel")
    assert data["source"]["first_line"] == model.__code__.co_firstlineno


def test_the_page_marks_what_belongs_to_a_line() -> None:
    page = jitml.jit(model).explain(X, X.T)._repr_html_()
    first = layer.__code__.co_firstlineno
    marked = re.search(r'<label for="(\w+)b(\d+)" class="[^"]*">[^<]*z = h @ w', page)
    assert marked is not None, f"line {first + 1} cannot be clicked"
    prefix, number = marked[1], marked[2]
    assert f'id="{prefix}b{number}"' in page
    assert f"#{prefix}b{number}:checked~.{prefix} .{prefix}l{number}{{" in page
    spans = re.findall(rf'<span class="[^"]*{prefix}l{number}(?: [^"]*)?">([^<]*)', page)
    assert any("dot_general" in text for text in spans)
    assert any(text.startswith("kernel") for text in spans)
    assert "assembly" in page and "<script" not in page and "http" not in page


def test_two_pages_do_not_meet() -> None:
    pages = [jitml.jit(model).explain(X, X.T)._repr_html_() for _ in range(2)]
    ids = [set(re.findall(r'id="(\w+)"', page)) for page in pages]
    assert ids[0] and not ids[0] & ids[1]


def test_large_programs_are_shown_in_part() -> None:
    def large(x: Any) -> Any:
        for n in range(100):
            x = jnp.sort(jnp.sin(x * n) + jnp.cos(x), axis=n % 2)
        return x

    assert len(jitml.jit(large).explain(X)._repr_html_()) < 200_000
