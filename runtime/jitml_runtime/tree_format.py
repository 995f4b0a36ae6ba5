"""The containers of a stored program's arguments and results: dicts, lists, tuples, named tuples,
None, with arrays for leaves.

In: values, or what an `Unpacker` holds. Out: leaves in order with their paths, containers with
leaves put back in. Must not know what the leaves are.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from .packing import FormatError, Packer, Unpacker

LEAF, NONE, TUPLE, LIST, DICT, NAMED = range(6)
_INTEGER, _TEXT = 0, 1
_DEEPEST = 200
Key: TypeAlias = "int | str"


class Tree(NamedTuple):
    """A container without its leaves: what it is, the keys or fields, the children. `name` is that
    of a named tuple.
    """

    kind: int
    keys: tuple[Key, ...] = ()
    children: tuple[Tree, ...] = ()
    name: str = ""

    def __str__(self) -> str:
        inside = [str(child) for child in self.children]
        if self.kind == LEAF:
            return "*"
        if self.kind == NONE:
            return "None"
        if self.kind == LIST:
            return f"[{', '.join(inside)}]"
        if self.kind == TUPLE:
            return f"({', '.join(inside)}{',' * (len(inside) == 1)})"
        pairs = list(zip(self.keys, inside, strict=True))
        if self.kind == DICT:
            return "{" + ", ".join([f"{key!r}: {child}" for key, child in pairs]) + "}"
        return f"{self.name}({', '.join([f'{key}={child}' for key, child in pairs])})"


def write_tree(out: Packer, tree: Tree) -> None:
    """Add a tree."""
    out.integer(tree.kind)
    if tree.kind in (LEAF, NONE):
        return
    out.text(tree.name)
    out.integer(len(tree.children))
    for key in tree.keys:
        out.integer(_TEXT if isinstance(key, str) else _INTEGER)
        if isinstance(key, str):
            out.text(key)
        else:
            out.integer(key)
    for child in tree.children:
        write_tree(out, child)


def read_tree(source: Unpacker, depth: int = 0) -> Tree:
    """Read a tree; FormatError if that is not what is there."""
    kind = source.integer()
    if kind in (LEAF, NONE):
        return Tree(kind)
    if not LEAF < kind <= NAMED or depth > _DEEPEST:
        raise FormatError(f"there is no container of kind {kind} at depth {depth}")
    name = source.text()
    count = source.count()
    keys: list[Key] = []
    for _ in range(count if kind in (DICT, NAMED) else 0):
        is_text = source.integer() == _TEXT
        keys.append(source.text() if is_text else source.integer())
    if kind == NAMED and not all(isinstance(k, str) and k.isidentifier() for k in keys):
        raise FormatError(f"the fields of {name} are no names")
    children = tuple([read_tree(source, depth + 1) for _ in range(count)])
    return Tree(kind, tuple(keys), children, name)


def leaves_of(tree: Tree, value: Any, path: str, found: list[Any]) -> None:
    """Append the leaves of `value`; TypeError, which says where, if it is no such container."""
    kind = tree.kind
    if kind == LEAF:
        found.append(value)
    elif kind == DICT:
        _check_keys(tree, value, path)
        for key, child in zip(tree.keys, tree.children, strict=True):
            leaves_of(child, value[key], f"{path}[{key!r}]", found)
    elif not _is_like(tree, value):
        raise TypeError(f"{path} must be {_described(tree)}, not {_found(value)}")
    else:
        names = tree.keys or range(len(tree.children))
        for key, child, part in zip(names, tree.children, value or (), strict=True):
            inner = f"{path}.{key}" if kind == NAMED else f"{path}[{key}]"
            leaves_of(child, part, inner, found)


def _is_like(tree: Tree, value: Any) -> bool:
    if tree.kind == NONE:
        return value is None
    if tree.kind == NAMED:
        return isinstance(value, tuple) and getattr(value, "_fields", None) == tree.keys
    wanted = list if tree.kind == LIST else tuple
    return type(value) is wanted and len(value) == len(tree.children)


def _check_keys(tree: Tree, value: Any, path: str) -> None:
    if not isinstance(value, dict):
        raise TypeError(f"{path} must be {_described(tree)}, not {_found(value)}")
    missing = [repr(key) for key in tree.keys if key not in value]
    unknown = [repr(key) for key in value if key not in tree.keys]
    if missing:
        raise TypeError(f"{path} lacks {', '.join(missing)}")
    if unknown:
        raise TypeError(f"{path} has {', '.join(unknown)}, which the program does not take")


def _described(tree: Tree) -> str:
    count = len(tree.children)
    return {
        NONE: "None",
        TUPLE: f"a tuple of {count}",
        LIST: f"a list of {count}",
        DICT: "a dict",
        NAMED: f"a {tree.name}({', '.join(map(str, tree.keys))})",
    }[tree.kind]


def _found(value: Any) -> str:
    kind = type(value)
    if kind in (tuple, list):
        return f"a {kind.__name__} of {len(value)}"
    article = "an" if kind.__name__[0] in "aeiouAEIOU" else "a"
    return "None" if value is None else f"{article} {kind.__name__}"


def paths_of(tree: Tree, path: str) -> Iterator[str]:
    """How messages call the leaves."""
    if tree.kind == LEAF:
        yield path
    names = tree.keys or tuple(range(len(tree.children)))
    for key, child in zip(names, tree.children, strict=True):
        yield from paths_of(child, f"{path}.{key}" if tree.kind == NAMED else f"{path}[{key!r}]")


def rebuild(tree: Tree, leaves: Iterator[Any]) -> Any:
    """The container with these leaves."""
    kind = tree.kind
    if kind == LEAF:
        return next(leaves)
    if kind == NONE:
        return None
    parts = [rebuild(child, leaves) for child in tree.children]
    if kind == DICT:
        return dict(zip(tree.keys, parts, strict=True))
    if kind == NAMED:
        return _named(tree.name, tree.keys)(*parts)
    return parts if kind == LIST else tuple(parts)


def count_leaves(tree: Tree) -> int:
    """How many leaves the container has."""
    return 1 if tree.kind == LEAF else sum(map(count_leaves, tree.children))


@cache
def _named(name: str, fields: Sequence[str]) -> Any:
    return namedtuple(name if name.isidentifier() else "Result", fields, rename=True)
