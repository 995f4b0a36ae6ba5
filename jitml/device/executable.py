"""A program on devices: arguments are brought there, its work is asked for, results stay there.

In: a program's code, arrays. Out: arrays whose elements lie on the device, at once: the work may
not be done yet. A program in which the host has no part is one graph, recorded for the addresses
that it meets; else its work is queued step by step.
"""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from jitml.device.calls import Launched, Pending
from jitml.device.device import Device
from jitml.device.errors import DeviceError
from jitml.device.launches import Code, graph_shape
from jitml.device.libraries import find_routines, is_recorded
from jitml.device.memory import Block, Resident
from jitml.device.placement import Placed, place_arguments, put
from jitml.device.recording import Recording
from jitml.device.steps import Run
from jitml_runtime import (
    Array,
    KernelFault,
    from_numpy,
    remote_array,
    share,
    take_remote,
)

MOST_GRAPHS = 8  # of a program, each for other addresses
_ALIGNMENT = 256


class DeviceExecutable:
    """A program bound to the devices that it meets.

    `explain` tells what a failed check means, `locate` gives an error the line of an instruction.
    A program that `waits` has ended when its results are there: its failed checks are raised at
    once, for whoever knows a line that the program does not.
    """

    def __init__(
        self,
        code: Code,
        explain: Callable[[KernelFault], BaseException],
        locate: Callable[[DeviceError, int], BaseException],
        waits: bool = False,
    ) -> None:
        self.code = code
        self.explain = explain
        self.locate = locate
        self.waits = waits or os.environ.get("CUDA_LAUNCH_BLOCKING") == "1"
        self._bound: WeakKeyDictionary[Device, _Bound] = WeakKeyDictionary()

    def run(self, arguments: tuple[Array, ...], explain: Any = None) -> list[Array]:
        """The results, on the device of the arguments."""
        placed = place_arguments(arguments)
        with placed.device.entered() as device:
            call = _Call(self, device, explain)
            try:
                return call.run(placed, arguments)
            except DeviceError as error:
                raise self.locate(error, call.at) from None

    def bound(self, device: Device) -> _Bound:
        """What a device keeps of the program."""
        found = self._bound.get(device)
        if found is None or found.generation != device.generation:
            found = self._bound[device] = _Bound(self.code, device, self.locate)
        return found


class _Bound:
    """What a device keeps of a program: constants, what its libraries take over, and graphs by
    the addresses they are for.
    """

    def __init__(
        self, code: Code, device: Device, locate: Callable[[DeviceError, int], BaseException]
    ) -> None:
        self.generation = device.generation
        self.routines = find_routines(code.plan, device.libraries, locate)
        taken = [routine.work_bytes for routine in self.routines.values()]
        own = code.room(device.driver.most_threads).scratch_bytes
        self.scratch_bytes = max(own, *taken, 0)
        has_conditionals = device.driver.has_conditionals
        taken_over = partial(is_recorded, device.libraries)
        self.shape = graph_shape(code.plan, has_conditionals, taken_over)
        self.constants = [
            device.block_of(np.frombuffer(data, np.uint8)) for data in code.plan.constants
        ]
        self.graphs: OrderedDict[tuple[int, ...], _Graph] = OrderedDict()

    def graph(self, addresses: tuple[int, ...], record: Callable[[], _Graph]) -> _Graph:
        """The graph for some addresses; where there are too many, the oldest goes."""
        found = self.graphs.get(addresses)
        if found is None:
            while len(self.graphs) >= MOST_GRAPHS:
                self.graphs.popitem(last=False)
            found = self.graphs[addresses] = record()
        self.graphs.move_to_end(addresses)
        return found


class _Graph:
    """All steps of a program, recorded."""

    def __init__(self, recording: Recording) -> None:
        device = recording.device
        recording.load()
        device.driver.begin_capture()
        before = device.counts.launches, device.counts.library_calls
        try:
            recording.run()
            self.graph = device.driver.end_capture()
        except BaseException:
            device.driver.abandon_capture()
            raise
        finally:
            device.counts.launches, device.counts.library_calls = before
        self.launched: Launched = recording.launched
        self.cells = recording.cells
        arguments = (device.generation, 0, self.graph)
        weakref.finalize(self, device.discard, *arguments).atexit = False


