"""What a function's code names: the globals, closure cells and locals that it loads, and the
attributes and constant entries taken of each right away.

In: code objects of Python 3.10 and later. Out: `Access`es. Must not know: values.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import CodeType
from typing import Any

from jitml.ir.variables import instructions_of
from jitml_runtime.record import frozen

ATTRIBUTE, ENTRY, LENGTH = "attribute", "entry", "length"


@frozen
class Access:
    """`name` is loaded (`is_global`: from the globals, else from a local or cell), then `steps` are
    taken.
    """

    name: str
    is_global: bool
    steps: tuple[tuple[str, Any], ...]


@functools.lru_cache(maxsize=4096)
def accesses(code: CodeType) -> tuple[Access, ...]:
    """The accesses of `code` itself, without those of the functions defined in it."""
    return tuple(dict.fromkeys(_scan(code)))


def inner_codes(code: CodeType) -> list[CodeType]:
    """The code of functions, lambdas and comprehensions defined in `code`."""
    return [c for c in code.co_consts if isinstance(c, CodeType)]


def _scan(code: CodeType) -> Iterator[Access]:
    instructions = instructions_of(code)
    for position, instruction in enumerate(instructions):
        opname = instruction.opname
        is_global = opname in ("LOAD_GLOBAL", "LOAD_NAME")
        if not is_global and not _is_variable(opname):
            continue
        steps = _steps(instructions, position + 1)
        if _is_measured(instructions, position, steps):
            steps = (*steps, (LENGTH, None))
        yield Access(instruction.argval, is_global, steps)


def _is_variable(opname: str) -> bool:
    return "LOAD_FAST" in opname or (opname.startswith("LOAD") and "DEREF" in opname)


def _is_measured(instructions: list[Any], position: int, steps: tuple[Any, ...]) -> bool:
    """Whether what is loaded at `position` is the argument of `len`."""
    after = position + 1 + sum(2 if kind == ENTRY else 1 for kind, _ in steps)
    if position == 0 or after >= len(instructions):
        return False
    function, call = instructions[position - 1], instructions[after]
    return (
        function.opname in ("LOAD_GLOBAL", "LOAD_NAME")
        and function.argval == "len"
        and call.opname in ("CALL", "CALL_FUNCTION")
        and call.argval == 1
    )


def _steps(instructions: list[Any], position: int) -> tuple[tuple[str, Any], ...]:
    steps: list[tuple[str, Any]] = []
    while position < len(instructions):
        instruction = instructions[position]
        if instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            steps.append((ATTRIBUTE, instruction.argval))
            position += 1
        elif _is_constant_entry(instructions, position):
            steps.append((ENTRY, instruction.argval))
            position += 2
        else:
            break
    return tuple(steps)


def _is_constant_entry(instructions: list[Any], position: int) -> bool:
    """Whether `[constant]` comes next; slices are no entries."""
    if position + 1 >= len(instructions):
        return False
    load, subscript = instructions[position : position + 2]
    if load.opname not in ("LOAD_CONST", "LOAD_SMALL_INT") or isinstance(
        load.argval, (slice, tuple)
    ):
        return False
    return bool(subscript.opname == "BINARY_SUBSCR") or (
        subscript.opname == "BINARY_OP" and subscript.argrepr == "[]"
    )
