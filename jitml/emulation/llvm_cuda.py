"""The double of libcuda for programs whose kernels are LLVM text instead of PTX.

Comes in: what a program hands to the driver. Goes out: what the double gives; its kernels run as
threads of this processor, each launch in several orders. Kernels that are PTX are emulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jitml.emulation.libcuda import EmulatedCuda
from jitml.emulation.memory import Memory
from jitml.emulation.streams import Loaded, Unit
from jitml.emulation.threads import MOST_STEPS, ORDERS, ThreadKernel

# A kernel keeps the least failed check in 16 bytes; behind are records of threads, of which the
# one that has this check counts: others, that met checks of their own, may have come before it.
_UNORDERED = {"slot": 16}


@dataclass
class LlvmCuda(EmulatedCuda):
    """The library; `orders` are those that each launch takes in turn, and steps are those of one
    thread: blocks of a kernel's text.
    """

    most_steps: int = MOST_STEPS
    memory_bytes: int = 1 << 26
    orders: Sequence[str | int] = ORDERS

    def make_unit(self, number: int) -> Unit:
        return Unit(number, self.memory_bytes, real=True)

    def make_kernel(self, text: str, name: str, memory: Memory) -> Loaded:
        if text.startswith(".version"):
            return super().make_kernel(text, name, memory)
        return ThreadKernel(text, memory, self.orders, _UNORDERED, self.most_steps)
