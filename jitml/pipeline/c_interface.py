"""A program as a C function: a header, and an object file that holds its kernels and a driver which
runs them one after the other.

In: a lowered program and what its arguments are called. Out: text and object code. The driver
follows the plan as the runtime's executor does, on one thread, in memory that the caller gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jitml.codegen.plan import Program
from jitml.codegen.target import Target, compile_linked
from jitml.ir.dtypes import short_name
from jitml_runtime import ArraySpec, Buffer, Copy, Instruction
from jitml_runtime.deployment import Check

_C_TYPES = {
    "bool": "bool",
    **{f"i{n}": f"int{n}_t" for n in (8, 16, 32, 64)},
    **{f"u{n}": f"uint{n}_t" for n in (8, 16, 32, 64)},
    "f16": "uint16_t",
    "bf16": "uint16_t",
    "f32": "float",
    "f64": "double",
    "c64": "float",
    "c128": "double",
}
_NOTES = {
    "f16": ", the bits of IEEE half-precision numbers",
    "bf16": ", the bits of bfloat16 numbers",
    "c64": ", real and imaginary parts in turn",
    "c128": ", real and imaginary parts in turn",
}
_MISALIGNED = -1


@dataclass(frozen=True)
class CProgram:
    """A program, the name of its function, and the paths of its arguments and results; the last
    inputs of the plan are `constants`. `checks` are those of all instructions, in order.
    """

    name: str
    program: Program
    arguments: Sequence[str]
    results: Sequence[str]
    constants: Sequence[tuple[ArraySpec, bytes]]
    checks: Sequence[Check]
    features: Sequence[str]

    @property
    def workspace_bytes(self) -> int:
        """Memory that the caller gives: the arena, and scratch memory for the kernels."""
        return _aligned(self.program.plan.arena_bytes) + self._scratch_bytes

    @property
    def _scratch_bytes(self) -> int:
        steps = self.program.plan.instructions
        return max([s.scratch_bytes for s in steps if isinstance(s, Instruction)], default=0)


class _Parameter(NamedTuple):
    name: str
    path: str
    spec: ArraySpec
    is_result: bool


def _parameters(described: CProgram) -> list[_Parameter]:
    """The arrays that the C function takes, with names that are C identifiers."""
    plan = described.program.plan
    inputs = plan.inputs[: len(described.arguments)]
    pairs = [*zip(described.arguments, inputs, strict=True)]
    pairs += zip(described.results, plan.outputs, strict=True)
    taken = {"workspace"}
    found = []
    for number, (path, spec) in enumerate(pairs):
        name = re.sub(r"\W+", "_", path, flags=re.ASCII).strip("_")
        name = name or "array"
        while name in taken or _RESERVED.match(name) or name[0].isdigit():
            name = f"a{number}_{name}"
        taken.add(name)
        found.append(_Parameter(name, path, spec, number >= len(inputs)))
    return found


_RESERVED = re.compile(  # words and usual macros of C and C++
    r"(asm|auto|bool|break|case|catch|char|class|const|continue|default|delete|do|double|else|enum"
    r"|explicit|export|extern|false|float|for|friend|goto|if|inline|int|long|mutable|namespace|new"
    r"|operator|private|protected|public|register|restrict|return|short|signed|sizeof|static|struct"
    r"|switch|template|this|throw|true|try|typedef|typename|union|unsigned|using|virtual|void"
    r"|volatile|while|and|or|not|xor|alignas|alignof|nullptr|constexpr|errno|stdin|stdout|I|NULL|EOF"
    r"|_.*|.*__.*|u?int\d+_t)$"
)


# ---- header --------------------------------------------------------------------------------------


def c_header(described: CProgram) -> str:
    """The text of the header."""
    return "\n".join(_header_lines(described)) + "\n"


def _header_lines(described: CProgram) -> Iterator[str]:
    name, guard = described.name, f"{described.name.upper()}_H"
    yield f"/* {name}: compiled by jitml."
    if described.features:
        yield f" * Needs a processor with {' '.join(described.features)}."
    yield " *"
    parameters = _parameters(described)
    for parameter in parameters:
        dtype = short_name(parameter.spec.dtype)
        shape = ",".join(map(str, parameter.spec.shape))
        role = "result: written" if parameter.is_result else "read"
        layout = f"{dtype}[{shape}] in row-major order{_NOTES.get(dtype, '')}"
        yield f" * {parameter.name}: {role}, {layout}"
    yield f" * workspace: {name.upper()}_WORKSPACE_BYTES bytes, aligned to 64; used during the call"
    yield " * Arrays must not overlap."
    yield " *"
    yield f" * Returns 0, or {_MISALIGNED} if the workspace is not aligned, or a number above 0 if"
    yield f" * an index was out of bounds; {name}_message tells which. The function may run on"
    yield " * several threads at once, each with its own workspace and results. */"
    yield f"#ifndef {guard}"
    yield f"#define {guard}"
    yield "#include <stdbool.h>"
    yield "#include <stdint.h>"
    yield "#ifdef __cplusplus"
    yield 'extern "C" {'
    yield "#endif"
    yield f"#define {name.upper()}_WORKSPACE_BYTES {described.workspace_bytes}"
    listed = [
        f"{'' if p.is_result else 'const '}{_C_TYPES[short_name(p.spec.dtype)]} *{p.name}"
        for p in parameters
    ]
    yield f"int32_t {name}(\n    " + ",\n    ".join([*listed, "void *workspace"]) + ");"
    yield f"const char *{name}_message(int32_t status);"
    yield "#ifdef __cplusplus"
    yield "}"
    yield "#endif"
    yield "#endif"


# ---- object --------------------------------------------------------------------------------------


def c_object(described: CProgram, target: Target, level: int) -> bytes:
    """The object file: what the header declares, and nothing else that can be seen from outside."""
    texts = list(dict.fromkeys(code.text for code in described.program.kernels))
    parts = {f"kernels{number}": text for number, text in enumerate(texts)}
    names = [f"kernels{texts.index(c.text)}.{c.function}" for c in described.program.kernels]
    return compile_linked(_Driver(described, names).text(), parts, target, level)


_RUN = """\
define internal i32 @run(ptr %kernel, ptr %buffers, ptr %sizes, i64 %extent, i64 %grain, ptr %f) {
entry:
  %any = icmp sgt i64 %extent, 0
  br i1 %any, label %chunk, label %done
chunk:
  %begin = phi i64 [ 0, %entry ], [ %next, %chunk ]
  %status = phi i32 [ 0, %entry ], [ %either, %chunk ]
  %next = add i64 %begin, %grain
  %beyond = icmp sgt i64 %next, %extent
  %end = select i1 %beyond, i64 %extent, i64 %next
  %one = call i32 %kernel(ptr %buffers, ptr %sizes, i64 %begin, i64 %end, ptr %f)
  %either = or i32 %status, %one
  %more = icmp slt i64 %next, %extent
  br i1 %more, label %chunk, label %done
done:
  %result = phi i32 [ 0, %entry ], [ %either, %chunk ]
  ret i32 %result
}
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
"""


class _Driver:
    """The LLVM text of the function that runs a plan."""

    def __init__(self, described: CProgram, kernels: Sequence[str]) -> None:
        self.described = described
        self.plan = described.program.plan
        self.kernels = kernels
        self.globals: list[str] = []
        self.lines: list[str] = []
        self.next_status = 1

    def text(self) -> str:
        for number, buffer in enumerate(self.plan.buffers):
            self._define_buffer(number, buffer)
        for number, step in enumerate(self.plan.instructions):
            if isinstance(step, Instruction):
                self._run_kernel(number, step)
            elif isinstance(step, Copy):
                size = self.plan.buffers[step.source].size_bytes
                self._move(f"%b{step.target}", f"%b{step.source}", size)
        self._store_results()
        inputs = [f"ptr %i{k}" for k in range(len(self.described.arguments))]
        outputs = [f"ptr %o{k}" for k in range(len(self.plan.outputs))]
        signature = ", ".join([*inputs, *outputs, "ptr %workspace"])
        head = f"define i32 @{self.described.name}({signature}) nounwind {{"
        declared = [
            f"declare i32 @{name}(ptr, ptr, i64, i64, ptr)" for name in dict.fromkeys(self.kernels)
        ]
        body = [head, *self._prologue(), *self.lines, "  ret i32 0", "}"]
        return "\n".join([*self._messages(), *self.globals, *declared, _RUN, *body]) + "\n"

    def _prologue(self) -> Iterator[str]:
        steps = [s for s in self.plan.instructions if isinstance(s, Instruction)]
        most = max([len(s.buffers) for s in steps], default=1)
        yield "entry:"
        yield f"  %table = alloca [{most} x ptr], align 64"
        yield "  %fault = alloca [5 x i64], align 64"
        yield "  %stop = alloca i32, align 4"
        yield "  store i32 0, ptr %stop, align 4"
        yield "  %address = ptrtoint ptr %workspace to i64"
        yield "  %rest = and i64 %address, 63"
        yield "  %bad = icmp ne i64 %rest, 0"
        yield "  br i1 %bad, label %misaligned, label %begin"
        yield "misaligned:"
        yield f"  ret i32 {_MISALIGNED}"
        yield "begin:"
        offset = _aligned(self.plan.arena_bytes)
        yield f"  %scratch = getelementptr i8, ptr %workspace, i64 {offset}"
        for slot in range(1, 5):
            yield f"  %fault{slot} = getelementptr i8, ptr %fault, i64 {8 * slot}"
        yield f"  store i64 {2**63 - 1}, ptr %fault, align 8"
        yield "  store i64 0, ptr %fault1, align 8"
        yield "  store i64 0, ptr %fault2, align 8"
        yield "  store ptr %stop, ptr %fault3, align 8"
        yield "  store ptr %scratch, ptr %fault4, align 8"

    def _define_buffer(self, number: int, buffer: Buffer) -> None:
        inputs = len(self.described.arguments)
        base, offset = "%workspace", buffer.offset
        if buffer.kind == "output":
            base, offset = f"%o{buffer.index}", 0
        elif buffer.kind == "input" and buffer.index < inputs:
            base, offset = f"%i{buffer.index}", 0
        elif buffer.kind == "input":
            base, offset = self._constant(self.described.constants[buffer.index - inputs][1]), 0
        elif buffer.kind == "constant":
            base, offset = self._constant(self.plan.constants[buffer.index]), 0
        self.lines.append(f"  %b{number} = getelementptr i8, ptr {base}, i64 {offset}")

    def _constant(self, data: bytes) -> str:
        name = f"@data{len(self.globals)}"
        self.globals.append(f"{name} = internal constant {_string(data)}, align 64")
        return name

    def _run_kernel(self, number: int, step: Instruction) -> None:
        for slot, buffer in enumerate(step.buffers):
            place = f"%p{number}.{slot}"
            self.lines.append(f"  {place} = getelementptr ptr, ptr %table, i64 {slot}")
            self.lines.append(f"  store ptr %b{buffer}, ptr {place}, align 8")
        sizes = ", ".join(f"i64 {size}" for size in step.sizes)
        listed = f"[{len(step.sizes)} x i64] [{sizes}]" if step.sizes else "[1 x i64] [i64 0]"
        self.globals.append(f"@sizes{number} = internal constant {listed}, align 8")
        grain = step.grain or max(1, step.extent)
        status = f"%s{number}"
        self.lines.append(
            f"  {status} = call i32 @run(ptr @{self.kernels[step.kernel]}, ptr %table, "
            f"ptr @sizes{number}, i64 {step.extent}, i64 {grain}, ptr %fault)"
        )
        count = len(self.described.program.sites[number])
        if count:
            self.lines += [
                f"  %failed{number} = icmp ne i32 {status}, 0",
                f"  br i1 %failed{number}, label %fail{number}, label %after{number}",
                f"fail{number}:",
                f"  %site{number} = load i64, ptr %fault, align 8",
                f"  %code{number} = add i64 %site{number}, {self.next_status}",
                f"  %told{number} = trunc i64 %code{number} to i32",
                f"  ret i32 %told{number}",
                f"after{number}:",
            ]
        self.next_status += count

    def _store_results(self) -> None:
        """Results that are arguments, or other results, are copies of them."""
        plan, inputs = self.plan, len(self.described.arguments)
        for number, spec in enumerate(plan.outputs):
            source = plan.forward[number] if plan.forward else None
            earlier = plan.duplicates[number] if plan.duplicates else None
            place = None if earlier is None else f"%o{earlier}"
            if source is not None and source < inputs:
                place = f"%i{source}"
            elif source is not None:
                place = self._constant(self.described.constants[source - inputs][1])
            if place is not None:
                self._move(f"%o{number}", place, spec.size_bytes)

    def _move(self, target: str, source: str, size_bytes: int) -> None:
        self.lines.append(
            f"  call void @llvm.memmove.p0.p0.i64(ptr {target}, ptr {source}, "
            f"i64 {size_bytes}, i1 false)"
        )

    def _messages(self) -> Iterator[str]:
        """The function that tells what a status means, and its texts."""
        misaligned = "the workspace is not aligned to 64 bytes"
        texts = ["", misaligned, "unknown status", *map(_message, self.described.checks)]
        for number, text in enumerate(texts):
            data = text.encode() + b"\0"
            yield f"@text{number} = internal constant {_string(data)}, align 1"
        cases = [f"i32 {_MISALIGNED}, label %l1", "i32 0, label %l0"]
        cases += [f"i32 {k}, label %l{k + 2}" for k in range(1, len(texts) - 2)]
        yield f"define ptr @{self.described.name}_message(i32 %status) nounwind {{"
        yield f"  switch i32 %status, label %l2 [ {' '.join(cases)} ]"
        for number in range(len(texts)):
            yield f"l{number}:"
            yield f"  ret ptr @text{number}"
        yield "}"


def _message(check: Check) -> str:
    return f"an index is out of bounds for {check.subject} {check.where}".rstrip()


def _string(data: bytes) -> str:
    """A constant of bytes; nothing has the size 0 in C."""
    found = data or b"\0"
    text = "".join([f"\\{byte:02X}" for byte in found])
    return f'[{len(found)} x i8] c"{text}"'


def _aligned(size_bytes: int) -> int:
    return (size_bytes + 63) // 64 * 64
