"""What kernels take of a multiprocessor stays within recorded limits, and nothing is spilled.

In `limits.json`: for each family the registers of a thread and the bytes of shared memory of a
block, at most, over all targets, and the launches. `--update-golden` records them anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen.nvptx.assembler import assemble, find_assembler
from jitml.device.control_kernels import (
    copy_kernel,
    count_kernel,
    decide_kernel,
    settle_kernel,
)
from tests.gpu.test_attention import ROWS_OF_TESTS as ATTENTION
from tests.gpu.test_attention import attended, operands
from tests.gpu.test_epilogues import UNITS as FOLLOWED
from tests.gpu.test_epilogues import samples_of as samples_of_followed
from tests.gpu.test_mutation import FAMILIES, samples_of
from tests.gpu.test_products import UNITS, Row
from tests.gpu.test_products import samples_of as samples_of_product

pytestmark = pytest.mark.skipif(find_assembler() is None, reason="there is no ptxas")
PATH = Path(__file__).parent / "limits.json"
TARGETS = ("sm_80", "sm_90", "sm_100", "sm_120") if "JITML_GRID" in os.environ else ("sm_90",)


def programs() -> dict[str, tuple[Any, list[Any]]]:
    """Functions and arguments."""
    found: dict[str, tuple[Any, list[Any]]] = {
        name: (family.function, samples_of(family, family.shapes[0], False))
        for name, family in FAMILIES.items()
    }
    for name in ("bfloat16", "not aligned", "convolution"):
        row: Row = UNITS[name]
        found[f"matrix units: {name}"] = row.function, samples_of_product(row, True)
    for name in ("several tiles", "most features", "shared bias, mask"):
        row_of_attention = ATTENTION[name]
        found[f"attention: {name}"] = attended(row_of_attention), operands(row_of_attention)
    for name in ("bias and activation", "sums in float32"):
        followed = FOLLOWED[name]
        found[f"matrix units, then {name}"] = followed.function, samples_of_followed(followed, True)
    return {**found, **{name: (function, [x]) for name, (function, x) in MORE.items()}}


# Kernels whose forms differ with sizes and dtypes.
MORE: dict[str, tuple[Any, Any]] = {
    "column sums by blocks": (lambda x: x.sum(0), np.zeros((300, 512), np.float32)),
    "column sums of bytes": (lambda x: x.sum(0), np.zeros((300, 512), np.int8)),
    "column positions": (lambda x: x.argmax(0), np.zeros((300, 512), np.float32)),
    "column variances": (lambda x: x.var(0), np.zeros((300, 512), np.float32)),
    "transpose of bytes": (lambda x: x.T + x.T, np.zeros((300, 512), np.int8)),
    "transpose of double": (lambda x: x.T + 1, np.zeros((300, 512))),
    "odd row sums of bytes": (lambda x: x.sum(1), np.zeros((300, 511), np.int8)),
    "odd row positions": (lambda x: x.argmax(1), np.zeros((300, 511), np.float32)),
    "odd logsumexp": (lambda x: jitml.nn.logsumexp(x, axis=1), np.zeros((300, 511), np.float32)),
    "cumulative sum of odd bytes": (lambda x: jnp.cumsum(x, 1), np.zeros((300, 511), np.int8)),
}
PROGRAMS = programs()


@pytest.mark.sampled
@pytest.mark.parametrize("name", PROGRAMS)
def test_kernels_take_no_more_than_is_recorded(name: str, update_golden: bool) -> None:
    function, arrays = PROGRAMS[name]
    taken = {"registers": 0, "shared_bytes": 0, "launches": 0}
    shapes = [jitml.ShapeDtypeStruct(np.shape(x), x.dtype) for x in arrays]
    for target in TARGETS:
        report = jitml.aot(function, *shapes, target=target).report()
        taken["launches"] = report.launches
        for kernel in report.kernels:
            assert kernel.resources and kernel.resources.spilled_bytes == 0, (kernel.label, target)
            for key in ("registers", "shared_bytes"):
                taken[key] = max(taken[key], getattr(kernel.resources, key))
    recorded = json.loads(PATH.read_text()) if PATH.exists() else {}
    if update_golden:
        PATH.write_text(json.dumps({**recorded, name: taken}, indent=1, sort_keys=True) + "\n")
        return
    assert all(taken[key] <= most for key, most in recorded[name].items()), (taken, recorded[name])


def test_kernels_that_decide_and_those_of_loops_are_assembled() -> None:
    control = [count_kernel(0), count_kernel(64), copy_kernel(), settle_kernel()]
    control += [decide_kernel(type_) for type_ in ("u8", "s32")]
    scan = jitml.aot(
        lambda x, rows: jitml.lax.scan(lambda c, row: (jnp.sort(c @ x + row), c), x, rows),
        *(jitml.ShapeDtypeStruct(shape, "float32") for shape in ((32, 32), (2000, 32))),
    )
    for target in TARGETS:
        for text in (*control, *(kernel.ptx for kernel in scan.kernels if target == "sm_90")):
            assembled = assemble(text, target)
            assert assembled and assembled[1].spilled_bytes == 0
