"""Operators, methods and printing of arrays and tracers."""

from __future__ import annotations

import copy
import operator
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp

BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.lt,
    operator.le,
    operator.eq,
    operator.ne,
    operator.gt,
    operator.ge,
]
INTEGER = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift, divmod]
X = np.array([1.5, -2.0, 3.0], np.float32)
K = np.array([5, 2, 7], np.int32)


def _check(operation, x, y, expected_of):
    expected = operation(*expected_of)
    for left, right in ((jnp.asarray(x), y), (x, jnp.asarray(y)), (jnp.asarray(x), jnp.asarray(y))):
        for run in (operation, jitml.jit(operation)):
            found = run(left, right)
            assert all(isinstance(part, jitml.Array) for part in jitml.tree.leaves(found))
            np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-5)


@pytest.mark.parametrize("operation", BINARY)
def test_operators_on_either_side(operation):
    _check(operation, np.abs(X), np.float32(2.5), (np.abs(X), np.float32(2.5)))
    _check(operation, np.abs(X), X, (np.abs(X), X))


@pytest.mark.parametrize("operation", INTEGER)
def test_integer_operators(operation):
    _check(operation, K, np.array([1, 2, 3], np.int32), (K, np.array([1, 2, 3], np.int32)))


def test_numbers_and_foreign_operands():
    x = jnp.asarray(X)
    assert (2 - x).tolist() == [0.5, 4, -1]
    assert (x**2).tolist() == [2.25, 4, 9]
    assert (-x).tolist() == [-1.5, 2, -3]
    assert abs(x).tolist() == [1.5, 2, 3]
    assert (~jnp.array([True])).tolist() == [False]
    assert (x @ x).tolist() == pytest.approx(15.25)
    assert x.__add__("text") is NotImplemented
    with pytest.raises(TypeError):
        operator.add(x, [1, 2, 3])
    with pytest.raises(TypeError):
        x + None
    assert (x == None) is False  # noqa: E711


class Foreign:
    def __radd__(self, other):
        return "mine"


def test_other_classes_have_their_say():
    assert jnp.ones(2) + Foreign() == "mine"


def test_methods_match_functions():
    x = jnp.arange(6.0).reshape(2, 3)
    assert x.T.shape == (3, 2)
    assert x.mT.shape == (3, 2)
    assert x.sum(0).tolist() == [3, 5, 7]
    assert x.mean().item() == 2.5
    assert x.max(axis=1, keepdims=True).shape == (2, 1)
    assert x.transpose(1, 0).shape == x.transpose((1, 0)).shape == (3, 2)
    assert x.reshape(3, -1).shape == x.reshape((3, 2)).shape
    assert x.astype(int).dtype == np.int32
    assert x.ravel().argmax() == 5
    assert x.flatten().tolist() == list(range(6))
    assert x.clip(1, 2).tolist() == [[1, 1, 2], [2, 2, 2]]
    assert x.dot(jnp.ones(3)).tolist() == [3, 12]
    assert x.trace() == 4
    assert x.view("int32").dtype == np.int32
    assert jnp.array([1.0]).view("uint8").tolist() == [0, 0, 128, 63]
    assert round(jnp.array(1.26), 1).item() == pytest.approx(1.3)
    assert x.block_until_ready() is x
    assert x.devices() == set(jitml.devices())
    assert (x.real.tolist(), x.imag.tolist()) == (x.tolist(), (x * 0).tolist())
    assert x.__array_namespace__() is jnp


def test_conversion_and_iteration():
    x = jnp.asarray(K)
    assert [int(v) for v in x] == [5, 2, 7]
    assert (5 in x, 9 in x) == (True, False)
    assert len(x) == 3
    assert float(jnp.array(1.5)) == 1.5
    assert [10, 20, 30][jnp.array(1)] == 20
    assert jnp.bfloat16(1.5).item() == 1.5
    with pytest.raises(TypeError, match="0-d"):
        iter(jnp.array(1))
    with pytest.raises(TypeError, match="unhashable"):
        hash(x)
    assert [float(v) for v in jitml.jit(lambda x: [v * 2 for v in x])(x)] == [10, 4, 14]
    assert f"{jnp.array(1.5):.2f}" == "1.50"


def test_copies_and_pickles():
    x = jnp.asarray(X)
    for twin in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), copy.copy(x)):
        np.testing.assert_array_equal(twin, x)


def test_instance_checks():
    seen = []
    jitml.jit(lambda x: seen.append(isinstance(x, jitml.Array)) or x)(X)
    assert seen == [True]
    assert isinstance(jnp.ones(1), jnp.ndarray)
    assert not isinstance(X, jitml.Array)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: jnp.array([1.0, 2.0]), "Array([1., 2.], dtype=float32)"),
        (lambda: jnp.asarray(1), "Array(1, dtype=int32, weak_type=True)"),
        (lambda: jnp.zeros((0, 3)), "Array([], shape=(0, 3), dtype=float32)"),
        (lambda: jnp.array([True]), "Array([ True], dtype=bool)"),
        (lambda: jnp.bfloat16(0.5), "Array(0.5, dtype=bfloat16)"),
        (lambda: jnp.array([[1j]]), "Array([[0.+1.j]], dtype=complex64)"),
    ],
)
def test_repr(make, text):
    assert repr(make()) == text


def test_long_repr_wraps_as_in_numpy():
    x = np.arange(60, dtype=np.float32).reshape(5, 12)
    assert repr(jnp.asarray(x)) == "A" + repr(x)[1:]
    jax = pytest.importorskip("jax")
    for shape in ((30,), (3, 3), (2000,)):
        x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        assert repr(jnp.asarray(x)) == repr(jax.numpy.asarray(x))
        assert str(jnp.asarray(x)) == str(jax.numpy.asarray(x))


@pytest.mark.parametrize("convert", [float, int, bool, complex, operator.index])
def test_numbers_of_0d_arrays_are_numpys(convert: Callable[[Any], Any]) -> None:
    def outcome(x: Any) -> Any:
        try:
            found = convert(x)
        except (TypeError, ValueError, OverflowError) as error:
            return type(error)
        return type(found), repr(found)

    integers = [np.iinfo(f"{k}int{n}") for k in ("", "u") for n in (8, 16, 32, 64)]
    numbers = [np.array(value, info.dtype) for info in integers for value in (info.min, info.max)]
    floats = [0.1, -2.75, -0.0, np.inf, np.nan]
    numbers += [np.array(v, d) for v in floats for d in ("float16", "float32", "float64")]
    numbers += [np.array(True), np.array(1 - 2j, np.complex64), np.array([3.5]), np.ones(2)]
    with jitml.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for x in numbers:
            assert outcome(jnp.asarray(x)) == outcome(x), (x, x.dtype)
