"""`jit`: trace a function once for each signature, compile it, and run it from then on.

A call is: flatten the arguments, find the entry for their types and static values, check its guards
and fetch its hidden inputs, run its plan, rebuild the result. Inside another trace the recorded
graph is replayed there instead.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakSet

import numpy as np

from jitml.abstract import ShapeDtypeStruct, abstract_type, is_abstract, struct_of
from jitml.guards import Guards, make_guards, merged
from jitml.ir.errors import ArgumentError
from jitml.ir.graph import Graph, Literal
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.pipeline.compile import Compiled, clear_compiled, compiled_graph
from jitml.reading import find_places
from jitml.recording import argument_names, output_leaves
from jitml.signature import NONE_CHOSEN, Chosen, choose_arguments
from jitml.stages import Lowered, Traced
from jitml.trace.core import (
    Tracer,
    checking_leaks,
    collecting_origins,
    current_trace,
    ended_trace_error,
    outside_traces,
    trace_graph,
    type_of,
)
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.transforms.inline import inline
from jitml.transforms.values import as_value, is_array_like, literal_value
from jitml.tree import flatten_with_path, keystr
from jitml.tree_structure import LEAF, Structure, flatten
from jitml_runtime import Array, share

__all__ = [
    "Jitted",
    "ShapeDtypeStruct",
    "checking_leaks",
    "clear_caches",
    "disable_jit",
    "ensure_compile_time_eval",
    "eval_shape",
    "jit",
    "make_graph",
    "make_jaxpr",
]

_OUTPUTS = "return arrays, numbers, None, or containers of these; give the rest back in another way"
_MAX_ENTRIES = 16  # traces kept for one signature, for changing values of what the function reads
_MAX_SIGNATURES = 4096  # static arguments may differ at each call
TypeKey: TypeAlias = (
    "tuple[Any, tuple[int, ...], bool]"  # dtype, shape, weak: cheaper than an ArrayType
)


class _State(threading.local):
    is_disabled = False
    inner: list[Guards] | None = (
        None  # what jitted functions depend on that the current trace has called
    )


_STATE = _State()


@contextmanager
def disable_jit(disable: bool = True) -> Iterator[None]:
    """A scope in which jitted functions run as plain Python, operation by operation.

    >>> import jitml.numpy as jnp
    >>> with disable_jit():
    ...     print(jit(lambda x: x + 1 if x > 0 else x)(jnp.float32(1)))
    2.0
    """
    before = _STATE.is_disabled
    _STATE.is_disabled = disable
    try:
        yield
    finally:
        _STATE.is_disabled = before


@contextmanager
def ensure_compile_time_eval() -> Iterator[None]:
    """A scope in which operations on concrete arrays run at once, also while a function is traced.

    >>> import jitml.numpy as jnp
    >>> @jit
    ... def f(x):
    ...     with ensure_compile_time_eval():
    ...         n = int(jnp.sum(jnp.arange(4)))
    ...     return x * n
    >>> print(f(1.0))
    6.0
    """
    with outside_traces():
        yield


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


class Entry:
    """What one tracing of a function gave: its graph, the structure of its result, what it reads.

    `constants` has the graph's inputs after the arguments, with None where `guards` fetch them
    anew.
    """

    def __init__(
        self, graph: Graph, structure: Structure, guards: Guards, constants: Sequence[Any]
    ) -> None:
        self.graph = graph
        self.structure = structure
        self.guards = guards
        self.constants = list(constants)
        inputs = graph.input_types[len(graph.inputs) - len(self.constants) :]
        self._fetched_types = [
            (t.dtype, t.shape, t.weak)
            for t, x in zip(inputs, self.constants, strict=True)
            if x is None
        ]
        self.is_cacheable = not any(isinstance(x, Tracer) for x in constants)
        self._compiled: Compiled | None = None

    def hidden_values(self) -> list[Any] | None:
        """The hidden inputs of this call; None if anything that tracing read has changed."""
        if not self.guards:
            return self.constants
        fetched = self.guards.fetch()
        if not fetched:
            return None if fetched is None else self.constants
        for number, x in enumerate(fetched):
            if type(x) is not Array:
                x = fetched[number] = _settled(x)
            if _type_key(x) != self._fetched_types[number]:
                return None
        if len(fetched) == len(self.constants):
            return fetched
        found = iter(fetched)
        return [next(found) if x is None else x for x in self.constants]

    @property
    def compiled(self) -> Compiled:
        """The machine code, shared with equal graphs; the first to ask compiles it, others wait."""
        if self._compiled is None:
            self._compiled = compiled_graph(self.graph)
        return self._compiled


class _Call(NamedTuple):
    """The arguments of one call: leaves and structure of the traced ones, and the static ones.

    `positions` says which positional arguments are static.
    """

    leaves: list[Any]
    structure: Structure
    static: tuple[_Static, ...]
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


class Jitted:
    """A function compiled by `jit`. `lower` gives its stages, `clear_cache` forgets what was
    compiled.
    """

    def __init__(
        self, fun: Callable[..., Any], static: Chosen = NONE_CHOSEN, donated: Chosen = NONE_CHOSEN
    ) -> None:
        functools.update_wrapper(self, fun, updated=())
        self.__wrapped__ = fun
        self._static = static
        self._donated = donated
        self._is_plain = not (static.numbers or static.names or donated.numbers or donated.names)
        self._entries: dict[Any, list[Entry]] = {}
        self._lock = threading.Lock()
        _ALL.add(self)

    def __repr__(self) -> str:
        return f"<jitted {_name_of(self.__wrapped__)}>"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> Any:
        return getattr(self, "__qualname__", None) or (
            Jitted,
            (self.__wrapped__, self._static, self._donated),
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _STATE.is_disabled:
            return self.__wrapped__(*args, **kwargs)
        if self._is_plain and not kwargs and current_trace() is None:
            types = [(x.dtype, x.shape, x.weak_type) for x in args if type(x) is Array]
            if len(types) == len(args):
                known = self._entries.get((*types, DEFAULT_DTYPES.is_wide))
                found = known and _valid(known)
                if found:
                    entry, hidden = found
                    return self._run(entry, (*args, *hidden) if hidden else args)
        return self._call(args, kwargs)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self._arguments(args, kwargs)
        values = [
            x if type(x) is Array else self._value(x, call, k) for k, x in enumerate(call.leaves)
        ]
        entry, hidden = self._entry(call, values)
        values += hidden
        if current_trace() is not None or any(isinstance(x, Tracer) for x in values):
            if _STATE.inner is not None:
                _STATE.inner.append(entry.guards)
            found = inline(entry.graph, values)
            outputs = [literal_value(x) if isinstance(x, Literal) else x for x in found]
            return entry.structure.unflatten(outputs)
        donated = [] if self._is_plain else self._donated_arrays(args, kwargs)
        result = self._run(entry, values)
        return _given_away(result, donated) if donated else result

    def _run(self, entry: Entry, values: Sequence[Any]) -> Any:
        results = entry.compiled.run(values, entry.graph)
        return results[0] if entry.structure is LEAF else entry.structure.unflatten(results)

    # ---- arguments ------------------------------------------------------------------------------

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
        static: tuple[_Static, ...] = ()
        positions: tuple[int, ...] = ()
        if self._static.numbers or self._static.names:
            positions = tuple(self._static.positions(len(args)))
            held: list[tuple[int | str, Any]] = [(n, args[n]) for n in positions]
            named = [(k, kwargs[k]) for k in sorted(kwargs) if k in self._static.names]
            static = tuple(_Static(key, value, self) for key, value in (*held, *named))
            args = tuple(x for n, x in enumerate(args) if n not in positions)
            kwargs = {k: v for k, v in kwargs.items() if k not in self._static.names}
        leaves, structure = flatten((args, kwargs))
        return _Call(leaves, structure, static, positions)

    def _value(self, x: Any, call: _Call, number: int) -> Any:
        if isinstance(x, Tracer):
            return _settled(x)
        try:
            return as_value(x)
        except ArgumentError:
            if is_array_like(x):  # a NumPy array of a dtype that arrays cannot have
                raise
            raise ArgumentError(
                f"jit: the argument {self._paths(call)[number]} of {_name_of(self.__wrapped__)} "
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

    def _donated_arrays(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Array]:
        trees = [args[n] for n in self._donated.positions(len(args))]
        trees += [kwargs[k] for k in self._donated.names if k in kwargs]
        return [x for x in flatten(trees)[0] if isinstance(x, Array)]

    # ---- entries
    # ----------------------------------------------------------------------------------

    def _entry(self, call: _Call, values: Sequence[Any]) -> tuple[Entry, Sequence[Any]]:
        """The entry that serves this call, and its hidden inputs."""
        types = tuple([_type_key(x) for x in values])
        key = (call.structure, types, call.static, DEFAULT_DTYPES.is_wide)
        known = self._known(key, call, types)
        found = _valid(known)
        if found is not None:
            return found
        entry, captures = self._trace(call, [ArrayType(*t) for t in types])
        if entry.is_cacheable:
            entry = self._keep(known, entry)
        return entry, captures

    def _known(self, key: Any, call: _Call, types: tuple[TypeKey, ...]) -> list[Entry]:
        """The entries of a signature; flat positional arguments are also found by their types
        alone.
        """
        known = self._entries.get(key)
        if known is None:
            with self._lock:
                while len(self._entries) >= _MAX_SIGNATURES:
                    del self._entries[next(iter(self._entries))]
                known = self._entries.setdefault(key, [])
                if self._is_plain and call.structure == _flat_structure(len(types)):
                    self._entries[(*types, key[-1])] = known
        return known

    def _keep(self, known: list[Entry], entry: Entry) -> Entry:
        with self._lock:
            known.insert(0, entry)
            del known[_MAX_ENTRIES:]
        return entry

    def _trace(self, call: _Call, types: Sequence[ArrayType]) -> tuple[Entry, Sequence[Any]]:
        structure: list[Structure] = []

        def flat(*tracers: Any) -> list[Any]:
            args, kwargs = call.rebuild(tracers)
            leaves, tree = output_leaves(self.__wrapped__(*args, **kwargs), _OUTPUTS)
            structure.append(tree)
            return leaves

        names = argument_names(self.__wrapped__, max(call.positions, default=-1) + 1)
        known = {names[s.key] if isinstance(s.key, int) else s.key: s.value for s in call.static}
        places = find_places(self.__wrapped__, known)
        with collecting_origins() as origins, _collecting_guards() as inner:
            traced = trace_graph(flat, types, _name_of(self.__wrapped__), self._paths(call))
        if inner:
            places = merged(places, [place for guards in inner for place in guards.places()])
        made_from = [origins[id(x)][1] if id(x) in origins else x for x in traced.captures]
        guards, is_fetched = make_guards(places, made_from)
        constants = [
            None if is_it else x for x, is_it in zip(traced.captures, is_fetched, strict=True)
        ]
        is_open = any(isinstance(x, Tracer) for x in traced.captures)
        entry = Entry(traced.graph, structure[0], guards, traced.captures if is_open else constants)
        return entry, traced.captures

    # ---- stages
    # -------------------------------------------------------------------------------------

    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """Trace for arguments (arrays or ShapeDtypeStructs); `.lower()` goes on."""
        call = self._arguments(args, kwargs)
        types = [
            abstract_type(x) if is_abstract(x) else type_of(self._value(x, call, k))
            for k, x in enumerate(call.leaves)
        ]
        key_types = tuple((t.dtype, t.shape, t.weak) for t in types)
        key = (call.structure, key_types, call.static, DEFAULT_DTYPES.is_wide)
        known = self._known(key, call, key_types)
        found = _valid(known)
        if found is None:
            entry, _ = self._trace(call, types)
            if entry.is_cacheable:
                self._keep(known, entry)
        else:
            entry = found[0]
        info = call.structure.unflatten([struct_of(t) for t in types])
        return Traced(entry, _name_of(self.__wrapped__), call.structure, info)

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """As `.trace(…).lower()`; `.compile()` goes on."""
        return self.trace(*args, **kwargs).lower()

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The result's structure with ShapeDtypeStructs for leaves."""
        return self.trace(*args, **kwargs).out_info

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph recorded for arguments of these types."""
        return self.trace(*args, **kwargs).graph

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """Every stage for these arguments, as text: source, graph, passes, plan and kernels."""
        from jitml.explanation import explain

        return explain(self, *args, **kwargs)

    def clear_cache(self) -> None:
        """Forget everything traced and compiled."""
        with self._lock:
            self._entries.clear()


_ALL: WeakSet[Jitted] = WeakSet()


def clear_caches() -> None:
    """Forget everything that jitted functions and single operations have compiled.

    >>> clear_caches()
    """
    for function in list(_ALL):
        function.clear_cache()
    clear_compiled()


def _valid(known: list[Entry]) -> tuple[Entry, Sequence[Any]] | None:
    """The first of the entries that still holds, and its hidden inputs."""
    for entry in known:
        hidden = entry.hidden_values()
        if hidden is not None:
            return entry, hidden
    return None


def _settled(x: Any) -> Any:
    """What is no array yet as one; a tracer must not have outlived its trace."""
    if isinstance(x, Tracer) and not x.owner.is_open:
        raise ended_trace_error(x)
    return as_value(x)


def _type_key(x: Any) -> TypeKey:
    if type(x) is Array:
        return (x.dtype, x.shape, x.weak_type)
    type_ = type_of(x)
    return (type_.dtype, type_.shape, type_.weak)


@functools.lru_cache(maxsize=64)
def _flat_structure(count: int) -> Structure:
    """The structure of `count` positional arguments that are arrays."""
    return flatten(((0,) * count, {}))[1]


def _given_away(result: Any, donated: Sequence[Array]) -> Any:
    """`result`, with the donated arrays deleted; where one of them is returned, a new array has its
    memory.
    """
    known = {id(x) for x in donated}
    leaves, structure = flatten(result)
    kept = [share(x, x.shape, x.weak_type) if id(x) in known else x for x in leaves]
    for x in donated:
        if not x.is_deleted():
            x.delete()
    return structure.unflatten(kept)


def _name_of(fun: Callable[..., Any]) -> str:
    while isinstance(fun, functools.partial):
        fun = fun.func
    return str(getattr(fun, "__name__", type(fun).__name__))


class _Static:
    """A static argument: compared by type and value, hashed by value."""

    __slots__ = ("_hash", "key", "value")

    def __init__(self, key: int | str, value: Any, function: Jitted) -> None:
        self.key = key
        self.value = value
        try:
            self._hash = hash((key, value))
        except TypeError:
            fun = function.__wrapped__
            name = key if isinstance(key, str) else argument_names(fun, key + 1)[key]
            raise ArgumentError(
                f"jit: the static argument {name} of {_name_of(fun)} is an unhashable "
                f"{type(value).__name__}",
                hint="arrays cannot be static: pass it as a traced argument, or a Python number"
                if isinstance(value, (Array, Tracer, np.ndarray))
                else "pass it as a tuple or another hashable value, or do not make it static",
                source=user_source(),
            ) from None

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Static) or self.key != other.key:
            return False
        same = self.value is other.value
        return same or (type(self.value) is type(other.value) and bool(self.value == other.value))


def jit(
    fun: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
    keep_unused: bool = False,
    inline: bool = False,
    device: Any = None,
    backend: str | None = None,
) -> Any:
    """Compile `fun`: it is traced at the first call with new argument types, and runs as machine
    code from then on.

    Arguments may be nested containers of arrays and numbers. Static arguments are hashable Python
    values that a new compilation is made for; donated arrays are deleted after the call.
    `keep_unused` and `inline` are accepted: unused arguments cost nothing here, and nested jitted
    functions always become part of the outer program.

    Python values that the function reads from around it (globals, closures, defaults, attributes,
    entries, also by way of the functions that it calls) may change: a scalar, string or container
    that is another one means a new trace, an array is fetched anew at each call. See
    `jitml.reading` for what is followed and what is not.

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
            device=device,
            backend=backend,
        )
    if any(str(where) != "cpu" for where in (device, backend) if where is not None):
        raise ArgumentError(
            f"jit: there is no device {device or backend!r}",
            hint="programs run on 'cpu', or leave device and backend out",
            source=user_source(),
        )
    if not callable(fun):
        raise ArgumentError(
            f"jit: a {type(fun).__name__} is not a function",
            hint="pass the function itself, not what it returns",
            source=user_source(),
        )
    static = choose_arguments(fun, static_argnums, static_argnames, "static")
    donated = choose_arguments(fun, donate_argnums, donate_argnames, "donate")
    both = {*static.numbers} & {*donated.numbers} | {*static.names} & {*donated.names}
    if both:
        raise ArgumentError(
            f"jit: {', '.join(map(str, sorted(both, key=str)))} cannot be both static and donated",
            hint="only arrays can be donated, and arrays cannot be static",
            source=user_source(),
        )
    return Jitted(fun, static, donated)


