"""Every op's rows on the emulated device: the CPU's bits.

JITML_GPU=all runs all of them; else a few, others each time the table grows.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from cases import Case, all_cases
from oracle import record, to_array

from jitml.ir.dtypes import FROM_SHORT_NAME, DType, is_inexact
from jitml.ir.graph import Graph
from jitml.pipeline.compile import Compiled

CASES = all_cases()
CHOSEN = CASES if os.environ.get("JITML_GPU") == "all" else CASES[::101]


def dtypes(case: Case) -> list[DType]:
    """All dtypes for ops that compute; for the others, one of each way that elements are stored."""
    found = case.dtypes()
    if case.computes:
        return found
    chosen = [FROM_SHORT_NAME[d] for d in ("bool", "i8", "bf16", "f64", "c64")]
    return [d for d in chosen if d in found] or found[:1]


def same_bits(a: Any, b: Any) -> bool:
    """Equal in dtype, shape and bits; one NaN is as good as another."""
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    if not is_inexact(a.dtype):
        return bool(np.array_equal(a, b))
    if a.dtype.kind == "c":
        return same_bits(a.real, b.real) and same_bits(a.imag, b.imag)
    bits = f"u{a.dtype.itemsize}"
    x, y = np.ascontiguousarray(a).view(bits), np.ascontiguousarray(b).view(bits)
    return bool(np.all((x == y) | (np.isnan(a) & np.isnan(b))))


def agree(graph: Graph, samples: Any) -> None:
    """A graph gives the same bits on the device and on the CPU."""
    arrays = list(map(to_array, samples))
    found = Compiled(graph).run(arrays)
    expected = Compiled(graph, on_host=True).run(arrays)
    for a, b in zip(found, expected, strict=True):
        assert same_bits(np.asarray(a), np.asarray(b)), graph


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_the_device_has_the_bits_of_the_cpu(case: Case, emulated: Any) -> None:
    for dtype in dtypes(case):
        agree(record(case.apply, case.types(dtype)), case.samples(dtype))
