"""Run a user's function once, on values, and keep the graph that it recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

import jitml.array_methods  # noqa: F401  (gives tracers their operators and methods)
from jitml.ir.errors import ArgumentError
from jitml.ir.graph import Graph, Literal
from jitml.ir.source import user_source
from jitml.trace.core import Traced, trace_graph, type_of
from jitml.trace.following import FollowingTrace
from jitml.transforms.values import as_value, is_array_like, literal_value
from jitml.tree import flatten_with_path, keystr
from jitml.tree_structure import Structure, flatten
from jitml_runtime.record import frozen


@frozen
class Recorded:
    """What a function did on values: `graph` returns the leaves of its result, whose values are
    `outputs`.

    `captures` are the values of the graph's inputs after the arguments, `aux` what the function
    returned beside.
    """

    graph: Graph
    outputs: list[Any]
    structure: Structure
    aux: Any
    traced: Traced

    def values_of(self, numbers: Sequence[int]) -> list[Any]:
        """The values of variables by their numbers in order of definition."""
        variables = self.graph.variables()
        return [self.traced.values[variables[n]] for n in numbers]


def record(
    function: Callable[..., Any],
    values: Sequence[Any],
    name: str = "",
    names: Sequence[str] = (),
    has_aux: bool = False,
    hint: object = None,
) -> Recorded:
    """Run `function` on tracers of `values`; its result is a tree, or with `has_aux` a pair of
    tree and anything. `hint` is equal where the function probably does the same again.
    """
    result = _Result(function, has_aux)
    types = [type_of(x) for x in values]
    key = (hint, *types)
    expected = _LATEST.get(key)
    trace = None if expected is None else FollowingTrace(name, expected)
    traced = trace_graph(result, types, name, names, values, trace)
    if traced.graph is not expected:
        if len(_LATEST) >= _MOST_LATEST:
            _LATEST.clear()
        _LATEST[key] = traced.graph
    found = [
        literal_value(a) if isinstance(a, Literal) else traced.values[a]
        for a in traced.graph.outputs
    ]
    count = result.structure.num_leaves
    graph = traced.graph
    if len(found) > count:
        graph = Graph(graph.name, graph.inputs, graph.eqns, graph.outputs[:count])
    return Recorded(graph, found[:count], result.structure, result.aux(found[count:]), traced)


_LATEST: dict[tuple[object, ...], Graph] = {}  # by hint and types; a guess, which is checked
_MOST_LATEST = 1024


class _Result:
    """Calls the function, and takes apart what it returned."""

    structure: Structure

    def __init__(self, function: Callable[..., Any], has_aux: bool) -> None:
        self.function = function
        self.has_aux = has_aux
        self._aux: tuple[list[Any], list[bool], Structure] | None = None

    def __call__(self, *tracers: Any) -> list[Any]:
        result = self.function(*tracers)
        extra: list[Any] = []
        if self.has_aux:
            result, aux = _pair(result)
            aux_leaves, aux_structure = flatten(aux)
            is_array = [is_array_like(x) for x in aux_leaves]
            self._aux = aux_leaves, is_array, aux_structure
            extra = [as_value(x) for x, is_it in zip(aux_leaves, is_array, strict=True) if is_it]
        leaves, self.structure = output_leaves(result)
        return [*leaves, *extra]

    def aux(self, values: Sequence[Any]) -> Any:
        """What the function returned beside, with values in place of tracers."""
        if self._aux is None:
            return None
        leaves, is_array, structure = self._aux
        remaining = iter(values)
        return structure.unflatten(
            [next(remaining) if is_it else x for x, is_it in zip(leaves, is_array, strict=True)]
        )


def output_leaves(
    result: Any, hint: str = "return what is not an array beside the result, with has_aux=True"
) -> tuple[list[Any], Structure]:
    """The leaves of a function's result as values, and the result's structure."""
    leaves, structure = flatten(result)
    if all(map(is_array_like, leaves)):
        return [as_value(x) for x in leaves], structure
    path, bad = next(p for p in flatten_with_path(result)[0] if not is_array_like(p[1]))
    raise ArgumentError(
        f"the function returned a {type(bad).__name__} at result{keystr(path)}, "
        "where an array or a number is needed",
        hint=hint,
        source=user_source(),
    )


def _pair(result: Any) -> tuple[Any, Any]:
    if isinstance(result, tuple) and len(result) == 2:
        return result
    raise ArgumentError(
        f"has_aux=True, but the function returned a {type(result).__name__}, not a pair",
        hint="return (result, aux)",
        source=user_source(),
    )


def argument_names(function: Callable[..., Any], count: int) -> list[str]:
    """How the function calls its first `count` positional arguments, as far as it tells."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    names: tuple[str, ...] = ()
    if isinstance(code, CodeType):
        skipped = 1 if hasattr(function, "__self__") else 0
        names = code.co_varnames[skipped : code.co_argcount]
    return [names[i] if i < len(names) else f"args[{i}]" for i in range(count)]
