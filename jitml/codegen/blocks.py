"""The kernel of `blocks`: matrices that are put together from others.

Comes in: the equation. Goes out: the text of its kernel, one for any number of blocks and their
sizes, and how it is called.
"""

from __future__ import annotations

import math

from jitml.codegen.emit import KernelText
from jitml.codegen.special import Element, Function, chunk_grain
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ops.linalg.panel import Blocks
from jitml.scalar.value import Value

_RECORD = 4  # numbers for each block: where it begins, rows, columns, and elements of its source


def blocks_kernel(eqn: Eqn, target: Target) -> KernelText:
    """The kernel; a unit is one matrix."""
    op, result = eqn.op, eqn.outputs[0].type
    assert isinstance(op, Blocks)
    sources = [a.type.shape[-2:] for a in eqn.inputs]
    records = [
        (row * op.columns + column, height, width, rows * width)
        for (row, column), height, (rows, width) in zip(op.places, op.heights, sources, strict=True)
    ]
    sizes = (len(records), op.rows * op.columns, op.columns, *sum(records, ()))
    f = Function(0, sizes[:3])
    writer = _Blocks(f, Element(result), target)
    f.each(f.begin, f.end, writer.write)
    units = math.prod(result.shape[:-2])
    return KernelText(f.text(target), sizes, units, chunk_grain(units, 2 * result.size), 0)


class _Blocks:
    """Writes one matrix."""

    def __init__(self, f: Function, element: Element, target: Target) -> None:
        self.f, self.emit, self.element = f, f.emit, element
        self.lanes = target.lanes(element.size_bytes)
        self.count, self.size, self.columns = f.size

    def write(self, unit: Value) -> None:
        f, zero = self.f, self.f.number(0)
        result = self._element(self._buffer(self.count), unit * self.size)
        nothing = self.element.group([self._zero()] * self.element.parts)
        f.each(zero, self.size, lambda i: self.element.store(self.emit, result, i, nothing))
        f.each(zero, self.count, lambda block: self._copy(block, unit, result))

    def _zero(self) -> Value:
        return self.emit.constant(self.element.compute, 0.0)

    def _element(self, pointer: Value, index: Value) -> Value:
        return self.emit.address(pointer, index * self.element.size_bytes, "u8")

    def _buffer(self, number: Value) -> Value:
        buffers = Value(self.emit, "ptr", 1, "%buffers")
        place = self.emit.address(buffers, number, "i64")
        return self.emit.effect(f"load ptr, ptr {place.ref}, align 8", "ptr")

    def _copy(self, block: Value, unit: Value, result: Value) -> None:
        f, emit, lanes = self.f, self.emit, self.lanes
        sizes = Value(emit, "ptr", 1, "%sizes")
        record = emit.address(sizes, block * _RECORD + 3, "i64")
        start, height, width, size = (
            emit.load(emit.address(record, f.number(k), "i64"), "i64") for k in range(_RECORD)
        )
        source = self._element(self._buffer(block), unit * size)
        whole = width & -lanes

        def row(i: Value) -> None:
            def copy(j: Value, count: int) -> None:
                x = self.element.load(emit, source, i * width + j, count)
                self.element.store(emit, result, start + i * self.columns + j, x)

            f.each(f.number(0), whole, lambda j: copy(j, lanes), lanes)
            f.each(whole, width, lambda j: copy(j, 1))

        f.each(f.number(0), height, row)
