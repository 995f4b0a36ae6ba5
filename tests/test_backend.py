"""The compiled ops against their meaning: each row of `cases` against the NumPy `value`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import Case, all_cases
from oracle import evaluating_by_value, record, run, to_array, to_numpy

import jitml
from jitml.ir.dtypes import FROM_SHORT_NAME, DType, is_inexact, real_dtype
from jitml.ir.errors import OutOfBoundsError
from jitml.ops.indexing import GatherDimensionNumbers, gather
from jitml.ops.movement import slice_
from jitml.ops.scatter import ScatterDimensionNumbers, scatter
from jitml.pipeline.compile import compile_graph
from jitml.trace.core import type_of

CASES = all_cases()


def dtypes(case: Case) -> list[DType]:
    """All dtypes for ops that compute; for the others, one of each way that elements are stored."""
    found = case.dtypes()
    if case.computes:
        return found
    chosen = [FROM_SHORT_NAME[d] for d in ("bool", "i8", "bf16", "f64", "c64")]
    return [d for d in chosen if d in found] or found[:1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_backend_agrees_with_value(case: Case) -> None:
    for dtype in dtypes(case):
        samples = case.samples(dtype)
        graph = record(case.apply, case.types(dtype))
        with evaluating_by_value(), np.errstate(all="ignore"):
            expected = run(graph, list(map(to_array, samples)))
        found = run(graph, list(map(to_array, samples)))
        for a, b in zip(found, expected, strict=True):
            compare(to_numpy(a), to_numpy(b), case.rounding)


def compare(found: Any, expected: Any, rounding: int = 8) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if not is_inexact(found.dtype):
        np.testing.assert_array_equal(found, expected)
        return
    wide = np.complex128 if found.dtype.kind == "c" else np.float64
    tolerance = rounding * float(np.finfo(np.float32).eps)
    if real_dtype(found.dtype).itemsize == 2:
        tolerance = 2.0**-7
    if real_dtype(found.dtype).itemsize == 8:
        tolerance = rounding * float(np.finfo(np.float64).eps)
    np.testing.assert_allclose(
        found.astype(wide), expected.astype(wide), rtol=tolerance, atol=tolerance
    )


def fault_of(apply: Any, *inputs: Any) -> str:
    arrays = list(map(to_array, inputs))
    graph = record(apply, list(map(type_of, arrays)))
    with pytest.raises(OutOfBoundsError) as raised:
        run(graph, arrays)
    return raised.value.message


@pytest.mark.parametrize("dtype", ["i8", "i32", "i64", "u8", "u64"])
def test_kernels_report_the_first_index_out_of_bounds(dtype: str) -> None:
    numbers = [0, 4, 5, 1, 99]
    indices = np.array(numbers, FROM_SHORT_NAME[dtype])[:, None]
    x, rows = np.arange(5.0), GatherDimensionNumbers((), (0,), (0,))
    message = fault_of(lambda x, i: gather(x, i, rows, (1,)), x, indices)
    assert "index 5 is out of bounds" in message and "(at element 2 " in message
    updates = ScatterDimensionNumbers(*rows)
    message = fault_of(lambda *xs: scatter(*xs, updates, "add"), x, indices, np.ones(5))
    assert "index 5 is out of bounds" in message and "(at element 2 " in message


def test_kernels_take_negative_positions_as_out_of_bounds() -> None:
    rows = GatherDimensionNumbers((1,), (), (0,))
    indices = np.array([[0], [-1]], np.int32)
    message = fault_of(lambda x, i: gather(x, i, rows, (2,)), np.arange(5.0), indices)
    assert "index -1 is out of bounds" in message


def test_checks_of_elements_that_nobody_reads_are_dropped() -> None:
    rows = GatherDimensionNumbers((), (0,), (0,))

    def function(x: Any, i: Any) -> Any:
        return slice_(gather(x, i, rows, (1,)), (1,), (3,))

    indices = np.array([[9], [2], [0]], np.int32)
    arrays = list(map(to_array, (np.arange(5.0), indices)))
    graph = record(function, list(map(type_of, arrays)))
    (out,) = compile_graph(graph).run(arrays)
    assert to_numpy(out).tolist() == [2, 0]


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64"])
def test_neighbours_of_floats_are_exact(dtype: str) -> None:
    x = np.array([1, 0, -0.0, -1, np.inf, -np.inf, 1e-7, 3, np.nan, 1, 5], np.float64)
    y = np.array([2, 1, -1, -2, 0, 0, 0, -3, 1, np.nan, 5], np.float64)
    x, y = (v.astype(FROM_SHORT_NAME[dtype]) for v in (x, y))
    found = np.asarray(jitml.jit(jitml.lax.nextafter)(x, y)).astype(np.float64)
    np.testing.assert_array_equal(found, np.nextafter(x, y).astype(np.float64))
