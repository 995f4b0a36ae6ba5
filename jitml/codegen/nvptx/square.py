"""Squares of a product on their way from registers to its epilogue: through shared memory.

However a kernel's threads hold their sums, threads that are neighbours then take neighbouring
columns, so that all that is read and written lies side by side. The memory is that of the panels,
which are done with; it holds some rows of the square at a time.

Comes in: the sums of a thread, and how it leaves some of them in shared memory. Goes out: the text
of what becomes of a square.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jitml.codegen.nvptx.block import barrier
from jitml.codegen.nvptx.epilogue import EpilogueWriter
from jitml.scalar.value import Value, convert, select

_SHORT = 40  # instructions of an epilogue that is written out for so many places:
_MOST_AT_ONCE = 4


class Turns(NamedTuple):
    """How the rows of a square take turns in shared memory: how many `times`, and so many rows of
    so many columns each time, whose beginnings lie `pitch` apart.

    `keep` leaves a thread's share of its sums there; `row` tells where in the square a row of a
    turn lies.
    """

    times: int
    rows: int
    columns: int
    pitch: int
    threads: int
    memory: Value
    keep: Callable[[Sequence[Value]], None]
    row: Callable[[Value, Value], Value]


def write_square(
    writer: EpilogueWriter,
    turns: Turns,
    thread: Value,
    begin: tuple[Value, Value, Value],
    ends: tuple[Value, Value],
    sums: Sequence[Value],
) -> None:
    """Write the square that begins at this batch, row and column, as far as it is within `ends`."""
    f, emit, compute = writer.f, writer.f.emit, writer.types.compute
    batch, first_row, first_column = begin
    share = len(sums) // turns.times
    per_row = turns.columns // writer.width
    rows_at_once = turns.threads // per_row
    own_row, along = thread / per_row, thread % per_row * writer.width
    column = first_column + convert(along, "i64")
    is_inside = column < ends[1]
    column = select(is_inside, column, 0)

    def take(turn: Value, at: Value) -> None:
        """The elements of a row, among those of a turn."""
        row = first_row + convert(turns.row(turn, at), "i64")

        def write() -> None:
            place = convert(at * turns.pitch + along, "i64")
            address = emit.address(turns.memory, place, compute)
            writer.write((batch, row, column), [emit.load(address, compute, writer.width)])

        emit.if_((row < ends[0]) & is_inside, write)

    def run(number: Value, state: list[Value]) -> Sequence[Value]:
        turn = convert(number, "u32")
        barrier(emit)  # what lies there has been read
        turns.keep(state[:share])
        barrier(emit)
        count = turns.rows // rows_at_once
        if count <= _MOST_AT_ONCE and writer.instructions <= _SHORT:
            for k in range(count):
                take(turn, own_row + k * rows_at_once)
        else:
            f.each(
                f.number(0),
                f.number(count),
                lambda k: take(turn, own_row + convert(k, "u32") * rows_at_once),
            )
        return [*state[share:], *state[:share]]

    with writer.at_column(column):
        emit.loop(f.number(0), f.number(turns.times), 1, sums, run)
