"""Compile graphs and run them.

`compile_graph` takes a graph through the passes to a `Compiled`, which runs on arrays. Importing
this module makes eager operations and derived graphs run on compiled kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np

from jitml.ir.errors import JitmlError, NativeError, OutOfBoundsError
from jitml.ir.graph import Eqn, Graph, Literal, Var
from jitml.ir.op import Op
from jitml.ops.callback import HostFunction
from jitml.pipeline.cache import Cache
from jitml.pipeline.devices import (
    CPU,
    device_executable,
    device_name,
    device_target,
    finish_calls,
    host_call,
)
from jitml.pipeline.kernels import forget_kernels, host_target
from jitml.pipeline.programs import find_program, make_ready, stored_key
from jitml.pipeline.spans import spanning
from jitml.pipeline.statistics import STATISTICS
from jitml.pipeline.tiers import watch
from jitml.pipeline.value_checks import (
    Kind,
    Watched,
    are_checked,
    check_operation,
    forbidden_kinds,
    has_parts,
)
from jitml.trace.core import array_type, current_source, set_evaluator
from jitml.trace.flags import scope_flag
from jitml.transforms.execute import interpret, set_executor
from jitml.transforms.inline_calls import drop_barriers, inline_calls
from jitml_runtime import Array, Executable, KernelFault, Operation, forget_operations, from_numpy
from jitml_runtime.code import IS_INSPECTED
from jitml_runtime.library import with_addresses

if TYPE_CHECKING:
    from jitml.codegen.plan import Program


KNOWN: WeakValueDictionary[int, Compiled] = WeakValueDictionary()  # by the id of its executable


class Compiled:
    """A graph compiled for this machine, now or by an earlier process; `run` takes one array for
    each input. Those at `donated` may lose their memory to results.
    """

    def __init__(
        self,
        graph: Graph,
        program: Program | None = None,
        donated: tuple[int, ...] = (),
        on_host: bool = False,
    ) -> None:
        self.graph = graph
        with spanning("compile", graph.name):
            self._build(program, donated, on_host)
            KNOWN[id(self.executable)] = self

    def _build(self, program: Program | None, donated: tuple[int, ...], on_host: bool) -> None:
        graph = self.graph
        if device_name() != CPU and not on_host:
            self._bind_to_device(program, donated)
            return
        key = stored_key(graph, donated) if program is None else None
        ready = find_program(key)
        if ready is None:
            self.program = program or lower_graph(graph, donated, on_host)
            STATISTICS.graphs += 1
            ready = make_ready(self.program, key)
        self.plan = ready.plan
        if IS_INSPECTED:
            from jitml_runtime.inspection import announce

            announce(ready.plan, ready.codes)
        # A program that was found on disk calls no Python functions.
        functions = self.program.functions if "program" in self.__dict__ else ()
        called = [function.on_views for function in functions if isinstance(function, HostFunction)]
        self.executable = Executable(
            with_addresses(ready.plan, ready.addresses),
            ready.addresses,
            (ready.codes, graph),
            called,
        )
        self._run = self.executable.run
        watch(self.executable, ready)

    def _bind_to_device(self, program: Program | None, donated: tuple[int, ...]) -> None:
        try:
            self.program = program or lower_graph(self.graph, donated)
            self.plan, self.executable = device_executable(self.program, _host_routine)
        except JitmlError as error:  # there is no device, say
            sources = [eqn.source for eqn in self.graph.eqns if eqn.source]
            raise (error.located(sources[0]) if sources else error) from None
        STATISTICS.graphs += 1
        self._run = self.executable.run

    @cached_property
    def program(self) -> Program:
        """What the graph was lowered to; lowered again where the program was found on disk."""
        return lower_graph(self.graph)

    def run(self, arguments: Sequence[Array], graph: Graph | None = None) -> tuple[Array, ...]:
        """The outputs for these arguments. An index out of bounds raises OutOfBoundsError with its
        line.
        """
        if not are_checked():
            return self._run_located(arguments, graph)
        from jitml.pipeline.key_checks import KeyCheck

        own = graph or self.graph
        keys = KeyCheck(own, arguments)
        kinds = forbidden_kinds()
        if kinds and has_parts(own):
            results = self._run_watched(own, kinds, arguments)
        else:
            results = self._run_located(arguments, graph)
            check_operation(own, results, kinds)
        keys.follow(results)
        return results

    def _run_watched(
        self, graph: Graph, kinds: tuple[Kind, ...], arguments: Sequence[Array]
    ) -> tuple[Array, ...]:
        """As `run`, by a program that also notes which equation makes what is forbidden."""
        given = self._kept(arguments)
        with scope_flag("jax_debug_nans", False), scope_flag("jax_debug_infs", False):
            found = self._watching.get(kinds)
            if found is None:
                watched = Watched(self.graph, kinds)
                taken = [len(watched.start) + argument for _, argument in self.plan.aliases]
                found = watched, Compiled(watched.graph, donated=tuple(taken))
                self._watching[kinds] = found
        watched, compiled = found
        results = compiled._run_located([*watched.start, *arguments], watched.graph)
        return tuple(watched.results(results, given, graph))

    @cached_property
    def _watching(self) -> dict[tuple[Kind, ...], tuple[Watched, Compiled]]:
        """Programs that also note what is forbidden, by what that is."""
        return {}

    def _run_located(self, arguments: Sequence[Array], graph: Graph | None) -> tuple[Array, ...]:
        explain = None if graph is None or graph is self.graph else partial(_explain_as, graph)
        try:
            return self._run(arguments, explain)
        except KernelFault as fault:
            if explain is not None:
                raise explain(fault) from None
            from jitml.pipeline.faults import explain_fault

            raise explain_fault(self.program, fault) from None

    def _kept(self, arguments: Sequence[Array]) -> list[Array]:
        """The arguments, with copies of those that a run takes the memory of."""
        taken = {argument for _, argument in self.plan.aliases}
        return [
            from_numpy(np.asarray(x), weak=x.weak_type) if n in taken else x
            for n, x in enumerate(arguments)
        ]


def _explain_as(graph: Graph, fault: KernelFault) -> BaseException:
    """What a failed check means, with the lines of an equal graph."""
    from jitml.pipeline.faults import explain_fault

    return explain_fault(lower_graph(graph), fault)


def lower_graph(graph: Graph, donated: tuple[int, ...] = (), on_host: bool = False) -> Program:
    """The program of a graph, before machine code: for the device that programs run on, or
    `on_host`.
    """
    from jitml.pipeline.lowering import lower

    is_here = on_host or device_name() == CPU
    return lower(graph, host_target() if is_here else device_target(), donated)


def _host_routine(eqn: Eqn) -> Any:
    """What computes one equation on the host, beside a device."""
    inputs = tuple([Var(a.type) for a in eqn.inputs])
    outputs = tuple([Var(v.type) for v in eqn.outputs])
    graph = Graph(eqn.op.name, inputs, (Eqn(eqn.op, inputs, outputs),), outputs)
    return host_call(Compiled(graph, on_host=True).run)


def compile_graph(graph: Graph) -> Compiled:
    """Compile a graph for this machine."""
    return Compiled(graph)


# ---- eager evaluation
# -----------------------------------------------------------------------------


def _compile_op(key: tuple[Any, ...]) -> Compiled:
    op, *types = key
    inputs, outputs = (tuple(map(Var, some)) for some in (types, op.infer(*types)))
    return compile_graph(Graph(op.name, inputs, (Eqn(op, inputs, outputs),), outputs))


_OPS: Cache[tuple[Any, ...], Compiled] = Cache(_compile_op, 8192)


def _run_op(op: Op, arrays: Sequence[Array]) -> Sequence[Array]:
    return _OPS((op, *map(array_type, arrays))).run(arrays)


def _short_cut(op: Op) -> Operation:
    """An op as the runtime finds it, which gives an array where it knows the program, else a
    sequence of them.
    """

    def unknown(operation: Operation, *arrays: Array) -> Sequence[Array]:
        compiled = _OPS((op, *map(array_type, arrays)))
        if len(compiled.plan.outputs) == 1 and not are_checked():
            operation.install(arrays, compiled.executable)
        return compiled.run(arrays)

    return Operation(lambda *arrays: _run_op(op, arrays), unknown)


_SHORT_CUTS: Cache[Op, Operation] = Cache(_short_cut, 4096)


def number_array(x: Literal) -> Array:
    """A number as a 0-d array."""
    return from_numpy(np.asarray(x.value).astype(x.type.dtype), weak=x.type.weak)


_NUMBERS: Cache[Literal, Array] = Cache(number_array, 1024)


def evaluate(op: Op, inputs: Sequence[Any]) -> Sequence[Array]:
    """Run one op on arrays and literals, through a kernel compiled for their types.

    Numbers are arguments like arrays, so that another number needs no other kernel.
    """
    arrays = [(_NUMBERS.get(x) or _NUMBERS(x)) if type(x) is Literal else x for x in inputs]
    if op.has_rule:
        outputs = run_graph(op.body, arrays)  # type: ignore[attr-defined]
        return [_NUMBERS(x) if type(x) is Literal else x for x in outputs]
    if op.runs_python:
        return op.run(arrays)  # type: ignore[attr-defined, no-any-return]
    try:
        if op.has_effect:  # and must not run a second time
            return _run_op(op, arrays)
        try:
            found = (_SHORT_CUTS.get(op) or _SHORT_CUTS(op))(*arrays)
        except KernelFault:
            found = _run_op(op, arrays)  # which tells what it means
        return (found,) if type(found) is Array else found
    except (OutOfBoundsError, NativeError) as error:
        error.source = current_source()
        raise
    except JitmlError as error:
        raise error.located(current_source()) from None


# ---- derived graphs
# -------------------------------------------------------------------------------

_GRAPHS: Cache[Graph, Compiled] = Cache(compile_graph, 2048)
_DONATING: Cache[tuple[Graph, tuple[int, ...]], Compiled] = Cache(
    lambda key: Compiled(key[0], donated=key[1]), 512
)
_SEEN: Cache[Graph, bool] = Cache(lambda graph: True, 8192)


def run_graph(graph: Graph, values: Sequence[Any]) -> Sequence[Any]:
    """Run a derived graph: op by op the first time it is seen, compiled from the second on."""
    compiled = _GRAPHS.get(graph)
    if compiled is None:
        graph = inline_calls(graph)
        compiled = _GRAPHS.get(graph)
    if compiled is None:
        if _SEEN.get(graph) is None:
            _SEEN(graph)
            return interpret(drop_barriers(graph), values)
        compiled = _GRAPHS(graph)
    return compiled.run(values, graph)


def compiled_graph(graph: Graph, donated: tuple[int, ...] = ()) -> Compiled:
    """A graph compiled, at once or earlier for one that is equal but for names and lines; its
    results may take the memory of the `donated` inputs.
    """
    graph = inline_calls(graph)
    return _DONATING((graph, donated)) if donated else _GRAPHS(graph)


def clear_compiled() -> None:
    """Forget every kernel, operation and derived graph; what lies on disk stays."""
    finish_calls()
    for cache in (_GRAPHS, _DONATING, _SEEN, _OPS, _SHORT_CUTS, _NUMBERS):
        cache.clear()
    forget_operations()
    forget_kernels()


set_evaluator(evaluate)
set_executor(run_graph)
