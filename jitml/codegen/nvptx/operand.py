"""Where the elements of a product's operands lie, and how their products are summed.

Comes in: a `GemmShape` and a kernel under construction. Goes out: values. An operand has a free
axis (a's rows, b's columns) and the depth k; each may be several axes of an array.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jitml.codegen.gemm_blocks import GemmShape
from jitml.codegen.gemm_types import GemmTypes
from jitml.codegen.special import Function
from jitml.scalar.value import FLOATS, Value, convert, fma

Axes = tuple[tuple[int, int], ...]  # extents and strides, the last one fastest


@dataclass(frozen=True)
class Layout:
    """The axes of one operand, in numbers: strides in elements."""

    batch: int
    free: Axes
    depth: Axes

    def runs_along_depth(self) -> bool:
        """Whether elements that follow each other along k lie closer than along the free axis."""
        return _distance(self.depth[-1]) <= _distance(self.free[-1])

    def has_vectors(self, width: int) -> bool:
        """Whether it is made of runs of so many elements side by side, at multiples of their
        size.
        """
        length = (self.depth if self.runs_along_depth() else self.free)[-1][0]
        return self.has_runs(width) and length % width == 0

    def has_runs(self, width: int) -> bool:
        """The same, but for the last ones of each line, which may be shorter."""
        if len(self.free) > 1 or len(self.depth) > 1:
            return False
        along, across = (self.depth[0], self.free[0])[:: 1 if self.runs_along_depth() else -1]
        others = [across[1] * (across[0] > 1), self.batch]
        return along[1] == 1 and not any(s % width for s in others)


def _distance(axis: tuple[int, int]) -> float:
    """How far neighbours along an axis lie from each other; far, if there are none."""
    extent, stride = axis
    return abs(stride) if stride and extent > 1 else math.inf


def layouts(shape: GemmShape) -> tuple[Layout, Layout]:
    """Those of a and of b."""
    rows: Axes = ((shape.m, shape.a_row),)
    columns: Axes = ((shape.n, shape.b_column),)
    depth_a: Axes = ((shape.k, shape.a_column),)
    depth_b: Axes = ((shape.k, shape.b_row),)
    if shape.a_gather:
        rows, depth_a = shape.a_gather
    if shape.b_gather:
        columns, depth_b = shape.b_gather
    batches = (s * (shape.batch > 1) for s in (shape.a_batch, shape.b_batch))
    return tuple(map(Layout, batches, (rows, columns), (depth_a, depth_b)))  # type: ignore[return-value]


class Operand:
    """An operand in a kernel, whose extents and strides are its arguments."""

    def __init__(self, f: Function, number: int, layout: Layout) -> None:
        self.f = f
        self.layout = layout
        self.pointer = f.pointers[number]
        self.batch = f.argument(layout.batch)
        self.free = _arguments(f, layout.free)
        self.depth = _arguments(f, layout.depth)

    def offset_along(self, axes: list[tuple[Value, Value]], number: Value) -> Value:
        """How far the position with this number lies from the first, in elements."""
        total: Value | None = None
        for extent, stride in reversed(axes[1:]):
            part = number % extent * stride
            total = part if total is None else total + part
            number = number / extent
        first = number * axes[0][1]
        return first if total is None else total + first


def _arguments(f: Function, axes: Axes) -> list[tuple[Value, Value]]:
    return [(f.argument(extent), f.argument(stride)) for extent, stride in axes]


def multiply_add(x: Value, y: Value, total: Value) -> Value:
    """The next link of a chain of sums."""
    return fma(x, y, total) if x.type in FLOATS else total + x * y


def rounded_sum(total: Value, types: GemmTypes) -> Value:
    """A sum as it is stored."""
    if types.compute not in FLOATS:
        total = convert(total, types.accumulate)
    return total if types.result in ("f16", "bf16") else convert(total, types.result)
