"""Trees: structures, paths and errors; random trees; the same answers as JAX."""

from __future__ import annotations

import copy
import operator
import pickle
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitml import tree, tree_util
from jitml.ir.errors import ArgumentError, TreeError

Point = namedtuple("Point", "x y")


@tree_util.register_dataclass
@dataclass
class Layer:
    weights: Any
    bias: Any
    width: int = field(default=3, metadata={"static": True})


@tree_util.register_pytree_node_class
class Pair:
    def __init__(self, first: Any, second: Any, label: str) -> None:
        self.first, self.second, self.label = first, second, label

    def __repr__(self) -> str:  # names a test: the same in every process
        return f"Pair({self.first}, {self.second}, {self.label})"

    def tree_flatten(self) -> tuple[tuple[Any, Any], str]:
        return (self.first, self.second), self.label

    @classmethod
    def tree_unflatten(cls, label: str, children: tuple[Any, Any]) -> Pair:
        return cls(*children, label)


@tree_util.register_static
class Option:
    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Option) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


EXAMPLES: list[tuple[Any, list[Any], str]] = [
    ({"b": 1, "a": [1, 2]}, [1, 2, 1], "PyTreeDef({'a': [*, *], 'b': *})"),
    (Point(1, 2), [1, 2], "PyTreeDef(CustomNode(namedtuple[Point], [*, *]))"),
    (None, [], "PyTreeDef(None)"),
    ((1,), [1], "PyTreeDef((*,))"),
    ((), [], "PyTreeDef(())"),
    ([], [], "PyTreeDef([])"),
    ({}, [], "PyTreeDef({})"),
    (7, [7], "PyTreeDef(*)"),
    ({"a": None}, [], "PyTreeDef({'a': None})"),
    (
        OrderedDict(b=1, a=2),
        [1, 2],
        "PyTreeDef(CustomNode(OrderedDict[('b', 'a')], [*, *]))",
    ),
    (
        defaultdict(int, a=1),
        [1],
        "PyTreeDef(CustomNode(defaultdict[(<class 'int'>, ('a',))], [*]))",
    ),
    (Layer(1, [2]), [1, 2], "PyTreeDef(CustomNode(Layer[(3,)], [*, [*]]))"),
    (Pair(1, (2,), "q"), [1, 2], "PyTreeDef(CustomNode(Pair[q], [*, (*,)]))"),
    (
        tree_util.Partial(max, 1, key=2),
        [1, 2],
        "PyTreeDef(CustomNode(Partial[<built-in function max>], [(*,), {'key': *}]))",
    ),
]


@pytest.mark.parametrize(
    ("example", "leaves", "text"), EXAMPLES, ids=lambda x: str(x).partition(" object at ")[0][:30]
)
def test_flatten(example: Any, leaves: list[Any], text: str) -> None:
    found, structure = tree.flatten(example)
    assert found == leaves
    assert repr(structure) == text
    assert structure.num_leaves == len(leaves)
    again, same = tree.flatten(structure.unflatten(leaves))
    assert (again, same) == (found, structure)
    assert hash(same) == hash(structure)
    assert type(structure.unflatten(leaves)) is type(example)


def test_static_nodes_have_no_leaves_and_compare() -> None:
    assert tree.leaves([Option("a"), 1]) == [1]
    assert tree.structure(Option("a")) == tree.structure(Option("a"))
    assert tree.structure(Option("a")) != tree.structure(Option("b"))


def test_structures_differ_by_static_data_type_and_order() -> None:
    different = [
        {"a": 1, "b": 2}, {"a": 1, "c": 2}, OrderedDict(a=1, b=2), OrderedDict(b=2, a=1),
        [1, 2], (1, 2), Point(1, 2), Layer(1, 2), Layer(1, 2, width=4), [1, [2]],
    ]  # fmt: skip
    assert len({tree.structure(t) for t in different}) == len(different)
    assert tree.structure({"b": 1, "a": 2}) == tree.structure({"a": 1, "b": 2})


def test_dict_leaves_follow_sorted_keys_whatever_the_insertion() -> None:
    for keys in ("abc", "cba", "bac"):
        x = {k: k.upper() for k in keys}
        leaves, structure = tree.flatten(x)
        assert leaves == ["A", "B", "C"]
        assert structure.unflatten(leaves) == x


def test_equal_keys_of_other_types_keep_their_types() -> None:
    assert tree.leaves({1: "a", 2: "b"}) == ["a", "b"]
    rebuilt = tree.map(str, {True: "a", 2: "b"})
    assert [type(k) for k in rebuilt] == [bool, int]


def test_map_and_reduce() -> None:
    x = {"a": [1, 2], "b": 3}
    assert tree.map(operator.add, x, {"a": [10, 20], "b": 30}) == {"a": [11, 22], "b": 33}
    assert tree.map(lambda a, b: (a, b), {"a": 1}, {"a": [5, 6]}) == {"a": (1, [5, 6])}
    assert tree.map(lambda v: v is None, [None, 1], is_leaf=lambda v: v is None) == [True, False]
    assert tree.reduce(operator.sub, x) == -4
    assert tree.reduce(operator.add, x, 100) == 106
    assert tree.reduce_associative(operator.add, x) == 6
    assert tree.reduce_associative(operator.add, [], identity=0) == 0
    assert tree.reduce_associative(lambda a, b: f"({a}{b})", list("abcde")) == "(((ab)(cd))e)"
    assert tree.all([True, {"a": 1}])
    assert not tree.all([True, {"a": 0}])


