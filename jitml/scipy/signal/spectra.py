"""Spectra of signals piece by piece: `stft` and its inverse, and powers by Welch's method."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import jitml.numpy as jnp
from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy.operands import as_axis, fail, promoted, settle
from jitml.scipy.signal.trends import detrend as less_trend
from jitml.scipy.signal.windows import window_values
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = ["csd", "istft", "stft", "welch"]

Detrend = "bool | str | Callable[[Any], Any]"


class Pieces(NamedTuple):
    """How a signal is cut: the window, the step from piece to piece, the length of transforms."""

    window: Any
    step: int
    length: int

    @property
    def size(self) -> int:
        return int(self.window.shape[0])


def _pieces(
    name: str, window: Any, size: int | None, overlap: int | None, length: int | None, model: Any
) -> Pieces:
    """Pieces of signals like `model`, whose last axis is cut."""
    available = model.shape[-1]
    if isinstance(window, (str, tuple)):
        size = available if size is None else int(size)
        if size > available:
            warnings.warn(
                f"{name}: nperseg is {size}, the signal is {available} long: it is taken",
                stacklevel=4,
            )
            size = available
    values = window_values(name, window, size, model.real.dtype)
    size = values.shape[0]
    if not 0 < size <= available:
        fail(ArgumentError, f"{name}: pieces of {size} in a signal of {available}")
    overlap = size // 2 if overlap is None else int(overlap)
    length = size if length is None else int(length)
    if overlap >= size or length < size:
        fail(
            ArgumentError,
            f"{name}: noverlap is {overlap}, nfft {length} for pieces of {size}",
            "noverlap is less, nfft not less than nperseg",
        )
    return Pieces(values, size - overlap, length)


# ---- transforms of pieces -------------------------------------------------------------------


def _transforms(x: Any, pieces: Pieces, detrend: Any, one_sided: bool) -> Any:
    """The transform of each piece: [..., piece, frequency]."""
    count = (x.shape[-1] - pieces.size) // pieces.step + 1
    places = np.arange(count)[:, None] * pieces.step + np.arange(pieces.size)
    rows = _detrended(x[..., places], detrend) * pieces.window
    if one_sided:
        return jnp.fft.rfft(rows, pieces.length)
    return jnp.fft.fft(rows, pieces.length)


def _detrended(rows: Any, detrend: Any) -> Any:
    if callable(detrend):
        return detrend(rows)
    return less_trend(rows, -1, detrend) if detrend else rows


def _scale(name: str, pieces: Pieces, fs: ArrayLike, scaling: str) -> Any:
    if scaling == "density":
        return 1.0 / (fs * (pieces.window**2).sum())
    if scaling == "spectrum":
        return 1.0 / pieces.window.sum() ** 2
    fail(ArgumentError, f"{name}: scaling is {scaling!r}", "it is 'density' or 'spectrum'")


def _frequencies(length: int, fs: ArrayLike, one_sided: bool, dtype: Any) -> Any:
    numbers = jnp.fft.rfftfreq(length) if one_sided else jnp.fft.fftfreq(length)
    return (numbers * fs).astype(dtype)


def _is_one_sided(name: str, wanted: bool, *signals: Any) -> bool:
    if wanted and any(jnp.iscomplexobj(x) for x in signals):
        warnings.warn(f"{name}: a complex signal has a spectrum of two sides", stacklevel=4)
        return False
    return wanted


# ---- the boundaries of signals --------------------------------------------------------------


def _odd(x: Any, count: int) -> Any:
    before, after = jnp.flip(x[..., 1 : count + 1], -1), jnp.flip(x[..., -count - 1 : -1], -1)
    return jnp.concatenate([2 * x[..., :1] - before, x, 2 * x[..., -1:] - after], -1)


def _by_pad(mode: str) -> Callable[[Any, int], Any]:
    return lambda x, count: jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(count, count)], mode)


_BOUNDARIES = {
    "even": _by_pad("reflect"),
    "odd": _odd,
    "constant": _by_pad("edge"),
    "zeros": _by_pad("constant"),
}


def _extended(x: Any, size: int, boundary: str | None) -> Any:
    if boundary is None:
        return x
    if boundary not in _BOUNDARIES:
        fail(ArgumentError, f"stft: boundary is {boundary!r}",
             f"it is None or one of {', '.join(_BOUNDARIES)}")  # fmt: skip
    return _BOUNDARIES[boundary](x, size // 2) if size > 1 else x


def _behind(x: Any, count: int) -> Any:
    """The signal with zeros behind it."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, count)]) if count else x


