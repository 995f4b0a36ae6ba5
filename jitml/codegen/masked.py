"""Consecutive elements of which some are left alone.

Comes in: an address, and a mask with one i1 for each element. Goes out: the text of the access;
what is not read is zero.
"""

from __future__ import annotations

from jitml.codegen.llvm import STORAGE_BITS, Emitter, llvm_type, suffix
from jitml.scalar.value import Value


def raw_type(storage: str) -> str:
    """The type of the bits that are stored."""
    return storage if storage not in ("bool", "f16", "bf16") else f"u{STORAGE_BITS[storage]}"


def masked_load(emit: Emitter, address: Value, storage: str, mask: Value) -> Value:
    """Read the elements whose mask holds."""
    raw, lanes = raw_type(storage), mask.lanes
    vector, masks = llvm_type(raw, lanes), llvm_type("i1", lanes)
    function = f"@llvm.masked.load.{suffix(raw, lanes)}.p0"
    emit.declarations.add(f"declare {vector} {function}(ptr, i32, {masks}, {vector})")
    align = STORAGE_BITS[storage] // 8
    text = (
        f"call {vector} {function}(ptr {address.ref}, i32 {align}, {masks} {mask.ref}, "
        f"{vector} zeroinitializer)"
    )
    return emit.widen(emit.effect(text, raw, lanes), storage)


def masked_store(emit: Emitter, address: Value, value: Value, storage: str, mask: Value) -> None:
    """Write the elements whose mask holds."""
    raw, lanes = emit.narrow(value, storage), mask.lanes
    vector, masks = llvm_type(raw.type, lanes), llvm_type("i1", lanes)
    function = f"@llvm.masked.store.{suffix(raw.type, lanes)}.p0"
    emit.declarations.add(f"declare void {function}({vector}, ptr, i32, {masks})")
    align = STORAGE_BITS[storage] // 8
    emit.line(
        f"call void {function}({vector} {raw.ref}, ptr {address.ref}, i32 {align}, "
        f"{masks} {mask.ref})"
    )
