"""Frozen classes of named fields."""

from __future__ import annotations

import copy
import pickle
from typing import Any, ClassVar

import pytest

from jitml_runtime.record import field_names, frozen, replace


@frozen
class Point:
    x: int
    y: int = 2
    kind: ClassVar[str] = "point"


@frozen
class Named(Point):
    name: str = "here"


@frozen
class Empty:
    pass


@frozen
class Other:
    x: int
    y: int = 2


@frozen
class Own:
    value: Any

    def __init__(self, value: Any) -> None:
        vars(self)["value"] = abs(value)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return "own"


def test_fields_come_by_position_name_and_default() -> None:
    for point in (Point(1, 2), Point(1), Point(x=1), Point(1, y=2), Point(y=2, x=1)):
        assert (point.x, point.y, point.kind) == (1, 2, "point")
    assert field_names(Point) == field_names(Point(1)) == ("x", "y") and field_names(3) == ()
    assert field_names(Named) == ("x", "y", "name")
    named = Named(1, name="there")
    assert (named.x, named.y, named.name) == (1, 2, "there")


def test_equality_and_hash_are_of_class_and_fields() -> None:
    assert Point(1) == Point(1, 2) and hash(Point(1)) == hash(Point(1, 2))
    assert Point(1) != Point(2) and Point(1) != Other(1) and Point(1) != Named(1) and Point(1) != 1
    assert Empty() == Empty() and len({Empty(), Empty(), Point(1), Point(1), Other(1)}) == 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(Other([]))  # type: ignore[arg-type]


def test_what_a_class_defines_stays() -> None:
    own = Own(-3)
    assert own.value == 3 and own != Own(-3) and repr(own) == "own"
    with pytest.raises(TypeError, match="unhashable"):
        hash(own)


def test_nothing_can_be_set_or_deleted() -> None:
    point: Any = Point(1)
    for change in (lambda: setattr(point, "x", 3), lambda: setattr(point, "z", 3)):
        with pytest.raises(AttributeError, match="Point is frozen"):
            change()
    with pytest.raises(AttributeError, match="Point is frozen: x"):
        del point.x
    assert point == Point(1)


def test_text_names_the_fields() -> None:
    assert repr(Named(1)) == "Named(x=1, y=2, name='here')" and repr(Empty()) == "Empty()"


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "missing: x"),
        ((1, 2, 3), {}, "takes the fields \\(x, y\\)"),
        ((1,), {"x": 2}, "given twice or unknown: x"),
        ((1,), {"z": 2}, "given twice or unknown: z"),
    ],
)
def test_wrong_arguments_are_told(args: Any, kwargs: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Point(*args, **kwargs)


def test_replace_copy_and_pickle() -> None:
    named = Named(1, 5, "there")
    assert replace(named, y=2) == Named(1, 2, "there") and named.y == 5
    assert copy.copy(named) == copy.deepcopy(named) == named
    assert pickle.loads(pickle.dumps(named)) == named
    with pytest.raises(TypeError, match="Named has no field z"):
        replace(named, z=3)
