"""The steps of a plan as a graph, which decides for itself: nothing is read back.

In: a plan of launches, the addresses of its buffers. Out: what one launch of the graph does. A
branch is a body for each side; a loop is one body, with kernels of one thread that count its steps,
say where the buffers that move are now, and whether to go on. Short scans are written out.

A check that fails stops `while`s; scans go on, so that there is nothing that nobody has written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from jitml.device.calls import EMPTY_BYTE, Cell, Pending
from jitml.device.control_kernels import (
    MOST_MOVED,
    copy_kernel,
    count_kernel,
    decide_kernel,
    settle_kernel,
)
from jitml.device.device import Device
from jitml.device.driver import IF, WHILE
from jitml.device.launches import (
    BLOCK_THREADS,
    Code,
    GraphShape,
    is_unrolled,
    moved_by,
)
from jitml.device.library import Routine
from jitml.device.memory import Block
from jitml.device.steps import Place, Run
from jitml.ops.native import Grid
from jitml_runtime import Branch, Copy, Loop

CELL_BYTES = 8  # of a cell, and of a key
_EVERY, _ODD = -1, 1  # masks of steps
_COPIED_BYTES = 16  # by a thread at once
_LEAST, _MOST = -(2**31), 2**31 - 1
_ONE_THREAD = Grid((1, 1, 1), (1, 1, 1))
_Moved = TypeVar("_Moved")
_Row = tuple[int, int, int, int, int]  # offset, whole, start, stride, mask: of `count_kernel`


class Recording(Run):
    """One run of the steps while a stream records."""

    def __init__(
        self,
        code: Code,
        device: Device,
        addresses: Sequence[int],
        scratch: int,
        makers: Sequence[Pending],
        routines: Mapping[int, Routine],
        shape: GraphShape,
    ) -> None:
        super().__init__(code, device, addresses, scratch, makers, routines)
        self._first_places = [*self.places]
        self._slot = device.slot if any(code.checked) else 0
        limit = shape.most_unrolled
        self._loops = {n: s for n, s in code.loops if not is_unrolled(code.plan, n, s, limit)}
        # The first failed check; how far buffers have moved; of each loop the step, and that told.
        moved = [number for step in self._loops.values() for number in moved_by(step)]
        self._offsets = {number: 1 + k for k, number in enumerate(moved)}
        self._steps = {number: 1 + len(moved) + 2 * k for k, number in enumerate(self._loops)}
        count = 1 + len(moved) + 2 * len(self._loops)
        self.cells = Block(device, count * CELL_BYTES) if self._loops else None

    def load(self) -> None:
        """Load all kernels; nothing can be loaded while a stream records."""
        texts = [*self.code.ptx]
        if any(isinstance(step, Branch) for step in self.plan.instructions):
            texts.append(decide_kernel("s32"))
        if self._loops:
            texts += [decide_kernel("u8"), copy_kernel(), settle_kernel()]
        for step in self._loops.values():
            texts += [count_kernel(len(part)) for part in _parts(moved_by(step))]
        for text in texts:
            self.device.function(text)

    def run(self) -> None:
        driver, cells = self.driver, self.cells
        if self._slot:
            driver.fill(self._slot, EMPTY_BYTE, CELL_BYTES)
        if cells is not None:
            driver.fill(cells.address, EMPTY_BYTE, cells.size_bytes)
        super().run()
        if self._slot and cells is not None:
            self._ask_kernel(settle_kernel(), [self._slot, self._cell(0)])

    def _run_block(self, begin: int, end: int) -> None:
        for number, step in self._loops.items():
            for moved in moved_by(step) if begin <= number < end else ():  # it begins anew
                self.places[moved] = self._first_places[moved]
        super()._run_block(begin, end)

    def _cell(self, number: int) -> int:
        assert self.cells is not None
        return self.cells.address + number * CELL_BYTES

    def _number_of_launch(self, instruction: int) -> int:
        self.launched.append((instruction, tuple(self.steps[::-1])))
        return len(self.launched) - 1

    def _ask_kernel(self, text: str, arguments: Sequence[int], grid: Grid = _ONE_THREAD) -> None:
        numbers = [number % (1 << 64) for number in arguments]
        self.driver.launch(self.device.function(text), grid, numbers)

    # ---- decisions -----------------------------------------------------------------------------

    def _branch(self, number: int, step: Branch) -> None:
        blocks = list(zip((number + 1, *step.ends), step.ends, strict=False))
        handles = [self.driver.new_handle() for _ in blocks]
        for k, handle in enumerate(handles):
            least = _LEAST if k == 0 else k
            most = _MOST if k == len(blocks) - 1 else k
            self._decide(handle, step.index, "s32", (least, most), slot=0)
        for handle, block in zip(handles, blocks, strict=True):
            with self.driver.body(handle, IF):
                self._run_block(*block)

    def _decide(
        self, handle: int, number: int, type_: str, between: tuple[int, int], slot: int
    ) -> None:
        """Let a handle say whether the number in a buffer is between two."""
        arguments = [handle, *self.places[number], *between, slot]
        self._ask_kernel(decide_kernel(type_), arguments)

    def _loop(self, number: int, step: Loop) -> None:
        if number not in self._loops:
            super()._loop(number, step)
            return
        rows = self._rows(step)
        told = self._steps[number] + 1
        self.steps.append(Cell(told))
        handle = self.driver.new_handle()
        is_while = step.length < 0

        def count(keeps: int, adds: int) -> None:
            self._count(number, rows, (keeps, adds), (step.length, 0 if is_while else handle))
            if is_while:
                self._run_block(number + 1, step.condition_end)
                self._decide(handle, step.predicate, "u8", (1, 255), self._slot)

        count(0, 0)
        with self.driver.body(handle, WHILE):
            self._run_block(step.condition_end, step.end)
            count(1, 1)
        self.steps.pop()

    # ---- what moves ----------------------------------------------------------------------------

    def _rows(self, step: Loop) -> list[_Row]:
        """Let buffers move with the steps that the device counts."""
        rows: list[_Row] = []
        for number in step.moving:
            buffer = self.plan.buffers[number]
            whole, stride = self.places[buffer.index], buffer.size_bytes
            start = (step.length - 1) * stride if step.reverse else 0
            by = -stride if step.reverse else stride
            self._let_move(rows, number, whole, (start, by, _EVERY))
        for pair in step.carries:
            one, other = (self.places[number] for number in pair)
            apart = other.address - one.address
            self._let_move(rows, pair[0], one, (0, apart, _ODD))
            self._let_move(rows, pair[1], other, (0, -apart, _ODD))
        return rows

    def _let_move(
        self, rows: list[_Row], number: int, place: Place, how: tuple[int, int, int]
    ) -> None:
        """Let a buffer move from a place: start, stride, mask."""
        offset = self._cell(self._offsets[number])
        rows.append((offset, place.offset, *how))
        self.places[number] = Place(place.address, offset)

    def _count(
        self,
        number: int,
        rows: Sequence[_Row],
        how: tuple[int, int],
        going_on: tuple[int, int],
    ) -> None:
        """Count steps of a loop: keeps and adds, length and handle."""
        at, step = (self._cell(self._steps[number] + k) for k in (0, 1))
        parts = _parts(rows)
        for k, part in enumerate(parts):
            head = [at, step, self._slot, self._cell(0), *(how if k == 0 else (1, 0)), *going_on]
            self._ask_kernel(count_kernel(len(part)), [*head, *(x for row in part for x in row)])

    def _copy(self, step: Copy) -> None:
        source, target = self.places[step.source], self.places[step.target]
        size = self.plan.buffers[step.source].size_bytes
        if not (source.offset or target.offset):
            super()._copy(step)
        elif size and source != target:
            threads = min(-(-size // _COPIED_BYTES), self.driver.most_threads)
            grid = Grid((-(-threads // BLOCK_THREADS), 1, 1), (BLOCK_THREADS, 1, 1))
            self._ask_kernel(copy_kernel(), [*source, *target, size], grid)


def _parts(rows: Sequence[_Moved]) -> list[Sequence[_Moved]]:
    """What moves, as much as a launch takes at a time; one launch counts where nothing moves."""
    return [rows[k : k + MOST_MOVED] for k in range(0, max(1, len(rows)), MOST_MOVED)]
