"""Signals: the names and signatures of `jax.scipy.signal`."""

from __future__ import annotations

from jitml.scipy.signal.convolution import (
    convolve,
    convolve2d,
    correlate,
    correlate2d,
    fftconvolve,
)
from jitml.scipy.signal.spectra import csd, istft, stft, welch
from jitml.scipy.signal.trends import detrend

__all__ = [
    "convolve", "convolve2d", "correlate", "correlate2d", "csd", "detrend", "fftconvolve", "istft",
    "stft", "welch",
]  # fmt: skip
