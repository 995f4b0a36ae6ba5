"""Dispatcher and Callee: calls that find their program by the types of their arguments."""

from __future__ import annotations

import gc
import operator
import sys
import threading
import weakref
from collections.abc import Callable
from types import CellType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitml_runtime as native
from jitml_runtime import Buffer, KernelFault, Plan
from jitml_runtime.record import replace

of_the_c_core = pytest.mark.skipif(
    "reference" in native.Guard.__module__, reason="the Python executor asks each time"
)

Bind = Callable[..., Any]
F32 = np.float32


class Kind:
    """A container type, as the runtime is told of it."""

    def __init__(self, type_: type, flatten: Any, unflatten: Any, fields: Any = None) -> None:
        self.type, self.flatten, self.unflatten, self.fields = type_, flatten, unflatten, fields


class Point(NamedTuple):
    x: Any
    y: Any


class Pair:
    def __init__(self, a: Any, b: Any, name: Any = "pair") -> None:
        self.a, self.b, self.name = a, b, name


class Sub(np.ndarray[Any, Any]):
    """A subclass may mean something else by its elements."""


class Box:
    def __init__(self, item: Any, label: Any = None) -> None:
        self.item, self.label = item, label


def in_order(x: Any) -> Any:
    return tuple(x), None


TUPLE = Kind(tuple, in_order, None)
LIST = Kind(list, in_order, None)
DICT = Kind(dict, lambda x: (tuple(x[k] for k in sorted(x)), tuple(sorted(x))), None)
NONE = Kind(type(None), lambda x: ((), None), None)
POINT = Kind(Point, in_order, lambda data, children: Point(*children))
PAIR = Kind(
    Pair,
    lambda x: ((x.a, x.b), (x.name,)),
    lambda data, children: Pair(*children, *data),
    (("a", "b"), ("name",)),
)
BOX = Kind(Box, lambda x: ((x.item,), x.label), lambda data, children: Box(children[0], data))
KINDS: dict[type, Any] = {
    k.type: k for k in (TUPLE, LIST, DICT, NONE, POINT, PAIR, BOX)
} | {np.ndarray: None, np.float32: None, np.float64: None}  # fmt: skip


def flatten(tree: Any) -> tuple[list[Any], Any]:
    kind = KINDS.get(type(tree))
    if kind is None:
        return [tree], None
    children, data = kind.flatten(tree)
    parts = [flatten(child) for child in children]
    return [x for leaves, _ in parts for x in leaves], (kind, data, tuple(s for _, s in parts))


@pytest.fixture
def nodes(runtime: Any) -> Any:
    """The runtime with these kinds of containers; afterwards those of others again."""
    if runtime.Callee.__module__ != "jitml_runtime" or runtime.__name__.endswith("reference"):
        pytest.skip("the reference has no table: each of its calls is a miss")
    from jitml.tree_registry import NODES

    runtime.set_nodes(KINDS)
    yield runtime
    runtime.set_nodes(NODES)
    gc.collect()  # others count arrays


def passing_plan(programs: ModuleType, count: int, extent: int = 4) -> Plan:
    """A program that returns its arguments, each plus one."""
    kind = programs.spec(F32, extent)
    size = 4 * extent
    buffers = [Buffer("input", i, 0, size) for i in range(count)]
    buffers += [Buffer("output", i, 0, size) for i in range(count)]
    steps = [programs.instruction("add_one", (i, count + i), extent) for i in range(count)]
    return Plan((kind,) * count, (kind,) * count, tuple(buffers), tuple(steps))


