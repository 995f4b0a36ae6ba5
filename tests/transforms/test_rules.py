"""Every rewrite rule against the values of both sides: special numbers and random ones, bit for
bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jitml.ir.dtypes import BOOL, FROM_SHORT_NAME, DType, is_complex, kind
from jitml.ir.graph import Graph
from jitml.ir.types import ArrayType
from jitml.ir.verify import verify
from jitml.ops.elementwise import add, mul, neg
from jitml.trace.core import trace_graph
from jitml.transforms.execute import interpret
from jitml.transforms.rewrite import Rule, pair
from jitml.transforms.rules import EXACT_RULES, OVER_PARAMETERS, PAIRS
from jitml.transforms.simplify import simplify
from jitml_runtime import from_numpy

pytestmark = pytest.mark.usefixtures("by_value")


def special_numbers(dtype: DType) -> Any:
    """Numbers at which arithmetic has corners, and random ones."""
    random = np.random.default_rng(7)
    if dtype == BOOL:
        return np.array([False, True])
    if kind(dtype) in "iu":
        limits = np.iinfo(dtype)
        numbers = [limits.min, limits.max, 0, 1, 2, limits.max // 3]
        return np.array([*numbers, *([-1, -7] if limits.min else [])], dtype)
    if is_complex(dtype):
        parts = special_numbers(np.dtype(np.float32))[::2]
        return np.array([complex(a, b) for a in parts for b in parts[:5]], dtype)
    tiny, huge = 2.0**-24, 65504.0
    numbers = [0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, tiny, -tiny, huge, 1 / 3]
    with np.errstate(over="ignore"):
        return np.array([*numbers, *random.standard_normal(4) * 100]).astype(dtype)


def grid(types: tuple[ArrayType, ...]) -> list[Any]:
    """All combinations of special numbers, one flat array per input."""
    columns = [special_numbers(t.dtype) for t in types]
    rows = list(itertools.islice(itertools.product(*map(range, map(len, columns))), 0, 4000))
    picks = np.array(rows).T
    return [from_numpy(c[p]) for c, p in zip(columns, picks, strict=True)]


def scattered(types: tuple[ArrayType, ...], seed: int) -> list[Any]:
    """Random choices of special numbers in the shapes of `types`."""
    random = np.random.default_rng(seed)
    return [from_numpy(random.choice(special_numbers(t.dtype), t.shape)) for t in types]


def assert_same_bits(a: Any, b: Any) -> None:
    """Equal dtype, shape and bits; NaNs are equal whatever their bits."""
    a, b = np.asarray(a), np.asarray(b)
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    parts = [(a.real, b.real), (a.imag, b.imag)] if a.dtype.kind == "c" else [(a, b)]
    for x, y in parts:
        if x.dtype.kind in "fV":
            both = np.isnan(x) & np.isnan(y)
            x, y = np.where(both, x.dtype.type(0), x), np.where(both, y.dtype.type(0), y)
        assert np.ascontiguousarray(x).tobytes() == np.ascontiguousarray(y).tobytes()


def traced(function: Callable[..., Any], types: tuple[ArrayType, ...]) -> Graph:
    return trace_graph(lambda *xs: [function(*xs)], types).graph


def check(rule: Rule, graph: Graph, arguments: list[Any]) -> None:
    for rules in ([rule], EXACT_RULES):
        after = verify(simplify(graph, rules))
        assert after != graph, f"{rule.name} did not apply to\n{graph}"
        (before,), (found,) = interpret(graph, arguments), interpret(after, arguments)
        if not graph.eqns or not hasattr(found, "dtype"):
            found = np.asarray(found.value).astype(found.type.dtype)
        assert_same_bits(before, found)


def _pair_cases() -> list[Any]:
    cases = []
    for rule in PAIRS:
        for types, function in rule.examples:
            letter = kind(types[-1].dtype)
            for name, dtype in FROM_SHORT_NAME.items():
                widened = (
                    "complex" in rule.name and dtype.itemsize == 2
                )  # the parts of a c64 are f32
                if kind(dtype) == letter and not widened:
                    cases.append(
                        pytest.param(rule, types, function, dtype, id=f"{rule.name}-{name}")
                    )
    return cases


@pytest.mark.parametrize(("rule", "types", "function", "dtype"), _pair_cases())
def test_pairs(rule: Rule, types: Any, function: Any, dtype: DType) -> None:
    model = types[-1].dtype
    exact = tuple(t.with_dtype(dtype) if t.dtype == model else t for t in types)
    arguments = grid(exact)
    shaped = tuple(t.with_shape(x.shape) for t, x in zip(exact, arguments, strict=True))
    check(rule, traced(function, shaped), arguments)


@pytest.mark.parametrize("rule", OVER_PARAMETERS, ids=lambda r: r.name)
def test_rules_over_parameters(rule: Rule) -> None:
    for types, function in rule.examples:
        for seed in range(20):
            check(rule, traced(function, types), scattered(types, seed))


def test_names_are_unique() -> None:
    assert len({rule.name for rule in EXACT_RULES}) == len(EXACT_RULES)


@pytest.mark.parametrize(
    "wrong",
    [
        pair("add_zero", lambda x: (add(x, 0.0), x), "f"),
        pair("mul_zero", lambda x: (mul(x, 0.0), 0.0), "f"),
        pair("factor", lambda x, y, z: (add(mul(x, z), mul(y, z)), mul(add(x, y), z)), "f"),
        pair("sign", lambda x: (neg(neg(x)), neg(x)), "f"),
    ],
    ids=lambda r: r.name,
)
def test_a_rule_that_changes_bits_is_caught(wrong: Rule) -> None:
    (types, function) = wrong.examples[0]
    arguments = grid(types)
    shaped = tuple(t.with_shape(x.shape) for t, x in zip(types, arguments, strict=True))
    graph = traced(function, shaped)
    (before,) = interpret(graph, arguments)
    (after,) = interpret(simplify(graph, [wrong]), arguments)
    with pytest.raises(AssertionError):
        assert_same_bits(before, after)


def test_simplify_is_linear_in_the_size_of_the_graph() -> None:
    """Each equation is looked at a fixed number of times, however long the chain."""
    looked = []

    def counting(match: Any) -> None:
        looked.append(match)

    rule = Rule("counting", ("neg",), counting, ())
    for length in (50, 200):
        looked.clear()

        def chain(x: Any, length: int = length) -> list[Any]:
            for _ in range(length):
                x = neg(x)
            return [x]

        simplify(trace_graph(chain, [ArrayType(np.dtype("f4"), (2,))]).graph, [rule])
        assert len(looked) == length
