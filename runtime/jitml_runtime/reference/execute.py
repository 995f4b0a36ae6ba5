"""Executable in Python: a plan's instructions, one after the other.

In: Arrays. Out: Arrays, or the first failed check in program order.
Must not know: graphs, equations, source lines.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import KernelFault
from ..plan import (
    ArraySpec,
    Branch,
    Buffer,
    Copy,
    HostCall,
    Instruction,
    Loop,
    Plan,
    block_ends,
    check_plan,
)
from ..threads import check_thread_count
from . import memory, spans
from .array import Array, check_alive, empty, share, take_data, wrap, writable_data

_NO_SITE = 2**63 - 1
_STOPPED = 2
_LONG_WORK_NS = 50_000
_BYTES_PER_NS = 8
_threads = {"count": 1}
_scope = threading.local()

Data = np.ndarray[Any, Any]


class _Fault(ctypes.Structure):
    _fields_ = (
        ("site", ctypes.c_int64),
        ("index", ctypes.c_int64),
        ("value", ctypes.c_int64),
        ("stop", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p),
    )


_Kernel = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
)


class Executable:
    """A plan bound to loaded kernels and host functions."""

    def __init__(
        self,
        plan: Plan,
        addresses: Sequence[int],
        keepalive: object = None,
        host_functions: Sequence[Callable[..., Any]] = (),
        delegate: Callable[[tuple[Array, ...], Any], Sequence[Array]] | None = None,
    ) -> None:
        check_plan(plan, len(addresses), len(host_functions))
        if 0 in addresses:
            raise ValueError(f"the address of kernel {list(addresses).index(0)} is 0")
        self.plan = plan
        self._addresses = list(addresses)
        self._kernels = [_Kernel(address) for address in addresses]
        self._is_watched = False
        self.busy_ns = 0
        self._times: list[list[int]] | None = None  # calls and nanoseconds of each step
        self._noted: list[list[int]] = []  # the latest of them
        self._keepalive = keepalive
        self._functions = tuple(host_functions)
        self._delegate = delegate  # runs the whole plan instead

    def run(self, arguments: Sequence[Array], explain: Any = None) -> tuple[Array, ...]:
        """Run the program on a sequence of Arrays and return its results as a tuple. `explain` is
        for a delegate.
        """
        _check_arguments(self.plan, arguments)
        begin = time.perf_counter_ns()
        if self._delegate is not None:
            results = tuple(self._delegate(tuple(arguments), explain))
        else:
            results = _Call(self, arguments).run()
        end = time.perf_counter_ns()
        if self._is_watched:
            self.busy_ns += end - begin
        if spans.is_recording:
            spans.record(self, begin, end, 0)
        for _, argument in self.plan.aliases:
            arguments[argument].delete()
        return results

    def watch(self, wanted: bool, /) -> None:
        """Count from now on the time that runs take, or do so no longer."""
        self._is_watched = wanted

    def measure(self, wanted: bool, /) -> None:
        """Count from now on the calls of each step and the time they take, or do so no longer."""
        self._times = [[0, 0] for _ in self.plan.instructions] if wanted else None
        if self._times is not None:
            self._noted = self._times

    @property
    def step_times(self) -> tuple[tuple[int, int], ...]:
        """Calls and nanoseconds of each step since it was last measured; empty if it never was."""
        return tuple([(calls, ns) for calls, ns in self._noted])

    def replace_kernel(self, before: int, after: int, owner: object) -> None:
        """Run the kernel at another address in place of one; `owner` keeps its code alive."""
        if not after:
            raise ValueError("the address of a kernel is 0")
        self._keepalive = (self._keepalive, owner)
        for number, address in enumerate(self._addresses):
            if address == before:
                self._addresses[number] = after
                self._kernels[number] = _Kernel(after)


class _Call:
    """One run: its views of all buffers, and the results."""

    def __init__(self, executable: Executable, arguments: Sequence[Array]) -> None:
        self.plan = executable.plan
        self.kernels = executable._kernels
        self.functions = executable._functions
        self.times = executable._times
        self.clock_ns = 0
        self.arguments = arguments
        self.arena = memory.allocate(self.plan.arena_bytes)
        self.constants = [_aligned_copy(constant) for constant in self.plan.constants]
        self.stop = ctypes.c_int32(0)
        self.results: list[Array] = []
        self.taken: dict[int, Data] = {}
        self.steps: list[int] = []  # of the loops that run, the innermost last
        for output in range(len(self.plan.outputs)):
            self.results.append(self._make_result(output))
        # A view of every argument keeps other calls from taking its memory meanwhile.
        self.inputs = [
            self.taken[i] if i in self.taken else writable_data(array)[...]
            for i, array in enumerate(arguments)
        ]
        self.views = [self._find(buffer) for buffer in self.plan.buffers]

    def run(self) -> tuple[Array, ...]:
        self.clock_ns = time.perf_counter_ns()
        self._run_block(0, len(self.plan.instructions))
        return tuple(self.results)

    def _run_block(self, begin: int, end: int) -> None:
        number = begin
        while number < end:
            step = self.plan.instructions[number]
            if isinstance(step, Instruction):
                self._run_kernel(number, step)
            elif isinstance(step, Branch):
                self._run_branch(number, step)
            elif isinstance(step, Loop):
                self._run_loop(number, step)
            elif isinstance(step, HostCall):
                self._run_host(step)
            else:
                self._copy(step)
            if self.times is not None:
                self._note_time(self.times[number], bool(block_ends(step)))
            number = max(number + 1, *block_ends(step), 0)

    def _note_time(self, own: list[int], has_blocks: bool) -> None:
        """All that passed since the step before counts as this one's."""
        own[0] += 1
        if not has_blocks:
            now = time.perf_counter_ns()
            own[1] += now - self.clock_ns
            self.clock_ns = now

    def _run_branch(self, number: int, step: Branch) -> None:
        index = int(self._bytes(step.index).view(np.int32)[0])
        chosen = min(max(index, 0), len(step.ends) - 1)
        self._run_block((number + 1, *step.ends)[chosen], step.ends[chosen])

    def _run_loop(self, number: int, step: Loop) -> None:
        self.steps.append(0)
        while step.length < 0 or self.steps[-1] < step.length:
            self._run_block(number + 1, step.condition_end)
            if step.length < 0 and not self._bytes(step.predicate)[0]:
                break
            for moving in step.moving:
                self._move(moving, step)
            self._run_block(step.condition_end, step.end)
            for current, following in step.carries:
                views = self.views
                views[current], views[following] = views[following], views[current]
            self.steps[-1] += 1
        self.steps.pop()

    def _bytes(self, number: int) -> Data:
        return self.views[number].reshape(-1).view(np.uint8)

    def _move(self, number: int, step: Loop) -> None:
        """Set a moving buffer to the slice of this step."""
        buffer, at = self.plan.buffers[number], self.steps[-1]
        offset = (step.length - 1 - at if step.reverse else at) * buffer.size_bytes
        self.views[number] = self._bytes(buffer.index)[offset : offset + buffer.size_bytes]

    def _make_result(self, output: int) -> Array:
        plan = self.plan
        argument = plan.forward[output] if plan.forward else None
        if argument is not None:
            x, spec = self.arguments[argument], plan.outputs[output]
            return x if x.shape == spec.shape else share(x, spec.shape, spec.weak)
        earlier = plan.duplicates[output] if plan.duplicates else None
        if earlier is not None:
            return self.results[earlier]
        spec = plan.outputs[output]
        donated = dict(plan.aliases).get(output)
        if donated is not None and sum(a is self.arguments[donated] for a in self.arguments) == 1:
            data = take_data(self.arguments[donated])
            if data is not None:
                self.taken[donated] = data
                return wrap(data.reshape(-1).view(spec.dtype).reshape(spec.shape), spec, True)
        return empty(spec)

    def _find(self, buffer: Buffer) -> Data:
        if buffer.kind == "input":
            return self.inputs[buffer.index]
        if buffer.kind == "output":
            return writable_data(self.results[buffer.index])
        if buffer.kind == "constant":
            return self.constants[buffer.index]
        if buffer.kind == "moving":  # set by its loop
            return self.arena[:0]
        return self.arena[buffer.offset : buffer.offset + buffer.size_bytes]

    def _copy(self, step: Copy) -> None:
        source, target = self.views[step.source], self.views[step.target]
        if source.ctypes.data != target.ctypes.data:
            ctypes.memmove(target.ctypes.data, source.ctypes.data, source.nbytes)

    def _run_host(self, step: HostCall) -> None:
        inputs = tuple(map(self._host_view, step.inputs, step.input_specs))
        for view in inputs:
            view.flags.writeable = False
        outputs = tuple(map(self._host_view, step.outputs, step.output_specs))
        self.functions[step.function](inputs, outputs)

    def _host_view(self, number: int, spec: ArraySpec) -> Data:
        data = self.views[number].reshape(-1).view(np.uint8)
        return data[: spec.size_bytes].view(spec.dtype).reshape(spec.shape)

    def _run_kernel(self, number: int, step: Instruction) -> None:
        if step.extent == 0:
            return
        chunks = _KernelRun(self, step)
        if threading.current_thread() is threading.main_thread() and self._is_long(step):
            chunks.run_beside()
        else:
            chunks.run()
        if chunks.stopped:
            raise KeyboardInterrupt("a compiled function was stopped")
        if chunks.failed:
            site, index, value = chunks.worst
            if site == _NO_SITE:
                raise SystemError(f"instruction {number} failed without naming a check")
            raise KernelFault(number, site, index, value, tuple(self.steps[::-1]))

    def _is_long(self, step: Instruction) -> bool:
        size_bytes = sum(self.views[number].nbytes for number in step.buffers)
        return max(step.work_ns, size_bytes // _BYTES_PER_NS) >= _LONG_WORK_NS


class _KernelRun:
    """The chunks of one instruction."""

    def __init__(self, call: _Call, step: Instruction) -> None:
        self.call = call  # whose memory the kernel uses
        self.kernel = call.kernels[step.kernel]
        self.extent = step.extent
        self.grain = step.grain if 0 < step.grain < step.extent else step.extent
        pointers = [call.views[number].ctypes.data for number in step.buffers]
        self.buffers = (ctypes.c_void_p * max(1, len(pointers)))(*pointers)
        self.sizes = (ctypes.c_int64 * max(1, len(step.sizes)))(*step.sizes)
        self.scratch = memory.allocate(step.scratch_bytes)
        self.stop = call.stop
        self.worst = (_NO_SITE, _NO_SITE, 0)
        self.failed = False
        self.stopped = False

    def run(self) -> None:
        for begin in range(0, self.extent, self.grain):
            self._run_chunk(begin, min(begin + self.grain, self.extent))
            if self.stopped:
                return

    def run_beside(self) -> None:
        """Run on a thread of its own while this one, the main thread, listens for Ctrl-C.

        An interrupt may come between any two steps of this function, a second one included: the
        other thread owns all that the kernel uses, and is told to stop whatever happens here. Its
        end is an event: `join` that is interrupted takes a thread for ended, up to Python 3.12.
        """
        ended = threading.Event()

        def run() -> None:
            try:
                self.run()
            finally:
                ended.set()

        worker = threading.Thread(target=run, daemon=True)
        try:
            worker.start()
            while not ended.wait(0.05):
                pass
        except BaseException:
            self.stop.value = 1
            if worker.ident is not None:
                ended.wait()
            raise

    def _run_chunk(self, begin: int, end: int) -> None:
        stop = ctypes.addressof(self.stop)
        fault = _Fault(_NO_SITE, _NO_SITE, 0, stop, self.scratch.ctypes.data)
        code = self.kernel(self.buffers, self.sizes, begin, end, ctypes.addressof(fault))
        if code == _STOPPED or self.stop.value:
            self.stopped = True
        elif code:
            self.failed = True
            self.worst = min(self.worst, (fault.site, fault.index, fault.value))


def _check_arguments(plan: Plan, arguments: Sequence[Array]) -> None:
    if len(arguments) != len(plan.inputs):
        raise TypeError(f"the program takes {len(plan.inputs)} arguments, not {len(arguments)}")
    for number, (array, spec) in enumerate(zip(arguments, plan.inputs, strict=True)):
        if not isinstance(array, Array):
            raise TypeError(f"argument {number} must be an Array, not {type(array).__name__}")
        if array.dtype != spec.dtype or array.shape != tuple(spec.shape):
            raise TypeError(
                f"argument {number} has type {array.dtype}{array.shape}, "
                f"but the program was compiled for {spec.dtype}{tuple(spec.shape)}"
            )
        check_alive(array)


def _aligned_copy(constant: bytes) -> Data:
    copy = memory.allocate(len(constant))
    copy[:] = np.frombuffer(constant, np.uint8)
    return copy


def get_num_threads() -> int:
    """Return the threads that were asked for; this executor uses one."""
    return getattr(_scope, "count", None) or _threads["count"]


def set_num_threads(count: int) -> None:
    """Note the threads that are asked for; this executor uses one."""
    _threads["count"] = check_thread_count(count)


def scope_num_threads(count: int | None) -> int | None:
    """Note the threads for runs of this Python thread; return what was set before."""
    before: int | None = getattr(_scope, "count", None)
    _scope.count = None if count is None else check_thread_count(count)
    return before
