"""Run passes over a graph: verify, time, count and dump, for all passes alike."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from jitml.ir.graph import Graph
from jitml.ir.verify import verify

Pass: TypeAlias = Callable[[Graph], Graph]


class Step(NamedTuple):
    """What one pass did."""

    name: str
    graph: Graph
    eqns_before: int
    eqns_after: int
    time_ns: int


class Report(NamedTuple):
    """The graph after all passes, and what each did."""

    graph: Graph
    steps: tuple[Step, ...]

    @property
    def time_ns(self) -> int:
        return sum(step.time_ns for step in self.steps)

    def __str__(self) -> str:
        lines = [
            f"{step.name:<16} {step.eqns_before:>6} -> {step.eqns_after:<6} equations "
            f"{step.time_ns / 1e6:8.2f} ms"
            for step in self.steps
        ]
        return "\n".join(lines)


def run_passes(
    graph: Graph,
    passes: Sequence[Pass],
    dump: str | None = None,
    write: Callable[[str], object] = sys.stderr.write,
) -> Report:
    """Apply `passes` in order.

    `dump` names the pass after which the graph is printed ("all" for each; the environment's
    JITML_DUMP if None). With JITML_VERIFY=1 every graph on the way is verified.
    """
    shown = os.environ.get("JITML_DUMP", "") if dump is None else dump
    is_verified = os.environ.get("JITML_VERIFY", "") == "1"
    steps: list[Step] = []
    if shown == "all":
        write(f"# {graph.name} before all passes\n{graph}\n")
    for step in _steps(graph, passes, is_verified):
        steps.append(step)
        if shown in ("all", step.name):
            write(f"# {step.graph.name} after {step.name}\n{step.graph}\n")
    return Report(steps[-1].graph if steps else graph, tuple(steps))


def _steps(graph: Graph, passes: Sequence[Pass], is_verified: bool) -> Iterator[Step]:
    if is_verified:
        verify(graph)
    for apply in passes:
        start = time.perf_counter_ns()
        after = apply(graph)
        time_ns = time.perf_counter_ns() - start
        if is_verified:
            verify(after)
        yield Step(pass_name(apply), after, len(graph.eqns), len(after.eqns), time_ns)
        graph = after


def pass_name(apply: Pass) -> str:
    """The name under which a pass is reported and dumped."""
    function = getattr(apply, "func", apply)
    return str(getattr(function, "__name__", type(apply).__name__))
