"""Kernels of their own kind: cumulative folds, written straight in the scalar language.

Comes in: an equation whose operands are contiguous arrays. Goes out: the text of its kernel and how
it is called. The axis that is run along lies in arrays seen as [outer, axis, inner].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from jitml.codegen.emit import KernelText
from jitml.codegen.llvm import COMPUTE, STORAGE_BITS, Emitter
from jitml.codegen.target import Target
from jitml.ir.dtypes import short_name
from jitml.ir.graph import Eqn
from jitml.ir.types import ArrayType
from jitml.ops.cumulative import Cumulative
from jitml.scalar.complex import Complex
from jitml.scalar.value import Value

TOGETHER = 4  # rows: each waits for its own last sum only
CHUNK_COST = 1 << 16  # scalar instructions that one chunk of parallel work should have at least


class Function:
    """A kernel under construction: its pointers and sizes as values."""

    def __init__(self, buffers: int, sizes: Sequence[int], aligns_vectors: bool = False) -> None:
        self.emit = Emitter(aligns_vectors=aligns_vectors)
        self.sizes = tuple(sizes)
        self.prefix: list[str] = []
        self.begin = Value(self.emit, "i64", 1, "%begin")
        self.end = Value(self.emit, "i64", 1, "%end")
        self.pointers = [self._entry(f"b{k}", "buffers", "ptr", k) for k in range(buffers)]
        self.size = [self._size(k) for k in range(len(sizes))]
        self.scratch = self._entry("scratch", "fault", "ptr", 4)

    def _entry(self, name: str, source: str, type_: str, index: int) -> Value:
        element = "ptr" if type_ == "ptr" else "i64"
        self.prefix.append(f"  %p{name} = getelementptr {element}, ptr %{source}, i64 {index}")
        self.prefix.append(f"  %{name} = load {element}, ptr %p{name}, align 8")
        return Value(self.emit, type_, 1, f"%{name}")

    def _size(self, number: int) -> Value:
        return self._entry(f"z{number}", "sizes", "i64", number)

    def another_pointer(self) -> Value:
        """A further buffer that the kernel is called with."""
        number = len(self.pointers)
        self.pointers.append(self._entry(f"b{number}", "buffers", "ptr", number))
        return self.pointers[-1]

    def argument(self, size: int) -> Value:
        """A further size that the kernel is called with."""
        self.sizes = (*self.sizes, size)
        return self._size(len(self.sizes) - 1)

    def number(self, n: int) -> Value:
        return self.emit.constant("i64", n)

    def each(
        self, lower: Value, upper: Value, body: Callable[[Value], None], step: Value | int = 1
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
        """The element at `index`, or `lanes` consecutive ones."""
        start = index * self.parts
        if self.is_complex and (lanes > 1 or emit.aligns_vectors):
            pairs = emit.load(emit.address(pointer, start, self.storage), self.storage, 2 * lanes)
            return Complex(*(emit.shuffle(pairs, pairs, range(k, 2 * lanes, 2)) for k in (0, 1)))
        return self.group(
            [
                emit.load(emit.address(pointer, start + k, self.storage), self.storage, lanes)
                for k in range(self.parts)
            ]
        )

    def store(self, emit: Emitter, pointer: Value, index: Value, value: Any) -> None:
        start, scalars = index * self.parts, self.scalars(value)
        lanes = scalars[0].lanes
        if self.is_complex and (lanes > 1 or emit.aligns_vectors):
            scalars = [_interleaved(emit, value)]
        for k, scalar in enumerate(scalars):
            emit.store(emit.address(pointer, start + k, self.storage), scalar, self.storage)

    def scalars(self, value: Any) -> list[Value]:
        return [value.re, value.im] if self.is_complex else [value]

    def group(self, scalars: Sequence[Value]) -> Any:
        return Complex(*scalars) if self.is_complex else scalars[0]


def _interleaved(emit: Emitter, value: Complex) -> Value:
    """Real and imaginary parts side by side."""
    lanes = value.re.lanes
    if lanes > 1:
        order = [part * lanes + k for k in range(lanes) for part in (0, 1)]
        return emit.shuffle(value.re, value.im, order)
    empty = Value(emit, value.re.type, 2, "poison")
    return emit.insert(emit.insert(empty, value.re, 0), value.im, 1)


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

    def line(bases: Sequence[Value], lanes: int) -> None:
        """Lines along the axis (one for each lane) side by side, from the elements `bases` on."""

        def at(base: Value, step: Value) -> Value:
            position = f.size[0] - 1 - step if op.reverse else step
            return base + position * f.size[1]

        def advance(step: Value, running: list[Value]) -> Sequence[Value]:
            after: list[Value] = []
            for k, base in enumerate(bases):
                x = element.load(f.emit, f.pointers[0], at(base, step), lanes)
                before = element.group(running[k * element.parts : (k + 1) * element.parts])
                total = op.lower_combine(before, x)
                element.store(f.emit, f.pointers[1], at(base, step), total)
                after += element.scalars(total)
            return after

        start: list[Value] = []
        for base in bases:
            first = element.load(f.emit, f.pointers[0], at(base, f.number(0)), lanes)
            element.store(f.emit, f.pointers[1], at(base, f.number(0)), first)
            start += element.scalars(first)
        f.emit.loop(f.number(1), f.size[0], 1, start, advance)

    def lines(bases: Sequence[Value], lower: Value, upper: Value) -> None:
        whole = upper - ((upper - lower) & (lanes - 1)) if lanes > 1 else lower
        if lanes > 1:
            f.each(lower, whole, lambda i: line([b + i for b in bases], lanes), lanes)
        f.each(whole, upper, lambda i: line([b + i for b in bases], 1))

    row = f.size[0] * f.size[1]

    def rows(first: Value, together: int) -> None:
        lines([(first + k) * row for k in range(together)], f.number(0), f.size[1])

    if over_inner:
        f.each(f.number(0), f.size[2], lambda o: lines([o * row], f.begin, f.end))
    else:
        whole = f.end - ((f.end - f.begin) & (TOGETHER - 1))
        f.each(f.begin, whole, lambda o: rows(o, TOGETHER), TOGETHER)
        f.each(whole, f.end, lambda o: rows(o, 1))
    units, cost = inner if over_inner else outer, type_.size * 8
    grain = chunk_grain(units, cost)
    return KernelText(f.text(target), f.sizes, units, grain, 0, instructions=cost)


def chunk_grain(units: int, cost: int) -> int:
    if cost < 2 * CHUNK_COST or units < 2:
        return 0
    return even_grain(units, cost // CHUNK_COST)


def even_grain(units: int, chunks: int) -> int:
    """Units in a chunk, of about so many: an even number, so that two threads have as much to do,
    and of one size, for the last thread to end is what a call takes.
    """
    return -(-units // (chunks + chunks % 2 * (chunks > 1)))
