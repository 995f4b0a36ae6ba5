"""Updates of rows in vectors: each lane is one element of a row, rows go in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
from jitml.codegen import updates, vectorize
from jitml.codegen.kernel import Axis, Index, KernelBuilder, Load, Store
from jitml.ops.scatter import Scatter, ScatterDimensionNumbers

_MEANING: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "multiply": np.multiply,
    "min": np.minimum,
    "set": lambda _, new: new,
}


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "e"])
@pytest.mark.parametrize("update", _MEANING)
def test_rows_that_occur_often(update: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    beside: list[bool] = []

    def lies_beside(*arguments: Any) -> bool:
        beside.append(original(*arguments))
        return beside[-1]

    original = vectorize._lies_beside
    monkeypatch.setattr(vectorize, "_lies_beside", lies_beside)
    random = np.random.default_rng(5)
    x, rows = random.standard_normal((9, 37)), random.standard_normal((60, 37))
    x, rows = (2 * x).astype(dtype), rows.astype(dtype)
    where = random.integers(0, 9, 60)
    expected = x.copy()
    for index, row in zip(where, rows, strict=True):
        expected[index] = _MEANING[update](expected[index], row)
    found = jitml.jit(lambda x, i, y: getattr(x.at[i], update)(y))(x, where, rows)
    assert any(beside)
    assert np.asarray(found).tobytes() == expected.tobytes()


def test_elements_along_an_index_are_not_taken_at_once() -> None:
    """Two lanes could be the same element."""
    where = np.array([2, 2, 2, 0] * 40)
    found = jitml.jit(lambda i: jitml.numpy.zeros(3).at[i].add(1.0))(where)
    np.testing.assert_array_equal(found, [40, 0, 120])


def test_rows_outside_are_dropped() -> None:
    x, where = np.zeros((3, 20), np.float32), np.array([0, 7, -9, 1])
    found = jitml.jit(lambda x, i: x.at[i, 2:19].set(3.0, mode="drop"))(x, where)
    expected = x.copy()
    expected[[0, 1], 2:19] = 3
    np.testing.assert_array_equal(found, expected)


def _one_by_one(update: str, x: Any, where: Any, new: Any) -> Any:
    """NumPy's meaning: every update after the one before, those outside dropped."""
    result = x.copy()
    for index, number in zip(where, new, strict=True):
        if -len(x) <= index < len(x):
            result[index] = _MEANING[update](result[index], number)
    return result


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "e", "c8", "?"])
@pytest.mark.parametrize("update", _MEANING)
def test_elements_go_in_order(update: str, dtype: str) -> None:
    """In lanes that often meet, in those that no vector holds, and where some are outside."""
    if (dtype == "c8" and update == "min") or (dtype == "?" and update in ("add", "multiply")):
        pytest.skip("not for these")
    random = np.random.default_rng(6)
    x, new = (2 * random.standard_normal(n) for n in (9, 1013))
    if update == "multiply":
        new = random.choice([-1, 0.5, 2, 1j] if dtype == "c8" else [-1, 0.5, 2], 1013)
    x, new = x.astype(dtype), new.astype(dtype)
    inside, some = random.integers(-9, 9, 1013), random.integers(-12, 20, 1013)
    for where, mode in ((inside, None), (inside, "drop"), (some, "drop")):
        found = jitml.jit(lambda x, i, y, m=mode: getattr(x.at[i], update)(y, mode=m))(
            x, where, new
        )
        expected = _one_by_one(update, x, where, new)
        np.testing.assert_array_equal(found, expected)


def test_rows_of_complex_numbers() -> None:
    random = np.random.default_rng(9)
    x, rows = random.standard_normal((2, 60, 37)) + 1j * random.standard_normal((2, 60, 37))
    where = random.integers(0, 9, 60)
    found = jitml.jit(lambda x, i, y: x.at[i].add(y))(x[:9], where, rows)
    np.testing.assert_array_equal(found, _one_by_one("add", x[:9], where, rows))


def test_what_updates_need_is_computed_with_them() -> None:
    """Cheap indices and numbers take no array and no step; dear ones go to all threads."""
    random = np.random.default_rng(7)
    x, y = random.standard_normal((2, 500), np.float32)
    where = random.integers(0, 100, 500)

    def steps(function: Any, *args: Any) -> list[str]:
        compiled = jitml.jit(function)
        plan = compiled.lower(*args).compile()._program.plan
        np.testing.assert_array_equal(
            compiled(*args), function(jitml.numpy.array(args[0]), *args[1:])
        )
        return [step.label for step in plan.instructions]

    cheap = steps(lambda x, i, y: x.at[499 - 3 * i].add(y * 3 + 1), x, where, y)
    assert cheap == ["scatter", "scatter"]  # a copy and the updates
    dear = steps(lambda x, i, y: x.at[i].add(jitml.numpy.sin(y)), x, where, y)
    assert dear == ["sin", "scatter", "scatter"]


