"""Indexing and `.at` against NumPy: every form of index, read, set and add."""

from __future__ import annotations

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import errors

ARRAY = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
I = np.array([1, 0, 1])  # noqa: E741
J = np.array([[0, 2, -1]])
INDICES = {
    "integer": 1,
    "negative integer": -1,
    "integers": (1, 2, 3),
    "slice": slice(1, 3),
    "last axis": (..., 1),
    "reversed": (slice(None), slice(None, None, -1)),
    "negative step": (0, slice(None), slice(None, None, -2)),
    "strided": (slice(None), slice(0, 3, 2), slice(1, None, 2)),
    "empty slice": (slice(2, 1),),
    "new axes": (None, 0, ..., None),
    "ellipsis only": ...,
    "nothing": (),
    "array": I,
    "list": [1, 0],
    "array, slice": (I, slice(1, 3)),
    "slice, array": (slice(None), J),
    "two arrays": (I, slice(None), J),
    "adjacent arrays": (slice(None), J, I[:, None]),
    "separated arrays": (I, slice(None), I),
    "integer beside array": (1, slice(None), I),
    "array with new axis": (I, None, J),
    "array after strided": (slice(None, None, -1), slice(0, 3, 2), I),
    "scalar array": np.array(1),
    "mask": ARRAY > 7,
    "mask of rows": np.array([True, False]),
    "mask, integer": (np.array([True, True]), 1),
    "mask of two axes": ARRAY[..., 0] > 3,
    "no index": np.zeros(0, np.int32),
    "np integer": (np.int64(1), np.uint8(2)),
    "truth": True,
    "untruth": False,
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES.keys())
def test_read(index):
    np.testing.assert_array_equal(np.asarray(jnp.asarray(ARRAY)[index]), ARRAY[index])


@pytest.mark.parametrize("index", [i for i in INDICES.values() if not isinstance(i, bool)])
@pytest.mark.parametrize("name", ["set", "add", "multiply", "min", "max"])
def test_update(index, name):
    shape = ARRAY[index].shape
    rng = np.random.default_rng(len(shape))
    values = rng.integers(-3, 9, shape).astype(np.float32)
    updated = getattr(jnp.asarray(ARRAY).at[index], name)(values)
    expected = ARRAY.copy()
    if name == "set":
        expected[index] = values
    else:
        ufunc = {"add": np.add, "multiply": np.multiply, "min": np.minimum, "max": np.maximum}[name]
        ufunc.at(expected, index, values)
    np.testing.assert_allclose(np.asarray(updated), expected, rtol=1e-6)


@pytest.mark.parametrize("index", [1, I, (slice(None), [0, 2]), (..., slice(1, 3))])
def test_index_is_traced(index):
    """The same under jit, where arrays in the index are data."""
    if isinstance(index, np.ndarray):
        found = jitml.jit(lambda x, i: x[i])(ARRAY, index)
    else:
        found = jitml.jit(lambda x: x[index])(ARRAY)
    np.testing.assert_array_equal(np.asarray(found), ARRAY[index])


def test_other_updates():
    x = jnp.asarray(ARRAY[0, 0])
    np.testing.assert_array_equal(np.asarray(x.at[1:3].divide(2.0)), [0, 0.5, 1, 3])
    np.testing.assert_array_equal(np.asarray(x.at[2].power(3.0)), [0, 1, 8, 3])
    np.testing.assert_array_equal(np.asarray(x.at[[0, 0, 1]].apply(lambda v: v + 1)), [2, 2, 2, 3])
    np.testing.assert_array_equal(np.asarray(x.at[[1, 1]].subtract(1.0)), [0, -1, 2, 3])
    np.testing.assert_array_equal(np.asarray(x.at[x > 1].set(0.0)), [0, 1, 0, 0])


