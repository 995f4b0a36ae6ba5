"""The machine that CPU kernels are compiled for, and the step from LLVM text to object code.

The only module that talks to llvmlite; it is imported when the first kernel must be compiled, not
before.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """A CPU: its LLVM name and features, and the width of its vectors in bytes."""

    triple: str
    cpu: str
    features: str
    vector_bytes: int

    def lanes(self, itemsize: int) -> int:
        """How many elements of `itemsize` bytes one vector holds."""
        return max(1, self.vector_bytes // itemsize)


@functools.cache
def host() -> Target:
    """The machine that runs this process."""
    llvm = _llvm()
    features = llvm.get_host_cpu_features()
    width = 64 if features.get("avx512f") else 32 if features.get("avx2") else 16
    return Target(llvm.get_process_triple(), llvm.get_host_cpu_name(), features.flatten(), width)


@functools.cache
def _llvm() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@functools.cache
def _machine(target: Target, level: int) -> Any:
    return (
        _llvm()
        .Target.from_triple(target.triple)
        .create_target_machine(
            cpu=target.cpu, features=target.features, opt=level, reloc="pic", codemodel="small"
        )
    )


def compile_object(text: str, target: Target, level: int) -> bytes:
    """Compile LLVM IR text to a relocatable object at codegen `level`, with no middle-end pass."""
    llvm = _llvm()
    machine = _machine(target, level)
    header = f'target triple = "{target.triple}"\ntarget datalayout = "{machine.target_data}"\n'
    module = llvm.parse_assembly(header + text)
    return bytes(machine.emit_object(module))


def compile_assembly(text: str, target: Target, level: int) -> str:
    """The same as readable assembly."""
    llvm = _llvm()
    machine = _machine(target, level)
    header = f'target triple = "{target.triple}"\ntarget datalayout = "{machine.target_data}"\n'
    return str(machine.emit_assembly(llvm.parse_assembly(header + text)))
