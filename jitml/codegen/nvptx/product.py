"""Products of matrices, a thread for each element of the result.

Comes in: the dtypes and a `GemmShape`. Goes out: the text of its kernel, and its sizes. The bits
are the CPU's: each element is one chain of fused multiply-adds over k from +0 (see `codegen.gemm`).
"""

from __future__ import annotations

from collections.abc import Sequence

from jitml.codegen.emit import KernelText
from jitml.codegen.gemm import GemmShape
from jitml.codegen.gemm_types import GemmTypes, resolve_types
from jitml.codegen.special import Function
from jitml.codegen.target import Target
from jitml.scalar.value import FLOATS, Value, convert, fma

Axes = tuple[tuple[int, int], ...]  # extents and strides, the last one fastest


def product_kernel(
    shape: GemmShape, operand: str, accumulate: str, result: str, target: Target
) -> KernelText:
    """The kernel of a product; its buffers are a, b and c."""
    types = resolve_types(operand, accumulate, result, target)
    writer = _Product(shape, types)
    writer.f.each(writer.f.begin, writer.f.end, writer.element)
    extent = shape.batch * shape.m * shape.n
    return KernelText(writer.f.text(target), writer.f.sizes, extent, 1, 0)


def _axes(shape: GemmShape) -> tuple[Axes, Axes, Axes, Axes]:
    """The axes of a's rows and of its k, those of b's columns and of its k."""
    rows: Axes = ((shape.m, shape.a_row),)
    columns: Axes = ((shape.n, shape.b_column),)
    depth_a: Axes = ((shape.k, shape.a_column),)
    depth_b: Axes = ((shape.k, shape.b_row),)
    if shape.a_gather:
        rows, depth_a = shape.a_gather
    if shape.b_gather:
        columns, depth_b = shape.b_gather
    return rows, depth_a, columns, depth_b


class _Product:
    """Writes one element of the result."""

    def __init__(self, shape: GemmShape, types: GemmTypes) -> None:
        self.types = types
        groups = _axes(shape)
        numbers = [shape.m, shape.n, shape.k, shape.a_batch, shape.b_batch, shape.c_batch]
        numbers += [n for axes in groups for axis in axes for n in axis]
        self.f = Function(3, numbers)
        sizes = iter(self.f.size)
        self.m, self.n, self.k, *self.batches = (next(sizes) for _ in range(6))
        self.rows, self.depth_a, self.columns, self.depth_b = (
            [(next(sizes), next(sizes)) for _ in axes] for axes in groups
        )

    def element(self, number: Value) -> None:
        """The element with this number, counted along rows."""
        f, parts = self.f, self.types.parts
        row, column = number / self.n, number % self.n
        batch, row = row / self.m, row % self.m
        a = batch * self.batches[0] + self._offset(row, self.rows)
        b = batch * self.batches[1] + self._offset(column, self.columns)
        zero = f.emit.constant(self.types.compute, 0)

        def step(k: Value, sums: list[Value]) -> Sequence[Value]:
            x = self._load(0, a + self._offset(k, self.depth_a))
            y = self._load(1, b + self._offset(k, self.depth_b))
            return self._add(x, y, sums)

        sums = f.emit.loop(f.number(0), self.k, 1, [zero] * parts, step)
        place = (batch * self.batches[2] + row * self.n + column) * parts
        for part, total in enumerate(sums):
            address = f.emit.address(f.pointers[2], place + part, self.types.result)
            f.emit.store(address, self._result(total), self.types.result)

    def _offset(self, number: Value, axes: list[tuple[Value, Value]]) -> Value:
        """How far a position lies from the first, in elements."""
        total: Value | None = None
        for extent, stride in reversed(axes[1:]):
            part = number % extent * stride
            total = part if total is None else total + part
            number = number / extent
        first = number * axes[0][1]
        return first if total is None else total + first

    def _load(self, operand: int, place: Value) -> list[Value]:
        f, types = self.f, self.types
        return [
            convert(
                f.emit.load(
                    f.emit.address(f.pointers[operand], place * types.parts + part, types.operand),
                    types.operand,
                ),
                types.compute,
            )
            for part in range(types.parts)
        ]

    def _add(self, x: list[Value], y: list[Value], sums: list[Value]) -> list[Value]:
        if self.types.compute not in FLOATS:
            return [sums[0] + x[0] * y[0]]
        if not self.types.pairs:
            return [fma(x[0], y[0], sums[0])]
        real, imaginary = sums
        real = fma(x[1], -y[1], fma(x[0], y[0], real))
        return [real, fma(x[1], y[0], fma(x[0], y[1], imaginary))]

    def _result(self, total: Value) -> Value:
        types = self.types
        if types.compute not in FLOATS:
            total = convert(total, types.accumulate)
        return total if types.result in ("f16", "bf16") else convert(total, types.result)
