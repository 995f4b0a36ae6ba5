"""Products of matrices: which of their kernels, and the plain one, a thread for each element.

Comes in: the dtypes, a `GemmShape`, and an epilogue, which takes the elements where they are. Goes
out: the text of its kernel, and its sizes. The bits are the CPU's: each element is one chain of
fused multiply-adds over k from +0 (see `codegen.gemm`); but for products that go through matrix
units (see `matrix_units`).
"""

from __future__ import annotations

from collections.abc import Sequence

from jitml.codegen.emit import KernelText
from jitml.codegen.gemm_blocks import GemmShape
from jitml.codegen.gemm_types import GemmTypes, resolve_types
from jitml.codegen.nvptx.block import MOST_SMALL, divide
from jitml.codegen.nvptx.epilogue import Epilogue, EpilogueWriter
from jitml.codegen.nvptx.matrix_units import suits_units, unit_kernel
from jitml.codegen.nvptx.operand import Operand, layouts, multiply_add
from jitml.codegen.nvptx.product_tiles import suits_tiles, tile_kernel
from jitml.codegen.special import Function
from jitml.codegen.target import Target
from jitml.scalar.value import Value, convert, fma


def product_kernel(
    shape: GemmShape,
    dtypes: tuple[str, str, str],
    precision: str | None,
    epilogue: Epilogue,
    target: Target,
    is_aligned: bool,
) -> KernelText:
    """The kernel of a product; its buffers are a, b and those of the epilogue. `dtypes` are those
    of the operands, the sums and the result; buffers that are not aligned are read one by one.
    """
    types = resolve_types(*dtypes, target)
    if suits_units(shape, types, precision):
        return unit_kernel(shape, types, epilogue, target, is_aligned)
    if suits_tiles(shape, types):
        return tile_kernel(shape, types, epilogue, target, is_aligned)
    writer = _Product(shape, types, epilogue, target)
    writer.element(writer.f.begin)
    extent = shape.batch * shape.m * shape.n
    return KernelText(writer.f.text(target), writer.f.sizes, extent, 1, 0)


class _Product:
    """Writes one element of the result."""

    def __init__(
        self, shape: GemmShape, types: GemmTypes, epilogue: Epilogue, target: Target
    ) -> None:
        self.types = types
        self.f = Function(2 + epilogue.buffers, (shape.m, shape.n, shape.k))
        self.epilogue = EpilogueWriter(self.f, epilogue, shape, types, target, is_aligned=False)
        self.is_small = shape.batch * shape.m * shape.n < MOST_SMALL
        self.m, self.n, self.k = self.f.size
        self.a, self.b = (Operand(self.f, k, x) for k, x in enumerate(layouts(shape)))

    def element(self, number: Value) -> None:
        """The element with this number, counted along rows."""
        f = self.f
        row, column = divide(number, self.n, self.is_small)
        batch, row = divide(row, self.m, self.is_small)
        a = batch * self.a.batch + self.a.offset_along(self.a.free, row)
        b = batch * self.b.batch + self.b.offset_along(self.b.free, column)
        zero = f.emit.constant(self.types.compute, 0)

        def step(k: Value, sums: list[Value]) -> Sequence[Value]:
            x = self._load(self.a, a + self.a.offset_along(self.a.depth, k))
            y = self._load(self.b, b + self.b.offset_along(self.b.depth, k))
            return self._add(x, y, sums)

        sums = f.emit.loop(f.number(0), self.k, 1, [zero] * self.types.parts, step)
        with self.epilogue.at_column(column):
            self.epilogue.write((batch, row, column), sums)

    def _load(self, operand: Operand, place: Value) -> list[Value]:
        emit, types = self.f.emit, self.types
        addresses = (
            emit.address(operand.pointer, place * types.parts + part, types.operand)
            for part in range(types.parts)
        )
        return [convert(emit.load(a, types.operand), types.compute) for a in addresses]

    def _add(self, x: list[Value], y: list[Value], sums: list[Value]) -> list[Value]:
        if not self.types.pairs:
            return [multiply_add(x[0], y[0], sums[0])]
        real, imaginary = sums
        real = fma(x[1], -y[1], fma(x[0], y[0], real))
        return [real, fma(x[1], y[0], fma(x[0], y[1], imaginary))]
