"""What a run on a device takes: launches, copies, what the host must know meanwhile.

In: graphs, programs for a device. Out: lines of text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from jitml.codegen.nvptx.library import LibraryStep, ProductStep
from jitml.codegen.plan import Program
from jitml.device.driver import CONDITIONALS_SINCE, version_name
from jitml.device.launches import graph_shape, read_backs
from jitml.device.libraries import Libraries, is_recorded, reason_for_host, why_not
from jitml.ir.graph import Graph
from jitml.pipeline.devices import default_device
from jitml.transforms.inline_calls import inline_calls
from jitml_runtime import Instruction

_NEWER = f"one graph by drivers for CUDA {version_name(CONDITIONALS_SINCE)} and later"


def device_lines(graph: Graph) -> Iterator[str]:
    """What a call of a graph takes on the device that programs run on, and what calls took."""
    from jitml.pipeline.compile import lower_graph

    program = lower_graph(inline_calls(graph))
    plan, device = program.plan, default_device()
    launches = sum(isinstance(s, Instruction) and s.extent > 0 for s in plan.instructions)
    yield f"{device}, {device.driver.name} ({device.driver.target}): {launches} kernels launched"
    has_conditionals = device.driver.has_conditionals
    with device.entered():
        taken_over = partial(is_recorded, device.libraries)
        shape = graph_shape(plan, has_conditionals, taken_over)
        backs = told_read_backs(program, device.libraries)
        yield from run_lines(shape.nodes if shape else 0, () if shape else backs)
        yield from _library_lines(program, device.libraries)
    if not (has_conditionals or shape) and graph_shape(plan, True, taken_over):
        yield f"            {_NEWER}; this one is for {version_name(device.driver.version)}"
    taken = sum(spec.size_bytes for spec in plan.inputs)
    given = sum(spec.size_bytes for spec in plan.outputs)
    yield f"arguments: {taken} bytes, copied where they are not there; results: {given}, stay there"
    counts = device.counts
    yield (
        f"so far: {counts.to_device} copies to the device ({counts.to_device_bytes} bytes), "
        f"{counts.to_host} to the host ({counts.to_host_bytes} bytes), "
        f"{counts.read_backs} of them for decisions"
    )


def run_lines(nodes: int, backs: Sequence[str]) -> Iterator[str]:
    """How a run is launched; if it is a graph, what older drivers read back."""
    one_by_one = "launches one by one" + (", with" if backs else "")
    if nodes:
        yield f"runs as   one graph of {nodes} nodes"
        if backs:
            yield f"          {_NEWER}; older ones: {one_by_one}"
    else:
        yield f"runs as   {one_by_one}"
    yield from (f"            {line}" for line in backs)


def told_read_backs(program: Program, libraries: Libraries | None = None) -> tuple[str, ...]:
    """What the host must know, with the user's lines."""
    found = read_backs(program.plan, partial(reason_for_host, libraries))
    return tuple([_with_lines(program, number, what) for number, what in found])


def _library_lines(program: Program, libraries: Libraries) -> Iterator[str]:
    """What libraries of the device compute, and why they do not compute what they are asked to."""
    for number, step in enumerate(program.plan.instructions):
        if not isinstance(step, (LibraryStep, ProductStep)):
            continue
        what = step.call.routine if isinstance(step, LibraryStep) else step.label
        why = why_not(libraries, step)
        if why is None:
            told = f"{libraries.routine(step).title} computes {what}"
        elif isinstance(step, ProductStep):
            told = f"a kernel computes {what} ({why})"
        else:
            continue  # told among the copies
        yield "            " + _with_lines(program, number, told)


def _with_lines(program: Program, number: int, what: str) -> str:
    """What there is to tell of a step, with the user's lines."""
    lines = dict.fromkeys([str(source) for source in program.sources[number] if source])
    return f"{what}  # {', '.join(lines)}" if lines else what
