"""Ranges hold for every value, decide what they can, and no check is dropped that could fail."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.errors import DivisionByZeroError, OutOfBoundsError
from jitml.ir.graph import Eqn, Graph
from jitml.ir.nested import nested_graphs
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops import elementwise
from jitml.pipeline.passes import PASSES
from jitml.transforms.ranges import _RULES, Range, _meets, _narrowed, _times, limits, ranges
from jitml.transforms.runner import run_passes

I32 = np.dtype(np.int32)
X = np.arange(12, dtype=np.float32)
M = np.arange(30, dtype=np.float32).reshape(6, 5)
OPS = {op.name: op for op in vars(elementwise).values() if isinstance(op, Op)}
SMALL = [Range(low, high) for low, high in itertools.combinations_with_replacement(range(-4, 5), 2)]


@pytest.mark.parametrize("name", sorted(_RULES))
def test_rules_hold_for_all_numbers(name: str) -> None:
    """Every result of small numbers lies in the range; comparisons decide all that they can."""
    op = OPS[name]
    count = {"neg": 1, "abs": 1, "clamp": 3}.get(name, 2)
    ranges_ = SMALL if count < 3 else SMALL[::4]
    for given in itertools.product(ranges_, repeat=count):
        if name in ("div", "rem") and given[1].low <= 0 <= given[1].high:
            continue  # 0 is no divisor
        found = _RULES[name](*given)
        sides = [np.arange(x.low, x.high + 1, dtype=np.int32) for x in given]
        (values,) = op.value(*np.meshgrid(*sides, indexing="ij"))
        if found is None:
            assert name in ("and", "or", "div", "rem")
            continue
        assert found.low <= values.min() and values.max() <= found.high, (given, found)
        if name in ("add", "sub", "mul", "neg", "abs", "max", "min", "clamp"):
            assert (found.low, found.high) == (values.min(), values.max()), (given, found)
        if values.dtype == bool and name not in ("eq", "ne"):
            assert (found.low, found.high) == (values.min(), values.max()), (given, found)


@pytest.mark.parametrize("name", ["and", "or"])
def test_rules_of_bools(name: str) -> None:
    for a, b in itertools.product([Range(0, 0), Range(0, 1), Range(1, 1)], repeat=2):
        values = [OPS[name].value(np.bool_(x), np.bool_(y))[0] for x in {*a} for y in {*b}]
        assert _RULES[name](a, b) == Range(min(values), max(values))


def test_what_is_required() -> None:
    assert [_meets(Range(low, 5), "nonzero") for low in (-1, 0, 1)] == [False, False, True]
    assert _meets(Range(-3, -1), "nonzero") and not _meets(None, "nonzero")
    assert [_meets(Range(low, 5), "natural") for low in (-1, 0)] == [False, True]
    assert [_meets(Range(0, high), "int8") for high in (127, 128)] == [True, False]
    assert _times(Range(-1, 2), 3) == Range(-3, 6) and _times(Range(1, 2), 3) == Range(0, 6)
    assert limits(ArrayType(np.dtype(bool), ())) == Range(0, 1)


def equations(graph: Graph) -> Iterator[Eqn]:
    for eqn in graph.eqns:
        yield eqn
        for inner in nested_graphs(eqn.op):
            yield from equations(inner)


def modes(function: Callable[..., Any], *args: Any) -> set[str]:
    """The modes of all gathers and scatters, and "raise" for numbers that must meet something."""
    graph = run_passes(jitml.make_graph(function)(*args), PASSES).graph
    return {eqn.op.mode for eqn in equations(graph) if hasattr(eqn.op, "mode")}  # type: ignore[attr-defined]


def diagonal(m: Any) -> Any:
    return m[jnp.arange(5), jnp.arange(5)] + m[jnp.arange(1, 6), jnp.arange(5)[::-1]]


def updates(x: Any) -> Any:
    return lax.fori_loop(1, 12, lambda i, c: c.at[i].set(c[i - 1] * 0.5 + x[i]), x)


def backwards(x: Any) -> Any:
    def step(i: Any, y: Any) -> Any:
        return i - 1, y + x[i]

    return lax.scan(step, 11, x)[1]


def walk(x: Any) -> Any:
    """A carry that is no counter: its body bounds it, whatever it was."""

    def step(i: Any, y: Any) -> Any:
        return jnp.clip(i + jnp.int32(y), 0, 11), x[i]

    return lax.scan(step, jnp.int32(3), x)[1]


def ring(x: Any) -> Any:
    i = jnp.arange(12)
    return x[(i + 5) % 12] + x[(i * 7) // 7] + x[jnp.abs(i - 11)]


def positions(x: Any) -> Any:
    return x[jnp.argsort(-x)] + x[jnp.argmax(x)] + x[jnp.argmin(x.reshape(3, 4), axis=1)].sum()


def of_branches(x: Any) -> Any:
    i = lax.cond(x[0] > 0, lambda: jnp.int32(2), lambda: jnp.int32(11))
    return x[i] + lax.switch(jnp.int32(1), [lambda i: x[i], lambda i: x[i - 2]], i)


def bools(x: Any) -> Any:
    return x[(x > 3).astype(int)] + x[jnp.where(x > 5, 1, 11)] + x[jnp.int8(x[0]) & 7]


def compressed(x: Any) -> Any:
    """Places counted by a cumulative sum."""
    kept = x > 3
    return jnp.zeros(13).at[jnp.where(kept, jnp.cumsum(kept), 0)].add(x)


def nested(m: Any) -> Any:
    def row(i: Any, total: Any) -> Any:
        return lax.fori_loop(0, 5, lambda j, t: t + m[i, j], total)

    return lax.fori_loop(0, 6, row, 0.0)


def of_lanes(x: Any) -> Any:
    return jitml.vmap(lambda k: lax.fori_loop(0, 3, lambda i, c: c + x[k + i], 0.0))(jnp.arange(10))


INSIDE: list[tuple[Callable[..., Any], Any]] = [
    (diagonal, M), (updates, X), (backwards, X), (walk, X), (ring, X), (positions, X),
    (of_branches, X), (bools, X), (compressed, X), (nested, M), (of_lanes, X),
]  # fmt: skip


@pytest.mark.parametrize(("function", "given"), INSIDE, ids=lambda x: getattr(x, "__name__", ""))
def test_what_is_always_inside_is_not_checked(function: Callable[..., Any], given: Any) -> None:
    assert modes(function, given) <= {"inside"}
    jitted, plain = jitml.jit(function)(given), function(jnp.asarray(given))
    np.testing.assert_array_equal(jitted, plain)
    gradient = jitml.grad(lambda x: jnp.sum(function(x)))
    np.testing.assert_array_equal(jitml.jit(gradient)(given), gradient(jnp.asarray(given)))


def twelve() -> Any:
    """By a loop, so that a conditional remains one."""
    return lax.fori_loop(0, 12, lambda i, n: n + 1, jnp.int32(0))


def two() -> Any:
    return lax.fori_loop(0, 2, lambda i, n: n + 1, jnp.int32(0))


OUTSIDE: dict[str, tuple[Callable[..., Any], Any]] = {
    "a step too many": (lambda x: lax.fori_loop(1, 13, lambda i, c: c + x[i], 0.0), X),
    "a step too far": (lambda x: lax.fori_loop(0, 5, lambda i, c: c + x[3 * i], 0.0), X),
    "an update too many": (lambda x: lax.fori_loop(0, 12, lambda i, c: c.at[i + 1].set(0), x), X),
    "backwards": (lambda x: lax.scan(lambda i, y: (i - 1, x[i]), 12, x)[1], X),
    "columns": (lambda m: m[jnp.arange(6), jnp.arange(6)], M),
    "one past the end": (lambda x: x[jnp.arange(13)], X),
    "clipped elsewhere": (lambda x: x[jnp.clip(jnp.int32(x * 9), 0, 12)], X),
    "a negative too low": (lambda x: x[jnp.arange(3) - 14], X),
    "wrapped around": (lambda x: x[jnp.uint8(x) - jnp.uint8(1)], X),
    "remainder": (lambda x: x[jnp.arange(30) % 13], X),
    "carried further": (lambda x: lax.scan(lambda i, y: (i * 2, x[i]), 1, x)[1], X),
    "begins elsewhere": (
        lambda x: lax.scan(lambda i, y: (jnp.clip(i, 0, 11), x[i]), jnp.int32(12), x)[1],
        X,
    ),
    "where a loop ends": (
        lambda x: x[lax.scan(lambda i, y: (i + 1, y), jnp.int32(0), x)[0]],
        X,
    ),
    "the first branch": (lambda x: x[lax.cond(x[0] > 0, two, twelve)], X),
    "the second branch": (lambda x: x[lax.cond(x[0] > 0, twelve, two)], X + 1),
    "read from data": (lambda x: x[jnp.int32(x) + 3], X),
    "a number to cancel": (lambda x: x[jnp.cumsum(jnp.ones(13, int)) - 1], X),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_may_lie_outside_is_checked(name: str) -> None:
    function, given = OUTSIDE[name]
    assert "raise" in modes(function, given)
    with pytest.raises(OutOfBoundsError):
        jitml.jit(function)(given)


def test_rows_of_indices_are_no_columns() -> None:
    numbers = lax.GatherDimensionNumbers((), (0,), (0,))

    def function(x: Any) -> Any:
        rows = lax.concatenate([jnp.full((1, 1), 3), jnp.full((1, 1), 11)], 0)
        return lax.gather(x, rows, numbers, (1,), mode="clip")

    assert modes(function, X) == {"inside"}
    np.testing.assert_array_equal(jitml.jit(function)(X), X[[3, 11]])


def test_what_could_not_be_read_counts_as_zero() -> None:
    """Another read may depend on it before the program ends."""
    graph = jitml.make_graph(lambda k: (jnp.arange(5, 9)[k], jnp.arange(4) + 5))(np.int32(0))
    assert _narrowed(graph, [None]).outputs == [Range(0, 8), Range(5, 8)]


def test_negative_indices_count_from_the_end_where_they_may_be_negative() -> None:
    def function(x: Any) -> Any:
        return lax.fori_loop(0, 12, lambda i, c: c.at[i].set(c[i - 1] + x[i]), x)

    expected = X.copy()
    for i in range(12):
        expected[i] = expected[i - 1] + X[i]
    np.testing.assert_array_equal(jitml.jit(function)(X), expected)


def test_divisors_that_cannot_be_zero_are_not_checked() -> None:
    i = np.arange(12, dtype=np.int32)
    assert modes(lambda x: x // (jnp.arange(12) + 1), i) == set()
    assert modes(lambda x: x // jnp.arange(12), i) == {"raise"}
    with pytest.raises(DivisionByZeroError):
        jitml.jit(lambda x: x // jnp.arange(12))(i)


def test_a_counter_that_wraps_around_is_unknown() -> None:
    def function(x: Any) -> Any:
        return lax.scan(lambda i, y: (i + jnp.int8(1), x[i]), jnp.int8(100), None, length=40)[1]

    x = np.arange(128, dtype=np.float32)
    assert "raise" in modes(function, x)
    expected = x[np.arange(100, 140).astype(np.int8)]
    np.testing.assert_array_equal(jitml.jit(function)(x), expected)


@pytest.mark.parametrize("mode", ["clip", "fill", "drop"])
def test_other_modes_are_decided_too(mode: str) -> None:
    def get(x: Any, i: Any) -> Any:
        return x.at[i].get(mode=mode)

    assert modes(lambda x: get(x, jnp.arange(12)), X) == {"inside"}
    assert "inside" not in modes(lambda x: get(x, jnp.arange(13)), X)
    np.testing.assert_array_equal(jitml.jit(get)(X, np.array([0, 11])), X[[0, 11]])


def test_a_graph_without_integers_is_the_same() -> None:
    graph = jitml.make_graph(lambda x: jnp.sin(x) @ x)(X)
    assert ranges(graph) is graph