def _floats(name: str, *signals: ArrayLike) -> list[Any]:
    return [settle(x) for x in promoted(name, *signals, to_inexact=True)]


# ---- what users call ------------------------------------------------------------------------


def stft(
    x: ArrayLike,
    fs: ArrayLike = 1.0,
    window: Any = "hann",
    nperseg: int = 256,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = False,
    return_onesided: bool = True,
    boundary: str | None = "zeros",
    padded: bool = True,
    axis: int = -1,
) -> tuple[Array, Array, Array]:
    """Frequencies, times, and the transforms of overlapping pieces of a signal.

    >>> import jitml.numpy as jnp
    >>> f, t, z = stft(jnp.ones(16), nperseg=8)
    >>> print(f, t, z.shape)
    [0.    0.125 0.25  0.375 0.5  ] [ 0.  4.  8. 12. 16.] (5, 5)
    """
    (signal,) = _floats("stft", x)
    where = as_axis(axis, signal.ndim, "stft")
    rows = jnp.moveaxis(signal, where, -1)
    cut = _pieces("stft", window, nperseg, noverlap, nfft, rows)
    one_sided = _is_one_sided("stft", return_onesided, rows)
    rows = _extended(rows, cut.size, boundary)
    if padded:
        rows = _behind(rows, -(rows.shape[-1] - cut.size) % cut.step % cut.size)
    found = _transforms(rows, cut, detrend, one_sided)
    found = found * jnp.sqrt(_scale("stft", cut, fs, "spectrum"))
    real = rows.real.dtype
    first = 0 if boundary is not None else cut.size / 2
    times = (jnp.arange(found.shape[-2], dtype=real) * cut.step + first) / fs
    placed = jnp.moveaxis(jnp.swapaxes(found, -2, -1), -2, where)
    return _frequencies(cut.length, fs, one_sided, real), times.astype(real), placed


def csd(
    x: ArrayLike,
    y: ArrayLike | None,
    fs: ArrayLike = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = "constant",
    return_onesided: bool = True,
    scaling: str = "density",
    axis: int = -1,
    average: str = "mean",
) -> tuple[Array, Array]:
    """Frequencies, and the power that two signals share at each, by Welch's method.

    The spectra of overlapping pieces are averaged; with `y` None it is the power of x.

    >>> import jitml.numpy as jnp
    >>> csd(jnp.ones(16), jnp.ones(16), nperseg=8)[1].shape
    (5,)
    """
    signals = _floats("csd", x) if y is None else _floats("csd", x, y)
    if len({s.ndim for s in signals}) > 1:
        fail(ShapeError, f"csd: {type_of(signals[0])} and {type_of(signals[1])} differ in rank")
    where = as_axis(axis, signals[0].ndim, "csd")
    rows = [jnp.moveaxis(s, where, -1) for s in signals]
    longest = max(r.shape[-1] for r in rows)
    rows = [_behind(r, longest - r.shape[-1]) for r in rows]
    cut = _pieces("csd", window, nperseg, noverlap, nfft, rows[0])
    one_sided = _is_one_sided("csd", return_onesided, *rows)
    spectra = [_transforms(r, cut, detrend, one_sided) for r in rows]
    power = jnp.conj(spectra[0]) * spectra[-1] * _scale("csd", cut, fs, scaling)
    if one_sided:  # those of the other side, but for 0 and half the rate of samples
        last = None if cut.length % 2 else -1
        power = power.at[..., 1:last].multiply(2)
    power = _averaged(power if y is not None else power.real, average)
    frequencies = _frequencies(cut.length, fs, one_sided, rows[0].real.dtype)
    return frequencies, jnp.moveaxis(power, -1, where)


