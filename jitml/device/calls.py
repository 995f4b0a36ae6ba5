"""Calls whose work has been asked of a device: what became of them is known when it was waited for.

In: error slots that kernels write. Out: for each call the error that it ended with, which whoever
reads a result of it meets, or of a call that took one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from jitml.codegen.nvptx.grid import INDEX_BITS, RECORD_BYTES, SITE_BITS, SLOT_BYTES
from jitml_runtime import KernelFault

if TYPE_CHECKING:
    from jitml.device.memory import Block

EMPTY_BYTE = 0xFF  # of a slot that nobody has written: greater than any error
_EMPTY = np.uint64(2**64 - 1)
# Of each launch with checks: the instruction, and the steps at which the loops around it were.
Launched = Sequence[tuple[int, tuple[int, ...]]]


class Pending:
    """A call on its way. `slot` has a copy of its error slot, if it has checks."""

    __slots__ = (
        "_key", "error", "explain", "is_settled", "launched", "locate", "makers", "number", "slot",
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
        self.slot: Block | None = None
        self.launched: Launched = ()
        self.error: BaseException | None = None
        self.is_settled = False
        self._key = np.full(1, _EMPTY)

    def ask(self) -> None:
        """Ask the device for the error."""
        if self.slot is not None:
            self.slot.device.copy_out(self._key, self.slot.address)

    def settle(self) -> None:
        """Note what the device has answered; the makers must be settled."""
        for maker in self.makers:
            self.error = self.error or maker.error
        if self.error is None and self.slot is not None and self._key[0] != _EMPTY:
            fault = read_fault(self.slot, int(self._key[0]), self.launched)
            self.error = self.explain(fault)
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
        self.makers, self.slot = (), None


def read_fault(slot: Block, key: int, launched: Launched) -> KernelFault:
    """The failed check that a key stands for; its value lies in a record of the thread."""
    records = np.empty(slot.size_bytes, np.uint8)
    slot.device.copy_out(records, slot.address)
    driver, whole = slot.device.driver, slot.device.slot
    driver.fill(whole, EMPTY_BYTE, slot.size_bytes)  # the next one must not find this one's records
    driver.synchronize()
    table = records[SLOT_BYTES:].view(np.int64).reshape(-1, RECORD_BYTES // 8)
    value = int(table[table[:, 0] == key, 1][0])
    instruction, steps = launched[key >> (INDEX_BITS + SITE_BITS)]
    site = (key >> INDEX_BITS) % (1 << SITE_BITS)
    return KernelFault(instruction, site, key % (1 << INDEX_BITS), value, steps)
