"""Guards: which Python values a function reads besides its arguments, and whether they are still the same.

Comes in: a function. Goes out: `Reads`, the values reached from its code through globals, closure cells, defaults,
attributes and entries, also those of the user functions that it calls. Scalars, strings and small containers are
compared; arrays are hidden inputs, fetched anew for each call. Code of installed packages is not followed.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from jitml.ir.source import _PACKAGE
from jitml.trace.core import Tracer
from jitml_runtime import Array

_SCALARS = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype)
_LIBRARIES = tuple(
    {
        os.path.join(p, "")
        for p in (*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages())
        if p
    }
    | {_PACKAGE}
)
_LIMIT = 500  # values followed from one function
_MISSING = object()


@dataclass(frozen=True)
class Read:
    """One value that code reaches: `get` fetches it anew, `value` is what it was, `path` how messages call it.

    `mode`: "same" compares, "array" is a hidden input, "identity" must stay the same object, "content" is an array
    that NumPy code reads and that is compared.
    """

    path: str
    get: Callable[[], Any]
    value: Any
    mode: str

    def with_mode(self, mode: str, value: Any) -> Read:
        return Read(self.path, self.get, value, mode)

    def holds(self) -> bool:
        """Whether the value is what it was."""
        now = self.get()
        if self.mode == "content":
            return isinstance(now, np.ndarray) and np.array_equal(now, self.value, equal_nan=True)
        if now is self.value:
            return True
        if self.mode == "same":
            return type(now) is type(self.value) and _equal(now, self.value)
        return False


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b) or (a != a and b != b)


def find_reads(function: Any, static: tuple[Any, ...] = ()) -> list[Read]:
    """Everything that `function` reads besides its arguments; `static` are the values of leading static arguments."""
    finder = _Finder()
    finder.callable(function, static)
    return finder.reads


class _Finder:
    def __init__(self) -> None:
        self.reads: list[Read] = []
        self.seen: set[tuple[Any, ...]] = set()
        self.codes: set[Any] = set()

    # ---- code ------------------------------------------------------------------------------------

    def callable(self, function: Any, arguments: tuple[Any, ...] = ()) -> None:
        """Follow a function, method or object with `__call__`, if a user wrote it."""
        function = _unwrapped(function)
        if isinstance(function, MethodType):
            arguments = (function.__self__, *arguments)
            function = function.__func__
        elif not isinstance(function, FunctionType) and isinstance(
            getattr(type(function), "__call__", None), FunctionType
        ):
            arguments = (function, *arguments)
            function = type(function).__call__
        if not isinstance(function, FunctionType) or _is_library(function.__code__.co_filename):
            return
        key = (function.__code__, id(function), tuple(map(id, arguments)))
        if key in self.codes or len(self.reads) > _LIMIT:
            return
        self.codes.add(key)
        if function.__defaults__:
            self._defaults(function)
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        local = dict(zip(function.__code__.co_varnames, arguments, strict=False))
        self._code(function.__code__, function.__globals__, cells, local)

    def _defaults(self, function: FunctionType) -> None:
        for number, value in enumerate(function.__defaults__ or ()):

            def get(number: int = number) -> Any:
                now = function.__defaults__ or ()
                return now[number] if number < len(now) else _MISSING

            self.value(f"{function.__name__}.__defaults__[{number}]", get, value)

    def _code(
        self, code: CodeType, names: dict[str, Any], cells: dict[str, Any], local: dict[str, Any]
    ) -> None:
        for root, name, steps in _accesses(code):
            if root == "global" and name in names:
                self._chain(name, lambda name=name: names.get(name, _MISSING), steps)
            elif root == "cell" and name in cells:
                self._chain(name, lambda cell=cells[name]: _contents(cell), steps)
            elif root == "local" and name in local:
                self._chain(name, lambda value=local[name]: value, steps)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self._code(constant, names, cells, {})

    def _chain(self, path: str, get: Callable[[], Any], steps: tuple[tuple[str, Any], ...]) -> None:
        """Follow attributes and entries as far as they lead to something that can be guarded."""
        value = get()
        for kind, key in steps:
            if isinstance(value, (Array, Tracer, np.ndarray, *_SCALARS)) or value is _MISSING:
                break
            if isinstance(value, ModuleType) and _is_library(getattr(value, "__file__", None) or ""):
                return
            step = _attribute if kind == "attribute" else _entry
            get = _then(get, step, key)
            path += f".{key}" if kind == "attribute" else f"[{key!r}]"
            value = get()
        self.value(path, get, value)

    # ---- values ------------------------------------------------------------------------------------

    def value(self, path: str, get: Callable[[], Any], value: Any, depth: int = 0) -> None:
        """Guard one value, or what it contains."""
        if (path, id(value)) in self.seen or len(self.reads) > _LIMIT or value is _MISSING:
            return
        self.seen.add((path, id(value)))
        if isinstance(value, (Array, Tracer, np.ndarray)):
            self.reads.append(Read(path, get, value, "array"))
        elif isinstance(value, _SCALARS):
            self.reads.append(Read(path, get, value, "same"))
        elif isinstance(value, (list, tuple, dict, set, frozenset)):
            self._container(path, get, value, depth)
        elif isinstance(value, ModuleType):
            return
        elif isinstance(value, (FunctionType, MethodType)):
            self._function(path, get, value)
        elif isinstance(value, type):
            self.reads.append(Read(path, get, value, "identity"))
        elif not _is_library(_file_of(type(value))):
            self._object(path, get, value, depth)

    def _function(self, path: str, get: Callable[[], Any], value: Any) -> None:
        code = getattr(value, "__code__", None)
        if code is not None and _is_library(code.co_filename):
            return
        if isinstance(value, FunctionType):
            self.reads.append(Read(path, get, value, "identity"))
        self.callable(value)

    def _container(self, path: str, get: Callable[[], Any], value: Any, depth: int) -> None:
        if isinstance(value, (set, frozenset)):
            frozen = frozenset(value)
            self.reads.append(Read(path, lambda: frozenset(get()), frozen, "same"))
            return
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        self.reads.append(
            Read(f"the keys of {path}", lambda: _keys(get()), tuple(keys), "same")
        )
        if depth < 4 and len(keys) <= _LIMIT:
            for key in keys:
                self.value(f"{path}[{key!r}]", _then(get, _entry, key), value[key], depth + 1)

    def _object(self, path: str, get: Callable[[], Any], value: Any, depth: int) -> None:
        """An instance of a user's class: what it holds, and what it does when called."""
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None:
            self.callable(wrapped)
            return
        fields = getattr(value, "__dict__", None)
        if depth < 3 and isinstance(fields, dict):
            for name, held in list(fields.items()):
                self.value(f"{path}.{name}", _then(get, _attribute, name), held, depth + 1)
        if callable(value):
            self.callable(value)


