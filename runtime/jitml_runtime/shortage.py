"""What a MemoryError says: how much is in use, and which variables hold the largest arrays.

In: the live arrays and the caller's frames, looked at only when memory has run out. Out: text.
Must not know why the memory was asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, FrameType, ModuleType
from typing import Any

SHOWN_ARRAYS = 4
_MAX_DEPTH = 4
_MAX_LOOKS = 50_000  # values looked at, so that a huge container does not delay the error
_OWN_PACKAGES = ("jitml", "jitml_runtime")


def describe_shortage(size_bytes: int, bytes_in_use: int, arrays: Sequence[Any]) -> str:
    """Return the message of a MemoryError for a request of ``size_bytes``, with ``arrays`` alive.

    The variables are those of the functions that run now.
    """
    opening = f"cannot allocate {size_text(size_bytes)}; {size_text(bytes_in_use)} are in use"
    arrays = sorted(arrays, key=lambda array: -int(array.nbytes))[:SHOWN_ARRAYS]
    if not arrays:
        return opening
    names = _find_names({id(array) for array in arrays}, sys._getframe(1))
    rows = [
        f"  {size_text(array.nbytes)}  {array.dtype}[{','.join(map(str, array.shape))}]  "
        f"{names.get(id(array), 'in no variable of the callers')}"
        for array in arrays
    ]
    hint = "hint: `del` what is no longer needed, or donate it to the function that replaces it"
    return "\n".join([f"{opening}, the largest arrays:", *rows, hint])


def size_text(size_bytes: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    size = float(size_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size_bytes} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


# ---- names ----


def _find_names(wanted: set[int], frame: FrameType | None) -> dict[int, str]:
    """Return, by identity, the variables of the frame and its callers that lead to the objects."""
    found: dict[int, str] = {}
    search = _Search(wanted, found)
    modules: set[int] = set()
    while frame is not None and len(found) < len(wanted):
        scope = frame.f_globals
        if str(scope.get("__name__", "")).partition(".")[0] not in _OWN_PACKAGES:
            for name, value in list(frame.f_locals.items()):
                search.look(name, value, lambda name, frame=frame: _where(frame, name))
            if id(scope) not in modules and frame.f_locals is not scope:
                modules.add(id(scope))
                file = frame.f_code.co_filename
                for name, value in list(scope.items()):
                    search.look(name, value, lambda _, file=file: f"global of {file}")
        frame = frame.f_back
    return found


class _Search:
    """The way from variables through containers to the wanted objects."""

    def __init__(self, wanted: set[int], found: dict[int, str]) -> None:
        self.wanted = wanted
        self.found = found
        self.looks = 0
        self.seen: set[int] = set()

    def look(self, variable: str, value: Any, where: Any) -> None:
        """Note every wanted object within ``value``; ``where`` tells the variable's place."""
        for path, part in self._parts(variable, value, 0):
            if id(part) in self.wanted and id(part) not in self.found:
                self.found[id(part)] = f"{path}  ({where(variable)})"

    def _parts(self, path: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
        yield path, value
        if depth == _MAX_DEPTH or id(value) in self.seen or isinstance(value, (str, bytes, type)):
            return
        entries = _entries(value)
        if entries:
            self.seen.add(id(value))
        for step, part in entries:
            self.looks += 1
            if self.looks > _MAX_LOOKS:
                return
            yield from self._parts(path + step, part, depth + 1)


def _entries(value: Any) -> list[tuple[str, Any]]:
    """Parts of a container or of an instance, each with how it is written."""
    if isinstance(value, dict):
        keys = [key if isinstance(key, (str, int)) else ... for key in value]
        parts = list(value.values())
        return [(f"[{key!r}]", part) for key, part in zip(keys, parts, strict=True)]
    if isinstance(value, (list, tuple)):
        return [(f"[{number}]", part) for number, part in enumerate(value)]
    if isinstance(value, ModuleType):
        return []
    try:
        attributes = vars(value)
    except Exception:  # no instance dictionary, or a class with ideas of its own
        return []
    known = attributes if isinstance(attributes, Mapping) else {}
    return [(f".{name}", part) for name, part in known.items()]


def _where(frame: FrameType, name: str) -> str:
    """File, line and function where the variable was last assigned before the frame's line."""
    code = frame.f_code
    lines = sorted(set(_assigned_lines(code, name)))
    before = [line for line in lines if line <= frame.f_lineno]
    line = (before or lines or [code.co_firstlineno])[-1]
    function = "" if code.co_name == "<module>" else f" in {code.co_name}"
    return f"{code.co_filename}:{line}{function}"


def _assigned_lines(code: CodeType, name: str) -> Iterator[int]:
    import dis

    starts = list(dis.findlinestarts(code))
    for instruction in dis.get_instructions(code):
        argument = instruction.argval
        stored = argument if isinstance(argument, tuple) else (argument,)
        if instruction.opname.startswith("STORE_") and name in stored:
            yield from [line for at, line in starts if at <= instruction.offset and line][-1:]
