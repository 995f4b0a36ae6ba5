"""`Tracer`, `Trace` and `bind`: the one way in which equations come about.

There is one kind of tracer. A trace made with values at hand (`grad` outside `jit`) also evaluates
each equation at the level around it, so Python control flow on its tracers works; an abstract trace
(`jit`, `vmap`) does not. Trace state is per thread.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from jitml.ir.dtypes import DType
from jitml.ir.errors import (
    ArgumentError,
    ConcretizationTypeError,
    JitmlError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerError,
    TracerIntegerConversionError,
    UnexpectedTracerError,
)
from jitml.ir.graph import Atom, Eqn, Graph, Literal, Var
from jitml.ir.op import Op
from jitml.ir.source import NOWHERE, Source, user_frame, user_source
from jitml.ir.types import ArrayType
from jitml.trace.axes import without_axes
from jitml.trace.forms import ask_truth
from jitml.trace.numbers import is_number, literal
from jitml_runtime import Array, calling


class _State(threading.local):  # the current trace itself is `calling.recorder`
    suspended: Trace | None = None  # the trace that `outside_traces` has put aside
    leaks: list[weakref.ref[Tracer]] | None = None  # the tracers made while leaks are looked for
    source: Source | None = None
    replaced: dict[int, Any] | None = None  # by id: what tracers of ended traces are now
    origins: dict[int, tuple[Any, Any]] | None = None


_STATE = _State()


_EVALUATE: list[Callable[[Op, Sequence[Any]], Sequence[Any]]] = []


def set_evaluator(evaluate: Callable[[Op, Sequence[Any]], Sequence[Any]]) -> None:
    """Tell how an op on arrays and literals is computed outside of traces (the pipeline does)."""
    _EVALUATE[:] = [evaluate]


def has_evaluator() -> bool:
    """Whether that has been told."""
    return bool(_EVALUATE)


Kind = type[TracerError]  # `type` is a property of tracers


class Tracer:
    """Stands for a value of the graph under construction.

    `value` is the value at the level around the trace (an Array or an outer Tracer), or None if it
    is abstract.
    """

    __slots__ = ("__weakref__", "atom", "owner", "type", "value")
    __array_priority__ = 1000
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, trace: Trace, atom: Atom, value: Any = None) -> None:
        self.owner = trace
        self.atom = atom
        self.type = atom.type
        self.value = value
        if _STATE.leaks is not None:
            _STATE.leaks.append(weakref.ref(self))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def weak_type(self) -> bool:
        return self.type.weak

    @property
    def ndim(self) -> int:
        return len(self.type.shape)

    @property
    def size(self) -> int:
        return self.type.size

    @property
    def nbytes(self) -> int:
        return self.type.size_bytes

    @property
    def itemsize(self) -> int:
        return int(self.type.dtype.itemsize)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array with 0 dimensions")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Tracer<{self.type}>" + (f" of {self.value!r}" if self.value is not None else "")

    def concrete(self, wanted: str) -> Any:
        """The value, if it is at hand; `wanted` is what it is needed as."""
        return self._concrete(ConcretizationTypeError, wanted, _STATIC)

    def _concrete(self, kind: Kind, wanted: str, hint: str) -> Any:
        value: Any = self
        while isinstance(value, Tracer):
            innermost, value = value, value.value
        if value is None:
            if not innermost.owner.is_open:
                raise ended_trace_error(self)
            name = innermost.owner.name
            raise kind(
                f"{wanted} was asked of {describe(self)}, "
                f"whose value is not known while {name or 'the function'} is traced",
                hint=hint,
                source=user_source(),
            )
        return _number_array(value) if isinstance(value, Literal) else value

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        hint = f'jitml.debug.print("{{x:{spec}}}", x=x) prints it when the program runs'
        return format(self._concrete(ConcretizationTypeError, "a formatted number", hint), spec)

    def __bool__(self) -> bool:
        try:
            return bool(self._concrete(TracerBoolConversionError, "a Python truth value", _DECIDE))
        except TracerBoolConversionError as error:
            if error.source and error.source.text.startswith("assert "):
                error.hint = _ASSERT
            ask_truth()
            raise

    def __int__(self) -> int:
        return int(self._concrete(ConcretizationTypeError, "a Python int", _STATIC))

    def __index__(self) -> int:
        value = self._concrete(TracerIntegerConversionError, "a Python integer", _STATIC)
        return int(value.__index__())

    def __float__(self) -> float:
        return float(self._concrete(ConcretizationTypeError, "a Python float", _STATIC))

    def __complex__(self) -> complex:
        return complex(self._concrete(ConcretizationTypeError, "a Python complex", _STATIC))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        hint = "use jitml.numpy in place of numpy here"
        value = self._concrete(TracerArrayConversionError, "a NumPy array", hint)
        return np.asarray(value, dtype=dtype)


_ASSERT = "jitml.checkify.check(condition, message) raises when the program runs"
_DECIDE = (
    "decide with jitml.numpy.where or lax.cond, or make the argument it comes from static "
    "(static_argnames)"
)
_STATIC = (
    "compute with jitml.numpy instead, or make the argument it comes from static (static_argnames)"
)


def _number_array(x: Literal) -> np.ndarray[Any, Any]:
    return np.asarray(x.value).astype(x.type.dtype)


def describe(tracer: Tracer) -> str:
    """How messages speak of a tracer: the user's variable where one holds it, and its type."""
    frame = user_frame(2)
    variables = {} if frame is None else frame.f_locals
    names = [k for k, v in variables.items() if v is tracer and k.isidentifier()]
    name = names[0] if names else tracer.atom.name if isinstance(tracer.atom, Var) else ""
    if name:
        return f"{name}: {tracer.type}"
    used = ", ".join(f"{var.name}: {var.type}" for var in _arguments_of(tracer) if var.name)
    return f"a value of type {tracer.type}" + (f" computed from {used}" if used else "")


