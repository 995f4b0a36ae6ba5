"""Operators on arrays at hand give what the functions behind them give: value, dtype, weakness."""

from __future__ import annotations

import inspect
import operator
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import ShapeError
from jitml.pipeline.compile import STATISTICS
from jitml_runtime import Array, Operation, data_pointer

OPERATORS = [
    (operator.add, jnp.add),
    (operator.sub, jnp.subtract),
    (operator.truediv, jnp.divide),
    (operator.floordiv, jnp.floor_divide),
    (operator.mod, jnp.remainder),
    (operator.ne, jnp.not_equal),
    (operator.pow, jnp.power),
]
ARRAYS = [
    jnp.asarray(np.array([1, 2, 3], dtype))
    for dtype in ("bool", "uint8", "int64", "float16", "float32", "complex64")
] + [jnp.asarray(2), jnp.asarray(2.0), jnp.ones((2, 1), jnp.bfloat16)]
NUMBERS = [0, 3, -0.0, 0.0, 2.5, True, 1j, 300]


def outcome(function: Any, x: Any, y: Any) -> Any:
    try:
        result = function(x, y)
    except (TypeError, OverflowError, ZeroDivisionError) as error:
        return type(error)
    return (result.dtype, result.shape, result.weak_type, np.asarray(result).tobytes())


@pytest.mark.parametrize("wide", [False, True])
def test_the_short_cut_changes_nothing(wide: bool) -> None:
    with jitml.enable_x64(wide):
        for apply, function in OPERATORS:
            for x in ARRAYS:
                for y in (*NUMBERS, ARRAYS[2], ARRAYS[6], ARRAYS[7]):
                    plain = outcome(function.__wrapped__, x, y)
                    for _ in range(2):
                        assert outcome(apply, x, y) == plain, (apply, x, y)
                        assert outcome(function, x, y) == plain, (function, x, y)


def operations() -> dict[str, Any]:
    """All functions that run as one kernel on arrays at hand."""
    found = {}
    for module in (jnp, jitml.lax, jitml.nn):
        for name, value in vars(module).items():
            if type(value) is Operation:
                found[f"{module.__name__}.{name}"] = value
    return found


def arity(function: Any) -> int:
    kinds = inspect.signature(function).parameters.values()
    return sum(p.default is p.empty and p.kind != p.KEYWORD_ONLY for p in kinds)


def described(x: Any) -> Any:
    if not isinstance(x, Array):
        return repr(x)
    return (x.dtype, x.shape, x.weak_type, np.asarray(x).tobytes())


@pytest.mark.parametrize("name", operations())
def test_functions_of_arrays_at_hand_are_what_they_were(name: str) -> None:
    function = operations()[name]
    count = max(1, arity(function))
    for first in (ARRAYS[2], ARRAYS[4], ARRAYS[6], ARRAYS[7], 2, 2.5, np.float32(0.5)):
        for rest in ([first] * (count - 1), [3] * (count - 1), [0.75] * (count - 1)):
            plain, found = [], []
            for results, called in ((plain, function.__wrapped__), (found, function)):
                for _ in range(2):
                    try:
                        results.append(described(called(first, *rest)))
                    except (TypeError, ValueError, OverflowError) as error:
                        results.append((type(error), str(error).split("\n")[0]))
            assert found == plain, (first, rest)


def test_options_are_heard() -> None:
    x = jnp.arange(4.0)
    assert jnp.clip(x, min=1.0, max=2.0).tolist() == jnp.clip(x, 1.0, 2.0).tolist() == [1, 1, 2, 2]
    assert jnp.clip(x, None, 2).tolist() == [0, 1, 2, 2]
    assert [a.tolist() for a in jnp.where(x > 1)] == [[2, 3]]
    assert [a.tolist() for a in jnp.where(x > 2)] == [[3]]
    assert jnp.dot(x, x, preferred_element_type="float64").dtype == np.float64
    with pytest.raises(ShapeError, match=r"test_eager.py:\d+ in test_options_are_heard"):
        jnp.add(x, jnp.ones(3))


def test_another_number_needs_no_other_kernel() -> None:
    x = jnp.arange(5.0)
    x + 1.0, jnp.add(x, 1.0), jnp.power(x, 1.5)
    before = STATISTICS.kernels
    for number in range(20):
        x + (number + 0.25), number * x, jnp.add(x, number + 0.5), jnp.power(x, number + 0.125)
    assert STATISTICS.kernels - before <= 1  # that of the product


# ---- indices -----------------------------------------------------------------------------------

INDICES: list[Any] = [
    0, -1, (1, 2), (1, -2, 3), slice(1, 3), slice(None, None, -1), slice(3, 0, -2), slice(5, 2),
    (slice(None), 1), (Ellipsis, 2), (1, Ellipsis, slice(0, 2)), None, (None, 1, None), (),
    (slice(0, 1), slice(None), slice(1, None, 2)), (slice(-100, 100), slice(2, -1)), Ellipsis,
    (0, None, 1, 2),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["bool", "int16", "float32", "complex64", "complex128"])
def test_basic_indices_read_and_write_as_numpy_does(dtype: str) -> None:
    for shape in ((3, 4, 5), (3, 4, 0)):
        source = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
        x = jnp.asarray(source)
        for index in INDICES:
            if 0 in shape and index in [(1, -2, 3), (0, None, 1, 2), (Ellipsis, 2)]:
                continue
            found = x[index]
            assert found.dtype == source.dtype and found.weak_type is False
            assert np.array_equal(found, source[index]) and found.shape == source[index].shape
            expected = source.copy()
            expected[index] = source[index] + source[index]
            assert np.array_equal(x.at[index].set(found + found), expected), index
            assert np.array_equal(x, source), "the array itself stays"


