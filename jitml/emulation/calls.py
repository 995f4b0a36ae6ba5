"""Bodies of functions in place of their calls.

Comes in: a kernel, the functions around it. Goes out: a kernel without calls. What is passed goes
through registers of its own, one for each place of a parameter. Functions do not call themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from jitml.emulation.ptx import Entry, Instruction, PtxError, bits_of

SET_CONDITIONAL = "cudaGraphSetConditional"  # the driver's own
_DEEPEST = 16  # calls within calls
_NAME = re.compile(r"[%$]?[\w$]+(?:\.[xyz])?")
_PLACE = re.compile(r"\[([\w$.]+)(?:\+(\d+))?\]")


class Inliner:
    """Writes one kernel."""

    def __init__(self, functions: Mapping[str, Entry]) -> None:
        self.functions = functions
        self.count = 0  # calls so far

    def run(self, entry: Entry) -> Entry:
        """The kernel without calls."""
        self.whole = replace(
            entry, registers=dict(entry.registers), instructions=[], labels={},
            variables=dict(entry.variables),
        )  # fmt: skip
        self._body(entry, "", {}, 0)
        return self.whole

    def _body(self, body: Entry, prefix: str, passed: dict[str, str], depth: int) -> None:
        """Add a body whose names get a prefix; `passed` are what parameters are called outside."""
        if depth > _DEEPEST:
            raise PtxError(f"{body.name} calls itself")
        places: dict[int, list[str]] = {}
        for label, place in body.labels.items():
            places.setdefault(place, []).append(label)
        last = self.count  # the call whose result is read
        self.count += 1
        coming = self.count  # the call whose arguments are written
        for number, instruction in enumerate(body.instructions):
            for label in places.get(number, ()):
                self.whole.labels[prefix + label] = len(self.whole.instructions)
            name = instruction.opcode[0]
            if name == "call":
                self._call(instruction, coming, prefix, depth)
                last = coming
                self.count += 1
                coming = self.count
            elif name in ("ld", "st") and instruction.opcode[1] == "param":
                self._pass(instruction, body, prefix, passed, coming if name == "st" else last)
            elif name in ("ret", "exit") and prefix:
                jump = replace(instruction, opcode=("bra",), operands=("$end",))
                self._add(jump, body, prefix)
            else:
                self._add(instruction, body, prefix)
        for label in ("$end", *places.get(len(body.instructions), ())):
            self.whole.labels[prefix + label] = len(self.whole.instructions)
        if prefix:
            self.whole.registers |= {_renamed(n, prefix): b for n, b in body.registers.items()}
            self.whole.variables |= body.variables

    def _add(self, instruction: Instruction, body: Entry, prefix: str) -> None:
        """Add an instruction of a body, its registers and labels under their new names."""
        if prefix:
            known = {*body.registers, *body.labels, "$end"}

            def rename(found: re.Match[str]) -> str:
                return _renamed(found[0], prefix) if found[0] in known else found[0]

            guard = instruction.guard and (
                _renamed(instruction.guard[0], prefix),
                instruction.guard[1],
            )
            operands = tuple([_NAME.sub(rename, x) for x in instruction.operands])
            instruction = replace(instruction, guard=guard, operands=operands)
        self.whole.instructions.append(instruction)

    def _call(self, instruction: Instruction, number: int, prefix: str, depth: int) -> None:
        """The body of what is called."""
        operands = list(instruction.operands)
        result = operands.pop(0) if operands[0].startswith("(") else None
        if operands[0] == SET_CONDITIONAL and instruction.guard is None:
            places = operands[1].strip("() \n\t").split(",")
            registers = tuple([f"%{prefix}{number}.{place.strip()}+0" for place in places])
            set_ = replace(instruction, opcode=("set_conditional",), operands=registers)
            self.whole.instructions.append(set_)
            return
        function = self.functions.get(operands[0])
        if function is None or instruction.guard is not None:
            raise PtxError(f"line {instruction.line}: {operands[0]} is not defined here")
        given = operands[1].strip("() \n\t").split(",") if len(operands) > 1 else []
        names = [name.strip() for name in given if name.strip()]
        passed = {
            own: f"{prefix}{number}.{name}"
            for own, name in zip(function.parameters, names, strict=True)
        }
        if result is not None and function.result is not None:
            passed[function.result] = f"{prefix}{number}.{result.strip('() ')}"
        self._body(function, f"{prefix}{number}_", passed, depth + 1)

    def _pass(
        self, instruction: Instruction, body: Entry, prefix: str, passed: dict[str, str], call: int
    ) -> None:
        """Write or read a parameter."""
        is_store = instruction.opcode[0] == "st"
        place, value = instruction.operands if is_store else instruction.operands[::-1]
        found = _PLACE.fullmatch(place)
        if found is None or value.startswith("{"):
            raise PtxError(f"line {instruction.line}: {instruction} is not supported")
        if not prefix and found[1] in body.parameters:  # a kernel's own
            self.whole.instructions.append(instruction)
            return
        outside = passed.get(found[1]) or f"{prefix}{call}.{found[1]}"
        register, type_ = f"%{outside}+{found[2] or 0}", instruction.opcode[-1]
        if self.whole.registers.setdefault(register, bits_of(type_)) < bits_of(type_):
            raise PtxError(f"line {instruction.line}: {instruction} reads more than was written")
        operands = (register, value) if is_store else (value, register)
        move = replace(instruction, opcode=("mov", type_), operands=operands)
        self._add_passed(move, body, prefix, register)

    def _add_passed(self, move: Instruction, body: Entry, prefix: str, register: str) -> None:
        """Add a move whose one side has its final name already."""
        self._add(move, body, prefix)
        last = self.whole.instructions[-1]
        operands = tuple(
            [register if old == register else new
             for old, new in zip(move.operands, last.operands, strict=True)]
        )  # fmt: skip
        self.whole.instructions[-1] = replace(last, operands=operands)


def _renamed(name: str, prefix: str) -> str:
    """A register, or a label, under a name that no other has."""
    return f"%{prefix}{name[1:]}" if name.startswith("%") else prefix + name
