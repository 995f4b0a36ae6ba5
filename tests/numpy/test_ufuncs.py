"""Methods of ufuncs against NumPy's: of functions with folds of their own and of those without."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import ArgumentError

X = np.array([[3.0, 1.0, 2.0], [0.5, 4.0, 1.5]])
K = np.array([[3, 1, 6], [2, 4, 7]])
T = K > 2
FUNCTIONS = ["add", "multiply", "subtract", "divide", "maximum", "minimum", "logaddexp", "hypot"]
OF_INTEGERS = ["bitwise_and", "bitwise_or", "bitwise_xor", "add", "floor_divide", "left_shift"]
OF_TRUTHS = ["logical_and", "logical_or", "logical_xor", "add", "equal"]
EACH = [(n, X) for n in FUNCTIONS] + [(n, K) for n in OF_INTEGERS] + [(n, T) for n in OF_TRUTHS]


@pytest.fixture(autouse=True)
def wide() -> Any:
    with jitml.enable_x64(True):
        yield


def same(found: Any, expected: Any) -> None:
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, 1e-12)


@pytest.mark.parametrize(("name", "x"), EACH)
def test_methods_are_numpys(name: str, x: Any) -> None:
    ours, theirs = getattr(jnp, name), getattr(np, name)
    assert isinstance(ours, jnp.ufunc)
    assert (ours.nin, ours.nout, ours.nargs) == (2, 1, 2)
    assert pickle.loads(pickle.dumps(ours)) is ours
    same(ours.reduce(jnp.asarray(x), axis=1), theirs.reduce(x, axis=1))
    same(jitml.jit(ours.accumulate)(jnp.asarray(x)), theirs.accumulate(x))
    same(ours.outer(jnp.asarray(x[0]), x), theirs.outer(x[0], x))


@pytest.mark.parametrize("name", ["add", "subtract", "maximum", "logaddexp", "power"])
def test_at_and_reduceat_are_numpys(name: str) -> None:
    ours, theirs, index = getattr(jnp, name), getattr(np, name), np.array([0, 1, 0])
    expected = X.copy()
    theirs.at(expected, (0, index), 1.5)
    same(ours.at(jnp.asarray(X), (0, index), 1.5, inplace=False), expected)
    starts = np.array([0, 2, 1])
    same(ours.reduceat(jnp.asarray(X), starts, 1), theirs.reduceat(X, starts, 1))


def test_options_of_reduce() -> None:
    x = jnp.asarray(X)
    same(jnp.add.reduce(x, axis=None, keepdims=True), np.add.reduce(X, axis=None, keepdims=True))
    same(jnp.subtract.reduce(x, axis=1, keepdims=True), np.subtract.reduce(X, 1, keepdims=True))
    same(jnp.logaddexp.reduce(x, axis=(0, 1)), np.logaddexp.reduce(X.ravel()))
    same(jnp.logaddexp.reduce(x, where=x > 1, axis=1), np.logaddexp.reduce(X, 1, where=X > 1))
    same(jnp.power.reduce(x, initial=2.0), np.power(np.power(2.0, X[0]), X[1]))
    same(jnp.add.reduce(x, dtype="float32"), np.add.reduce(X, dtype="float32"))
    same(jnp.add.reduce(x[:0]), np.add.reduce(X[:0]))
    same(jnp.logaddexp.reduce(x[:0]), np.logaddexp.reduce(X[:0]))
    assert jnp.negative(x).shape == (2, 3)


def test_functions_of_the_user() -> None:
    digits = jnp.frompyfunc(lambda a, b: 10 * a + b, 2, 1)
    assert int(digits.reduce(jnp.array([1, 2, 3]))) == 123
    same(digits(jnp.arange(2)[:, None], jnp.arange(3)), np.array([[0, 1, 2], [10, 11, 12]]))
    pair = jnp.frompyfunc(lambda a: (a, -a), 1, 2)
    assert [float(x) for x in pair(2.0)] == [2.0, -2.0]
    given = jnp.ufunc(lambda a, b: a, 2, 1, name="first", reduce=lambda a, **_: a[0], identity=0)
    assert given.__name__ == "first" and given.identity == 0
    assert int(given.reduce(jnp.array([7, 8]))) == 7
    slopes = jitml.grad(lambda x: digits.reduce(x))(jnp.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(slopes, [100.0, 10.0, 1.0])


def test_a_ufunc_documents_itself() -> None:
    assert jnp.add.__doc__.startswith("The sum") and jnp.ufunc.__doc__.startswith("An elementwise")
    assert list(inspect.signature(jnp.add).parameters) == ["x", "y"]
    assert repr(jnp.add) == "<ufunc add>"


def test_mistakes_are_told() -> None:
    x = jnp.asarray(X)
    with pytest.raises(ArgumentError, match=r"subtract.reduce: an empty array has no first"):
        jnp.subtract.reduce(x[:0])
    with pytest.raises(ArgumentError, match=r"subtract.reduce: `where` needs `initial`"):
        jnp.subtract.reduce(x, where=x > 0)
    with pytest.raises(ArgumentError, match=r"power.at: arrays never change"):
        jnp.power.at(x, 0, 2.0)
    with pytest.raises(ArgumentError, match="`out` is not supported"):
        jnp.subtract.reduce(x, out=x)
    with pytest.raises(ArgumentError, match="needs a function of two arguments"):
        jnp.frompyfunc(lambda a: a, 1, 1).reduce(x)
    with pytest.raises(ArgumentError, match="are a vector of integers"):
        jnp.add.reduceat(x, jnp.array([0.5]))
    with pytest.raises(ArgumentError, match="`out` and `where` are not supported"):
        jnp.frompyfunc(lambda a: a, 1, 1)(x, where=x > 0)