def dispatcher_of(
    runtime: Any, bind: Bind, programs: ModuleType, **options: Any
) -> tuple[Any, list[Any]]:
    """A function that adds one to each leaf of its arguments; and a log of its misses."""
    misses: list[Any] = []

    class Function(runtime.Dispatcher):  # type: ignore[misc, name-defined]
        def miss(self, args: Any, kwargs: Any) -> Any:
            misses.append((args, kwargs))
            statics = options.get("static_names", ())
            traced = {k: v for k, v in kwargs.items() if k not in statics}
            wanted = options.get("static_numbers", ())
            positions = [n % len(args) for n in wanted if -len(args) <= n < len(args)]
            leaves, structure = flatten(
                (tuple(x for n, x in enumerate(args) if n not in positions), traced)
            )
            donated = [True] * len(leaves) if options.get("donates") else None
            callee = runtime.Callee(
                bind(passing_plan(programs, len(leaves))), structure, (), None, None
            )
            return self.install(args, kwargs, leaves, donated, [callee])

    numbers, names = options.get("static_numbers", ()), options.get("static_names", ())
    return Function(numbers, names), misses


def array(runtime: Any, value: float = 0.0) -> Any:
    return runtime.from_numpy(np.full(4, value, F32))


def numbers(tree: Any) -> Any:
    return [float(np.asarray(x)[0]) for x in flatten(tree)[0]]


def test_a_call_of_known_types_finds_its_program(
    nodes: Any, bind: Bind, programs: ModuleType
) -> None:
    f, misses = dispatcher_of(nodes, bind, programs)
    x, y = array(nodes, 1), array(nodes, 2)
    for arguments in ((x,), (x, y), ([x, (y, None)],), ({"a": x, "b": [y]},), (Point(x, y),)):
        assert f(*arguments) is True
        for _ in range(3):
            result, named = f(*arguments)
            assert flatten((result, named))[1] == flatten((arguments, {}))[1]
            assert numbers(result) == [v + 1 for v in numbers(arguments)]
    assert len(misses) == 5


def test_keyword_arguments_and_the_order_of_keys(
    nodes: Any, bind: Bind, programs: ModuleType
) -> None:
    f, misses = dispatcher_of(nodes, bind, programs)
    x, y, z = (array(nodes, v) for v in (1, 2, 3))
    calls: list[Any] = [
        ((x,), {"b": y, "a": z}), ((x,), {"a": z, "b": y}),
        (({"b": {"d": y, "c": z}, "a": x},), {}), (({"a": x, "b": {"c": z, "d": y}},), {}),
    ]  # fmt: skip
    for _ in range(2):
        for args, kwargs in calls:
            f(*args, **kwargs)
    for args, kwargs in calls:
        result = f(*args, **kwargs)
        assert numbers(result) == [v + 1 for v in numbers((args, kwargs))]
        assert list(result[1]) == sorted(kwargs)
    assert len(misses) == 4
    keys = ["".join(["a"]), "".join(["b"])]  # equal, not identical
    result = f(x, **dict(zip(keys, (z, y), strict=True)))
    assert numbers(result) == [2, 4, 3]
    assert len(misses) == 4


def test_numbers_and_numpy_arrays(nodes: Any, bind: Bind, programs: ModuleType) -> None:
    f, misses = dispatcher_of(nodes, bind, programs)
    for x in (np.ones(4, F32), np.arange(8, dtype=F32)[::2], np.ones(4, ">f4")):
        f(x)
        (result,), _ = f(x)
        assert np.array_equal(np.asarray(result), np.asarray(x) + 1)
    assert len(misses) == 1
    kept = np.ones(4, F32)
    (result,), _ = f(kept)
    kept[:] = 7
    assert numbers(result) == [2]
    for value in (2**40, np.array(["a"]), object(), [object()], np.ones(4, F32).view(Sub)):
        assert f(value) is False and f(value) is False
    assert len(misses) == 11, "what is no array takes the long way each time"


def test_numbers_become_arrays(nodes: Any, bind: Bind, programs: ModuleType) -> None:
    kinds = {1.5: "float", 3: "int", True: "bool", 2j: "complex"}
    widths = {False: "float32 int32 bool complex64", True: "float64 int64 bool complex128"}
    for wide, dtypes in widths.items():
        for value, dtype in zip(kinds, dtypes.split(), strict=True):
            spec = replace(programs.spec(np.dtype(dtype)), weak=value is not True)
            plan = Plan((spec,), (spec,), (), (), forward=(0,))
            callee = nodes.Callee(bind(plan), None, ())
            before, nodes.calling.wide = nodes.calling.wide, wide
            try:
                found = returning(nodes, callee)(value)
            finally:
                nodes.calling.wide = before
            assert (found.dtype, found.shape, found.weak_type) == (dtype, (), spec.weak)
            assert np.asarray(found) == value