def make_graph(
    fun: Callable[..., Any],
    static_argnums: int | Sequence[int] = (),
    return_shape: bool = False,
    static_argnames: str | Iterable[str] | None = None,
) -> Callable[..., Any]:
    """A function that gives the graph which `fun` records for its arguments (arrays or
    ShapeDtypeStructs).

    With `return_shape` it gives a pair: the graph, and ShapeDtypeStructs for the result.

    >>> import jitml, jitml.numpy as jnp
    >>> print(jitml.make_graph(lambda x: x + 1)(jnp.zeros(3)))  # doctest: +ELLIPSIS
    graph ...
    """
    jitted = jit(fun, static_argnums=static_argnums, static_argnames=static_argnames)

    @functools.wraps(fun, updated=())
    def graph_of(*args: Any, **kwargs: Any) -> Any:
        traced = jitted.trace(*args, **kwargs)
        return (traced.graph, traced.out_info) if return_shape else traced.graph

    return graph_of


make_jaxpr = make_graph


def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Shapes and dtypes of the result of `fun`, without computing it.

    >>> import jitml, jitml.numpy as jnp
    >>> jitml.eval_shape(jnp.dot, jitml.ShapeDtypeStruct((2, 3), "float32"), jnp.ones(3))
    ShapeDtypeStruct(shape=(2,), dtype=float32)
    """
    return Jitted(fun).eval_shape(*args, **kwargs)
