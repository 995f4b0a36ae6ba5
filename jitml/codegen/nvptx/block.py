"""What the threads of a block share: their numbers, barriers, shared memory.

Comes in: the emitter of a kernel. Goes out: values and lines of its text.
"""

from __future__ import annotations

from jitml.codegen.llvm import Emitter
from jitml.scalar.value import Value, convert

MOST_SHARED_BYTES = 48 << 10  # of a block, without asking the driver for more
MOST_SMALL = 1 << 31  # numbers below are divided in 32 bits, which takes a fraction of the time
_THREAD = "@llvm.nvvm.read.ptx.sreg.tid.x"
_BARRIER = "@llvm.nvvm.barrier.cta.sync.aligned.all"


def thread_number(emit: Emitter) -> Value:
    """The number of this thread in its block."""
    emit.declarations.add(f"declare i32 {_THREAD}()")
    return emit.pure(f"call i32 {_THREAD}()", "u32")


def barrier(emit: Emitter) -> None:
    """Wait until all threads of the block are here."""
    emit.declarations.add(f"declare void {_BARRIER}(i32) convergent")
    emit.line(f"call void {_BARRIER}(i32 0)")


def shared_memory(emit: Emitter, name: str) -> Value:
    """Where the shared memory of this name begins."""
    return Value(emit, "ptr", 1, f"addrspacecast (ptr addrspace(3) @{name} to ptr)")


def declare_shared(name: str, size_bytes: int, align: int = 16) -> str:
    """The declaration of shared memory."""
    return f"@{name} = internal addrspace(3) global [{size_bytes} x i8] undef, align {align}\n"


def divide(number: Value, divisor: Value, is_small: bool) -> tuple[Value, Value]:
    """Quotient and remainder of whole numbers that are not negative."""
    if not is_small:
        quotient = number / divisor
        return quotient, number - quotient * divisor
    low, size = convert(number, "u32"), convert(divisor, "u32")
    quotient = low / size
    return convert(quotient, "i64"), convert(low - quotient * size, "i64")


def parts_of(extent: Value, size: int) -> Value:
    """How many parts of `size`, a power of two, hold so much; shifted, as nothing is negative."""
    return (extent + (size - 1)) >> (size.bit_length() - 1)
