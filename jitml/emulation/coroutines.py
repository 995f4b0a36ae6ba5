"""A GPU kernel's LLVM text as a coroutine of this processor: each thread of the grid runs one.

Comes in: the LLVM text of one function, before or after it has been optimised for a GPU, and where
its variables lie. Goes out: text of `kernel(thread, arguments)`, which stops where a thread must
wait for others, and asks `access` before each read and write; what a thread waits for lies in its
`THREAD` record. It knows neither how threads are run nor what they may reach.

What a warp does together (shuffles, votes, matrix units) waits in the record for whoever serves it;
asynchronous copies are functions `copy` and `await`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

READY, BARRIER, WARP, DONE, ENDLESS = range(5)  # states of threads
LOAD, STORE, UPDATE = 1, 2, 4  # kinds of accesses
THREAD = np.dtype(
    [
        ("handle", "u8"), ("own", "u8"), ("steps", "i8"), ("state", "i4"), ("site", "i4"),
        ("tid", "i4"), ("ntid", "i4"), ("ctaid", "i4"), ("nctaid", "i4"),
        ("exchange", "i4"), ("mask", "u4"), ("by", "i4"), ("groups", "i4"),
        ("operands", "u4", (10,)), ("results", "u4", (4,)),
    ],
    align=True,
)  # fmt: skip
OFFSETS = {name: int(how[1]) for name, how in (THREAD.fields or {}).items()}
_WORDS, _FLOATS = "{ i32, i32, i32, i32 }", "{ float, float, float, float }"
EXCHANGES = {  # of warps, and what each thread gets
    "shfl.sync.down.i32": "i32",
    "shfl.sync.idx.i32": "i32",
    "vote.ballot.sync": "i32",
    "ldmatrix.sync.aligned.m8n8.x4.b16.p3": _WORDS,
    "ldmatrix.sync.aligned.m8n8.x4.trans.b16.p3": _WORDS,
    "mma.m16n8k16.row.col.bf16": _FLOATS,
    "mma.m16n8k16.row.col.f32.f32": _FLOATS,
    "mma.m16n8k8.row.col.tf32": _FLOATS,
}
_ALIGNMENT = 64  # of what a thread keeps while it waits: that of the widest vector
_BITS = {"float": 32, "double": 64, "half": 16, "bfloat": 16, "ptr": 64}

_HEAD = re.compile(r"^define ptx_kernel void @(\S+?)\((.*)\)[^()]*\{$", re.MULTILINE)
_VARIABLE = re.compile(r"^@(\S+) = (.*?)(global|constant) (\[.*?\]|\S+) ", re.MULTILINE)
_LABEL = re.compile(r"([\w.$-]+):")
_SPECIAL = re.compile(r"  (%\S+) = .*@llvm\.nvvm\.read\.ptx\.sreg\.(\w+)\.x\(\)")
_EXCHANGE = re.compile(r"  (%\S+) = .*@llvm\.nvvm\.((?:shfl|vote|mma|ldmatrix)\.[\w.]+)\((.*)\)")
_OPERANDS = re.compile(r", (?=(?:i\d+|float|<2 x half>) )")
_COPY = re.compile(
    r"  .*@llvm\.nvvm\.cp\.async\.c[ag]\.shared\.global\.(\d+)\.s\((ptr .+), (ptr .+), i32 (.+)\)"
)
_AWAIT = re.compile(r"  .*@llvm\.nvvm\.cp\.async\.wait\.group\(i32 (\d+)\)")
_COMMIT = "@llvm.nvvm.cp.async.commit.group()"
_ALLOCA = re.compile(r"  (%\S+) = alloca (\[.*\]|\S+), align (\d+)")
_TYPE = r"(<[^>]*>|\w+)"
_ACCESSES = {
    LOAD: re.compile(rf"  \S+ = load {_TYPE}, ptr (?P<place>.+), align (?P<align>\d+)"),
    STORE: re.compile(rf"  store {_TYPE} .+?, ptr (?P<place>.+), align (?P<align>\d+)"),
    UPDATE: re.compile(r"  \S+ = atomicrmw \w+ ptr (?P<place>\S+), (\w+) .*, align (?P<align>\d+)"),
}
_DROPPED = ("llvm.lifetime.", "llvm.assume", "llvm.experimental.noalias.scope.decl")


class LlvmTextError(Exception):
    """The text has something that a coroutine cannot do."""


class Variable(NamedTuple):
    """Memory that a text declares: shared by a block's threads, or constant."""

    name: str
    size_bytes: int
    is_shared: bool


