"""The machine that CPU kernels are compiled for, and the step from LLVM text to object code.

The only module that talks to llvmlite; it is imported when the first kernel must be compiled, not
before.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple


class Target(NamedTuple):
    """A CPU: its LLVM name and features, and the width of its vectors in bytes."""

    triple: str
    cpu: str
    features: str
    vector_bytes: int

    def lanes(self, itemsize: int) -> int:
        """How many elements of `itemsize` bytes one vector holds."""
        return max(1, self.vector_bytes // itemsize)

    @property
    def is_x86(self) -> bool:
        """Whether it is an x86-64."""
        return self.triple.startswith("x86_64")

    @property
    def has_avx512(self) -> bool:
        """Whether vectors are those of x86-64's AVX-512."""
        return self.vector_bytes == 64 and self.is_x86


@functools.cache
def host() -> Target:
    """The machine that runs this process."""
    llvm = _llvm()
    features = llvm.get_host_cpu_features()
    width = 64 if features.get("avx512vl") else 32 if features.get("avx2") else 16
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


def named_target(cpu: str, vector_bytes: int) -> Target:
    """A processor by the name that LLVM knows it under, on this system."""
    return Target(_llvm().get_process_triple(), cpu, "", vector_bytes)


def _parse(text: str, target: Target, level: int) -> Any:
    layout = _machine(target, level).target_data
    header = f'target triple = "{target.triple}"\ntarget datalayout = "{layout}"\n'
    return _llvm().parse_assembly(header + text)


def compile_object(text: str, target: Target, level: int) -> bytes:
    """Compile LLVM IR text to a relocatable object at codegen `level`, with no middle-end pass."""
    return bytes(_machine(target, level).emit_object(_parse(text, target, level)))


def compile_assembly(text: str, target: Target, level: int) -> str:
    """The same as readable assembly."""
    return str(_machine(target, level).emit_assembly(_parse(text, target, level)))


def compile_linked(main: str, parts: Mapping[str, str], target: Target, level: int) -> bytes:
    """Compile `main` and the texts of other modules to one object, of which only what `main`
    defines can be seen from outside. It calls function f of the part p as `p.f`.
    """
    whole = _parse(main, target, level)
    hidden = []
    for prefix, text in parts.items():
        module = _parse(text, target, level)
        for function in module.functions:
            if not function.is_declaration and function.linkage.name == "external":
                function.name = f"{prefix}.{function.name}"
                hidden.append(function.name)
        whole.link_in(module)
    for name in hidden:
        whole.get_function(name).linkage = "internal"
    return bytes(_machine(target, level).emit_object(whole))
