"""Eigenvalues of many small Hermitian matrices: each lane of a vector has a matrix of its own.

Comes in: matrices in lanes. Goes out: the eigenvectors, and the eigenvalues in order. Sweeps of
rotations clear one element off the diagonal after the other (Golub and Van Loan, Matrix
Computations, 8.5: the cyclic Jacobi method) until nothing is left. What a lane computes does not
depend on the others: one that is done is no longer rotated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jitml.codegen.lanes import LaneMatrix
from jitml.codegen.matrix import conjugate
from jitml.codegen.special import Function
from jitml.scalar.complex import Complex
from jitml.scalar.value import Value, bitcast, copysign, maximum, select, sqrt

USUAL_SWEEPS = 6
_SWEEPS = 30  # at most
_EXPONENT = {"f32": 0x7F800000, "f64": 0x7FF0000000000000}
# Of the norm of a matrix, what may be left off its diagonal: a quarter of the precision.
_LEFT = {"f32": 2.0**-25, "f64": 2.0**-54}
# What is kept beside the matrices.
OFF, NORM, SCALE, CHECK, SLOTS = range(5)


class _Rotation(NamedTuple):
    """A unitary transformation of columns p and q: with `turn`, its sine times a phase."""

    cosine: Value
    turn: Any
    moved: Value  # from one diagonal element to the other


class Eigenvalues:
    """A group of matrices `a`, of which one triangle counts; `vectors` and `values` are filled, and
    `kept` is a row of `SLOTS` real numbers to work with.
    """

    def __init__(
        self,
        f: Function,
        a: LaneMatrix,
        vectors: LaneMatrix,
        values: LaneMatrix,
        kept: LaneMatrix,
    ) -> None:
        self.f, self.emit = f, f.emit
        self.a, self.vectors, self.values, self.kept = a, vectors, values, kept
        self.element, self.real = a.element, a.element.compute
        self.zero, self.n = f.number(0), f.number(a.rows)

    def write(self, lower: bool) -> None:
        self._mirror(lower)
        self._scale()
        self._keep(OFF, self._sum_of_squares(lambda i: i + 1))

        def sweep(_: Value) -> None:
            active = self._kept(OFF) > self._kept(NORM)
            self.emit.if_(self.emit.any_lane(active), lambda: self._sweep(active))

        self.f.each(self.zero, self.f.number(_SWEEPS), sweep)
        self._pairs(self._order)
        self._finish()

    # ---- elements ----------------------------------------------------------------------------

    def _number(self, x: float) -> Value:
        return self.emit.constant(self.real, x, self.a.width)

    def _real(self, value: Value) -> Any:
        """A real number as an element."""
        return self.element.group([value, self._number(0.0)][: self.element.parts])

    def _diagonal(self, i: Value) -> Value:
        return self.element.scalars(self.a.load(i, i))[0]

    def _kept(self, slot: int) -> Value:
        value: Value = self.kept.load(self.zero, self.f.number(slot))
        return value

    def _keep(self, slot: int, value: Value) -> None:
        self.kept.store(self.zero, self.f.number(slot), value)

    def _each(self, x: LaneMatrix, change: Callable[[Value], Value]) -> None:
        """`change` all numbers of matrices."""
        f = self.f

        def element(i: Value, j: Value) -> None:
            x.store(i, j, x.element.group([change(v) for v in x.element.scalars(x.load(i, j))]))

        columns = f.number(x.columns)
        f.each(
            self.zero,
            f.number(x.rows),
            lambda i: f.each(self.zero, columns, lambda j: element(i, j)),
        )

    def _pairs(self, body: Callable[[Value, Value], None]) -> None:
        """For all p < q."""
        f = self.f
        f.each(self.zero, self.n, lambda p: f.each(p + 1, self.n, lambda q: body(p, q)))

    def _fold(
        self, start: Callable[[Value], Value], step: Callable[[Value, Value], Value]
    ) -> Value:
        """`step(state, number)`, from 0, over the numbers of A from column `start(i)` of row i."""

        def row(i: Value, state: list[Value]) -> Sequence[Value]:
            def column(j: Value, state: list[Value]) -> Sequence[Value]:
                (total,) = state
                for x in self.element.scalars(self.a.load(i, j)):
                    total = step(total, x)
                return [total]

            return self.emit.loop(start(i), self.n, 1, state, column)

        return self.emit.loop(self.zero, self.n, 1, [self._number(0.0)], row)[0]

    def _sum_of_squares(self, start: Callable[[Value], Value]) -> Value:
        return self._fold(start, lambda total, x: total + x * x)

    # ---- before and after --------------------------------------------------------------------

    def _mirror(self, lower: bool) -> None:
        """The triangle that counts in place of the other; the vectors are those of the identity."""
        one, nothing = self._real(self._number(1.0)), self._real(self._number(0.0))

        def off(i: Value, j: Value) -> None:
            row, column = (j, i) if lower else (i, j)
            self.a.store(column, row, conjugate(self.a.load(row, column)))
            self.vectors.store(i, j, nothing)
            self.vectors.store(j, i, nothing)

        def on(i: Value) -> None:
            self.a.store(i, i, self._real(self._diagonal(i)))
            self.vectors.store(i, i, one)

        self._pairs(off)
        self.f.each(self.zero, self.n, on)

    def _scale(self) -> None:
        """Divide by a power of two, so that squares are in range; find what is not finite."""
        most = self._fold(lambda _: self.zero, lambda most, x: maximum(most, abs(x)))
        bits = bitcast(most, "u" + self.real[1:])
        power = bitcast(bits & _EXPONENT[self.real], self.real)
        power = select(power == 0.0, self._number(1.0), power)
        self._keep(SCALE, power)
        self._keep(CHECK, self._fold(lambda _: self.zero, lambda total, x: total + x * 0.0))
        self._each(self.a, lambda x: x / power)
        square = self._sum_of_squares(lambda _: self.zero)
        self._keep(NORM, square * _LEFT[self.real] ** 2)

    def _finish(self) -> None:
        """The diagonal as values; NaN if anything was not finite."""
        scale, check = self._kept(SCALE), self._kept(CHECK)

        def finish(i: Value) -> None:
            self.values.store(self.zero, i, self._diagonal(i) * scale + check)

        self.f.each(self.zero, self.n, finish)
        self._each(self.vectors, lambda x: x + check)

    # ---- rotations ---------------------------------------------------------------------------

    def _sweep(self, active: Value) -> None:
        """Rotate all pairs of columns in the lanes that are `active`."""
        self._pairs(lambda p, q: self._rotate(p, q, active))
        self._keep(OFF, self._sum_of_squares(lambda i: i + 1))

    def _rotate(self, p: Value, q: Value, active: Value) -> None:
        """Make the element of A at (p, q) zero."""
        a, first, second = self.a, self._diagonal(p), self._diagonal(q)
        corner = a.load(p, q)
        rotation = self._rotation(second - first, corner, active)

        def turn(k: Value) -> None:
            for matrix in (a, self.vectors):
                x, y = self._turned(rotation, matrix.load(k, p), matrix.load(k, q))
                matrix.store(k, p, x)
                matrix.store(k, q, y)
                if matrix is a:
                    a.store(p, k, conjugate(x))
                    a.store(q, k, conjugate(y))

        self.f.each(self.zero, self.n, turn)
        a.store(p, p, self._real(first - rotation.moved))
        a.store(q, q, self._real(second + rotation.moved))
        rest = a.choose(active, self._real(self._number(0.0)), corner)
        a.store(p, q, rest)
        a.store(q, p, conjugate(rest))

    def _rotation(self, gap: Value, corner: Any, active: Value) -> _Rotation:
        """The smaller of the rotations that clear `corner` between elements `gap` apart."""
        size, phase = corner, None
        if isinstance(corner, Complex):
            size = sqrt(corner.re * corner.re + corner.im * corner.im)
        asked = active & (size != 0.0)
        if isinstance(corner, Complex):
            phase = [select(asked, x / size, x.like(0.0)) for x in (corner.re, corner.im)]
        slope = gap / (size * 2.0)
        tangent = copysign(self._number(1.0), slope) / (abs(slope) + sqrt(slope * slope + 1.0))
        tangent = select(asked, tangent, tangent.like(0.0))
        cosine = self._number(1.0) / sqrt(tangent * tangent + 1.0)
        sine = tangent * cosine
        turn = sine if phase is None else Complex(*(x * sine for x in phase))
        return _Rotation(cosine, turn, select(asked, tangent * size, tangent.like(0.0)))

    def _turned(self, rotation: _Rotation, x: Any, y: Any) -> tuple[Any, Any]:
        """Elements of columns p and q, rotated."""

        def scaled(value: Any) -> Any:
            parts = self.element.scalars(value)
            return self.element.group([part * rotation.cosine for part in parts])

        turn = rotation.turn
        return scaled(x) - conjugate(turn) * y, turn * x + scaled(y)

    def _order(self, i: Value, j: Value) -> None:
        """Exchange eigenvalues, and their vectors, where the later is smaller."""
        a, b = self._diagonal(i), self._diagonal(j)
        swaps = b < a
        self.a.store(i, i, self._real(select(swaps, b, a)))
        self.a.store(j, j, self._real(select(swaps, a, b)))

        def exchange(k: Value) -> None:
            x, y = self.vectors.load(k, i), self.vectors.load(k, j)
            self.vectors.store(k, i, self.vectors.choose(swaps, y, x))
            self.vectors.store(k, j, self.vectors.choose(swaps, x, y))

        self.f.each(self.zero, self.n, exchange)