def test_transpose_and_broadcast() -> None:
    outer, inner = tree.structure([0, 0]), tree.structure({"a": 0, "b": 0})
    rows = [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert tree.transpose(outer, inner, rows) == {"a": [1, 3], "b": [2, 4]}
    assert tree.transpose(outer, None, rows) == {"a": [1, 3], "b": [2, 4]}
    assert tree.broadcast({"a": 1, "b": 2}, {"a": [0, 0], "b": 0}) == {"a": [1, 1], "b": 2}
    assert tree.broadcast(5, [0, (0,)]) == [5, (5,)]


def test_paths() -> None:
    x = {"w": [Layer(1, {"k": 2})], "p": Point(3, Pair(4, 5, "q"))}
    paths = [tree.keystr(path) for path, _ in tree.leaves_with_path(x)]
    assert paths == [
        "['p'].x",
        "['p'].y[<flat index 0>]",
        "['p'].y[<flat index 1>]",
        "['w'][0].weights",
        "['w'][0].bias['k']",
    ]
    simple = [tree.keystr(p, simple=True, separator="/") for p, _ in tree.leaves_with_path(x)]
    assert simple[-1] == "w/0/bias/k"
    named = tree.map_with_path(lambda path, v: f"{tree.keystr(path)}={v}", {"a": [1]})
    assert named == {"a": ["['a'][0]=1"]}
    key = tree.leaves_with_path({"a": 1})[0][0][0]
    assert (repr(key), key.key, key) == ("DictKey(key='a')", "a", tree_util.DictKey("a"))
    _, structure = tree.flatten_with_path(x)
    assert structure == tree.structure(x)


def test_stopping_by_path() -> None:
    x = {"a": [1, 2], "b": [3]}
    found, structure = tree.flatten_with_path(
        x, is_leaf=lambda path, _: tree.keystr(path) == "['a']", is_leaf_takes_path=True
    )
    assert [leaf for _, leaf in found] == [[1, 2], 3]
    assert repr(structure) == "PyTreeDef({'a': *, 'b': [*]})"


MISMATCHES: list[tuple[Any, Any, str]] = [
    ({"a": 1}, {"b": 1}, "tree 2 lacks 'a' and has unexpected 'b'"),
    ({"a": [1, 2]}, {"a": [1, 2, 3]}, "tree 2['a'] has 3 children where 2 are expected"),
    ({"a": [1, 2]}, {"a": (1, 2)}, "tree 2['a'] is a tuple where a list is expected"),
    ({"w": [Layer(1, 2)]}, {"w": [Layer(1, 2, 5)]}, "tree 2['w'][0] has static data (5,)"),
    ([Point(1, [2])], [Point(1, 2)], "tree 2[0].y is a int where a list is expected"),
]


@pytest.mark.parametrize(("first", "second", "message"), MISMATCHES)
def test_mismatches_name_the_path(first: Any, second: Any, message: str) -> None:
    with pytest.raises(TreeError) as caught:
        tree.map(lambda *_: 0, first, second)
    assert message in str(caught.value)


def test_errors() -> None:
    with pytest.raises(
        TreeError, match="keys of a dict cannot be sorted: they are of types int, str"
    ):
        tree.flatten({"a": 1, 2: 3})
    with pytest.raises(TreeError, match="2 leaves was given 3"):
        tree.unflatten(tree.structure([1, 2]), [1, 2, 3])
    with pytest.raises(ArgumentError, match="registered already"):
        tree_util.register_pytree_node(list, lambda x: (x, None), lambda _, x: list(x))
    with pytest.raises(ArgumentError, match="not a dataclass"):
        tree_util.register_dataclass(type("Plain", (), {}))
    with pytest.raises(ArgumentError, match="differing: bias"):
        data = dataclass(type("D", (), {"__annotations__": {"w": Any, "bias": Any}}))
        tree_util.register_dataclass(data, ["w"], [])


def test_a_type_seen_as_a_leaf_can_be_registered_later() -> None:
    class Late:
        def __init__(self, x: Any) -> None:
            self.x = x

    assert len(tree.leaves([Late(1)])) == 1
    tree_util.register_pytree_with_keys(
        Late, lambda v: ([(tree_util.GetAttrKey("x"), v.x)], None), lambda _, xs: Late(*xs)
    )
    assert tree.leaves([Late([1, 2])]) == [1, 2]
    assert tree.keystr(tree.leaves_with_path(Late(3))[0][0]) == ".x"


def test_structures_pickle_and_copy() -> None:
    structure = tree.structure({"a": [1, None], "p": Point(1, Layer(2, 3))})
    assert pickle.loads(pickle.dumps(structure)) == structure
    assert copy.deepcopy(structure) == structure


def test_structure_queries() -> None:
    structure = tree.structure({"a": [1, 2], "b": 3})
    assert [repr(c) for c in tree_util.treedef_children(structure)] == [
        "PyTreeDef([*, *])",
        "PyTreeDef(*)",
    ]
    assert structure.node_data() == (dict, ("a", "b"))
    assert structure.num_nodes == 5
    assert structure.is_prefix_of({"a": [1, 2], "b": [3]})
    assert not structure.is_prefix_of({"a": [1], "b": [3]})
    assert tree_util.treedef_tuple([structure, tree.structure(1)]) == tree.structure(
        ({"a": [0, 0], "b": 0}, 0)
    )
    assert tree_util.treedef_is_leaf(tree.structure(1))
    assert tree_util.all_leaves([1, 2])
    assert not tree_util.all_leaves([1, []])


def test_structures_are_composed() -> None:
    outer, inner = tree.structure([0, {"a": 0}]), tree.structure((0, 0))
    assert outer.compose(inner) == tree.structure([(0, 0), {"a": (0, 0)}])
    assert type(outer).from_iterable_tree({"x": inner, "y": outer}) == tree.structure(
        {"x": (0, 0), "y": [0, {"a": 0}]}
    )
    for structure in (outer, inner, tree.structure(0), tree.structure(Layer(1, 2))):
        rebuilt = type(outer).from_node_data_and_children(
            structure.node_data(), structure.children()
        )
        assert rebuilt == structure


def test_types_that_are_containers() -> None:
    assert [tree_util.is_tree_node(t) for t in (dict, Point, Layer, type(None), int)] == [
        True, True, True, True, False,
    ]  # fmt: skip
    pairs, data = tree_util.flatten_one_level_with_keys(Layer(1, [2]))
    assert (pairs, data) == (
        [(tree_util.GetAttrKey("weights"), 1), (tree_util.GetAttrKey("bias"), [2])],
        (3,),
    )
    with pytest.raises(TreeError, match="int is a leaf, not a container"):
        tree_util.flatten_one_level(3)


def test_keys_are_made_and_matched_by_name() -> None:
    keys = [
        tree_util.DictKey(key="a"),
        tree_util.SequenceKey(idx=1),
        tree_util.GetAttrKey(name="b"),
        tree_util.FlattenedIndexKey(key=2),
    ]
    assert [eval(repr(key), vars(tree_util)) for key in keys] == keys
    match keys[0]:
        case tree_util.DictKey(name):
            assert name == "a"


def test_static_fields() -> None:
    @tree_util.register_dataclass
    @dataclass
    class Scale:
        factor: Any
        name: str = tree.static(default="n", metadata={"unit": "m"})

    assert tree.leaves(Scale(2.0)) == [2.0]
    assert tree.structure(Scale(2.0)) != tree.structure(Scale(2.0, "other"))


def test_partial_keeps_a_partial_whole() -> None:
    inner = tree_util.Partial(operator.sub, 10)
    outer = tree_util.Partial(inner, 3)
    assert outer() == 7
    assert tree.leaves(outer) == [3]
    assert tree.structure(outer) == tree.structure(tree_util.Partial(inner, 4))


def test_partial_is_a_container_and_calls() -> None:
    add = tree_util.Partial(operator.add, 1)
    doubled = tree.map(lambda x: x * 2, add)
    assert doubled(5) == 7


TREES = st.recursive(
    st.one_of(st.integers(), st.none()),
    lambda children: st.one_of(
        st.lists(children, max_size=4),
        st.lists(children, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=3), children, max_size=4),
        st.dictionaries(st.text(max_size=3), children, max_size=4).map(OrderedDict),
        st.tuples(children, children).map(lambda p: Point(*p)),
        st.tuples(children, children).map(lambda p: Layer(*p)),
    ),
    max_leaves=20,
)


@settings(max_examples=40, deadline=None)
@given(TREES)
def test_random_trees(x: Any) -> None:
    leaves, structure = tree.flatten(x)
    rebuilt = structure.unflatten(leaves)
    assert rebuilt == x
    assert tree.flatten(rebuilt) == (leaves, structure)
    assert [leaf for _, leaf in tree.leaves_with_path(x)] == leaves
    assert structure.flatten_up_to(x) == leaves
    assert len({tree.keystr(p) for p, _ in tree.leaves_with_path(x)}) == len(leaves)


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_random_trees_flatten_as_in_jax(x: Any) -> None:
    jax = pytest.importorskip("jax")
    try:
        jax.tree_util.register_dataclass(Layer, ["weights", "bias"], ["width"])
    except ValueError:
        assert jax.tree.leaves(Layer(1, 2)) == [1, 2]
    pairs, structure = jax.tree_util.tree_flatten_with_path(x)
    assert tree.leaves(x) == [leaf for _, leaf in pairs]
    assert repr(tree.structure(x)) == repr(structure)
    ours = [tree.keystr(path) for path, _ in tree.leaves_with_path(x)]
    assert ours == [jax.tree_util.keystr(path) for path, _ in pairs]
