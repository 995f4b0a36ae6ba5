"""Programs for GPUs that are not here."""

from __future__ import annotations

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen.nvptx.assembler import find_assembler
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
        assert "registers, 0 bytes spilled" in str(report)


def test_targets_that_nobody_knows_are_named() -> None:
    with pytest.raises(JitmlError, match="unknown GPU target 'sm_10'"):
        jitml.aot(jnp.sin, np.float32(1), target="sm_10")


def test_what_only_the_host_computes_is_counted() -> None:
    report = jitml.aot(jnp.linalg.eigvals, jitml.ShapeDtypeStruct((3, 3), "float32")).report()
    assert report.host_steps == 1 and "steps of the host" in str(report)
