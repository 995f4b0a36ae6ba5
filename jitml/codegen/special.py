"""Kernels of their own kind: cumulative folds and sorts, written straight in the scalar language.

Comes in: an equation whose operands are contiguous arrays. Goes out: the text of its kernel and how
it is called. The axis that is run along lies in arrays seen as [outer, axis, inner].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from jitml.codegen.emit import CHUNK_COST, KernelText
from jitml.codegen.llvm import COMPUTE, STORAGE_BITS, Emitter
from jitml.codegen.target import Target
from jitml.ir.dtypes import short_name
from jitml.ir.graph import Eqn
from jitml.ir.types import ArrayType
from jitml.ops.cumulative import Cumulative
from jitml.ops.sort import Sort
from jitml.scalar.complex import Complex
from jitml.scalar.value import Value, minimum, select


class Function:
    """A kernel under construction: its pointers and sizes as values."""

    def __init__(self, buffers: int, sizes: Sequence[int]) -> None:
        self.emit = Emitter()
        self.sizes = tuple(sizes)
        self.prefix: list[str] = []
        self.begin = Value(self.emit, "i64", 1, "%begin")
        self.end = Value(self.emit, "i64", 1, "%end")
        self.pointers = [self._entry(f"b{k}", "buffers", "ptr", k) for k in range(buffers)]
        self.size = [self._entry(f"z{k}", "sizes", "i64", k) for k in range(len(sizes))]
        self.scratch = self._entry("scratch", "fault", "ptr", 4)

    def _entry(self, name: str, source: str, type_: str, index: int) -> Value:
        element = "ptr" if type_ == "ptr" else "i64"
        self.prefix.append(f"  %p{name} = getelementptr {element}, ptr %{source}, i64 {index}")
        self.prefix.append(f"  %{name} = load {element}, ptr %p{name}, align 8")
        return Value(self.emit, type_, 1, f"%{name}")

    def number(self, n: int) -> Value:
        return self.emit.constant("i64", n)

    def each(
        self, lower: Value, upper: Value, body: Callable[[Value], None], step: int = 1
    ) -> None:
        """`for i in range(lower, upper, step): body(i)`."""

        def run(index: Value, _: list[Value]) -> Sequence[Value]:
            body(index)
            return []

        self.emit.loop(lower, upper, step, [], run)

    def text(self, target: Target) -> str:
        bits = 8 * target.vector_bytes
        head = (
            "define i32 @kernel(ptr noalias %buffers, ptr noalias %sizes, i64 %begin, i64 %end, "
            f'ptr noalias %fault) nounwind "min-legal-vector-width"="{bits}" '
            f'"prefer-vector-width"="{bits}" {{'
        )
        body = [*sorted(self.emit.declarations), head, "entry:", *self.prefix, *self.emit.lines]
        return "\n".join([*body, "  ret i32 0", "}"]) + "\n"


class Element:
    """Loads and stores elements of a dtype; complex ones are two scalars."""

    def __init__(self, type_: ArrayType) -> None:
        short = short_name(type_.dtype)
        self.is_complex = short in ("c64", "c128")
        self.storage = {"c64": "f32", "c128": "f64"}.get(short, short)
        self.compute = COMPUTE.get(self.storage, self.storage)
        self.parts = 2 if self.is_complex else 1
        self.size_bytes = type_.dtype.itemsize

    def load(self, emit: Emitter, pointer: Value, index: Value, lanes: int = 1) -> Any:
        """The element at `index` (`lanes` consecutive ones; complex only one by one)."""
        values = [
            emit.load(
                emit.address(pointer, index * self.parts + k, self.storage), self.storage, lanes
            )
            for k in range(self.parts)
        ]
        return Complex(*values) if self.is_complex else values[0]

    def store(self, emit: Emitter, pointer: Value, index: Value, value: Any) -> None:
        for k, scalar in enumerate((value.re, value.im) if self.is_complex else (value,)):
            address = emit.address(pointer, index * self.parts + k, self.storage)
            emit.store(address, scalar, self.storage)

    def scalars(self, value: Any) -> list[Value]:
        return [value.re, value.im] if self.is_complex else [value]

    def group(self, scalars: Sequence[Value]) -> Any:
        return Complex(*scalars) if self.is_complex else scalars[0]


def _extents(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def cumulative_kernel(eqn: Eqn, target: Target) -> KernelText:
    """A cumulative fold: in order along the axis, vectors across the axes behind it."""
    op, type_ = eqn.op, eqn.inputs[0].type
    assert isinstance(op, Cumulative)
    outer, extent, inner = _extents(type_.shape, op.axis)
    element = Element(type_)
    over_inner = inner >= 64 and outer < 16
    f = Function(2, (extent, inner, outer))
    lanes = 1 if element.is_complex else target.lanes(max(4, STORAGE_BITS[element.storage] // 8))
    lanes = 1 if inner < lanes else lanes

    def line(base: Value, lanes: int) -> None:
        """One line along the axis (one for each lane), starting at element `base`."""

        def at(step: Value) -> Value:
            position = f.size[0] - 1 - step if op.reverse else step
            return base + position * f.size[1]

        def advance(step: Value, running: list[Value]) -> Sequence[Value]:
            x = element.load(f.emit, f.pointers[0], at(step), lanes)
            total = op.lower_combine(element.group(running), x)
            element.store(f.emit, f.pointers[1], at(step), total)
            return element.scalars(total)

        first = element.load(f.emit, f.pointers[0], at(f.number(0)), lanes)
        element.store(f.emit, f.pointers[1], at(f.number(0)), first)
        f.emit.loop(f.number(1), f.size[0], 1, element.scalars(first), advance)

    def lines(base: Value, lower: Value, upper: Value) -> None:
        whole = upper - ((upper - lower) & (lanes - 1)) if lanes > 1 else lower
        if lanes > 1:
            f.each(lower, whole, lambda i: line(base + i, lanes), lanes)
        f.each(whole, upper, lambda i: line(base + i, 1))

    row = f.size[0] * f.size[1]
    if over_inner:
        f.each(f.number(0), f.size[2], lambda o: lines(o * row, f.begin, f.end))
    else:
        f.each(f.begin, f.end, lambda o: lines(o * row, f.number(0), f.size[1]))
    units = inner if over_inner else outer
    return KernelText(f.text(target), f.sizes, units, chunk_grain(units, type_.size * 8), 0)


def chunk_grain(units: int, cost: int) -> int:
    if cost < 2 * CHUNK_COST or units < 2:
        return 0
    return max(1, CHUNK_COST * units // cost)


def sort_kernel(eqn: Eqn, target: Target) -> KernelText:
    """A stable merge sort of each line, bottom up, all operands moving together."""
    op, type_ = eqn.op, eqn.inputs[0].type
    assert isinstance(op, Sort)
    outer, extent, inner = _extents(type_.shape, op.dimension)
    elements = [Element(a.type) for a in eqn.inputs]
    sizes = [(extent * e.size_bytes + 63) // 64 * 64 for e in elements]
    offsets = [sum(sizes[:k]) for k in range(len(sizes))]
    levels = max(0, (extent - 1).bit_length())
    f = Function(2 * len(elements), (extent, inner, levels, *offsets, sum(sizes)))
    sorter = _Sorter(f, op, elements)
    f.each(f.begin, f.end, sorter.line)
    units = outer * inner
    grain = chunk_grain(units, type_.size * 8 * max(1, levels))
    return KernelText(f.text(target), f.sizes, units, grain, 2 * sum(sizes))


class _Sorter:
    """Writes the sort of one line, between two sets of buffers in scratch memory."""

    def __init__(self, f: Function, op: Sort, elements: list[Element]) -> None:
        self.f, self.op, self.elements = f, op, elements
        self.extent, self.inner, self.levels, *rest = f.size
        self.offsets, self.half = rest[:-1], rest[-1]

    def line(self, number: Value) -> None:
        f = self.f
        outer = number / self.inner
        base = outer * self.extent * self.inner + (number - outer * self.inner)
        count = len(self.elements)

        def copy_in(i: Value) -> None:
            for k, e in enumerate(self.elements):
                x = e.load(f.emit, f.pointers[k], base + i * self.inner)
                e.store(f.emit, self._buffer(k, f.number(0)), i, x)

        def copy_out(i: Value) -> None:
            side = self._side(self.levels)
            for k, e in enumerate(self.elements):
                x = e.load(f.emit, self._buffer(k, side), i)
                e.store(f.emit, f.pointers[count + k], base + i * self.inner, x)

        f.each(f.number(0), self.extent, copy_in)
        f.each(f.number(0), self.levels, self._level)
        f.each(f.number(0), self.extent, copy_out)

    def _side(self, level: Value) -> Value:
        """Offset of the buffers that hold the line before pass `level`."""
        return (level & 1) * self.half

    def _buffer(self, operand: int, side: Value) -> Value:
        return self.f.emit.address(self.f.scratch, self.offsets[operand] + side, "u8")

    def _level(self, level: Value) -> None:
        """Merge runs of 2^level in pairs, from one set of buffers to the other."""
        f = self.f
        width = f.number(1) << level
        sources = [self._buffer(k, self._side(level)) for k in range(len(self.elements))]
        targets = [self._buffer(k, self._side(level + 1)) for k in range(len(self.elements))]

        def merge(pair: Value) -> None:
            low = pair * width * 2
            middle = minimum(low + width, self.extent)
            high = minimum(low + width * 2, self.extent)

            def step(at: Value, state: list[Value]) -> Sequence[Value]:
                return self._step(sources, targets, at, state, middle, high)

            f.emit.loop(low, high, 1, [low, middle], step)

        pairs = (self.extent + width * 2 - 1) >> (level + 1)
        f.each(f.number(0), pairs, merge)

    def _step(
        self,
        sources: list[Value],
        targets: list[Value],
        at: Value,
        state: list[Value],
        middle: Value,
        high: Value,
    ) -> Sequence[Value]:
        """Take the smaller of the two heads; of equal ones the first."""
        emit, (left, right) = self.f.emit, state
        safe_left = minimum(left, middle - 1)
        safe_right = minimum(right, high - 1)
        a = [e.load(emit, s, safe_left) for e, s in zip(self.elements, sources, strict=True)]
        b = [e.load(emit, s, safe_right) for e, s in zip(self.elements, sources, strict=True)]
        keys = self.op.num_keys
        right_first = self.op.lower_less(b[:keys], a[:keys]) & (right < high)
        take_right = right_first | (left >= middle)
        for e, target, x, y in zip(self.elements, targets, a, b, strict=True):
            pairs = zip(e.scalars(y), e.scalars(x), strict=True)
            e.store(emit, target, at, e.group([select(take_right, p, q) for p, q in pairs]))
        return [select(take_right, left, left + 1), select(take_right, right + 1, right)]