def _arguments_of(tracer: Tracer) -> list[Var]:
    """The inputs of the graph that a tracer's value depends on."""
    needed = {tracer.atom}
    for eqn in reversed(tracer.owner.eqns):
        if not needed.isdisjoint(eqn.outputs):
            needed.update(eqn.inputs)
    return [var for var in tracer.owner.inputs if var in needed]


def _maker(tracer: Tracer) -> Source:
    """The user's line that made a tracer; nowhere, for an argument."""
    for eqn in tracer.owner.eqns:
        if any(var is tracer.atom for var in eqn.outputs):
            return eqn.source
    return NOWHERE


def ended_trace_error(tracer: Tracer) -> UnexpectedTracerError:
    """The error for a tracer that is used after its trace has ended: where it was made, and where
    it is used.
    """
    made = _maker(tracer).describe()
    name = tracer.owner.name or "the function"
    return UnexpectedTracerError(
        f"{describe(tracer)} is used, but the trace of {name} that made it has ended"
        + (f"\n  made {made}" if made else ", whose argument it was"),
        hint="return the value; what is kept in a global, attribute or list has no value later",
        source=user_source(3),
    )


class Traced(NamedTuple):
    """A recorded graph: its last inputs are what it captured from around it, in the order of
    `captures`.

    `values` has the value of each variable, where values were at hand.
    """

    graph: Graph
    captures: tuple[Any, ...]
    values: dict[Var, Any]


