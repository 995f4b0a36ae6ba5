"""Calls whose work has been asked of a device: what became of them is known when it was waited for.

In: error slots that kernels write. Out: for each call the error that it ended with, which whoever
reads a result of it meets, or of a call that took one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jitml.codegen.nvptx.grid import INDEX_BITS, RECORD_BYTES, SITE_BITS, SLOT_BYTES
from jitml_runtime import KernelFault

if TYPE_CHECKING:
    from jitml.device.memory import Block

EMPTY_BYTE = 0xFF  # of a slot that nobody has written: greater than any error
NO_KEY = -1  # what such a slot has for a key
EMPTY = np.uint64(NO_KEY % (1 << 64))


class Cell(NamedTuple):
    """A number of 64 bits that the device counts, by its place among others."""

    number: int


# Of each launch with checks: the instruction, and the steps at which the loops around it were, the
# innermost first.
Launched = Sequence[tuple[int, tuple[int | Cell, ...]]]


class Errors(NamedTuple):
    """Where the failed checks of a call are told: a copy of its error slot, and the cells with the
    steps that the device has counted.
    """

    slot: Block
    cells: Block | None
    launched: Launched


class Pending:
    """A call on its way. It has `errors`, if it has checks."""

    __slots__ = (
        "_key", "error", "errors", "explain", "is_settled", "locate", "makers", "number",
    )  # fmt: skip

    def __init__(
        self,
        makers: Sequence[Pending],
        explain: Callable[[KernelFault], BaseException],
        locate: Callable[[Any], BaseException],
    ) -> None:
        self.makers = tuple(makers)  # of its arguments, as far as they are not known to be well
        self.explain = explain
        self.locate = locate
        self.number = 0  # by which the device tells that it has got here
        self.errors: Errors | None = None
        self.error: BaseException | None = None
        self.is_settled = False
        self._key = np.full(1, EMPTY)

    def ask(self) -> None:
        """Ask the device for the error."""
        if self.errors is not None:
            slot = self.errors.slot
            slot.device.copy_out(self._key, slot.address)

    def settle(self) -> None:
        """Note what the device has answered; the makers must be settled."""
        for maker in self.makers:
            self.error = self.error or maker.error
        if self.error is None and self.errors is not None and self._key[0] != EMPTY:
            self.error = self.explain(read_fault(self.errors, int(self._key[0])))
        self.end(self.error)

    def check(self) -> None:
        """Raise the error; it must be settled. Each who asks gets one of his own, so that the
        frames that it has passed do not live as long as the call.
        """
        if self.error is not None:
            raise copy(self.error)

    def end(self, error: BaseException | None) -> None:
        """Nothing more is to come."""
        self.error = error
        self.is_settled = True
        self.makers, self.errors = (), None


def read_fault(errors: Errors, key: int) -> KernelFault:
    """The failed check that a key stands for; its value lies in a record of the thread."""
    slot, cells, launched = errors
    records = np.empty(slot.size_bytes, np.uint8)
    counted = np.empty(cells.size_bytes // 8 if cells else 0, np.int64)
    slot.device.copy_out(records, slot.address)
    if cells:
        slot.device.copy_out(counted, cells.address)
    driver, whole = slot.device.driver, slot.device.slot
    driver.fill(whole, EMPTY_BYTE, slot.size_bytes)  # the next one must not find this one's records
    driver.synchronize()
    table = records[SLOT_BYTES:].view(np.int64).reshape(-1, RECORD_BYTES // 8)
    value = int(table[table[:, 0] == key, 1][0])
    instruction, steps = launched[key >> (INDEX_BITS + SITE_BITS)]
    known = tuple([int(counted[s.number]) if isinstance(s, Cell) else s for s in steps])
    site = (key >> INDEX_BITS) % (1 << SITE_BITS)
    return KernelFault(instruction, site, key % (1 << INDEX_BITS), value, known)
