"""`Jitted`: a function that is traced once for each signature, compiled, and run from then on.

In: calls. Out: results. A call whose signature and callees the runtime knows never gets here (the
runtime's Dispatcher runs it); every other one does: flatten the arguments, find the entry for their
types and static values or trace, run its callee, rebuild the result. Inside another trace the
recorded graph is replayed there instead.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from jitml.abstract import abstract_type, is_abstract, struct_of
from jitml.entries import Entry, EntryTable, Known, TypeKey, settled, type_key
from jitml.guards import Change, Guards, make_guards, merged
from jitml.ir.errors import ArgumentError, TracingForbiddenError
from jitml.ir.graph import Graph, Literal
from jitml.ir.nested import map_nested, nested_graphs
from jitml.ir.source import SCOPE, user_source
from jitml.ir.tracebacks import hiding_frames
from jitml.ir.types import ArrayType
from jitml.pipeline.spans import spanning
from jitml.pipeline.value_checks import are_checked
from jitml.reading import find_places, read_while_traced
from jitml.recording import argument_names, output_leaves
from jitml.retraces import Retrace, Retraces, Signature
from jitml.rewriting.attempt import Attempt, trace_as_written, trace_rewritten
from jitml.signature import NONE_CHOSEN, Chosen, StaticValue, name_of
from jitml.stages import Lowered, Traced
from jitml.trace.axes import named_axes
from jitml.trace.conventions import CONVENTIONS, is_narrowed
from jitml.trace.core import Traced as TracedGraph
from jitml.trace.core import Tracer, collecting_origins, current_trace, trace_graph, type_of
from jitml.trace.flags import flag
from jitml.transforms.inline import inline
from jitml.transforms.values import as_value, is_array_like, literal_value
from jitml.tree import flatten_with_path, keystr
from jitml.tree_structure import Structure, flatten
from jitml_runtime import Array, Dispatcher, calling
from jitml_runtime.record import frozen, replace

if TYPE_CHECKING:
    from jitml.reports.explanation import Explanation
    from jitml.reports.memory import MemoryReport
    from jitml.reports.report import CostReport

_NUMPY = (np.ndarray, np.generic)
_OUTPUTS = "return arrays, numbers, None, or containers of these; give the rest back in another way"


class _State(threading.local):
    retraces: bool = False  # what was traced before does not count
    inner: list[Guards] | None = (
        None  # what jitted functions depend on that the current trace has called
    )


_STATE = _State()


@contextmanager
def retracing() -> Iterator[None]:
    """Inside, jitted functions are traced anew, and what that gives is not kept."""
    before, _STATE.retraces = _STATE.retraces, True
    try:
        yield
    finally:
        _STATE.retraces = before


@contextmanager
def _collecting_guards() -> Iterator[list[Guards]]:
    """Inside, the guards of jitted functions that are called are told, those of the outer trace
    among them.
    """
    before = _STATE.inner
    found: list[Guards] = []
    _STATE.inner = found
    try:
        yield found
    finally:
        _STATE.inner = before
        if before is not None:
            before += found


@frozen
class _Call:
    """The arguments of one call: leaves and structure of the traced ones, and the static ones.

    `positions` says which positional arguments are static.
    """

    leaves: list[Any]
    structure: Structure
    static: tuple[StaticValue, ...]
    positions: tuple[int, ...]

    def rebuild(self, leaves: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        """All arguments, with `leaves` in place of the traced ones."""
        traced, named = self.structure.unflatten(leaves)
        args, kwargs = list(traced), dict(named)
        for static in self.static:
            if isinstance(static.key, int):
                args.insert(static.key, static.value)
            else:
                kwargs[static.key] = static.value
        return args, kwargs

    def key(self, types: tuple[TypeKey, ...]) -> Any:
        """What entries are looked up by."""
        return (self.structure, types, self.static, calling.is_wide, named_axes())


class Jitted(Dispatcher):
    """A function compiled by `jit`. `lower` gives its stages, `clear_cache` forgets what was
    compiled.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        static: Chosen = NONE_CHOSEN,
        donated: Chosen = NONE_CHOSEN,
        threads: int | None = None,
        python_control_flow: bool | None = None,
        verify: int = 0,
    ) -> None:
        super().__init__(static.numbers, static.names, threads)
        functools.update_wrapper(self, fun, updated=())
        self.__wrapped__ = fun
        self._static = static
        self._donated = donated
        self._limit = threads
        self._may_rewrite = (
            not CONVENTIONS.are_of_jax if python_control_flow is None else python_control_flow
        )
        self._retraces = Retraces(fun)
        self._to_verify = verify  # calls that are left to be compared with the reference
        self._is_rewritten = False  # once that was needed, later traces begin with it
        self._entries = EntryTable()
        _ALL.add(self)

    def __repr__(self) -> str:
        return f"<jitted {name_of(self.__wrapped__)}>"

    def _repr_html_(self) -> str:
        from jitml.display.functions import function_html

        return function_html(self.__wrapped__, self._retraces)

    def _repr_pretty_(self, printer: Any, is_cycle: bool) -> None:
        from jitml.display.functions import function_text

        alone = len(printer.stack) <= 1
        printer.text(function_text(self.__wrapped__, self._retraces) if alone else repr(self))

    def __reduce__(self) -> Any:
        made_from = (self.__wrapped__, self._static, self._donated, self._limit, self._may_rewrite)
        name = getattr(self, "__qualname__", None)
        return name or (Jitted, (*made_from, self._to_verify))

    @staticmethod
    def instances() -> list[Jitted]:
        """All that are alive."""
        return list(_ALL)

    @hiding_frames
    def miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a call that the runtime knows no callee for."""
        if calling.is_off:
            return self.__wrapped__(*args, **kwargs)
        call = self._arguments(args, kwargs)
        values = [
            x if type(x) is Array else self._value(x, call, k) for k, x in enumerate(call.leaves)
        ]
        types = tuple([type_key(x) for x in values])
        known = self._entries.known(call.key(types))
        is_inside = current_trace() is not None or any(isinstance(x, Tracer) for x in values)
        if not is_inside:
            given = self._donated_leaves(call)
            flags = [n in given for n in range(len(call.leaves))] if given else None
            narrows = any(is_narrowed(x.dtype) for x in call.leaves if isinstance(x, _NUMPY))
            if not (narrows or are_checked() or self._to_verify > 0):
                self.install(args, kwargs, call.leaves, flags, known.callees)
        found = None if _STATE.retraces else known.valid()
        if found is None:
            begin = time.perf_counter()
            changes = known.changes()
            found = self._traced(call, types, known)
            if not is_inside and found[0].compiled:
                self._note(call, types, changes, time.perf_counter() - begin)
        entry, hidden = found
        values += hidden
        if is_inside or any(isinstance(x, Tracer) for x in hidden):
            return _replayed(entry, values)
        if self._to_verify > 0:
            self._to_verify -= 1
            return entry.run_verified(values, call.leaves)
        if entry.is_cacheable:
            self._entries.use(known, entry)
        return entry.run(values, call.leaves)

    # ---- arguments ------------------------------------------------------------------------------

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
        static: tuple[StaticValue, ...] = ()
        positions: tuple[int, ...] = ()
        if self._static.numbers or self._static.names:
            positions = tuple(self._static.positions(len(args)))
            held: list[tuple[int | str, Any]] = [(n, args[n]) for n in positions]
            named = [(k, kwargs[k]) for k in sorted(kwargs) if k in self._static.names]
            static = tuple(
                StaticValue(key, value, self.__wrapped__) for key, value in (*held, *named)
            )
            args = tuple(x for n, x in enumerate(args) if n not in positions)
            kwargs = {k: v for k, v in kwargs.items() if k not in self._static.names}
        leaves, structure = flatten((args, kwargs))
        return _Call(leaves, structure, static, positions)

    def _value(self, x: Any, call: _Call, number: int) -> Any:
        if isinstance(x, Tracer):
            return settled(x)
        try:
            return as_value(x)
        except ArgumentError:
            if is_array_like(x):  # a NumPy array of a dtype that arrays cannot have
                raise
            raise ArgumentError(
                f"jit: the argument {self._paths(call)[number]} of {name_of(self.__wrapped__)} "
                f"has type {type(x).__name__}, which is neither an array nor a number",
                hint="make it static (static_argnames), or register its class as a tree "
                "(jitml.tree_util.register_dataclass)",
                source=user_source(),
            ) from None

    def _paths(self, call: _Call) -> list[str]:
        """How messages call the leaves of the arguments."""
        tree = call.structure.unflatten(list(range(call.structure.num_leaves)))
        count = len(tree[0]) + len(call.positions)
        names = argument_names(self.__wrapped__, count)
        traced = [name for n, name in enumerate(names) if n not in call.positions]
        paths = []
        for path, _ in flatten_with_path(tree)[0]:
            first = path[1]
            name = traced[first.idx] if path[0].idx == 0 else str(first.key)
            paths.append(name + keystr(path[2:]))
        return paths

    def _donated_leaves(self, call: _Call) -> tuple[int, ...]:
        """The numbers of the leaves that are given away, where they are arrays."""
        if not (self._donated.numbers or self._donated.names):
            return ()
        args, kwargs = call.structure.unflatten(list(range(call.structure.num_leaves)))
        count = len(args) + len(call.positions)
        given = set(self._donated.positions(count))
        traced = [n for n in range(count) if n not in call.positions]
        trees = [tree for n, tree in zip(traced, args, strict=True) if n in given]
        trees += [tree for name, tree in kwargs.items() if name in self._donated.names]
        return tuple(sorted(flatten(trees)[0]))

    # ---- tracing --------------------------------------------------------------------------------

    def _traced(
        self, call: _Call, types: tuple[TypeKey, ...], known: Known
    ) -> tuple[Entry, Sequence[Any]]:
        """A new entry, kept for later calls if it can be, and its hidden inputs."""
        self._tell_of_tracing(types)
        entry, captures = self._trace(call, [ArrayType(*t) for t in types])
        if entry.is_cacheable and not _STATE.retraces:
            self._entries.keep(known, entry)
        return entry, captures

    def _tell_of_tracing(self, types: tuple[TypeKey, ...]) -> None:
        """Do what JAX's switches want when a function is traced."""
        if flag("jax_no_tracing"):
            raise TracingForbiddenError(
                f"jit traces {name_of(self.__wrapped__)}, with jax_no_tracing set",
                hint="call it with arguments of these types before",
                source=user_source(),
            )
        if flag("jax_log_compiles"):
            import logging

            listed = ", ".join(str(ArrayType(*t)) for t in types)
            logger = logging.getLogger("jitml")
            logger.warning("Compiling %s for (%s)", name_of(self.__wrapped__), listed)

    def _trace(self, call: _Call, types: Sequence[ArrayType]) -> tuple[Entry, Sequence[Any]]:
        structure: list[Structure] = []

        def trace(function: Callable[..., Any]) -> TracedGraph:
            def flat(*tracers: Any) -> list[Any]:
                args, kwargs = call.rebuild(tracers)
                leaves, tree = output_leaves(function(*args, **kwargs), _OUTPUTS)
                structure[:] = [tree]
                return leaves

            return trace_graph(flat, types, name_of(self.__wrapped__), self._paths(call))

        names = argument_names(self.__wrapped__, max(call.positions, default=-1) + 1)
        known = {names[s.key] if isinstance(s.key, int) else s.key: s.value for s in call.static}
        places = find_places(self.__wrapped__, known)
        name = name_of(self.__wrapped__)
        with (
            spanning("trace", name),
            collecting_origins() as origins,
            _collecting_guards() as inner,
            _own_names(),
        ):
            attempt = self._attempt(trace)
        traced: TracedGraph = attempt.result
        later = list(callbacks_of(traced.graph))
        if later:
            places = read_while_traced(places, self.__wrapped__, known, later)
        if inner:
            places = merged(places, [place for guards in inner for place in guards.places()])
        made_from = [origins[id(x)][1] if id(x) in origins else x for x in traced.captures]
        guards, is_fetched = make_guards(places, made_from)
        constants = [
            None if is_it else x for x, is_it in zip(traced.captures, is_fetched, strict=True)
        ]
        is_open = any(isinstance(x, Tracer) for x in traced.captures)
        hidden = traced.captures if is_open else constants
        entry = Entry(traced.graph, structure[0], guards, hidden, self._donated_leaves(call))
        entry.rewritten = attempt.rewritten
        return entry, traced.captures

    def _note(
        self, call: _Call, types: tuple[TypeKey, ...], changes: Sequence[Change], seconds: float
    ) -> None:
        """Remember a trace, and what it took."""
        names = argument_names(self.__wrapped__, max(call.positions, default=-1) + 1)
        static = {names[s.key] if isinstance(s.key, int) else s.key: s for s in call.static}
        modes = (bool(calling.is_wide), named_axes())
        paths = tuple(self._paths(call))
        signature = Signature(call.structure, paths, types, static, modes)
        self._retraces.add(signature, changes, seconds)

    def _attempt(self, trace: Callable[[Callable[..., Any]], TracedGraph]) -> Attempt:
        """Trace the function as it is, or else with its control flow rewritten."""
        if not self._is_rewritten:
            attempt = trace_as_written(trace, self.__wrapped__, self._may_rewrite)
            if attempt is not None:
                return attempt
        attempt = trace_rewritten(trace, self.__wrapped__)
        self._is_rewritten = True
        return attempt

    # ---- stages ---------------------------------------------------------------------------------

    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """Trace for arguments (arrays or ShapeDtypeStructs); `.lower()` goes on."""
        call = self._arguments(args, kwargs)
        types = [
            abstract_type(x) if is_abstract(x) else type_of(self._value(x, call, k))
            for k, x in enumerate(call.leaves)
        ]
        key_types = tuple((t.dtype, t.shape, t.weak) for t in types)
        known = self._entries.known(call.key(key_types))
        found = None if _STATE.retraces else known.valid()
        entry, _ = found or self._traced(call, key_types, known)
        info = call.structure.unflatten([struct_of(t) for t in types])
        return Traced(entry, name_of(self.__wrapped__), call.structure, info)

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """As `.trace(…).lower()`; `.compile()` goes on."""
        return self.trace(*args, **kwargs).lower()

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The result's structure with ShapeDtypeStructs for leaves."""
        return self.trace(*args, **kwargs).out_info

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph recorded for arguments of these types."""
        return self.trace(*args, **kwargs).graph

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """Every stage for these arguments: source, graph, passes, plan and kernels, as text.

        It is data, too (`.as_dict()`); in a notebook a click on a line marks what it became.
        """
        from jitml.reports.explanation import explain_graph

        traced = self.trace(*args, **kwargs)
        return explain_graph(self, traced.graph, rewritten=traced.rewritten)

    def report(self, *args: Any, **kwargs: Any) -> CostReport:
        """Where the time of a call with these arguments goes: for each kernel the user's lines and
        variables, calls, milliseconds, bytes, operations, and the share of what this machine can do
        (which is measured once). The function runs some times.

        It prints as a table, shows itself in notebooks, and is data: `.rows`, `.as_dict()`.

        >>> import jitml, jitml.numpy as jnp
        >>> report = jitml.jit(lambda x: jnp.sum(x * x)).report(jnp.ones(1000))
        >>> [row.flops for row in report.rows], report.least_bytes
        ([2000.0], 4004.0)
        """
        from jitml.reports.anatomy import take_apart
        from jitml.reports.report import measure

        entry, values = self.prepared(args, kwargs)
        anatomy = take_apart(entry.graph, entry.donated)
        return measure(name_of(self.__wrapped__), anatomy, values, entry.donated)

    def memory(self, *args: Any, **kwargs: Any) -> MemoryReport:
        """How many bytes a call with these arguments (arrays or ShapeDtypeStructs) will need,
        without a run: the peak, what is alive at which step, the largest arrays with variables and
        lines.

        >>> import jitml, jitml.numpy as jnp
        >>> memory = jitml.jit(lambda x: x @ x).memory(jitml.ShapeDtypeStruct((64, 64), "float32"))
        >>> memory.arguments, memory.results
        (16384, 16384)
        """
        from jitml.reports.anatomy import take_apart
        from jitml.reports.memory import predict_memory

        traced = self.trace(*args, **kwargs)
        anatomy = take_apart(traced.graph, traced.entry.donated)
        return predict_memory(traced.fun_name, anatomy)

    def observed(self) -> Jitted:
        """The same function, jitted anew; it donates nothing."""
        return Jitted(self.__wrapped__, self._static, NONE_CHOSEN, self._limit, self._may_rewrite)

    def prepared(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, list[Any]]:
        """The entry for a call, and the values of its graph's inputs."""
        call = self._arguments(args, kwargs)
        entry = self.trace(*args, **kwargs).entry
        leaves = enumerate(call.leaves)
        values = [x if is_abstract(x) else self._value(x, call, k) for k, x in leaves]
        return entry, [*values, *(entry.hidden_values() or ())]

    @property
    def compiles(self) -> int:
        """How often the function has been traced and compiled for calls."""
        return self._retraces.count

    def explain_retraces(self) -> list[Retrace]:
        """Why it was traced again, the latest last.

        >>> import jitml, jitml.numpy as jnp
        >>> f = jitml.jit(lambda x: x + 1)
        >>> for n in (2, 3):
        ...     _ = f(jnp.ones(n))
        >>> [retrace] = f.explain_retraces()
        >>> retrace.argument, retrace.kind, retrace.before, retrace.after
        ('x', 'shape', 'f32[2]', 'f32[3]')
        """
        return list(self._retraces.found)

    def programs(self) -> list[Any]:
        """What has been compiled for it."""
        return self._entries.compiled()

    def clear_cache(self) -> None:
        """Forget everything traced and compiled."""
        self._entries.clear()
        self.forget()


