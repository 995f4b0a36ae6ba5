"""Eigenvalues of many small Hermitian matrices: each lane of a vector has a matrix of its own.

Comes in: an `eigh` equation whose operand is contiguous. Goes out: the text of its kernel, whose
unit is a group of matrices. Sweeps of rotations clear one element off the diagonal after the other
(Golub and Van Loan, Matrix Computations, 8.5: the cyclic Jacobi method) until nothing is left. What
a lane computes does not depend on the others: one that is done is no longer rotated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jitml.codegen.emit import KernelText
from jitml.codegen.special import Element, Function, chunk_grain
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ir.types import ArrayType
from jitml.ops.linalg.eigen import Eigh
from jitml.scalar.complex import Complex
from jitml.scalar.value import BITS, Value, bitcast, copysign, maximum, minimum, select, sqrt

_SWEEPS = 30  # at most; some six do
_USUAL_SWEEPS = 6
_EXPONENT = {"f32": 0x7F800000, "f64": 0x7FF0000000000000}
# Of the norm of a matrix, what may be left off its diagonal: a quarter of the precision.
_LEFT = {"f32": 2.0**-25, "f64": 2.0**-54}


def eigh_kernel(eqn: Eqn, target: Target) -> KernelText:
    """The kernel of an `eigh`; matrices are repeated where they do not fill the last group."""
    op, type_ = eqn.op, eqn.inputs[0].type
    assert isinstance(op, Eigh)
    n, count = type_.shape[-1], type_.size // type_.shape[-1] ** 2
    element = Element(type_)
    lanes = target.lanes(BITS[element.compute] // 8)
    f = Function(3, (n, count))
    f.each(f.begin, f.end, lambda group: _Group(f, op, type_, group, lanes).write())
    groups = -(-count // lanes)
    cost = _USUAL_SWEEPS * n**3 * 12 * element.parts**2 + 2 * n * n * lanes
    numbers = 2 * n * n * element.parts + _SLOTS
    scratch = numbers * lanes * BITS[element.compute] // 8
    return KernelText(f.text(target), f.sizes, groups, chunk_grain(groups, groups * cost), scratch)


# Vectors in the scratch memory in front of the matrices.
_OFF, _NORM, _SCALE, _CHECK, _SLOTS = range(5)


class _Rotation(NamedTuple):
    """A unitary transformation of columns p and q: with `turn`, its sine times a phase."""

    cosine: Value
    turn: Any
    moved: Value  # from one diagonal element to the other


class _Group:
    """As many matrices as a vector has lanes, element by element: A first, then the vectors."""

    def __init__(self, f: Function, op: Eigh, type_: ArrayType, group: Value, lanes: int) -> None:
        self.f, self.emit, self.op, self.lanes = f, f.emit, op, lanes
        self.element = Element(type_)
        self.real = self.element.compute
        self.zero = f.number(0)
        self.n, self.count = f.size
        self.first = group * lanes

    def write(self) -> None:
        self._read()
        self._scale()
        self._store_slot(_OFF, self._sum_of_squares(lambda i: i + 1))

        def sweep(_: Value) -> None:
            active = self._slot(_OFF) > self._slot(_NORM)
            self.emit.if_(self.emit.any_lane(active), lambda: self._sweep(active))

        self.f.each(self.zero, self.f.number(_SWEEPS), sweep)
        self._pairs(self._order)
        self._write_results()

    # ---- memory ------------------------------------------------------------------------------

    def _number(self, x: float) -> Value:
        return self.emit.constant(self.real, x, self.lanes)

    def _place(self, matrix: int, i: Value, j: Value, part: int) -> Value:
        """Where the vector of an element of A (0) or of the eigenvectors (1) lies."""
        plane = self.n * self.n * (matrix * self.element.parts + part)
        number = (plane + i * self.n + j + _SLOTS) * self.lanes
        return self.emit.address(self.f.scratch, number, self.real)

    def _load(self, matrix: int, i: Value, j: Value) -> Any:
        parts = range(self.element.parts)
        places = [self._place(matrix, i, j, part) for part in parts]
        return self.element.group([self.emit.load(x, self.real, self.lanes) for x in places])

    def _store(self, matrix: int, i: Value, j: Value, value: Any) -> None:
        for part, x in enumerate(self.element.scalars(value)):
            self.emit.store(self._place(matrix, i, j, part), x, self.real)

    def _real_part(self, i: Value) -> Value:
        """The element of A at (i, i)."""
        return self.emit.load(self._place(0, i, i, 0), self.real, self.lanes)

    def _store_diagonal(self, i: Value, value: Value) -> None:
        zero = self._number(0.0)
        self._store(0, i, i, self.element.group([value, zero][: self.element.parts]))

    def _slot_place(self, slot: int) -> Value:
        return self.emit.address(self.f.scratch, self.f.number(slot * self.lanes), self.real)

    def _slot(self, slot: int) -> Value:
        return self.emit.load(self._slot_place(slot), self.real, self.lanes)

    def _store_slot(self, slot: int, value: Value) -> None:
        self.emit.store(self._slot_place(slot), value, self.real)

    # ---- loops -------------------------------------------------------------------------------

    def _pairs(self, body: Callable[[Value, Value], None]) -> None:
        """For all p < q."""
        f = self.f
        f.each(self.zero, self.n, lambda p: f.each(p + 1, self.n, lambda q: body(p, q)))

    def _each_matrix(self, body: Callable[[Value, Value], None]) -> None:
        """`body(lane, number)` for the matrix of each lane."""

        def lane(k: Value) -> None:
            body(k, minimum(self.first + k, self.count - 1))

        self.f.each(self.zero, self.f.number(self.lanes), lane)

    def _fold(
        self, start: Callable[[Value], Value], first: Value, step: Callable[[Value, Any], Value]
    ) -> Value:
        """`step(state, element)` over the elements of A from column `start(i)` of row i on."""

        def row(i: Value, state: list[Value]) -> Sequence[Value]:
            def column(j: Value, state: list[Value]) -> Sequence[Value]:
                return [step(state[0], self._load(0, i, j))]

            return self.emit.loop(start(i), self.n, 1, state, column)

        return self.emit.loop(self.zero, self.n, 1, [first], row)[0]

    def _sum_of_squares(self, start: Callable[[Value], Value]) -> Value:
        def add(total: Value, x: Any) -> Value:
            for part in self.element.scalars(x):
                total = total + part * part
            return total

        return self._fold(start, self._number(0.0), add)

    # ---- in and out --------------------------------------------------------------------------

    def _read(self) -> None:
        """The triangle that counts, mirrored; the vectors are those of the identity."""
        emit, n, parts = self.emit, self.n, self.element.parts

        def matrix(lane: Value, number: Value) -> None:
            def element(i: Value, j: Value) -> None:
                row, column = (j, i) if self.op.lower else (i, j)
                place = (number * n + row) * n + column
                x = self.element.load(emit, self.f.pointers[0], place)
                for to, value in (((row, column), x), ((column, row), _conjugate(x))):
                    for part, scalar in enumerate(self.element.scalars(value)):
                        at = emit.address(self._place(0, *to, part), lane, self.real)
                        emit.store(at, scalar, self.real)

            self.f.each(self.zero, n, lambda i: self.f.each(i, n, lambda j: element(i, j)))

        self._each_matrix(matrix)
        zero, one = self._number(0.0), self._number(1.0)

        def row(i: Value) -> None:
            nothing = self.element.group([zero] * parts)
            self.f.each(self.zero, n, lambda j: self._store(1, i, j, nothing))
            self._store(1, i, i, self.element.group([one, zero][:parts]))
            self._store_diagonal(i, self._real_part(i))

        self.f.each(self.zero, n, row)

    def _scale(self) -> None:
        """Divide by a power of two, so that squares are in range; find what is not finite."""

        def larger(most: Value, x: Any) -> Value:
            for part in self.element.scalars(x):
                most = maximum(most, abs(part))
            return most

        def check(total: Value, x: Any) -> Value:
            for part in self.element.scalars(x):
                total = total + part * 0.0
            return total

        most = self._fold(lambda _: self.zero, self._number(0.0), larger)
        bits = bitcast(most, "u" + self.real[1:])
        power = bitcast(bits & _EXPONENT[self.real], self.real)
        power = select(power == 0.0, self._number(1.0), power)
        self._store_slot(_SCALE, power)
        self._store_slot(_CHECK, self._fold(lambda _: self.zero, self._number(0.0), check))

        def divide(i: Value, j: Value) -> None:
            parts = [x / power for x in self.element.scalars(self._load(0, i, j))]
            self._store(0, i, j, self.element.group(parts))

        f = self.f
        f.each(self.zero, self.n, lambda i: f.each(self.zero, self.n, lambda j: divide(i, j)))
        square = self._sum_of_squares(lambda _: self.zero)
        self._store_slot(_NORM, square * _LEFT[self.real] ** 2)

    def _write_results(self) -> None:
        """The vectors and the diagonal of each matrix; NaN if anything was not finite."""
        f, emit, n = self.f, self.emit, self.n

        def finish(i: Value) -> None:
            self._store_diagonal(i, self._real_part(i) * self._slot(_SCALE) + self._slot(_CHECK))
            f.each(self.zero, n, lambda j: checked(i, j))

        def checked(i: Value, j: Value) -> None:
            parts = [x + self._slot(_CHECK) for x in self.element.scalars(self._load(1, i, j))]
            self._store(1, i, j, self.element.group(parts))

        def scalar(lane: Value, matrix: int, i: Value, j: Value, part: int) -> Value:
            return emit.load(
                emit.address(self._place(matrix, i, j, part), lane, self.real), self.real
            )

        def matrix(lane: Value, number: Value) -> None:
            def row(i: Value) -> None:
                at = emit.address(f.pointers[2], number * n + i, self.real)
                emit.store(at, scalar(lane, 0, i, i, 0), self.real)
                f.each(self.zero, n, lambda j: element(i, j))

            def element(i: Value, j: Value) -> None:
                parts = [scalar(lane, 1, i, j, part) for part in range(self.element.parts)]
                place = (number * n + i) * n + j
                self.element.store(emit, f.pointers[1], place, self.element.group(parts))

            f.each(self.zero, n, row)

        f.each(self.zero, n, finish)
        self._each_matrix(matrix)

    # ---- rotations ---------------------------------------------------------------------------

    def _sweep(self, active: Value) -> None:
        """Rotate all pairs of columns in the lanes that are `active`."""
        self._pairs(lambda p, q: self._rotate(p, q, active))
        self._store_slot(_OFF, self._sum_of_squares(lambda i: i + 1))

    def _rotate(self, p: Value, q: Value, active: Value) -> None:
        """Make the element of A at (p, q) zero."""
        first, second = self._real_part(p), self._real_part(q)
        rotation = self._rotation(second - first, self._load(0, p, q), active)

        def turn(k: Value) -> None:
            for matrix in (0, 1):
                x, y = self._turned(rotation, self._load(matrix, k, p), self._load(matrix, k, q))
                self._store(matrix, k, p, x)
                self._store(matrix, k, q, y)
                if matrix == 0:
                    self._store(0, p, k, _conjugate(x))
                    self._store(0, q, k, _conjugate(y))

        corner = self._load(0, p, q)
        self.f.each(self.zero, self.n, turn)
        self._store_diagonal(p, first - rotation.moved)
        self._store_diagonal(q, second + rotation.moved)
        zeros = [select(active, x.like(0.0), x) for x in self.element.scalars(corner)]
        self._store(0, p, q, self.element.group(zeros))
        self._store(0, q, p, _conjugate(self.element.group(zeros)))

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
        return scaled(x) - _conjugate(turn) * y, turn * x + scaled(y)

    def _order(self, i: Value, j: Value) -> None:
        """Exchange eigenvalues, and their vectors, where the later is smaller."""
        a, b = self._real_part(i), self._real_part(j)
        swaps = b < a
        self._store_diagonal(i, select(swaps, b, a))
        self._store_diagonal(j, select(swaps, a, b))

        def exchange(k: Value) -> None:
            pairs = [self.element.scalars(self._load(1, k, column)) for column in (i, j)]
            for to, (x, y) in ((i, pairs), (j, pairs[::-1])):
                chosen = [select(swaps, b, a) for a, b in zip(x, y, strict=True)]
                self._store(1, k, to, self.element.group(chosen))

        self.f.each(self.zero, self.n, exchange)


def _conjugate(x: Any) -> Any:
    return Complex(x.re, -x.im) if isinstance(x, Complex) else x
