"""Load compiled object files: bytes in, addresses of functions out.

On x86-64 Linux an own loader of ELF relocatables is used: copy the sections to fresh memory,
relocate, then make code executable and the rest read-only; no page is ever writable and
executable at once. Elsewhere llvmlite's loader serves. Must not know what the functions do.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import struct
import sys
import time
from functools import cache
from importlib import import_module
from typing import Any

from .errors import LoadError
from .record import frozen

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")
_SYMBOL_TABLE, _RELOCATIONS_WITH_ADDEND, _NO_BITS, _RELOCATIONS = 2, 4, 8, 9
_UNWIND = 0x70000001
_WRITE, _ALLOCATE, _EXECUTE = 1, 2, 4
_R_64, _R_PC32, _R_PLT32 = 1, 2, 4
_R_GOT = (9, 41, 42)  # GOTPCREL, GOTPCRELX, REX_GOTPCRELX
_ABSOLUTE = 0xFFF1
_MAX_ALIGNMENT = mmap.PAGESIZE
IS_INSPECTED = any(
    os.environ.get(name, "0") not in ("", "0") for name in ("JITML_PERF", "JITML_GDB")
)  # whether `inspection` is to tell profilers and debuggers what is loaded
IMPORTED_AT = time.time()  # source changed later is not what this process runs


@frozen
class _Section:
    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


class Code:
    """Loaded machine code; the memory lives as long as this object."""

    __slots__ = ("__weakref__", "_addresses", "_memory", "image")

    def __init__(self, addresses: dict[str, int], memory: Any, image: bytes | None = None) -> None:
        self._addresses = addresses
        self._memory = memory
        self.image = image  # the object with its sections' addresses, if a tool is to be told

    def address(self, symbol: str) -> int:
        """Return the address of a global ``symbol``."""
        found = self._addresses.get(symbol)
        if found is None:
            known = ", ".join(sorted(self._addresses)) or "none"
            raise LoadError(f"the object defines no symbol {symbol!r} (it has: {known})")
        return found

    def symbols(self) -> tuple[str, ...]:
        """Return the names of the global symbols."""
        return tuple(self._addresses)


def load_object(data: bytes) -> Code:
    """Load an object file; raise LoadError if it is damaged or has anything unresolved."""
    if not has_own_loader():
        return load_with_llvmlite(data)
    try:
        return _Loader(data).load()
    except (struct.error, IndexError, ValueError) as error:
        raise LoadError(f"damaged object file: {error}") from error


def has_own_loader() -> bool:
    """Whether this machine is one that the own loader serves."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


