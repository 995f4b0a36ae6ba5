"""Compile for a GPU that is not here: PTX, machine code, and what a run would take.

In: a function, its arguments or their ShapeDtypeStructs, the name of a target. Out: a
`DeviceProgram`. Neither a device nor a driver is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from jitml.codegen.nvptx.assembler import Resources, assemble
from jitml.codegen.nvptx.occupancy import occupancy
from jitml.codegen.nvptx.target import compile_ptx, gpu_target
from jitml.codegen.plan import Program
from jitml.compilation import make_graph
from jitml.device.launches import graph_shape, grid_of
from jitml.pipeline.lowering import lower
from jitml.reports.device import run_lines, told_read_backs
from jitml.transforms.inline_calls import inline_calls
from jitml_runtime import Instruction


@dataclass(frozen=True)
class DeviceKernel:
    """One kernel: what it computes, its PTX, the threads of a block; where NVIDIA's assembler is
    installed, its machine code and resources, and the share of a multiprocessor's warps that run
    at once.
    """

    label: str
    ptx: str
    threads: int
    cubin: bytes | None = None
    resources: Resources | None = None
    occupancy: float | None = None


@dataclass(frozen=True)
class DeviceReport:
    """What one run takes. `moved_bytes` are those of all kernels' operands, `least_bytes` those of
    arguments and results. Steps within loops count once. A run is one launch of a graph with
    `graph_nodes`; where that is 0, or the driver older than CUDA 12.4, `read_backs` tells what the
    host must know meanwhile.
    """

    target: str
    launches: int
    host_steps: int
    moved_bytes: int
    least_bytes: int
    arena_bytes: int
    kernels: tuple[DeviceKernel, ...]
    graph_nodes: int = 0
    read_backs: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [
            f"target    {self.target}",
            f"launches  {self.launches}" + (f", and {self.host_steps} steps of the host"
                                            if self.host_steps else ""),
            f"moves     {self.moved_bytes} bytes (arguments and results: {self.least_bytes})",
            f"arena     {self.arena_bytes} bytes",
            *run_lines(self.graph_nodes, self.read_backs),
        ]  # fmt: skip
        for kernel in self.kernels:
            r = kernel.resources
            what = "not assembled: there is no ptxas" if r is None else (
                f"{r.registers} registers, {r.spilled_bytes} bytes spilled, "
                f"{r.stack_bytes} of stack, {r.shared_bytes} shared, "
                f"{kernel.threads} threads to a block, occupancy {kernel.occupancy:.0%}"
            )  # fmt: skip
            lines.append(f"  {kernel.label}: {what}")
        return "\n".join(lines)


class DeviceProgram:
    """A function compiled for a GPU: `kernels`, their `ptx` in one text, a `report`."""

    def __init__(self, program: Program, target: str) -> None:
        self.program = program
        self.target = target
        steps = {
            step.kernel: step
            for step in reversed(program.plan.instructions)
            if isinstance(step, Instruction)
        }
        self.kernels = tuple(
            [self._kernel(steps[number], code.text) for number, code in enumerate(program.kernels)]
        )

    def _kernel(self, step: Instruction, text: str) -> DeviceKernel:
        ptx = compile_ptx(text, gpu_target(self.target))
        threads = prod(grid_of(step).threads)
        assembled = assemble(ptx, self.target)
        if assembled is None:
            return DeviceKernel(step.label, ptx, threads)
        share = occupancy(assembled[1], threads, self.target)
        return DeviceKernel(step.label, ptx, threads, *assembled, share)

    @property
    def ptx(self) -> str:
        """The PTX of all kernels, one module after the other."""
        return "\n".join(kernel.ptx for kernel in self.kernels)

    def report(self) -> DeviceReport:
        """What one run takes."""
        plan = self.program.plan
        launches = [s for s in plan.instructions if isinstance(s, Instruction) and s.extent]
        hosts = self.program.functions
        moved = sum(plan.buffers[b].size_bytes for s in launches for b in s.buffers)
        least = sum(spec.size_bytes for spec in (*plan.inputs, *plan.outputs))
        shape = graph_shape(plan, has_conditionals=True)
        return DeviceReport(
            self.target, len(launches), len(hosts), moved, least, plan.arena_bytes, self.kernels,
            shape.nodes if shape else 0, told_read_backs(self.program),
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<DeviceProgram for {self.target}: {len(self.kernels)} kernels>"


def aot(fun: Callable[..., Any], *args: Any, target: str = "sm_90", **kwargs: Any) -> DeviceProgram:
    """Compile `fun` for an NVIDIA GPU, for arguments like these (or ShapeDtypeStructs).

    >>> import jitml, jitml.numpy as jnp
    >>> program = jitml.aot(lambda x: jnp.exp(x) + 1, jnp.zeros(1024), target="sm_90")
    >>> program.report().launches
    1
    >>> ".visible .entry kernel(" in program.ptx
    True
    """
    graph = inline_calls(make_graph(fun)(*args, **kwargs))
    return DeviceProgram(lower(graph, gpu_target(target)), target)