class Trace:
    """A graph under construction."""

    def __init__(self, name: str = "", with_values: bool = False) -> None:
        self.name = name
        self.with_values = with_values
        self.differentiates = with_values
        self.inputs: list[Var] = []
        self.eqns: list[Eqn] = []
        self.values: dict[Var, Any] = {}
        self.is_open = True
        self._captures: dict[int, tuple[Var, Any]] = {}
        # Equations that need not be recorded again: (op, inputs) -> outputs, seeded by transforms.
        self.known: dict[tuple[Any, ...], tuple[Var, ...]] | None = None
        self.around: Trace | None = None
        # The variables that a derivative moves, as far as the first `examined` equations go.
        self.moving: set[Var] = set()
        self.examined = 0

    def input(self, type_: ArrayType, name: str = "", value: Any = None) -> Tracer:
        """A new input of the graph."""
        var = self._new_input(type_, name)
        self.inputs.append(var)
        if value is not None:
            self.values[var] = value
        return Tracer(self, var, value)

    def lift(self, x: Any) -> Atom:
        """The atom that stands for `x` here: outer tracers and arrays become captured inputs."""
        if isinstance(x, Tracer):
            if x.owner is self:
                return x.atom
            if _STATE.replaced is not None and id(x) in _STATE.replaced:
                return self.lift(_STATE.replaced[id(x)])
            if not x.owner.is_open:
                raise ended_trace_error(x)
            return self._capture(x, x.type)
        if isinstance(x, Literal):
            return x
        if isinstance(x, Array):
            return self._capture(x, array_type(x))
        raise ArgumentError(f"{type(x).__name__} is not an array", source=user_source())

    def _capture(self, x: Any, type_: ArrayType) -> Var:
        found = self._captures.get(id(x))
        if found is None:
            found = self._captures[id(x)] = (self._new_input(type_), x)
            if self.with_values:
                self.values[found[0]] = x
        return found[0]

    def _new_input(self, type_: ArrayType, name: str = "") -> Var:
        return Var(type_, name)

    def tracer(self, x: Any) -> Tracer:
        """`x` as a tracer of this trace."""
        if isinstance(x, Tracer) and x.owner is self:
            return x
        atom = self.lift(x)
        return Tracer(
            self, atom, (atom if isinstance(atom, Literal) else x) if self.with_values else None
        )

    def record(self, op: Op, inputs: Sequence[Any]) -> list[Tracer]:
        """Append `op(inputs)`, or find it among the known equations; its outputs as tracers."""
        if self.differentiates and op.runs_once:
            return list(op.record_in(self, inputs))
        lift = self.lift
        atoms = tuple([lift(x) for x in inputs])
        if self.known is not None:
            found = self.known.get((op, atoms))
            if found is not None:
                return [Tracer(self, var, self.values.get(var)) for var in found]
        source = _STATE.source or user_source(3)
        if self.differentiates:
            return self.append(op, atoms, None, self._run(op, atoms, source), source)
        try:
            types = op.infer(*[a.type for a in atoms])
        except JitmlError as error:
            raise error.located(source) from None
        return self.append(op, atoms, types, None, source)

    def append(
        self,
        op: Op,
        atoms: tuple[Atom, ...],
        types: Sequence[ArrayType] | None,
        values: Sequence[Any] | None,
        source: Source,
    ) -> list[Tracer]:
        """Take the equation `op(atoms)` in, whose outputs have `types`, and these `values` where
        they are at hand (then the types may be left to them).
        """
        if types is None:
            types = [type_of(x) for x in values or ()]
        outputs = tuple([Var(t) for t in types])
        self.eqns.append(Eqn(op, atoms, outputs, source))
        if self.known is not None:
            self.known[(op, atoms)] = outputs
        if values is None:
            return [Tracer(self, var) for var in outputs]
        return self._computed(outputs, values)

    def _computed(self, variables: Sequence[Var], values: Sequence[Any]) -> list[Tracer]:
        """Tracers of variables whose values are at hand."""
        known = self.values
        tracers = []
        for var, value in zip(variables, values, strict=True):
            known[var] = value
            tracers.append(Tracer(self, var, value))
        return tracers

    def _run(self, op: Op, atoms: Sequence[Atom], source: Source) -> Sequence[Any]:
        """The values of an equation, at the level around this trace."""
        known = self.values
        arguments = [known.get(a, a) if type(a) is Var else a for a in atoms]
        before = calling.recorder, _STATE.source
        calling.recorder, _STATE.source = self.around, source
        try:
            return bind(op, *arguments)
        finally:
            calling.recorder, _STATE.source = before

    def recording(self) -> _Recording:
        """A scope in which this is the current trace of the thread; afterwards it has ended."""
        return _Recording(self)

    def finish(self, outputs: Sequence[Any]) -> Traced:
        """The graph with these outputs; what was captured comes after the inputs."""
        atoms = tuple(map(self.lift, outputs))
        inputs = (*self.inputs, *[var for var, _ in self._captures.values()])
        graph = Graph(self.name, inputs, tuple(self.eqns), atoms)
        return Traced(graph, self._captured_values(), self.values)

    def _captured_values(self) -> tuple[Any, ...]:
        return tuple([value for _, value in self._captures.values()])


