"""Many small matrices at once: each lane of a vector has one, element by element.

Comes in: where the matrices lie, and which is the first of a group. Goes out: vectors in the
scratch memory, one for each number of a matrix, and back. It knows no op.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitml.codegen.matrix import Matrix
from jitml.codegen.sorting.pieces import PIECE, from_pieces, to_pieces
from jitml.codegen.special import Element, Function
from jitml.codegen.target import Target
from jitml.ir.types import ArrayType
from jitml.scalar.value import BITS, Value, minimum

MANY = 16  # matrices from which on lanes are filled
_APART = 4  # vectors between two matrices


def lanes_of(type_: ArrayType, target: Target) -> int:
    """How many real numbers of the type of matrices a vector holds."""
    return target.lanes(BITS[Element(type_).compute] // 8)


class LaneMatrix(Matrix):
    """The matrices of a group of lanes, from byte `offset` of the scratch memory on; of `count`
    matrices, the last stands for those that are not there.
    """

    def __init__(
        self, f: Function, type_: ArrayType, target: Target, lanes: int, offset: int = 0
    ) -> None:
        place = f.emit.address(f.scratch, f.number(offset), "u8")
        super().__init__(f, place, type_, f.number(0), target)
        self.width = lanes
        self.numbers = self.rows * self.columns * self.element.parts

    @property
    def size_bytes(self) -> int:
        """Of the vectors, and some more: elements of the next matrix that lay a multiple of 4096
        bytes behind those of this one would wait for them.
        """
        return (self.numbers + _APART) * self.width * BITS[self.element.compute] // 8

    def load(self, row: Value, column: Value, lanes: int = 1) -> Any:
        emit, storage = self.f.emit, self.element.storage
        places = [self._vector(row, column, part) for part in range(self.element.parts)]
        return self.element.group([emit.load(at, storage, self.width) for at in places])

    def store(self, row: Value, column: Value, value: Any) -> None:
        for part, x in enumerate(self.element.scalars(value)):
            at = self._vector(row, column, part)
            self.f.emit.store(at, self.f.emit.splat(x, self.width), self.element.storage)

    def across(self, first: Value, body: Callable[[Value, int], None]) -> None:
        self.f.each(first, self.f.number(self.columns), lambda j: body(j, 1))

    def _vector(self, row: Value, column: Value, part: int) -> Value:
        return self._number((row * self.columns + column) * self.element.parts + part)

    def _number(self, number: Value) -> Value:
        """Where the vector of a number lies."""
        return self.f.emit.address(self.pointer, number * self.width, self.element.storage)

    # ---- in and out --------------------------------------------------------------------------

    def read(self, pointer: Value, first: Value, count: Value) -> None:
        """The matrices at `pointer`, from number `first` on."""
        emit, storage = self.f.emit, self.element.storage

        def few(number: Value, places: list[Value]) -> None:
            pieces = [emit.load(at, storage, PIECE) for at in places]
            for k, vector in enumerate(from_pieces(emit, pieces)):
                emit.store(self._number(number + k), vector, storage)

        def single(number: Value, lane: int, place: Value) -> None:
            to = emit.address(self._number(number), self.f.number(lane), storage)
            emit.store(to, emit.load(place, storage), storage)

        self._each(pointer, first, count, few, single)

    def write(self, pointer: Value, first: Value, count: Value) -> None:
        """The matrices to `pointer`, from number `first` on."""
        emit, storage = self.f.emit, self.element.storage

        def few(number: Value, places: list[Value]) -> None:
            vectors = [
                emit.load(self._number(number + k), storage, self.width) for k in range(PIECE)
            ]
            for place, piece in zip(places, to_pieces(emit, vectors), strict=True):
                emit.store(place, piece, storage)

        def single(number: Value, lane: int, place: Value) -> None:
            at = emit.address(self._number(number), self.f.number(lane), storage)
            emit.store(place, emit.load(at, storage), storage)

        self._each(pointer, first, count, few, single)

    def _each(
        self,
        pointer: Value,
        first: Value,
        count: Value,
        few: Callable[[Value, list[Value]], None],
        single: Callable[[Value, int, Value], None],
    ) -> None:
        """`few(number, places)` for `PIECE` numbers of all matrices at a time, and
        `single(number, lane, place)` for what is left over.
        """
        f, storage = self.f, self.element.storage
        whole = self.numbers // PIECE * PIECE if self.width >= PIECE else 0
        starts = [minimum(first + k, count - 1) * self.numbers for k in range(self.width)]

        def place(lane: int, number: Value) -> Value:
            return f.emit.address(pointer, starts[lane] + number, storage)

        def several(number: Value) -> None:
            few(number, [place(lane, number) for lane in range(self.width)])

        def one(number: Value) -> None:
            for lane in range(self.width):
                single(number, lane, place(lane, number))

        if whole:
            f.each(f.number(0), f.number(whole), several, PIECE)
        f.each(f.number(whole), f.number(self.numbers), one)
