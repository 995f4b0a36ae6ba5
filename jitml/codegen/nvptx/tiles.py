"""Transposes: kernels that read along one axis and write along another, by tiles of shared memory.

A block of 256 threads takes a tile of 32 by 32 elements: it reads rows of 32 elements side by side,
leaves them in shared memory (33 to a row, so that columns lie in different banks), and computes and
writes along the other axis.

Comes in: a kernel of elementwise values and loads. Goes out: the two axes of its tiles, and the
text of a tile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jitml.codegen.kernel import Axis, Kernel, Node
from jitml.codegen.llvm import STORAGE_BITS
from jitml.codegen.nest import Nest
from jitml.codegen.nvptx.block import (
    MOST_SHARED_BYTES,
    barrier,
    declare_shared,
    shared_memory,
    thread_number,
)
from jitml.scalar.value import BITS, Value, convert

SIDE = 32
THREADS = 256
_ROWS = THREADS // SIDE  # that the block reads at once
_PITCH = SIDE + 1
_LEAST_EXTENT = 16


class Turn(NamedTuple):
    """The axis that is read along, the one that is written along, and the loads to turn."""

    read: Axis
    written: Axis
    loads: tuple[Node, ...]


def find_turn(kernel: Kernel) -> Turn | None:
    """The tiles of a kernel; None if it had better do without."""
    outer, nodes = kernel.live_outer(), kernel.nodes()
    if any(n.name in ("reduce", "check") for n in nodes):
        return None
    if any(not a.merged for a in kernel.inner):
        return None
    long = [a for a in outer if a.extent >= _LEAST_EXTENT]
    written = [a for a in long if all(s.index.coefficient(a) == 1 for s in kernel.stores)]
    if not written:
        return None
    loads = [n for n in nodes if n.name == "load"]
    for axis in long:
        turned = tuple(
            n for n in loads
            if n.data.index.coefficient(axis) == 1
            and abs(n.data.index.coefficient(written[0])) > 1
            and not n.data.is_part
        )  # fmt: skip
        size = sum(max(STORAGE_BITS[n.data.storage], BITS[n.type]) // 8 for n in turned)
        if axis is not written[0] and turned and size * SIDE * _PITCH <= MOST_SHARED_BYTES:
            return Turn(axis, written[0], turned)
    return None


class Tile:
    """Writes a tile, at a place of the nest that sets all other axes."""

    def __init__(self, nest: Nest, turn: Turn) -> None:
        self.nest, self.turn = nest, turn
        self.emit = nest.emit

    def counts(self) -> tuple[int, int]:
        """How many tiles there are along the axis that is read, and along the other."""
        return tuple([-(-a.extent // SIDE) for a in self.turn[:2]])  # type: ignore[return-value]

    def shared_memory(self) -> str:
        """The declarations of the tiles."""
        return "".join(
            declare_shared(f"tile{k}", _PITCH * SIDE * _size(n))
            for k, n in enumerate(self.turn.loads)
        )

    def write(self, read: Value, written: Value, body: Callable[[], None]) -> None:
        """The tile that begins at these positions; `body` stores one element."""
        barrier(self.emit)
        self._each(self.turn.written, written, self.turn.read, read, self._keep)
        barrier(self.emit)

        def compute(row: Value, column: Value) -> None:
            for k, node in enumerate(self.turn.loads):
                place = self._place(k, node, column, row)
                self.nest.remember(node.number, self.emit.load(place, _kept(node)))
            body()

        self._each(self.turn.read, read, self.turn.written, written, compute)

    def _each(
        self,
        rows: Axis,
        first_row: Value,
        columns: Axis,
        first_column: Value,
        body: Callable[[Value, Value], None],
    ) -> None:
        """Run `body` for the elements of the tile that are this thread's: its column, and every so
        many rows.
        """
        nest, number = self.nest, self.nest.frame.number
        thread = thread_number(self.emit)
        column = convert(thread & (SIDE - 1), "i64")
        begin = convert(thread >> 5, "i64")
        at = first_column + column
        height = nest.frame.size(rows.extent) - first_row

        def inside() -> None:
            def step(row: Value, _: list[Value]) -> Sequence[Value]:
                def one() -> None:
                    with nest.at(columns, at, 1), nest.at(rows, first_row + row, 1):
                        body(row, column)

                self.emit.if_(row < height, one)
                return []

            self.emit.loop(begin, number(SIDE), _ROWS, [], step)

        with nest.scope():
            self.emit.if_(at < nest.frame.size(columns.extent), inside)

    def _keep(self, row: Value, column: Value) -> None:
        self.nest.prepare(self.turn.loads)
        for k, node in enumerate(self.turn.loads):
            self.emit.store(self._place(k, node, row, column), self.nest.value(node), _kept(node))

    def _place(self, number: int, node: Node, row: Value, column: Value) -> Value:
        """Where an element of a load's tile lies."""
        tile = shared_memory(self.emit, f"tile{number}")
        return self.emit.address(tile, row * _PITCH + column, _kept(node))


def _kept(node: Node) -> str:
    return "bool" if node.type == "i1" else node.type


def _size(node: Node) -> int:
    return STORAGE_BITS[_kept(node)] // 8