class Coroutine(NamedTuple):
    """Text for this processor; sites are numbers of lines of `source`, from 1."""

    text: str
    source: list[str]
    parameters: list[tuple[str, str]]  # types and names
    own_bytes: int  # of memory that each thread has for itself


def size_of(type_: str) -> int:
    """The size of a type in memory, in bytes."""
    several = re.fullmatch(r"[\[<](\d+) x (.+)[\]>]", type_)
    if several:
        return int(several[1]) * size_of(several[2])
    bits = _BITS.get(type_) or (int(type_[1:]) if re.fullmatch(r"i\d+", type_) else 0)
    if not bits:
        raise LlvmTextError(f"the type {type_} is not supported")
    return -(-bits // 8)


def variables_of(text: str) -> list[Variable]:
    """The memory that a text declares."""
    return [
        Variable(name, size_of(type_), "addrspace(3)" in how)
        for name, how, _, type_ in _VARIABLE.findall(text)
    ]


def write_coroutine(text: str, addresses: Mapping[str, int]) -> Coroutine:
    """The coroutine of the kernel of a text, whose variables lie at these addresses."""
    heads = _HEAD.findall(text)
    if len(heads) != 1 or text.count("\ndefine ") != 1:
        raise LlvmTextError("a text must have one function, the kernel")
    source = text.splitlines()
    words = [p.split() for p in heads[0][1].split(", ") if p]
    parameters = [(p[0], p[-1].lstrip("%")) for p in words]
    writer = _Writer(addresses)
    for number, line in enumerate(source, 1):
        writer.line(number, line)
    lines = [
        *(_kept_variable(line) for line in source if _VARIABLE.match(line)),
        *(line for line in source if line.startswith("declare") and "llvm.nvvm" not in line),
        *(line for line in source if line.startswith(("attributes", "!"))),
        *_begin(parameters, writer.first_label),
        *writer.finished(),
        *_END,
    ]
    return Coroutine("\n".join(lines) + "\n", source, parameters, writer.own_bytes)


def _kept_variable(line: str) -> str:
    """Constants stay, so that their bytes can be had; shared memory does not."""
    if "addrspace(3)" in line:
        return ""
    return re.sub(r"= .*?constant", "= constant", line)


class _Writer:
    """Writes the body of the function, line by line."""

    def __init__(self, addresses: Mapping[str, int]) -> None:
        self.addresses = addresses
        self.lines: list[str] = []
        self.own_bytes = 0
        self._is_inside = False
        self.first_label = self._label = ""
        self._begins_block = False
        self._last: dict[str, str] = {}  # by label: where its block ends now
        self._count = 0

    def line(self, number: int, line: str) -> None:
        """Add what stands for a line of the text."""
        if line.startswith("define"):
            self._is_inside = True
        elif line.startswith("}"):
            self._is_inside = False
        elif self._is_inside and line.strip():
            self._body(number, self._flat(line.split(" ;")[0].rstrip()))

    def finished(self) -> list[str]:
        """All lines, with the blocks' ends where they are now."""
        return [
            re.sub(r", %([\w.$-]+) ?\]", lambda m: f", %{self._last.get(m[1], m[1])} ]", line)
            if " = phi " in line else line
            for line in self.lines
        ]  # fmt: skip

    def _flat(self, line: str) -> str:
        """All memory is of one kind here, and variables are addresses."""
        line = re.sub(r" addrspace\(\d\)", "", line).replace(' syncscope("device")', "")
        line = re.sub(r"addrspacecast \(ptr (@[\w.]+) to ptr\)", r"\1", line)
        line = re.sub(
            r"@([\w.]+)",
            lambda m: f"inttoptr (i64 {self.addresses[m[1]]} to ptr)"
            if m[1] in self.addresses else m[0],
            line,
        )  # fmt: skip
        return re.sub(r"= addrspacecast (.*) to ptr$", r"= getelementptr i8, \1, i64 0", line)

    def _body(self, number: int, line: str) -> None:
        label, special, alloca = (r.match(line) for r in (_LABEL, _SPECIAL, _ALLOCA))
        exchange = _EXCHANGE.match(line)
        if self._begins_block and " = phi " not in line:
            self._step()
        if label:
            self._label, self._begins_block = label[1], True
            self.first_label = self.first_label or label[1]
            self.lines.append(line)
        elif special:
            self.lines.append(f"  {special[1]} = load i32, ptr %h.{special[2]}")
        elif exchange:
            self._exchange(number, exchange[1], exchange[2], exchange[3])
        elif "@llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)" in line:
            self._stop(BARRIER, number)
        elif alloca:
            self._alloca(alloca[1], size_of(alloca[2]), int(alloca[3]))
        elif line == "  ret void":
            self.lines.append("  br label %h.end")
        elif not self._later(number, line) and not any(name in line for name in _DROPPED):
            self.lines.append(self._checked(number, line))

    def _step(self) -> None:
        """A block takes one of the steps that the thread has left."""
        self._begins_block = False
        before = self._value("steps", "load i64, ptr %h.steps")
        after = self._value("steps", f"sub i64 {before}, 1")
        self.lines.append(f"  store i64 {after}, ptr %h.steps")
        is_over = self._value("over", f"icmp slt i64 {after}, 0")
        label = self._last[self._label] = self._new("block")[1:]
        self.lines += [f"  br i1 {is_over}, label %h.endless, label %{label}", f"{label}:"]

    def _checked(self, number: int, line: str) -> str:
        """A line that asks before it reaches memory."""
        for kind, pattern in _ACCESSES.items():
            found = pattern.match(line)
            if found:
                size = size_of(found[1] if kind != UPDATE else found[2])
                name = self._asked(number, found["place"], size, int(found["align"]), kind)
                begin, end = found.span("place")
                return line[:begin] + name + line[end:]
        if re.search(r"@llvm\.(nvvm|mem)|\bcall\b.* @(?!llvm\.)| (load|store|atomicrmw) ", line):
            raise LlvmTextError(f"line {number} is not supported: {line.strip()}")
        return line

    def _asked(self, number: int, place: str, size: int, align: int, kind: int) -> str:
        """The name of the place that is to be accessed instead."""
        return self._value(
            "place",
            f"call ptr @access(ptr %h.thread, ptr {place}, i64 {size}, i64 {align}, i32 {kind}, "
            f"i32 {number})",
        )

    def _alloca(self, name: str, size_bytes: int, align: int) -> None:
        begin = -(-self.own_bytes // align) * align
        self.own_bytes = begin + size_bytes
        self.lines.append(f"  {name} = getelementptr i8, ptr %h.memory, i64 {begin}")

    def _exchange(self, number: int, result: str, name: str, operands: str) -> None:
        """The threads of a warp exchange numbers."""
        if name not in EXCHANGES:
            raise LlvmTextError(f"line {number}: {name} is not supported")
        given = _OPERANDS.split(operands)
        mask, by = "-1", "0"
        if name.startswith("shfl"):
            mask, by = (given[k].split(" ")[-1] for k in (0, 2))
            given = [given[1]]
        elif name.startswith("vote"):
            mask, bit = given[0].split(" ")[-1], given[1]
            given = [f"i32 {self._value('vote', f'zext {bit} to i32')}"]
        elif name.startswith("ldmatrix"):  # each thread brings a row of 16 bytes
            row = self._asked(number, operands.removeprefix("ptr "), 16, 16, LOAD)
            given = [f"<4 x i32> {self._value('row', f'load <4 x i32>, ptr {row}')}"]
        for k, operand in enumerate(given):
            place = self._value("operand", f"getelementptr i32, ptr %h.operands, i64 {k}")
            self.lines.append(f"  store {operand}, ptr {place}, align 4")
        self._set("exchange", str(list(EXCHANGES).index(name)))
        self._set("mask", mask)
        self._set("by", by)
        self._stop(WARP, number)
        self.lines.append(f"  {result} = load {EXCHANGES[name]}, ptr %h.results, align 4")

    def _later(self, number: int, line: str) -> bool:
        """Asynchronous copies, and what closes and awaits their groups; whether it is one."""
        copy, await_ = _COPY.match(line), _AWAIT.match(line)
        if copy:
            size, target, source, wanted = copy.groups()
            wide = self._value("wanted", f"zext i32 {wanted} to i64")
            self.lines.append(
                f"  call void @copy(ptr %h.thread, {target}, {source}, i64 {size}, i64 {wide}, "
                f"i32 {number})"
            )
        elif await_:
            self.lines.append(f"  call void @await(ptr %h.thread, i32 {await_[1]}, i32 {number})")
        elif _COMMIT in line:
            before = self._value("groups", "load i32, ptr %h.groups")
            self._set("groups", self._value("groups", f"add i32 {before}, 1"))
        else:
            return False
        return True

    def _stop(self, state: int, number: int) -> None:
        """Wait in this state until somebody lets the thread go on."""
        self._set("state", str(state))
        self._set("site", str(number))
        name = self._new("woken")
        label = self._last[self._label] = name[1:] + ".on"
        self.lines += [
            f"  {name} = call i8 @llvm.coro.suspend(token none, i1 false)",
            f"  switch i8 {name}, label %h.left [i8 0, label %{label} i8 1, label %h.dropped]",
            f"{label}:",
        ]

    def _set(self, name: str, value: str) -> None:
        self.lines.append(f"  store i32 {value}, ptr %h.{name}")

    def _value(self, name: str, how: str) -> str:
        """The name of a value that is computed here."""
        name = self._new(name)
        self.lines.append(f"  {name} = {how}")
        return name

    def _new(self, name: str) -> str:
        self._count += 1
        return f"%h.{name}{self._count}"


def _begin(parameters: list[tuple[str, str]], first: str) -> list[str]:
    """The head of the function, and the block before its own first one."""
    lines = [
        "define ptr @kernel(ptr %h.thread, ptr %h.arguments) presplitcoroutine {",
        "h.begin:",
        f"  %h.id = call token @llvm.coro.id(i32 {_ALIGNMENT}, ptr null, ptr null, ptr null)",
        "  %h.frame_bytes = call i64 @llvm.coro.size.i64()",
        f"  %h.more_bytes = add i64 %h.frame_bytes, {_ALIGNMENT - 1}",
        f"  %h.whole_bytes = and i64 %h.more_bytes, {-_ALIGNMENT}",
        f"  %h.frame = call ptr @aligned_alloc(i64 {_ALIGNMENT}, i64 %h.whole_bytes)",
        "  %h.self = call ptr @llvm.coro.begin(token %h.id, ptr %h.frame)",
    ]
    for name, offset in OFFSETS.items():
        lines.append(f"  %h.{name} = getelementptr i8, ptr %h.thread, i64 {offset}")
    lines.append("  %h.memory = load ptr, ptr %h.own")
    for k, (type_, name) in enumerate(parameters):
        lines.append(f"  %h.argument{k} = getelementptr i64, ptr %h.arguments, i64 {k}")
        lines.append(f"  %{name} = load {type_}, ptr %h.argument{k}")
    return [*lines, f"  br label %{first}"]


_END = f"""\
h.endless:
  br label %h.last
h.end:
  br label %h.last
h.last:
  %h.outcome = phi i32 [{ENDLESS}, %h.endless], [{DONE}, %h.end]
  store i32 %h.outcome, ptr %h.state
  %h.woken = call i8 @llvm.coro.suspend(token none, i1 true)
  switch i8 %h.woken, label %h.left [i8 0, label %h.never i8 1, label %h.dropped]
h.never:
  unreachable
h.dropped:
  %h.freed = call ptr @llvm.coro.free(token %h.id, ptr %h.self)
  call void @free(ptr %h.freed)
  br label %h.left
h.left:
  call void @llvm.coro.end(ptr %h.self, i1 false, token none)
  ret ptr %h.self
}}
declare token @llvm.coro.id(i32, ptr, ptr, ptr)
declare i64 @llvm.coro.size.i64()
declare ptr @llvm.coro.begin(token, ptr)
declare i8 @llvm.coro.suspend(token, i1)
declare ptr @llvm.coro.free(token, ptr)
declare void @llvm.coro.end(ptr, i1, token)
declare ptr @aligned_alloc(i64, i64)
declare void @free(ptr)
""".splitlines()
