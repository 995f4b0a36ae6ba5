"""`fft`: Fourier transforms over the last axes, as `jax.lax.fft`."""

from __future__ import annotations

import enum
import operator
from collections.abc import Sequence

from jitml.ir.errors import ArgumentError
from jitml.numpy.operands import fail, operand, settle
from jitml.ops import fft as op
from jitml.typing import Array, ArrayLike

__all__ = ["FftType", "fft"]


class FftType(enum.IntEnum):
    """Which transform: of complex or of real numbers, or its inverse."""

    FFT = 0
    IFFT = 1
    RFFT = 2
    IRFFT = 3


def fft(x: ArrayLike, fft_type: FftType | str, fft_lengths: int | Sequence[int]) -> Array:
    """The transform of kind `fft_type` over the last axes of `x`; `fft_lengths` are their lengths
    (of real transforms, those of the real side). Inverse ones are divided by their product.

    >>> import jitml.numpy as jnp
    >>> print(fft(jnp.array([1.0, 0.0, 0.0]), FftType.RFFT, 3))
    [1.+0.j 1.+0.j]
    """
    lengths = [fft_lengths] if isinstance(fft_lengths, int) else list(fft_lengths)
    try:
        kind = FftType[fft_type.upper()] if isinstance(fft_type, str) else FftType(fft_type)
    except (KeyError, ValueError):
        names = ", ".join(kind.name for kind in FftType)
        fail(ArgumentError, f"fft: {fft_type!r} is no kind of transform: {names}")
    sizes = tuple(operator.index(n) for n in lengths)
    return settle(op.fft(settle(operand(x, "fft")), kind.name, sizes))
