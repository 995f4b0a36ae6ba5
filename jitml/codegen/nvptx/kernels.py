"""The loops of a kernel for one thread of a grid.

Comes in: a `Kernel`, the same that a CPU gets. Goes out: the text of one function of the kernel
ABI, whose units are the positions of all outer axes, the last one fastest: neighbouring threads
reach neighbouring elements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from jitml.codegen.emit import KernelText, Loops
from jitml.codegen.frame import Frame
from jitml.codegen.kernel import Axis, Kernel
from jitml.codegen.nest import Nest
from jitml.codegen.node import write_node
from jitml.codegen.target import Target
from jitml.scalar.value import Value


def emit_thread(kernel: Kernel, target: Target) -> KernelText:
    """The text for one thread. A grain of 0 says that one thread must take all units, in order."""
    frame = Frame(target, len(kernel.operands))
    nest = Nest(kernel, frame, target, write_node)
    nest.vector, nest.width = None, 1
    unit_axes = _ThreadLoops(nest).write_units()[0]
    text = frame.finish(has_checks=any(n.name == "check" for n in nest.nodes))
    extent = math.prod(a.extent for a in unit_axes)
    grain = 0 if any(s.combine for s in kernel.stores) else 1
    return KernelText(text, tuple(frame.sizes), extent, grain, frame.scratch_bytes)


class _ThreadLoops(Loops):
    """The loop over a thread's units; all that lies within is the CPU's."""

    def write_units(self) -> tuple[list[Axis], int]:
        nest, outer = self.nest, self.kernel.live_outer()
        begin, end = (Value(nest.emit, "i64", 1, f"%{name}") for name in ("begin", "end"))

        def unit(number: Value, _: list[Value]) -> Sequence[Value]:
            self.locate(outer, number)
            self.unit()
            return []

        nest.prepare(self.roots)
        with nest.scope():
            nest.emit.loop(begin, end, 1, [], unit)
        return outer, 1
