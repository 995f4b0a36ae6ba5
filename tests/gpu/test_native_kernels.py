"""Kernels of the user's own on devices: whatever compiled their PTX."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import jitml
from jitml import jit, vmap
from jitml.codegen.nvptx.target import compile_ptx, gpu_target
from jitml.device import launches
from jitml.device.launches import grid_of
from jitml.emulation.libcuda import EmulatedCuda
from jitml.errors import ArgumentError
from jitml.ir.source import user_source
from jitml.ops.native import Grid, GridKernel, NativeCall, NativeFunction
from jitml.trace.core import bind

# out[y, x] = 2 · in[y, x] for even x: of a grid of two axes.
EVEN = """
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.y()
define ptx_kernel void @kernel(ptr %out, ptr %in, i64 %n, i64 %m, i64 %n2, i64 %m2, i64 %extent,
    ptr %slot, i64 %launch, ptr %scratch, i64 %bytes) {
  %x32 = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %y32 = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.y()
  %x = zext i32 %x32 to i64
  %y = zext i32 %y32 to i64
  %odd = and i64 %x, 1
  %even = icmp eq i64 %odd, 0
  br i1 %even, label %write, label %out_
write:
  %row = mul i64 %y, %m2
  %place = add i64 %row, %x
  %from = getelementptr float, ptr %in, i64 %place
  %to = getelementptr float, ptr %out, i64 %place
  %value = load float, ptr %from
  %sum = fadd float %value, %value
  store float %sum, ptr %to
  br label %out_
out_:
  ret void
}
"""
X = np.arange(15, dtype=np.float32).reshape(3, 5)
GRID = Grid((1, 3, 1), (5, 1, 1))


def ptx_of(target: str) -> str:
    return compile_ptx(EVEN, gpu_target(target))


def even(x: Any) -> Any:
    kernel = GridKernel(ptx_of, GRID)
    function = NativeFunction("even", 0, None, lambda *_: None, None, user_source(), kernel)
    (found,) = bind(NativeCall(function, (np.dtype("float32"),), (x.shape,)), x)
    return found


EXPECTED = np.where(np.arange(5) % 2 == 0, 2 * X, 0)


def test_it_is_launched_on_the_grid_of_the_user(emulated: EmulatedCuda) -> None:
    np.testing.assert_array_equal(jit(even)(X), EXPECTED)
    np.testing.assert_array_equal(jit(vmap(even))(np.stack([X, X + 1]))[0], EXPECTED)
    f = jit(lambda x: even(x + 1) - 1)
    np.testing.assert_array_equal(f(X), np.where(np.arange(5) % 2 == 0, 2 * X + 1, -1))
    assert emulated.calls["cuGraphLaunch"] >= 2


@pytest.mark.parametrize("version", [12030, 12040])
@pytest.mark.parametrize("most_nodes", [60, 2000])
def test_within_loops_it_takes_what_moves_where_it_is(
    version: int, most_nodes: int, emulated: EmulatedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slices, stacked results and carries; the scan is written out, or a loop of a graph."""
    emulated.version = version
    monkeypatch.setattr(launches, "MOST_NODES", most_nodes)

    def step(carry: Any, row: Any) -> Any:
        return even(carry + row) * 0.5, even(row)

    rows = np.random.default_rng(0).standard_normal((20, 3, 5)).astype(np.float32)
    last, stacked = jit(lambda x, rows: jitml.lax.scan(step, x, rows))(X, rows)
    is_even, expected = np.arange(5) % 2 == 0, X
    np.testing.assert_array_equal(stacked, np.where(is_even, 2 * rows, 0))
    for row in rows:
        expected = np.where(is_even, expected + row, 0)
    np.testing.assert_array_equal(last, expected)
    is_loop = (version, most_nodes) == (12040, 60)
    assert ("cuGraphConditionalHandleCreate" in emulated.calls) == is_loop
    assert ("cuGraphLaunch" in emulated.calls) == (is_loop or most_nodes == 2000)


def test_plans_and_reports_know_the_grid() -> None:
    program = jitml.aot(even, X)
    steps = program.program.plan.instructions
    assert [grid_of(step)[0] for step in steps] == [(1, 1, 1), (1, 3, 1)]
    assert [k.threads for k in program.kernels] == [15, 5]
    assert re.search(r"native_call even", str(program.report()))


def test_it_is_explained_on_the_device_and_not_measured_on_the_cpu(emulated: EmulatedCuda) -> None:
    f = jit(even)
    assert "2 kernels launched" in str(f.explain(X))
    assert f.memory(X).results == X.nbytes
    with pytest.raises(ArgumentError, match="even is a kernel for GPUs"):
        f.report(X)


def test_the_cpu_says_that_it_has_no_such_kernel() -> None:
    with pytest.raises(ArgumentError, match="even is a kernel for GPUs, and runs on the CPU here"):
        jit(even)(X)
