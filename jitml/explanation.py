"""What became of a function: its source, its graph after each pass, its plan and kernels, as text.

In: a function and what was recorded of it. Out: lines for a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jitml.codegen.fuse import fuse
from jitml.codegen.plan import KernelCode, Program, make_plan
from jitml.codegen.target import compile_assembly, host
from jitml.ir.graph import Graph
from jitml.pipeline.cost import bytes_accessed, flop_count
from jitml.pipeline.passes import PASSES
from jitml.transforms.runner import Report, run_passes
from jitml_runtime import Branch, HostCall, Instruction, Loop, Plan
from jitml_runtime.library import find_routine

_LONGEST_KERNEL = 80  # lines; more are told by their number, unless all are asked for


def explain_graph(
    fun: Callable[..., Any],
    graph: Graph,
    assembly: bool = False,
    full: bool = False,
    rewritten: Sequence[str] = (),
) -> str:
    """Every stage that the `graph` recorded of `fun` goes through.

    Kernels are shown as LLVM text, or with `assembly` as machine code; long ones only with `full`.
    `rewritten` tells what became of Python's control flow.
    """
    return "\n".join(_sections(fun, graph, assembly, full, rewritten))


def _sections(
    fun: Callable[..., Any], graph: Graph, assembly: bool, full: bool, rewritten: Sequence[str]
) -> Iterator[str]:
    yield "== source =="
    yield _source_text(fun)
    if rewritten:
        yield "== rewritten, for conditions that are not known while tracing =="
        yield from rewritten
    yield "== recorded graph =="
    yield str(graph)
    report = run_passes(graph, PASSES, dump="")
    yield from _pass_lines(graph, report)
    program = make_plan(report.graph, fuse(report.graph), host())
    flops, least = flop_count(report.graph), bytes_accessed(report.graph)
    count = len(program.plan.instructions)
    yield f"== plan: {count} instructions, {flops:.3g} flops, at least {least:.3g} bytes =="
    yield from _plan_lines(program)
    for number, code in enumerate(program.kernels):
        yield f"== kernel {number}: {code.function}, codegen level {code.level} =="
        yield _kernel_text(code, assembly, full)


def _pass_lines(graph: Graph, report: Report) -> Iterator[str]:
    for step in report.steps:
        time_ms = step.time_ns / 1e6
        if step.graph == graph:
            yield f"== after {step.name}: no change, {time_ms:.2f} ms =="
        else:
            yield (
                f"== after {step.name}: {step.eqns_before} -> {step.eqns_after} equations, "
                f"{time_ms:.2f} ms =="
            )
            yield str(step.graph)
        graph = step.graph


def _plan_lines(program: Program) -> Iterator[str]:
    plan = program.plan
    for number, step in enumerate(plan.instructions):
        lines = ", ".join(dict.fromkeys(str(s) or "?" for s in program.sources[number]))
        if isinstance(step, Instruction):
            moved = sum(plan.buffers[b].size_bytes for b in dict.fromkeys(step.buffers))
            count = -(-step.extent // step.grain) if step.grain else 1
            chunks = "1 chunk" if count == 1 else f"{count} chunks"
            what = f"kernel {step.kernel}, {step.extent} units in {chunks}, {moved} bytes"
            what += "".join(f", calls {library}" for library in _libraries(plan, step))
        elif isinstance(step, Branch):
            what = f"one of the blocks up to {', '.join(map(str, step.ends))}"
        elif isinstance(step, Loop):
            often = "while" if step.length < 0 else f"{step.length} times"
            what = f"{often} the steps up to {step.end}"
        else:
            what = "host call" if isinstance(step, HostCall) else "copy"
        yield f"{number:>4} {step.label:<24} {what}  # {lines}"
    yield f"temporary memory: {plan.arena_bytes} bytes"


def _libraries(plan: Plan, step: Instruction) -> list[str]:
    """The routines that a step calls, and whose they are."""
    names = dict(plan.routines)
    constants = [plan.buffers[b].index for b in step.buffers if plan.buffers[b].kind == "constant"]
    return [find_routine(names[number]).library for number in constants if number in names]


def _kernel_text(code: KernelCode, assembly: bool, full: bool) -> str:
    text = compile_assembly(code.text, host(), code.level) if assembly else code.text
    lines = text.rstrip().splitlines()
    if full or len(lines) <= _LONGEST_KERNEL:
        return "\n".join(lines)
    shown = lines[: _LONGEST_KERNEL // 4]
    more = f"… and {len(lines) - len(shown)} more lines (full=True or --full shows them)"
    return "\n".join([*shown, more])


def _source_text(fun: Callable[..., Any]) -> str:
    import inspect

    try:
        return inspect.getsource(inspect.unwrap(fun)).rstrip()
    except (OSError, TypeError):
        return f"(the source of {getattr(fun, '__name__', fun)} is not at hand)"
