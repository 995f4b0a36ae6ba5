"""The emulator sees what devices leave unseen, and computes as PTX says."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from jitml.emulation.faults import EmulatedFault
from jitml.emulation.fused import fused_multiply_add
from jitml.emulation.machine import Kernel
from jitml.emulation.memory import Memory
from jitml.emulation.ptx import PtxError, parse_module

HEAD = """
.version 8.0
.target sm_90
.address_size 64
.visible .entry kernel(.param .u64 p0, .param .u64 p1)
{
 .reg .pred %p<9>; .reg .b16 %rs<9>; .reg .b32 %r<20>; .reg .b64 %rd<20>;
 .shared .align 16 .b8 area[1024];
 ld.param.b64 %rd1, [p0];
 ld.param.b64 %rd2, [p1];
 mov.u32 %r1, %tid.x;
 mov.u32 %r2, %ctaid.x;
 mov.u32 %r3, %ntid.x;
 mad.lo.s32 %r4, %r2, %r3, %r1;
 mul.wide.u32 %rd3, %r4, 4;
 add.s64 %rd4, %rd1, %rd3;
 add.s64 %rd5, %rd2, %rd3;
 mul.wide.u32 %rd6, %r1, 4;
 mov.b64 %rd7, area;
 add.s64 %rd8, %rd7, %rd6;
"""


def run(body: str, x: Any, threads: int = 64, blocks: int = 1) -> Any:
    """The 32-bit numbers that a kernel writes beside `x`, one for each thread."""
    memory = Memory(1 << 20)
    module = parse_module(HEAD + body + "\n ret;\n}\n")
    x = np.ascontiguousarray(x)
    source, target = memory.allocate(x.nbytes), memory.allocate(4 * threads * blocks)
    memory.view(source, x.nbytes, True)[:] = x.view(np.uint8).ravel()
    kernel = Kernel(module, module.entries["kernel"], memory)
    kernel.launch([source, target], (blocks, 1, 1), (threads, 1, 1))
    return memory.view(target, 4 * threads * blocks, False).view(
        x.dtype if x.itemsize == 4 else "u4"
    )


REVERSE = """
 ld.global.b32 %r5, [%rd4];
 st.shared.b32 [%rd8], %r5;
 bar.sync 0;
 sub.s32 %r6, 63, %r1;
 mul.wide.u32 %rd9, %r6, 4;
 add.s64 %rd10, %rd7, %rd9;
 ld.shared.b32 %r7, [%rd10];
 st.global.b32 [%rd5], %r7;
"""


def test_blocks_exchange_through_shared_memory() -> None:
    x = np.arange(128, dtype=np.int32)
    expected = x.reshape(2, 64)[:, ::-1].ravel()
    np.testing.assert_array_equal(run(REVERSE, x, blocks=2), expected)


FAULTS = {
    "race": REVERSE.replace("bar.sync 0;", ""),
    "uninitialised": REVERSE.replace("st.shared.b32 [%rd8], %r5;", ""),
    "out-of-bounds": "ld.global.b32 %r5, [%rd4+4]; st.global.b32 [%rd5], %r5;",
    "misaligned": "ld.global.b32 %r5, [%rd1+2]; st.global.b32 [%rd5], %r5;",
    "divergent-barrier": "setp.lt.u32 %p1, %r1, 8; @%p1 bra out; bar.sync 0;\nout:",
    "shuffle": "setp.lt.u32 %p1, %r1, 8; @%p1 bra out;"
    "shfl.sync.bfly.b32 %r6, %r1, 1, 31, -1;\nout:",
    "unset-register": "st.global.b32 [%rd5], %r9;",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_faults_are_seen(kind: str) -> None:
    with pytest.raises(EmulatedFault) as raised:
        run(FAULTS[kind], np.arange(64, dtype=np.int32))
    assert raised.value.kind == kind and raised.value.line > 0


def test_threads_that_write_what_others_read_are_a_race() -> None:
    body = "ld.global.b32 %r5, [%rd1]; st.global.b32 [%rd4], %r5;"
    with pytest.raises(EmulatedFault, match="race"):
        run(body, np.arange(64, dtype=np.int32))
    with pytest.raises(EmulatedFault, match="race"):
        run("st.global.b32 [%rd2], %r1;", np.arange(64, dtype=np.int32))
    with pytest.raises(EmulatedFault, match="reads what another has written"):
        run("st.global.b32 [%rd4], %r1; ld.global.b32 %r5, [%rd1];", np.arange(64, dtype=np.int32))


def test_memory_beside_an_allocation_is_nobodys() -> None:
    memory = Memory(1 << 16)
    first, second = memory.allocate(100), memory.allocate(100)
    lane = np.zeros(1, np.int32)
    memory.view(first, 100, True)[:] = 1
    for address in (first + 100, second - 4, 0):
        with pytest.raises(EmulatedFault, match="out-of-bounds"):
            memory.load(np.array([address], np.uint64), 4, lane)
    with pytest.raises(EmulatedFault, match="uninitialised"):
        memory.load(np.array([second], np.uint64), 4, lane)
    memory.release(first)
    with pytest.raises(EmulatedFault, match="out-of-bounds"):
        memory.view(first, 4, False)
    memory.release(second)
    assert memory.live_bytes == 0 and len(memory.free) == 1


def test_what_the_assembler_may_fuse_is_refused() -> None:
    with pytest.raises(PtxError, match="may be fused"):
        run("add.f32 %r5, %r1, %r1;", np.zeros(64, np.int32))
    with pytest.raises(PtxError, match="not IEEE"):
        run("div.approx.f32 %r5, %r1, %r1;", np.zeros(64, np.int32))
    with pytest.raises(PtxError, match="unknown instruction"):
        run("tanh.rn.f32 %r5, %r1;", np.zeros(64, np.int32))


def one(instruction: str, x: Any) -> Any:
    body = f"ld.global.b32 %r5, [%rd4]; {instruction}; st.global.b32 [%rd5], %r6;"
    return run(body, x, threads=len(x))


def test_conversions_saturate_and_lose_what_is_no_number() -> None:
    x = np.array([1.5, -2.5, 3e9, -3e9, np.nan, np.inf, -0.5, 2**31], np.float32)
    found = one("cvt.rzi.s32.f32 %r6, %r5", x).view(np.int32)
    most, least = 2**31 - 1, -(2**31)
    assert found.tolist() == [1, -2, most, least, 0, most, 0, most]
    found = one("cvt.rzi.u32.f32 %r6, %r5", x).view(np.uint32)
    assert found.tolist() == [1, 0, 3000000000, 0, 0, 2**32 - 1, 0, 2**31]


def test_bits_are_extracted_shifted_and_permuted() -> None:
    x = np.array([0x80000001, 0x12345678, 0xFFFFFFFF, 0], np.uint32)
    assert one("bfe.u32 %r6, %r5, 4, 8", x).tolist() == [0, 0x67, 0xFF, 0]
    assert one("bfe.s32 %r6, %r5, 28, 4", x).tolist() == [0xFFFFFFF8, 1, 0xFFFFFFFF, 0]
    assert one("shf.l.wrap.b32 %r6, %r5, %r5, 8", x).tolist() == [0x180, 0x34567812, 2**32 - 1, 0]
    assert one("prmt.b32 %r6, %r5, 0, 291", x).tolist() == [0x01000080, 0x78563412, 2**32 - 1, 0]
    assert one("shr.s32 %r6, %r5, 40", x).tolist() == [2**32 - 1, 0, 2**32 - 1, 0]
    assert one("shl.b32 %r6, %r5, 32", x).tolist() == [0, 0, 0, 0]
    assert one("clz.b32 %r6, %r5", x).tolist() == [0, 3, 0, 32]
    assert one("brev.b32 %r6, %r5", x).tolist() == [0x80000001, 0x1E6A2C48, 2**32 - 1, 0]
    assert one("bfi.b32 %r6, %r5, -1, 8, 8", x).tolist() == [
        0xFFFF01FF, 0xFFFF78FF, 0xFFFFFFFF, 0xFFFF00FF,
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fused_multiplications_round_once(dtype: Any) -> None:
    random = np.random.default_rng(0)
    n = 400
    a, b = (random.standard_normal(n).astype(dtype) for _ in range(2))
    c = (-(a * b) * (1 + random.integers(-3, 4, n) * np.finfo(dtype).eps / 2)).astype(dtype)
    c[::3] = random.standard_normal(len(c[::3])) * 10.0 ** random.integers(-20, 20, len(c[::3]))
    found = fused_multiply_add(a, b, c)
    for x, y, z, r in zip(a, b, c, found, strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        below, above = (np.nextafter(r, dtype(s * np.inf)) for s in (-1, 1))
        gap = abs(exact - Fraction(float(r)))
        assert all(gap <= abs(exact - Fraction(float(v))) for v in (below, above)), (x, y, z)


def test_fused_multiplications_do_not_round_twice() -> None:
    a = np.array([1 + 2**-12] * 2, np.float32)
    c = np.array([2.0**-60, -(2.0**-60)], np.float32)
    up, down = 1 + 2**-11 + 2**-23, 1 + 2**-11
    assert fused_multiply_add(a, a, c).tolist() == [up, down]
    assert fused_multiply_add(-a, a, c).tolist() == [-down, -up]


def test_fused_multiplications_at_the_edges() -> None:
    a = np.array([np.inf, 0.0, 1e30, -0.0, np.nan, 1e-30], np.float32)
    b = np.array([0.0, -1.0, 1e30, 1.0, 1.0, 1e-30], np.float32)
    c = np.array([1.0, 0.0, -np.inf, -0.0, 1.0, 1e-45], np.float32)
    with np.errstate(all="ignore"):
        found = fused_multiply_add(a, b, c)
    expected = np.array([np.nan, 0.0, -np.inf, -0.0, np.nan, 1e-45], np.float32)
    np.testing.assert_array_equal(found, expected)
    assert np.signbit(found).tolist()[1:4] == [False, True, True]
