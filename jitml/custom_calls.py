"""Calls of functions that have derivative rules of their own.

In: a function, which of its arguments are not differentiated, and a rule on flat values. Where
nothing is traced the function simply runs; a derivative runs the rule instead; else the function is
traced, and an equation keeps the rule for later.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

from jitml.ir.errors import (
    ArgumentError,
    DifferentiationError,
    JitmlError,
    UnexpectedTracerError,
)
from jitml.ir.graph import Graph, Literal, Var
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.ops.custom import CustomCall, Pull, Rule, record_derivative
from jitml.recording import output_leaves
from jitml.trace.core import (
    Trace,
    Tracer,
    at_level,
    bind,
    current_trace,
    replacing,
    trace_graph,
    type_of,
)
from jitml.trace.forms import traced_form
from jitml.trace.rules import Push, RuleTrace, is_moving, lowered, lowered_argument
from jitml.transforms.values import as_value, is_array_like, literal_value
from jitml.tree_structure import Structure, flatten

_MOST_RULES = 64  # rules kept for a function, by the types of its arguments
_DEEPEST = 8  # how deep in what a function closes over tracers are looked for


class Expected(NamedTuple):
    """The result of the function itself, where it has been traced."""

    structure: Structure
    types: tuple[ArrayType, ...]


class KnownRule(NamedTuple):
    """A rule, and what it expects of itself: `expected` is filled when the function is traced."""

    rule: Rule
    expected: list[Expected]


class Called(NamedTuple):
    """One call: the positional arguments, of which those at `fixed` are not differentiated."""

    function: CustomFunction
    args: tuple[Any, ...]
    leaves: list[Any]
    structure: Structure

    @property
    def fixed_args(self) -> list[Any]:
        return [self.args[n] for n in self.function.fixed_positions(len(self.args))]

    def all_args(self, leaves: Sequence[Any]) -> list[Any]:
        """All arguments, with `leaves` in place of those of the differentiated ones."""
        args = list(self.structure.unflatten(leaves))
        for n in self.function.fixed_positions(len(self.args)):
            args.insert(n, self.args[n])
        return args


def _positions(
    fun: Callable[..., Any], numbers: int | Sequence[int], names: str | Sequence[str]
) -> tuple[int, ...]:
    """Positions of the arguments that are not differentiated, in order."""
    found = [numbers] if isinstance(numbers, int) else list(numbers)
    if not names:
        return tuple(sorted(found))
    import inspect

    known = list(inspect.signature(fun).parameters)
    for name in [names] if isinstance(names, str) else names:
        if name not in known:
            raise failure(
                f"nondiff_argnames has {name!r}, but {getattr(fun, '__name__', fun)} has no such "
                "argument",
                f"its arguments are {', '.join(known)}",
            )
        found.append(known.index(name))
    return tuple(sorted(found))


class CustomFunction:
    """A function with a derivative rule of its own; a subclass says of which kind."""

    kind = "custom"

    def __init__(
        self,
        fun: Callable[..., Any],
        nondiff_argnums: int | Sequence[int] = (),
        nondiff_argnames: str | Sequence[str] = (),
    ) -> None:
        if not callable(fun):
            raise failure(f"{self.kind} takes a function, not a {type(fun).__name__}")
        functools.update_wrapper(self, fun, updated=())
        self.fun = fun
        self.__wrapped__ = fun
        self.nondiff_argnums = _positions(fun, nondiff_argnums, nondiff_argnames)
        self._rules: dict[Any, KnownRule] = {}

    @property
    def label(self) -> str:
        """What messages call the function."""
        return str(getattr(self.fun, "__name__", type(self.fun).__name__))

    @property
    def followed(self) -> tuple[Any, ...]:
        """The functions, beside `__wrapped__`, that run when this one is differentiated."""
        return ()

    def __repr__(self) -> str:
        return f"<{self.kind} {self.label}>"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def push(self, call: Called, expected: list[Expected]) -> Push:
        """The rule on flat values for a call of these arguments; `expected` may be filled later."""
        raise NotImplementedError

    def pull(self, call: Called, expected: list[Expected]) -> Pull | None:
        """How the function, where it is linear, is transposed; None if as its equations are."""
        return None

    def check_call(self, args: Sequence[Any]) -> None:
        """Raise if the function cannot be called so."""
        raise NotImplementedError

    def fixed_positions(self, count: int) -> list[int]:
        """The positions, among `count` arguments, that are not differentiated."""
        return sorted({n % count for n in self.nondiff_argnums if -count <= n < count})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args = positional_arguments(self.fun, self.label, args, kwargs)
        self.check_call(args)
        fixed = set(self.fixed_positions(len(args)))
        leaves, structure = flatten(tuple([x for n, x in enumerate(args) if n not in fixed]))
        return _call(Called(self, args, leaves, structure))

    def known_rule(self, call: Called, types: Sequence[ArrayType]) -> KnownRule:
        """The rule for a call that closes over no tracers: one for each kind of call."""
        key = (call.structure, tuple(types), *map(_fixed_key, call.fixed_args))
        found = self._rules.get(key) if None not in key else None
        if found is None:
            expected: list[Expected] = []
            found = KnownRule(
                Rule(self.label, self.push(call, expected), self.pull(call, expected)), expected
            )
            if None not in key and len(self._rules) < _MOST_RULES:
                self._rules[key] = found
        return found

    def forget_rules(self) -> None:
        """Make new rules from now on: their functions have changed."""
        self._rules.clear()


def _fixed_key(x: Any) -> Any:
    """A key of an argument that is not differentiated; None if it may change."""
    return (type(x), x) if isinstance(x, (FunctionType, bool, int, str)) else None


# ---- calls ---------------------------------------------------------------------------------------


def _call(call: Called) -> Any:
    trace = current_trace()
    if trace is None and not any(isinstance(x, Tracer) for x in call.leaves):
        return call.function.fun(*call.args)
    if isinstance(trace, RuleTrace):
        if not any(map(trace.owns, call.leaves)):
            return _call_below(call, trace, trace.level)
    elif trace is not None and trace.differentiates:
        if not any(is_moving(trace, x) for x in call.leaves):
            return _call_below(call, trace, trace.around)
        return _call_rule(call, trace)
    return _record(call)


def _call_below(call: Called, trace: Trace, level: Trace | None) -> Any:
    """Call the function at the level around a trace that has nothing to do with it."""
    leaves = [lowered_argument(trace, x) if isinstance(x, Tracer) else x for x in call.leaves]
    leaves = [literal_value(x) if isinstance(x, Literal) else x for x in leaves]
    if level is not None:
        with at_level(level):
            return _call(call._replace(leaves=leaves))
    inner = trace if isinstance(trace, RuleTrace) else RuleTrace(None, call.function.label)
    with at_level(inner):
        return traced_form(call.function.fun)(*call.all_args(leaves))


def _call_rule(call: Called, trace: Trace) -> Any:
    """Run the rule of a function that a derivative is recorded of."""
    result: list[Expected] = []
    push = call.function.push(call, result)
    outputs = record_derivative(trace, push, (), _values(call))
    return result[0].structure.unflatten(outputs)


def _record(call: Called) -> Any:
    """Trace the function, and record a call of it that keeps the rule."""
    values = _values(call)
    types = [type_of(x) for x in values]
    result: list[Structure] = []

    def body(*leaves: Any) -> list[Any]:
        found, structure = output_leaves(traced_form(call.function.fun)(*call.all_args(leaves)))
        result.append(structure)
        return found

    traced = trace_graph(body, types, call.function.label)
    level = current_trace()
    held = _tracers_in([*call.function.followed, *call.fixed_args])
    extra = [x for x in held if not any(x is y for y in traced.captures) and _is_usable(x, level)]
    captures = [*traced.captures, *extra]
    graph = _captures_first(traced.graph, len(types), [x.type for x in extra])
    rule, expected = _rule_for(call, types, captures)
    expected[:] = [Expected(result[0], graph.output_types)]
    given = [lowered(x, level) if isinstance(x, Tracer) else x for x in captures]
    outputs = bind(CustomCall(graph, rule, len(captures)), *given, *values)
    return result[0].unflatten(outputs)


def _is_usable(x: Tracer, level: Trace | None) -> bool:
    """Whether a tracer that a function holds, and may never use, has a value at `level`."""
    try:
        lowered(x, level)
    except (DifferentiationError, UnexpectedTracerError):
        return False
    return True


def _rule_for(call: Called, types: Sequence[ArrayType], captures: Sequence[Any]) -> KnownRule:
    if not captures:
        known: KnownRule = call.function.known_rule(call, types)
        return known
    expected: list[Expected] = []
    push = replaced(call.function.push(call, expected), captures)
    pull = call.function.pull(call, expected)
    return KnownRule(Rule(call.function.label, push, pull), expected)


def replaced(push: Push, captures: Sequence[Any]) -> Push:
    """The rule, run with captured values in place of what was captured."""

    def pushed(captured: Sequence[Any], *rest: Any) -> Any:
        with replacing(captures, captured):
            return push(captured, *rest)

    return pushed


def _values(call: Called) -> list[Any]:
    return [as_value(x, f"an argument of {call.function.label}") for x in call.leaves]


def _captures_first(graph: Graph, count: int, extra: Sequence[ArrayType]) -> Graph:
    """The graph with its `count` arguments after what it captures and some inputs more."""
    captured = (*graph.inputs[count:], *map(Var, extra))
    return Graph(graph.name, (*captured, *graph.inputs[:count]), graph.eqns, graph.outputs)


# ---- what functions close over -------------------------------------------------------------------


def _tracers_in(objects: Iterable[Any]) -> list[Tracer]:
    """The tracers that functions and containers hold in closures, defaults and attributes."""
    found: dict[int, Tracer] = {}
    seen: set[int] = set()
    for x in objects:
        _search(x, found, seen, 0)
    return list(found.values())


def _search(x: Any, found: dict[int, Tracer], seen: set[int], depth: int) -> None:
    if id(x) in seen or depth > _DEEPEST:
        return
    seen.add(id(x))
    if isinstance(x, Tracer):
        found[id(x)] = x
        return
    for inner in _held(x):
        _search(inner, found, seen, depth + 1)


def _held(x: Any) -> Iterator[Any]:
    """What a function, method, partial, container or object with a rule holds."""
    if isinstance(x, FunctionType):
        for cell in x.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not filled yet
                continue
        yield from x.__defaults__ or ()
        yield from (x.__kwdefaults__ or {}).values()
    elif isinstance(x, MethodType):
        yield x.__func__
        yield from vars(x.__self__).values() if hasattr(x.__self__, "__dict__") else ()
    elif isinstance(x, functools.partial):
        yield from (x.func, *x.args, *x.keywords.values())
    elif isinstance(x, CustomFunction):
        yield from (x.fun, *x.followed)
    elif isinstance(x, (list, tuple, dict)):
        yield from flatten(x)[0]


# ---- arguments and results -----------------------------------------------------------------------


def failure(message: str, hint: str = "", kind: type[JitmlError] = ArgumentError) -> JitmlError:
    """An error at the user's line."""
    return kind(message, hint=hint, source=user_source())


