"""Kernels of small matrices, written straight in the scalar language: a unit is one matrix, or a
group with one in each lane of vectors.

Comes in: an equation whose operands are contiguous arrays. Goes out: the text of its kernel and how
it is called. Sums run in order, so bits depend on sizes alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from jitml.codegen.blocks import blocks_kernel
from jitml.codegen.eigen import SLOTS, USUAL_SWEEPS, Eigenvalues
from jitml.codegen.elimination import Elimination, LaneElimination
from jitml.codegen.emit import KernelText
from jitml.codegen.lanes import MANY, LaneMatrix, lanes_of
from jitml.codegen.matrix import Matrix, conjugate
from jitml.codegen.panel import panel_kernel
from jitml.codegen.special import Function, chunk_grain
from jitml.codegen.target import Target
from jitml.ir.dtypes import INT32, is_complex, real_dtype
from jitml.ir.graph import Eqn
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.linalg.cholesky import Cholesky
from jitml.ops.linalg.eigen import Eigh
from jitml.ops.linalg.lu import Lu, PivotsToPermutation
from jitml.ops.linalg.panel import Blocks, PanelQr
from jitml.ops.linalg.triangular import TriangularSolve
from jitml.scalar.complex import Complex
from jitml.scalar.value import Value, convert, maximum, minimum, select, sqrt


def matrix_kernel(eqn: Eqn, target: Target) -> KernelText:
    """The kernel of an op on small matrices."""
    return _KERNELS[type(eqn.op)](eqn, target)


def _units(type_: ArrayType) -> int:
    return math.prod(type_.shape[:-2])


def _fills_lanes(type_: ArrayType, target: Target) -> bool:
    """Whether there are matrices for each lane of vectors, and such vectors."""
    return _units(type_) >= MANY and lanes_of(type_, target) > 1


def _lanes_kernel(
    eqn: Eqn, target: Target, cost: float, work: Callable[..., Sequence[LaneMatrix]]
) -> KernelText:
    """The kernel that reads matrices into lanes, and writes what `work(f, *matrices)` gives: the
    results, and behind them what else lies in the scratch memory.
    """
    types = [a.type for a in eqn.inputs]
    count, lanes = _units(types[0]), lanes_of(types[0], target)
    f = Function(len(types) + len(eqn.outputs), (count,))
    inputs: list[LaneMatrix] = []
    for type_ in types:
        offset = sum(x.size_bytes for x in inputs)
        inputs.append(LaneMatrix(f, type_, target, lanes, offset))
    outputs: list[LaneMatrix] = []

    def group(number: Value) -> None:
        first = number * lanes
        for x, pointer in zip(inputs, f.pointers, strict=False):
            x.read(pointer, first, f.size[0])
        outputs.extend(work(f, *inputs))
        for x, pointer in zip(outputs, f.pointers[len(types) :], strict=False):
            x.write(pointer, first, f.size[0])

    f.each(f.begin, f.end, group)
    units = -(-count // lanes)
    grain = chunk_grain(units, int(units * (cost + sum(lanes * x.numbers for x in inputs))))
    scratch = sum(x.size_bytes for x in {*inputs, *outputs})
    return KernelText(f.text(target), f.sizes, units, grain, scratch)


def _finished(f: Function, units: int, cost: float, target: Target) -> KernelText:
    return KernelText(f.text(target), (), units, chunk_grain(units, int(units * cost)), 0)


def _real(x: Any) -> Value:
    return x.re if isinstance(x, Complex) else x


# ---- Cholesky ------------------------------------------------------------------------------------


def _cholesky_kernel(eqn: Eqn, target: Target) -> KernelText:
    """Column by column; where a diagonal element is not positive all is NaN."""
    type_ = eqn.inputs[0].type
    n = type_.shape[-1]
    cost = n**3 / 3 + 20 * n
    if _fills_lanes(type_, target):

        def group(f: Function, x: LaneMatrix) -> list[LaneMatrix]:
            _factor(f, x, x)
            return [x]

        return _lanes_kernel(eqn, target, cost, group)
    f = Function(2, ())

    def unit(number: Value) -> None:
        _factor(f, *(Matrix(f, pointer, type_, number, target) for pointer in f.pointers))

    f.each(f.begin, f.end, unit)
    return _finished(f, _units(type_), cost, target)


def _factor(f: Function, a: Matrix, factor: Matrix) -> None:
    """The factor of `a`, which it may take the place of."""
    zero, size = f.number(0), f.number(a.rows)

    def column(j: Value, state: list[Value]) -> Sequence[Value]:
        def product(i: Value) -> Callable[[Value], Any]:
            return lambda k: factor.load(i, k) * conjugate(factor.load(j, k))

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

    (bad,) = f.emit.loop(zero, size, 1, [f.emit.splat(zero, a.width)], column)

    def spoil(i: Value, j: Value) -> None:
        factor.store(i, j, a.choose(bad != 0, a.nothing(), factor.load(i, j)))

    def spoil_all() -> None:
        f.each(zero, size, lambda i: f.each(zero, i + 1, lambda j: spoil(i, j)))

    f.emit.if_(f.emit.any_lane(bad != 0), spoil_all)


# ---- triangular systems --------------------------------------------------------------------------


def _triangular_kernel(eqn: Eqn, target: Target) -> KernelText:
    """Substitution, from the end of the triangle where one unknown stands alone."""
    op, (a_type, b_type) = eqn.op, (a.type for a in eqn.inputs)
    assert isinstance(op, TriangularSolve)
    n, count = a_type.shape[-1], b_type.shape[-1 if op.left_side else -2]
    cost = n * n * count + 10 * n * count
    # Whole vectors of columns are as good, and need not be read into lanes.
    has_vectors = (
        op.left_side and count >= lanes_of(b_type, target) and not is_complex(b_type.dtype)
    )
    if _fills_lanes(a_type, target) and not has_vectors:

        def group(f: Function, a: LaneMatrix, b: LaneMatrix) -> list[LaneMatrix]:
            _Substitution(f, op, a, b, b).write()
            return [b]

        return _lanes_kernel(eqn, target, cost, group)
    f = Function(3, ())

    def unit(number: Value) -> None:
        places = zip(f.pointers, (a_type, b_type, b_type), strict=True)
        _Substitution(f, op, *(Matrix(f, at, t, number, target) for at, t in places)).write()

    f.each(f.begin, f.end, unit)
    return _finished(f, _units(a_type), cost, target)


class _Substitution:
    """One system: X of op(A) X = B, or of op(A)ᵀ Xᵀ = Bᵀ where A stands on the right. X may take
    the place of B.
    """

    def __init__(self, f: Function, op: TriangularSolve, a: Matrix, b: Matrix, x: Matrix) -> None:
        self.f, self.op = f, op
        self.a, self.b, self.x = a, b, x
        self.size = f.number(a.columns)
        self.is_flipped = op.transpose_a == op.left_side
        # From the first unknown on where op(A) (or its transpose) is lower triangular.
        self.is_forward = op.lower != self.is_flipped

    def write(self) -> None:
        f = self.f
        f.each(f.number(0), self.size, self._unknown)

    def _coefficient(self, i: Value, k: Value) -> Any:
        value = self.a.load(k, i) if self.is_flipped else self.a.load(i, k)
        return conjugate(value) if self.op.conjugate_a else value

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
    cost = m * n * min(m, n) + 20 * n
    if _fills_lanes(type_, target):

        def group(f: Function, x: LaneMatrix) -> list[LaneMatrix]:
            sizes = ArrayType(INT32, (1, min(m, n))), ArrayType(INT32, (1, m))
            pivots = LaneMatrix(f, sizes[0], target, x.width, x.size_bytes)
            offset = x.size_bytes + pivots.size_bytes
            order = LaneMatrix(f, sizes[1], target, x.width, offset)
            LaneElimination(f, x, pivots, order).write()
            return [x, pivots, order]

        return _lanes_kernel(eqn, target, cost, group)
    f = Function(4, ())
    f.each(f.begin, f.end, lambda unit: Elimination(f, type_, unit, target).write())
    return _finished(f, _units(type_), cost, target)


# ---- eigenvalues ---------------------------------------------------------------------------------


def _eigh_kernel(eqn: Eqn, target: Target) -> KernelText:
    """Rotations, one matrix to a lane; there are many."""
    op, type_ = eqn.op, eqn.inputs[0].type
    assert isinstance(op, Eigh)
    n, real = type_.shape[-1], real_dtype(type_.dtype)

    def group(f: Function, a: LaneMatrix) -> list[LaneMatrix]:
        made = [a]
        for beside in (type_, ArrayType(real, (1, n)), ArrayType(real, (1, SLOTS))):
            offset = sum(x.size_bytes for x in made)
            made.append(LaneMatrix(f, beside, target, a.width, offset))
        Eigenvalues(f, *made).write(op.lower)
        return made[1:]

    cost = USUAL_SWEEPS * n**3 * 12 * (4 if is_complex(type_.dtype) else 1)
    return _lanes_kernel(eqn, target, cost, group)


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
    Blocks: blocks_kernel,
    Cholesky: _cholesky_kernel,
    Eigh: _eigh_kernel,
    Lu: _lu_kernel,
    PanelQr: panel_kernel,
    PivotsToPermutation: _permutation_kernel,
    TriangularSolve: _triangular_kernel,
}
