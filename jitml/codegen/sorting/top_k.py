"""The k first of long lines: what may be among them is gathered in memory, which is sorted, and cut
down to k, whenever it is full.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitml.codegen.emit import KernelText
from jitml.codegen.sorting.coding import Coding
from jitml.codegen.sorting.columns import Memory
from jitml.codegen.sorting.lines import Lines
from jitml.codegen.sorting.transfer import Transfer
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ops.top_k import TopK
from jitml.scalar.value import Value, convert

_SLACK = 64  # elements that are gathered at least before the memory is full


def top_k_kernel(eqn: Eqn, target: Target) -> KernelText:
    """The kernel: its results are the k greatest elements of each line, and their positions."""
    op, type_ = eqn.op, eqn.inputs[0].type
    assert isinstance(op, TopK)
    lines = Lines([type_], op.axis, 1)
    writer = _TopK(lines, Coding(lines, target, True, True), op.k)
    lines.f.each(lines.f.begin, lines.f.end, writer.line)
    cost = lines.extent + 2 * writer.memory.sort_ns
    return lines.text(target, cost, writer.memory.scratch_bytes)


class _TopK:
    """Writes the search in one line."""

    def __init__(self, lines: Lines, coding: Coding, k: int) -> None:
        self.lines, self.coding, self.f = lines, coding, lines.f
        self.emit, self.lanes = lines.f.emit, coding.lanes
        self.places = self.f.another_pointer()
        self.transfer = Transfer(coding)
        self.memory = Memory(coding, min(lines.extent, 4 * k + _SLACK) + self.lanes)
        self.k = self.f.argument(k)

    def line(self, number: Value) -> None:
        lines = self.lines
        base = lines.first(number, lines.extent_value)
        start = [self.f.number(0), self.coding.last]
        _, count, _ = self.transfer.read_line(base, start, lambda _, x, s: self._gather(x, s))
        self._sort(count)
        self._write(base, lines.first(number, self.k))

    def _gather(self, coded: Value, state: list[Value]) -> list[Value]:
        """Keep integers below the limit; the state is how many are kept, and the limit."""
        below = coded < self.emit.splat(state[1], coded.lanes)
        asked = convert(self.emit.any_lane(below), "i64")

        def keep(_: Value, state: list[Value]) -> Sequence[Value]:
            count, limit = state
            memory = self.memory.buffer(self.f.number(0))
            for lane in range(coded.lanes):
                memory.store(count, self.emit.extract(coded, lane))
                count = count + convert(self.emit.extract(below, lane), "i64")
            is_full = convert(count > self.memory.size - self.lanes, "i64")
            return self.emit.loop(self.f.number(0), is_full, 1, [count, limit], cut)

        def cut(_: Value, state: list[Value]) -> Sequence[Value]:
            self._sort(state[0])
            return [self.k, self.memory.buffer(self.f.number(0)).load(self.k - 1, 1)]

        return self.emit.loop(self.f.number(0), asked, 1, state, keep)

    def _sort(self, count: Value) -> None:
        """Sort what is kept, and leave the first k at the beginning of the memory."""
        f, memory = self.f, self.memory.buffer(self.f.number(0))
        f.each(count, self.memory.size, lambda i: memory.store(i, self.coding.last))
        found = self.memory.sort()
        f.each(f.number(0), self.k, lambda i: memory.store(i, found.load(i, 1)))

    def _write(self, base: Value, result: Value) -> None:
        memory = self.memory.buffer(self.f.number(0))

        def one(i: Value) -> None:
            position = self.coding.position(memory.load(i, 1))
            at = result + i * self.lines.inner_value
            word = self.lines.read(0, base, position)
            self.lines.operands[0].store(self.emit, self.f.pointers[1], at, word)
            place = self.emit.address(self.places, at, "i32")
            self.emit.store(place, convert(position, "i32"), "i32")

        self.f.each(self.f.number(0), self.k, one)
