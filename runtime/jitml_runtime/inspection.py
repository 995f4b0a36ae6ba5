"""Tell profilers and debuggers what the loaded machine code is: perf (JITML_PERF=1) and gdb
(JITML_GDB=1).

In: loaded code and the labels of the instructions that run it. Out: lines in /tmp/perf-<pid>.map;
object files registered where gdb looks for them. Nothing is done unless the environment asks.
Must not know what kernels compute.
"""

from __future__ import annotations

import os
import struct
import warnings
import weakref
from collections.abc import Iterator, Sequence
from importlib import import_module

from .code import Code
from .plan import Instruction, Plan

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMBOL_TABLE, _FUNCTION = 2, 2

_told: weakref.WeakSet[Code] = weakref.WeakSet()
_lines: list[str] = []


def announce(plan: Plan, codes: Sequence[Code]) -> None:
    """Tell about the kernels of a plan; each is told once, under its first instruction's label."""
    for step in plan.instructions:
        if not isinstance(step, Instruction):
            continue
        code = codes[step.kernel]
        if code.image is None or code in _told:
            continue
        _told.add(code)
        if _is_asked("JITML_PERF"):
            _tell_perf(code.image, step.label)
        if _is_asked("JITML_GDB"):
            _tell_gdb(code, code.image)


def functions(image: bytes) -> Iterator[tuple[str, int, int]]:
    """Name, address and size of each function of an object that has its sections' addresses."""
    (table,) = struct.unpack_from("<Q", image, 40)
    (count,) = struct.unpack_from("<H", image, 60)
    sections = [_SECTION.unpack_from(image, table + 64 * number) for number in range(count)]
    for _, kind, _, _, offset, size, link, _, _, _ in sections:
        if kind != _SYMBOL_TABLE:
            continue
        names = sections[link][4]
        for at in range(offset, offset + size, _SYMBOL.size):
            name, info, _, section, value, length = _SYMBOL.unpack_from(image, at)
            if info & 15 == _FUNCTION and 0 < section < count and sections[section][3]:
                start = names + name
                text = image[start : image.index(b"\0", start)].decode()
                yield text, sections[section][3] + value, length


def _is_asked(variable: str) -> bool:
    return os.environ.get(variable, "0") not in ("", "0")


# ---- perf ----


def _tell_perf(image: bytes, label: str) -> None:
    for name, address, size in functions(image):
        _lines.append(f"{address:x} {size:x} jitml {label or name}\n")
        _write_map(_lines[-1:])


def _write_map(lines: Sequence[str]) -> None:
    path = f"/tmp/perf-{os.getpid()}.map"  # the place where perf looks
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            file.write("".join(lines))
    except OSError as error:
        _warn(f"JITML_PERF: {path} cannot be written ({error.strerror}); perf shows no names")


def _write_whole_map() -> None:
    if _lines:
        _write_map(_lines)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_write_whole_map)  # a child is another process to perf


# ---- gdb ----


def _tell_gdb(code: Code, image: bytes) -> None:
    try:
        core = import_module("._core", __package__)
    except ImportError:
        _warn("JITML_GDB: gdb can only be told through the C core, which is not built")
        return
    weakref.finalize(code, core.unregister_debug_image, core.register_debug_image(image))


def _warn(message: str) -> None:
    warnings.warn_explicit(message, RuntimeWarning, filename=__name__, lineno=0, module=__name__)
