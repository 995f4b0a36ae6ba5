"""`Structure`: the shape of a tree without its leaves. Trees go in, flat lists of leaves and
structures come out.

Inside, a structure is nested tuples `(kind, static data, children)`, with None for a leaf: made,
compared and hashed at the speed of tuples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from jitml.ir.errors import TreeError
from jitml.ir.source import user_source
from jitml.tree_registry import NODES, NodeKind, is_named_tuple

Spec: TypeAlias = "tuple[NodeKind, Any, tuple[Any, ...]] | None"


class Structure:
    """The shape of a tree: hashable, comparable, and able to rebuild a tree from leaves."""

    __slots__ = ("_hash", "num_leaves", "spec")

    def __init__(self, spec: Spec, num_leaves: int) -> None:
        self.spec = spec
        self.num_leaves = num_leaves
        self._hash: int | None = None

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Structure):
            return NotImplemented
        return self.num_leaves == other.num_leaves and bool(self.spec == other.spec)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.spec, self.num_leaves))
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return (Structure, (self.spec, self.num_leaves))

    def __repr__(self) -> str:
        return f"PyTreeDef({self.text})"

    @property
    def text(self) -> str:
        """The containers as Python writes them, with * for each leaf."""
        return _format(self.spec)

    @property
    def num_nodes(self) -> int:
        return _count_nodes(self.spec)

    @property
    def has_only_leaves(self) -> bool:
        """Whether it is one node, all of whose children are leaves."""
        return self.spec is not None and not any(self.spec[2])

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """The tree of this structure with these leaves."""
        given = leaves if isinstance(leaves, (list, tuple)) else list(leaves)
        if len(given) != self.num_leaves:
            raise TreeError(
                f"a tree of {self.num_leaves} leaves was given {len(given)}: {self}",
                source=user_source(),
            )
        if self.spec is None:
            return given[0]
        return _unflatten(self.spec, iter(given))

    def flatten_up_to(self, tree: Any, name: str = "tree") -> list[Any]:
        """The subtrees of `tree` where this structure has its leaves; `name` is how errors call
        `tree`.
        """
        found: list[Any] = []
        if not _flatten_up_to(self.spec, tree, found):
            raise TreeError("\n".join(_mismatch(self.spec, tree, name)), source=user_source())
        return found

    def children(self) -> list[Structure]:
        """The structures of the direct children."""
        return [] if self.spec is None else [Structure(c, _count(c)) for c in self.spec[2]]

    def node_data(self) -> tuple[type, Any] | None:
        """Type and static data of the root; None for a leaf."""
        return None if self.spec is None else (self.spec[0].type, self.spec[1])

    def compose(self, inner: Structure) -> Structure:
        """This structure with `inner` in the place of each leaf."""
        return self.from_iterable_tree(self.unflatten([inner] * self.num_leaves))

    @staticmethod
    def from_iterable_tree(tree: Any) -> Structure:
        """The structure of a tree whose leaves are structures."""
        leaves, outer = flatten(tree)
        specs = iter([leaf.spec for leaf in leaves])
        count = sum(leaf.num_leaves for leaf in leaves)
        return Structure(_with_leaves(outer.spec, specs), count)

    @staticmethod
    def from_node_data_and_children(
        node_data: tuple[type, Any] | None, children: Iterable[Structure]
    ) -> Structure:
        """The inverse of `node_data` and `children`."""
        if node_data is None:
            return LEAF
        type_, data = node_data
        kind = NODES[type_]
        if kind is None:
            raise TreeError(f"{type_.__name__} is not registered as a container")
        inside = list(children)
        spec = (kind, data, tuple([child.spec for child in inside]))
        return Structure(spec, sum(child.num_leaves for child in inside))

    def is_prefix_of(self, tree: Any) -> bool:
        """Whether `tree` can be cut down to this structure."""
        return _flatten_up_to(self.spec, tree, [])


LEAF = Structure(None, 1)


def flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], Structure]:
    """The leaves of `tree` in order, and its structure."""
    leaves: list[Any] = []
    spec = _flatten(tree, leaves) if is_leaf is None else _flatten_until(tree, leaves, is_leaf)
    return leaves, LEAF if spec is None else Structure(spec, len(leaves))


def unflatten(treedef: Structure, leaves: Iterable[Any]) -> Any:
    """The tree of structure `treedef` with `leaves`."""
    return known_structure(treedef, "unflatten").unflatten(leaves)


def known_structure(x: Any, name: str) -> Structure:
    """`x`, an argument of the function `name`, if it is a structure."""
    if not isinstance(x, Structure):
        raise TreeError(
            f"{name} takes the structure of a tree, not a {type(x).__name__}",
            hint="jitml.tree.structure(tree) is that of a tree",
            source=user_source(),
        )
    return x


def tuple_of(structures: Iterable[Structure]) -> Structure:
    """The structure of a tuple whose elements have the given structures."""
    elements = [known_structure(s, "treedef_tuple") for s in structures]
    kind = NODES[tuple]
    assert kind is not None
    spec = (kind, None, tuple(s.spec for s in elements))
    return Structure(spec, sum(s.num_leaves for s in elements))


def _flatten(tree: Any, leaves: list[Any]) -> Spec:
    kind = NODES[type(tree)]
    if kind is None:
        leaves.append(tree)
        return None
    given, aux = kind.flatten(tree)
    children = given if type(given) is tuple else tuple(given)
    nodes = NODES
    for child in children:
        if nodes[type(child)] is not None:
            break
    else:
        leaves.extend(children)
        return (kind, aux, (None,) * len(children))
    # list.append returns None, which is how a leaf is written in a spec.
    add: Callable[[Any], Any] = leaves.append
    specs = [add(c) if nodes[type(c)] is None else _flatten(c, leaves) for c in children]
    return (kind, aux, tuple(specs))


def _flatten_until(tree: Any, leaves: list[Any], is_leaf: Callable[[Any], bool]) -> Spec:
    kind = NODES[type(tree)]
    if kind is None or is_leaf(tree):
        leaves.append(tree)
        return None
    children, aux = kind.flatten(tree)
    return (kind, aux, tuple([_flatten_until(c, leaves, is_leaf) for c in children]))


def _unflatten(spec: tuple[NodeKind, Any, tuple[Any, ...]], leaves: Iterator[Any]) -> Any:
    kind, aux, children = spec
    return kind.unflatten(
        aux, [next(leaves) if c is None else _unflatten(c, leaves) for c in children]
    )


def _flatten_up_to(spec: Spec, tree: Any, found: list[Any]) -> bool:
    if spec is None:
        found.append(tree)
        return True
    kind, aux, wanted = spec
    if NODES[type(tree)] is not kind:
        return False
    given, given_aux = kind.flatten(tree)
    children = list(given)
    if len(children) != len(wanted) or aux != given_aux:
        return False
    return all(_flatten_up_to(w, c, found) for w, c in zip(wanted, children, strict=True))


def _with_leaves(spec: Spec, specs: Iterator[Spec]) -> Spec:
    if spec is None:
        return next(specs)
    kind, aux, children = spec
    return (kind, aux, tuple([_with_leaves(child, specs) for child in children]))


def _count(spec: Spec) -> int:
    return 1 if spec is None else sum(map(_count, spec[2]))


def _count_nodes(spec: Spec) -> int:
    return 1 if spec is None else 1 + sum(map(_count_nodes, spec[2]))


def _format(spec: Spec) -> str:
    if spec is None:
        return "*"
    kind, aux, children = spec
    inside = [_format(c) for c in children]
    if kind.type is type(None):
        return "None"
    if kind.type is tuple:
        return f"({', '.join(inside)}{',' if len(inside) == 1 else ''})"
    if kind.type is list:
        return f"[{', '.join(inside)}]"
    if kind.type is dict:
        pairs = zip(aux, inside, strict=True)
        return "{" + ", ".join(f"{key!r}: {child}" for key, child in pairs) + "}"
    if is_named_tuple(kind):
        return f"CustomNode(namedtuple[{kind.type.__name__}], [{', '.join(inside)}])"
    return f"CustomNode({kind.type.__name__}[{aux}], [{', '.join(inside)}])"


def _describe(spec: Spec) -> str:
    return "a leaf" if spec is None else f"a {spec[0].type.__name__}"


def _mismatch(spec: Spec, tree: Any, path: str) -> Iterator[str]:
    """Say where `tree` departs from `spec`, the outermost places first."""
    if spec is None:
        return
    kind, aux, wanted = spec
    found = NODES[type(tree)]
    if found is not kind:
        yield f"{path} is a {type(tree).__name__} where {_describe(spec)} is expected"
        return
    given, given_aux = kind.flatten(tree)
    children = list(given)
    if kind.type is dict and aux != given_aux:
        missing = ", ".join(repr(k) for k in aux if k not in given_aux)
        unknown = ", ".join(repr(k) for k in given_aux if k not in aux)
        parts = [f"lacks {missing}"] * bool(missing) + [f"has unexpected {unknown}"] * bool(unknown)
        yield f"{path} {' and '.join(parts)}"
    elif len(children) != len(wanted):
        yield f"{path} has {len(children)} children where {len(wanted)} are expected"
    elif aux != given_aux:
        yield f"{path} has static data {given_aux!r} where {aux!r} is expected"
    else:
        for key, child, child_spec in zip(kind.keys(tree), children, wanted, strict=True):
            yield from _mismatch(child_spec, child, f"{path}{key}")


def mismatch(structure: Structure, tree: Any, name: str = "tree") -> list[str]:
    """Every place where `structure` is not a prefix of `tree`, in words, the path first."""
    return list(_mismatch(structure.spec, tree, name))
