"""Guards of the C core: what tells without a look that objects are still where they were must
change whenever a look would find another object.
"""

from __future__ import annotations

import gc
import operator
import random
from collections.abc import Callable
from functools import cached_property
from types import CellType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import jitml_runtime as native

pytestmark = pytest.mark.skipif(
    "reference" in native.Guard.__module__, reason="the Python executor asks each time"
)

Act = Callable[[], Any]
OLD, NEW = object(), object()


class Asked:
    """What a guard asks, counted."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> Any:
        self.count += 1
        return None


def guard_on(*places: tuple[Any, Any, Any]) -> tuple[Any, Asked]:
    """A guard on what is in these places now, which has been called once."""
    asked = Asked()
    guard = native.Guard(asked)
    guard.watch(tuple((get, x, key, get(x, key)) for get, x, key in places), (), ())
    assert guard() == () and not asked.count
    return guard, asked


def expect(guard: Any, asked: Asked, holds: bool) -> None:
    """The guard says several times whether it holds."""
    for _ in range(3):
        before = asked.count
        assert (guard() == ()) is holds
        assert (asked.count == before) is holds


class Base:
    inherited = OLD


class Plain(Base):
    of_class = OLD

    def __init__(self) -> None:
        self.own = OLD


class Slotted:
    __slots__ = ("own",)

    def __init__(self) -> None:
        self.own = OLD


class Lazy:
    @cached_property
    def own(self) -> object:
        return OLD


class Unset:
    """Its instances have no attributes."""

    of_class = OLD


class Content:
    """A class attribute whose class becomes that of a descriptor."""


def set_class(object_: Any, class_: type) -> None:
    object_.__class__ = class_


class Other(Plain):
    of_class = NEW


class Answering(Plain):
    def __getattribute__(self, name: str) -> Any:
        return NEW if name == "own" else super().__getattribute__(name)


def changes() -> dict[str, tuple[tuple[Any, Any, Any], Act, Act | None]]:
    """By name: a place, what makes it hold another object, and what undoes that."""
    plain, lazy, slotted, unset, space = (
        Plain(),
        Lazy(),
        Slotted(),
        Unset(),
        SimpleNamespace(own=OLD),
    )
    module = ModuleType("module")
    module.own = OLD  # type: ignore[attr-defined]
    names, items, cell = {"a": OLD, "b": NEW}, [OLD, NEW], CellType(OLD)

    class Local(Plain):
        """Its attributes change."""

    class Holder:
        content = Content()

    class Covering:
        own = property(lambda self: source.own)

    class Computing(Plain):
        def __getattribute__(self, name: str) -> Any:
            return source.own if name == "own" else super().__getattribute__(name)

    source, covered, computing = SimpleNamespace(own=OLD), Covering(), Computing()
    vars(covered)["own"] = OLD
    local, holder, inherited = Local(), Holder(), Local.inherited
    rows: dict[str, tuple[tuple[Any, Any, Any], Act, Act | None]] = {
        "attribute": (
            (getattr, plain, "own"),
            lambda: setattr(plain, "own", NEW),
            lambda: setattr(plain, "own", OLD),
        ),
        "deleted attribute": (
            (getattr, space, "own"),
            lambda: delattr(space, "own"),
            lambda: setattr(space, "own", OLD),
        ),
        "attribute through the dict": (
            (getattr, plain, "own"),
            lambda: vars(plain).update(own=NEW),
            lambda: vars(plain).update(own=OLD),
        ),
        "another dict": (
            (getattr, plain, "own"),
            lambda: setattr(plain, "__dict__", {"own": NEW}),
            lambda: setattr(plain, "__dict__", {"own": OLD}),
        ),
        "another class": (
            (getattr, plain, "of_class"),
            lambda: set_class(plain, Other),
            lambda: set_class(plain, Plain),
        ),
        "a class that answers": (
            (getattr, plain, "own"),
            lambda: set_class(plain, Answering),
            lambda: set_class(plain, Plain),
        ),
        "shadowed class attribute": (
            (getattr, plain, "of_class"),
            lambda: setattr(plain, "of_class", NEW),
            lambda: delattr(plain, "of_class"),
        ),
        "shadowed where nothing was": (
            (getattr, unset, "of_class"),
            lambda: setattr(unset, "of_class", NEW),
            lambda: delattr(unset, "of_class"),
        ),
        "class attribute": (
            (getattr, local, "of_class"),
            lambda: setattr(Local, "of_class", NEW),
            lambda: delattr(Local, "of_class"),
        ),
        "property before an attribute": (
            (getattr, local, "own"),
            lambda: setattr(Local, "own", property(lambda self: NEW)),
            lambda: delattr(Local, "own"),
        ),
        "property over an attribute": (
            (getattr, covered, "own"),
            lambda: setattr(source, "own", NEW),
            lambda: setattr(source, "own", OLD),
        ),
        "answer of a class": (
            (getattr, computing, "own"),
            lambda: setattr(source, "own", NEW),
            lambda: setattr(source, "own", OLD),
        ),
        "inherited attribute of a class": (
            (getattr, Local, "inherited"),
            lambda: setattr(Base, "inherited", NEW),
            lambda: setattr(Base, "inherited", inherited),
        ),
        "content that becomes a descriptor": (
            (getattr, holder, "content"),
            lambda: setattr(Content, "__get__", lambda *_: NEW),
            lambda: delattr(Content, "__get__"),
        ),
        "content of a class that becomes a descriptor": (
            (getattr, Holder, "content"),
            lambda: setattr(Content, "__get__", lambda *_: NEW),
            lambda: delattr(Content, "__get__"),
        ),
        "slot": (
            (getattr, slotted, "own"),
            lambda: setattr(slotted, "own", NEW),
            lambda: setattr(slotted, "own", OLD),
        ),
        "cached property": (
            (getattr, lazy, "own"),
            lambda: vars(lazy).update(own=NEW),
            lambda: vars(lazy).update(own=OLD),
        ),
        "attribute of a module": (
            (getattr, module, "own"),
            lambda: setattr(module, "own", NEW),
            lambda: setattr(module, "own", OLD),
        ),
        "entry": (
            (operator.getitem, names, "a"),
            lambda: names.update(a=NEW),
            lambda: names.update(a=OLD),
        ),
        "deleted entry": (
            (operator.getitem, names, "a"),
            lambda: names.pop("a"),
            lambda: names.update(a=OLD),
        ),
        "item": (
            (operator.getitem, items, 0),
            lambda: operator.setitem(items, 0, NEW),
            lambda: operator.setitem(items, 0, OLD),
        ),
        "items in another order": (
            (operator.getitem, items, 0), items.reverse, items.reverse,
        ),
        "longer list": (
            (operator.getitem, items, 0),
            lambda: items.__setitem__(slice(0, 0), [NEW] * 50),
            lambda: items.__delitem__(slice(0, 50)),
        ),
        "empty list": ((operator.getitem, items, 0), items.clear, lambda: items.extend((OLD, NEW))),
        "popped item": ((operator.getitem, items, 1), items.pop, lambda: items.append(NEW)),
        "last item": (
            (operator.getitem, items, -2),
            lambda: items.append(NEW),
            items.pop,
        ),
        "cell": (
            (getattr, cell, "cell_contents"),
            lambda: setattr(cell, "cell_contents", NEW),
            lambda: setattr(cell, "cell_contents", OLD),
        ),
    }  # fmt: skip
    return rows


@pytest.mark.parametrize("name", changes())
@pytest.mark.parametrize("times", [1, 12])
def test_a_guard_sees_each_change(name: str, times: int) -> None:
    place, change, undo = changes()[name]
    guard, asked = guard_on(place)
    for _ in range(times):
        expect(guard, asked, True)
        change()
        expect(guard, asked, False)
        assert undo is not None
        undo()
        expect(guard, asked, True)


@pytest.mark.parametrize("calls", [1, 100])
def test_other_changes_beside_what_is_watched_do_not_matter(calls: int) -> None:
    names, holder = {"a": OLD}, Plain()
    guard, asked = guard_on(
        (operator.getitem, names, "a"), (getattr, holder, "own"), (getattr, Plain, "of_class")
    )
    for number in range(20):
        names[f"counter{number}"] = NEW
        holder.__dict__["steps"] = number
        Plain.other = number  # type: ignore[attr-defined]
        for _ in range(calls):
            assert guard() == () and not asked.count
    names["a"] = NEW
    expect(guard, asked, False)
    names["a"] = OLD
    expect(guard, asked, True)
    holder.own = NEW
    expect(guard, asked, False)


def test_one_of_many_places_is_enough() -> None:
    holders, names = [Plain() for _ in range(300)], dict.fromkeys(range(300), OLD)
    places: list[Any] = [(getattr, x, "own") for x in holders]
    places += [(operator.getitem, names, k) for k in names]
    places += [(getattr, CellType(OLD), "cell_contents") for _ in range(300)]
    guard, asked = guard_on(*places)
    for number in random.Random(0).sample(range(300), 20):
        holders[number].own = NEW
        expect(guard, asked, False)
        holders[number].own = OLD
        expect(guard, asked, True)
        names[number] = NEW
        expect(guard, asked, False)
        names[number] = OLD
        expect(guard, asked, True)


def test_what_is_watched_may_be_replaced_by_what_is_looked_at() -> None:
    asked, holder = Asked(), Plain()
    guard = native.Guard(asked)

    def replacing(container: Any, key: Any) -> Any:
        guard.watch(((getattr, holder, "own", OLD),), (), ())
        gc.collect()
        return OLD

    def calling(container: Any, key: Any) -> Any:
        guard.watch(same[:1], (), ())
        return OLD if guard() == () else NEW

    same = ((getattr, holder, "own", OLD), (replacing, None, None, OLD), (calling, None, None, OLD))
    for _ in range(5):
        guard.watch(same, (), ())
        assert guard() == ()
    holder.own = NEW
    expect(guard, asked, False)


def test_an_object_that_is_gone_is_not_looked_at() -> None:
    """Its place may hold anything then: what leads to it must be seen to have changed first."""
    holder, items = Plain(), [[OLD]]
    holder.own = SimpleNamespace(own=OLD)  # type: ignore[assignment]
    guard, asked = guard_on((getattr, holder, "own"), (operator.getitem, items, 0))
    for _ in range(50):
        holder.__dict__ = {"own": holder.own}
        items[:] = [items[0], *range(100)]
        gc.collect()
        assert guard() == () and not asked.count
        del items[1:]
    items.clear()
    expect(guard, asked, False)


def test_hidden_arrays_are_fetched_from_where_they_are_now() -> None:
    asked, cell, counter = Asked(), CellType(None), {"a": OLD}
    arrays = [native.from_numpy(np.full(3, n, np.float32)) for n in range(3)]
    cell.cell_contents = arrays[0]
    spec = (arrays[0].dtype, (3,), False, ((getattr, cell, "cell_contents"),))
    guard = native.Guard(asked)
    guard.watch(((operator.getitem, counter, "a", OLD),), (), (spec, arrays[2]))
    for x in (*arrays, arrays[0]):
        cell.cell_contents = x
        found = guard()
        assert found[0] is x and found[1] is arrays[2]
    cell.cell_contents = native.from_numpy(np.zeros(4, np.float32))
    expect(guard, asked, False)
