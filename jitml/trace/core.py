"""`Tracer`, `Trace` and `bind`: the one way in which equations come about.

There is one kind of tracer. A trace made with values at hand (`grad` outside `jit`) also evaluates each equation at
the level around it, so Python control flow on its tracers works; an abstract trace (`jit`, `vmap`) does not.
Trace state is per thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from jitml.ir.dtypes import DType, is_supported
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
from jitml.ir.graph import Atom, Eqn, Graph, Literal, Number, Var
from jitml.ir.op import Op
from jitml.ir.source import NOWHERE, Source, user_frame, user_source
from jitml.ir.types import ArrayType
from jitml_runtime import Array


class _State(threading.local):
    trace: Trace | None = None
    source: Source | None = None
    origins: dict[int, tuple[Any, Any]] | None = None


_STATE = _State()
_EVALUATE: list[Callable[[Op, Sequence[Any]], Sequence[Any]]] = []


def set_evaluator(evaluate: Callable[[Op, Sequence[Any]], Sequence[Any]]) -> None:
    """Tell how an op on arrays and literals is computed outside of any trace (the pipeline does)."""
    _EVALUATE[:] = [evaluate]


class Tracer:
    """Stands for a value of the graph under construction.

    `value` is the value at the level around the trace (an Array or an outer Tracer), or None if it is abstract.
    """

    __slots__ = ("__weakref__", "atom", "owner", "value")
    __array_ufunc__ = None
    __array_priority__ = 1000
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, trace: Trace, atom: Atom, value: Any = None) -> None:
        self.owner = trace
        self.atom = atom
        self.value = value

    @property
    def type(self) -> ArrayType:
        return self.atom.type

    @property
    def shape(self) -> tuple[int, ...]:
        return self.atom.type.shape

    @property
    def dtype(self) -> DType:
        return self.atom.type.dtype

    @property
    def weak_type(self) -> bool:
        return self.atom.type.weak

    @property
    def ndim(self) -> int:
        return len(self.atom.type.shape)

    @property
    def size(self) -> int:
        return self.atom.type.size

    @property
    def nbytes(self) -> int:
        return self.atom.type.size_bytes

    @property
    def itemsize(self) -> int:
        return int(self.atom.type.dtype.itemsize)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array with 0 dimensions")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Tracer<{self.type}>" + (f" of {self.value!r}" if self.value is not None else "")

    def _concrete(self, kind: type[TracerError], wanted: str, hint: str) -> Any:
        value = self.value
        while isinstance(value, Tracer):
            value = value.value
        if isinstance(value, Literal):
            return value.value
        if value is None:
            raise kind(
                f"{wanted} was asked of {describe(self)}, whose value is not known while tracing",
                hint=hint,
                source=user_source(),
            )
        return value

    def __bool__(self) -> bool:
        hint = "use jitml.numpy.where or lax.cond, or make the deciding argument static (static_argnums)"
        return bool(self._concrete(TracerBoolConversionError, "a Python truth value", hint))

    def __int__(self) -> int:
        return int(self._concrete(ConcretizationTypeError, "a Python int", _STATIC))

    def __index__(self) -> int:
        value = self._concrete(TracerIntegerConversionError, "a Python index", _STATIC)
        return int(value.__index__())

    def __float__(self) -> float:
        return float(self._concrete(ConcretizationTypeError, "a Python float", _STATIC))

    def __complex__(self) -> complex:
        return complex(self._concrete(ConcretizationTypeError, "a Python complex", _STATIC))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        hint = "use jitml.numpy in place of numpy here, or jitml.pure_callback"
        value = self._concrete(TracerArrayConversionError, "a NumPy array", hint)
        return np.asarray(value, dtype=dtype)


_STATIC = "make the argument static (static_argnums), or keep the computation in jitml.numpy"


def describe(tracer: Tracer) -> str:
    """How messages speak of a tracer: the user's variable where one holds it, and its type."""
    frame = user_frame(2)
    names = [] if frame is None else [k for k, v in frame.f_locals.items() if v is tracer]
    name = names[0] if names else tracer.atom.name if isinstance(tracer.atom, Var) else ""
    return f"{name}: {tracer.type}" if name else f"a value of type {tracer.type}"


