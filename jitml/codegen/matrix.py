"""One small matrix of a batch, as the kernels of such matrices read and write it.

Comes in: where the matrices lie, and which one it is. Goes out: its elements, one by one or as many
columns of a row as a vector has lanes. It knows no op.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from jitml.codegen.fold import pieces
from jitml.codegen.special import Element, Function
from jitml.codegen.target import Target
from jitml.ir.types import ArrayType
from jitml.scalar.complex import Complex
from jitml.scalar.value import Value, select


class Matrix:
    """Loads and stores elements of one matrix of a batch, whose sizes are known; or of `width`
    matrices at once.
    """

    width = 1

    def __init__(
        self, f: Function, pointer: Value, type_: ArrayType, unit: Value, target: Target
    ) -> None:
        self.f, self.element = f, Element(type_)
        self.rows, self.columns = type_.shape[-2:]
        self.pointer = pointer
        self.begin = unit * (self.rows * self.columns)
        self.lanes = target.lanes(self.element.size_bytes)

    def load(self, row: Value, column: Value, lanes: int = 1) -> Any:
        place = self._place(row, column)
        return self.element.load(self.f.emit, self.pointer, place, lanes)

    def store(self, row: Value, column: Value, value: Any) -> None:
        self.element.store(self.f.emit, self.pointer, self._place(row, column), value)

    def _place(self, row: Value, column: Value) -> Value:
        return self.begin + row * self.columns + column

    def number(self, re: float) -> Any:
        """A number of the type of elements."""
        parts = [self.f.emit.constant(self.element.compute, x) for x in (re, 0.0)]
        return self.element.group(parts[: self.element.parts])

    def nothing(self) -> Any:
        """NaN."""
        value = self.f.emit.constant(self.element.compute, math.nan)
        return self.element.group([value] * self.element.parts)

    def choose(self, condition: Value, x: Any, y: Any) -> Any:
        """`x` where `condition` holds, else `y`, lane by lane."""
        pairs = zip(self.element.scalars(x), self.element.scalars(y), strict=True)
        return self.element.group([select(condition, a, b) for a, b in pairs])

    def total(self, upper: Value, first: Any, term: Callable[[Value], Any]) -> Any:
        """`first` less the terms below `upper`, in order."""

        def step(k: Value, state: list[Value]) -> Sequence[Value]:
            return self.element.scalars(self.element.group(state) - term(k))

        lower = self.f.number(0)
        state = self.f.emit.loop(lower, upper, 1, self.element.scalars(first), step)
        return self.element.group(state)

    def across(self, first: Value, body: Callable[[Value, int], None]) -> None:
        """`body(column, lanes)` for all columns in vectors, but for whole ones before `first`."""
        width, f = self.lanes, self.f
        whole = self.columns - self.columns % width
        if whole:
            start = first if first.number == 0 else first & -width
            f.each(start, f.number(whole), lambda j: body(j, width), width)
        for k, lanes in pieces(self.columns - whole, width):
            with f.emit.scope():
                body(f.number(whole + k), lanes)

    def copy_to(self, other: Matrix) -> None:
        """All elements to another matrix of this shape."""
        zero, f = self.f.number(0), self.f

        def row(i: Value) -> None:
            self.across(zero, lambda j, lanes: other.store(i, j, self.load(i, j, lanes)))

        f.each(zero, f.number(self.rows), row)


def conjugate(x: Any) -> Any:
    """The complex conjugate; of reals, `x` itself."""
    return Complex(x.re, -x.im) if isinstance(x, Complex) else x
