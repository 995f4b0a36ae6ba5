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

_SIZES = ("m", "n", "k", "a_batch", "a_row", "a_column", "b_batch", "b_row", "b_column", "c_batch",
          "c_row")  # fmt: skip


def product_kernel(
    shape: GemmShape, operand: str, accumulate: str, result: str, target: Target
) -> KernelText:
    """The kernel of a product; its buffers are a, b and c."""
    types = resolve_types(operand, accumulate, result, target)
    f = Function(3, [getattr(shape, name) for name in _SIZES])
    writer = _Product(f, types)
    f.each(f.begin, f.end, writer.element)
    extent = shape.batch * shape.m * shape.n
    return KernelText(f.text(target), f.sizes, extent, 1, 0)


class _Product:
    """Writes one element of the result."""

    def __init__(self, f: Function, types: GemmTypes) -> None:
        self.f, self.types = f, types
        self.size = dict(zip(_SIZES, f.size, strict=True))

    def element(self, number: Value) -> None:
        """The element with this number, counted along rows."""
        f, size, parts = self.f, self.size, self.types.parts
        row, column = number / size["n"], number % size["n"]
        batch, row = row / size["m"], row % size["m"]
        a = batch * size["a_batch"] + row * size["a_row"]
        b = batch * size["b_batch"] + column * size["b_column"]
        zero = f.emit.constant(self.types.compute, 0)

        def step(k: Value, sums: list[Value]) -> Sequence[Value]:
            x = self._load(0, a + k * size["a_column"])
            y = self._load(1, b + k * size["b_row"])
            return self._add(x, y, sums)

        sums = f.emit.loop(f.number(0), size["k"], 1, [zero] * parts, step)
        place = (batch * size["c_batch"] + row * size["c_row"] + column) * parts
        for part, total in enumerate(sums):
            address = f.emit.address(f.pointers[2], place + part, self.types.result)
            f.emit.store(address, self._result(total), self.types.result)

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