def returning(runtime: Any, *callees: Any, **options: Any) -> Any:
    """A function that runs one of these programs from its first call on."""

    class Function(runtime.Dispatcher):  # type: ignore[misc, name-defined]
        def miss(self, args: Any, kwargs: Any) -> Any:
            assert self.install(args, kwargs, flatten(args)[0], options.get("donated"), [*callees])
            return self(*args)

    return Function((), ())


def test_registered_containers(nodes: Any, bind: Bind, programs: ModuleType) -> None:
    f, misses = dispatcher_of(nodes, bind, programs)
    x, y = array(nodes, 1), array(nodes, 2)
    for tree in (Pair(x, y), Pair(x, [y], 3), Box(x), Box(Pair(y, x), "label"), Point(x, Box(y))):
        f(tree)
        (result,), _ = f(tree)
        assert type(result) is type(tree)
        assert numbers(result) == [v + 1 for v in numbers(tree)]
    assert len(misses) == 5
    f(Pair(x, y, "other"))
    f(Box(x, 1)), f(Box(x, True)), f(Box(x, 1.0))
    assert len(misses) == 9, "static data is compared by type and value"


def test_a_container_that_fails_or_changes_is_left_to_others(
    nodes: Any, bind: Bind, programs: ModuleType
) -> None:
    f, misses = dispatcher_of(nodes, bind, programs)
    x = array(nodes)

    class Failing:
        pass

    def fail(tree: Any) -> Any:
        raise ValueError("no")

    holder: list[Any] = []

    class Emptying:
        pass

    def empty(tree: Any) -> Any:
        holder.clear()
        return (), None

    failing, emptying = Kind(Failing, fail, None), Kind(Emptying, empty, None)
    nodes.set_nodes({**KINDS, Failing: failing, Emptying: emptying})
    f(x)
    for _ in range(2):
        holder[:] = [Emptying(), x, x]
        f(holder)
        assert len(misses) == 2, "what it was before is not what it is"
        misses.pop()
    for _ in range(2):
        assert f(Failing()) is False
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    with pytest.raises(RecursionError):
        f(cyclic)
    assert numbers(f(x)) == [1]


def test_static_arguments(nodes: Any, bind: Bind, programs: ModuleType) -> None:
    options: Any = {"static_numbers": (1, -4), "static_names": ("n",)}
    f, misses = dispatcher_of(nodes, bind, programs, **options)
    x = array(nodes)
    values: list[Any] = [1, True, 1.0, "a", (1, 2), (1, 2.0), 0.0, -0.0, None, (0.0,), (-0.0,)]
    for value in values:
        f(x, value), f(x, n=value)
    assert len(misses) == 2 * len(values)
    for value in values:
        assert numbers(f(x, value)) == [1] and numbers(f(x, n=value)) == [1]
    assert len(misses) == 2 * len(values)
    with pytest.raises(TypeError):
        f.install((x, 1), {}, [x], None, 3)
    assert f(x, [1]) is False, "what has no hash is left to others"


def test_what_is_donated_is_deleted(nodes: Any, bind: Bind, programs: ModuleType) -> None:
    f, _ = dispatcher_of(nodes, bind, programs, donates=True)
    f(array(nodes))
    x = array(nodes, 4)
    assert numbers(f(x)) == [5]
    assert x.is_deleted()
    kind = programs.spec(F32, 4)
    forwarding = Plan((kind,), (kind, kind), (), (), forward=(0, None), duplicates=(None, 0))
    callee = nodes.Callee(bind(forwarding), (TUPLE, None, (None, None)), ())
    g = returning(nodes, callee, donated=[True])
    x = array(nodes, 4)
    first, second = g(x)
    assert x.is_deleted() and numbers([first, second]) == [4, 4]


