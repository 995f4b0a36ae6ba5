"""Kernels of the CPU's form as kernels of a grid: each thread takes units in turn.

Comes in: the text of a kernel, `int kernel(buffers, sizes, begin, end, fault)`, for one thread.
Goes out: a text whose `kernel` is launched over a grid. Its arguments are the buffers and sizes
themselves, then the number of units, the error slot, this launch's number, the threads' scratch
memory, and the bytes of it that each has. A buffer that moves has one more argument, behind the
buffers: the address of how far it has moved, in bytes, or 0 where the buffer's own address says it.

A thread, or some of them together, take every so many units. A failed check is kept as
the least (launch, site, index) of all threads, by an atomic minimum over 64 bits; the value goes
to a record of the thread's own, so that the outcome does not depend on the order of threads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from jitml.ops.native import Grid
from jitml_runtime import Instruction
from jitml_runtime.record import frozen

INDEX_BITS = 40  # of an error key: then the site, then the launch
SITE_BITS = 10
LAUNCH_BITS = 13
MOST_LAUNCHES = (1 << LAUNCH_BITS) - 1
NO_ERROR = 2**63 - 1
RECORD_BYTES = 16  # of each thread: the key of its error and the value
SLOT_BYTES = 16  # before the records: the least key
_HEAD = re.compile(r"^define i32 @kernel\([^)]*\)[^{]*\{", re.MULTILINE)


@frozen
class GridInstruction(Instruction):
    """A launch whose grid is the user's."""

    grid: Grid = Grid((1, 1, 1), (1, 1, 1))


def on_grid(text: str, buffers: int, sizes: int, threads: int, moving: Sequence[int] = ()) -> str:
    """The text of `kernel` for a grid, with so many buffers and sizes. So many threads take a unit
    together (a power of two); where it is 0, one thread takes all units. The buffers at these
    places are `moving`.
    """
    inner = _HEAD.sub(
        "define internal i32 @units(ptr noalias %buffers, ptr noalias %sizes, i64 %begin, "
        "i64 %end, ptr noalias %fault) alwaysinline nounwind {",
        text,
    )
    assert "@units" in inner, text
    # All of it becomes one function, so that a thread's tables become registers.
    inner = inner.replace(" noinline", " alwaysinline").replace(" optnone", "")
    parameters = [f"ptr addrspace(1) %b{k}" for k in range(buffers)]
    parameters += [f"ptr addrspace(1) %o{k}" for k in moving]
    parameters += [f"i64 %z{k}" for k in range(sizes)]
    parameters += [
        "i64 %extent", "ptr addrspace(1) %slot", "i64 %launch",
        "ptr addrspace(1) %scratch", "i64 %scratch_bytes",
    ]  # fmt: skip
    # The assembler may give so few threads more registers.
    limit = f' "nvvm.maxntid"="{threads}" "nvvm.minctasm"="1"' if threads > 1 else ""
    lines = [
        *(line for line in _DECLARATIONS if line not in inner),
        *(_MOVED if moving else ()),
        f"define ptx_kernel void @kernel({', '.join(parameters)}) nounwind{limit} {{",
        "entry:",
        *_moved(moving),
        *_tables(buffers, sizes, moving),
        *_START,
        *_shared_out(threads).splitlines(),
        *_END,
    ]
    return inner + "\n".join(lines) + "\n"


def _shared_out(threads: int) -> str:
    """Which units are this thread's."""
    if not threads:
        return _AT_ONCE
    if threads > 1:
        return _BY_BLOCKS + _IN_TURNS.format(first="%block")
    return _BY_THREADS + _IN_TURNS.format(first="%thread")


_DECLARATIONS = [
    f"declare i32 @llvm.nvvm.read.ptx.sreg.{name}.x()"
    for name in ("tid", "ntid", "ctaid", "nctaid")
]


_MOVED = """\
define internal ptr addrspace(1) @moved(ptr addrspace(1) %base, ptr addrspace(1) %told) \
alwaysinline nounwind {
  %is_fixed = icmp eq ptr addrspace(1) %told, null
  br i1 %is_fixed, label %out, label %read
read:
  %offset = load i64, ptr addrspace(1) %told, align 8
  br label %out
out:
  %by = phi i64 [0, %0], [%offset, %read]
  %place = getelementptr i8, ptr addrspace(1) %base, i64 %by
  ret ptr addrspace(1) %place
}""".splitlines()


def _moved(moving: Sequence[int]) -> list[str]:
    """Where buffers that move are."""
    call = "call ptr addrspace(1) @moved"
    return [f"  %m{k} = {call}(ptr addrspace(1) %b{k}, ptr addrspace(1) %o{k})" for k in moving]


