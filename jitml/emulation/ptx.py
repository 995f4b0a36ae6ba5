"""PTX text as data: kernels, their instructions, and the variables around them.

Comes in: the text of a module. Goes out: a `Module`. It knows syntax alone; what instructions mean
is `instructions`' business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field


class PtxError(ValueError):
    """A text that is no PTX, or an instruction that the emulator does not know."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: `opcode` is `ld.global.b32` taken apart at the dots; `guard` is a predicate
    register and whether it must be false.
    """

    guard: tuple[str, bool] | None
    opcode: tuple[str, ...]
    operands: tuple[str, ...]
    line: int

    def __str__(self) -> str:
        name = ".".join(self.opcode)
        guard = "" if self.guard is None else f"@{'!' * self.guard[1]}{self.guard[0]} "
        return f"{guard}{name} {', '.join(self.operands)}".rstrip()


@dataclass(frozen=True)
class Variable:
    """Memory that a module or a kernel declares."""

    name: str
    space: str
    align: int
    size_bytes: int
    data: bytes = b""


@dataclass
class Entry:
    """A kernel: parameter sizes in order, registers with their bits (1: a predicate)."""

    name: str
    parameters: dict[str, int] = field(default_factory=dict)
    registers: dict[str, int] = field(default_factory=dict)
    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    most_threads: int | None = None


@dataclass
class Module:
    """A PTX module."""

    target: str
    entries: dict[str, Entry]
    variables: dict[str, Variable]


PAIRS = {"f16x2": "f2", "s16x2": "i2", "u16x2": "u2"}  # two numbers in one register
_BITS = re.compile(r"[a-z]+(\d+)")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_VARIABLE = re.compile(
    r"(?:\.visible |\.extern |\.weak )?\.(global|shared|const|local)\s+(?:\.align (\d+)\s+)?"
    r"\.([a-z]\d+)\s+([\w$.%]+)(?:\[(\d*)\])?\s*(?:=\s*(.*))?$",
    re.DOTALL,
)
_ENTRY = re.compile(r"(?:\.visible\s+|\.weak\s+)*\.entry\s+([\w$]+)\s*\((.*)\)(.*)$", re.DOTALL)
_LABEL = re.compile(r"([\w$]+):\s*(.*)$", re.DOTALL)
_INSTRUCTION = re.compile(r"(?:@(!?)(%[\w.]+)\s+)?([\w.:]+)\s*(.*)$", re.DOTALL)


def bits_of(type_: str) -> int:
    """The bits of a PTX type: 32 for f32, 1 for pred."""
    if type_ == "pred":
        return 1
    if type_ in PAIRS:
        return 32
    found = _BITS.fullmatch(type_)
    if found is None:
        raise PtxError(f"unknown type .{type_}")
    return int(found[1])


def parse_module(text: str) -> Module:
    """Parse the text of a module."""
    text = _COMMENT.sub(lambda m: "\n" * m[0].count("\n"), text)
    target = re.search(r"\.target\s+(\w+)", text)
    if target is None:
        raise PtxError("no .target: this is no PTX module")
    module = Module(target[1], {}, {})
    entry: Entry | None = None
    for statement, line in _statements(text):
        found = _ENTRY.match(statement)
        if found:
            entry = Entry(found[1], _parameters(found[2]))
            limit = re.search(r"\.maxntid\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?", found[3])
            if limit:
                x, y, z = (int(n or 1) for n in limit.groups())
                entry.most_threads = x * y * z
            module.entries[entry.name] = entry
        elif statement == "}":
            entry = None
        elif statement.startswith(".func"):
            raise PtxError(f"line {line}: functions that are called are not supported")
        elif entry is None:
            variable = _variable(statement)
            if variable:
                module.variables[variable.name] = variable
        else:
            _add_to_entry(entry, statement, line)
    return module


def _statements(text: str) -> Iterator[tuple[str, int]]:
    """The statements of a module and their lines; a kernel's head and its closing brace are
    statements of their own.
    """
    line, begin, current = 1, 1, ""
    for character in text:
        if not current.strip():
            begin = line
        is_open = character == "{" and _opens_body(current)
        if character == "\n":
            line += 1
            if current.strip().startswith((".version", ".target", ".address_size")):
                yield current.strip(), begin
                current = ""
                continue
        if character == ";" or is_open:
            yield current.strip(), begin
            current = ""
        elif character == "}" and not current.strip():
            yield "}", line
            current = ""
        else:
            current += character


def _opens_body(current: str) -> bool:
    return ".entry" in current or ".func" in current


def _parameters(text: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        words = part.split()
        type_ = next(w[1:] for w in words if re.fullmatch(r"\.[a-z]\d+", w))
        name, _, count = words[-1].partition("[")
        sizes[name] = bits_of(type_) // 8 * int(count.rstrip("]") or 1)
    return sizes


def _variable(statement: str) -> Variable | None:
    found = _VARIABLE.match(statement)
    if found is None:
        return None
    space, align, type_, name, count, numbers = found.groups()
    element = bits_of(type_) // 8
    size = element * int(count or 1)
    data = b""
    if numbers:
        values = [int(n, 0) for n in re.findall(r"-?(?:0x[\da-fA-F]+|\d+)", numbers)]
        data = b"".join((n % (1 << 8 * element)).to_bytes(element, "little") for n in values)
        data = data.ljust(size, b"\0")
    elif space in ("global", "const"):
        data = bytes(size)
    return Variable(name, space, int(align or element), size, data)


def _add_to_entry(entry: Entry, statement: str, line: int) -> None:
    label = _LABEL.match(statement)
    while label and not label[1].startswith("%"):
        entry.labels[label[1]] = len(entry.instructions)
        statement = label[2]
        label = _LABEL.match(statement)
    if not statement:
        return
    if statement.startswith(".reg"):
        _, type_, names = statement.split(None, 2)
        for name in names.split(","):
            family = re.fullmatch(r"(%[a-zA-Z]+)<(\d+)>", name.strip())
            bits = bits_of(type_[1:])
            if family:
                entry.registers.update({f"{family[1]}{k}": bits for k in range(int(family[2]))})
            else:
                entry.registers[name.strip()] = bits
        return
    if statement.startswith((".local", ".shared")):
        variable = _variable(statement)
        if variable is None:
            raise PtxError(f"line {line}: {statement}")
        entry.variables[variable.name] = variable
        return
    if statement.startswith("."):
        return
    found = _INSTRUCTION.match(statement)
    if found is None:
        raise PtxError(f"line {line}: {statement}")
    guard = (found[2], found[1] == "!") if found[2] else None
    opcode = tuple(found[3].replace("::", "_").split("."))
    entry.instructions.append(Instruction(guard, opcode, _operands(found[4]), line))


def _operands(text: str) -> tuple[str, ...]:
    """Operands at the top level: braces and brackets hold together."""
    parts, depth, current = [], 0, ""
    for character in text:
        depth += (character in "{[(") - (character in "}])")
        if character == "," and not depth:
            parts.append(current.strip())
            current = ""
        else:
            current += character
    return tuple(p for p in [*parts, current.strip()] if p)
