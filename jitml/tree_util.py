"""The names of `jax.tree_util` for the functions of `jitml.tree`, and `Partial`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from jitml.ir.errors import TreeError
from jitml.ir.source import user_source
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
    NodeKind,
    SequenceKey,
    register_dataclass,
    register_pytree_node,
    register_pytree_node_class,
    register_pytree_with_keys,
    register_pytree_with_keys_class,
    register_static,
)
from jitml.tree_structure import Structure, known_structure, tuple_of, unflatten

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
    "flatten_one_level_with_keys",
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
    return unflatten(treedef, leaves)


def treedef_is_leaf(treedef: Structure) -> bool:
    """Whether the structure is that of a single leaf."""
    return known_structure(treedef, "treedef_is_leaf").spec is None


def treedef_children(treedef: Structure) -> list[Structure]:
    """The structures of the direct children."""
    return known_structure(treedef, "treedef_children").children()


def treedef_tuple(treedefs: Iterable[Structure]) -> Structure:
    """The structure of a tuple of trees of these structures."""
    return tuple_of(treedefs)


def is_tree_node(typ: type) -> bool:
    """Whether values of this type are containers: `is_tree_node(dict)` is True."""
    return isinstance(typ, type) and NODES[typ] is not None


def all_leaves(iterable: Iterable[Any], is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether no element is a container (other than where `is_leaf` says so)."""
    elements = list(iterable)
    return len(tree_leaves(elements, is_leaf=is_leaf)) == len(elements) and all(
        not is_tree_node(type(x)) or (is_leaf is not None and is_leaf(x)) for x in elements
    )


def flatten_one_level(tree: Any) -> tuple[Iterable[Any], Any]:
    """The direct children of a container and its static data."""
    return _kind_of(tree).flatten(tree)


def flatten_one_level_with_keys(tree: Any) -> tuple[Iterable[tuple[Any, Any]], Any]:
    """The direct children of a container, with their keys: (key, child) pairs; and its static
    data.
    """
    kind = _kind_of(tree)
    children, data = kind.flatten(tree)
    return list(zip(kind.keys(tree), children, strict=True)), data


def _kind_of(tree: Any) -> NodeKind:
    kind = NODES[type(tree)]
    if kind is None:
        raise TreeError(
            f"{type(tree).__name__} is a leaf, not a container",
            hint="register_pytree_node makes a class a container",
            source=user_source(),
        )
    return kind


class Partial(functools.partial[Any]):
    """A `functools.partial` that is a container: arguments are its children, the function is
    static.

    >>> import operator, jitml
    >>> add = Partial(operator.add, 1)
    >>> jitml.jit(lambda f, x: f(x))(add, 2)
    Array(3, dtype=int32, weak_type=True)
    """

    def __new__(cls, func: Callable[..., Any], /, *args: Any, **keywords: Any) -> Partial:
        if isinstance(func, functools.partial):  # or it would be taken apart, and joined with this
            func = _Whole(func)
        return super().__new__(cls, func, *args, **keywords)


class _Whole:
    """A function that is called as it is; known by what it calls."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Whole) and bool(self.function == other.function)

    def __hash__(self) -> int:
        return hash(self.function)

    def __repr__(self) -> str:
        return repr(self.function)


def _flatten_partial(p: Partial) -> tuple[tuple[Any, Any], Any]:
    return (p.args, p.keywords), p.func


def _unflatten_partial(func: Any, children: tuple[Any, Any]) -> Partial:
    args, keywords = children
    return Partial(func, *args, **keywords)


register_pytree_node(Partial, _flatten_partial, _unflatten_partial)
