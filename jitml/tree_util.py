"""The names of `jax.tree_util` for the functions of `jitml.tree`, and `Partial`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from jitml.tree import KeyPath, keystr
from jitml.tree import all as tree_all
from jitml.tree import broadcast as tree_broadcast
from jitml.tree import flatten as tree_flatten
from jitml.tree import flatten_with_path as tree_flatten_with_path
from jitml.tree import leaves as tree_leaves
from jitml.tree import leaves_with_path as tree_leaves_with_path
from jitml.tree import map as tree_map
from jitml.tree import map_with_path as tree_map_with_path
from jitml.tree import reduce as tree_reduce
from jitml.tree import reduce_associative as tree_reduce_associative
from jitml.tree import structure as tree_structure
from jitml.tree import transpose as tree_transpose
from jitml.tree_registry import (
    NODES,
    DictKey,
    FlattenedIndexKey,
    GetAttrKey,
    Key,
    SequenceKey,
    register_dataclass,
    register_pytree_node,
    register_pytree_node_class,
    register_pytree_with_keys,
    register_pytree_with_keys_class,
    register_static,
)
from jitml.tree_structure import Structure, tuple_of

PyTreeDef = Structure
KeyEntry = Key

__all__ = [
    "DictKey",
    "FlattenedIndexKey",
    "GetAttrKey",
    "KeyEntry",
    "KeyPath",
    "Partial",
    "PyTreeDef",
    "SequenceKey",
    "all_leaves",
    "flatten_one_level",
    "is_tree_node",
    "keystr",
    "register_dataclass",
    "register_pytree_node",
    "register_pytree_node_class",
    "register_pytree_with_keys",
    "register_pytree_with_keys_class",
    "register_static",
    "tree_all",
    "tree_broadcast",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_with_path",
    "tree_reduce",
    "tree_reduce_associative",
    "tree_structure",
    "tree_transpose",
    "tree_unflatten",
    "treedef_children",
    "treedef_is_leaf",
    "treedef_tuple",
]


def tree_unflatten(treedef: Structure, leaves: Iterable[Any]) -> Any:
    """The tree of structure `treedef` with `leaves`."""
    return treedef.unflatten(leaves)


def treedef_is_leaf(treedef: Structure) -> bool:
    """Whether the structure is that of a single leaf."""
    return treedef.spec is None


def treedef_children(treedef: Structure) -> list[Structure]:
    """The structures of the direct children."""
    return treedef.children()


def treedef_tuple(treedefs: Iterable[Structure]) -> Structure:
    """The structure of a tuple of trees of these structures."""
    return tuple_of(treedefs)


def is_tree_node(x: Any) -> bool:
    """Whether `x` is a container."""
    return NODES[type(x)] is not None


def all_leaves(iterable: Iterable[Any], is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether no element is a container (other than where `is_leaf` says so)."""
    elements = list(iterable)
    return len(tree_leaves(elements, is_leaf=is_leaf)) == len(elements) and all(
        not is_tree_node(x) or (is_leaf is not None and is_leaf(x)) for x in elements
    )


def flatten_one_level(tree: Any) -> tuple[Iterable[Any], Any]:
    """The direct children of a container and its static data."""
    kind = NODES[type(tree)]
    if kind is None:
        raise ValueError(f"{type(tree).__name__} is a leaf, not a container")
    return kind.flatten(tree)


class Partial(functools.partial[Any]):
    """A `functools.partial` that is a container: arguments are its children, the function is
    static.
    """


def _flatten_partial(p: Partial) -> tuple[tuple[Any, Any], Any]:
    return (p.args, p.keywords), p.func


def _unflatten_partial(func: Any, children: tuple[Any, Any]) -> Partial:
    args, keywords = children
    return Partial(func, *args, **keywords)


register_pytree_node(Partial, _flatten_partial, _unflatten_partial)