def test_hidden_inputs_and_programs_that_do_not_hold(
    nodes: Any, bind: Bind, programs: ModuleType
) -> None:
    hidden = array(nodes, 6)
    kind = programs.spec(F32, 4)
    second = Plan((kind, kind), (kind,), (), (), forward=(1,))
    state: dict[str, Any] = {"value": None}
    constant = nodes.Callee(bind(second), None, [hidden])
    fetched = nodes.Callee(bind(second), None, (), lambda: state["value"])
    f = returning(nodes, fetched, constant)
    assert f(array(nodes)) is hidden
    state["value"] = [array(nodes, 8)]
    assert f(array(nodes)) is state["value"][0]
    state["value"] = 3
    with pytest.raises(TypeError, match="must give a list"):
        f(array(nodes))


def test_faults_are_explained(nodes: Any, bind: Bind, programs: ModuleType) -> None:
    def explain(fault: KernelFault) -> Exception:
        return IndexError(f"at {fault.index}")

    plan = programs.check_plan_of(20, 20, [4])
    negative = np.arange(20)
    negative[7] = -3
    f = returning(nodes, nodes.Callee(bind(plan), (TUPLE, None, ()), (), None, explain))
    with pytest.raises(IndexError, match="at 7") as caught:
        f(nodes.from_numpy(negative))
    assert caught.value.__cause__ is None
    f = returning(nodes, nodes.Callee(bind(plan), (TUPLE, None, ()), ()))
    with pytest.raises(KernelFault):
        f(nodes.from_numpy(negative))
    f = returning(nodes, nodes.Callee(bind(plan), (TUPLE, None, ()), (), None, len))
    with pytest.raises(TypeError):
        f(nodes.from_numpy(negative))


def test_scopes_take_the_long_way(nodes: Any, bind: Bind, programs: ModuleType) -> None:
    f, misses = dispatcher_of(nodes, bind, programs)
    x = array(nodes)
    f(x)
    nodes.calling.recorder = object()
    try:
        f(x)
    finally:
        nodes.calling.recorder = None
    nodes.calling.is_off = True
    try:
        f(x)
    finally:
        nodes.calling.is_off = False
    assert len(misses) == 3
    nodes.calling.wide = True
    try:
        f(x)
    finally:
        nodes.calling.wide = None
    assert len(misses) == 4
    assert numbers(f(x)) == [1]
    f.forget()
    f(x)
    assert len(misses) == 5


def test_deleted_arrays_and_wrong_programs_raise(
    nodes: Any, bind: Bind, programs: ModuleType
) -> None:
    f, _ = dispatcher_of(nodes, bind, programs)
    x = array(nodes)
    f(x)
    x.delete()
    with pytest.raises(RuntimeError, match="delete"):
        f(x)
    plan = passing_plan(programs, 1)
    with pytest.raises(ValueError, match="2 leaves for 1"):
        nodes.Callee(bind(plan), (TUPLE, None, (None, None)), ())
    structures: list[Any] = [3, (TUPLE, None), (TUPLE, None, 3), (DICT, ("a", "b"), (None,))]
    for structure in [*structures, (3, None, ())]:
        with pytest.raises((TypeError, AttributeError)):
            nodes.Callee(bind(plan), structure, ())
    with pytest.raises(TypeError, match="Executable"):
        nodes.Callee(plan, None, ())
    g = returning(nodes, "no callee")
    with pytest.raises(TypeError, match="must be Callees"):
        g(array(nodes))


def test_functions_are_methods_and_have_weak_references(
    nodes: Any, bind: Bind, programs: ModuleType
) -> None:
    f, misses = dispatcher_of(nodes, bind, programs)
    leaf = array(nodes, 2)

    class Owner:
        method = f

    KINDS[Owner] = Kind(Owner, lambda x: ((), None), lambda data, children: None)
    try:
        owner = Owner()
        owner.method(leaf)
        assert numbers(owner.method(leaf)) == [3]
        assert Owner.method is f and len(misses) == 1
    finally:
        del KINDS[Owner]
    callee = nodes.Callee(bind(passing_plan(programs, 1)), None, ())
    g = returning(nodes, callee)
    g(leaf)
    reference = weakref.ref(g)
    g.itself = g
    del g
    gc.collect()
    assert reference() is None
    assert sys.getrefcount(callee) == 2, "its table has died with it"


