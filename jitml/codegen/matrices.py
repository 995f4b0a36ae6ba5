"""Kernels of small matrices, written straight in the scalar language: one matrix is a unit.

Comes in: an equation whose operands are contiguous arrays. Goes out: the text of its kernel and how
it is called. Sums run in order, so bits depend on sizes alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from jitml.codegen.eigen import eigh_kernel
from jitml.codegen.emit import KernelText
from jitml.codegen.matrix import Matrix
from jitml.codegen.special import Function, chunk_grain
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.linalg.cholesky import Cholesky
from jitml.ops.linalg.eigen import Eigh
from jitml.ops.linalg.lu import Lu, PivotsToPermutation
from jitml.ops.linalg.triangular import TriangularSolve
from jitml.scalar.complex import Complex
from jitml.scalar.value import Value, convert, maximum, minimum, select, sqrt


def matrix_kernel(eqn: Eqn, target: Target) -> KernelText:
    """The kernel of an op on small matrices."""
    return _KERNELS[type(eqn.op)](eqn, target)


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
    f.each(f.begin, f.end, lambda unit: _factor(f, type_, unit, target))
    return _finished(f, _units(type_), n**3 / 3 + 20 * n, target)


def _factor(f: Function, type_: ArrayType, unit: Value, target: Target) -> None:
    a, factor = (Matrix(f, pointer, type_, unit, target) for pointer in f.pointers)
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
    f.each(
        f.begin, f.end, lambda unit: _Substitution(f, op, (a_type, b_type), unit, target).write()
    )
    n, count = a_type.shape[-1], b_type.shape[-1 if op.left_side else -2]
    return _finished(f, _units(a_type), n * n * count + 10 * n * count, target)


class _Substitution:
    """One system: X of op(A) X = B, or of op(A)ᵀ Xᵀ = Bᵀ where A stands on the right."""

    def __init__(
        self,
        f: Function,
        op: TriangularSolve,
        types: tuple[ArrayType, ArrayType],
        unit: Value,
        target: Target,
    ) -> None:
        self.f, self.op = f, op
        a, b = types
        self.a, self.b, self.x = (
            Matrix(f, pointer, type_, unit, target)
            for pointer, type_ in zip(f.pointers, (a, b, b), strict=True)
        )
        self.size = f.number(a.shape[-1])
        self.is_flipped = op.transpose_a == op.left_side
        # From the first unknown on where op(A) (or its transpose) is lower triangular.
        self.is_forward = op.lower != self.is_flipped

    def write(self) -> None:
        f = self.f
        f.each(f.number(0), self.size, self._unknown)

    def _coefficient(self, i: Value, k: Value) -> Any:
        value = self.a.load(k, i) if self.is_flipped else self.a.load(i, k)
        return _conjugate(value) if self.op.conjugate_a else value

    def _turned(self, step: Value) -> Value:
        return step if self.is_forward else self.size - 1 - step

    def _unknown(self, step: Value) -> None:
        """The row of X that stands alone after `step` others, or the column."""
        i, zero = self._turned(step), self.f.number(0)
        if self.op.left_side:
            self.b.across(zero, lambda column, lanes: self._solve(step, i, (i, column), lanes))
        else:
            self.f.each(zero, self.f.number(self.b.rows), lambda j: self._solve(step, i, (j, i), 1))

    def _solve(self, step: Value, i: Value, place: tuple[Value, Value], lanes: int) -> None:
        """Elements of X from `place` on, given those of the `step` unknowns before."""
        row, column = place

        def term(k: Value) -> Any:
            before = self._turned(k)
            known = (before, column) if self.op.left_side else (row, before)
            return self._coefficient(i, before) * self.x.load(*known, lanes)

        value = self.b.total(step, self.b.load(row, column, lanes), term)
        if not self.op.unit_diagonal:
            value = value / self._coefficient(i, i)
        self.x.store(row, column, value)


# ---- LU ------------------------------------------------------------------------------------------


def _lu_kernel(eqn: Eqn, target: Target) -> KernelText:
    """Gaussian elimination, the largest element of each column exchanged to the diagonal."""
    type_ = eqn.inputs[0].type
    m, n = type_.shape[-2:]
    f = Function(4, ())
    f.each(f.begin, f.end, lambda unit: _Elimination(f, type_, unit, target).write())
    return _finished(f, _units(type_), m * n * min(m, n) + 20 * n, target)


class _Elimination:
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
        pivot = self._pivot(k)
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

    def _exchange(self, first: Value, second: Value, j: Value, lanes: int) -> None:
        a, b = self.x.load(first, j, lanes), self.x.load(second, j, lanes)
        self.x.store(first, j, b)
        self.x.store(second, j, a)


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
    Eigh: eigh_kernel,
    Lu: _lu_kernel,
    PivotsToPermutation: _permutation_kernel,
    TriangularSolve: _triangular_kernel,
}
