"""Kernels of small matrices, written straight in the scalar language: one matrix is a unit.

Comes in: an equation whose operands are contiguous arrays. Goes out: the text of its kernel and how
it is called.
"""

from __future__ import annotations

from jitml.codegen.emit import KernelText
from jitml.codegen.special import Function, chunk_grain
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ops.linalg.lu import PivotsToPermutation
from jitml.scalar.value import Value, convert, maximum, minimum


def permutation_kernel(eqn: Eqn, target: Target) -> KernelText:
    """From rows exchanged in turn to the order of all rows."""
    op, pivots = eqn.op, eqn.inputs[0].type
    assert isinstance(op, PivotsToPermutation)
    steps = pivots.shape[-1]
    f = Function(2, (op.size, steps))
    source, target_rows = f.pointers
    size, count = f.size

    def unit(number: Value) -> None:
        def place(row: Value) -> Value:
            return f.emit.address(target_rows, number * size + row, "i32")

        def exchange(step: Value) -> None:
            pivot = f.emit.load(f.emit.address(source, number * count + step, "i32"), "i32")
            row = minimum(maximum(convert(pivot, "i64"), f.number(0)), size - 1)
            first, second = place(step), place(row)
            a, b = f.emit.load(first, "i32"), f.emit.load(second, "i32")
            f.emit.store(first, b, "i32")
            f.emit.store(second, a, "i32")

        f.each(f.number(0), size, lambda i: f.emit.store(place(i), convert(i, "i32"), "i32"))
        f.each(f.number(0), count, exchange)

    f.each(f.begin, f.end, unit)
    units = eqn.outputs[0].type.size // op.size
    return KernelText(f.text(target), f.sizes, units, chunk_grain(units, units * op.size * 4), 0)