def callbacks_of(graph: Graph) -> Iterator[Any]:
    """The Python functions that a program calls."""
    for eqn in graph.eqns:
        if eqn.op.runs_python:
            yield eqn.op.callback  # type: ignore[attr-defined]
        for nested in nested_graphs(eqn.op):
            yield from callbacks_of(nested)


_ALL: WeakSet[Jitted] = WeakSet()


def _replayed(entry: Entry, values: Sequence[Any]) -> Any:
    """The result inside another trace, which then depends on what the entry depends on."""
    if _STATE.inner is not None:
        _STATE.inner.append(entry.guards)
    found = inline(_named(entry.graph, SCOPE.path), values)
    outputs = [literal_value(x) if isinstance(x, Literal) else x for x in found]
    return entry.structure.unflatten(outputs)


@contextmanager
def _own_names() -> Iterator[None]:
    """A scope without the names around it: what is recorded is used from elsewhere, too."""
    before, SCOPE.path = SCOPE.path, ""
    try:
        yield
    finally:
        SCOPE.path = before


def _named(graph: Graph, scope: str) -> Graph:
    """The graph, its equations' names within those of `scope`."""
    if not scope:
        return graph
    eqns = [
        replace(
            eqn,
            op=map_nested(eqn.op, lambda inner: _named(inner, scope)),
            source=eqn.source.inside(scope),
        )
        for eqn in graph.eqns
    ]
    return graph.with_eqns(eqns)
