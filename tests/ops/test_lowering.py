"""Scalar rules of folds, sort and random bits against the ops' NumPy meaning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jitml.ir.dtypes import FROM_SHORT_NAME
from jitml.ops import cumulative, reduction
from jitml.ops.kinds import Reduction
from jitml.ops.random_bits import Threefry2x32
from ops.scalar_in_numpy import constant, value_of

_I32 = FROM_SHORT_NAME["i32"]
_SPECIAL = [0.0, -0.0, 1.0, 1.0, -2.5, np.inf, -np.inf, 3.0]


def folded(op: Reduction, x: Any, order: list[int]) -> Any:
    """The fold of a 1-d array, element after element in `order`, from and with identities."""
    types = op.state_types(x.dtype)
    numbers = op.identity(x.dtype)
    empty = tuple(constant(t, n) for t, n in zip(types, numbers, strict=True))
    state = empty
    for i in order:
        element = op.element(value_of(x[i]), constant("i64", i))
        assert tuple(v.type for v in element) == types
        state = op.combine(op.combine(state, element), empty)
    return op.result(state).ref[0]


def samples(dtype: str, random: np.random.Generator) -> Any:
    if dtype == "bool":
        return random.integers(0, 2, 8).astype(bool)
    if dtype[0] == "f":
        return random.permutation(_SPECIAL).astype(FROM_SHORT_NAME[dtype])
    low = 0 if dtype[0] == "u" else -3
    return random.integers(low, 4, 8).astype(FROM_SHORT_NAME[dtype])


_FOLDS = [
    (reduction.ReduceSum, "i8 u32 i64"),
    (reduction.ReduceProd, "i8 u32 f64"),
    (reduction.ReduceMax, "bool i8 u32 f32 f64"),
    (reduction.ReduceMin, "bool i8 u32 f32 f64"),
    (reduction.ReduceAnd, "bool i8 u8 u64"),
    (reduction.ReduceOr, "bool i8 u8 u64"),
    (reduction.ReduceXor, "bool i8 u8 u64"),
]


@pytest.mark.parametrize(
    ("op", "dtype"), [(op, dtype) for op, dtypes in _FOLDS for dtype in dtypes.split()]
)
def test_folds_combine_to_the_value(op: Any, dtype: str) -> None:
    random = np.random.default_rng(1)
    for _ in range(5):
        x = samples(dtype, random)
        with np.errstate(all="ignore"):
            expected = op((0,)).value(x)[0]
        found = folded(op((0,)), x, list(range(8)))
        np.testing.assert_array_equal(found, expected)


def test_the_identity_of_a_sum_keeps_minus_zero() -> None:
    x = np.array([-0.0, -0.0], np.float32)
    op = reduction.ReduceSum((0,))
    assert np.signbit(folded(op, x, [0, 1])) and np.signbit(op.value(x)[0])
    assert op.identity(FROM_SHORT_NAME["c64"]) == (complex(-0.0, -0.0),)
    assert str(op.identity(FROM_SHORT_NAME["c64"])[0]) == "(-0-0j)"


def test_nothing_folds_to_the_empty_value() -> None:
    for op, dtypes in _FOLDS:
        for dtype in dtypes.split():
            empty = np.zeros((0,), FROM_SHORT_NAME[dtype])
            assert op((0,)).value(empty)[0] == op((0,)).empty_value(empty.dtype)
    assert not np.signbit(reduction.ReduceSum((0,)).value(np.zeros(0))[0])


@pytest.mark.parametrize("op", [reduction.ArgMax, reduction.ArgMin])
@pytest.mark.parametrize("dtype", ["bool", "i8", "u64", "f32", "f64"])
def test_positions_do_not_depend_on_the_order(op: Any, dtype: str) -> None:
    random = np.random.default_rng(2)
    for trial in range(10):
        x = samples(dtype, random)
        if dtype[0] == "f" and trial % 2:
            x[random.integers(0, 8, 2)] = np.nan
        order = [int(i) for i in random.permutation(8)]
        assert folded(op((0,), _I32), x, order) == op((0,), _I32).value(x)[0]


def state_of(op: Reduction, x: Any, order: list[int]) -> tuple[Any, ...]:
    """The fold of some elements, each behind those before it."""
    types = op.state_types(x.dtype)
    numbers = op.identity(x.dtype)
    state = tuple(constant(t, n) for t, n in zip(types, numbers, strict=True))
    for i in order:
        state = op.append(state, op.element(value_of(x[i]), constant("i64", i)))
    return state


@pytest.mark.parametrize("op", [reduction.ArgMax, reduction.ArgMin])
@pytest.mark.parametrize("dtype", ["bool", "i8", "u64", "f32", "f64"])
def test_positions_of_elements_in_turns(op: Any, dtype: str) -> None:
    """As accumulators take them: every third, then the accumulators combined."""
    random = np.random.default_rng(3)
    worst = op((0,), _I32).identity(FROM_SHORT_NAME[dtype])[0]
    for trial in range(30):
        x = samples(dtype, random)
        if trial % 3 == 0:
            x[random.integers(0, 8, 5)] = worst
        if dtype[0] == "f" and trial % 2:
            x[random.integers(0, 8, 2)] = np.nan
        a, b, c = (state_of(op((0,), _I32), x, list(range(k, 8, 3))) for k in range(3))
        rule = op((0,), _I32)
        state = rule.combine(rule.combine(a, c), b)
        assert rule.result(state).ref[0] == rule.value(x)[0]


@pytest.mark.parametrize(("dtype", "type_"), [("i8", "i32"), ("i32", "i32"), ("u32", "i64")])
def test_positions_are_counted_in_what_holds_them(dtype: str, type_: str) -> None:
    op = reduction.ArgMax((0,), FROM_SHORT_NAME[dtype])
    assert op.state_types(np.dtype(np.float64)) == ("f64", type_)


@pytest.mark.parametrize("op", [reduction.ArgMax, reduction.ArgMin])
def test_position_of_the_worst_number(op: Any) -> None:
    """The identity has the position of the first of those that it is made of."""
    worst = np.full(3, op((0,), _I32).identity(np.dtype(np.float32))[0], np.float32)
    assert folded(op((0,), _I32), worst, [2, 0, 1]) == 0
    one_better = np.array([worst[0], worst[0], 1.0], np.float32)
    assert folded(op((0,), _I32), one_better, [1, 2, 0]) == 2


@pytest.mark.parametrize("op", ["CumSum", "CumProd", "CumMax", "CumMin", "CumLogSumExp"])
def test_cumulative_steps_give_the_value(op: str) -> None:
    rule = getattr(cumulative, op)(0)
    x = np.array([-np.inf, 0.5, -1.25, np.inf, 2.0, 3.0], np.float64)[:: 1 if op[3] != "P" else -1]
    for numbers in (x[:3], x[1:3], x, np.array([1.0, np.nan, 2.0])):
        running, results = None, []
        for number in numbers:
            element = value_of(number)
            running = element if running is None else rule.lower_combine(running, element)
            results.append(running.ref[0])
        np.testing.assert_allclose(results, rule.value(numbers)[0], rtol=1e-12)


def test_random_bits_of_scalars_are_those_of_the_value() -> None:
    words = np.random.default_rng(4).integers(0, 2**32, (4, 9), dtype=np.uint32)
    found = Threefry2x32().lower(*map(value_of, words))
    for a, b in zip(found, Threefry2x32().value(*words), strict=True):
        np.testing.assert_array_equal(a.ref, b)
