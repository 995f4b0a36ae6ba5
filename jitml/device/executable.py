"""Plans on a device: memory, launches, loops, and what failed checks mean.

Comes in: a plan of launches, the PTX of its kernels, arrays. Goes out: arrays. A plan without
decisions of the host is recorded as one graph the first time; else its work is queued step by step
on one stream, and the host waits where it must know something (a condition, a host function).
Failed checks are read with the results, from the error slot that kernels write.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any

import numpy as np

from jitml.codegen.nvptx.grid import (
    INDEX_BITS,
    MOST_LAUNCHES,
    NO_ERROR,
    RECORD_BYTES,
    SITE_BITS,
    SLOT_BYTES,
)
from jitml.device.driver import Driver
from jitml.device.errors import DeviceLostError
from jitml_runtime import (
    Branch,
    Buffer,
    Copy,
    HostCall,
    Instruction,
    KernelFault,
    Loop,
    Plan,
)
from jitml_runtime.plan import Step, block_ends

BLOCK_THREADS = 128
MOST_THREADS = 1 << 15  # of a grid: each takes several units where there are more
MOST_SCRATCH_BYTES = 1 << 26
MOST_NODES = 2000  # of a graph
_RECORDS_BYTES = SLOT_BYTES + MOST_THREADS * RECORD_BYTES


class Device:
    """A device that programs run on: its driver, loaded kernels, the error slot."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.lock = RLock()  # programs run one after the other
        self.generation = 0  # counts how often it has begun anew
        self._garbage: list[tuple[int, Sequence[int], Any]] = []
        self._begin()

    def _begin(self) -> None:
        self._functions: dict[str, Any] = {}
        self.slot = self.driver.allocate(_RECORDS_BYTES)
        self._clear()

    def reset(self) -> None:
        """Begin anew after an error that the device does not get over. Arrays lie on the host."""
        self.generation += 1
        self.driver.reset()
        self._begin()

    def discard(self, generation: int, memory: Sequence[int], graph: Any = None) -> None:
        """Note what nobody needs any more; it may be told at any time, so nothing is done yet."""
        self._garbage.append((generation, memory, graph))

    def collect(self) -> None:
        """Give back what has been discarded."""
        garbage, self._garbage = self._garbage, []
        for generation, memory, graph in garbage:
            if generation != self.generation:
                continue
            for address in memory:
                self.driver.release(address)
            if graph is not None:
                self.driver.release_graph(graph)

    def _clear(self) -> None:
        empty = np.zeros(_RECORDS_BYTES, np.uint8)
        empty[:8].view(np.int64)[0] = NO_ERROR
        self.driver.copy_in(self.slot, empty.ctypes.data, empty.nbytes)
        self.driver.synchronize()

    def function(self, ptx: str) -> Any:
        """The kernel of a PTX text, loaded once."""
        if ptx not in self._functions:
            self._functions[ptx] = self.driver.load(ptx.encode())
        return self._functions[ptx]

    def take_error(self) -> tuple[int, int, int, int] | None:
        """Launch, site, index and value of the first check that has failed since the last time."""
        key = np.zeros(1, np.int64)
        self.driver.copy_out(key.ctypes.data, self.slot, 8)
        self.driver.synchronize()
        if key[0] == NO_ERROR:
            return None
        records = np.zeros(_RECORDS_BYTES, np.uint8)
        self.driver.copy_out(records.ctypes.data, self.slot, records.nbytes)
        self.driver.synchronize()
        table = records[SLOT_BYTES:].view(np.int64).reshape(-1, 2)
        value = int(table[table[:, 0] == key[0], 1][0])
        self._clear()
        number = int(key[0])
        index = number % (1 << INDEX_BITS)
        site = (number >> INDEX_BITS) % (1 << SITE_BITS)
        return number >> (INDEX_BITS + SITE_BITS), site, index, value


