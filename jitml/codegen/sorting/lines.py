"""What the ways to sort have in common: a kernel over the lines of its operands.

The operands are arrays of one shape, seen as [outer, axis, inner]: a line has `extent` elements
that lie `inner` apart. The first operands are the keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from jitml.codegen.emit import KernelText
from jitml.codegen.sorting.keys import words_of
from jitml.codegen.special import Function, chunk_grain
from jitml.codegen.target import Target
from jitml.ir.types import ArrayType
from jitml.scalar.value import Value


class Lines:
    """A kernel under construction that sorts lines; half of its scratch memory holds one line of
    each operand.
    """

    def __init__(self, operands: Sequence[ArrayType], axis: int, num_keys: int) -> None:
        shape = operands[0].shape
        self.outer = math.prod(shape[:axis])
        self.extent = shape[axis]
        self.inner = math.prod(shape[axis + 1 :])
        self.operands = [words_of(t) for t in operands]
        self.keys = self.operands[:num_keys]
        sizes = [(self.extent * w.size_bytes + 63) // 64 * 64 for w in self.operands]
        offsets = [sum(sizes[:k]) for k in range(len(sizes))]
        self.half_bytes = sum(sizes)
        count = 2 * len(self.operands)
        self.f = Function(count, (self.extent, self.inner, self.half_bytes, *offsets))
        self.extent_value, self.inner_value, self.half, *self.offsets = self.f.size

    def each_line(self, body: Callable[[Value], None]) -> None:
        """Run `body` for each line of the kernel's range, with where its first element lies."""
        self.f.each(self.f.begin, self.f.end, lambda n: body(self.first(n, self.extent_value)))

    def first(self, number: Value, extent: Value) -> Value:
        """Where the first element of a line lies in an array with lines of `extent` elements."""
        outer = number / self.inner_value
        return outer * extent * self.inner_value + (number - outer * self.inner_value)

    def read(self, operand: int, base: Value, i: Value) -> list[Value]:
        """The words of element `i` of the line at `base`, before sorting."""
        pointer = self.f.pointers[operand]
        return self.operands[operand].load(self.f.emit, pointer, base + i * self.inner_value)

    def write(self, operand: int, base: Value, i: Value, words: list[Value]) -> None:
        """Make `words` element `i` of the sorted line at `base`."""
        pointer = self.f.pointers[len(self.operands) + operand]
        self.operands[operand].store(self.f.emit, pointer, base + i * self.inner_value, words)

    def text(
        self, target: Target, unit_ns: float, scratch_bytes: int, units: int | None = None
    ) -> KernelText:
        """The kernel; a unit is one line, unless it is said how many units there are."""
        units = self.outer * self.inner if units is None else units
        work_ns = int(units * unit_ns)
        grain = chunk_grain(units, 8 * work_ns)
        text = self.f.text(target)
        return KernelText(text, self.f.sizes, units, grain, scratch_bytes, work_ns)
