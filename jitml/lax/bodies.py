"""How functions of control flow see what users pass: bodies as graphs, carries as trees.

In: a user's function and the trees that it takes. Out: its graph, with what it captured from around
it as first inputs, or an error that names the leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from jitml.ir.dtypes import promote
from jitml.ir.errors import ArgumentError, DTypeError, JitmlError, ShapeError, TreeError
from jitml.ir.graph import Graph, Var
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.recording import argument_names, output_leaves
from jitml.trace.core import trace_graph, type_of
from jitml.trace.forms import traced_form
from jitml.transforms.values import as_value, retyped
from jitml.tree import flatten_with_path, keystr
from jitml.tree_structure import Structure


def refuse(kind: type[JitmlError], message: str, hint: str = "") -> NoReturn:
    """Raise an error that tells the user's line."""
    raise kind(message, hint=hint, source=user_source())


class Tree(NamedTuple):
    """The leaves of a tree as values, their paths, and its structure."""

    leaves: list[Any]
    paths: list[str]
    structure: Structure

    @property
    def types(self) -> list[ArrayType]:
        return [type_of(x) for x in self.leaves]


def tree_of(tree: Any, what: str) -> Tree:
    """A user's tree as values; `what` is how errors call it."""
    pairs, structure = flatten_with_path(tree)
    paths = [keystr(path) for path, _ in pairs]
    leaves = [as_value(x, f"{what}{path}") for (_, x), path in zip(pairs, paths, strict=True)]
    return Tree(leaves, paths, structure)


class Body(NamedTuple):
    """A traced function: the graph takes `captures`, then the arguments' leaves."""

    graph: Graph
    captures: list[Any]
    structure: Structure  # of the result

    @property
    def types(self) -> tuple[ArrayType, ...]:
        return self.graph.output_types


def trace_body(
    function: Callable[..., Any],
    arguments: Sequence[Structure],
    types: Sequence[ArrayType],
    check: Callable[[Any], Any] | None = None,
) -> Body:
    """The graph of `function` for arguments of these structures, all their leaves' types in a row.

    `check` looks at the result before it is taken apart.
    """
    structures: list[Structure] = []

    def flat(*tracers: Any) -> list[Any]:
        remaining, args = list(tracers), []
        for structure in arguments:
            count = structure.num_leaves
            args.append(structure.unflatten(remaining[:count]))
            del remaining[:count]
        result = traced_form(function)(*args)
        leaves, structure = output_leaves(
            result if check is None else check(result), "return arrays, numbers, and trees of them"
        )
        structures.append(structure)
        return leaves

    name = getattr(function, "__name__", "body").replace("<lambda>", "lambda")
    names = _leaf_names(function, arguments)
    graph, captures, _ = trace_graph(flat, types, name, names)
    captured = graph.inputs[len(types) :]
    inputs = (*captured, *graph.inputs[: len(types)])
    return Body(Graph(name, inputs, graph.eqns, graph.outputs), list(captures), structures[0])


def _leaf_names(function: Callable[..., Any], arguments: Sequence[Structure]) -> list[str]:
    names = []
    for name, structure in zip(argument_names(function, len(arguments)), arguments, strict=True):
        tree = structure.unflatten(list(range(structure.num_leaves)))
        names += [name + keystr(path) for path, _ in flatten_with_path(tree)[0]]
    return names


def sharing_captures(bodies: Sequence[Body]) -> tuple[list[Graph], list[Any]]:
    """The graphs with the captures of all bodies as first inputs, and those captures."""
    shared: dict[int, Any] = {id(x): x for body in bodies for x in body.captures}
    graphs = []
    for body in bodies:
        own = dict(zip(map(id, body.captures), body.graph.inputs, strict=False))
        captured = [own[key] if key in own else Var(type_of(x)) for key, x in shared.items()]
        graph = body.graph
        inputs = (*captured, *graph.inputs[len(body.captures) :])
        graphs.append(Graph(graph.name, inputs, graph.eqns, graph.outputs))
    return graphs, list(shared.values())


