"""Kernels of small matrices, written straight in the scalar language: one matrix is a unit.

Comes in: an equation whose operands are contiguous arrays. Goes out: the text of its kernel and how
it is called. Sums run in order, so bits depend on sizes alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from jitml.codegen.emit import KernelText
from jitml.codegen.special import Element, Function, chunk_grain
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.linalg.cholesky import Cholesky
from jitml.ops.linalg.lu import Lu, PivotsToPermutation
from jitml.ops.linalg.triangular import TriangularSolve
from jitml.scalar.complex import Complex
from jitml.scalar.value import Value, convert, maximum, minimum, select, sqrt


def matrix_kernel(eqn: Eqn, target: Target) -> KernelText:
    """The kernel of an op on small matrices."""
    return _KERNELS[type(eqn.op)](eqn, target)


class _Matrix:
    """Loads and stores elements of one matrix of a batch, whose sizes are known."""

    def __init__(self, f: Function, pointer: Value, type_: ArrayType, unit: Value) -> None:
        self.f, self.element = f, Element(type_)
        self.rows, self.columns = type_.shape[-2:]
        self.pointer = pointer
        self.begin = unit * (self.rows * self.columns)

    def load(self, row: Value, column: Value) -> Any:
        return self.element.load(self.f.emit, self.pointer, self._place(row, column))

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

    def total(self, upper: Value, first: Any, term: Callable[[Value], Any]) -> Any:
        """`first` less the terms below `upper`, in order."""

        def step(k: Value, state: list[Value]) -> Sequence[Value]:
            return self.element.scalars(self.element.group(state) - term(k))

        lower = self.f.number(0)
        state = self.f.emit.loop(lower, upper, 1, self.element.scalars(first), step)
        return self.element.group(state)

    def copy_to(self, other: _Matrix) -> None:
        """All elements to another matrix of this shape."""
        zero, f = self.f.number(0), self.f

        def row(i: Value) -> None:
            f.each(zero, f.number(self.columns), lambda j: other.store(i, j, self.load(i, j)))

        f.each(zero, f.number(self.rows), row)


def _units(type_: ArrayType) -> int:
    return math.prod(type_.shape[:-2])


def _finished(f: Function, units: int, cost: float, target: Target) -> KernelText:
    return KernelText(f.text(target), (), units, chunk_grain(units, int(units * cost)), 0)


def _conjugate(x: Any) -> Any:
    return Complex(x.re, -x.im) if isinstance(x, Complex) else x


def _real(x: Any) -> Value:
    return x.re if isinstance(x, Complex) else x


# ---- Cholesky ------------------------------------------------------------------------------------


def _cholesky_kernel(eqn: Eqn, target: Target) -> KernelText:
    """Column by column; where a diagonal element is not positive all is NaN."""
    type_ = eqn.inputs[0].type
    n = type_.shape[-1]
    f = Function(2, ())
    f.each(f.begin, f.end, lambda unit: _factor(f, type_, unit))
    return _finished(f, _units(type_), n**3 / 3 + 20 * n, target)


def _factor(f: Function, type_: ArrayType, unit: Value) -> None:
    a, factor = (_Matrix(f, pointer, type_, unit) for pointer in f.pointers)
    zero, size = f.number(0), f.number(type_.shape[-1])

    def column(j: Value, state: list[Value]) -> Sequence[Value]:
        def product(i: Value) -> Callable[[Value], Any]:
            return lambda k: factor.load(i, k) * _conjugate(factor.load(j, k))

        pivot = _real(a.total(j, a.load(j, j), product(j)))
        root = sqrt(pivot)
        (bad,) = state
        bad = select(pivot > 0, bad, f.number(1))

        def below(i: Value) -> None:
            value = a.total(j, a.load(i, j), product(i))
            parts = [x / root for x in a.element.scalars(value)]
            factor.store(i, j, a.element.group(parts))

        f.each(zero, j, lambda i: factor.store(i, j, a.number(0.0)))
        parts = [root, f.emit.constant(a.element.compute, 0.0)]
        factor.store(j, j, a.element.group(parts[: a.element.parts]))
        f.each(j + 1, size, below)
        return [bad]

    (bad,) = f.emit.loop(zero, size, 1, [zero], column)

    def spoil() -> None:
        f.each(zero, size, lambda i: f.each(zero, i + 1, lambda j: factor.store(i, j, a.nothing())))

    f.emit.if_(bad != 0, spoil)


# ---- triangular systems --------------------------------------------------------------------------


def _triangular_kernel(eqn: Eqn, target: Target) -> KernelText:
    """Substitution, from the end of the triangle where one unknown stands alone."""
    op, (a_type, b_type) = eqn.op, (a.type for a in eqn.inputs)
    assert isinstance(op, TriangularSolve)
    f = Function(3, ())
    f.each(f.begin, f.end, lambda unit: _Substitution(f, op, a_type, b_type, unit).write())
    n, count = a_type.shape[-1], b_type.shape[-1 if op.left_side else -2]
    return _finished(f, _units(a_type), n * n * count + 10 * n * count, target)


class _Substitution:
    """One system: X of op(A) X = B, or of op(A)ᵀ Xᵀ = Bᵀ where A stands on the right."""

    def __init__(
        self, f: Function, op: TriangularSolve, a: ArrayType, b: ArrayType, unit: Value
    ) -> None:
        self.f, self.op = f, op
        self.a = _Matrix(f, f.pointers[0], a, unit)
        self.b, self.x = (_Matrix(f, pointer, b, unit) for pointer in f.pointers[1:])
        self.size = f.number(a.shape[-1])
        self.count = f.number(b.shape[-1 if op.left_side else -2])
        self.is_flipped = op.transpose_a == op.left_side
        # From the first unknown on where op(A) (or its transpose) is lower triangular.
        self.is_forward = op.lower != self.is_flipped

    def write(self) -> None:
        f = self.f
        f.each(f.number(0), self.size, self._unknown)

    def _coefficient(self, i: Value, k: Value) -> Any:
        value = self.a.load(k, i) if self.is_flipped else self.a.load(i, k)
        return _conjugate(value) if self.op.conjugate_a else value

    def _at(self, matrix: _Matrix, i: Value, column: Value) -> Any:
        return matrix.load(i, column) if self.op.left_side else matrix.load(column, i)

    def _turned(self, step: Value) -> Value:
        return step if self.is_forward else self.size - 1 - step

    def _unknown(self, step: Value) -> None:
        i = self._turned(step)

        def solve(column: Value) -> None:
            def term(k: Value) -> Any:
                place = self._turned(k)
                return self._coefficient(i, place) * self._at(self.x, place, column)

            value = self.b.total(step, self._at(self.b, i, column), term)
            if not self.op.unit_diagonal:
                value = value / self._coefficient(i, i)
            if self.op.left_side:
                self.x.store(i, column, value)
            else:
                self.x.store(column, i, value)

        self.f.each(self.f.number(0), self.count, solve)


# ---- LU ------------------------------------------------------------------------------------------


def _lu_kernel(eqn: Eqn, target: Target) -> KernelText:
    """Gaussian elimination, the largest element of each column exchanged to the diagonal."""
    type_ = eqn.inputs[0].type
    m, n = type_.shape[-2:]
    f = Function(4, ())
    f.each(f.begin, f.end, lambda unit: _Elimination(f, type_, unit).write())
    return _finished(f, _units(type_), m * n * min(m, n) + 20 * n, target)


class _Elimination:
    """One matrix."""

    def __init__(self, f: Function, type_: ArrayType, unit: Value) -> None:
        source, factors, pivots, order = f.pointers
        m, n = type_.shape[-2:]
        self.f, self.steps = f, f.number(min(m, n))
        self.rows, self.columns, self.zero = f.number(m), f.number(n), f.number(0)
        self.a = _Matrix(f, source, type_, unit)
        self.x = _Matrix(f, factors, type_, unit)
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
        pivot = self._pivot(k)
        self._put(self.pivots, k, convert(pivot, "i32"))
        f.each(self.zero, self.columns, lambda j: self._exchange(k, pivot, j))
        places = [f.emit.address(self.order, row, "i32") for row in (k, pivot)]
        first, second = (f.emit.load(place, "i32") for place in places)
        f.emit.store(places[0], second, "i32")
        f.emit.store(places[1], first, "i32")
        diagonal = x.load(k, k)
        f.emit.if_(diagonal != x.number(0.0), lambda: self._scale(k, diagonal))

        def eliminate(i: Value) -> None:
            factor = x.load(i, k)

            def update(j: Value) -> None:
                x.store(i, j, x.load(i, j) - factor * x.load(k, j))

            f.each(k + 1, self.columns, update)

        f.each(k + 1, self.rows, eliminate)

    def _pivot(self, k: Value) -> Value:
        """The first of the largest elements of a column, from the diagonal down."""
        x = self.x

        def size(i: Value) -> Value:
            value = x.load(i, k)
            return abs(value.re) + abs(value.im) if isinstance(value, Complex) else abs(value)

        def compare(i: Value, state: list[Value]) -> Sequence[Value]:
            best, place = state
            found = size(i)
            is_larger = found > best
            return [select(is_larger, found, best), select(is_larger, i, place)]

        return self.f.emit.loop(k + 1, self.rows, 1, [size(k), k], compare)[1]

    def _exchange(self, first: Value, second: Value, j: Value) -> None:
        a, b = self.x.load(first, j), self.x.load(second, j)
        self.x.store(first, j, b)
        self.x.store(second, j, a)

    def _scale(self, k: Value, diagonal: Any) -> None:
        x = self.x
        self.f.each(k + 1, self.rows, lambda i: x.store(i, k, x.load(i, k) / diagonal))


# ---- permutations --------------------------------------------------------------------------------


def _permutation_kernel(eqn: Eqn, target: Target) -> KernelText:
    """From rows exchanged in turn to the order of all rows."""
    op, pivots = eqn.op, eqn.inputs[0].type
    assert isinstance(op, PivotsToPermutation)
    f = Function(2, (op.size, pivots.shape[-1]))
    source, rows = f.pointers
    size, count = f.size

    def unit(number: Value) -> None:
        def place(row: Value) -> Value:
            return f.emit.address(rows, number * size + row, "i32")

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


_KERNELS: dict[type[Op], Callable[[Eqn, Target], KernelText]] = {
    Cholesky: _cholesky_kernel,
    Lu: _lu_kernel,
    PivotsToPermutation: _permutation_kernel,
    TriangularSolve: _triangular_kernel,
}
