"""Fourier transforms by cuFFT.

In: a `library_call` of an "fft" routine, along an axis that others may follow. Out: one call for
all lines, or a few where axes lie before and behind. cuFFT does not divide, wants both sides
aligned as complex numbers, and may overwrite half a spectrum, whose first number (and last one, for
an even length) it does not take to be real.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from jitml.codegen.nvptx.library import LibraryStep

if TYPE_CHECKING:
    from jitml.device.libraries import Libraries

# cufftType and the function, for numbers of 32 and of 64 bits.
_FORMS = {
    "c2c": ((0x29, "exec_c2c"), (0x69, "exec_z2z")),
    "r2c": ((0x2A, "exec_r2c"), (0x6A, "exec_d2z")),
    "c2r": ((0x2C, "exec_c2r"), (0x6C, "exec_z2d")),
}
_DIRECTIONS = {"forward": -1, "backward": 1}
_ALIGNMENT = 256  # of what lies in the work area


class Transform:
    """One-dimensional transforms of all lines of an array along an axis: a plan of cuFFT."""

    title = "cuFFT"
    is_recordable = True

    def __init__(self, libraries: Libraries, step: LibraryStep) -> None:
        self._driver = libraries.driver
        self._library = libraries.library("cufft")
        _, kind, direction, precision, _ = step.call.routine.split()
        self._is_double = precision == "c128"
        self._kind = kind[:3]
        type_, self._function = _FORMS[self._kind][self._is_double]
        self._direction = (_DIRECTIONS[direction],) if self._kind == "c2c" else ()
        (source,), (target,) = step.input_specs, step.output_specs
        self._bytes = source.size_bytes, target.size_bytes
        axis = len(source.shape) - step.call.rank
        self._before, behind = prod(source.shape[:axis]), prod(source.shape[axis + 1 :])
        self._lengths = source.shape[axis], target.shape[axis]
        self._real_bytes = 8 if self._is_double else 4
        ((_, factor),) = step.call.arguments
        self._factor = np.array([factor], np.float64 if self._is_double else np.float32)
        self._blas = libraries.library("cublas") if factor != 1 else None
        self._plan = self._library.call("create")
        libraries.own(self, partial(self._library.call, "destroy", self._plan))
        work_bytes = max(1, self._make(type_, behind))  # so that there is an area to be told
        self._stage_at = -(-work_bytes // _ALIGNMENT) * _ALIGNMENT
        staged = {"c2c": 0, "r2c": self._bytes[0], "c2r": sum(self._bytes) + _ALIGNMENT}
        self.work_bytes = self._stage_at + staged[self._kind]

    def _make(self, type_: int, behind: int) -> int:
        """Make the plan; the bytes that it needs to work in. Of the axes before and behind, one is
        its batch, the other is `self._calls`: places in both arrays, in numbers.
        """
        sides = [(n, behind, n * behind) for n in self._lengths]  # embedding, stride, distance
        batch, count, steps = self._before, behind, [1, 1]
        if self._before < behind:
            batch, count, steps = behind, self._before, [n * behind for n in self._lengths]
            sides = [(n, behind, 1) for n in self._lengths]
        self._calls = [(steps[0] * k, steps[1] * k) for k in range(count)]
        call, plan = self._library.call, self._plan
        call("set_auto_allocation", plan, 0)
        packed = [x for n, *rest in sides for x in ((n,), *rest)]
        length = max(self._lengths)
        return int(call("make_plan_many64", plan, 1, (length,), *packed, type_, batch))

    def ask(self, inputs: Sequence[int], outputs: Sequence[int], work: int) -> None:
        (source,), (target,) = inputs, outputs
        stage, place = work + self._stage_at, target
        if self._kind == "c2r" or source % (2 * self._real_bytes):
            self._driver.copy(source, stage, self._bytes[0])
            source = stage
        if self._kind == "c2r":
            self._clear_imaginary_parts(stage)
            if target % (2 * self._real_bytes):
                place = -(-(stage + self._bytes[0]) // _ALIGNMENT) * _ALIGNMENT
        self._library.call("set_stream", self._plan, self._driver.stream.value)
        self._library.call("set_work_area", self._plan, work)
        for places in self._calls:
            begins = self._begins((source, place), places)
            self._library.call(self._function, self._plan, *begins, *self._direction)
        if self._blas is not None:
            self._scale(place)
        self._driver.copy(place, target, self._bytes[1])

    def _begins(self, addresses: Sequence[int], places: Sequence[int]) -> list[int]:
        """Where the lines of one call begin."""
        parts = (1 if self._kind == "r2c" else 2, 1 if self._kind == "c2r" else 2)
        rows = zip(addresses, places, parts, strict=True)
        return [address + place * part * self._real_bytes for address, place, part in rows]

    def _clear_imaginary_parts(self, spectrum: int) -> None:
        """Of the numbers that stand for themselves alone, which count as real."""
        half, length = self._lengths
        for number in {0, half - 1} if length % 2 == 0 else {0}:
            imaginary = spectrum + (2 * number + 1) * self._real_bytes
            pitch = 2 * half * self._real_bytes
            self._driver.fill_rows(imaginary, pitch, 0, self._real_bytes, self._before)

    def _scale(self, place: int) -> None:
        assert self._blas is not None
        self._blas.follow()
        function = "dscal_64" if self._is_double else "sscal_64"
        count = self._bytes[1] // self._real_bytes
        self._blas.call(function, self._blas.handle, count, self._factor.ctypes.data, place, 1)