def test_references_stay_even(nodes: Any, bind: Bind, programs: ModuleType) -> None:
    f, misses = dispatcher_of(nodes, bind, programs, static_names=("n",))
    x, key, static, name = array(nodes), "a key", ("static",), "label"
    trees: list[Any] = [{key: x}, [x, (x, None)], Pair(x, x, name), Box(x, name), Point(x, x)]

    def use() -> None:
        for tree in trees:
            f(tree), f(tree, n=static), f(tree, other=tree)
        for bad in (object(), [object()], {key: object()}):
            f(bad)
        misses.clear()

    def counts() -> list[int]:
        gc.collect()
        return [*map(sys.getrefcount, (x, key, static, name, None, f)), live(nodes)]

    use()
    use()
    before = counts()
    for _ in range(50):
        use()
    assert np.abs(np.subtract(counts(), before)).max() < 40  # None has other users


def live(runtime: Any) -> int:
    return int(runtime.memory_stats()["live_arrays"])


def test_many_signatures(nodes: Any, bind: Bind, programs: ModuleType) -> None:
    f, misses = dispatcher_of(nodes, bind, programs, static_numbers=(0,))
    x = array(nodes)
    for number in range(300):
        f(number, x)
    for number in reversed(range(300)):
        assert numbers(f(number, x)) == [1]
    assert len(misses) == 300


def test_several_threads(nodes: Any, bind: Bind, programs: ModuleType) -> None:
    f, _ = dispatcher_of(nodes, bind, programs, static_numbers=(0,))
    x = array(nodes)
    failures: list[Any] = []

    def work(seed: int) -> None:
        for number in range(400):
            result = f((number * seed) % 50, x)
            if result is not True and numbers(result) != [1]:
                failures.append(result)
            if number % 100 == 99:
                f.forget()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 3, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# ---- what is known of a call after the first -------------------------------------------------


def exchanging(runtime: Any, callees: list[Any]) -> Any:
    """A function that runs the first of these callees, whatever they are at the time."""

    class Function(runtime.Dispatcher):  # type: ignore[misc, name-defined]
        def miss(self, args: Any, kwargs: Any) -> Any:
            assert self.install(args, kwargs, flatten(args)[0], None, callees)
            return self(*args)

    return Function((), ())


def test_another_program_is_checked_again(nodes: Any, bind: Bind, programs: ModuleType) -> None:
    right = nodes.Callee(bind(passing_plan(programs, 1)), None, ())
    longer = nodes.Callee(bind(passing_plan(programs, 1, extent=1 << 16)), None, ())
    more = nodes.Callee(bind(passing_plan(programs, 2)), (TUPLE, None, (None, None)), ())
    callees = [right]
    f, x = exchanging(nodes, callees), array(nodes, 1)
    for wrong in (longer, more, longer):
        callees[0] = right
        for _ in range(3):
            assert numbers(f(x)) == [2]
        callees[0] = wrong
        for _ in range(3):
            with pytest.raises(TypeError, match=r"compiled for|takes 2 arguments"):
                f(x)


def test_hidden_inputs_are_checked_at_each_call(
    nodes: Any, bind: Bind, programs: ModuleType
) -> None:
    inputs = [array(nodes, 1)]
    guard = nodes.Guard(lambda: tuple(inputs))
    callee = nodes.Callee(bind(passing_plan(programs, 2)), (TUPLE, None, (None, None)), (), guard)
    f, x = exchanging(nodes, [callee]), array(nodes, 2)
    for _ in range(3):
        assert numbers(f(x)) == [3, 2]
    guard.watch((), (), (array(nodes, 5),))
    for _ in range(3):
        assert numbers(f(x)) == [3, 6]
    for wrong in ((nodes.from_numpy(np.ones(9, F32)),), (), (array(nodes), array(nodes))):
        guard.watch((), (), wrong)
        for _ in range(2):
            with pytest.raises(TypeError):
                f(x)
    gone = array(nodes)
    guard.watch((), (), (gone,))
    assert numbers(f(x)) == [3, 1]
    gone.delete()
    with pytest.raises(RuntimeError, match="deleted"):
        f(x)


