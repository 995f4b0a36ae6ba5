"""NVIDIA's processors as targets, and the step from LLVM text to PTX.

Comes in: the LLVM text of a module. Goes out: PTX. It is imported when the first kernel for a GPU
must be compiled, not before; no device and no driver take part.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from jitml.codegen.target import Target
from jitml.ir.errors import JitmlError

TRIPLE = "nvptx64-nvidia-cuda"
ACCESS_BYTES = 16  # of the widest load and store
SECTOR_BYTES = 32  # that memory is moved in
# The PTX version that each processor needs: the oldest, so that many assemblers and drivers do.
_VERSIONS = {
    "sm_80": "ptx80", "sm_86": "ptx80", "sm_89": "ptx80", "sm_90": "ptx80",
    "sm_100": "ptx86", "sm_120": "ptx87",
}  # fmt: skip


def gpu_target(name: str) -> Target:
    """The GPU that NVIDIA calls `name`. Kernels are written for one thread, so its vectors hold
    one number; what is loaded side by side is chosen kernel by kernel.
    """
    if name not in _VERSIONS:
        known = ", ".join(_VERSIONS)
        raise JitmlError(f"unknown GPU target {name!r}", hint=f"known are {known}")
    return Target(TRIPLE, name, "+" + _VERSIONS[name], 1)


def ptx_version(name: str) -> str:
    """The PTX version that this GPU needs: 8.0."""
    number = _VERSIONS[name].removeprefix("ptx")
    return f"{number[0]}.{number[1:]}"


_IS_PTX = re.compile(r"^\.version ", re.MULTILINE)


@functools.cache
def _llvm() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm


@functools.cache
def _machine(target: Target) -> Any:
    found = _llvm().Target.from_triple(target.triple)
    return found.create_target_machine(cpu=target.cpu, features=target.features, opt=3)


def optimized(text: str, target: Target) -> Any:
    """The module of a text, its functions inlined and its memory promoted to registers."""
    llvm, machine = _llvm(), _machine(target)
    layout = str(machine.target_data)
    head = f'target triple = "{target.triple}"\ntarget datalayout = "{layout}"\n'
    module = llvm.parse_assembly(head + text)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = False
    options.loop_unrolling = False
    llvm.create_pass_builder(machine, options).getModulePassManager().run(
        module, llvm.create_pass_builder(machine, options)
    )
    return module


def compile_ptx(text: str, target: Target) -> str:
    """Compile LLVM text to PTX; what is PTX already stays as it is."""
    if _IS_PTX.search(text):
        return text
    return str(_machine(target).emit_assembly(optimized(text, target)))
