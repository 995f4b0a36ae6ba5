"""What became of a function: its source, its graph after each pass, its kernels and their instructions, as text."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from jitml.codegen.fuse import fuse
from jitml.codegen.plan import Program, make_plan
from jitml.codegen.target import compile_assembly, host
from jitml.ir.graph import Graph
from jitml.ir.source import Source
from jitml.dispatch import make_graph
from jitml.pipeline.passes import PASSES
from jitml.transforms.runner import run_passes
from jitml_runtime import HostCall, Instruction


def explain(fun: Callable[..., Any], *args: Any, assembly: bool = False) -> str:
    """Every stage that `fun` goes through for these arguments (arrays or ShapeDtypeStructs).

    >>> import jitml, jitml.numpy as jnp
    >>> print(jitml.explain(lambda x: jnp.sin(x) * 2, jnp.zeros(3)))  # doctest: +ELLIPSIS
    == source ==
    ...
    """
    graph = make_graph(fun)(*args)
    return "\n".join(_sections(fun, graph, assembly))


def _sections(fun: Callable[..., Any], graph: Graph, assembly: bool) -> Iterator[str]:
    yield "== source =="
    yield _source_text(fun)
    yield "== recorded graph =="
    yield str(graph)
    report = run_passes(graph, PASSES, dump="")
    for step in report.steps:
        same = "" if step.eqns_before == step.eqns_after else str(step.graph)
        change = f"{step.eqns_before} -> {step.eqns_after} equations, {step.time_ns / 1e6:.2f} ms"
        yield f"== after {step.name}: {change} =="
        if same:
            yield same
    fused = fuse(report.graph)
    program = make_plan(report.graph, fused, host())
    yield f"== plan: {len(program.plan.instructions)} instructions =="
    yield from _plan_lines(program)
    for number, code in enumerate(program.kernels):
        yield f"== kernel {number}: {code.function}, codegen level {code.level} =="
        yield compile_assembly(code.text, host(), code.level) if assembly else code.text


def _plan_lines(program: Program) -> Iterator[str]:
    plan = program.plan
    for number, step in enumerate(plan.instructions):
        lines = ", ".join(dict.fromkeys(map(_place, program.sources[number])))
        if isinstance(step, Instruction):
            moved = sum(plan.buffers[b].size_bytes for b in dict.fromkeys(step.buffers))
            parallel = f"{-(-step.extent // step.grain)} chunks" if step.grain else "1 chunk"
            what = f"kernel {step.kernel}, {step.extent} units in {parallel}, {moved} bytes"
        else:
            what = "host call" if isinstance(step, HostCall) else "copy"
        yield f"{number:>4} {step.label:<24} {what}  # {lines}"
    yield f"temporary memory: {plan.arena_bytes} bytes"


def _place(source: Source) -> str:
    return str(source) or "?"


def _source_text(fun: Callable[..., Any]) -> str:
    try:
        return inspect.getsource(inspect.unwrap(fun)).rstrip()
    except (OSError, TypeError):
        return f"(the source of {getattr(fun, '__name__', fun)} is not at hand)"