class _Loader:
    """One load: parse, place, relocate, protect."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sections = self._read_sections()
        self.places: list[int | None] = [None] * len(self.sections)
        self.ranges: list[tuple[int, int, int]] = []  # begin, end, protection
        self.got_slots: dict[int, int] = {}
        self.symbols = self._read_symbols()

    def load(self) -> Code:
        relocations = self._read_relocations()
        size = self._place(relocations)
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # shared ones cannot take breakpoints
        self.memory = mmap.mmap(-1, size, flags, mmap.PROT_READ | mmap.PROT_WRITE)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        for section, place in zip(self.sections, self.places, strict=True):
            if place is not None and section.type != _NO_BITS:
                self.memory[place : place + section.size] = self._bytes(section)
        for target, entry in relocations:
            self._relocate(target, *entry)
        for begin, end, protection in self.ranges:
            _protect(self.base + begin, end - begin, protection)
        return Code(self._exports(), self.memory, self._image() if IS_INSPECTED else None)

    def _image(self) -> bytes:
        """The object, with the address of every section that has been loaded."""
        image = bytearray(self.data)
        (table,) = struct.unpack_from("<Q", image, 40)
        for number, place in enumerate(self.places):
            if place is not None:
                struct.pack_into(
                    "<Q", image, table + number * _SECTION.size + 16, self.base + place
                )
        return bytes(image)

    def _read_sections(self) -> list[_Section]:
        data = self.data
        if data[:6] != b"\x7fELF\x02\x01":
            raise LoadError("not a 64-bit little-endian ELF file")
        kind, machine = struct.unpack_from("<HH", data, 16)
        if (kind, machine) != (1, 62):
            raise LoadError(f"not an x86-64 relocatable (type {kind}, machine {machine})")
        (table,) = struct.unpack_from("<Q", data, 40)
        entry_size, count = struct.unpack_from("<HH", data, 58)
        if entry_size != _SECTION.size or table + count * entry_size > len(data):
            raise LoadError("damaged object file: the section table is cut off")
        entries = _SECTION.iter_unpack(data[table : table + count * entry_size])
        sections = [_Section(*entry) for entry in entries]
        for section in sections:
            if section.type != _NO_BITS and section.offset + section.size > len(data):
                raise LoadError("damaged object file: a section is cut off")
            if section.alignment > _MAX_ALIGNMENT:
                raise LoadError(f"section alignment {section.alignment} is not supported")
        return sections

    def _bytes(self, section: _Section) -> bytes:
        return self.data[section.offset : section.offset + section.size]

    def _read_symbols(self) -> list[tuple[str, int, int, int]]:
        """Return name, section, value and info of every symbol."""
        tables = [section for section in self.sections if section.type == _SYMBOL_TABLE]
        if len(tables) != 1:
            raise LoadError("damaged object file: it must have one symbol table")
        names = self._bytes(self.sections[tables[0].link])
        return [
            (names[name : names.index(b"\0", name)].decode(), section, value, info)
            for name, info, _, section, value, _ in _SYMBOL.iter_unpack(self._bytes(tables[0]))
        ]

    def _address(self, number: int) -> int:
        name, section, value, _ = self.symbols[number]
        if section == _ABSOLUTE:
            return value
        place = self.places[section] if 0 < section < len(self.places) else None
        if place is None:
            raise LoadError(f"undefined symbol {name!r}: kernels must not call outside themselves")
        if value > self.sections[section].size:
            raise LoadError(f"damaged object file: symbol {name!r} lies outside its section")
        return self.base + place + value

    def _read_relocations(self) -> list[tuple[int, tuple[int, int, int]]]:
        found: list[tuple[int, tuple[int, int, int]]] = []
        for section in self.sections:
            if section.type not in (_RELOCATIONS, _RELOCATIONS_WITH_ADDEND):
                continue
            if not _is_kept(self.sections[section.info]):
                continue
            if section.type == _RELOCATIONS:
                raise LoadError("relocations without addends are not supported")
            entries = _RELOCATION.iter_unpack(self._bytes(section))
            found.extend((section.info, entry) for entry in entries)
        return found

    def _place(self, relocations: list[tuple[int, tuple[int, int, int]]]) -> int:
        """Give every section that is kept its place, grouped into pages by protection."""
        for _, (_, info, _) in relocations:
            if info & 0xFFFFFFFF in _R_GOT:
                self.got_slots.setdefault(info >> 32, 8 * len(self.got_slots))
        begin, position = 0, 8 * len(self.got_slots)
        kept = [
            (number, section, _protection(section.flags))
            for number, section in enumerate(self.sections)
            if _is_kept(section)
        ]
        for protection in (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_EXEC, None):
            for number, section, own in kept:
                if own == protection:
                    alignment = max(1, section.alignment)
                    position = -(-position // alignment) * alignment
                    self.places[number] = position
                    position += section.size
            end = -(-position // mmap.PAGESIZE) * mmap.PAGESIZE
            if protection is not None and end > begin:
                self.ranges.append((begin, end, protection))
            begin = position = end
        return max(position, mmap.PAGESIZE)

    def _relocate(self, target: int, offset: int, info: int, addend: int) -> None:
        kind, symbol = info & 0xFFFFFFFF, info >> 32
        place = self.places[target]
        width = 8 if kind == _R_64 else 4
        if place is None or offset + width > self.sections[target].size:
            raise LoadError("damaged object file: a relocation lies outside its section")
        at = place + offset
        value = self._address(symbol)
        if kind == _R_64:
            struct.pack_into("<Q", self.memory, at, (value + addend) % 2**64)
            return
        if kind in _R_GOT:
            slot = self.got_slots[symbol]
            struct.pack_into("<Q", self.memory, slot, value)
            value = self.base + slot
        elif kind not in (_R_PC32, _R_PLT32):
            name = self.symbols[symbol][0]
            raise LoadError(f"relocation type {kind} (symbol {name!r}) is not supported")
        struct.pack_into("<i", self.memory, at, value + addend - (self.base + at))

    def _exports(self) -> dict[str, int]:
        exports = {}
        for number, (name, section, _, info) in enumerate(self.symbols):
            if info >> 4 and section and name:  # global or weak, and defined
                exports[name] = self._address(number)
        return exports


def _is_kept(section: _Section) -> bool:
    """Whether a section is needed at run time; unwinding tables, which nobody reads, are not."""
    return bool(section.flags & _ALLOCATE) and section.type != _UNWIND


def _protection(flags: int) -> int | None:
    """Protection of a section's pages; None if they stay writable."""
    if flags & _EXECUTE:
        if flags & _WRITE:
            raise LoadError("a section that is writable and executable is refused")
        return mmap.PROT_READ | mmap.PROT_EXEC
    return None if flags & _WRITE else mmap.PROT_READ


@cache
def _mprotect() -> Any:
    function = ctypes.CDLL(None, use_errno=True).mprotect
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function


def _protect(address: int, size: int, protection: int) -> None:
    if _mprotect()(address, size, protection):
        raise LoadError(f"mprotect failed with error {ctypes.get_errno()}")


def load_with_llvmlite(data: bytes) -> Code:
    """Load an object with llvmlite, on systems that the own loader does not serve."""
    try:
        llvm = import_module("llvmlite.binding")
    except ImportError as error:
        raise LoadError(
            "on this system kernels are loaded through llvmlite, which is missing: "
            "pip install llvmlite"
        ) from error
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    try:
        object_file = llvm.ObjectFileRef.from_data(data)
    except RuntimeError as error:
        raise LoadError(f"damaged object file: {error}") from error
    engine.add_object_file(object_file)
    engine.finalize_object()
    return _LlvmliteCode(engine)


class _LlvmliteCode(Code):
    """Code whose addresses the execution engine tells."""

    __slots__ = ()

    def __init__(self, engine: Any) -> None:
        super().__init__({}, engine)

    def address(self, symbol: str) -> int:
        """Return the address of a global ``symbol``."""
        found: int = self._memory.get_function_address(symbol)
        if not found:
            raise LoadError(f"the object defines no symbol {symbol!r}")
        return found