class at_level:  # a scope; a class, for a generator costs more than what runs in it
    """A scope in which `trace` is the current trace of the thread."""

    __slots__ = ("_before", "_trace")

    def __init__(self, trace: Trace | None) -> None:
        self._trace = trace

    def __enter__(self) -> None:
        self._before = calling.recorder
        calling.recorder = self._trace

    def __exit__(self, *_: object) -> None:
        calling.recorder = self._before


class _Recording(at_level):
    """The scope of `Trace.recording`."""

    __slots__ = ()
    _trace: Trace

    def __enter__(self) -> None:
        self._trace.around = calling.recorder
        super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._trace.is_open = False


class using_source:
    """A scope whose equations come from `source`: transforms replay equations under it. With None
    they come from the line that runs.
    """

    __slots__ = ("_before", "_source")

    def __init__(self, source: Source | None) -> None:
        self._source = source

    def __enter__(self) -> None:
        self._before = _STATE.source
        if self._source or self._source is None:
            _STATE.source = self._source

    def __exit__(self, *_: object) -> None:
        _STATE.source = self._before


@contextmanager
def replacing(tracers: Sequence[Any], values: Sequence[Any]) -> Iterator[None]:
    """A scope in which `values` (but for None) stand for `tracers`, whose traces may have ended."""
    before = _STATE.replaced
    pairs = zip(tracers, values, strict=True)
    known = {id(old): new for old, new in pairs if new is not None and old is not new}
    _STATE.replaced = {**(before or {}), **known}
    try:
        yield
    finally:
        _STATE.replaced = before


def replacement(tracer: Tracer) -> Any | None:
    """What stands for `tracer` now, or None."""
    return None if _STATE.replaced is None else _STATE.replaced.get(id(tracer))


@contextmanager
def checking_leaks() -> Iterator[None]:
    """A scope in which a trace raises UnexpectedTracerError when one of its tracers outlives it.

    Tracers that are kept in globals, attributes or lists are errors waiting to happen. It costs
    time: a collection of garbage for each trace.
    """
    before = _STATE.leaks
    _STATE.leaks = []
    try:
        yield
    finally:
        _STATE.leaks = before


def looks_for_leaks() -> bool:
    """Whether traces on this thread look for leaks."""
    return _STATE.leaks is not None


def look_for_leaks(wanted: bool) -> None:
    """Let traces on this thread look for leaks, or no longer."""
    _STATE.leaks = [] if wanted else None


def _check_leaks(trace: Trace) -> None:
    """Raise if a tracer of a trace that has just ended is still alive."""
    references, _STATE.leaks = _STATE.leaks or [], []
    gc.collect()
    alive = [x for x in (ref() for ref in references) if x is not None]
    _STATE.leaks += [weakref.ref(x) for x in alive if x.owner is not trace]
    leaked = next((x for x in alive if x.owner is trace), None)
    if leaked is not None:
        made = _maker(leaked).describe()
        name = leaked.atom.name if isinstance(leaked.atom, Var) else ""
        raise UnexpectedTracerError(
            f"{name + ': ' if name else 'a value of type '}{leaked.type} outlives the trace of "
            f"{trace.name or 'the function'} that made it" + (f"\n  made {made}" if made else ""),
            hint="return the value; do not keep it in a global, attribute, list or cache",
            source=user_source(3),
        )