def test_arguments_must_be_there_at_each_call(nodes: Any, bind: Bind, programs: ModuleType) -> None:
    class Elsewhere:
        def read(self) -> Any:
            return np.full(4, 7, F32)

    f, _ = dispatcher_of(nodes, bind, programs)
    x, y = array(nodes, 1), array(nodes, 2)
    for _ in range(3):
        assert f(x, y) is True or numbers(f(x, y)) == [2, 3]
    far = nodes.remote_array(np.dtype(F32), (4,), False, Elsewhere())
    assert numbers(f(x, far)) == [2, 8]
    seen, z = np.asarray(y), array(nodes)  # a view keeps the elements where they are
    for gone in (y, z):
        gone.delete()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="deleted"):
                f(x, gone)
    assert seen.tolist() == [2] * 4
    assert numbers(f(x, x)) == [2, 2]


def test_what_python_code_of_a_look_changes_is_seen(
    nodes: Any, bind: Bind, programs: ModuleType
) -> None:
    """The arguments that a call has matched may be others after a guard has looked."""
    items: list[Any] = []
    guard = nodes.Guard(lambda: ())

    def emptying(container: Any, key: Any) -> Any:
        items.clear()
        gc.collect()

    callee = nodes.Callee(bind(passing_plan(programs, 3)), (TUPLE, None, (None,) * 3), (), guard)
    f = exchanging(nodes, [callee])
    for _ in range(3):
        items[:] = [array(nodes, n) for n in range(3)]
        guard.watch((), (), ())
        assert numbers(f(items)) == [1, 2, 3]
        guard.watch(((emptying, None, None, None),), (), ())
        with pytest.raises(TypeError, match="takes 3 arguments"):
            f(items)


@pytest.mark.parametrize("count", [0, 1, 5, 6, 40])
def test_results_with_many_keys(nodes: Any, bind: Bind, programs: ModuleType, count: int) -> None:
    f, misses = dispatcher_of(nodes, bind, programs)
    given = {f"k{n:02}": array(nodes, n) for n in range(count)}
    f(given)
    first, second = f(given)[0][0], f(given)[0][0]
    assert list(first) == list(second) == list(given) and len(misses) == 1
    assert numbers(first) == numbers(second) == [n + 1 for n in range(count)]
    first["more"] = 1
    assert len(second) == len(f(given)[0][0]) == count


# ---- what was read from Python ---------------------------------------------------------------


class Decided:
    """What a guard asks: counts, and gives itself."""

    count = 0

    def __call__(self) -> Any:
        self.count += 1
        return (self,)


def test_a_guard_asks_as_long_as_it_watches_nothing(runtime: ModuleType) -> None:
    decide = Decided()
    guard = runtime.Guard(decide)
    assert guard() == guard() == (decide,)
    assert decide.count == 2
    with pytest.raises(TypeError):
        guard(1)


@of_the_c_core
def test_a_guard_asks_when_an_object_is_another() -> None:
    decide, holder, names, cell = Decided(), Box(1.5), {"a": "text"}, CellType(3)
    same = (
        (getattr, holder, "item", holder.item),
        (operator.getitem, names, "a", names["a"]),
        (operator.getitem, [7, 8], 1, 8),
        (getattr, cell, "cell_contents", 3),
        (dict.get, names, "a", names["a"]),
    )
    guard = native.Guard(decide)
    guard.watch(same, (), ())
    assert guard() == () and not decide.count
    changes: list[tuple[Callable[[], Any], Callable[[], Any]]] = [
        (lambda: names.update(a="other"), lambda: names.update(a=same[1][3])),
        (lambda: names.pop("a"), lambda: names.update(a=same[1][3])),
        (
            lambda: setattr(holder, "item", float("1.5")),
            lambda: setattr(holder, "item", same[0][3]),
        ),
        (lambda: delattr(holder, "item"), lambda: setattr(holder, "item", same[0][3])),
        (lambda: setattr(cell, "cell_contents", 4), lambda: setattr(cell, "cell_contents", 3)),
        (lambda: delattr(cell, "cell_contents"), lambda: setattr(cell, "cell_contents", 3)),
    ]
    for number, (change, undo) in enumerate(changes):
        change()
        assert guard() == (decide,)
        assert decide.count == number + 1
        undo()
        assert guard() == ()


