"""Cosine transforms: the names and signatures of `jax.scipy.fft`, types 1 to 4.

Each is stated by a complex transform of the same length (Makhoul, "A fast cosine transform in one
and two dimensions", 1980), of twice the length for types 1 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import jitml.numpy as jnp
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy.operands import as_axes, as_axis, fail, floated, settle
from jitml.typing import Array, ArrayLike

__all__ = ["dct", "dctn", "idct", "idctn"]

_INVERSES = {1: 1, 2: 3, 3: 2, 4: 4}


def dct(
    x: ArrayLike, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None
) -> Array:
    """The cosine transform along an axis, which is cut or filled up with zeros to length n.

    `norm` is "backward" (None), "ortho" or "forward", as for SciPy.

    >>> import jitml.numpy as jnp
    >>> print(dct(jnp.ones(3), norm="ortho").round(3))
    [1.732 0.    0.   ]
    """
    return _along("dct", x, type, n, axis, norm, is_inverse=False)


def idct(
    x: ArrayLike, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None
) -> Array:
    """The inverse of `dct` along an axis.

    >>> import jitml.numpy as jnp
    >>> print(idct(dct(jnp.arange(3.0))).round(3))
    [0. 1. 2.]
    """
    return _along("idct", x, type, n, axis, norm, is_inverse=True)


def dctn(
    x: ArrayLike,
    type: int = 2,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
) -> Array:
    """The cosine transform along several axes, of lengths `s`.

    >>> import jitml.numpy as jnp
    >>> print(dctn(jnp.ones((2, 2))))
    [[16.  0.]
     [ 0.  0.]]
    """
    return _along_axes("dctn", x, type, s, axes, norm, is_inverse=False)


def idctn(
    x: ArrayLike,
    type: int = 2,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
) -> Array:
    """The inverse of `dctn`.

    >>> import jitml.numpy as jnp
    >>> print(idctn(jnp.array([[16.0, 0.0], [0.0, 0.0]])))
    [[1. 1.]
     [1. 1.]]
    """
    return _along_axes("idctn", x, type, s, axes, norm, is_inverse=True)


def _along_axes(
    name: str,
    x: ArrayLike,
    kind: int,
    lengths: Sequence[int] | None,
    axes: Sequence[int] | None,
    norm: str | None,
    is_inverse: bool,
) -> Array:
    value = settle(floated(name, x))
    if axes is None:
        first = 0 if lengths is None else value.ndim - len(lengths)
        axes = range(first, value.ndim)
    where = as_axes(tuple(axes), value.ndim, name)
    sizes = [None] * len(where) if lengths is None else list(lengths)
    if len(sizes) != len(where):
        fail(ShapeError, f"{name}: {len(sizes)} lengths for {len(where)} axes")
    for axis, size in zip(where, sizes, strict=True):
        value = _along(name, value, kind, size, axis, norm, is_inverse)
    return value


def _along(
    name: str,
    x: ArrayLike,
    kind: int,
    length: int | None,
    axis: int,
    norm: str | None,
    is_inverse: bool,
) -> Array:
    value = settle(floated(name, x))
    if kind not in _TRANSFORMS:
        fail(ArgumentError, f"{name}: there is no type {kind!r}", "types are 1, 2, 3 and 4")
    if norm not in (None, "backward", "ortho", "forward"):
        fail(ArgumentError, f"{name}: norm is {norm!r}", "it is 'backward', 'ortho' or 'forward'")
    last = jnp.moveaxis(value, as_axis(axis, value.ndim, name), -1)
    last = last if length is None else _fitted(name, last, length)
    if last.shape[-1] < (2 if kind == 1 else 1):
        fail(ShapeError, f"{name}: an axis of size {last.shape[-1]} has no transform {kind}")
    if jnp.iscomplexobj(last):
        parts = (_transformed(p, kind, norm, is_inverse) for p in (last.real, last.imag))
        found = jnp.stack([*parts], -1) @ jnp.array([1, 1j], last.dtype)
    else:
        found = _transformed(last, kind, norm, is_inverse)
    return jnp.moveaxis(found, -1, axis)


def _fitted(name: str, x: Any, length: int) -> Any:
    """The last axis cut or filled up with zeros."""
    if length < 1:
        fail(ArgumentError, f"{name}: {length} numbers were asked for", "ask for one at least")
    lacking = max(length - x.shape[-1], 0)
    return jnp.pad(x[..., :length], [(0, 0)] * (x.ndim - 1) + [(0, lacking)])


def _transformed(x: Any, kind: int, norm: str | None, is_inverse: bool) -> Any:
    if is_inverse:
        kind = _INVERSES[kind]
    n = x.shape[-1]
    whole = 2 * (n - 1 if kind == 1 else n)
    if norm == "ortho":
        before, after = _ends(kind, n, x.dtype)
        return _TRANSFORMS[kind](x * before) * (after / math.sqrt(whole))
    found = _TRANSFORMS[kind](x)
    return found / whole if is_inverse != (norm == "forward") else found


def _ends(kind: int, n: int, dtype: Any) -> tuple[Any, Any]:
    """What makes transforms orthogonal: factors of the numbers before and behind."""
    before, after = np.ones(n), np.ones(n)
    if kind == 1:
        before[[0, -1]], after[[0, -1]] = math.sqrt(2), math.sqrt(0.5)
    elif kind == 2:
        after[0] = math.sqrt(0.5)
    elif kind == 3:
        before[0] = math.sqrt(2)
    return jnp.asarray(before, dtype), jnp.asarray(after, dtype)


def _turns(count: int, of: float, dtype: Any) -> Any:
    """exp(−iπk / of) for k = 0, 1, …"""
    angles = -np.pi * np.arange(count) / of
    return jnp.asarray(np.exp(1j * angles), jnp.result_type(dtype, jnp.complex64))


def _first(x: Any) -> Any:
    mirrored = jnp.concatenate([x, jnp.flip(x[..., 1:-1], -1)], -1)
    return jnp.fft.rfft(mirrored).real


def _second(x: Any) -> Any:
    n = x.shape[-1]
    folded = jnp.concatenate([x[..., ::2], jnp.flip(x[..., 1::2], -1)], -1)
    return 2 * (jnp.fft.fft(folded) * _turns(n, 2 * n, x.dtype)).real


def _third(x: Any) -> Any:
    n = x.shape[-1]
    mirrored = jnp.concatenate([jnp.zeros_like(x[..., :1]), jnp.flip(x[..., 1:], -1)], -1)
    turned = (x - 1j * mirrored) * jnp.conj(_turns(n, 2 * n, x.dtype))
    folded = jnp.fft.ifft(turned).real * n
    half = (n + 1) // 2
    order = np.empty(n, int)
    order[::2], order[1::2] = np.arange(half), np.arange(half, n)[::-1]
    return folded[..., order]


def _fourth(x: Any) -> Any:
    n = x.shape[-1]
    turned = jnp.fft.fft(x * _turns(n, 2 * n, x.dtype), 2 * n)[..., :n]
    return 2 * (turned * _turns(2 * n, 4 * n, x.dtype)[1::2]).real


_TRANSFORMS = {1: _first, 2: _second, 3: _third, 4: _fourth}