@contextmanager
def collecting_origins() -> Iterator[dict[int, tuple[Any, Any]]]:
    """Inside, arrays made from users' NumPy arrays are told: id of the array → (array, what it was
    made from).
    """
    before = _STATE.origins
    _STATE.origins = {}
    try:
        yield _STATE.origins
    finally:
        _STATE.origins = before


def note_origin(array: Any, original: Any) -> None:
    """Tell whoever collects them that `array` was made from a user's NumPy array `original`."""
    if _STATE.origins is not None:
        _STATE.origins[id(array)] = (array, original)


def current_trace() -> Trace | None:
    """The trace that `bind` records into on this thread, or None."""
    trace: Trace | None = calling.recorder
    return trace


def current_source() -> Source:
    """The user's line that equations made now are attributed to."""
    return _STATE.source or user_source(3)


@contextmanager
def outside_traces() -> Iterator[None]:
    """A scope in which operations on arrays run at once, also while tracing; those on tracers are
    recorded.
    """
    before = _STATE.suspended
    if calling.recorder is not None:
        _STATE.suspended = calling.recorder
    try:
        with at_level(None), without_axes():
            yield
    finally:
        _STATE.suspended = before


def bind(op: Op, *inputs: Any) -> list[Any]:
    """Apply `op` to tracers, arrays and literals: record it in the current trace, or run it if
    there is none.
    """
    trace = calling.recorder
    if trace is None:
        for x in inputs:
            if type(x) is Tracer:
                trace = _STATE.suspended
                if trace is None or not x.owner.is_open:
                    raise ended_trace_error(x)
        if trace is None:
            return list(_EVALUATE[0](op, inputs))
    return list(trace.record(op, inputs))


def bind1(op: Op, *inputs: Any) -> Any:
    """`bind` for an op with one output."""
    (output,) = bind(op, *inputs)
    return output


def trace_graph(
    function: Callable[..., Sequence[Any]],
    types: Sequence[ArrayType],
    name: str = "",
    names: Sequence[str] = (),
    values: Sequence[Any] | None = None,
    trace: Trace | None = None,
) -> Traced:
    """Run `function` on tracers of `types` (with `values` at hand, if given) and return what it
    recorded, in a `trace` of its own or in one that is given.
    """
    if trace is None:
        trace = Trace(name or getattr(function, "__name__", ""), values is not None)
    arguments: list[Tracer] = []
    outputs: Sequence[Any] = ()
    with trace.recording():
        arguments = [
            trace.input(t, names[i] if names else "", None if values is None else values[i])
            for i, t in enumerate(types)
        ]
        outputs = function(*arguments)
        traced = trace.finish([x if not is_number(x) else literal(x) for x in outputs])
    if _STATE.leaks is not None:
        arguments, outputs = [], ()
        _check_leaks(trace)
    return traced


def array_type(x: Array) -> ArrayType:
    """The type of an array at hand."""
    key = (x.dtype, x.shape, x.weak_type)
    found = _ARRAY_TYPES.get(key)
    if found is None:
        if len(_ARRAY_TYPES) >= _MOST_ARRAY_TYPES:
            _ARRAY_TYPES.clear()
        found = _ARRAY_TYPES[key] = ArrayType(*key)
    return found


_ARRAY_TYPES: dict[
    tuple[DType, tuple[int, ...], bool], ArrayType
] = {}  # looked up faster than made
_MOST_ARRAY_TYPES = 4096


def type_of(x: Any) -> ArrayType:
    """The type of a tracer, array or literal."""
    return array_type(x) if isinstance(x, Array) else x.type