def _tables(buffers: int, sizes: int, moving: Sequence[int]) -> list[str]:
    """Buffers and sizes in memory of the thread, as the inner function wants them."""
    lines = [
        f"  %buffers = alloca [{max(1, buffers)} x ptr], align 8",
        f"  %sizes = alloca [{max(1, sizes)} x i64], align 8",
        "  %fault = alloca [5 x i64], align 8",
        "  %stop = alloca i32, align 4",
        "  store i32 0, ptr %stop, align 4",
    ]
    for k in range(buffers):
        lines += [
            f"  %g{k} = addrspacecast ptr addrspace(1) %{'m' if k in moving else 'b'}{k} to ptr",
            f"  %pb{k} = getelementptr ptr, ptr %buffers, i64 {k}",
            f"  store ptr %g{k}, ptr %pb{k}, align 8",
        ]
    for k in range(sizes):
        lines += [
            f"  %pz{k} = getelementptr i64, ptr %sizes, i64 {k}",
            f"  store i64 %z{k}, ptr %pz{k}, align 8",
        ]
    return lines


_START = f"""\
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %ntid = call i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
  %ctaid = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %nctaid = call i32 @llvm.nvvm.read.ptx.sreg.nctaid.x()
  %before = mul i32 %ctaid, %ntid
  %thread32 = add i32 %before, %tid
  %thread = zext i32 %thread32 to i64
  %area = mul i64 %thread, %scratch_bytes
  %own.g = getelementptr i8, ptr addrspace(1) %scratch, i64 %area
  %own = addrspacecast ptr addrspace(1) %own.g to ptr
  %f1 = getelementptr i64, ptr %fault, i64 1
  %f2 = getelementptr i64, ptr %fault, i64 2
  %f3 = getelementptr i64, ptr %fault, i64 3
  %f4 = getelementptr i64, ptr %fault, i64 4
  store i64 {NO_ERROR}, ptr %fault, align 8
  store i64 {NO_ERROR}, ptr %f1, align 8
  store i64 0, ptr %f2, align 8
  store ptr %stop, ptr %f3, align 8
  store ptr %own, ptr %f4, align 8
""".splitlines()

# Thread t begins with unit t, or block b with unit b, of which there are no fewer than blocks.
_BY_THREADS = """\
  %threads32 = mul i32 %ntid, %nctaid
  %stride = zext i32 %threads32 to i64
  %any = icmp slt i64 %thread, %extent
  br i1 %any, label %again, label %out
"""
_BY_BLOCKS = """\
  %block = zext i32 %ctaid to i64
  %stride = zext i32 %nctaid to i64
  br label %again
"""
_IN_TURNS = """\
again:
  %begin = phi i64 [{first}, %entry], [%next, %again]
  %end = add i64 %begin, 1
  %code = call i32 @units(ptr %buffers, ptr %sizes, i64 %begin, i64 %end, ptr %fault)
  %next = add i64 %begin, %stride
  %more = icmp slt i64 %next, %extent
  br i1 %more, label %again, label %done
"""

_AT_ONCE = """\
  %is_first = icmp eq i64 %thread, 0
  br i1 %is_first, label %once, label %out
once:
  %code = call i32 @units(ptr %buffers, ptr %sizes, i64 0, i64 %extent, ptr %fault)
  br label %done
"""

_END = f"""\
done:
  %site = load i64, ptr %fault, align 8
  %failed = icmp ne i64 %site, {NO_ERROR}
  br i1 %failed, label %record, label %out
record:
  %index = load i64, ptr %f1, align 8
  %value = load i64, ptr %f2, align 8
  %l = shl i64 %launch, {SITE_BITS + INDEX_BITS}
  %s = shl i64 %site, {INDEX_BITS}
  %ls = or i64 %l, %s
  %key = or i64 %ls, %index
  %old = atomicrmw umin ptr addrspace(1) %slot, i64 %key syncscope("device") monotonic
  %is_least = icmp ult i64 %key, %old
  br i1 %is_least, label %keep, label %out
keep:
  %place = mul i64 %thread, {RECORD_BYTES}
  %behind = add i64 %place, {SLOT_BYTES}
  %record.g = getelementptr i8, ptr addrspace(1) %slot, i64 %behind
  store i64 %key, ptr addrspace(1) %record.g, align 8
  %value.g = getelementptr i8, ptr addrspace(1) %record.g, i64 8
  store i64 %value, ptr addrspace(1) %value.g, align 8
  br label %out
out:
  ret void
}}""".splitlines()