@of_the_c_core
def test_a_guard_compares_what_is_computed_at_each_check() -> None:
    decide, numbers_, kept = Decided(), [1, 2], native.from_numpy(np.ones(2))
    guard = native.Guard(decide)
    guard.watch((), ((lambda x, _: tuple(x), numbers_, None, (1, 2)),), (kept,))
    assert guard()[0] is kept
    numbers_.append(3)
    assert guard() == (decide,)


@of_the_c_core
def test_a_guard_fetches_arrays_of_one_type() -> None:
    decide = Decided()
    first, kept = (native.from_numpy(np.ones(3, np.float32)) for _ in range(2))
    holder, other = Box(first), Box(first)
    places = ((getattr, holder, "item"), (getattr, other, "item"))
    guard = native.Guard(decide)
    guard.watch((), (), (kept, (first.dtype, (3,), False, places)))
    assert [x is y for x, y in zip(guard(), (kept, first), strict=True)] == [True, True]
    second = native.from_numpy(np.zeros(3, np.float32))
    holder.item = second
    assert guard() == (decide,)  # they are not the same any more
    other.item = second
    assert guard()[1] is second
    wrong = [np.zeros(4, np.float32), np.zeros((3, 1), np.float32), np.zeros(3, np.int32)]
    for values in (*map(native.from_numpy, wrong), native.from_numpy(wrong[0][:3], weak=True), 3.0):
        holder.item = other.item = values
        assert guard() == (decide,)


@of_the_c_core
def test_a_guard_lets_what_is_no_error_pass() -> None:
    def interrupted(container: Any, key: Any) -> Any:
        raise KeyboardInterrupt

    guard = native.Guard(Decided())
    guard.watch(((interrupted, None, None, None),), (), ())
    with pytest.raises(KeyboardInterrupt):
        guard()


@pytest.mark.parametrize(
    "watched",
    [
        ((3,), (), ()),
        (((getattr, 3, "real"),), (), ()),
        ((), (), (3,)),
        ((), (), ((1, 2, 3, ()),)),
        3,
    ],
)
@of_the_c_core
def test_a_guard_watches_checks_alone(watched: Any) -> None:
    with pytest.raises(TypeError):
        native.Guard(Decided()).watch(*(watched if isinstance(watched, tuple) else [watched]))


@of_the_c_core
def test_guards_leave_references_right() -> None:
    value, array_ = object(), native.from_numpy(np.ones(300))
    guard = native.Guard(Decided())
    places = ((getattr, Box(array_), "item"),) * 2
    guard.watch(
        ((getattr, Box(value), "item", value), (operator.getitem, {1: value}, 1, value)),
        ((operator.getitem, {1: value}, 1, value),),
        ((array_.dtype, (300,), False, places), array_),
    )
    before = sys.getrefcount(value), sys.getrefcount(array_)
    for _ in range(10):
        assert len(guard()) == 2
    assert (sys.getrefcount(value), sys.getrefcount(array_)) == before


def test_a_guard_and_what_decides_for_it_end_together() -> None:
    class Owner:
        def __init__(self) -> None:
            self.guard = native.Guard(self.decided)

        def decided(self) -> Any:
            return ()

    owner = Owner()
    seen = weakref.ref(owner)
    owner.guard()
    del owner
    gc.collect()
    assert seen() is None
