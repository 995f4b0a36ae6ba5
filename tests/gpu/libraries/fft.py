"""A double of cuFFT, by the functions that nvmath-python binds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft

from jitml.emulation.faults import EmulatedFault
from tests.gpu.libraries.double import Arrays, Double, Status, check

# By cufftType: input, output, whether the input has half as many numbers, or the output.
_TYPES = {
    0x29: ("c8", "c8", "c2c"), 0x2A: ("f4", "c8", "r2c"), 0x2C: ("c8", "f4", "c2r"),
    0x69: ("c16", "c16", "z2z"), 0x6A: ("f8", "c16", "d2z"), 0x6C: ("c16", "f8", "z2d"),
}  # fmt: skip


@dataclass
class Plan:
    """A plan, as far as it has been told."""

    allocates: bool = True
    stream: int = 0
    length: int = 0
    batch: int = 0
    strides: tuple[int, int, int, int] = (0, 0, 0, 0)  # of numbers and lines, in and out
    type: int = 0
    work_bytes: int = -1
    work: int = 0
    is_gone: bool = False


class Fft(Double):
    """cuFFT."""

    def do_get_version(self) -> int:
        return 12000

    def do_create(self) -> int:
        self.cuda._current()
        return self.new(Plan())

    def do_destroy(self, plan: int) -> None:
        self.of(plan).is_gone = True
        del self.live[plan]

    def do_set_auto_allocation(self, plan: int, allocates: int) -> None:
        check(self.of(plan).work_bytes < 0, "the plan has been made")
        self.of(plan).allocates = bool(allocates)

    def do_set_stream(self, plan: int, stream: int) -> None:
        self.stream(stream)
        self.of(plan).stream = stream

    def do_make_plan_many64(
        self,
        plan: int, rank: int, n: tuple[int, ...],
        inembed: tuple[int, ...], istride: int, idist: int,
        onembed: tuple[int, ...], ostride: int, odist: int,
        type_: int, batch: int,
    ) -> int:  # fmt: skip
        found = self.of(plan)
        check(found.work_bytes < 0, "the plan has been made")
        check(rank == 1 and len(n) == 1 and n[0] > 0 and batch > 0, f"sizes: {n}, {batch}")
        check(len(inembed) == len(onembed) == 1, "strides do not count without embeddings")
        check(min(istride, idist, ostride, odist) > 0, "strides")
        if type_ not in _TYPES:
            raise Status(3, "CUFFT_INVALID_TYPE")
        check(not found.allocates, "a plan that allocates cannot be recorded")
        found.length, found.batch, found.type = n[0], batch, type_
        found.strides = istride, idist, ostride, odist
        found.work_bytes = 16 * n[0] * batch + 24
        return int(found.work_bytes)

    def do_set_work_area(self, plan: int, work: int) -> None:
        check(work % 256 == 0, f"the work area lies at {work:#x}")
        self.of(plan).work = work

    def find(self, name: str) -> Callable[..., Any]:
        if not name.startswith("exec_"):
            return super().find(name)
        kind = name.removeprefix("exec_")
        if kind not in {row[2] for row in _TYPES.values()}:
            raise AttributeError(name)
        if kind in ("c2c", "z2z"):
            return lambda plan, source, target, sign: self._run(kind, plan, source, target, sign)
        return lambda plan, source, target: self._run(kind, plan, source, target, -1)

    def _run(self, kind: str, number: int, source: int, target: int, sign: int) -> None:
        plan = self.of(number)
        check(plan.work_bytes >= 0 and _TYPES[plan.type][2] == kind, f"{kind}: {plan}")
        check(plan.work != 0 and sign in (-1, 1), "no work area, or no direction")
        taken, given, _ = (np.dtype(x) for x in (*_TYPES[plan.type][:2], "i4"))
        complex_bytes = max(taken.itemsize, given.itemsize)
        if source % complex_bytes or target % complex_bytes:
            raise Status(9, "CUFFT_UNALIGNED_DATA")
        half, work = plan.length // 2 + 1, plan.work
        lengths = [half if kind in x else plan.length for x in (("c2r", "z2d"), ("r2c", "d2z"))]
        stream = self.stream(plan.stream)
        arrays = Arrays(stream)

        def run() -> None:
            if plan.is_gone:
                raise EmulatedFault("library", "a graph runs a plan that has been destroyed")
            arrays.spoil(work, plan.work_bytes)
            places = [_places(plan.batch, n, plan.strides[2 * k :]) for k, n in enumerate(lengths)]
            x = _read(arrays, source + places[0] * taken.itemsize, taken)
            if kind in ("c2r", "z2d"):  # which may work in its input
                for line in places[0]:
                    arrays.spoil(source + int(line[0]) * taken.itemsize, x[0].nbytes)
            y = _transform(x, kind, plan.length, sign).astype(given)
            _write(arrays, target + places[1] * given.itemsize, y)

        stream.ask(run, "kernel")


def _places(batch: int, length: int, strides: tuple[int, ...]) -> Any:
    """Where the numbers of each line are."""
    return np.arange(batch)[:, None] * strides[1] + np.arange(length) * strides[0]


def _read(arrays: Arrays, addresses: Any, dtype: Any) -> Any:
    numbers = [arrays.read(int(address), dtype, 1)[0] for address in addresses.reshape(-1)]
    return np.array(numbers, dtype).reshape(addresses.shape)


def _write(arrays: Arrays, addresses: Any, numbers: Any) -> None:
    for address, number in zip(addresses.reshape(-1), numbers.reshape(-1), strict=True):
        arrays.write(int(address), number)


def _transform(x: Any, kind: str, length: int, sign: int) -> Any:
    """Without any factor."""
    if kind in ("r2c", "d2z"):
        return scipy.fft.rfft(x)
    if kind in ("c2r", "z2d"):
        # What should be real but is not goes anywhere.
        lost = x[:, :1].imag + (x[:, -1:].imag if length % 2 == 0 else 0)
        return scipy.fft.irfft(x, length, norm="forward") + lost
    return scipy.fft.fft(x) if sign < 0 else scipy.fft.ifft(x, norm="forward")
