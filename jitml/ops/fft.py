"""`fft`: discrete Fourier transforms over the last axes.

In: arrays of complex numbers, or for "RFFT" real ones; "IRFFT" takes half of a spectrum that is
taken to be symmetric. Out: the transform; inverse ones are divided by the product of the lengths.
All are linear. Each axis is one call of a library for all lines along it, where they lie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import INT32, complex_dtype, is_complex, real_dtype, short_name
from jitml.ir.errors import ArgumentError, DTypeError, ShapeError
from jitml.ir.op import Undefined
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import conj, eq, mul, or_, select
from jitml.ops.kinds import Traced, full_of
from jitml.ops.layout import iota, move_axis
from jitml.ops.library import call_library
from jitml.ops.tangents import LinearInFirst
from jitml.trace.core import bind1, type_of
from jitml_runtime.record import frozen

KINDS = ("FFT", "IFFT", "RFFT", "IRFFT")
_NS_PER_ELEMENT = 0.1  # and per level
_SHORT_NS = 2_000  # a call by way of Python takes longer than the time it saves


@frozen
class Fft(LinearInFirst):
    """The transform of kind `kind` over the last axes; `lengths` are those of the longer side."""

    name = "fft"
    kind: str
    lengths: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        self._check(x)
        if self.kind == "RFFT":
            return (ArrayType(complex_dtype(x.dtype), (*x.shape[:-1], self._half)),)
        if self.kind == "IRFFT":
            return (ArrayType(real_dtype(x.dtype), (*x.shape[:-1], self.lengths[-1])),)
        return (ArrayType(x.dtype, x.shape),)

    def _check(self, x: ArrayType) -> None:
        if self.kind not in KINDS:
            raise ArgumentError(f"fft: {self.kind!r} is no kind of transform: {', '.join(KINDS)}")
        wants_real = self.kind == "RFFT"
        known = ("float32", "float64") if wants_real else ("complex64", "complex128")
        if x.dtype.name not in known:
            raise DTypeError(f"fft: {self.kind} takes {' or '.join(known)}, not {x}")
        lengths = self.lengths
        if self.kind == "IRFFT" and lengths:
            lengths = (*lengths[:-1], self._half)
        if len(lengths) > x.ndim or x.shape[x.ndim - len(lengths) :] != lengths:
            raise ShapeError(f"fft: {self.kind} of lengths {self.lengths} does not fit {x}")
        if not self.lengths or min(self.lengths) < 1:
            raise ShapeError(f"fft: lengths must be positive, not {self.lengths}")

    @property
    def _half(self) -> int:
        return self.lengths[-1] // 2 + 1

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        (x,) = arrays
        names = {"FFT": "fftn", "IFFT": "ifftn", "RFFT": "rfftn", "IRFFT": "irfftn"}
        axes = tuple(range(-len(self.lengths), 0))
        (out,) = self.infer(ArrayType(x.dtype, x.shape))
        return (getattr(np.fft, names[self.kind])(x, self.lengths, axes).astype(out.dtype),)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        (x,) = inputs
        (out,) = self.infer(type_of(x))
        if 0 in out.shape:
            return [full_of(out, 0)]
        last = type_of(x).ndim - 1
        others = [last - k for k in range(1, len(self.lengths))]
        if self.kind == "RFFT":
            x = _along(x, last, "r2c", "forward", self.lengths[-1])
        elif self.kind != "IRFFT":
            others = [last, *others]
        direction = "forward" if self.kind in ("FFT", "RFFT") else "backward"
        for axis in others:
            x = _along(x, axis, "c2c", direction, type_of(x).shape[axis])
        if self.kind == "IRFFT":
            x = _along(x, last, "c2r", "backward", self.lengths[-1])
        return [x]

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        """The matrix of a transform is symmetric; those of real transforms count the numbers of a
        spectrum that stand for two.
        """
        (ct,) = cotangents
        if ct is None or self.kind in ("FFT", "IFFT"):
            return [None if ct is None else bind1(self, ct)]
        count = math.prod(self.lengths)
        if self.kind == "RFFT":
            return [mul(bind1(Fft("IRFFT", self.lengths), self._weighted(conj(ct), 0.5)), count)]
        spectrum = bind1(Fft("RFFT", self.lengths), ct)
        return [self._weighted(mul(conj(spectrum), 1 / count), 2.0)]

    def _weighted(self, spectrum: Traced, weight: float) -> Traced:
        """The numbers of half a spectrum that stand for two, times `weight`."""
        type_ = type_of(spectrum)
        place = iota(INT32, type_.shape, type_.ndim - 1)
        is_single = eq(place, 0)
        if self.lengths[-1] % 2 == 0:
            is_single = or_(is_single, eq(place, self._half - 1))
        return select(is_single, spectrum, mul(spectrum, weight))

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        (x,), (axis,) = inputs, axes
        assert axis is not None
        return [bind1(self, move_axis(x, axis, 0))], [0]


def _along(x: Traced, axis: int, transform: str, direction: str, length: int) -> Traced:
    """One transform along an axis, of `length` on its longer side."""
    type_ = type_of(x)
    complex_type = type_.dtype if is_complex(type_.dtype) else complex_dtype(type_.dtype)
    dtype, size = complex_type, length
    if transform == "r2c":
        transform, size = f"r2c-{'odd' if length % 2 else 'even'}", length // 2 + 1
    elif transform == "c2r":
        dtype = real_dtype(complex_type)
    factor = 1.0 if direction == "forward" else 1.0 / length
    inner = type_.shape[axis + 1 :]
    work_ns = _NS_PER_ELEMENT * length * max(1, length.bit_length()) * math.prod(inner)
    result = ArrayType(dtype, (size, *inner))
    rank = 1 + len(inner)
    way = "short" if work_ns * math.prod(type_.shape[:axis]) < _SHORT_NS else "long"
    name = f"fft {transform} {direction} {short_name(complex_type)} {way}"
    (out,) = call_library(name, [("number", factor)], [x], rank, [result], 0, work_ns)
    return out


def fft(x: Traced, kind: str, lengths: Sequence[int]) -> Traced:
    """The transform of kind `kind` over the last axes of `x`."""
    return bind1(Fft(kind, tuple(lengths)), x)