def test_the_first_update_outside_is_named() -> None:
    where = np.arange(200) % 7
    where[[77, 78, 150]] = [9, -30, 8]
    with pytest.raises(IndexError, match=r"index 9 .*size 7"):
        jitml.jit(lambda i: jitml.numpy.zeros(7).at[i].add(1.0))(where)


def test_updates_that_read_what_they_overwrite() -> None:
    """All of them read the array as it was."""
    x = np.arange(40, dtype=np.float32)
    where, from_ = np.arange(39) // 2, np.arange(1, 40)[::-1]
    expected = _one_by_one("add", x, where, x[from_])
    for donated in ((), (0,)):
        step = jitml.jit(lambda x, i, j: x.at[i].add(x[j]), donate_argnums=donated)
        np.testing.assert_array_equal(step(jitml.numpy.array(x), where, from_), expected)


def test_all_lanes_to_one_element() -> None:
    y = np.random.default_rng(8).standard_normal((3, 50)).astype(np.float32)

    def total(i: Any, y: Any) -> Any:
        at = jitml.numpy.broadcast_to(i[:, None], y.shape)
        return jitml.numpy.zeros(4, "float32").at[at].add(y)

    expected = np.zeros(4, np.float32)
    for row, k in zip(y, (2, 0, 2), strict=True):
        for number in row:
            expected[k] += number
    found = jitml.jit(total)(np.array([2, 0, 2]), y)
    assert np.asarray(found).tobytes() == expected.tobytes()


def test_slices_that_overlap_follow_each_other() -> None:
    """Also where the axes inside of slices are not the last ones of the updates."""
    numbers = jitml.lax.ScatterDimensionNumbers((0, 1), (), (0,))
    starts, x = np.array([[2], [0], [1], [2], [1]]), np.zeros((8, 3), np.float32)
    new = np.arange(40, dtype=np.float32).reshape(4, 2, 5)
    expected = x.copy()
    for k, (start,) in enumerate(starts):
        expected[start : start + 4, :2] = new[:, :, k]

    def put(x: Any, i: Any, y: Any) -> Any:
        return jitml.lax.scatter(x, i, y, numbers)

    np.testing.assert_array_equal(jitml.jit(put)(x, starts, new), expected)
    (meaning,) = Scatter("set", ScatterDimensionNumbers(*numbers)).value(x, starts, new)
    np.testing.assert_array_equal(meaning, expected)


def test_a_number_that_lies_outside_is_not_read() -> None:
    """Far outside there is no memory."""
    where, y, far = np.zeros(100, np.int64), np.ones(9, np.float32), np.int64(1 << 45)
    with pytest.raises(IndexError, match=f"index {far} .*size 9"):
        jitml.jit(lambda i, y, j: jitml.numpy.zeros(7).at[i].add(y[j]))(where, y, far)


def test_only_what_is_read_wherever_updates_land_is_read_lane_by_lane() -> None:
    builder = KernelBuilder()
    inside, other = (builder.node("load", "i1", data=k, key=k) for k in range(2))
    index = Index(builder, ((Axis(9, 1), 1),))
    data = Load(0, "f32", index, False)
    store = Store(1, "f32", (), index, inside)
    for masks, holds in (((), True), ((inside,), True), ((other,), False)):
        load = builder.node("load", "f32", masks, data, len(masks) + holds)
        assert updates._is_read_if_inside(store, load) == holds


def test_one_number_for_all_updates() -> None:
    where, y = np.array([2, 2, 0, 5] * 25), np.arange(9, dtype=np.float32)

    def add(i: Any, y: Any, j: Any) -> Any:
        return jitml.numpy.zeros(7).at[i].add(y.at[j].get(mode="promise_in_bounds"))

    np.testing.assert_array_equal(jitml.jit(add)(where, y, 3), [75, 0, 150, 0, 0, 75, 0])


@pytest.mark.parametrize("mode", [None, "drop"])
def test_rows_that_are_not_all_read(mode: str | None) -> None:
    """What lies around rows too short for loops of their own is masked: neighbours lie there."""
    x, y = np.zeros(9, np.float32), np.arange(1, 1741, dtype=np.float32).reshape(60, 29)
    where = np.random.default_rng(3).integers(-9, 9, (60, 40))
    around = [(0, 0), (5, 6)]
    add = jitml.jit(lambda x, i, y: x.at[i].add(jitml.numpy.pad(y, around), mode=mode))
    expected = _one_by_one("add", x, where.ravel(), np.pad(y, around).ravel())
    np.testing.assert_array_equal(add(x, where, y), expected)


@pytest.mark.parametrize("mode", [None, "drop"])
def test_numbers_that_are_not_all_read(mode: str | None) -> None:
    """What lies around the array is padding: nothing is read there."""
    x, y = np.zeros(9, np.float32), np.arange(1, 301, dtype=np.float32)
    where = np.random.default_rng(2).integers(0, 9, 320)
    add = jitml.jit(lambda x, i, y: x.at[i].add(jitml.numpy.pad(y[5:295], (20, 10)), mode=mode))
    expected = _one_by_one("add", x, where, np.pad(y[5:295], (20, 10)))
    np.testing.assert_array_equal(add(x, where, y), expected)
