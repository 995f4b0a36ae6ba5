"""Operators of Array: slots that call installed functions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "divmod": divmod,
    "power": operator.pow,
    "matmul": operator.matmul,
    "bitwise_and": operator.and_,
    "bitwise_or": operator.or_,
    "bitwise_xor": operator.xor,
    "left_shift": operator.lshift,
    "right_shift": operator.rshift,
}
COMPARISONS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "less": (operator.lt, "greater"),
    "less_equal": (operator.le, "greater_equal"),
    "equal": (operator.eq, "equal"),
    "not_equal": (operator.ne, "not_equal"),
    "greater": (operator.gt, "less"),
    "greater_equal": (operator.ge, "less_equal"),
}
UNARY: dict[str, Callable[[Any], Any]] = {
    "negative": operator.neg,
    "positive": operator.pos,
    "absolute": abs,
    "invert": operator.invert,
}


@pytest.fixture
def installed(runtime: Any) -> Any:
    """The runtime with operators that tell how they were called."""
    names = [*BINARY, *UNARY, *COMPARISONS]
    runtime.set_operators({name: lambda *operands, name=name: (name, *operands) for name in names})
    return runtime


@pytest.mark.parametrize("name", BINARY)
def test_binary_operators_keep_the_order_of_operands(installed: Any, name: str) -> None:
    array = installed.from_numpy(np.ones(2))
    for other in (3, 2.5, array, "text"):
        if not (name == "remainder" and isinstance(other, str)):
            result = BINARY[name](other, array)
            assert result[0] == name and result[1] is other and result[2] is array
        result = BINARY[name](array, other)
        assert result[0] == name and result[1] is array and result[2] is other


@pytest.mark.parametrize("name", BINARY)
def test_numpy_operands_leave_the_work_to_us(installed: Any, name: str) -> None:
    array = installed.from_numpy(np.ones(2))
    for other in (np.ones(2), np.arange(2), np.ones((2, 2), np.float32)):
        result = BINARY[name](other, array)
        assert result[0] == name and result[1] is other and result[2] is array


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons(installed: Any, name: str) -> None:
    compare, mirrored = COMPARISONS[name]
    array = installed.from_numpy(np.ones(2))
    forward = compare(array, 3)
    assert forward[0] == name and forward[1] is array and forward[2] == 3
    for other in (3, np.ones(2)):
        result = compare(other, array)
        assert result[0] == mirrored and result[1] is array and result[2] is other


@pytest.mark.parametrize("name", UNARY)
def test_unary_operators(installed: Any, name: str) -> None:
    array = installed.from_numpy(np.ones(2))
    assert UNARY[name](array)[0] == name and UNARY[name](array)[1] is array


def test_augmented_assignment_makes_a_new_value(installed: Any) -> None:
    array = old = installed.from_numpy(np.ones(2))
    array += 1
    assert array[0] == "add" and array[1] is old


def test_subscripts_iteration_and_text(installed: Any) -> None:
    array = installed.from_numpy(np.ones(2))
    installed.set_operators(
        {
            "getitem": lambda x, index: ("getitem", index),
            "iter": lambda x: iter([1, 2]),
            "contains": lambda x, value: value == 5,
            "repr": lambda x: "represented",
            "str": lambda x: "printed",
        }
    )
    assert array[1, ..., 2:3] == ("getitem", (1, ..., slice(2, 3)))
    assert list(array) == [1, 2]
    assert 5 in array and 6 not in array
    assert (repr(array), str(array)) == ("represented", "printed")


def test_missing_operators_are_type_errors(installed: Any) -> None:
    installed.set_operators(dict.fromkeys([*BINARY, *UNARY, *COMPARISONS]))
    array = installed.from_numpy(np.ones(2))
    for name in BINARY:
        with pytest.raises(TypeError, match="unsupported operand"):
            BINARY[name](array, 3)
    for use in (*UNARY.values(), iter, lambda x: x[0], lambda x: 1 in x, lambda x: x < 3):
        with pytest.raises(TypeError):
            use(array)


def test_not_implemented_hands_over(installed: Any) -> None:
    class Other:
        def __radd__(self, left: object) -> str:
            return "theirs"

    array = installed.from_numpy(np.ones(2))
    installed.set_operators({"add": lambda left, right: NotImplemented})
    assert array + Other() == "theirs"
    with pytest.raises(TypeError, match="unsupported operand"):
        array + 1


def test_errors_of_operators_propagate(installed: Any) -> None:
    def fail(left: object, right: object) -> None:
        raise ZeroDivisionError

    installed.set_operators({"add": fail})
    with pytest.raises(ZeroDivisionError):
        installed.from_numpy(np.ones(2)) + 1


def test_three_argument_power_is_refused(installed: Any) -> None:
    with pytest.raises(TypeError):
        pow(installed.from_numpy(np.ones(2)), 2, 3)


def test_what_is_replaced_is_returned(runtime: Any) -> None:
    assert runtime.set_operators({"add": max, "repr": repr}) == {"add": None, "repr": None}
    assert runtime.set_operators({"add": None}) == {"add": max}


def test_bad_tables_are_refused(installed: Any) -> None:
    with pytest.raises(ValueError, match="no operator"):
        installed.set_operators({"plus": operator.add})
    with pytest.raises(ValueError, match="no operator"):
        installed.set_operators({"add": 3})
    with pytest.raises(TypeError):
        installed.set_operators([])


def test_ufuncs_take_arrays_as_numpy_values(runtime: Any) -> None:
    assert np.sin(runtime.from_numpy(np.zeros(2))).tolist() == [0, 0]