def _unwrapped(function: Any) -> Any:
    """The user's own function behind jit, partial and functools.wraps."""
    import functools

    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__") and not isinstance(function, type):
            function = function.__wrapped__
        else:
            return function


def _keys(value: Any) -> Any:
    return tuple(value) if isinstance(value, dict) else tuple(range(len(value)))


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING


def _attribute(value: Any, name: str) -> Any:
    return getattr(value, name, _MISSING)


def _entry(value: Any, key: Any) -> Any:
    try:
        return value[key]
    except (KeyError, IndexError, TypeError):
        return _MISSING


def _then(get: Callable[[], Any], step: Callable[[Any, Any], Any], key: Any) -> Callable[[], Any]:
    return lambda: step(get(), key)


def _is_library(file: str) -> bool:
    return not file or file.startswith(("<frozen", *_LIBRARIES))


def _file_of(type_: type) -> str:
    module = sys.modules.get(type_.__module__)
    if type_.__module__ == "builtins":
        return ""
    return getattr(module, "__file__", None) or "<user>"


def _accesses(code: CodeType) -> Iterator[tuple[str, str, tuple[tuple[str, Any], ...]]]:
    """The names that code loads, each with the attributes and constant entries taken of it right away."""
    found = _ACCESSES.get(code)
    if found is None:
        found = _ACCESSES[code] = list(_scan(code))
    return iter(found)


_ACCESSES: dict[CodeType, list[tuple[str, str, tuple[tuple[str, Any], ...]]]] = {}


def _scan(code: CodeType) -> Iterator[tuple[str, str, tuple[tuple[str, Any], ...]]]:
    import dis

    skipped = ("CACHE", "PUSH_NULL", "EXTENDED_ARG", "PRECALL", "NOP", "RESUME")
    instructions = [i for i in dis.get_instructions(code) if i.opname not in skipped]
    for position, instruction in enumerate(instructions):
        root = _root_of(instruction.opname)
        if root is None:
            continue
        names = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
        for name in names[:-1]:
            yield root, name, ()
        yield root, names[-1], _steps(instructions, position + 1)


def _root_of(opname: str) -> str | None:
    if opname in ("LOAD_GLOBAL", "LOAD_NAME"):
        return "global"
    if "DEREF" in opname and opname.startswith("LOAD"):
        return "cell"
    return "local" if opname.startswith("LOAD_FAST") else None


def _steps(instructions: list[Any], position: int) -> tuple[tuple[str, Any], ...]:
    steps: list[tuple[str, Any]] = []
    while position < len(instructions):
        instruction = instructions[position]
        if instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            steps.append(("attribute", instruction.argval))
            position += 1
        elif (
            instruction.opname.startswith("LOAD_CONST")
            and position + 1 < len(instructions)
            and _is_subscript(instructions[position + 1])
        ):
            steps.append(("entry", instruction.argval))
            position += 2
        else:
            break
    return tuple(steps)


def _is_subscript(instruction: Any) -> bool:
    return instruction.opname == "BINARY_SUBSCR" or (
        instruction.opname == "BINARY_OP" and instruction.argrepr == "[]"
    )