@pytest.mark.filterwarnings("ignore:at. values of dtype:FutureWarning")
def test_numbers_are_written_as_they_are_read() -> None:
    for x in ARRAYS[1:]:
        for number in (1, 2.5, -3, 300, 1j, True):
            plain = outcome(lambda x, n: x.at[...].set(n, mode="clip"), x, number)
            assert outcome(lambda x, n: x.at[...].set(n), x, number) == plain
    x = jnp.zeros((3, 4))
    assert np.array_equal(x.at[1].set(jnp.arange(4.0))[1], np.arange(4))
    assert np.array_equal(x.at[:, 1:3].set(jnp.arange(3.0)[:, None])[:, 2], np.arange(3))
    assert x.at[0, 0].set(1).dtype == x.dtype
    weak = jnp.asarray(2.0)
    assert weak[()].weak_type == weak.weak_type == weak.at[()].set(1.0).weak_type


def test_other_indices_are_refused_as_before() -> None:
    x = jnp.arange(6.0).reshape(2, 3)
    for index in (2, -3, (0, 3), (0, 0, 0), (Ellipsis, Ellipsis), slice(None, None, 0), 2**70):
        with pytest.raises((IndexError, OverflowError), match=r"."):
            x[index]
        with pytest.raises((IndexError, OverflowError), match=r"."):
            x.at[index].set(1.0)
    with pytest.raises(ValueError, match="broadcast"):
        x.at[0].set(jnp.ones(2))
    x.delete()
    with pytest.raises(RuntimeError, match="delete"):
        x[0]


def test_no_index_is_compiled() -> None:
    x = jnp.arange(100.0)
    before = STATISTICS.kernels
    for k in range(50):
        x[k], x[k:], x.at[k].set(2.0)
    assert STATISTICS.kernels == before


# ---- functions ---------------------------------------------------------------------------------


def test_reductions_are_what_they_were() -> None:
    x = jnp.asarray(np.linspace(-2, 3, 24, dtype=np.float32).reshape(4, 6))
    for function in (jnp.sum, jnp.prod, jnp.max, jnp.min, jnp.mean, jnp.var, jnp.argmax, jnp.any):
        plain = function.__wrapped__
        for options in ({}, {"axis": 0}, {"axis": 1, "keepdims": True}, {"axis": -1}):
            expected = plain(x, **options)
            for _ in range(3):
                found = function(x, **options)
                assert np.array_equal(found, expected) and found.dtype == expected.dtype
        with pytest.raises(ValueError, match="axis"):
            function(x, axis=5)
    assert float(jnp.sum(x, where=x > 0)) == float(jnp.sum(jnp.where(x > 0, x, 0)))
    assert jnp.sum(x, dtype=jnp.float64).dtype == np.float64
    assert jnp.sum(np.arange(3)).dtype == jnp.sum(jnp.asarray(np.arange(3))).dtype
    assert int(jnp.sum(jnp.asarray([True, True]))) == 2
    with jitml.enable_x64():
        assert jnp.sum(jnp.ones(3, jnp.int8)).dtype == np.int64
    assert jnp.sum(jnp.ones(3, jnp.int8)).dtype == np.int32


def test_clearing_the_caches_keeps_results() -> None:
    x = jnp.arange(4.0)
    before = [np.asarray(v) for v in (x + x, -x, x.sum(), 2 - x)]
    jitml.clear_caches()
    assert all(map(np.array_equal, before, (x + x, -x, x.sum(), 2 - x)))


def test_operators_inside_a_trace_are_recorded() -> None:
    x = jnp.arange(4.0)
    x + x, -x, x.sum(), x[1]
    graph = jitml.make_graph(lambda y: (x + x, -x, x.sum(), x[1]))(1.0)
    assert len(graph.eqns) >= 4


def test_other_shapes_share_memory() -> None:
    x = jnp.arange(3000.0)
    matrix = x.reshape(30, -1)
    shared = [matrix, x[None].squeeze(), jnp.expand_dims(x, 1), jnp.ravel(matrix)]
    jitted = jitml.jit(lambda x: (x.reshape(3, 1000), x + 1, x[:, None]))(x)
    shared += [jitted[0], jitted[2], jitml.vmap(lambda y: y.reshape(10, 10))(matrix)]
    for y in shared[:1] + shared[2:]:
        assert data_pointer(y) == data_pointer(x)
        assert np.array_equal(np.asarray(y).ravel(), np.arange(3000.0))
    x.delete()
    assert float(matrix[29, 99]) == 2999
    given = jnp.arange(3000.0)
    kept, other = jitml.jit(lambda x: (x.reshape(30, 100), x * 2), donate_argnums=0)(given)
    assert given.is_deleted()
    assert float(kept[29, 99]) == 2999 and float(other[2999]) == 5998


def test_shapes_at_hand_are_looked_up() -> None:
    """Functions of shapes do again what they did, for a list as for a tuple, and tell mistakes."""
    x = jnp.arange(12.0)
    for _ in range(3):
        assert x.reshape(4, 3).shape == x.reshape((4, 3)).shape == x.reshape([4, 3]).shape == (4, 3)
        assert jnp.swapaxes(x.reshape(4, 3), 0, -1).tolist() == x.reshape(4, 3).T.tolist()
        assert jnp.moveaxis(x.reshape(2, 2, 3), (0, 1), (1, 2)).shape == (3, 2, 2)
        assert jnp.broadcast_to(x, (2, 12)).shape == jnp.expand_dims(x, 0).repeat(2, 0).shape
        with pytest.raises(ShapeError, match="reshape"):
            x.reshape(5, 3)
