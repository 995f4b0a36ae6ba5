"""Trees: nested dicts, lists, tuples, named tuples, None and registered classes, with anything else
as leaves.

The public module `jitml.tree`, with the names of `jax.tree`.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from jitml.ir.arguments import check_callable
from jitml.ir.errors import TreeError
from jitml.ir.source import user_source
from jitml.tree_registry import NODES, Key
from jitml.tree_structure import LEAF, Structure, flatten, known_structure, unflatten

KeyPath: TypeAlias = "tuple[Any, ...]"
IsLeaf: TypeAlias = "Callable[[Any], bool] | None"

__all__ = [
    "Structure",
    "all",
    "broadcast",
    "flatten",
    "flatten_with_path",
    "keystr",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "reduce",
    "reduce_associative",
    "static",
    "structure",
    "transpose",
    "unflatten",
]

_MISSING = object()


def leaves(tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves of a tree in order: `leaves({"b": 2, "a": [1]})` is `[1, 2]`."""
    return flatten(tree, is_leaf)[0]


def structure(tree: Any, is_leaf: IsLeaf = None) -> Structure:
    """The shape of a tree without its leaves."""
    return flatten(tree, is_leaf)[1]


def map(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """A tree like `tree` of `f(leaf, …)`; the other trees have at least its structure.

    Example: `map(lambda x, y: x + y, {"a": 1}, {"a": 10})` is `{"a": 11}`.
    """
    check_callable("tree.map", f)
    found, shape = flatten(tree, is_leaf)
    others = [shape.flatten_up_to(r, f"tree {i}") for i, r in enumerate(rest, start=2)]
    return shape.unflatten([f(*xs) for xs in zip(found, *others, strict=True)])


def reduce(
    function: Callable[[Any, Any], Any],
    tree: Any,
    initializer: Any = _MISSING,
    is_leaf: IsLeaf = None,
) -> Any:
    """Combine the leaves from the left: `reduce(operator.add, {"a": 1, "b": [2, 3]})` is 6."""
    check_callable("tree.reduce", function)
    found = leaves(tree, is_leaf)
    if initializer is _MISSING:
        return functools.reduce(function, found)
    return functools.reduce(function, found, initializer)


def reduce_associative(
    operation: Callable[[Any, Any], Any],
    tree: Any,
    *,
    identity: Any = _MISSING,
    is_leaf: IsLeaf = None,
) -> Any:
    """Combine the leaves pairwise, in a balanced tree of calls."""
    check_callable("tree.reduce_associative", operation)
    found = leaves(tree, is_leaf)
    if not found:
        if identity is _MISSING:
            raise TreeError(
                "reduce_associative: the tree has no leaves",
                hint="give an identity",
                source=user_source(),
            )
        return identity
    while len(found) > 1:
        pairs = zip(found[::2], found[1::2], strict=False)
        found = [operation(a, b) for a, b in pairs] + found[len(found) & ~1 :]
    return found[0]


def all(tree: Any, *, is_leaf: IsLeaf = None) -> bool:
    """Whether every leaf is true."""
    return builtins.all(leaves(tree, is_leaf))


def transpose(
    outer_treedef: Structure, inner_treedef: Structure | None, pytree_to_transpose: Any
) -> Any:
    """Turn an outer tree of inner trees into an inner tree of outer trees.

    Example: a list of dicts into a dict of lists.
    """
    known_structure(outer_treedef, "transpose")
    if inner_treedef is None:
        inner_treedef = structure(outer_treedef.flatten_up_to(pytree_to_transpose)[0])
    inner, outer = known_structure(inner_treedef, "transpose"), outer_treedef
    if not inner.num_leaves or not outer.num_leaves:
        raise TreeError("tree.transpose: both structures must have leaves", source=user_source())
    rows = [inner.flatten_up_to(r, "inner tree") for r in outer.flatten_up_to(pytree_to_transpose)]
    columns = [outer.unflatten(column) for column in zip(*rows, strict=True)]
    return inner.unflatten(columns)


def static(**options: Any) -> Any:
    """A field of a dataclass that is static data: `dataclasses.field(**options)`, marked for
    `register_dataclass`.

    >>> from dataclasses import dataclass
    >>> from jitml import tree_util
    >>> @tree_util.register_dataclass
    ... @dataclass
    ... class Scale:
    ...     factor: float
    ...     name: str = static(default="scale")
    >>> leaves(Scale(2.0))
    [2.0]
    """
    import dataclasses  # who uses this has imported it

    metadata = {"static": True, **(options.pop("metadata", None) or {})}
    return dataclasses.field(metadata=metadata, **options)


def broadcast(prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf = None) -> Any:
    """A tree like `full_tree`, each leaf of `prefix_tree` repeated over the subtree in its
    place.
    """
    return structure(full_tree).unflatten(broadcast_leaves(prefix_tree, full_tree, is_leaf))


def broadcast_leaves(
    prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf = None, name: str = "the full tree"
) -> list[Any]:
    """The leaves of `broadcast(prefix_tree, full_tree)`; `is_leaf` is asked of the prefix."""
    values, shape = flatten(prefix_tree, is_leaf)
    subtrees = shape.flatten_up_to(full_tree, name)
    repeated: list[Any] = []
    for value, subtree in zip(values, subtrees, strict=True):
        repeated += [value] * len(leaves(subtree))
    return repeated


def flatten_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> tuple[list[tuple[KeyPath, Any]], Structure]:
    """As `flatten`, with (path, leaf) pairs for leaves."""
    found: list[tuple[KeyPath, Any]] = []

    def stops(path: KeyPath, x: Any) -> bool:
        if is_leaf is None:
            return False
        return is_leaf(path, x) if is_leaf_takes_path else is_leaf(x)

    def walk(path: KeyPath, x: Any) -> Any:
        kind = NODES[type(x)]
        if kind is None or stops(path, x):
            found.append((path, x))
            return None
        children, aux = kind.flatten(x)
        pairs = zip(kind.keys(x), children, strict=True)
        return (kind, aux, tuple([walk((*path, key), child) for key, child in pairs]))

    spec = walk((), tree)
    return found, LEAF if spec is None else Structure(spec, len(found))


def leaves_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> list[tuple[KeyPath, Any]]:
    """(path, leaf) pairs in order."""
    return flatten_with_path(tree, is_leaf, is_leaf_takes_path)[0]


def map_with_path(
    f: Callable[..., Any],
    tree: Any,
    *rest: Any,
    is_leaf: Callable[..., bool] | None = None,
    is_leaf_takes_path: bool = False,
) -> Any:
    """As `map`, with the path of each leaf as first argument of `f`."""
    check_callable("tree.map_with_path", f)
    pairs, shape = flatten_with_path(tree, is_leaf, is_leaf_takes_path)
    others = [shape.flatten_up_to(r, f"tree {i}") for i, r in enumerate(rest, start=2)]
    return shape.unflatten([f(path, x, *xs) for (path, x), *xs in zip(pairs, *others, strict=True)])


def keystr(keys: Iterable[Any], *, simple: bool = False, separator: str = "") -> str:
    """A path as Python would write it: `['w'][0].bias`; `simple` gives `w/0/bias` with separator
    "/".
    """
    if not simple:
        return separator.join(str(key) for key in keys)
    return separator.join(key.simple if isinstance(key, Key) else str(key) for key in keys)
