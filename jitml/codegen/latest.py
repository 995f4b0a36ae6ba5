"""The element that a step of a loop wrote, in registers for the next step: it is often what that
reads, and memory takes some ten cycles to hand it on.

Comes in: a load or an update of an array, in the kernel of a loop. Goes out: its text.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitml.codegen import memory
from jitml.codegen.kernel import Node, Store
from jitml.codegen.llvm import Emitter
from jitml.codegen.nest import Nest
from jitml.codegen.updates import combine
from jitml.scalar.value import Value


class Latest:
    """Where an array was updated last (-1: nowhere yet), and the number there. `state` is both."""

    def __init__(self, emit: Emitter, spec: Store) -> None:
        (node,) = spec.nodes
        self.state = [emit.constant("i64", -1), emit.constant(node.type, 0)]

    def read(self, nest: Nest, node: Node) -> Value:
        """A load: from memory only where the index is another one."""
        place, number = self.state
        index, _, _ = nest.index_parts(node.data.index)
        is_other = index != place
        if len(node.operands) > len(node.data.index.nodes):
            is_other = is_other | ~nest.value(node.operands[0])

        def from_memory() -> Sequence[Value]:
            return [memory.load(nest, node)]

        (found,) = nest.emit.rarely(is_other, from_memory, (), [number])
        return found

    def update(self, nest: Nest, spec: Store) -> None:
        """An update where its condition holds."""
        index, _, _ = nest.index_parts(spec.index)

        def write() -> Sequence[Value]:
            (result,) = combine(nest, spec, index, [nest.value(n) for n in spec.nodes])
            return [index, nest.emit.round_to(result, spec.storage)]

        if spec.where is None:
            self.state = [*write()]
        else:
            self.state = nest.emit.rarely(nest.value(spec.where), write, (), self.state)
