"""Compile graphs and run them.

`compile_graph` takes a graph through the passes to a `Compiled`, which runs on arrays. Importing
this module makes eager operations and derived graphs run on compiled kernels.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.codegen.fuse import fuse
from jitml.codegen.plan import Program, make_plan
from jitml.codegen.target import compile_object, host
from jitml.ir.errors import JitmlError, OutOfBoundsError
from jitml.ir.graph import Eqn, Graph, Literal, Var
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.pipeline.cache import Cache
from jitml.pipeline.faults import explain_fault
from jitml.pipeline.passes import PASSES
from jitml.trace.core import array_type, current_source, set_evaluator
from jitml.transforms.execute import interpret, set_executor
from jitml.transforms.runner import run_passes
from jitml_runtime import Array, Code, Executable, KernelFault, from_numpy, load_object


class Statistics:
    """What this process has compiled: kernels, graphs, seconds spent on machine code."""

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
        codes = [_CODES((code.text, code.level)) for code in program.kernels]
        addresses = [
            loaded.address(code.function)
            for loaded, code in zip(codes, program.kernels, strict=True)
        ]
        self._executable = Executable(program.plan, addresses, tuple(codes), ())
        self._run = self._executable.run

    def run(self, arguments: Sequence[Array], graph: Graph | None = None) -> tuple[Array, ...]:
        """The outputs for these arguments. An index out of bounds raises OutOfBoundsError with its
        line.
        """
        try:
            return self._run(arguments)
        except KernelFault as fault:
            is_own = graph is None or graph is self.graph
            program = self.program if is_own else lower_graph(graph or self.graph)
            raise explain_fault(program, fault) from None


def _load(kernel: tuple[str, int]) -> Code:
    """Machine code for a kernel's text and level: equal texts are compiled once in a process."""
    start = time.perf_counter()
    code = load_object(compile_object(kernel[0], host(), kernel[1]))
    STATISTICS.kernels += 1
    STATISTICS.seconds += time.perf_counter() - start
    return code


_CODES: Cache[tuple[str, int], Code] = Cache(_load, 4096)


def lower_graph(graph: Graph) -> Program:
    """The program of a graph, before machine code."""
    graph = run_passes(graph, PASSES).graph
    return make_plan(graph, fuse(graph), host())


def compile_graph(graph: Graph) -> Compiled:
    """Compile a graph for this machine."""
    STATISTICS.graphs += 1
    return Compiled(graph, lower_graph(graph))


# ---- eager evaluation
# -----------------------------------------------------------------------------


def _compile_op(key: tuple[Any, ...]) -> Compiled:
    op, *inputs = key
    variables = tuple(Var(x) if isinstance(x, ArrayType) else x for x in inputs)
    outputs = tuple(map(Var, op.infer(*(v.type for v in variables))))
    arguments = tuple(v for v in variables if isinstance(v, Var))
    eqn = Eqn(op, variables, outputs)
    return compile_graph(Graph(op.name, arguments, (eqn,), outputs))


_OPS: Cache[tuple[Any, ...], Compiled] = Cache(_compile_op, 8192)


def number_array(x: Literal) -> Array:
    """A number as a 0-d array."""
    return from_numpy(np.asarray(x.value).astype(x.type.dtype), weak=x.type.weak)


_NUMBERS: Cache[Literal, Array] = Cache(number_array, 1024)


def evaluate(op: Op, inputs: Sequence[Any]) -> Sequence[Array]:
    """Run one op on arrays and literals, through a kernel compiled for their types.

    Numbers are arguments like arrays, so that another number needs no other kernel.
    """
    arrays = [_NUMBERS(x) if type(x) is Literal else x for x in inputs]
    key = (op, *map(array_type, arrays))
    try:
        return (_OPS.get(key) or _OPS(key)).run(arrays)
    except OutOfBoundsError as error:
        error.source = current_source()
        raise
    except JitmlError as error:
        raise error.located(current_source()) from None


# ---- derived graphs
# -------------------------------------------------------------------------------

_GRAPHS: Cache[Graph, Compiled] = Cache(compile_graph, 2048)
_SEEN: Cache[Graph, bool] = Cache(lambda graph: True, 8192)


def run_graph(graph: Graph, values: Sequence[Any]) -> Sequence[Any]:
    """Run a derived graph: op by op the first time it is seen, compiled from the second on."""
    compiled = _GRAPHS.get(graph)
    if compiled is None:
        if _SEEN.get(graph) is None:
            _SEEN(graph)
            return interpret(graph, values)
        compiled = _GRAPHS(graph)
    return compiled.run(values, graph)


def compiled_graph(graph: Graph) -> Compiled:
    """A graph compiled, at once or earlier for one that is equal but for names and lines."""
    return _GRAPHS(graph)


def clear_compiled() -> None:
    """Forget every kernel, operation and derived graph."""
    for cache in (_GRAPHS, _SEEN, _OPS, _NUMBERS, _CODES):
        cache.clear()


set_evaluator(evaluate)
set_executor(run_graph)