def positional_arguments(
    fun: Callable[..., Any], label: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...]:
    """All arguments by position, those passed by name and defaults among them."""
    code = getattr(fun, "__code__", None)
    if not kwargs and isinstance(code, CodeType) and code.co_argcount == len(args):
        return args
    import inspect

    try:
        signature = inspect.signature(fun)
    except (TypeError, ValueError):  # a callable that does not tell
        if not kwargs:
            return args
        raise failure(f"{label} takes arguments by position only") from None
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise failure(f"the arguments do not fit {label}: {error}") from None
    bound.apply_defaults()
    if bound.kwargs:
        raise failure(
            f"{label}: {', '.join(bound.kwargs)} can only be passed by name, and a function with a "
            "custom derivative takes arguments by position",
            "make them positional",
        )
    return bound.args


def pair(result: Any, what: str, of: str) -> tuple[Any, Any]:
    """The two parts of what a rule returned."""
    if isinstance(result, (tuple, list)) and len(result) == 2:
        return result[0], result[1]
    raise failure(f"{what} must return a pair, {of}, but returned a {type(result).__name__}")


def rule_outputs(what: str, tree: Any, expected: list[Expected]) -> list[Any]:
    """The leaves of the output that a rule gave, which must be like the function's own."""
    leaves, structure = flatten(tree)
    if not all(map(is_array_like, leaves)):
        leaves, structure = output_leaves(tree)
    values = [as_value(x) for x in leaves]
    types = tuple([type_of(x) for x in values])
    if not expected:
        expected.append(Expected(structure, types))
        return values
    own = expected[0]
    plain = [[(t.dtype, t.shape) for t in row] for row in (types, own.types)]
    if structure != own.structure or plain[0] != plain[1]:
        found, wanted = (_described(*row) for row in ((structure, types), own))
        raise failure(
            f"{what} must return the output of the function first, which is {wanted}, "
            f"but returned {found}"
        )
    return values


def _described(structure: Structure, types: Sequence[ArrayType]) -> str:
    return str(structure.unflatten([_Shown(str(t)) for t in types]))


class _Shown(str):
    """A type as text, without quotes."""

    __repr__ = str.__str__
