"""Copies into shared memory that go on beside a thread's work: cp.async, its groups, its waits.

Comes in: the emitter of a kernel, addresses. Goes out: lines of its text. Others see what a thread
has waited for behind the next barrier.
"""

from __future__ import annotations

from jitml.codegen.llvm import Emitter
from jitml.scalar.value import Value, convert

RUN_BYTES = 16  # that one copy brings at most


def copy_later(
    emit: Emitter, target: Value, source: Value, size_bytes: int, wanted_bytes: Value
) -> None:
    """Ask for 4 or 16 bytes at `target`: the first are those at `source`, what is not wanted 0."""
    kind = "cg" if size_bytes == RUN_BYTES else "ca"
    function = f"@llvm.nvvm.cp.async.{kind}.shared.global.{size_bytes}.s"
    emit.declarations.add(f"declare void {function}(ptr addrspace(3), ptr addrspace(1), i32)")
    there, here = (
        emit.pure(f"addrspacecast ptr {p.ref} to ptr addrspace({space})", "ptr").ref
        for p, space in ((target, 3), (source, 1))
    )
    count = convert(wanted_bytes, "u32").ref
    emit.line(
        f"call void {function}(ptr addrspace(3) {there}, ptr addrspace(1) {here}, i32 {count})"
    )


def close_copies(emit: Emitter) -> None:
    """What has been asked for since the last call becomes a group."""
    _do(emit, "commit.group")


def await_copies(emit: Emitter, left: int) -> None:
    """Wait until no more than the last `left` groups are on their way."""
    _do(emit, "wait.group", f"i32 {left}")


def _do(emit: Emitter, name: str, argument: str = "") -> None:
    function = f"@llvm.nvvm.cp.async.{name}"
    emit.declarations.add(f"declare void {function}({argument.split(' ')[0]})")
    emit.line(f"call void {function}({argument})")
