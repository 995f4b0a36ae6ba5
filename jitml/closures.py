"""Functions with what they close over made explicit: `closure_convert`, `custom_gradient`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jitml.custom_calls import failure
from jitml.custom_derivatives import custom_vjp
from jitml.ir.arguments import check_callable
from jitml.ir.dtypes import is_inexact
from jitml.ir.errors import TreeError
from jitml.ir.graph import Graph
from jitml.recording import output_leaves
from jitml.trace.core import Tracer, trace_graph, type_of
from jitml.trace.forms import traced_form
from jitml.transforms.execute import execute
from jitml.transforms.values import as_value
from jitml.tree_structure import Structure, flatten


class Closed(NamedTuple):
    """A traced function of arguments of a structure; `graph` takes their leaves, then captures."""

    graph: Graph
    arguments: Structure
    result: Structure
    captures: tuple[Any, ...]

    def __call__(self, captures: Sequence[Any], *args: Any) -> Any:
        """The function's result, with other values for what it captured."""
        leaves, structure = flatten(args)
        if structure != self.arguments:
            raise failure(
                f"{self.graph.name} was converted for arguments of structure {self.arguments}, "
                f"and called with {structure}",
                kind=TreeError,
            )
        values = [as_value(x) for x in leaves]
        return self.result.unflatten(execute(self.graph, [*values, *captures]))


def close(fun: Callable[..., Any], args: Sequence[Any]) -> Closed:
    """Trace `fun` for arguments like these."""
    leaves, structure = flatten(tuple(args))
    result: list[Structure] = []

    def flat(*tracers: Any) -> list[Any]:
        found, shape = output_leaves(traced_form(fun)(*structure.unflatten(tracers)))
        result.append(shape)
        return found

    types = [type_of(as_value(x)) for x in leaves]
    traced = trace_graph(flat, types, getattr(fun, "__name__", ""))
    return Closed(traced.graph, structure, result[0], traced.captures)


def closure_convert(fun: Callable[..., Any], *example_args: Any) -> tuple[Any, list[Any]]:
    """`fun` as a function that takes the traced values it closes over as arguments after its own,
    and these values.

    A function with a derivative rule can so be given functions as arguments.

    >>> import jitml
    >>> def slope(y):
    ...     f, hidden = closure_convert(lambda x: x * y, 1.0)
    ...     return f(3.0, *hidden)
    >>> print(jitml.grad(slope)(2.0))
    3.0
    """
    check_callable("closure_convert", fun)
    closed = close(fun, example_args)
    is_hidden = [isinstance(x, Tracer) and is_inexact(x.type.dtype) for x in closed.captures]
    count = len(example_args)

    @functools.wraps(fun, updated=())
    def converted(*args: Any) -> Any:
        given = iter(args[count:])
        captures = [
            next(given) if is_it else x for x, is_it in zip(closed.captures, is_hidden, strict=True)
        ]
        return closed([as_value(x) for x in captures], *args[:count])

    hidden = [x for x, is_it in zip(closed.captures, is_hidden, strict=True) if is_it]
    return converted, hidden


def custom_gradient(fun: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose derivative is told where it is computed: `fun` returns the result and the
    function from its cotangent to those of the arguments.

    >>> import jitml
    >>> @custom_gradient
    ... def f(x):
    ...     return x * x, lambda ct: 10 * x * ct
    >>> print(f(3.0), jitml.grad(f)(3.0))
    9.0 30.0
    """

    check_callable("custom_gradient", fun)

    def result(*args: Any) -> Any:
        return fun(*args)[0]

    function = custom_vjp(functools.wraps(fun, updated=())(result))

    def fwd(*args: Any) -> Any:
        out, pull = fun(*args)
        closed = close(pull, (out,))
        return out, (list(closed.captures), closed._replace(captures=()).__call__)

    def bwd(kept: Any, ct: Any) -> Any:
        captures, pull = kept
        found = pull(captures, ct)
        return found if isinstance(found, tuple) else (found,)

    function.defvjp(fwd, bwd)
    return function
