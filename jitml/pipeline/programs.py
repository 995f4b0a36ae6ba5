"""Whole programs that outlive the process: a plan and the keys of its kernels, under the graph.

In: a graph. Out: what is needed to run it, without passes, code generation or the compiler; or
nothing, where it was never compiled on this machine by this jitml, or a kernel is gone. What a
failed check means is not stored: the graph is lowered again for that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jitml.ir.graph import Graph
from jitml.ops.native import NativeCall
from jitml.pipeline.disk import PROGRAM, disk
from jitml.pipeline.environment import program_key
from jitml.pipeline.graph_key import graph_key
from jitml.pipeline.kernels import Loaded, MissingKernel, Wanted, kernel_key, load_kernels
from jitml.pipeline.statistics import STATISTICS
from jitml_runtime import Code, Plan, check_plan
from jitml_runtime.packing import FormatError, Packer, Unpacker, key_of
from jitml_runtime.plan_format import is_storable, read_plan, write_plan
from jitml_runtime.record import frozen

if TYPE_CHECKING:
    from jitml.codegen.plan import Program


@frozen
class Ready:
    """A plan, and its kernels: what was wanted, the function's name, the code."""

    plan: Plan
    wanted: tuple[Wanted, ...]
    functions: tuple[str, ...]
    loaded: tuple[Loaded, ...]

    @property
    def codes(self) -> tuple[Code, ...]:
        """The loaded code."""
        return tuple([kernel.code for kernel in self.loaded])

    @property
    def addresses(self) -> list[int]:
        """The functions' addresses."""
        pairs = zip(self.loaded, self.functions, strict=True)
        return [kernel.code.address(function) for kernel, function in pairs]


def stored_key(graph: Graph, donated: tuple[int, ...] = ()) -> bytes | None:
    """The key of the program of a graph whose `donated` inputs are given away; None if it cannot be
    stored or must not be taken from there.
    """
    if os.environ.get("JITML_DUMP") or os.environ.get("JITML_VERIFY") == "1" or not disk():
        return None
    environment, text = program_key(), graph_key(graph)
    return (
        None
        if environment is None or text is None
        else key_of(environment, repr(donated).encode(), text)
    )


def find_program(key: bytes | None) -> Ready | None:
    """The program stored under a key, its kernels loaded."""
    kept = disk() if key else None
    found = kept.read(PROGRAM, key) if kept and key else None
    if found is None:
        return None
    try:
        source = Unpacker(found)
        plan = read_plan(source)
        kernels = [(source.data(), source.integer(), source.text()) for _ in range(source.count())]
        check_plan(plan, len(kernels), 0)
        wanted = tuple([Wanted(text_key, level, None) for text_key, level, _ in kernels])
        loaded = load_kernels(wanted)
    except (FormatError, MissingKernel, ValueError):
        return None
    STATISTICS.graphs_found += 1
    return Ready(plan, wanted, tuple([function for _, _, function in kernels]), loaded)


def make_ready(program: Program, key: bytes | None = None) -> Ready:
    """Load a program's kernels, compiling those that are new; keep it under `key`."""
    _check_functions(program)
    wanted = tuple(
        [Wanted(kernel_key(code.text), code.level, code.text) for code in program.kernels]
    )
    loaded = load_kernels(wanted)
    functions = tuple([code.function for code in program.kernels])
    ready = Ready(program.plan, wanted, functions, loaded)
    kept = disk() if key else None
    if kept and key and is_storable(program.plan):
        kept.write(PROGRAM, key, _packed(ready))
    return ready


def _check_functions(program: Program) -> None:
    """Raise if functions of the user's own that it calls are for GPUs alone."""
    for site in (site for row in program.sites for site in row):
        if isinstance(site.eqn.op, NativeCall):
            site.eqn.op.function.check_on_cpu(site.eqn.source)


def _packed(ready: Ready) -> bytes:
    out = Packer()
    write_plan(out, ready.plan)
    out.integer(len(ready.wanted))
    for wanted, function in zip(ready.wanted, ready.functions, strict=True):
        out.data(wanted.key)
        out.integer(wanted.level)
        out.text(function)
    return out.packed()
