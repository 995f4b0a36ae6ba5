"""Compile graphs and run them.

`compile_graph` takes a graph through the passes to a `Compiled`, which runs on arrays. Importing this module makes
eager operations and derived graphs run on compiled kernels.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Sequence
from typing import Any

from jitml.codegen.fuse import fuse
from jitml.codegen.plan import Program, make_plan
from jitml.codegen.target import compile_object, host
from jitml.ir.errors import JitmlError, OutOfBoundsError
from jitml.ir.graph import Eqn, Graph, Literal, Var
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.pipeline.passes import PASSES
from jitml.trace.core import array_type, current_source, set_evaluator
from jitml.transforms.execute import interpret, set_executor
from jitml.transforms.runner import run_passes
from jitml_runtime import Array, Code, Executable, KernelFault, load_object

class Statistics(threading.local):
    """What this thread has compiled: kernels, seconds."""

    def __init__(self) -> None:
        self.kernels = 0
        self.graphs = 0
        self.seconds = 0.0


STATISTICS = Statistics()


class Compiled:
    """A graph compiled for this machine; `run` takes one array for each input."""

    def __init__(self, graph: Graph, program: Program) -> None:
        self.graph = graph
        self.program = program
        codes = [_load(code.text, code.level) for code in program.kernels]
        addresses = [
            loaded.address(code.function) for loaded, code in zip(codes, program.kernels, strict=True)
        ]
        self._executable = Executable(program.plan, addresses, tuple(codes), ())

    def run(self, arguments: Sequence[Array]) -> tuple[Array, ...]:
        """The outputs for these arguments. An index out of bounds raises OutOfBoundsError with its line."""
        try:
            return self._executable.run(arguments)
        except KernelFault as fault:
            raise self._explain(fault) from None

    def _explain(self, fault: KernelFault) -> OutOfBoundsError:
        site = self.program.sites[fault.instruction][fault.site]
        eqn = site.eqn
        operand = eqn.inputs[0].type
        return OutOfBoundsError(
            f"{eqn.op.name}: index {fault.value} is out of bounds for an array of shape "
            f"{operand.shape} (at element {fault.index} of the result)",
            hint="pass mode='clip' or mode='fill' if reads outside are meant",
            source=eqn.source,
        )


@functools.lru_cache(maxsize=4096)
def _load(text: str, level: int) -> Code:
    """Machine code for a kernel's text: equal texts are compiled once in a process."""
    start = time.perf_counter()
    code = load_object(compile_object(text, host(), level))
    STATISTICS.kernels += 1
    STATISTICS.seconds += time.perf_counter() - start
    return code


def lower_graph(graph: Graph) -> Program:
    """The program of a graph, before machine code."""
    graph = run_passes(graph, PASSES).graph
    return make_plan(graph, fuse(graph), host())


def compile_graph(graph: Graph) -> Compiled:
    """Compile a graph for this machine."""
    STATISTICS.graphs += 1
    return Compiled(graph, lower_graph(graph))


# ---- eager evaluation -----------------------------------------------------------------------------


@functools.lru_cache(maxsize=8192)
def _compiled_op(op: Op, inputs: tuple[ArrayType | Literal, ...]) -> Compiled:
    variables = tuple(x if isinstance(x, Literal) else Var(x) for x in inputs)
    outputs = tuple(map(Var, op.infer(*(v.type for v in variables))))
    arguments = tuple(v for v in variables if isinstance(v, Var))
    eqn = Eqn(op, variables, outputs, current_source())
    return compile_graph(Graph(op.name, arguments, (eqn,), outputs))


def evaluate(op: Op, inputs: Sequence[Any]) -> Sequence[Array]:
    """Run one op on arrays and literals, through a kernel compiled for their types."""
    key = tuple(x if isinstance(x, Literal) else array_type(x) for x in inputs)
    try:
        compiled = _compiled_op(op, key)
        return compiled.run([x for x in inputs if not isinstance(x, Literal)])
    except JitmlError as error:
        error.source = None if isinstance(error, OutOfBoundsError) else error.source
        raise error.located(current_source()) from None


_SEEN: dict[Graph, Compiled | None] = {}
_SEEN_LIMIT = 4096


def run_graph(graph: Graph, values: Sequence[Any]) -> Sequence[Any]:
    """Run a derived graph: op by op the first time it is seen, compiled from the second on."""
    if graph not in _SEEN:
        if len(_SEEN) >= _SEEN_LIMIT:
            _SEEN.clear()
        _SEEN[graph] = None
        return interpret(graph, values)
    compiled = _SEEN[graph]
    if compiled is None:
        compiled = _SEEN[graph] = compile_graph(graph)
    return compiled.run(values)


set_evaluator(evaluate)
set_executor(run_graph)
