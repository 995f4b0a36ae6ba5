"""A compiled graph taken apart: what each step of its plan is about, and whose its memory is.

In: a graph and the machine it is compiled for. Out: for each step its equations, the user's lines
and variables, what it moves and computes; for each buffer the value that it holds, and how long.
The graph is lowered anew, which gives the plan that runs. Must not know: what it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jitml.codegen.fuse import fuse
from jitml.codegen.plan import Planner, Program
from jitml.ir.graph import Eqn, Graph
from jitml.ir.source import Source
from jitml.ir.variables import name_of_value, statement_variables
from jitml.pipeline.kernels import host_target
from jitml.pipeline.lowering import returning_inputs
from jitml.pipeline.passes import PASSES
from jitml.reports.costs import Cost, cost_of_step, equations_of
from jitml.transforms.runner import Report, run_passes
from jitml_runtime import Branch, Copy, HostCall, Instruction, Loop, Plan, Step
from jitml_runtime.plan import block_ends


@dataclass(frozen=True)
class StepPart:
    """One step of a plan: `kind` is "kernel", "copy", "call" (of Python), "branch" or "loop";
    `depth` says in how many loops and branches it lies.
    """

    number: int
    kind: str
    label: str
    depth: int
    step: Step
    eqns: tuple[Eqn, ...]
    sources: tuple[Source, ...]
    names: tuple[str, ...]
    cost: Cost

    @property
    def lines(self) -> tuple[str, ...]:
        """The user's lines, as `file.py:12`."""
        return tuple(dict.fromkeys([str(source) for source in self.sources if source]))


@dataclass(frozen=True)
class BufferPart:
    """The memory of one value: `kind` is "input", "output", "temporary" or "constant"; it is needed
    from step `first` up to step `last`.
    """

    name: str
    line: str
    type: str
    kind: str
    size_bytes: int
    first: int
    last: int

    def __str__(self) -> str:
        where = f"  # {self.line}" if self.line else ""
        return f"{self.name or 'unnamed'}: {self.type}{where}"


@dataclass(frozen=True)
class Anatomy:
    """A graph, what the passes made of it, and the program."""

    graph: Graph
    passes: Report
    program: Program
    steps: tuple[StepPart, ...]
    buffers: tuple[BufferPart, ...]

    @property
    def plan(self) -> Plan:
        return self.program.plan


def take_apart(graph: Graph, donated: tuple[int, ...] = ()) -> Anatomy:
    """The anatomy of a graph whose `donated` inputs are given away."""
    passes = run_passes(graph, PASSES, dump="")
    plain = returning_inputs(passes.graph)
    planner = Planner(plain, fuse(plain), host_target(), passes.graph.output_types, donated)
    program = planner.program()
    steps = _steps(planner, program)
    return Anatomy(graph, passes, program, steps, _buffers(planner, program, steps))


# ---- steps ---------------------------------------------------------------------------------------

_KINDS = {Instruction: "kernel", Copy: "copy", HostCall: "call", Branch: "branch", Loop: "loop"}


def _steps(planner: Planner, program: Program) -> tuple[StepPart, ...]:
    depths = nesting(program.plan.instructions)
    kernels = [n for n, step in enumerate(planner.steps) if isinstance(step, Instruction)]
    last = {id(planner.origins[n][0]): n for n in kernels}
    parts = []
    for number, step in enumerate(program.plan.instructions):
        group, fused = planner.origins[number]
        eqns = equations_of(group, fused)
        sources = dict.fromkeys([eqn.source for eqn in eqns if eqn.source])
        names = statement_variables(eqns)
        cost = cost_of_step(program.plan, step, group, eqns, last.get(id(group)) == number)
        parts.append(
            StepPart(number, _KINDS[type(step)], step.label, depths[number], step, eqns,
                     tuple(sources), names, cost)
        )  # fmt: skip
    return tuple(parts)


def nesting(steps: Sequence[Step]) -> list[int]:
    """In how many loops and branches each step lies."""
    depths = [0] * len(steps)
    for number, step in enumerate(steps):
        for inner in range(number + 1, max(block_ends(step), default=0)):
            depths[inner] += 1
    return depths


# ---- memory --------------------------------------------------------------------------------------


def _buffers(
    planner: Planner, program: Program, steps: Sequence[StepPart]
) -> tuple[BufferPart, ...]:
    plan = program.plan
    last = max(len(plan.instructions) - 1, 0)
    kinds = {"temp": "temporary"}
    found = []
    for number, buffer in enumerate(plan.buffers):
        if buffer.kind == "moving":
            continue
        temp = planner.temps.get(number)
        begin, end = (temp.first, min(temp.last, last)) if temp is not None else (0, last)
        owner, eqn = planner.owners.get(number, (None, None))
        if owner is None:
            name, line, type_ = _description(number, steps), "", f"{buffer.size_bytes} bytes"
        else:
            name, type_ = name_of_value(owner, eqn), str(owner.type)
            line = str(eqn.source) if eqn is not None else ""
        kind = kinds.get(buffer.kind, buffer.kind)
        found.append(BufferPart(name, line, type_, kind, buffer.size_bytes, begin, end))
    return tuple(found)


def _description(number: int, steps: Sequence[StepPart]) -> str:
    """What memory without a variable is for: the step that uses it first."""
    for part in steps:
        if isinstance(part.step, Instruction) and number in part.step.buffers:
            return " ".join(["for", part.label, *part.names[:1], *part.lines[:1]])
    return ""
