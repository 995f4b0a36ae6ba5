"""The steps of a plan, asked of a device one after the other.

In: a plan of launches, the addresses of its buffers. Out: work in the device's stream. The host
waits where it must know something: which branch, whether a loop goes on, what the host computes.
`recording` has the steps of graphs, which decide for themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jitml.codegen.nvptx.grid import MOST_LAUNCHES
from jitml.codegen.nvptx.library import LibraryStep, ProductStep
from jitml.device.calls import EMPTY, EMPTY_BYTE, Cell, Errors, Launched, Pending, read_fault
from jitml.device.device import Device
from jitml.device.launches import Code, grid_of
from jitml.device.library import Routine
from jitml.device.memory import Block, Host
from jitml_runtime import Branch, Copy, HostCall, Instruction, Loop
from jitml_runtime.plan import block_ends


class Place(NamedTuple):
    """Where a buffer is: an address, and where the device finds how far it is behind that; 0 where
    it is just there.
    """

    address: int
    offset: int = 0


class Run:
    """One run of the steps. `at` is the instruction that was met last."""

    def __init__(
        self,
        code: Code,
        device: Device,
        addresses: Sequence[int],
        scratch: int,
        makers: Sequence[Pending],
        routines: Mapping[int, Routine],
    ) -> None:
        self.code = code
        self.plan = code.plan
        self.routines = routines  # of libraries, by the number of the step
        self.device = device
        self.driver = device.driver
        self.places = [Place(address) for address in addresses]
        self.scratch = scratch
        self.makers = makers
        self.steps: list[int | Cell] = []  # of the loops around, the outermost first
        self.launched: list[tuple[int, tuple[int | Cell, ...]]] = []  # with checks, since a wait
        self.cells: Block | None = None  # what tells steps that the device has counted
        self.at = 0

    def run(self) -> None:
        """Ask for all steps."""
        self._run_block(0, len(self.plan.instructions))

    def _run_block(self, begin: int, end: int) -> None:
        number = begin
        while number < end:
            step = self.plan.instructions[number]
            self.at = number
            if isinstance(step, ProductStep) and self._is_taken_over(number, step.buffers):
                self._call_library(number, step.buffers[:-1], step.buffers[-1:])
            elif isinstance(step, Instruction):
                self._launch(number, step)
            elif isinstance(step, Branch):
                self._branch(number, step)
            elif isinstance(step, Loop):
                self._loop(number, step)
            elif isinstance(step, HostCall):
                self._call(number, step)
            else:
                self._copy(step)
            number = max(number + 1, *block_ends(step), 0)

    def _is_taken_over(self, number: int, buffers: Sequence[int]) -> bool:
        """Whether a library computes a step: it must be told where the buffers are."""
        return number in self.routines and not any(self.places[b].offset for b in buffers)

    def _launch(self, number: int, step: Instruction) -> None:
        if step.extent == 0:
            return
        launch = 0
        if self.code.checked[number]:
            launch = self._number_of_launch(number)
        self.device.counts.launches += 1
        self.driver.launch(
            self.device.function(self.code.ptx[step.kernel]),
            grid_of(step, self.driver.most_threads),
            [
                *(self.places[b].address for b in step.buffers),
                *(self.places[b].offset for b in step.buffers if b in self.code.moving),
                *(size % (1 << 64) for size in step.sizes),
                step.extent,
                self.device.slot,
                launch,
                self.scratch,
                step.scratch_bytes,
            ],
        )

    def _number_of_launch(self, instruction: int) -> int:
        if len(self.launched) == MOST_LAUNCHES:
            self.wait()
        if not self.launched:  # others have used the slot before
            self.driver.fill(self.device.slot, EMPTY_BYTE, 8)
        self.launched.append((instruction, tuple(self.steps[::-1])))
        return len(self.launched) - 1

    def _branch(self, number: int, step: Branch) -> None:
        index = int(self._read(step.index).view(np.int32)[0])
        chosen = min(max(index, 0), len(step.ends) - 1)
        self._run_block((number + 1, *step.ends)[chosen], step.ends[chosen])

    def _loop(self, number: int, step: Loop) -> None:
        at = 0
        while step.length < 0 or at < step.length:
            self.steps.append(at)
            self._run_block(number + 1, step.condition_end)
            if step.length < 0 and not self._read(step.predicate)[0]:
                self.steps.pop()
                break
            for moving in step.moving:
                self._move(moving, step, at)
            self._run_block(step.condition_end, step.end)
            for current, following in step.carries:
                places = self.places
                places[current], places[following] = places[following], places[current]
            self.steps.pop()
            at += 1

    def _move(self, number: int, step: Loop, at: int) -> None:
        buffer = self.plan.buffers[number]
        slice_ = step.length - 1 - at if step.reverse else at
        whole = self.places[buffer.index]
        self.places[number] = Place(whole.address + slice_ * buffer.size_bytes, whole.offset)

    def _copy(self, step: Copy) -> None:
        size = self.plan.buffers[step.source].size_bytes
        source, target = self.places[step.source], self.places[step.target]
        self.driver.copy(source.address, target.address, size)

    def _call(self, number: int, step: HostCall) -> None:
        buffers = (*step.inputs, *step.outputs)
        if isinstance(step, LibraryStep) and self._is_taken_over(number, buffers):
            self._update(step)
            self._call_library(number, step.inputs, step.outputs)
        else:
            self._call_host(step)

    def _update(self, step: LibraryStep) -> None:
        """Give the outputs that a routine updates what it is to find there."""
        for source, target in zip(step.inputs[: step.call.updates], step.outputs, strict=False):
            self._copy(Copy(source, target, step.label))

    def _call_library(self, number: int, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        taken, given = ([self.places[n].address for n in row] for row in (inputs, outputs))
        self.device.counts.library_calls += 1
        self.routines[number].ask(taken, given, self.scratch)

    # ---- what the host must know ---------------------------------------------------------------

    def _read(self, number: int) -> Host:
        """The bytes of a buffer, on the host."""
        data = self._ask(number)
        self.wait()
        return data

    def _ask(self, number: int) -> Host:
        data = np.empty(self.plan.buffers[number].size_bytes, np.uint8)
        self.device.copy_out(data, self.places[number].address)
        self.device.counts.read_backs += 1
        return data

    def wait(self) -> None:
        """Wait for the device; raise the first check that has failed, here or in a call whose
        results this one takes.
        """
        key = np.empty(1, np.uint64)
        if self.launched:
            self.device.copy_out(key, self.device.slot)
        self.device.must_wait()
        for maker in self.makers:
            maker.check()
        launched, self.launched = self.launched, []
        if launched and key[0] != EMPTY:
            raise read_fault(self._errors(launched), int(key[0]))

    def _errors(self, launched: Launched) -> Errors:
        """What failed checks have left, as far as this program's launches reach: others use it
        after this.
        """
        slot = self._copy_of(self.device.slot, self.code.room(self.driver.most_threads).slot_bytes)
        cells = self.cells and self._copy_of(self.cells.address, self.cells.size_bytes)
        return Errors(slot, cells, launched)

    def _copy_of(self, address: int, size_bytes: int) -> Block:
        block = Block(self.device, size_bytes)
        self.driver.copy(address, block.address, size_bytes)
        return block

    def keep_errors(self, call: Pending) -> None:
        """Let a call know later what checks have failed."""
        if self.launched:
            call.errors = self._errors(self.launched)

    def _call_host(self, step: HostCall) -> None:
        found = [self._ask(number) for number in step.inputs]
        self.wait()
        inputs = []
        for data, spec in zip(found, step.input_specs, strict=True):
            data.flags.writeable = False
            inputs.append(data[: spec.size_bytes].view(spec.dtype).reshape(spec.shape))
        outputs = [np.empty(spec.shape, spec.dtype) for spec in step.output_specs]
        self.code.functions[step.function](tuple(inputs), tuple(outputs))
        self.driver.make_current()  # the function may have used another device
        for number, data in zip(step.outputs, outputs, strict=True):
            self.device.copy_in(self.places[number].address, data)