def _averaged(power: Any, average: str) -> Any:
    """The mean or the median of the pieces, which come second to last."""
    if average == "mean":
        return power.mean(-2)
    if average != "median":
        fail(ArgumentError, f"csd: average is {average!r}", "it is 'mean' or 'median'")
    even = np.arange(2.0, power.shape[-2], 2)
    bias = 1 + np.sum(1 / (even + 1) - 1 / even)
    middle = jnp.median(power.real, -2)
    if jnp.iscomplexobj(power):
        middle = middle + 1j * jnp.median(power.imag, -2)
    return middle / float(bias)


def welch(
    x: ArrayLike,
    fs: ArrayLike = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = "constant",
    return_onesided: bool = True,
    scaling: str = "density",
    axis: int = -1,
    average: str = "mean",
) -> tuple[Array, Array]:
    """Frequencies, and the power of a signal at each: `csd` of one signal.

    >>> import jitml.numpy as jnp
    >>> f, power = welch(jnp.sin(jnp.arange(64.0)), nperseg=16)
    >>> print(f[jnp.argmax(power)])
    0.1875
    """
    found = csd(
        x, None, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, scaling, axis,
        average,
    )  # fmt: skip
    return found[0], found[1].real


def istft(
    Zxx: ArrayLike,
    fs: ArrayLike = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    input_onesided: bool = True,
    boundary: bool = True,
    time_axis: int = -1,
    freq_axis: int = -2,
) -> tuple[Array, Array]:
    """Times, and the signal that has given transforms: the inverse of `stft`.

    >>> import jitml.numpy as jnp
    >>> x = jnp.arange(8.0)
    >>> print(istft(stft(x, nperseg=4)[2])[1].round(3))
    [0. 1. 2. 3. 4. 5. 6. 7.]
    """
    z = jnp.asarray(Zxx)
    if z.ndim < 2:
        fail(ShapeError, f"istft: transforms have two axes or more, not {type_of(z)}")
    z = z.astype(jnp.result_type(z, jnp.complex64))
    axes = [as_axis(a, z.ndim, "istft") for a in (time_axis, freq_axis)]
    if axes[0] == axes[1]:
        fail(ArgumentError, "istft: time_axis and freq_axis are one")
    z = jnp.moveaxis(z, axes, (-2, -1))
    usual = 2 * (z.shape[-1] - 1) if input_onesided else z.shape[-1]
    size = usual if nperseg is None else int(nperseg)
    length = int(nfft) if nfft is not None else usual + (input_onesided and size == usual + 1)
    overlap = int(noverlap) if noverlap else size // 2
    if not 0 < size <= length or overlap >= size:
        fail(
            ArgumentError,
            f"istft: nperseg is {size}, noverlap {overlap}, nfft {length}",
            "noverlap is less, nfft not less than nperseg",
        )
    back = jnp.fft.irfft if input_onesided else jnp.fft.ifft
    rows = back(z, length)[..., :size]
    values = window_values("istft", window, size, dtypes.real_dtype(z.dtype))
    signal = _overlapped(rows * (values * values.sum()), size - overlap)
    weight = _overlapped(jnp.broadcast_to(values**2, rows.shape[-2:]), size - overlap)
    if boundary and size > 1:
        inside = slice(size // 2, -(size // 2))
        signal, weight = signal[..., inside], weight[inside]
    signal = signal / jnp.where(weight > 1e-10, weight, 1)
    times = jnp.arange(signal.shape[-1], dtype=weight.dtype) / fs
    place = axes[0] - (axes[1] < axes[0])
    return times, jnp.moveaxis(signal, -1, place)


def _overlapped(rows: Any, step: int) -> Any:
    """The sum of pieces [..., piece, place], each `step` behind the one before."""
    *outer, count, size = rows.shape
    parts = -(-size // step)
    apart = _behind(rows, parts * step - size).reshape(*outer, count, parts, step)
    total: Any = 0
    for k in range(parts):  # part k of a piece lies k steps behind its beginning
        spread = [(0, 0)] * len(outer) + [(k, parts - 1 - k), (0, 0)]
        total = total + jnp.pad(apart[..., k, :], spread)
    return total.reshape(*outer, -1)[..., : (count - 1) * step + size]
