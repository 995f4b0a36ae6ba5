"""Gather and scatter: random dimension numbers against JAX, duplicates, faults, errors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from cases_indexing import FORMS, Form
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import (
    evaluating_by_value,
    linear_graph,
    record,
    run,
    run_batch,
    run_jvp,
    run_transpose,
    to_array,
    to_numpy,
)

from jitml.ir.dtypes import FROM_SHORT_NAME
from jitml.ir.errors import (
    ArgumentError,
    AxisError,
    DTypeError,
    JitmlError,
    OutOfBoundsError,
    ShapeError,
    TransformError,
)
from jitml.ir.types import parse_type
from jitml.ops.indexing import Gather, GatherDimensionNumbers, gather
from jitml.ops.scatter import Scatter, ScatterDimensionNumbers, scatter
from jitml.trace.core import type_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    jax = pytest.importorskip("jax")
    lax = pytest.importorskip("jax.lax")

JAX_SCATTER = {
    "set": lax.scatter, "add": lax.scatter_add, "mul": lax.scatter_mul,
    "min": lax.scatter_min, "max": lax.scatter_max,
}  # fmt: skip
JAX_MODES = {
    "clip": "clip", "fill": "fill", "drop": "fill", "promise_in_bounds": "promise_in_bounds",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _by_value() -> Iterator[None]:
    with evaluating_by_value():
        yield


@st.composite
def forms(draw: Any) -> Form:
    """Random dimension numbers with an operand and indices that fit."""
    ndim = draw(st.integers(1, 4))
    operand = tuple(draw(st.lists(st.integers(1, 4), min_size=ndim, max_size=ndim)))
    roles = draw(st.lists(st.sampled_from("cwb"), min_size=ndim, max_size=ndim))
    collapsed, batching = (tuple(a for a in range(ndim) if roles[a] == r) for r in "cb")
    movable = [a for a in range(ndim) if a not in batching]
    moving = tuple(draw(st.permutations(movable))[: draw(st.integers(0, len(movable)))])
    rows = [operand[a] for a in batching] + draw(st.lists(st.integers(1, 3), max_size=2))
    order = draw(st.permutations(range(len(rows))))
    along = tuple(order.index(k) for k in range(len(batching)))
    rows = [rows[k] for k in order]
    sizes = [1 if roles[a] != "w" else draw(st.integers(1, operand[a])) for a in range(ndim)]
    windows = [sizes[a] for a in range(ndim) if roles[a] == "w"]
    rank = len(rows) + len(windows)
    offsets = tuple(sorted(draw(st.permutations(range(rank)))[: len(windows)]))
    outside, inside = iter(rows), iter(windows)
    result = tuple(next(inside if a in offsets else outside) for a in range(rank))
    numbers = GatherDimensionNumbers(offsets, collapsed, moving, batching, along)
    return Form(operand, (*rows, len(moving)), numbers, tuple(sizes), result)


def numbers_of(form: Form, seed: int) -> tuple[Any, Any, Any]:
    """Operand, indices (some out of bounds) and updates."""
    random = np.random.default_rng(seed)
    indices = random.integers(-1, 4, form.indices).astype(np.int32)
    x = random.permutation(int(np.prod(form.operand))).reshape(form.operand)
    updates = random.permutation(int(np.prod(form.result))).reshape(form.result) - 2
    return x.astype(np.float32) / 4, indices, updates.astype(np.float32) / 4 + 0.1


def evaluate(function: Callable[..., Any], *inputs: Any) -> Any:
    arrays = list(map(to_array, inputs))
    (out,) = run(record(function, list(map(type_of, arrays))), arrays)
    return to_numpy(out)


@settings(max_examples=25, deadline=None)
@given(forms(), st.integers(0, 99), st.sampled_from(["clip", "fill"]))
def test_gather_means_what_jax_means(form: Form, seed: int, mode: str) -> None:
    x, indices, _ = numbers_of(form, seed)
    found = evaluate(lambda x, i: gather(x, i, form.numbers, form.sizes, mode), x, indices)
    numbers = lax.GatherDimensionNumbers(**form.numbers._asdict())
    expected = lax.gather(x, indices, numbers, form.sizes, mode=JAX_MODES[mode])
    np.testing.assert_array_equal(found, np.asarray(expected))


@settings(max_examples=25, deadline=None)
@given(
    forms(),
    st.integers(0, 99),
    st.sampled_from(["clip", "drop"]),
    st.sampled_from(sorted(JAX_SCATTER)),
)
def test_scatter_means_what_jax_means(form: Form, seed: int, mode: str, kind: str) -> None:
    # Of several updates without any index, all for one place, XLA applies but one.
    assume(form.numbers.start_index_map or form.numbers.operand_batching_dims)
    x, indices, updates = numbers_of(form, seed)
    numbers = ScatterDimensionNumbers(*form.numbers)
    found = evaluate(lambda *xs: scatter(*xs, numbers, kind, mode), x, indices, updates)
    theirs = lax.ScatterDimensionNumbers(**numbers._asdict())
    expected = JAX_SCATTER[kind](x, indices, updates, theirs, mode=JAX_MODES[mode])
    np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-5, atol=1e-6)


@settings(max_examples=6, deadline=None)
@given(forms(), st.integers(0, 99), st.sampled_from(["set", "add", "min", "max"]))
def test_gradients_of_scatter_are_those_of_jax(form: Form, seed: int, kind: str) -> None:
    """With duplicates and updates that are dropped."""
    assume(form.numbers.start_index_map or form.numbers.operand_batching_dims)  # as above
    x, indices, updates = numbers_of(form, seed)
    numbers = ScatterDimensionNumbers(*form.numbers)
    arrays = list(map(to_array, (x, indices, updates)))
    graph = record(lambda *xs: scatter(*xs, numbers, kind, "drop"), list(map(type_of, arrays)))
    traced = linear_graph(graph, arrays, [True, False, True])
    ct = np.random.default_rng(seed).normal(size=form.operand).astype(np.float32)
    found = run_transpose(traced, 2, [to_array(ct)])
    theirs = lax.ScatterDimensionNumbers(**numbers._asdict())

    def function(x: Any, updates: Any) -> Any:
        return JAX_SCATTER[kind](x, indices, updates, theirs, mode="fill")

    expected = jax.vjp(function, x, updates)[1](ct)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(to_numpy(a), np.asarray(b), rtol=1e-5, atol=1e-6)


# ---- derivatives ---------------------------------------------------------------------------------


_ROWS = ScatterDimensionNumbers((), (0,), (0,))


def slopes(kind: str, x: Any, indices: Any, updates: Any) -> list[Any]:
    """The gradient of the sum of a scatter of scalars, weighted 1, 2, 3, …"""
    arrays = [to_array(np.asarray(v, d)) for v, d in ((x, "f8"), (indices, "i4"), (updates, "f8"))]
    graph = record(lambda *xs: scatter(*xs, _ROWS, kind), list(map(type_of, arrays)))
    traced = linear_graph(graph, arrays, [True, False, True])
    weights = np.arange(1.0, len(x) + 1)
    return [to_numpy(ct).tolist() for ct in run_transpose(traced, 2, [to_array(weights)])]


def test_last_of_duplicates_set_has_all_the_slope() -> None:
    assert slopes("set", [7, 8, 9], [[1], [1], [0]], [1, 2, 3]) == [[0, 0, 3], [0, 2, 1]]


def test_ties_of_extremes_share_the_slope() -> None:
    """The old element takes part; an element that no update reaches keeps its own."""
    found = slopes("max", [5, 2, 9], [[0], [0], [1], [1]], [5, 1, 4, 4])
    assert found == [[0.5, 0, 3], [0.5, 0, 1, 1]]


def test_nan_keeps_the_slope_of_who_brought_it() -> None:
    found = slopes("max", [float("nan"), 2, 9], [[1], [2]], [float("nan"), 1])
    assert found == [[1, 0, 3], [2, 0]]


def test_product_of_updates_needs_unique_indices() -> None:
    arrays = [to_array(np.ones(3)), to_array(np.zeros((2, 1), "i4")), to_array(np.ones(2))]
    graph = record(lambda *xs: scatter(*xs, _ROWS, "mul"), list(map(type_of, arrays)))
    with pytest.raises(TransformError, match="unique"):
        run_jvp(graph, arrays, [None, None, arrays[2]])


@pytest.mark.parametrize("size", [0, 1, 3])
def test_batches_of_any_size(size: int) -> None:
    form = FORMS["along"]
    shapes = [(size, *form.operand), (size, *form.indices)]
    inputs = [to_array(np.zeros(shapes[0], "f4")), to_array(np.zeros(shapes[1], "i4"))]
    types = [parse_type("f32[2,4]"), parse_type("i32[2,3,1]")]
    graph = record(lambda x, i: gather(x, i, form.numbers, form.sizes), types)
    outputs, axes = run_batch(graph, size, inputs, [0, 0])
    assert (to_numpy(outputs[0]).shape, axes) == ((size, *form.result), [0])


# ---- faults and errors ---------------------------------------------------------------------------


@pytest.mark.parametrize("index", [-1, 5, 2**31 - 1])
def test_an_index_out_of_bounds_is_a_fault(index: int) -> None:
    form = FORMS["take"]
    indices = np.asarray([[0], [index], [1]], np.int32)
    with pytest.raises(OutOfBoundsError):
        evaluate(lambda x, i: gather(x, i, form.numbers, form.sizes), np.zeros(5), indices)
    with pytest.raises(OutOfBoundsError):
        evaluate(lambda x, i, u: scatter(x, i, u, _ROWS), np.zeros(5), indices, np.zeros(3))


def test_unsigned_indices_do_not_wrap() -> None:
    form = FORMS["take"]
    indices = np.asarray([[2**64 - 1], [4], [2**63]], np.uint64)
    x = np.arange(5.0)
    clipped = evaluate(lambda x, i: gather(x, i, form.numbers, form.sizes, "clip"), x, indices)
    filled = evaluate(lambda x, i: gather(x, i, form.numbers, form.sizes, "fill", 9), x, indices)
    assert (clipped.tolist(), filled.tolist()) == ([4, 4, 4], [9, 4, 9])


def test_scatter_into_nothing_drops_all() -> None:
    indices, updates = np.zeros((2, 1), np.int32), np.ones(2)
    for mode in ("drop", "clip", "promise_in_bounds"):
        found = evaluate(
            lambda *xs, m=mode: scatter(*xs, _ROWS, "add", m), np.ones(0), indices, updates
        )
        assert found.shape == (0,)


def test_fill_values_are_told_apart_by_their_bits() -> None:
    form = FORMS["take"]
    x, indices = np.zeros(5, np.float32), np.full((3, 1), 7, np.int32)
    for fill in (0.0, -0.0, float("inf")):
        found = evaluate(
            lambda x, i, f=fill: gather(x, i, form.numbers, form.sizes, "fill", f), x, indices
        )
        assert np.array_equal(np.signbit(found), np.signbit(np.full(3, fill)))
    plus, minus = (Gather(form.numbers, form.sizes, "fill", f) for f in ("0.0", "-0.0"))
    assert plus != minus


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [("f32", np.nan), ("i8", -128), ("u16", 65535), ("bool", True), ("c64", complex(np.nan))],
)
def test_default_fill_values_are_those_of_jax(dtype: str, fill: Any) -> None:
    form = FORMS["take"]
    x = np.zeros(5, FROM_SHORT_NAME[dtype])
    indices = np.full((3, 1), -1, np.int32)
    found = evaluate(lambda x, i: gather(x, i, form.numbers, form.sizes, "fill"), x, indices)
    np.testing.assert_array_equal(found, np.full(3, fill, x.dtype))


def _numbers(**changes: Any) -> GatherDimensionNumbers:
    return GatherDimensionNumbers((1,), (0,), (0,))._replace(**changes)


GATHER_ERRORS: list[tuple[Gather, str, str, type[JitmlError]]] = [
    (Gather(_numbers(), (1, 3), "wrap"), "f32[4,3]", "i32[2,1]", ArgumentError),
    (Gather(_numbers(), (1, 3)), "f32[4,3]", "f32[2,1]", DTypeError),
    (Gather(_numbers(), (1, 3)), "f32[4,3]", "i32[2,2]", ShapeError),
    (Gather(_numbers(), (1, 3)), "f32[4,3]", "i32[]", ShapeError),
    (Gather(_numbers(), (1, 4)), "f32[4,3]", "i32[2,1]", ShapeError),
    (Gather(_numbers(), (2, 3)), "f32[4,3]", "i32[2,1]", ShapeError),
    (Gather(_numbers(), (1,)), "f32[4,3]", "i32[2,1]", ArgumentError),
    (Gather(_numbers(offset_dims=(2,)), (1, 3)), "f32[4,3]", "i32[2,1]", AxisError),
    (Gather(_numbers(offset_dims=(0, 1)), (1, 3)), "f32[4,3]", "i32[2,1]", AxisError),
    (Gather(_numbers(collapsed_slice_dims=(2,)), (1, 3)), "f32[4,3]", "i32[2,1]", AxisError),
    (Gather(_numbers(start_index_map=(5,)), (1, 3)), "f32[4,3]", "i32[2,1]", AxisError),
    (Gather(_numbers(operand_batching_dims=(0,)), (1, 3)), "f32[4,3]", "i32[2,1]", AxisError),
    (
        Gather(GatherDimensionNumbers((), (1,), (1,), (0,), (0,)), (1, 1)),
        "f32[4,3]", "i32[2,1]", ShapeError,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("op", "x", "indices", "error"), GATHER_ERRORS)
def test_gather_refuses(op: Gather, x: str, indices: str, error: type[JitmlError]) -> None:
    with pytest.raises(error, match="gather"):
        op.infer(parse_type(x), parse_type(indices))


def _rows(**changes: Any) -> ScatterDimensionNumbers:
    return ScatterDimensionNumbers((1,), (0,), (0,))._replace(**changes)


SCATTER_ERRORS: list[tuple[Scatter, str, str, str, type[JitmlError]]] = [
    (Scatter("sub", _rows()), "f32[4,3]", "i32[2,1]", "f32[2,3]", ArgumentError),
    (Scatter("set", _rows(), "fill"), "f32[4,3]", "i32[2,1]", "f32[2,3]", ArgumentError),
    (Scatter("set", _rows()), "f32[4,3]", "i32[2,1]", "f64[2,3]", DTypeError),
    (Scatter("add", _rows()), "bool[4,3]", "i32[2,1]", "bool[2,3]", DTypeError),
    (Scatter("max", _rows()), "c64[4,3]", "i32[2,1]", "c64[2,3]", DTypeError),
    (Scatter("set", _rows()), "f32[4,3]", "f32[2,1]", "f32[2,3]", DTypeError),
    (Scatter("set", _rows()), "f32[4,3]", "i32[2,1]", "f32[2,4]", ShapeError),
    (Scatter("set", _rows()), "f32[4,3]", "i32[2,1]", "f32[3,3]", ShapeError),
    (Scatter("set", _rows()), "f32[4,3]", "i32[2,1]", "f32[2]", AxisError),
    (Scatter("set", _rows(update_window_dims=())), "f32[4,3]", "i32[2,1]", "f32[2]", ShapeError),
    (
        Scatter("set", _rows(inserted_window_dims=(2,))),
        "f32[4,3]", "i32[2,1]", "f32[2,3]", AxisError,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("op", "x", "indices", "updates", "error"), SCATTER_ERRORS)
def test_scatter_refuses(
    op: Scatter, x: str, indices: str, updates: str, error: type[JitmlError]
) -> None:
    with pytest.raises(error, match="scatter"):
        op.infer(parse_type(x), parse_type(indices), parse_type(updates))


@pytest.mark.parametrize("fill", ["1", 1.5, None, 2**40])
def test_fill_values_must_fit(fill: Any) -> None:
    form = FORMS["take"]
    types = [parse_type("i32[5]"), parse_type("i32[3,1]")]

    def function(x: Any, indices: Any) -> Any:
        return gather(x, indices, form.numbers, form.sizes, "fill", fill)

    if fill is None:
        assert record(function, types).output_types == (parse_type("i32[3]"),)
        return
    with pytest.raises((ArgumentError, OverflowError)):
        record(function, types)