class Traced(NamedTuple):
    """A recorded graph: its last inputs are what it captured from around it, in the order of `captures`.

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
        self.inputs: list[Var] = []
        self.eqns: list[Eqn] = []
        self.values: dict[Var, Any] = {}
        self.is_open = True
        self._captures: dict[int, tuple[Var, Any]] = {}
        # Equations that need not be recorded again: (op, inputs) -> outputs, seeded by transforms.
        self.known: dict[tuple[Any, ...], tuple[Var, ...]] | None = None
        self._around: Trace | None = None

    def input(self, type_: ArrayType, name: str = "", value: Any = None) -> Tracer:
        """A new input of the graph."""
        var = Var(type_, name)
        self.inputs.append(var)
        if value is not None:
            self.values[var] = value
        return Tracer(self, var, value)

    def lift(self, x: Any) -> Atom:
        """The atom that stands for `x` here: outer tracers and arrays become captured inputs."""
        if isinstance(x, Tracer):
            if x.owner is self:
                return x.atom
            if not x.owner.is_open:
                raise _leaked(x)
            return self._capture(x, x.type)
        if isinstance(x, Literal):
            return x
        if isinstance(x, Array):
            return self._capture(x, array_type(x))
        raise ArgumentError(f"{type(x).__name__} is not an array", source=user_source())

    def _capture(self, x: Any, type_: ArrayType) -> Var:
        found = self._captures.get(id(x))
        if found is None:
            found = self._captures[id(x)] = (Var(type_), x)
            if self.with_values:
                self.values[found[0]] = x
        return found[0]

    def tracer(self, x: Any) -> Tracer:
        """`x` as a tracer of this trace."""
        if isinstance(x, Tracer) and x.owner is self:
            return x
        atom = self.lift(x)
        return Tracer(self, atom, (atom if isinstance(atom, Literal) else x) if self.with_values else None)

    def record(self, op: Op, inputs: Sequence[Any]) -> list[Tracer]:
        """Append `op(inputs)`, or find it among the known equations; its outputs as tracers."""
        atoms = tuple(map(self.lift, inputs))
        if self.known is not None:
            found = self.known.get((op, atoms))
            if found is not None:
                return [Tracer(self, var, self.values.get(var)) for var in found]
        source = _STATE.source or user_source(3)
        try:
            types = op.infer(*(a.type for a in atoms))
        except JitmlError as error:
            raise error.located(source) from None
        outputs = tuple(Var(t) for t in types)
        self.eqns.append(Eqn(op, atoms, outputs, source))
        if self.known is not None:
            self.known[(op, atoms)] = outputs
        if not self.with_values:
            return [Tracer(self, var) for var in outputs]
        with _level(self._around), using_source(source):
            results = bind(op, *(self.values.get(a, a) if isinstance(a, Var) else a for a in atoms))
        self.values.update(zip(outputs, results, strict=True))
        return [Tracer(self, var, value) for var, value in zip(outputs, results, strict=True)]

    @contextmanager
    def recording(self) -> Iterator[Trace]:
        """Make this the current trace of the thread."""
        self._around = _STATE.trace
        with _level(self):
            try:
                yield self
            finally:
                self.is_open = False

    def finish(self, outputs: Sequence[Any]) -> Traced:
        """The graph with these outputs; what was captured comes after the inputs."""
        atoms = tuple(map(self.lift, outputs))
        captured = tuple(self._captures.values())
        inputs = (*self.inputs, *(var for var, _ in captured))
        graph = Graph(self.name, inputs, tuple(self.eqns), atoms)
        return Traced(graph, tuple(value for _, value in captured), self.values)


@contextmanager
def _level(trace: Trace | None) -> Iterator[None]:
    before = _STATE.trace
    _STATE.trace = trace
    try:
        yield
    finally:
        _STATE.trace = before


@contextmanager
def using_source(source: Source) -> Iterator[None]:
    """Equations recorded inside come from `source`: transforms replay equations under it."""
    before = _STATE.source
    _STATE.source = source if source else before
    try:
        yield
    finally:
        _STATE.source = before


def _leaked(tracer: Tracer) -> UnexpectedTracerError:
    return UnexpectedTracerError(
        f"a value of type {tracer.type} was used after the trace that made it had ended",
        hint="a traced function must return its results; do not keep them in globals, attributes or caches",
        source=user_source(3),
    )


@contextmanager
def collecting_origins() -> Iterator[dict[int, tuple[Any, Any]]]:
    """Inside, arrays made from users' NumPy arrays are told: id of the array → (array, what it was made from)."""
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
    return _STATE.trace


