"""Gaussian elimination of small matrices: in vectors of columns, or one matrix to a lane.

Comes in: a matrix of a batch, or a group of them. Goes out: both factors in its place, the rows
that were exchanged, and the order that they are in. Both ways give the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitml.codegen.lanes import LaneMatrix
from jitml.codegen.matrix import Matrix
from jitml.codegen.special import Function
from jitml.codegen.target import Target
from jitml.ir.types import ArrayType
from jitml.scalar.complex import Complex
from jitml.scalar.value import Value, convert, select


class Elimination:
    """One matrix."""

    def __init__(self, f: Function, type_: ArrayType, unit: Value, target: Target) -> None:
        source, factors, pivots, order = f.pointers
        m, n = type_.shape[-2:]
        self.f, self.steps = f, f.number(min(m, n))
        self.rows, self.zero = f.number(m), f.number(0)
        self.a = Matrix(f, source, type_, unit, target)
        self.x = Matrix(f, factors, type_, unit, target)
        self.pivots = f.emit.address(pivots, unit * min(m, n), "i32")
        self.order = f.emit.address(order, unit * m, "i32")

    def write(self) -> None:
        f = self.f
        self.a.copy_to(self.x)
        f.each(self.zero, self.rows, lambda i: self._put(self.order, i, convert(i, "i32")))
        f.each(self.zero, self.steps, self._step)

    def _put(self, pointer: Value, place: Value, value: Value) -> None:
        self.f.emit.store(self.f.emit.address(pointer, place, "i32"), value, "i32")

    def _step(self, k: Value) -> None:
        f, x = self.f, self.x
        pivot = _pivot(x, k)
        self._put(self.pivots, k, convert(pivot, "i32"))
        x.across(self.zero, lambda j, lanes: self._exchange(k, pivot, j, lanes))
        places = [f.emit.address(self.order, row, "i32") for row in (k, pivot)]
        first, second = (f.emit.load(place, "i32") for place in places)
        f.emit.store(places[0], second, "i32")
        f.emit.store(places[1], first, "i32")
        diagonal = x.load(k, k)
        f.each(k + 1, self.rows, lambda i: self._eliminate(k, i, diagonal))

    def _eliminate(self, k: Value, i: Value, diagonal: Any) -> None:
        """Subtract from row `i` the multiple of row `k` that clears its column `k`, where the
        factor is put.
        """
        x, first = self.x, self.x.load(i, k)
        factor = x.choose(diagonal != x.number(0.0), first / diagonal, first)

        def update(j: Value, lanes: int) -> None:
            place, old = j + self.f.emit.lane_numbers(lanes), x.load(i, j, lanes)
            new = x.choose(place > k, old - factor * x.load(k, j, lanes), old)
            x.store(i, j, x.choose(place == k, factor, new))

        x.across(k, update)

    def _exchange(self, first: Value, second: Value, j: Value, lanes: int) -> None:
        a, b = self.x.load(first, j, lanes), self.x.load(second, j, lanes)
        self.x.store(first, j, b)
        self.x.store(second, j, a)


class LaneElimination:
    """A group of matrices, each of which exchanges rows of its own."""

    def __init__(self, f: Function, x: LaneMatrix, pivots: LaneMatrix, order: LaneMatrix) -> None:
        self.f, self.x, self.pivots, self.order = f, x, pivots, order
        self.rows, self.columns, self.zero = f.number(x.rows), f.number(x.columns), f.number(0)

    def write(self) -> None:
        f, order = self.f, self.order
        f.each(self.zero, self.rows, lambda i: order.store(self.zero, i, convert(i, "i32")))
        f.each(self.zero, f.number(self.pivots.columns), self._step)

    def _step(self, k: Value) -> None:
        f, x = self.f, self.x
        pivot = _pivot(x, k)
        self.pivots.store(self.zero, k, convert(pivot, "i32"))
        f.each(k + 1, self.rows, lambda i: self._exchange(k, i, pivot == i))
        diagonal = x.load(k, k)
        f.each(k + 1, self.rows, lambda i: self._eliminate(k, i, diagonal))

    def _exchange(self, k: Value, i: Value, asked: Value) -> None:
        """Exchange rows `k` and `i` in the lanes that ask for it."""

        def swap(
            matrix: LaneMatrix, first: tuple[Value, Value], other: tuple[Value, Value]
        ) -> None:
            a, b = matrix.load(*first), matrix.load(*other)
            matrix.store(*first, matrix.choose(asked, b, a))
            matrix.store(*other, matrix.choose(asked, a, b))

        def rows() -> None:
            self.f.each(self.zero, self.columns, lambda j: swap(self.x, (k, j), (i, j)))
            swap(self.order, (self.zero, k), (self.zero, i))

        self.f.emit.if_(self.f.emit.any_lane(asked), rows)

    def _eliminate(self, k: Value, i: Value, diagonal: Any) -> None:
        """Subtract from row `i` the multiple of row `k` that clears its column `k`, where the
        factor is put.
        """
        x, first = self.x, self.x.load(i, k)
        factor = x.choose(diagonal != x.number(0.0), first / diagonal, first)
        x.store(i, k, factor)

        def update(j: Value) -> None:
            x.store(i, j, x.load(i, j) - factor * x.load(k, j))

        self.f.each(k + 1, self.columns, update)


def _pivot(x: Matrix, k: Value) -> Value:
    """The first of the largest elements of a column, from the diagonal down."""
    emit = x.f.emit

    def size(i: Value) -> Value:
        value = x.load(i, k)
        return abs(value.re) + abs(value.im) if isinstance(value, Complex) else abs(value)

    def compare(i: Value, state: list[Value]) -> Sequence[Value]:
        best, place = state
        found = size(i)
        is_larger = found > best
        return [select(is_larger, found, best), select(is_larger, i, place)]

    start = [size(k), emit.splat(k, x.width)]
    return emit.loop(k + 1, x.f.number(x.rows), 1, start, compare)[1]