class DeviceExecutable:
    """A plan bound to a device."""

    def __init__(
        self,
        device: Device,
        plan: Plan,
        ptx: Sequence[str],
        checked: Sequence[bool],
        host_functions: Sequence[Callable[..., Any]] = (),
    ) -> None:
        self.device = device
        self.plan = plan
        self.checked = checked  # by instruction: whether it has checks
        self.functions = tuple(host_functions)
        self.ptx = tuple(ptx)
        self.at = 0  # the instruction that was met last
        self.is_graph = 1 < _graph_nodes(plan.instructions) <= MOST_NODES
        self._recorded: _Recorded | None = None

    def run_on_views(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Run the program on host memory; the outputs (those that have memory) are there when it
        returns.
        """
        with self.device.lock:
            self.device.collect()
            try:
                if self.is_graph:
                    self._run_graph(inputs, outputs)
                else:
                    _Call(self).run(inputs, outputs)
            except DeviceLostError:
                self.device.reset()
                raise

    def _run_graph(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """All steps in one launch, recorded the first time."""
        if self._recorded is None or self._recorded.generation != self.device.generation:
            self._recorded = _Recorded(self)
        self._recorded.run(inputs, outputs)


class _Recorded:
    """A program as a graph, with memory of its own."""

    def __init__(self, executable: DeviceExecutable) -> None:
        device = executable.device
        self.generation = device.generation
        self.call = call = _Call(executable)
        weakref.finalize(self, device.discard, self.generation, call.memory).atexit = False
        call.place()
        call.load_kernels()
        device.driver.begin_capture()
        try:
            call.run_steps()
        finally:
            self.graph = device.driver.end_capture()
        self.checks = call.launched
        weakref.finalize(self, device.discard, self.generation, (), self.graph).atexit = False

    def run(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        self.call.copy_inputs(inputs)
        self.call.driver.launch_graph(self.graph)
        self.call.launched = list(self.checks)
        self.call.copy_results(outputs)


def _graph_nodes(steps: Sequence[Step]) -> int:
    """How many nodes the graph of some steps has; 0 if the host must look at values meanwhile."""
    nodes, number = 0, 0
    while number < len(steps):
        step = steps[number]
        if isinstance(step, (HostCall, Branch)):
            return 0
        if isinstance(step, Loop):
            inner = _graph_nodes(steps[number + 1 : step.end]) if step.length >= 0 else 0
            if inner == 0:
                return 0
            nodes += inner * step.length
            number = step.end
        else:
            nodes += 1
            number += 1
    return nodes


class _Call:
    """One run: the addresses of all buffers, and what must be given back."""

    def __init__(self, executable: DeviceExecutable) -> None:
        self.executable = executable
        self.plan = executable.plan
        self.device = executable.device
        self.driver = executable.device.driver
        self.memory: list[int] = []
        self.steps: list[int] = []
        self.launched: list[tuple[int, tuple[int, ...]]] = []  # with checks
        self.arena = self.scratch = 0

    def run(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """All of it, in memory that is given back."""
        try:
            self.place()
            self.copy_inputs(inputs)
            self.run_steps()
            self.copy_results(outputs)
        except DeviceLostError:
            self.memory.clear()  # it is gone
            raise
        finally:
            for address in self.memory:
                self.driver.release(address)

    def load_kernels(self) -> None:
        """Load what will be launched."""
        for text in self.executable.ptx:
            self.device.function(text)

    def run_steps(self) -> None:
        """Ask for all steps."""
        self._run_block(0, len(self.plan.instructions))

    # ---- memory --------------------------------------------------------------------------------

    def _allocate(self, size_bytes: int) -> int:
        address = self.driver.allocate(size_bytes)
        self.memory.append(address)
        return address

    def place(self) -> None:
        """Find memory for everything."""
        if self.plan.arena_bytes:
            self.arena = self._allocate(self.plan.arena_bytes)
        steps = (s for s in self.plan.instructions if isinstance(s, Instruction))
        scratch_bytes = max((_scratch_bytes(step) for step in steps), default=0)
        if scratch_bytes:
            self.scratch = self._allocate(scratch_bytes)
        self.addresses = [self._address(buffer) for buffer in self.plan.buffers]

    def _address(self, buffer: Buffer) -> int:
        if buffer.kind == "temp":
            return self.arena + buffer.offset
        if buffer.kind == "moving":  # set by its loop
            return 0
        address = self._allocate(buffer.size_bytes)
        if buffer.kind == "constant":
            constant = np.frombuffer(self.plan.constants[buffer.index], np.uint8)
            self.driver.copy_in(address, constant.ctypes.data, constant.nbytes)
        return address

    def copy_inputs(self, inputs: Sequence[Any]) -> None:
        """Copy the arguments to the device."""
        for number, buffer in enumerate(self.plan.buffers):
            if buffer.kind == "input":
                data = inputs[buffer.index]
                self.driver.copy_in(self.addresses[number], data.ctypes.data, data.nbytes)

    def copy_results(self, outputs: Sequence[Any]) -> None:
        """Copy the results to the host, when they are there."""
        places = [
            (buffer.index, self.addresses[number])
            for number, buffer in enumerate(self.plan.buffers)
            if buffer.kind == "output"
        ]
        for (_, address), data in zip(sorted(places), outputs, strict=True):
            self.driver.copy_out(data.ctypes.data, address, data.nbytes)
        self._wait()

    def _read(self, number: int) -> Any:
        """The bytes of a buffer, on the host."""
        size = self.plan.buffers[number].size_bytes
        data = np.empty(size, np.uint8)
        self.driver.copy_out(data.ctypes.data, self.addresses[number], size)
        self._wait()
        return data

    def _wait(self) -> None:
        """Wait for the device, and raise the first check that has failed."""
        self.driver.synchronize()
        if not self.launched:
            return
        launched, self.launched = self.launched, []
        error = self.device.take_error()
        if error is not None:
            launch, site, index, value = error
            instruction, steps = launched[launch]
            raise KernelFault(instruction, site, index, value, steps)

    # ---- steps ---------------------------------------------------------------------------------

    def _run_block(self, begin: int, end: int) -> None:
        number = begin
        while number < end:
            step = self.plan.instructions[number]
            self.executable.at = number
            if isinstance(step, Instruction):
                self._launch(number, step)
            elif isinstance(step, Branch):
                self._branch(number, step)
            elif isinstance(step, Loop):
                self._loop(number, step)
            elif isinstance(step, HostCall):
                self._call_host(step)
            else:
                self._copy(step)
            number = max(number + 1, *block_ends(step), 0)

    def _launch(self, number: int, step: Instruction) -> None:
        if step.extent == 0:
            return
        blocks, in_block = _grid(step)
        launch = 0
        if self.executable.checked[number]:
            if len(self.launched) == MOST_LAUNCHES:
                self._wait()
            launch = len(self.launched)
            self.launched.append((number, tuple(self.steps[::-1])))
        self.driver.launch(
            self.device.function(self.executable.ptx[step.kernel]),
            blocks,
            in_block,
            [
                *(self.addresses[b] for b in step.buffers),
                *(size % (1 << 64) for size in step.sizes),
                step.extent,
                self.device.slot,
                launch,
                self.scratch,
                step.scratch_bytes,
            ],
        )

    def _branch(self, number: int, step: Branch) -> None:
        index = int(self._read(step.index).view(np.int32)[0])
        chosen = min(max(index, 0), len(step.ends) - 1)
        self._run_block((number + 1, *step.ends)[chosen], step.ends[chosen])

    def _loop(self, number: int, step: Loop) -> None:
        self.steps.append(0)
        while step.length < 0 or self.steps[-1] < step.length:
            self._run_block(number + 1, step.condition_end)
            if step.length < 0 and not self._read(step.predicate)[0]:
                break
            for moving in step.moving:
                self._move(moving, step)
            self._run_block(step.condition_end, step.end)
            for current, following in step.carries:
                places = self.addresses
                places[current], places[following] = places[following], places[current]
            self.steps[-1] += 1
        self.steps.pop()

    def _move(self, number: int, step: Loop) -> None:
        buffer, at = self.plan.buffers[number], self.steps[-1]
        slice_ = step.length - 1 - at if step.reverse else at
        self.addresses[number] = self.addresses[buffer.index] + slice_ * buffer.size_bytes

    def _copy(self, step: Copy) -> None:
        size = self.plan.buffers[step.source].size_bytes
        self.driver.copy(self.addresses[step.source], self.addresses[step.target], size)

    def _call_host(self, step: HostCall) -> None:
        inputs = []
        for number, spec in zip(step.inputs, step.input_specs, strict=True):
            data = self._read(number)[: spec.size_bytes]
            data.flags.writeable = False
            inputs.append(data.view(spec.dtype).reshape(spec.shape))
        self._wait()
        outputs = [np.empty(spec.shape, spec.dtype) for spec in step.output_specs]
        self.executable.functions[step.function](tuple(inputs), tuple(outputs))
        for number, data in zip(step.outputs, outputs, strict=True):
            self.driver.copy_in(self.addresses[number], data.ctypes.data, data.nbytes)
        self.driver.synchronize()


def _grid(step: Instruction) -> tuple[int, int]:
    """The blocks of a launch, and the threads of each."""
    together = max(1, step.grain)  # threads of one unit
    threads = min(step.extent * together, MOST_THREADS) if step.grain else 1
    if step.scratch_bytes:
        threads = max(1, min(threads, MOST_SCRATCH_BYTES // step.scratch_bytes))
    threads = -(-threads // together) * together
    in_block = together if together > 1 else min(BLOCK_THREADS, threads)
    return -(-threads // in_block), in_block


def _scratch_bytes(step: Instruction) -> int:
    """What all threads of a launch need."""
    if step.extent == 0:
        return 0
    blocks, in_block = _grid(step)
    return blocks * in_block * step.scratch_bytes
