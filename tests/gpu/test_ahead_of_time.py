"""Programs for GPUs that are not here."""

from __future__ import annotations

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen.nvptx.assembler import Resources, find_assembler
from jitml.codegen.nvptx.occupancy import occupancy
from jitml.ir.errors import JitmlError

X = jitml.ShapeDtypeStruct((64, 128), "float32")


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100", "sm_120"])
def test_kernels_are_compiled_and_assembled(target: str) -> None:
    program = jitml.aot(lambda x: jnp.tanh(x @ x.T).sum(axis=0), X, target=target)
    report = program.report()
    assert f".target {target}" in program.ptx
    assert report.launches == len(program.kernels) == 2
    assert report.least_bytes == 4 * (64 * 128 + 64)
    assert report.moved_bytes == 4 * (3 * 64 * 128 // 1 - 64 * 128 + 2 * 64 * 64 + 64)
    if find_assembler():
        for kernel in program.kernels:
            assert kernel.cubin and kernel.cubin[:4] == b"\x7fELF"
            assert kernel.resources and kernel.resources.spilled_bytes == 0
            assert kernel.occupancy and 0 < kernel.occupancy <= 1
        assert "registers, 0 bytes spilled" in str(report) and "occupancy" in str(report)


@pytest.mark.parametrize(
    ("registers", "shared_bytes", "threads", "target", "share"),
    [
        (32, 0, 128, "sm_90", 1.0),
        (128, 0, 256, "sm_90", 0.25),  # registers for two blocks
        (33, 0, 256, "sm_80", 0.75),  # given out 256 at a time: 40 for each thread
        (160, 48 << 10, 256, "sm_90", 0.125),
        (32, 48 << 10, 32, "sm_90", 4 / 64),  # shared memory for four blocks
        (16, 0, 32, "sm_86", 16 / 48),  # no more blocks than that
        (24, 0, 1024, "sm_120", 32 / 48),
    ],
)
def test_occupancy_is_that_of_the_tables(
    registers: int, shared_bytes: int, threads: int, target: str, share: float
) -> None:
    assert occupancy(Resources(registers, 0, 0, shared_bytes), threads, target) == share


def test_targets_that_nobody_knows_are_named() -> None:
    with pytest.raises(JitmlError, match="unknown GPU target 'sm_10'"):
        jitml.aot(jnp.sin, np.float32(1), target="sm_10")


def test_what_only_the_host_computes_is_counted() -> None:
    report = jitml.aot(jnp.linalg.eigvals, jitml.ShapeDtypeStruct((3, 3), "float32")).report()
    assert report.host_steps == 1 and "steps of the host" in str(report)
