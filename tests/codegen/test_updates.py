"""Updates of rows in vectors: each lane is one element of a row, rows go in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
from jitml.codegen import vectorize

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
