"""The compiled ops against their meaning: each row of `cases` against the NumPy `value`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import Case, all_cases
from oracle import evaluating_by_value, record, run, to_array, to_numpy

import jitml.pipeline.compile  # noqa: F401  (makes eager operations run on kernels)
from jitml.ir.dtypes import FROM_SHORT_NAME, DType, is_inexact, real_dtype

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
            compare(to_numpy(a), to_numpy(b))


def compare(found: Any, expected: Any) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if not is_inexact(found.dtype):
        np.testing.assert_array_equal(found, expected)
        return
    wide = np.complex128 if found.dtype.kind == "c" else np.float64
    tolerance = 8 * float(np.finfo(np.float32).eps)
    if real_dtype(found.dtype).itemsize == 2:
        tolerance = 2.0**-7
    if real_dtype(found.dtype).itemsize == 8:
        tolerance = 8 * float(np.finfo(np.float64).eps)
    np.testing.assert_allclose(
        found.astype(wide), expected.astype(wide), rtol=tolerance, atol=tolerance
    )
