"""Random programs through every pass: equal bits where a pass rewrites, consistent derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jitml.ir.graph import Graph, Var
from jitml.ir.text import format_graph, parse_graph
from jitml.ir.types import ArrayType
from jitml.ir.verify import verify
from jitml.ops import elementwise as e
from jitml.ops import movement as m
from jitml.ops.contraction import dot_general
from jitml.ops.reduction import reduce_max, reduce_prod, reduce_sum
from jitml.trace.core import trace_graph, type_of
from jitml.transforms.batch import batch
from jitml.transforms.cse import cse
from jitml.transforms.dce import dce
from jitml.transforms.execute import interpret
from jitml.transforms.jvp import jvp
from jitml.transforms.linearize import linearize
from jitml.transforms.partial_eval import partial_eval
from jitml.transforms.runner import run_passes
from jitml.transforms.simplify import simplify
from jitml.transforms.transpose import transpose
from jitml_runtime import from_numpy

pytestmark = pytest.mark.usefixtures("by_value")
F64 = np.dtype(np.float64)
SHAPES: tuple[tuple[int, ...], ...] = ((3,), (2, 3), ())
EQNS = 18


def random_program(seed: int) -> Graph:
    """A program of smooth ops over f64 whose values stay near 1."""
    random = np.random.default_rng(seed)

    def program(*inputs: Any) -> list[Any]:
        pool = list(inputs)
        while len(pool) < len(inputs) + EQNS:
            pool.append(_step(random, pool))
        return pool[-3:]

    types = [ArrayType(F64, shape) for shape in SHAPES]
    return verify(trace_graph(program, types, f"random_{seed}").graph)


def _step(random: np.random.Generator, pool: list[Any]) -> Any:
    x = pool[random.integers(len(pool))]
    shape = type_of(x).shape
    like = [y for y in pool if type_of(y).shape in (shape, ())]
    y = like[random.integers(len(like))]
    choices: list[Any] = [
        lambda: e.sin(x), lambda: e.tanh(x), lambda: e.exp(e.neg(e.mul(x, x))),
        lambda: e.sqrt(e.add(e.mul(x, x), 1.0)), lambda: e.neg(e.neg(x)), lambda: e.mul(x, 1.0),
        lambda: e.add(x, y), lambda: e.sub(x, y), lambda: e.mul(x, e.cos(y)),
        lambda: e.div(x, e.add(e.mul(y, y), 2.0)), lambda: e.maximum(x, e.mul(y, 0.7)),
        lambda: e.select(e.gt(x, 0.2), e.mul(x, x), e.sin(x)), lambda: e.stop_gradient(x),
        lambda: e.convert(e.convert(x, F64, True), F64), lambda: e.div(x, 4.0),
    ]  # fmt: skip
    if shape:
        choices += [
            lambda: e.tanh(reduce_sum(x, (len(shape) - 1,))), lambda: reduce_max(x, (0,)),
            lambda: m.reverse(x, (0,)), lambda: reduce_prod(e.add(e.mul(x, 0.1), 1.0), (0,)),
            lambda: m.pad(m.slice_(x, [1] + [0] * (len(shape) - 1), shape), e.full_like(
                pool[2], 0.5), [(1, 0, 0)] + [(0, 0, 0)] * (len(shape) - 1)),
        ]  # fmt: skip
    if len(shape) == 2:
        choices += [
            lambda: m.transpose(m.transpose(x, (1, 0)), (1, 0)),
            lambda: m.reshape(m.reshape(x, (6,)), shape),
            lambda: e.tanh(dot_general(x, pool[0], (((1,), (0,)), ((), ())))),
        ]
    else:
        choices.append(
            lambda: m.broadcast_in_dim(x, (2, 3), {3: (1,), 2: (0,)}[shape[0]] if shape else ())
        )
    return choices[random.integers(len(choices))]()


def arguments(graph: Graph, seed: int) -> list[Any]:
    random = np.random.default_rng(seed + 1000)
    return [from_numpy(random.uniform(-1, 1, v.type.shape)) for v in graph.inputs]


def run(graph: Graph, values: list[Any]) -> list[Any]:
    return [np.asarray(x) for x in interpret(graph, values)]


def inner(xs: list[Any], ys: list[Any]) -> float:
    return float(sum(np.sum(np.asarray(x) * np.asarray(y)) for x, y in zip(xs, ys, strict=True)))


SEEDS = range(25)


@pytest.mark.parametrize("seed", SEEDS)
def test_rewrites_keep_every_bit(seed: int) -> None:
    graph = random_program(seed)
    values = arguments(graph, seed)
    wanted = run(graph, values)
    report = run_passes(graph, [simplify, cse, dce, simplify], dump="")
    assert [s.name for s in report.steps] == ["simplify", "cse", "dce", "simplify"]
    assert len(report.graph.eqns) <= len(graph.eqns)
    for after in (*(s.graph for s in report.steps), parse_graph(format_graph(graph))):
        verify(after)
        for got, want in zip(run(after, values), wanted, strict=True):
            np.testing.assert_array_equal(got, want)
    again = run_passes(report.graph, [cse, dce, simplify], dump="").graph
    assert again == report.graph, "a second round finds nothing more"


@pytest.mark.parametrize("seed", SEEDS)
def test_derivatives_agree_with_each_other_and_with_differences(seed: int) -> None:
    graph = random_program(seed)
    primals, tangents = arguments(graph, seed), arguments(graph, seed + 1)
    pushed = jvp(graph, [True] * 3)
    verify(pushed.graph)
    count = len(graph.outputs)
    results = run(pushed.graph, [*primals, *tangents])
    for got, want in zip(results[:count], run(graph, primals), strict=True):
        np.testing.assert_array_equal(got, want)
    slopes = iter(results[count:])
    forward = [next(slopes) if has else None for has in pushed.has_tangent]

    moved = [np.asarray(x) + 1e-6 * np.asarray(t) for x, t in zip(primals, tangents, strict=True)]
    back = [np.asarray(x) - 1e-6 * np.asarray(t) for x, t in zip(primals, tangents, strict=True)]
    high, low = (run(_smooth(graph), [from_numpy(v) for v in x]) for x in (moved, back))
    smooth = run(jvp(_smooth(graph), [True] * 3).graph, [*primals, *tangents])[count:]
    flags = jvp(_smooth(graph), [True] * 3).has_tangent
    rest = iter(smooth)
    for a, b, has in zip(high, low, flags, strict=True):
        want = next(rest) if has else np.zeros_like(a)
        np.testing.assert_allclose((a - b) / 2e-6, want, rtol=1e-4, atol=1e-7)

    linear = linearize(graph, (True,) * 3)
    verify(linear.graph)
    residuals = _residuals(graph, linear.residuals, primals)
    for got, want in zip(
        run(linear.graph, [*residuals, *tangents]),
        [t for t in forward if t is not None],
        strict=True,
    ):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)

    split = partial_eval(linear.graph, [True] * len(residuals) + [False] * 3)
    assert split.num_residuals <= len(split.known.outputs)
    kept = interpret(verify(split.known), residuals)
    late = run(verify(split.unknown), [*kept, *tangents])
    for got, want in zip(late, [t for t in forward if t is not None], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)

    turned = transpose(split.unknown, [False] * len(kept) + [True] * 3)
    cotangents = [from_numpy(np.cos(t + 1.0)) for t in late]
    pulled = run(verify(turned.graph), [*kept, *cotangents])
    moving = [t for t, has in zip(tangents, turned.has_cotangent, strict=True) if has]
    assert inner(pulled, moving) == pytest.approx(inner(late, cotangents), rel=1e-10, abs=1e-12)


def _smooth(graph: Graph) -> Graph:
    """The graph with stop_gradient, which differences cannot see, taken out."""
    return simplify(graph)


def _residuals(graph: Graph, numbers: tuple[int, ...], primals: list[Any]) -> list[Any]:
    variables = list(graph.variables())
    wanted: tuple[Var, ...] = tuple(variables[n] for n in numbers)
    return list(interpret(Graph(graph.name, graph.inputs, graph.eqns, wanted), primals))


@pytest.mark.parametrize("seed", SEEDS)
def test_batched_programs_equal_a_loop(seed: int) -> None:
    graph = random_program(seed)
    rows = [arguments(graph, seed + k) for k in range(3)]
    axes: list[int | None] = [(0, 1, None)[(seed + k) % 3] for k in range(3)]
    axes = [None if a is None else min(a, len(s)) for a, s in zip(axes, SHAPES, strict=True)]
    if all(a is None for a in axes):
        axes[0] = 0
    stacked = [
        rows[0][k] if a is None else from_numpy(np.stack([np.asarray(r[k]) for r in rows], a))
        for k, a in enumerate(axes)
    ]
    batched = batch(graph, 3, axes)
    results = run(verify(batched.graph), stacked)
    for i, row in enumerate(rows):
        values = [rows[0][k] if a is None else row[k] for k, a in enumerate(axes)]
        for got, axis, want in zip(results, batched.axes, run(graph, values), strict=True):
            element = got if axis is None else np.take(got, i, axis)
            np.testing.assert_allclose(element, want, rtol=1e-13, atol=1e-15)
