"""Every op against its one meaning: all rules of the op in each row of `cases`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cases import Case, all_cases
from oracle import (
    evaluating_by_value,
    is_inexact,
    linear_graph,
    record,
    run,
    run_batch,
    run_jvp,
    run_transpose,
    to_array,
    to_numpy,
)

from jitml.ir.dtypes import FROM_SHORT_NAME, DType, kind
from jitml.ir.dtypes import is_inexact as is_inexact_dtype
from jitml.ir.op import Op
from jitml.ir.text import format_graph, parse_graph
from jitml.ir.verify import verify
from jitml.trace.core import type_of

CASES = all_cases()
STEP = 1e-6
NARROW = {"f": FROM_SHORT_NAME["bf16"], "c": FROM_SHORT_NAME["c64"]}


@pytest.fixture(autouse=True)
def _by_value() -> Iterator[None]:
    with evaluating_by_value(), np.errstate(all="ignore"):
        yield


def active_inputs(case: Case, dtype: DType) -> list[bool]:
    return [is_inexact_dtype(t.dtype) for t in case.types(dtype)]


def differentiable(case: Case) -> list[tuple[DType, list[bool]]]:
    pairs = [(dtype, active_inputs(case, dtype)) for dtype in case.derivative_dtypes()]
    return [pair for pair in pairs if any(pair[1])]


def each(cases: list[Case]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


each_case = each(CASES)
each_differentiable = each([case for case in CASES if differentiable(case)])
each_twice_differentiable = each([c for c in CASES if differentiable(c) and c.second])
each_with_inputs = each([case for case in CASES if case.inputs])


@each_case
def test_infer_agrees_with_value(case: Case) -> None:
    """In every dtype; `run` compares the results of every equation with what `infer` says."""
    for dtype in case.dtypes():
        graph = verify(record(case.apply, case.types(dtype)))
        outputs = run(graph, list(map(to_array, case.samples(dtype))))
        for output, atom in zip(outputs, graph.outputs, strict=True):
            assert (type_of(output).dtype, type_of(output).shape) == (
                atom.type.dtype,
                atom.type.shape,
            )


@each_case
def test_text_round_trips(case: Case) -> None:
    graph = record(case.apply, case.types(case.dtypes()[-1]))
    parsed = parse_graph(str(graph))
    assert parsed == graph
    assert format_graph(parsed, sources=False) == format_graph(graph, sources=False)


def directions(case: Case, dtype: DType, seed: int) -> list[Any]:
    """A random tangent for each active input, None for the others."""
    random = np.random.default_rng(seed)

    def one(type_: Any) -> Any:
        numbers = random.normal(size=type_.shape)
        if type_.dtype.kind == "c":
            numbers = numbers + 1j * random.normal(size=type_.shape)
        return numbers.astype(type_.dtype)

    active = active_inputs(case, dtype)
    return [one(t) if on else None for t, on in zip(case.types(dtype), active, strict=True)]


def moved(xs: list[Any], ts: list[Any], step: float) -> list[Any]:
    return [to_array(x if t is None else x + step * t) for x, t in zip(xs, ts, strict=True)]


def arrays(xs: list[Any]) -> list[Any]:
    return [None if x is None else to_array(x) for x in xs]


def dense(outputs: list[Any], slopes: list[Any]) -> list[Any]:
    """Tangents as NumPy arrays, of the outputs that can have one."""
    pairs = [(y, t) for y, t in zip(outputs, slopes, strict=True) if is_inexact(y)]
    return [np.zeros_like(to_numpy(y)) if t is None else to_numpy(t) for y, t in pairs]


@each_differentiable
def test_jvp_agrees_with_differences(case: Case) -> None:
    for dtype, _ in differentiable(case):
        graph = record(case.apply, case.types(dtype))
        xs, ts = case.samples(dtype), directions(case, dtype, 1)
        outputs, slopes = run_jvp(graph, arrays(xs), arrays(ts))
        above, below = (run(graph, moved(xs, ts, step)) for step in (STEP, -STEP))
        compare(dense(outputs, slopes), differences(above, below), case.tolerance)


def differences(above: list[Any], below: list[Any]) -> list[Any]:
    """Difference quotients of the inexact outputs; 0 where an output stays, even at NaN."""
    pairs = [(to_numpy(a), to_numpy(b)) for a, b in zip(above, below, strict=True) if is_inexact(a)]
    stays = [(a == b) | (np.isnan(a) & np.isnan(b)) for a, b in pairs]
    return [
        np.where(still, 0, (a - b) / (2 * STEP)) for (a, b), still in zip(pairs, stays, strict=True)
    ]


def compare(found: list[Any], expected: list[Any], tolerance: float) -> None:
    for a, b in zip(found, expected, strict=True):
        scale = max(1.0, float(np.max(np.abs(b), initial=0)))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


@each_twice_differentiable
def test_second_derivative_agrees_with_differences(case: Case) -> None:
    for dtype, active in differentiable(case):
        xs, ts = case.samples(dtype), directions(case, dtype, 1)
        us = directions(case, dtype, 2)
        graph = record(case.apply, case.types(dtype))

        def slope(*inputs: Any, graph: Any = graph, active: Any = active) -> list[Any]:
            primals, given = inputs[: len(active)], iter(inputs[len(active) :])
            tangents = [next(given) if on else None for on in active]
            outputs, slopes = run_jvp(graph, primals, tangents)
            return [t for y, t in zip(outputs, slopes, strict=True) if t is not None]

        fixed = [t for t in ts if t is not None]
        types = [type_of(to_array(x)) for x in [*xs, *fixed]]
        first = record(slope, types)
        still = [None] * len(fixed)
        outputs, slopes = run_jvp(first, arrays([*xs, *fixed]), arrays([*us, *still]))
        above, below = (
            run(first, [*moved(xs, us, step), *arrays(fixed)]) for step in (STEP, -STEP)
        )
        compare(dense(outputs, slopes), differences(above, below), case.tolerance * 10)


@each_differentiable
def test_transpose_is_the_adjoint(case: Case) -> None:
    """⟨J u, v⟩ = ⟨u, Jᵀ v⟩, with ⟨a, b⟩ = Re Σ a · b."""
    for dtype, active in differentiable(case):
        graph = record(case.apply, case.types(dtype))
        xs, us = case.samples(dtype), directions(case, dtype, 3)
        traced = linear_graph(graph, arrays(xs), active)
        given = [u for u in us if u is not None]
        outputs = run(traced.graph, [*arrays(given), *traced.captures])
        random = np.random.default_rng(4)
        cts = [as_direction(y, random) for y in outputs]
        backs = run_transpose(traced, len(given), arrays(cts))
        left = sum(dot(to_numpy(y), ct) for y, ct in zip(outputs, cts, strict=True))
        right = sum(dot(u, to_numpy(b)) for u, b in zip(given, backs, strict=True) if b is not None)
        assert left == pytest.approx(right, rel=1e-9, abs=1e-9)


def as_direction(output: Any, random: np.random.Generator) -> Any:
    type_ = type_of(output)
    numbers = random.normal(size=type_.shape)
    imaginary = 1j * random.normal(size=type_.shape) if type_.dtype.kind == "c" else 0
    return np.asarray(numbers + imaginary).astype(type_.dtype)


def dot(a: Any, b: Any) -> float:
    return float(np.sum(np.asarray(a) * b).real)


@each_differentiable
def test_tangents_have_their_primals_dtype(case: Case) -> None:
    """In the narrow dtypes that it takes; `run_jvp` and `run_transpose` compare."""
    narrow = {NARROW.get(kind(dtype), dtype) for dtype in case.dtypes()}
    for dtype in narrow.intersection(case.dtypes()) or case.dtypes():
        if not any(active_inputs(case, dtype)):
            continue
        graph = record(case.apply, case.types(dtype))
        xs, ts = case.samples(dtype), directions(case, dtype, 5)
        outputs, _ = run_jvp(graph, arrays(xs), arrays(ts))
        active = active_inputs(case, dtype)
        traced = linear_graph(graph, arrays(xs), active)
        cts = [to_array(np.ones(t.shape, t.dtype)) for t in traced.graph.output_types]
        assert len(run_transpose(traced, sum(active), cts)) == sum(active)
        assert len(outputs) == len(graph.outputs)


@each_with_inputs
def test_batch_is_a_loop(case: Case) -> None:
    """For every choice of batched inputs, with the batch axis first and last."""
    size = 2
    dtype = case.dtypes()[-1]
    graph = record(case.apply, case.types(dtype))
    samples = [case.samples(dtype, seed) for seed in range(size)]
    choices = list(itertools.product((False, True), repeat=len(case.inputs)))
    for chosen, last in itertools.product(choices[1:][-7:], (False, True)):
        axes = [x.ndim * last if on else None for x, on in zip(samples[0], chosen, strict=True)]
        inputs = [
            samples[0][k] if axis is None else np.stack([s[k] for s in samples], axis)
            for k, axis in enumerate(axes)
        ]
        outputs, out_axes = run_batch(graph, size, arrays(inputs), axes)
        for lane in range(size):
            own = [
                samples[0][k] if axis is None else samples[lane][k] for k, axis in enumerate(axes)
            ]
            expected = run(graph, arrays(own))
            for out, axis, want in zip(outputs, out_axes, expected, strict=True):
                found = to_numpy(out) if axis is None else np.take(to_numpy(out), lane, axis)
                compare_lane(found, to_numpy(want))


def compare_lane(found: Any, expected: Any) -> None:
    assert found.dtype == expected.dtype
    if is_inexact_dtype(found.dtype):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    else:
        np.testing.assert_array_equal(found, expected)


def test_every_op_has_a_row() -> None:
    ends = [(case, dtype) for case in CASES for dtype in {case.dtypes()[0], case.dtypes()[-1]}]
    graphs = [record(case.apply, case.types(dtype)) for case, dtype in ends]
    present = {eqn.op.name for graph in graphs for eqn in graph.eqns}
    ops = {
        name
        for name, op in Op.registry.items()
        if (op if isinstance(op, type) else type(op)).__module__.startswith("jitml.ops.")
    }
    # Those with graphs inside have programs of their own: ops/test_control.py,
    # test_custom_derivatives.py, test_checkpoint.py.
    # Attention: nn/test_attention.py.
    calls = {
        "attention", "checkpoint", "custom_call", "custom_pullback", "custom_tangents",
        "linear_checkpoint",
    }  # fmt: skip
    loops = {"cond", "lanes", "scan", "while", "while_tangents"}
    # Those that vmap takes away: lax/test_collectives.py.
    collectives = {"all_gather", "all_reduce", "all_to_all", "axis_index", "ppermute"}
    # Functions of Python: test_effects.py, test_ffi.py, test_checkify.py, test_inspect.py.
    foreign = {
        "check", "debug_callback", "io_callback", "native_call", "observe", "pure_callback",
    }  # fmt: skip
    libraries = {"library_call"}  # numpy/test_linalg.py
    switched = {"key_use"}  # test_key_reuse.py
    assert ops - present - loops - calls - collectives - foreign - libraries - switched == set()
