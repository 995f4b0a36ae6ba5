"""`jit`: trace a function once for each signature, compile it, and run it from then on.

A call is: flatten the arguments, find the entry for their types and static values, check its guards, fetch its hidden
inputs, run its plan, rebuild the result. Inside another trace the recorded graph is replayed there instead.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from jitml.guards import Read, find_reads
from jitml.ir.errors import ArgumentError
from jitml.ir.graph import Graph, Literal
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.pipeline.compile import Compiled, compile_graph
from jitml.recording import argument_names, output_leaves
from jitml.stages import Lowered
from jitml.trace.core import (
    DEFAULT_DTYPES,
    Tracer,
    array_type,
    collecting_origins,
    current_trace,
    trace_graph,
    type_of,
)
from jitml.transforms.inline import inline
from jitml.transforms.values import as_value, literal_value
from jitml.tree import flatten_with_path, keystr
from jitml.tree_structure import Structure, flatten
from jitml_runtime import Array

_MAX_ENTRIES = 16  # graphs kept for one signature, for changing values of what the function reads
_NUMBERS = (bool, int, float, complex)


class _Switch(threading.local):
    disabled = False


_SWITCH = _Switch()


@contextmanager
def disable_jit(disable: bool = True) -> Iterator[None]:
    """A scope in which jitted functions run as plain Python, operation by operation."""
    before = _SWITCH.disabled
    _SWITCH.disabled = disable
    try:
        yield
    finally:
        _SWITCH.disabled = before


class ShapeDtypeStruct:
    """A shape and dtype that stand for an array where only these matter (`eval_shape`, `lower`)."""

    __slots__ = ("dtype", "shape", "weak_type")

    def __init__(self, shape: Sequence[int], dtype: Any, weak_type: bool = False) -> None:
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.weak_type = weak_type

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShapeDtypeStruct) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        weak = ", weak_type=True" if self.weak_type else ""
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={self.dtype.name}{weak})"


class Entry(NamedTuple):
    """What one tracing of a function gave: its graph, the structure of its result, what it reads.

    `hidden` gives the graph's inputs after the arguments: a way to fetch each, or a constant.
    """

    graph: Graph
    structure: Structure
    guards: tuple[Read, ...]
    hidden: tuple[Any, ...]
    compiled: list[Compiled]

    def holds(self) -> bool:
        """Whether everything that tracing read is still as it was."""
        return all(read.holds() for read in self.guards)

    def hidden_values(self) -> list[Any] | None:
        """The hidden inputs of this call; None if the type of one has changed."""
        values = []
        arguments = self.graph.inputs[len(self.graph.inputs) - len(self.hidden) :]
        for var, source in zip(arguments, self.hidden, strict=True):
            value = as_value(source.get()) if isinstance(source, Read) else source
            if type_of(value) != var.type:
                return None
            values.append(value)
        return values


class _Call(NamedTuple):
    """The arguments of one call: leaves and structure of the traced ones, the static ones as a key."""

    leaves: list[Any]
    structure: Structure
    static: tuple[Any, ...]


class Jitted:
    """A function compiled by `jit`. `lower` gives its stages, `clear_cache` forgets what was compiled."""

    def __init__(
        self,
        fun: Callable[..., Any],
        static_argnums: tuple[int, ...],
        static_argnames: tuple[str, ...],
        donate_argnums: tuple[int, ...],
        donate_argnames: tuple[str, ...],
    ) -> None:
        functools.update_wrapper(self, fun)
        self.__wrapped__ = fun
        self._static_argnums = static_argnums
        self._static_argnames = static_argnames
        self._donate_argnums = donate_argnums
        self._donate_argnames = donate_argnames
        self._entries: dict[Any, list[Entry]] = {}

    def __repr__(self) -> str:
        return f"<jitted {getattr(self.__wrapped__, '__qualname__', self.__wrapped__)}>"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _SWITCH.disabled:
            return self.__wrapped__(*args, **kwargs)
        call = self._arguments(args, kwargs)
        values = [x if type(x) is Array else self._value(x, call, k) for k, x in enumerate(call.leaves)]
        entry, hidden = self._entry(call, values)
        values += hidden
        if current_trace() is not None or any(isinstance(x, Tracer) for x in values):
            results = [
                literal_value(x) if isinstance(x, Literal) else x for x in inline(entry.graph, values)
            ]
        else:
            if not entry.compiled:
                entry.compiled.append(compile_graph(entry.graph))
            results = list(entry.compiled[0].run(values))
            if self._donate_argnums or self._donate_argnames:
                self._delete_donated(args, kwargs)
        return entry.structure.unflatten(results)

    # ---- arguments ------------------------------------------------------------------------------

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
        static: tuple[Any, ...] = ()
        if self._static_argnums or self._static_argnames:
            count = len(args)
            numbers = {n + count if n < 0 else n for n in self._static_argnums}
            held = [(n, args[n]) for n in sorted(numbers) if 0 <= n < count]
            named = [(k, kwargs[k]) for k in sorted(kwargs) if k in self._static_argnames]
            static = tuple(_Static(key, value, self) for key, value in (*held, *named))
            args = tuple(None if n in numbers else x for n, x in enumerate(args))
            kwargs = {k: v for k, v in kwargs.items() if k not in self._static_argnames}
        leaves, structure = flatten((args, kwargs) if kwargs else (args, None))
        return _Call(leaves, structure, static)

    def _value(self, x: Any, call: _Call, number: int) -> Any:
        if isinstance(x, (Tracer, *_NUMBERS)):
            return as_value(x)
        return as_value(x, self._path(call, number))

    def _path(self, call: _Call, number: int) -> str:
        """How messages call the argument that leaf `number` belongs to."""
        tree = call.structure.unflatten(list(range(call.structure.num_leaves)))
        path = next(p for p, leaf in flatten_with_path(tree)[0] if leaf == number)
        is_keyword = path[0].key == 1 if hasattr(path[0], "key") else getattr(path[0], "idx", 0) == 1
        rest = keystr(path[2:])
        if is_keyword:
            return f"argument {path[1].key}{rest}"
        position = path[1].idx
        return f"argument {argument_names(self.__wrapped__, position + 1)[position]}{rest}"

    def _delete_donated(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        donated = [args[n] for n in self._donate_argnums if -len(args) <= n < len(args)]
        donated += [kwargs[k] for k in self._donate_argnames if k in kwargs]
        for leaf in flatten(donated)[0]:
            if isinstance(leaf, Array) and not leaf.is_deleted():
                leaf.delete()

    # ---- entries ----------------------------------------------------------------------------------

    def _entry(self, call: _Call, values: Sequence[Any]) -> tuple[Entry, list[Any]]:
        """The entry that serves this call, and its hidden inputs."""
        types = tuple([array_type(x) if type(x) is Array else type_of(x) for x in values])
        key = (call.structure, types, call.static, DEFAULT_DTYPES.is_wide)
        known = self._entries.setdefault(key, [])
        for entry in known:
            if not entry.guards or entry.holds():
                hidden = entry.hidden_values() if entry.hidden else []
                if hidden is not None:
                    return entry, hidden
        entry, captures = self._trace(call, types)
        if not any(isinstance(x, Tracer) for x in entry.hidden):
            known.insert(0, entry)
            del known[_MAX_ENTRIES:]
        return entry, captures

    def _trace(self, call: _Call, types: Sequence[ArrayType]) -> tuple[Entry, list[Any]]:
        structure: list[Structure] = []
        held = {s.key: s.value for s in call.static}

        def flat(*tracers: Any) -> list[Any]:
            args, kwargs = call.structure.unflatten(tracers)
            args = tuple(held.get(n, x) for n, x in enumerate(args))
            named = {k: v for k, v in held.items() if isinstance(k, str)}
            leaves, tree = output_leaves(self.__wrapped__(*args, **(kwargs or {}), **named))
            structure.append(tree)
            return leaves

        name = getattr(self.__wrapped__, "__name__", "f")
        with collecting_origins() as origins:
            traced = trace_graph(flat, types, name, self._leaf_names(call))
        leading = tuple(held[n] for n in range(len(held)) if n in held)
        reads = find_reads(self.__wrapped__, leading)
        made_from = [origins[id(x)][1] if id(x) in origins else x for x in traced.captures]
        guards, hidden = _split_reads(reads, traced.captures, made_from)
        entry = Entry(traced.graph, structure[0], guards, hidden, [])
        return entry, list(traced.captures)

    def _leaf_names(self, call: _Call) -> list[str]:
        tree = call.structure.unflatten(list(range(call.structure.num_leaves)))
        names = []
        for path, _ in flatten_with_path(tree)[0]:
            first = path[1]
            if hasattr(first, "idx"):
                name = argument_names(self.__wrapped__, first.idx + 1)[first.idx]
            else:
                name = str(first.key)
            names.append(name + keystr(path[2:]))
        return names

    # ---- stages -------------------------------------------------------------------------------------

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Trace for arguments (arrays or ShapeDtypeStructs) without running; `.compile()` goes on."""
        entry, call = self._abstract_entry(args, kwargs)
        return Lowered(entry.graph, call.structure, entry.structure, entry.hidden_values() or [])

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The result's structure with ShapeDtypeStructs for leaves."""
        entry, _ = self._abstract_entry(args, kwargs)
        return entry.structure.unflatten([struct_of(t) for t in entry.graph.output_types])

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph recorded for arguments of these types."""
        return self._abstract_entry(args, kwargs)[0].graph

    def _abstract_entry(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Entry, _Call]:
        call = self._arguments(args, kwargs)
        types = [
            abstract_type(x) if is_abstract(x) else type_of(self._value(x, call, k))
            for k, x in enumerate(call.leaves)
        ]
        key = (call.structure, tuple(types), call.static, DEFAULT_DTYPES.is_wide)
        entry, _ = self._trace(call, types)
        self._entries.setdefault(key, []).insert(0, entry)
        return entry, call

    def clear_cache(self) -> None:
        """Forget everything traced and compiled."""
        self._entries.clear()


class _Static:
    """A static argument: compared by type and value, hashed by value."""

    __slots__ = ("_hash", "key", "value")

    def __init__(self, key: Any, value: Any, function: Jitted) -> None:
        self.key = key
        self.value = value
        try:
            self._hash = hash((key, value))
        except TypeError:
            kind = type(value).__name__
            what = f"argument {key}" if isinstance(key, str) else f"argument number {key}"
            raise ArgumentError(
                f"jit: static {what} of {function.__wrapped__.__name__} is an unhashable {kind}",
                hint="pass it as a tuple or another hashable value, or do not make it static",
                source=user_source(),
            ) from None

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Static) or self.key != other.key:
            return False
        same = self.value is other.value
        return same or (type(self.value) is type(other.value) and bool(self.value == other.value))


def _split_reads(
    reads: Sequence[Read], captures: Sequence[Any], made_from: Sequence[Any]
) -> tuple[tuple[Read, ...], tuple[Any, ...]]:
    """Guards, and for each captured value where to fetch it anew (itself, if it was made while tracing)."""
    origins = {id(read.value): read for read in reads if read.mode == "array"}
    hidden = tuple(
        origins.get(id(origin), x) for x, origin in zip(captures, made_from, strict=True)
    )
    used = {id(read) for read in hidden if isinstance(read, Read)}
    guards = []
    for read in reads:
        if read.mode != "array":
            guards.append(read)
        elif id(read) not in used:
            guards.append(_fixed(read))
    return tuple(guards), hidden


def _fixed(read: Read) -> Read:
    """An array that did not enter the graph itself, but may have by way of NumPy."""
    if isinstance(read.value, np.ndarray) and read.value.size <= 4096:
        return read.with_mode("content", read.value.copy())
    return read.with_mode("identity", read.value)


def is_abstract(x: Any) -> bool:
    """Whether `x` tells a shape and dtype but no value."""
    return not isinstance(x, (Array, Tracer, np.ndarray, np.generic)) and (
        hasattr(x, "shape") and hasattr(x, "dtype")
    )


def abstract_type(x: Any) -> ArrayType:
    """The type that a ShapeDtypeStruct stands for."""
    return ArrayType(np.dtype(x.dtype), tuple(x.shape), bool(getattr(x, "weak_type", False)))


def struct_of(type_: ArrayType) -> ShapeDtypeStruct:
    return ShapeDtypeStruct(type_.shape, type_.dtype, type_.weak)


def jit(
    fun: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
    keep_unused: bool = False,
    inline: bool = False,
) -> Any:
    """Compile `fun`: it is traced at the first call with new argument types, and runs as machine code from then on.

    Arguments may be nested containers of arrays and numbers. Static arguments are hashable Python values that a new
    compilation is made for; donated ones must not be used after the call. `keep_unused` and `inline` are accepted:
    unused arguments cost nothing here, and nested jitted functions always become part of the outer program.

    >>> import jitml, jitml.numpy as jnp
    >>> @jitml.jit
    ... def f(x):
    ...     return 2 * x + 1
    >>> f(jnp.arange(3))
    Array([1, 3, 5], dtype=int32)
    """
    if fun is None:
        return functools.partial(
            jit,
            static_argnums=static_argnums,
            static_argnames=static_argnames,
            donate_argnums=donate_argnums,
            donate_argnames=donate_argnames,
        )
    if not callable(fun):
        raise ArgumentError(
            f"jit: a {type(fun).__name__} is not a function",
            hint="pass the function itself, not what it returns",
            source=user_source(),
        )
    static = _numbers_and_names(fun, static_argnums, static_argnames)
    donated = _numbers_and_names(fun, donate_argnums, donate_argnames)
    return Jitted(fun, *static, *donated)


def _numbers_and_names(
    fun: Callable[..., Any],
    numbers: int | Sequence[int] | None,
    names: str | Iterable[str] | None,
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Positions and names of arguments, each completed by what the other says."""
    positions = [numbers] if isinstance(numbers, int) else list(numbers or ())
    named = [names] if isinstance(names, str) else list(names or ())
    code = getattr(getattr(fun, "__func__", fun), "__code__", None)
    if code is not None:
        skipped = 1 if hasattr(fun, "__self__") else 0
        known = code.co_varnames[skipped : code.co_argcount]
        by_name = [known.index(n) for n in named if n in known]
        by_number = [known[n] for n in positions if -len(known) <= n < len(known)]
        positions = list(dict.fromkeys([*positions, *by_name]))
        named = list(dict.fromkeys([*named, *by_number]))
    return tuple(positions), tuple(named)


def make_graph(fun: Callable[..., Any], static_argnums: int | Sequence[int] = ()) -> Callable[..., Graph]:
    """A function that gives the graph which `fun` records for its arguments (arrays or ShapeDtypeStructs).

    >>> import jitml, jitml.numpy as jnp
    >>> print(jitml.make_graph(lambda x: x + 1)(jnp.zeros(3)))  # doctest: +ELLIPSIS
    graph ...
    """
    return jit(fun, static_argnums=static_argnums).graph  # type: ignore[no-any-return]


make_jaxpr = make_graph


def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Shapes and dtypes of the result of `fun`, without computing it.

    >>> import jitml, jitml.numpy as jnp
    >>> jitml.eval_shape(jnp.dot, jitml.ShapeDtypeStruct((2, 3), "f4"), jitml.ShapeDtypeStruct((3,), "f4"))
    ShapeDtypeStruct(shape=(2,), dtype=float32)
    """
    return Jitted(fun, (), (), (), ()).eval_shape(*args, **kwargs)