def test_mask_is_data_under_jit_where_values_are_the_same():
    f = jitml.jit(lambda x: x.at[x > 1].set(-1.0))
    np.testing.assert_array_equal(np.asarray(f(ARRAY[0, 0])), [0, 1, -1, -1])
    with pytest.raises(errors.NonConcreteBooleanIndexError, match=r"where\(mask"):
        jitml.jit(lambda x: x[x > 1])(ARRAY[0, 0])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("clip", [5, 7]), ("fill", [-1, -1]), ("wrap", [6, 6]), ("drop", [-1, -1])],
)
def test_modes_of_reads(mode, expected):
    x = jnp.array([5, 6, 7])
    found = x.at[jnp.array([-5, 4])].get(mode=mode, fill_value=-1)
    np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.parametrize(
    ("mode", "expected"), [("clip", [1, 6, 2]), ("drop", [5, 6, 7]), ("fill", [5, 6, 7])]
)
def test_modes_of_updates(mode, expected):
    x = jnp.array([5, 6, 7])
    found = x.at[jnp.array([-5, 4])].set(jnp.array([1, 2]), mode=mode)
    np.testing.assert_array_equal(np.asarray(found), expected)


def test_out_of_bounds_raises():
    x = jnp.asarray(ARRAY)
    with pytest.raises(
        errors.OutOfBoundsError, match="index 5 is out of bounds for axis 1 with size 3"
    ):
        x[0, 5]
    with pytest.raises(errors.OutOfBoundsError, match="index 4"):
        x[jnp.array([0, 4])]
    with pytest.raises(errors.OutOfBoundsError, match="index -3"):
        x[jnp.array([0, -3])]
    with pytest.raises(errors.OutOfBoundsError, match="index 9"):
        x.at[jnp.array([9])].set(0.0)
    with pytest.raises(IndexError, match="too many indices"):
        x[0, 0, 0, 0]
    with pytest.raises(IndexError, match="integer or bool"):
        x[jnp.array([0.5])]
    with pytest.raises(IndexError, match=r"0\.5 is not an index"):
        x[0.5]


def test_item_assignment_names_the_way_out():
    with pytest.raises(TypeError, match=r"\.at\[index\]\.set|\.at\["):
        jnp.zeros(2)[0] = 1.0


def test_narrowing_updates_warn():
    with pytest.warns(FutureWarning, match="float32 are put into an array of dtype int32"):
        found = jnp.zeros(2, jnp.int32).at[0].set(np.float32(1.5))
    assert found.tolist() == [1, 0]


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_take_and_take_along_axis(axis):
    chosen = np.array([[1, 0], [-1, 1]])
    found = jnp.take(ARRAY, chosen, axis)
    np.testing.assert_array_equal(np.asarray(found), np.take(ARRAY, chosen, axis))
    order = np.argsort(-ARRAY, axis=axis)
    along = jnp.take_along_axis(ARRAY, order, axis)
    np.testing.assert_array_equal(np.asarray(along), np.take_along_axis(ARRAY, order, axis))


def test_gradients_of_reads_and_updates():
    x = jnp.asarray(ARRAY[0, 0])
    rows = jnp.array([0, 0, 2])
    read = jitml.grad(lambda x: (x[rows] * jnp.array([1.0, 2.0, 3.0])).sum())(x)
    assert read.tolist() == [3, 0, 3, 0]
    update = jitml.grad(lambda y: (x.at[rows].set(y) * x).sum())(jnp.ones(3))
    assert update.tolist() == [0, 0, 2]


def test_updates_by_one_truth() -> None:
    x = jnp.zeros(3)
    for truth in (True, np.True_, jnp.array(True)):
        assert x.at[truth].set(5.0).tolist() == x.at[truth, ...].set(5.0).tolist() == [5] * 3
        assert x[truth, ...].shape == (1, 3)
    assert x.at[False].set(5.0).tolist() == [0] * 3
    assert jitml.jit(lambda x, t: x.at[t].add(1.0))(x, True).tolist() == [1] * 3
    zero = jnp.zeros(())
    assert (zero.at[True].set(jnp.ones(1)), zero.at[False].set(jnp.ones(0))) == (1, 0)
    with pytest.raises(errors.OutOfBoundsError):
        x.at[True].set(jnp.ones((2, 3)))
