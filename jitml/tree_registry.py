"""Which Python types are containers (nodes of a tree), and how each is taken apart and put
together.

Types come in by registration; every other type is a leaf. Knows nothing of arrays or of tracing.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from jitml.ir.arguments import check_callable
from jitml.ir.errors import ArgumentError, TreeError
from jitml.ir.source import user_source
from jitml_runtime import set_nodes

T = TypeVar("T")


class NodeKind:
    """How values of one container type are taken apart and put together.

    `flatten(x) -> (children, static data)`, `unflatten(static data, children) -> x`, `keys(x) ->
    path entries`. If the children are attributes, `fields` has their names and those of static
    data, so that the runtime can read them itself. Known by identity: there is one for each type.
    """

    __slots__ = ("fields", "flatten", "keys", "type", "unflatten")

    def __init__(
        self,
        type_: type,
        flatten: Callable[[Any], tuple[Iterable[Any], Any]],
        unflatten: Callable[[Any, list[Any]], Any],
        keys: Callable[[Any], Sequence[Any]],
        fields: tuple[tuple[str, ...], tuple[str, ...]] | None = None,
    ) -> None:
        self.fields = fields
        self.type = type_
        self.flatten = flatten
        self.unflatten = unflatten
        self.keys = keys

    def __reduce__(self) -> tuple[Any, ...]:
        return (_kind_of_type, (self.type,))


def _kind_of_type(type_: type) -> NodeKind | None:
    return NODES[type_]


class Key:
    """One step of a path into a tree."""

    __slots__ = ("_entry",)
    _field = ""

    def __init__(self, entry: Any) -> None:
        self._entry = entry

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bool(other._entry == self._entry)

    def __hash__(self) -> int:
        return hash((type(self), self._entry))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._field}={self._entry!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self._entry,))

    @property
    def simple(self) -> str:
        """The entry alone, without brackets or dot."""
        return str(self._entry)


class DictKey(Key):
    """`['name']`: an entry of a dict."""

    __slots__ = ()
    __match_args__ = (_field := "key",)

    def __init__(self, key: Any) -> None:
        super().__init__(key)

    @property
    def key(self) -> Any:
        return self._entry

    def __str__(self) -> str:
        return f"[{self._entry!r}]"


class SequenceKey(Key):
    """`[3]`: an element of a list or tuple."""

    __slots__ = ()
    __match_args__ = (_field := "idx",)

    def __init__(self, idx: int) -> None:
        super().__init__(idx)

    @property
    def idx(self) -> int:
        return int(self._entry)

    def __str__(self) -> str:
        return f"[{self._entry}]"


class GetAttrKey(Key):
    """`.name`: an attribute."""

    __slots__ = ()
    __match_args__ = (_field := "name",)

    def __init__(self, name: str) -> None:
        super().__init__(name)

    @property
    def name(self) -> str:
        return str(self._entry)

    def __str__(self) -> str:
        return f".{self._entry}"


class FlattenedIndexKey(Key):
    """The n-th child of a registered type that does not name its children."""

    __slots__ = ()
    __match_args__ = (_field := "key",)

    def __init__(self, key: int) -> None:
        super().__init__(key)

    @property
    def key(self) -> int:
        return int(self._entry)

    def __str__(self) -> str:
        return f"[<flat index {self._entry}>]"


def _sorted_keys(x: dict[Any, Any]) -> list[Any]:
    try:
        return sorted(x)
    except TypeError:
        kinds = sorted({type(k).__name__ for k in x})
        raise TreeError(
            f"the keys of a dict cannot be sorted: they are of types {', '.join(kinds)}",
            hint="use keys of one type, or a collections.OrderedDict (kept in its own order)",
            source=user_source(),
        ) from None


# How to bring a dict's values into the order of its sorted keys, by its keys as they stand.
_ORDERS: dict[tuple[Any, ...], itemgetter[Any]] = {}
_MOST_ORDERS = 4096


def _order(x: dict[Any, Any], keys: tuple[Any, ...]) -> itemgetter[Any]:
    position = {key: index for index, key in enumerate(keys)}
    if len(_ORDERS) >= _MOST_ORDERS:
        _ORDERS.clear()
    getter = _ORDERS[keys] = itemgetter(*[position[key] for key in _sorted_keys(x)])
    return getter


def _flatten_dict(x: dict[Any, Any]) -> tuple[Iterable[Any], Any]:
    keys = tuple(x)
    if len(keys) < 2:
        return tuple(x.values()), keys
    ordered = _ORDERS.get(keys) or _order(x, keys)
    return ordered(tuple(x.values())), ordered(keys)


def _flatten_ordered(x: dict[Any, Any]) -> tuple[Iterable[Any], Any]:
    return x.values(), tuple(x)


def _flatten_default(x: defaultdict[Any, Any]) -> tuple[Iterable[Any], Any]:
    keys = _sorted_keys(x)
    return [x[k] for k in keys], (x.default_factory, tuple(keys))


def _unflatten_dict(keys: tuple[Any, ...], children: list[Any]) -> dict[Any, Any]:
    return dict(zip(keys, children, strict=True))


def _flatten_sequence(x: Sequence[Any]) -> tuple[Iterable[Any], Any]:
    return x, None


def _sequence_keys(x: Sequence[Any]) -> list[SequenceKey]:
    return [SequenceKey(i) for i in range(len(x))]


def _dict_keys(x: dict[Any, Any]) -> list[DictKey]:
    return [DictKey(k) for k in _sorted_keys(x)]


_BUILT_IN = (
    NodeKind(type(None), lambda x: ((), None), lambda aux, children: None, lambda x: ()),
    NodeKind(tuple, _flatten_sequence, lambda aux, children: tuple(children), _sequence_keys),
    NodeKind(list, _flatten_sequence, lambda aux, children: children, _sequence_keys),
    NodeKind(dict, _flatten_dict, _unflatten_dict, _dict_keys),
    NodeKind(
        OrderedDict,
        _flatten_ordered,
        lambda keys, children: OrderedDict(zip(keys, children, strict=True)),
        lambda x: [DictKey(k) for k in x],
    ),
    NodeKind(
        defaultdict,
        _flatten_default,
        lambda aux, children: defaultdict(aux[0], zip(aux[1], children, strict=True)),
        _dict_keys,
    ),
)


class _Nodes(dict[type, "NodeKind | None"]):
    """Node kinds by type; a type not met before is a named tuple or a leaf (None), and
    remembered as such.
    """

    def __missing__(self, type_: type) -> NodeKind | None:
        kind = None
        if issubclass(type_, tuple) and hasattr(type_, "_fields"):
            kind = _named_tuple_kind(type_)
        self[type_] = kind
        return kind


def _named_tuple_kind(type_: Any) -> NodeKind:
    return NodeKind(
        type_,
        _flatten_sequence,
        lambda aux, children: type_(*children),
        lambda x: [GetAttrKey(name) for name in type_._fields],
    )


NODES = _Nodes({kind.type: kind for kind in _BUILT_IN})
set_nodes(NODES)
_REGISTERED: set[type] = {kind.type for kind in _BUILT_IN}


def is_named_tuple(kind: NodeKind) -> bool:
    """Whether nodes of this kind are named tuples that nobody registered."""
    return kind.type not in _REGISTERED and issubclass(kind.type, tuple)


def _register(kind: NodeKind) -> None:
    if not isinstance(kind.type, type):
        raise ArgumentError(
            f"only classes can be containers, not a {type(kind.type).__name__}",
            source=user_source(),
        )
    if kind.type in _REGISTERED:
        raise ArgumentError(
            f"{kind.type.__name__} is registered already", hint="a type is registered once"
        )
    _REGISTERED.add(kind.type)
    NODES[kind.type] = kind


def register_pytree_node(
    nodetype: type[T],
    flatten_func: Callable[[T], tuple[Iterable[Any], Hashable]],
    unflatten_func: Callable[[Any, Any], T],
    flatten_with_keys_func: Callable[[T], tuple[Iterable[tuple[Any, Any]], Hashable]] | None = None,
) -> None:
    """Make `nodetype` a container: `flatten_func(x) -> (children, static data)` and back.

    Example: `register_pytree_node(Point, lambda p: ((p.x, p.y), None), lambda _, xy: Point(*xy))`
    """

    def keys(x: T) -> Sequence[Any]:
        if flatten_with_keys_func is not None:
            return [key for key, _ in flatten_with_keys_func(x)[0]]
        return [FlattenedIndexKey(i) for i, _ in enumerate(flatten_func(x)[0])]

    def unflatten(aux: Any, children: list[Any]) -> T:
        return unflatten_func(aux, tuple(children))

    _register(NodeKind(nodetype, flatten_func, unflatten, keys))


def register_pytree_with_keys(
    nodetype: type[T],
    flatten_with_keys: Callable[[T], tuple[Iterable[tuple[Any, Any]], Hashable]],
    unflatten_func: Callable[[Any, Any], T],
    flatten_func: Callable[[T], tuple[Iterable[Any], Hashable]] | None = None,
) -> None:
    """As `register_pytree_node`, with `flatten_with_keys(x) -> ((key, child) pairs, static
    data)`.
    """

    def flatten_without_keys(x: T) -> tuple[Iterable[Any], Hashable]:
        pairs, aux = flatten_with_keys(x)
        return [child for _, child in pairs], aux

    register_pytree_node(
        nodetype, flatten_func or flatten_without_keys, unflatten_func, flatten_with_keys
    )


def register_pytree_node_class(cls: type[T]) -> type[T]:
    """Class decorator: make a class with `tree_flatten` and `tree_unflatten` a container."""
    any_class = _with_methods(cls, "tree_flatten")
    register_pytree_node(any_class, lambda x: x.tree_flatten(), any_class.tree_unflatten)
    return cls


def _with_methods(cls: Any, flatten: str) -> Any:
    """A class, if it has the methods of a container."""
    missing = [name for name in (flatten, "tree_unflatten") if not hasattr(cls, name)]
    if missing:
        raise ArgumentError(
            f"{getattr(cls, '__name__', cls)} has no method {missing[0]}",
            hint=f"a container has {flatten}(self) and a classmethod tree_unflatten(aux, children)",
            source=user_source(),
        )
    return cls


def register_pytree_with_keys_class(cls: type[T]) -> type[T]:
    """Class decorator: make a class with `tree_flatten_with_keys` and `tree_unflatten` a
    container.
    """
    any_class = _with_methods(cls, "tree_flatten_with_keys")
    flatten = (lambda x: x.tree_flatten()) if hasattr(cls, "tree_flatten") else None
    register_pytree_with_keys(
        any_class, lambda x: x.tree_flatten_with_keys(), any_class.tree_unflatten, flatten
    )
    return cls


def register_static(cls: type[T]) -> type[T]:
    """Class decorator: values of the class are static data without leaves (they need == and
    hash).
    """
    register_pytree_node(cls, lambda x: ((), x), lambda x, children: x)
    return cls


def register_dataclass(
    nodetype: type[T],
    data_fields: Sequence[str] | None = None,
    meta_fields: Sequence[str] | None = None,
    drop_fields: Sequence[str] = (),
) -> type[T]:
    """Make a dataclass a container of its `data_fields`; `meta_fields` are static data.

    Without lists, fields made with `field(metadata={"static": True})` are static, and all others
    data.
    """
    data, meta = _dataclass_fields(nodetype, data_fields, meta_fields, drop_fields)

    def flatten(x: T) -> tuple[Iterable[Any], Any]:
        return [getattr(x, name) for name in data], tuple([getattr(x, name) for name in meta])

    def unflatten(aux: Any, children: list[Any]) -> T:
        given = dict(zip(data, children, strict=True))
        given.update(zip(meta, aux, strict=True))
        return nodetype(**given)

    keys = [GetAttrKey(name) for name in data]
    _register(NodeKind(nodetype, flatten, unflatten, lambda x: keys, (data, meta)))
    return nodetype


def _dataclass_fields(
    nodetype: type,
    data_fields: Sequence[str] | None,
    meta_fields: Sequence[str] | None,
    drop_fields: Sequence[str],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    from dataclasses import fields, is_dataclass  # who has some has imported it

    check_callable("register_dataclass", nodetype)
    if (data_fields is None) != (meta_fields is None):
        raise ArgumentError("register_dataclass: give data_fields and meta_fields both, or neither")
    if data_fields is None or meta_fields is None:
        if not is_dataclass(nodetype):
            raise ArgumentError(
                f"register_dataclass: {nodetype.__name__} is not a dataclass",
                hint="give data_fields and meta_fields, or decorate it with @dataclass first",
            )
        own = [f for f in fields(nodetype) if f.init and f.name not in drop_fields]
        data_fields = [f.name for f in own if not f.metadata.get("static", False)]
        meta_fields = [f.name for f in own if f.metadata.get("static", False)]
    elif is_dataclass(nodetype):
        named = {*data_fields, *meta_fields, *drop_fields}
        differing = named ^ {f.name for f in fields(nodetype) if f.init}
        differing -= set(drop_fields)
        if differing:
            raise ArgumentError(
                f"register_dataclass: data_fields and meta_fields of {nodetype.__name__} "
                f"do not match its fields; differing: {', '.join(sorted(differing))}"
            )
    return tuple(data_fields), tuple(meta_fields)
