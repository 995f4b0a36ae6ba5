"""The pass runner: reports, dumps, verification."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from jitml.ir.errors import InternalError
from jitml.ir.graph import Eqn, Graph
from jitml.ir.text import parse_graph
from jitml.transforms.cse import cse
from jitml.transforms.dce import dce
from jitml.transforms.runner import run_passes
from jitml.transforms.simplify import simplify

TEXT = """graph f(%x: f32[3]) {
  %a: f32[3] = neg %x
  %b: f32[3] = neg %a
  %c: f32[3] = neg %x
  return %b
}"""


def test_report_counts_equations_of_each_pass() -> None:
    report = run_passes(parse_graph(TEXT), [cse, functools.partial(simplify, rules=()), dce], "")
    counts = [(s.name, s.eqns_before, s.eqns_after) for s in report.steps]
    assert counts == [("cse", 3, 2), ("simplify", 2, 2), ("dce", 2, 2)]
    assert report.time_ns == sum(s.time_ns for s in report.steps) > 0
    assert len(str(report).splitlines()) == 3
    assert str(report).startswith("cse")


def test_no_passes_change_nothing() -> None:
    graph = parse_graph(TEXT)
    assert run_passes(graph, [], "").graph is graph


def test_dump_of_one_pass_and_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = parse_graph(TEXT)
    written: list[str] = []
    run_passes(graph, [cse, dce, simplify], "dce", written.append)
    assert [w.splitlines()[0] for w in written] == ["# f after dce"]
    assert "%b: f32[3] = neg %a" in written[0]
    written.clear()
    monkeypatch.setenv("JITML_DUMP", "all")
    run_passes(graph, [cse, simplify], None, written.append)
    titles = [w.splitlines()[0] for w in written]
    assert titles == ["# f before all passes", "# f after cse", "# f after simplify"]


def test_verification_names_the_broken_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(graph: Graph) -> Graph:
        first: Eqn = graph.eqns[0]
        return graph.with_eqns([e for e in graph.eqns if e is not first])

    run_passes(parse_graph(TEXT), [breaks], "")
    monkeypatch.setenv("JITML_VERIFY", "1")
    with pytest.raises(InternalError, match="used before it is defined"):
        run_passes(parse_graph(TEXT), [breaks], "")


def test_passes_do_not_touch_their_input() -> None:
    graph = parse_graph(TEXT)
    before = str(graph)
    run_passes(graph, [simplify, cse, dce], "")
    assert str(graph) == before
    assert graph.inputs[0].type.dtype == np.float32