def current_source() -> Source:
    """The user's line that equations made now are attributed to."""
    return _STATE.source or user_source(3)


def outside_traces() -> Any:
    """A context in which nothing is recorded: operations on arrays run at once."""
    return _level(None)


def bind(op: Op, *inputs: Any) -> list[Any]:
    """Apply `op` to tracers, arrays and literals: record it in the current trace, or run it if there is none."""
    trace = _STATE.trace
    if trace is not None:
        return list(trace.record(op, inputs))
    for x in inputs:
        if isinstance(x, Tracer):
            raise _leaked(x)
    return list(_EVALUATE[0](op, inputs))


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
) -> Traced:
    """Run `function` on tracers of `types` (with `values` at hand, if given) and return what it recorded."""
    trace = Trace(name or getattr(function, "__name__", ""), values is not None)
    with trace.recording():
        arguments = [
            trace.input(t, names[i] if names else "", None if values is None else values[i])
            for i, t in enumerate(types)
        ]
        outputs = function(*arguments)
        traced = trace.finish([x if not _is_number(x) else literal(x) for x in outputs])
    return traced


def array_type(x: Array) -> ArrayType:
    """The type of an array at hand."""
    return ArrayType(x.dtype, x.shape, x.weak_type)


def type_of(x: Any) -> ArrayType:
    """The type of a tracer, array or literal."""
    return array_type(x) if isinstance(x, Array) else x.type


def _is_number(x: Any) -> bool:
    return isinstance(x, (bool, int, float, complex))


def literal(value: Number, type_: ArrayType | None = None) -> Literal:
    """A constant of the program; without a type, the weak default type of a Python number."""
    if type_ is None:
        type_ = ArrayType(DEFAULT_DTYPES.of(type(value)), (), not isinstance(value, bool))
    return Literal(convert_number(value, type_.dtype), ArrayType(type_.dtype, (), type_.weak))


def convert_number(value: Number, dtype: DType) -> Number:
    """`value` rounded to `dtype`, as a Python number. An integer that does not fit raises OverflowError."""
    if dtype.kind in "iu" and isinstance(value, int):
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max:
            from jitml.ir.errors import IntegerOverflowError

            raise IntegerOverflowError(
                f"{value} does not fit {dtype.name}",
                hint="give the value a wider dtype, or enable 64-bit defaults",
                source=user_source(),
            )
        return int(value)
    with np.errstate(all="ignore"):
        number = np.asarray(value).astype(dtype)
    return number.astype(np.float32).item() if not hasattr(number.item(), "real") else number.item()


class _DefaultDTypes(threading.local):
    """The dtypes that Python numbers get: 32 bits wide, or 64 with the switch."""

    wide_everywhere = False

    def __init__(self) -> None:
        self.wide: bool | None = None

    @property
    def is_wide(self) -> bool:
        return type(self).wide_everywhere if self.wide is None else self.wide

    def of(self, kind: type) -> DType:
        bits = "64" if self.is_wide else "32"
        if kind is bool:
            return np.dtype(np.bool_)
        if kind is complex:
            return np.dtype("complex128" if self.is_wide else "complex64")
        return np.dtype(("int" if kind is int else "float") + bits)


DEFAULT_DTYPES = _DefaultDTypes()


def check_supported(dtype: DType) -> DType:
    """Return `dtype` if arrays can have it."""
    if not is_supported(dtype):
        raise ArgumentError(
            f"arrays of dtype {dtype} are not supported",
            hint="use a bool, integer, float or complex dtype",
            source=user_source(),
        )
    return dtype
