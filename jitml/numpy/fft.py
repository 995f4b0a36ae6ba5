"""Fourier transforms along any axes: the names of `jax.numpy.fft`.

In: arrays of any numeric dtype. Out: complex (or real) arrays of the same precision, at least 32
bits. A transform of length n cuts or pads its axis with zeros; `norm` says which direction is
divided by the number of elements: "backward", "forward", or ("ortho") both by its root.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.dtypes import complex_dtype, is_complex, real_dtype
from jitml.ir.errors import ArgumentError, AxisError, DTypeError, ShapeError
from jitml.ir.types import ArrayType
from jitml.numpy.elementwise import conj
from jitml.numpy.exchange import on_device
from jitml.numpy.manipulation import moveaxis
from jitml.numpy.operands import as_axes, as_dtype, fail, floated, operand, settle
from jitml.numpy.repeating import roll
from jitml.ops import elementwise as ew
from jitml.ops.fft import fft as transform
from jitml.ops.kinds import full_of
from jitml.ops.slicing import pad
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES, literal
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn", "ifftshift",
    "ihfft", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

_NORMS = ("backward", "ortho", "forward")


def fft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The transform along one axis: y_k = Σ a_j exp(−2πi jk/n).

    >>> import jitml.numpy as jnp
    >>> print(fft(jnp.array([1.0, 0.0, 0.0])))
    [1.+0.j 1.+0.j 1.+0.j]
    """
    return _transformed("fft", "FFT", a, _one(n), (axis,), norm)


def ifft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The inverse of `fft`.

    >>> import jitml.numpy as jnp
    >>> print(ifft(jnp.array([3.0, 0.0, 0.0])))
    [1.+0.j 1.+0.j 1.+0.j]
    """
    return _transformed("ifft", "IFFT", a, _one(n), (axis,), norm)


def rfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The first half of the spectrum of real numbers: n//2 + 1 elements, from which the others
    follow.

    >>> import jitml.numpy as jnp
    >>> print(rfft(jnp.array([1.0, 0.0, 0.0, 0.0])))
    [1.+0.j 1.+0.j 1.+0.j]
    """
    return _transformed("rfft", "RFFT", a, _one(n), (axis,), norm)


def irfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The inverse of `rfft`; `n` is the length of the result.

    >>> import jitml.numpy as jnp
    >>> print(irfft(jnp.array([4.0, 0.0, 0.0])))
    [1. 1. 1. 1.]
    """
    return _transformed("irfft", "IRFFT", a, _one(n), (axis,), norm)


def hfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The real spectrum of a signal that is symmetric, of which half is given.

    >>> import jitml.numpy as jnp
    >>> print(hfft(jnp.array([1.0, 0.0, 0.0])))
    [1. 1. 1. 1.]
    """
    return _transformed("hfft", "IRFFT", conj(settle(operand(a, "hfft"))), _one(n), (axis,),
                        _swapped("hfft", norm))  # fmt: skip


def ihfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The inverse of `hfft`: the first half of the symmetric signal.

    >>> import jitml.numpy as jnp
    >>> print(ihfft(jnp.array([1.0, 1.0, 1.0, 1.0])))
    [1.-0.j 0.-0.j 0.-0.j]
    """
    half = _transformed("ihfft", "RFFT", a, _one(n), (axis,), _swapped("ihfft", norm))
    return conj(half)


def fft2(
    a: ArrayLike,
    s: Any = None,
    axes: Sequence[int] = (-2, -1),
    norm: str | None = None,
) -> Array:
    """The transform along two axes.

    >>> import jitml.numpy as jnp
    >>> print(fft2(jnp.ones((1, 2))))
    [[2.+0.j 0.+0.j]]
    """
    return _transformed("fft2", "FFT", a, s, _two("fft2", axes), norm)


def ifft2(
    a: ArrayLike,
    s: Any = None,
    axes: Sequence[int] = (-2, -1),
    norm: str | None = None,
) -> Array:
    """The inverse of `fft2`.

    >>> import jitml.numpy as jnp
    >>> print(ifft2(jnp.ones((1, 2))))
    [[1.+0.j 0.+0.j]]
    """
    return _transformed("ifft2", "IFFT", a, s, _two("ifft2", axes), norm)


def rfft2(
    a: ArrayLike,
    s: Any = None,
    axes: Sequence[int] = (-2, -1),
    norm: str | None = None,
) -> Array:
    """The transform of real numbers along two axes; half of the last one.

    >>> import jitml.numpy as jnp
    >>> print(rfft2(jnp.ones((1, 2))))
    [[2.+0.j 0.+0.j]]
    """
    return _transformed("rfft2", "RFFT", a, s, _two("rfft2", axes), norm)


def irfft2(
    a: ArrayLike,
    s: Any = None,
    axes: Sequence[int] = (-2, -1),
    norm: str | None = None,
) -> Array:
    """The inverse of `rfft2`.

    >>> import jitml.numpy as jnp
    >>> print(irfft2(jnp.ones((1, 2))))
    [[1. 0.]]
    """
    return _transformed("irfft2", "IRFFT", a, s, _two("irfft2", axes), norm)


def fftn(
    a: ArrayLike, s: Any = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """The transform along several axes (by default all, or the last ones if `s` gives lengths).

    >>> import jitml.numpy as jnp
    >>> print(fftn(jnp.ones((1, 2))))
    [[2.+0.j 0.+0.j]]
    """
    return _transformed("fftn", "FFT", a, s, axes, norm)


def ifftn(
    a: ArrayLike, s: Any = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """The inverse of `fftn`.

    >>> import jitml.numpy as jnp
    >>> print(ifftn(jnp.ones((1, 2))))
    [[1.+0.j 0.+0.j]]
    """
    return _transformed("ifftn", "IFFT", a, s, axes, norm)


def rfftn(
    a: ArrayLike, s: Any = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """The transform of real numbers along several axes; half of the last one.

    >>> import jitml.numpy as jnp
    >>> print(rfftn(jnp.ones((1, 2))))
    [[2.+0.j 0.+0.j]]
    """
    return _transformed("rfftn", "RFFT", a, s, axes, norm)


def irfftn(
    a: ArrayLike, s: Any = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """The inverse of `rfftn`.

    >>> import jitml.numpy as jnp
    >>> print(irfftn(jnp.ones((1, 2))))
    [[1. 0.]]
    """
    return _transformed("irfftn", "IRFFT", a, s, axes, norm)


# ---- one way for all -------------------------------------------------------------------------


def _one(n: int | None) -> Any:
    return None if n is None else (n,)


def _two(name: str, axes: Sequence[int]) -> Sequence[int]:
    if len(axes) != 2:
        fail(AxisError, f"{name}: there must be two axes, not {tuple(axes)}")
    return axes


def _swapped(name: str, norm: str | None) -> str:
    """The normalisation of the opposite direction."""
    _check_norm(name, norm)
    return {"forward": "backward", "ortho": "ortho"}.get(norm or "", "forward")


def _check_norm(name: str, norm: str | None) -> None:
    if norm is not None and norm not in _NORMS:
        fail(ArgumentError, f"{name}: norm={norm!r}: it is one of {', '.join(map(repr, _NORMS))}")


def _transformed(
    name: str, kind: str, a: ArrayLike, s: Any, axes: Sequence[int] | None, norm: str | None
) -> Array:
    _check_norm(name, norm)
    x = _prepared(name, kind, a)
    ndim = type_of(x).ndim
    given = None if s is None else tuple(s)
    if axes is None:
        count = ndim if given is None else len(given)
        if count > ndim:
            fail(ShapeError, f"{name}: {count} lengths for an array of {ndim} dimensions")
        axes = tuple(range(ndim - count, ndim))
    else:
        axes = as_axes(tuple(axes), ndim, name)
    if not axes:
        return settle(x)
    lengths = _lengths(name, kind, type_of(x), given, axes)
    ends = tuple(range(ndim - len(axes), ndim))
    x = settle(_fitted(moveaxis(settle(x), axes, ends), kind, lengths))
    if 0 in type_of(x).shape:
        return moveaxis(settle(_nothing(type_of(x), kind, lengths)), ends, axes)
    result = transform(x, kind, lengths)
    return moveaxis(_normalised(result, kind, math.prod(lengths), norm), ends, axes)


def _prepared(name: str, kind: str, a: ArrayLike) -> Any:
    """The operand in a dtype that the transform takes."""
    x = floated(name, a)
    type_ = type_of(x)
    if kind == "RFFT":
        if is_complex(type_.dtype):
            fail(DTypeError, f"{name}: {type_} is complex", "it takes real numbers: use fft")
        return _convert(x, dtypes.FLOAT64 if type_.dtype.itemsize == 8 else dtypes.FLOAT32)
    if is_complex(type_.dtype):
        return _convert(x, type_.dtype)
    return _convert(x, complex_dtype(type_.dtype))


def _convert(x: Any, dtype: Any) -> Any:
    return ew.convert(x, dtype, False)


def _lengths(
    name: str, kind: str, type_: ArrayType, s: Any, axes: Sequence[int]
) -> tuple[int, ...]:
    """The lengths of the transforms, on the longer side."""
    if s is not None and len(s) != len(axes):
        fail(ShapeError, f"{name}: {len(s)} lengths for {len(axes)} axes")
    lengths = [type_.shape[axis] for axis in axes]
    if kind == "IRFFT":
        lengths[-1] = max(0, 2 * (lengths[-1] - 1))
    for number, n in enumerate(s or ()):
        if n is None or operator.index(n) == -1:
            continue
        lengths[number] = operator.index(n)
        if lengths[number] < 1:
            fail(ShapeError, f"{name}: length {n} is not positive")
    return tuple(lengths)


def _fitted(x: Any, kind: str, lengths: Sequence[int]) -> Any:
    """The last axes cut or padded to the lengths that the transform reads."""
    type_ = type_of(x)
    wanted = list(lengths)
    if kind == "IRFFT":
        wanted[-1] = lengths[-1] // 2 + 1 if lengths[-1] else 0
    own = type_.shape[type_.ndim - len(wanted) :]
    if tuple(wanted) == own:
        return x
    config = [(0, 0, 0)] * (type_.ndim - len(wanted))
    config += [(0, n - size, 0) for n, size in zip(wanted, own, strict=True)]
    return pad(x, literal(0, ArrayType(type_.dtype, ())), config)


def _nothing(type_: ArrayType, kind: str, lengths: Sequence[int]) -> Any:
    """The transform of no elements."""
    last = {"RFFT": lengths[-1] // 2 + 1, "IRFFT": lengths[-1]}.get(kind, lengths[-1])
    dtype = {"RFFT": complex_dtype, "IRFFT": real_dtype}.get(kind, lambda d: d)(type_.dtype)
    if kind == "RFFT" and not lengths[-1]:
        last = 0
    return full_of(ArrayType(dtype, (*type_.shape[:-1], last)), 0)


def _normalised(x: Any, kind: str, count: int, norm: str | None) -> Any:
    """The result of a transform whose inverse is divided by `count`, as `norm` wants it."""
    is_forward = kind in ("FFT", "RFFT")
    if norm == "ortho":
        factor = 1 / math.sqrt(count) if is_forward else math.sqrt(count)
    elif norm == "forward":
        factor = 1 / count if is_forward else float(count)
    else:
        return x
    return ew.mul(x, factor)


# ---- frequencies -----------------------------------------------------------------------------


def _frequency_dtype(name: str, n: int, dtype: DTypeLike | None) -> Any:
    try:
        operator.index(n)
    except TypeError:
        fail(ArgumentError, f"{name}: n is an integer, not {n!r}")
    return DEFAULT_DTYPES.of(float) if dtype is None else as_dtype(dtype)


def fftfreq(
    n: int, d: ArrayLike = 1.0, *, dtype: DTypeLike | None = None, device: object = None
) -> Array:
    """The frequencies of the elements of `fft`, for samples at distance `d`.

    >>> print(fftfreq(4))
    [ 0.    0.25 -0.5  -0.25]
    """
    wanted = _frequency_dtype("fftfreq", n, dtype)
    numbers = np.fft.ifftshift(np.arange(n) - n // 2) / n
    return on_device(settle(operand(numbers.astype(wanted))) / d, device)


def rfftfreq(
    n: int, d: ArrayLike = 1.0, *, dtype: DTypeLike | None = None, device: object = None
) -> Array:
    """The frequencies of the elements of `rfft`, for samples at distance `d`.

    >>> print(rfftfreq(4))
    [0.   0.25 0.5 ]
    """
    wanted = _frequency_dtype("rfftfreq", n, dtype)
    return on_device(settle(operand((np.arange(n // 2 + 1) / n).astype(wanted))) / d, device)


def fftshift(x: ArrayLike, axes: Any = None) -> Array:
    """Move frequency 0 to the middle of each axis.

    >>> print(fftshift(fftfreq(4)))
    [-0.5  -0.25  0.    0.25]
    """
    return _rolled("fftshift", x, axes, lambda n: n // 2)


def ifftshift(x: ArrayLike, axes: Any = None) -> Array:
    """The inverse of `fftshift`.

    >>> print(ifftshift(fftshift(fftfreq(4))))
    [ 0.    0.25 -0.5  -0.25]
    """
    return _rolled("ifftshift", x, axes, lambda n: -(n // 2))


def _rolled(name: str, x: ArrayLike, axes: Any, shift: Any) -> Array:
    value = settle(operand(x, name))
    chosen = as_axes(axes, value.ndim, name)
    return roll(value, tuple(shift(value.shape[axis]) for axis in chosen), chosen)