class _Call:
    """One call of a program on a device."""

    def __init__(self, executable: DeviceExecutable, device: Device, explain: Any) -> None:
        self.executable = executable
        self.code = executable.code
        self.plan = executable.code.plan
        self.device = device
        self.explain = explain or executable.explain
        self.steps: Run | None = None

    @property
    def at(self) -> int:
        """The instruction that was met last."""
        return self.steps.at if self.steps else 0

    def run(self, placed: Placed, arguments: tuple[Array, ...]) -> list[Array]:
        """Ask for everything."""
        bound = self.executable.bound(self.device)
        arena = -(-self.plan.arena_bytes // _ALIGNMENT) * _ALIGNMENT
        space = arena + bound.scratch_bytes
        workspace = Block(self.device, space) if space else None
        inputs = placed.residents(arguments)
        makers = [
            x.maker for x in inputs if x.maker and not (x.maker.is_settled and not x.maker.error)
        ]
        addresses = [x.block.address for x in inputs]
        outputs = self._outputs(arguments, inputs)
        del inputs
        begin = workspace.address if workspace else 0
        places = self._addresses(addresses, outputs, bound, begin)
        call = Pending(makers, self.explain, self._locate)
        self._ask(bound, places, begin + arena, makers)
        assert self.steps is not None
        if self.executable.waits:
            self.steps.wait()
        self.steps.keep_errors(call)
        self.device.add(call)
        return self._results(outputs, arguments, call, placed.is_committed)

    def _locate(self, error: Any) -> BaseException:
        return self.executable.locate(error, 0)

    def _ask(
        self, bound: _Bound, places: list[int], scratch: int, makers: Sequence[Pending]
    ) -> None:
        arguments = (self.code, self.device, places, scratch, makers, bound.routines)
        steps = self.steps = Run(*arguments)
        if bound.shape is None:
            steps.run()
            return
        shape = bound.shape

        def record() -> _Graph:
            self.steps = recording = Recording(*arguments, shape)
            return _Graph(recording)

        graph = bound.graph((*places, scratch), record)
        self.device.driver.launch_graph(graph.graph)
        self.device.counts.graph_launches += 1
        self.steps, steps.launched, steps.cells = steps, list(graph.launched), graph.cells

    # ---- memory --------------------------------------------------------------------------------

    def _outputs(self, arguments: tuple[Array, ...], inputs: list[Resident]) -> dict[int, Block]:
        """The memory of each result that has its own: new, or that of an argument given away."""
        given = dict(self.plan.aliases)
        buffers = [b for b in self.plan.buffers if b.kind == "output"]
        blocks = {
            b.index: Block(self.device, b.size_bytes) for b in buffers if b.index not in given
        }
        owned: dict[int, Block] = {}
        for output, argument in given.items():
            array, resident = arguments[argument], inputs[argument]
            is_sole = sum(x is array for x in arguments) == 1 and resident.owner is None
            owned[output] = resident.block
            inputs[argument] = resident = None  # type: ignore[call-overload, assignment]
            if not (is_sole and take_remote(array) is not None):
                del owned[output]
        sizes = {b.index: b.size_bytes for b in buffers}
        for output in given:
            blocks[output] = owned.get(output) or Block(self.device, sizes[output])
        return blocks

    def _addresses(
        self, inputs: list[int], outputs: dict[int, Block], bound: _Bound, arena: int
    ) -> list[int]:
        places = []
        for buffer in self.plan.buffers:
            if buffer.kind == "temp":
                places.append(arena + buffer.offset)
            elif buffer.kind == "moving":  # set by its loop
                places.append(0)
            elif buffer.kind == "constant":
                places.append(bound.constants[buffer.index].address)
            elif buffer.kind == "input":
                places.append(inputs[buffer.index])
            else:
                places.append(outputs[buffer.index].address)
        return places

    def _results(
        self,
        outputs: dict[int, Block],
        arguments: tuple[Array, ...],
        call: Pending,
        is_committed: bool,
    ) -> list[Array]:
        plan = self.plan
        results: list[Array] = []
        for number, spec in enumerate(plan.outputs):
            forward = plan.forward[number] if plan.forward else None
            earlier = plan.duplicates[number] if plan.duplicates else None
            if forward is not None:
                x = arguments[forward]
                results.append(x if x.shape == spec.shape else share(x, spec.shape, spec.weak))
            elif earlier is not None:
                results.append(results[earlier])
            else:
                resident = Resident(outputs[number], spec.dtype, call, is_committed)
                results.append(remote_array(spec.dtype, spec.shape, spec.weak, resident))
        for _, argument in plan.aliases:
            arguments[argument].delete()
        return results


def run_on_host(
    executable: DeviceExecutable, device: Device, arguments: Sequence[Any]
) -> list[Any]:
    """The results for NumPy's arrays on a device, as NumPy's arrays."""
    arrays = tuple([put(from_numpy(x), device) for x in arguments])
    return [np.asarray(x) for x in executable.run(arrays)]
