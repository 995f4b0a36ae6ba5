"""What the emulator knows of matrix units, asynchronous copies, votes, and banks of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jitml.emulation.faults import EmulatedFault
from jitml.emulation.machine import Kernel
from jitml.emulation.matrix import sum_products
from jitml.emulation.memory import Memory
from jitml.emulation.ptx import PtxError, parse_module

HEAD = """
.version 8.0
.target sm_90
.address_size 64
.visible .entry kernel(.param .u64 p0, .param .u64 p1) .maxntid 64
{
 .reg .pred %p<9>; .reg .b32 %r<40>; .reg .b64 %rd<20>;
 .shared .align 128 .b8 area[8192];
 ld.param.b64 %rd1, [p0];
 ld.param.b64 %rd2, [p1];
 mov.u32 %r1, %tid.x;
 mul.wide.u32 %rd3, %r1, 4;
 mul.wide.u32 %rd4, %r1, 16;
 add.s64 %rd5, %rd2, %rd3;
 mov.b64 %rd7, area;
 add.s64 %rd8, %rd7, %rd4;
 add.s64 %rd9, %rd1, %rd4;
"""
COPY = """
 mov.b32 %r2, 10;
 cp.async.cg.shared.global [%rd8], [%rd9], 16, %r2;
 cp.async.commit_group;
 cp.async.wait_group 0;
 ld.shared.b32 %r3, [%rd8+8];
 st.global.b32 [%rd5], %r3;
"""


def run(body: str, x: Any, threads: int = 32) -> tuple[Any, Any]:
    """The words that a kernel writes, one for each thread, and what was counted."""
    memory = Memory(1 << 20)
    module = parse_module(HEAD + body + "\n ret;\n}\n")
    source, target = memory.allocate(x.nbytes), memory.allocate(4 * threads)
    memory.view(source, x.nbytes, True)[:] = x.view(np.uint8).ravel()
    kernel = Kernel(module, module.entries["kernel"], memory)
    counts = kernel.launch([source, target], (1, 1, 1), (threads, 1, 1), measures=True)
    return memory.view(target, 4 * threads, False).view(np.uint32), counts


def test_copies_that_nobody_asks_whole_are_filled_with_zeros() -> None:
    x = np.arange(1, 129, dtype=np.uint32) * 0x10001
    found, counts = run(COPY, x)
    np.testing.assert_array_equal(found, x[2::4] & 0xFFFF)
    assert counts.load_sectors == 16 and counts.bank_conflicts == 3


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("wait_group 0", "wait_group 1", "uninitialised"),
        ("10;\n cp.async.cg.shared.global [%rd8]", "16;\n cp.async.cg.shared.global [%rd8+8]",
         "misaligned"),
        ("%r2, 10", "%r2, 17", "misaligned"),
        ("[%rd8+8]", "[%rd8+24]", "race|uninitialised"),
    ],
)  # fmt: skip
def test_copies_are_checked(old: str, new: str, what: str) -> None:
    assert old in COPY
    with pytest.raises(EmulatedFault, match=what):
        run(COPY.replace(old, new), np.arange(128, dtype=np.uint32))


@pytest.mark.parametrize(
    ("step", "conflicts"), [(4, 0), (8, 1), (0, 0), (128, 31), (132, 0), (64, 15)]
)
def test_bank_conflicts_are_counted(step: int, conflicts: int) -> None:
    store = " st.shared.b32 [%rd12], %r1;" if step else " "
    load = f"""
 mul.wide.u32 %rd11, %r1, {step};
 add.s64 %rd12, %rd7, %rd11;
 setp.eq.b32 %p1, %r1, 0;
{store}
 @%p1 st.shared.b32 [%rd7], 7;
 st.global.b32 [%rd5], %r1;
"""
    _, counts = run(load, np.zeros(4, np.uint32))
    assert counts.bank_conflicts == conflicts
    assert str(counts).endswith(f"{conflicts} more by bank conflicts")


def test_votes_are_bits_of_the_warp() -> None:
    body = """
 and.b32 %r2, %r1, 3;
 setp.eq.b32 %p1, %r2, 1;
 vote.sync.ballot.b32 %r3, %p1, -1;
 st.global.b32 [%rd5], %r3;
"""
    found, _ = run(body, np.zeros(4, np.uint32), 64)
    assert set(found) == {0x22222222}


def test_threads_beyond_the_limit_of_a_kernel_are_refused() -> None:
    with pytest.raises(EmulatedFault, match="128 threads of a kernel for fewer"):
        run(" ", np.zeros(4, np.uint32), 128)


def test_unknown_matrix_instructions_are_refused() -> None:
    body = " mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32 {%r2}, {%r3}, {%r4}, {%r5};"
    with pytest.raises(PtxError, match="is not supported"):
        run(body, np.zeros(4, np.uint32))


def test_units_cut_off_what_lies_far_below_the_largest() -> None:
    a, b, c = np.zeros((1, 16)), np.zeros((16, 1)), np.zeros((1, 1))
    a[0, :3], b[:3, 0] = [1.0, 2.0**-25, -(2.0**-12)], [1.0, 1.0, 2.0**-20]
    assert sum_products(a, b, c) == np.float32(1)  # both vanish below 2⁻²⁵
    a[0, 1] = 2.0**-23
    assert sum_products(a, b, c) == np.float32(1 + 2.0**-23)
    a[0, 1] = -(2.0**-24)
    assert sum_products(a, b, c) == np.float32(1 - 2.0**-24)
    a[0, :2] = [1.0, 1.5 * 2.0**-23]  # rounded toward zero
    assert sum_products(a, b, c) == np.float32(1 + 2.0**-23)
    assert sum_products(-a, b, c) == -np.float32(1 + 2.0**-23)


def test_units_pass_on_what_is_no_number() -> None:
    a, b, c = np.ones((2, 16)), np.ones((16, 1)), np.zeros((2, 1))
    a[0, 3], c[1, 0] = np.inf, np.nan
    found = sum_products(a, b, c)
    assert found[0, 0] == np.inf and np.isnan(found[1, 0])
