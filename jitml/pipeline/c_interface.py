"""A program as a C function: a header, and an object file that holds its kernels and a driver which
runs them.

In: a lowered program and what its arguments are called. Out: text and object code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jitml.codegen.plan import Program
from jitml.codegen.target import Target, compile_linked
from jitml.ir.dtypes import short_name
from jitml.pipeline.c_driver import MISALIGNED, Driver, byte_constant, scratch_offset
from jitml_runtime import ArraySpec, Instruction
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
        steps = self.program.plan.instructions
        scratch = [s.scratch_bytes for s in steps if isinstance(s, Instruction)]
        return scratch_offset(self.program.plan) + max(scratch, default=0)


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
    yield f" * Returns 0, or {MISALIGNED} if the workspace is not aligned, or a number above 0 if"
    yield f" * a check failed, as of an index; {name}_message tells which. The function may run on"
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
    constants = [data for _, data in described.constants]
    driver = Driver(described.program, described.name, len(described.arguments), constants, names)
    text = "\n".join([*_messages(described), *driver.lines()]) + "\n"
    return compile_linked(text, parts, target, level)


def _messages(described: CProgram) -> Iterator[str]:
    """The function that tells what a status means, and its texts."""
    misaligned = "the workspace is not aligned to 64 bytes"
    texts = ["", misaligned, "unknown status", *map(_message, described.checks)]
    for number, text in enumerate(texts):
        data = text.encode() + b"\0"
        yield f"@text{number} = internal constant {byte_constant(data)}, align 1"
    cases = [f"i32 {MISALIGNED}, label %l1", "i32 0, label %l0"]
    cases += [f"i32 {k}, label %l{k + 2}" for k in range(1, len(texts) - 2)]
    yield f"define ptr @{described.name}_message(i32 %status) nounwind {{"
    yield f"  switch i32 %status, label %l2 [ {' '.join(cases)} ]"
    for number in range(len(texts)):
        yield f"l{number}:"
        yield f"  ret ptr @text{number}"
    yield "}"


def _message(check: Check) -> str:
    text = check.text.replace("index {value}", "an index").replace(" {value}", "")
    return f"{text} {check.where}".rstrip()
