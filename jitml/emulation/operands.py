"""Operands of instructions as functions of the machine's state.

Comes in: the text of an operand and the type that the instruction gives it. Goes out: a function
that reads it for some lanes, or one that writes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jitml.emulation.ptx import PtxError, bits_of

if TYPE_CHECKING:
    from jitml.emulation.machine import Kernel, Lanes

Array = np.ndarray[Any, Any]
Reader = Callable[["Lanes", Array], Array]
Writer = Callable[["Lanes", Array, Any], None]
_UNSIGNED = {1: np.bool_, 8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}
_KINDS = {"f": "f", "s": "i", "u": "u", "b": "u"}
SPECIAL = re.compile(r"%(?:tid|ntid|ctaid|nctaid)\.[xyz]|%laneid|%warpid|%dynamic_smem_size")
_ADDRESS = re.compile(r"\[([^+\]]+?)(?:\+(-?\w+))?\]")


def dtype_of(type_: str) -> np.dtype[Any]:
    """NumPy's type for a PTX type."""
    if type_ == "pred":
        return np.dtype(bool)
    return np.dtype(f"{_KINDS[type_[0]]}{bits_of(type_) // 8}")


def number(text: str, dtype: np.dtype[Any]) -> Any:
    """An immediate operand as a number of this type; None if it is none."""
    if text.startswith("0f"):
        bits = np.array(int(text[2:], 16), np.uint32)
    elif text.startswith("0d"):
        bits = np.array(int(text[2:], 16), np.uint64)
    elif re.fullmatch(r"-?(0x[0-9A-Fa-f]+|\d+)U?", text):
        value = int(text.rstrip("U"), 0)
        if dtype.kind == "b":
            return np.array(bool(value))
        if dtype.kind == "f":
            return np.array(value, dtype)
        bits = np.array(value % (1 << 8 * dtype.itemsize), f"u{dtype.itemsize}")
    else:
        return None
    return bits.view(dtype) if bits.dtype.itemsize == dtype.itemsize else bits.astype(dtype)


def reader(kernel: Kernel, text: str, type_: str) -> Reader:
    """A function that reads an operand."""
    dtype = dtype_of(type_)
    constant = number(text, dtype)
    if constant is not None:
        return lambda state, lanes: constant
    if SPECIAL.fullmatch(text):
        return lambda state, lanes: state.special[text][lanes].astype(dtype)
    bits = kernel.entry.registers.get(text)
    if bits is None and not text.startswith("%"):
        address = np.array(symbol(kernel, text), np.uint64)
        return lambda state, lanes: address.astype(dtype)
    if bits is None:
        raise PtxError(f"unknown register {text}")
    if dtype.kind == "b" or bits == 8 * dtype.itemsize:
        return lambda state, lanes: state.read(text, lanes).view(dtype)
    unsigned = _UNSIGNED[8 * dtype.itemsize]
    return lambda state, lanes: state.read(text, lanes).astype(unsigned).view(dtype)


def symbol(kernel: Kernel, name: str) -> int:
    """The address of a variable within its space."""
    for table in (kernel.shared, kernel.local, kernel.constants):
        if name in table:
            return table[name]
    raise PtxError(f"unknown name {name}")


def writer(kernel: Kernel, text: str, type_: str) -> Writer:
    """A function that writes values of this type to a register, extended to its width."""
    if text == "_":
        return lambda state, lanes, values: None
    bits = kernel.entry.registers.get(text)
    if bits is None:
        raise PtxError(f"unknown register {text}")
    register = np.dtype(_UNSIGNED[bits])
    dtype = dtype_of(type_)
    wide = np.dtype(f"i{register.itemsize}") if dtype.kind == "i" else register

    def write(state: Lanes, lanes: Array, values: Any) -> None:
        values = np.asarray(values)
        if values.dtype.kind == "f":
            values = values.view(f"u{values.dtype.itemsize}")
        if values.dtype.itemsize == register.itemsize:
            state.write(text, values.view(register), lanes)
        else:
            state.write(text, values.astype(wide).view(register), lanes)

    return write


def address(kernel: Kernel, text: str) -> Reader:
    """A function that reads the address in brackets."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise PtxError(f"no address: {text}")
    base, offset = found[1].strip(), int(found[2] or "0", 0)
    move = np.uint64(offset % (1 << 64))
    if base.startswith("%"):
        bits = kernel.entry.registers[base]
        read = reader(kernel, base, f"u{bits}")
        return lambda state, lanes: read(state, lanes).astype(np.uint64) + move
    place = np.array(number(base, np.dtype(np.uint64)) or symbol(kernel, base), np.uint64) + move
    return lambda state, lanes: np.full(len(lanes), place)


def parts_of(text: str) -> list[str]:
    """The registers of a vector operand; one where it is none."""
    return [p.strip() for p in text.strip("{}").split(",")]
