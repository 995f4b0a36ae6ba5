"""LLVM text as machine code of this processor, whose accesses of memory are looked at.

Comes in: a coroutine, and the memory that it may reach. Goes out: a function that runs threads, and
the log of what they access. Machine code lies in memory that is never writable and executable at
once.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from jitml.emulation.memory import Memory
from jitml.emulation.served import ACCESS, SERVED

_NOTHING = np.zeros(0, ACCESS)
_NOWHERE_BYTES = 256
Array = np.ndarray[Any, Any]


@functools.cache
def _llvm() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


def _machine() -> Any:
    llvm = _llvm()
    features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=1, jit=True
    )


def _passes(machine: Any, level: int) -> Any:
    llvm = _llvm()
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    return llvm.create_pass_builder(machine, options)


def inlined(text: str) -> str:
    """The functions of a text as one, otherwise as they are."""
    lines = [line for line in text.splitlines() if not line.startswith("target ")]
    module = _llvm().parse_assembly("\n".join(lines))
    module.verify()
    manager = _llvm().create_new_module_pass_manager()
    manager.add_always_inliner_pass()
    manager.run(module, _passes(_machine(), 0))
    return str(module)


class MachineCode:
    """A coroutine, compiled; its threads' own memory begins at `own`, and has so many bytes."""

    def __init__(self, text: str, memory: Memory, own: int, own_bytes: int) -> None:
        self._memory = memory
        # Lists: the address, how many records there are, for how many there is room.
        self._log, self._copies = np.zeros(3, np.int64), np.zeros(3, np.int64)
        self._nowhere = np.zeros(_NOWHERE_BYTES, np.uint8)
        served = SERVED.substitute(
            base=memory.base,
            memory_bytes=memory.size_bytes,
            states=memory.state.ctypes.data,
            own=own,
            own_bytes=own_bytes,
            log=self._log.ctypes.data,
            copies=self._copies.ctypes.data,
            copied=self._copies.ctypes.data + 8,
            nowhere=self._nowhere.ctypes.data,
        )
        machine = _machine()
        module = _llvm().parse_assembly(text + served)
        module.verify()
        module.data_layout = str(machine.target_data)
        builder = _passes(machine, 1)
        builder.getModulePassManager().run(module, builder)
        self._engine = _llvm().create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        self._run = self._function("run", 4)
        self._drop = self._function("drop", 2)

    def _function(self, name: str, count: int) -> Any:
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * count)
        return kind(self._engine.get_function_address(name))

    def constant(self, name: str, size_bytes: int) -> bytes:
        """The bytes of a constant of the text."""
        return ctypes.string_at(self._engine.get_global_value_address(name), size_bytes)

    def run(self, threads: Array, arguments: Array, order: Array) -> Array:
        """Let threads with these numbers go on, one after the other, until they must wait or one
        does not come to an end: what they have accessed, in order.
        """
        order = np.ascontiguousarray(order, np.int64)
        self._run(threads.ctypes.data, arguments.ctypes.data, order.ctypes.data, len(order))
        address, count, _ = self._log.tolist()
        if not count:
            return _NOTHING
        self._log[1] = 0
        return np.frombuffer(ctypes.string_at(address, count * ACCESS.itemsize), ACCESS).copy()

    def drop(self, threads: Array) -> None:
        """Give back what threads have, wherever they are, and the memory of lists."""
        self._drop(threads.ctypes.data, len(threads))
        self._log[:] = self._copies[:] = 0
