"""Every op's rows on the emulated device: the CPU's bits.

JITML_GPU=all runs all of them; else a few, others each time the table grows.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from cases import Case, all_cases
from oracle import record

from jitml.ir.dtypes import FROM_SHORT_NAME, DType
from tests.gpu.agreement import agree

CASES = all_cases()
# A library there, kernels of our own here, which add in another order.
ROUNDED = {"qr", "qr complete", "qr of wide ones"}
CHOSEN = CASES if os.environ.get("JITML_GPU") == "all" else CASES[::211]


def dtypes(case: Case) -> list[DType]:
    """All dtypes for ops that compute; for the others, one of each way that elements are stored."""
    found = case.dtypes()
    if case.computes:
        return found
    chosen = [FROM_SHORT_NAME[d] for d in ("bool", "i8", "bf16", "f64", "c64")]
    return [d for d in chosen if d in found] or found[:1]


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_the_device_has_the_bits_of_the_cpu(case: Case, emulated: Any) -> None:
    for dtype in dtypes(case):
        rounding = 64 if case.name in ROUNDED else 0
        agree(record(case.apply, case.types(dtype)), case.samples(dtype), rounding)
