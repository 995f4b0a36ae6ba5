"""The variables of the user's program that values are given to, read from its bytecode.

In: the lines that equations came from. Out: names. Must not know: what the values are.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from types import CodeType
from typing import Any

from jitml.ir.graph import Eqn, Var
from jitml.ir.source import Source

_STORES = ("STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF")
_ENDS = ("RETURN_VALUE", "POP_TOP", "YIELD_VALUE")
RESULT = "result"  # what a value is called that the function returns at once
_SKIPPED = frozenset(
    {
        "CACHE",
        "PUSH_NULL",
        "EXTENDED_ARG",
        "PRECALL",
        "NOP",
        "RESUME",
        "NOT_TAKEN",
        "COPY_FREE_VARS",
    }
)


@functools.lru_cache(maxsize=256)
def instructions_of(code: CodeType) -> list[Any]:
    """The instructions of `code` that do something (`dis.Instruction`)."""
    import dis

    found = [i for i in dis.get_instructions(code) if i.opname not in _SKIPPED]
    return [part for instruction in found for part in _parts(instruction)]


def _parts(instruction: Any) -> list[Any]:
    """The two instructions that a newer Python has as one: STORE_FAST_LOAD_FAST and its kin."""
    first, fast, second = instruction.opname.partition("_FAST_")
    if not fast or not isinstance(instruction.argval, tuple):
        return [instruction]
    names = zip((f"{first}_FAST", second), instruction.argval, strict=True)
    return [instruction._replace(opname=name, argval=value) for name, value in names]


def variable_of(source: Source) -> str:
    """The variable that the user's expression is given to at once; empty if there is none."""
    return _target(source, is_near=True)


def statement_variable(source: Source) -> str:
    """The variable that the statement around the expression gives its value to, or "result"."""
    return _target(source, is_near=False)


def name_of_value(var: Var, eqn: Eqn | None) -> str:
    """What the user calls a value: its own name, or the variable of its statement."""
    if var.name or eqn is None:
        return var.name
    code, offset = eqn.source.instruction
    names = () if code is None else _unpacked_after(code, offset)
    if len(names) == len(eqn.outputs):
        return names[eqn.outputs.index(var)]
    return statement_variable(eqn.source)


def statement_variables(eqns: Iterable[Eqn]) -> tuple[str, ...]:
    """The variables of the statements that equations come from, each once."""
    return tuple(dict.fromkeys(filter(None, [statement_variable(eqn.source) for eqn in eqns])))


def _target(source: Source, is_near: bool) -> str:
    code, offset = source.instruction
    return "" if code is None else _stored_after(code, offset, is_near)


@functools.lru_cache(maxsize=8192)
def _stored_after(code: CodeType, offset: int, is_near: bool) -> str:
    """The name that is stored to first after an instruction: right after it, if `is_near`."""
    found = instructions_of(code)
    later = [one for one in found if one.offset > offset]  # it may point into what caches a call
    for number, instruction in enumerate(later):
        if instruction.opname in _STORES:
            return str(instruction.argval)
        if instruction.opname in _ENDS:
            return RESULT if instruction.opname == "RETURN_VALUE" else ""
        if _leaves(instruction) or (is_near and number == 0):
            return ""
    return ""


@functools.lru_cache(maxsize=8192)
def _unpacked_after(code: CodeType, offset: int) -> tuple[str, ...]:
    """The names that the parts of a tuple go to, right after the instruction that makes it."""
    later = [one for one in instructions_of(code) if one.offset > offset]
    if not later or later[0].opname != "UNPACK_SEQUENCE":
        return ()
    stores = later[1 : 1 + int(later[0].arg)]
    return tuple([str(s.argval) for s in stores if s.opname in _STORES])


def _leaves(instruction: Any) -> bool:
    """Whether the program may go on elsewhere."""
    return "JUMP" in instruction.opname or instruction.opname in ("FOR_ITER", "SEND")