# ---- carries -------------------------------------------------------------------------------------


def widened(carry: Tree, types: Sequence[ArrayType]) -> Tree | None:
    """The initial carry with leaves that came from Python numbers in the types that the body
    returns for them; None if all fit.
    """
    leaves = list(carry.leaves)
    for number, (x, out) in enumerate(zip(carry.leaves, types, strict=True)):
        own = type_of(x)
        if own.weak and own.dtype != out.dtype:
            dtype, weak = promote((own.dtype, True), (out.dtype, out.weak))
            leaves[number] = retyped(x, own.with_dtype(dtype, weak))
    changed = any(a is not b for a, b in zip(leaves, carry.leaves, strict=True))
    return carry._replace(leaves=leaves) if changed else None


def check_carry(name: str, carry: Tree, structure: Structure, types: Sequence[ArrayType]) -> None:
    """Raise unless the body returns a carry like the one that it takes."""
    check_structure(name, carry, structure)
    for path, own, out in zip(carry.paths, carry.types, types, strict=True):
        if (own.dtype, own.shape) == (out.dtype, out.shape):
            continue
        kind: type[JitmlError] = DTypeError
        hint = f"return it as .astype({own.dtype.name!r}), or start from {out.dtype.name}"
        if own.shape != out.shape:
            kind, hint = ShapeError, "a carry keeps its shape; scan stacks what is returned beside"
        refuse(kind, f"{name}: carry{path} enters the body as {own} and leaves it as {out}", hint)


def check_structure(name: str, carry: Tree, structure: Structure) -> None:
    """Raise unless the body returns a carry of the structure that it takes."""
    if structure != carry.structure:
        refuse(
            TreeError,
            f"{name}: the carry enters the body as {carry.structure} and leaves it as {structure}",
            "the body must return its carry in the structure in which it came",
        )


def check_pair(result: Any) -> Any:
    """What the body of a scan returned, if it is a pair."""
    if not isinstance(result, tuple) or len(result) != 2:
        what = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
        refuse(
            ArgumentError,
            f"scan: the body returned {what}, not a pair",
            "return (carry, output); the output may be None",
        )
    return result


def traced_until_stable(trace: Callable[[Tree], Body], carry: Tree) -> tuple[Body, Tree]:
    """The body traced for a carry whose types it keeps, and that carry."""
    body = trace(carry)
    count = len(carry.leaves)
    for _ in range(count + 1):
        if body.structure.num_leaves < count:
            break
        wider = widened(carry, body.types[:count]) if _starts_alike(body, carry) else None
        if wider is None:
            break
        carry = wider
        body = trace(carry)
    return body, carry


def _starts_alike(body: Body, carry: Tree) -> bool:
    count = len(carry.leaves)
    return len(body.types) >= count and all(
        a.shape == b.shape for a, b in zip(body.types, carry.types, strict=False)
    )


def leading_size(name: str, xs: Tree, length: int | None) -> int:
    """The one size of the first axes of `xs`, or `length`."""
    sizes: dict[int, str] = {}
    for path, type_ in zip(xs.paths, xs.types, strict=True):
        if not type_.ndim:
            refuse(
                ArgumentError,
                f"{name}: xs{path} is {type_}: it has no axis to take slices along",
                "close over what all steps share",
            )
        sizes.setdefault(type_.shape[0], f"xs{path}: {type_}")
    if length is not None:
        sizes.setdefault(int(length), "length")
    if len(sizes) > 1:
        listed = "; ".join(f"{size} ({where})" for size, where in sizes.items())
        refuse(ShapeError, f"{name}: the numbers of steps differ: {listed}",
               "all arrays in xs have one size along their first axis")  # fmt: skip
    if not sizes:
        refuse(ArgumentError, f"{name}: there is nothing to take slices of", "give xs or length")
    return next(iter(sizes))
