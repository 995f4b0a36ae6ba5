"""Convolutions and correlations of arrays of any rank, directly or by Fourier transforms.

With "same" the result has the shape of the first array and lies in the middle of the full one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jitml.numpy as jnp
from jitml import lax
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy.operands import as_axes, fail, promoted, settle
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = ["convolve", "convolve2d", "correlate", "correlate2d", "fftconvolve"]


def _operands(name: str, in1: ArrayLike, in2: ArrayLike, mode: str) -> tuple[Any, Any]:
    x, y = (settle(v) for v in promoted(name, in1, in2, to_inexact=True))
    if mode not in ("full", "same", "valid"):
        fail(ArgumentError, f"{name}: mode is {mode!r}", "it is 'full', 'same' or 'valid'")
    if x.ndim != y.ndim:
        fail(ShapeError, f"{name}: {type_of(x)} and {type_of(y)} differ in rank")
    if not x.size or not y.size:
        fail(ShapeError, f"{name}: {type_of(x)} with {type_of(y)}: one of them is empty")
    return x, y


def _fits(small: Any, large: Any) -> bool:
    return all(n <= size for n, size in zip(small.shape, large.shape, strict=True))


def fftconvolve(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", axes: Sequence[int] | None = None
) -> Array:
    """The convolution by Fourier transforms, along `axes`; arrays are multiplied along others.

    >>> import jitml.numpy as jnp
    >>> print(fftconvolve(jnp.ones(2), jnp.ones(2)).round(3))
    [1. 2. 1.]
    """
    x, y = _operands("fftconvolve", in1, in2, mode)
    along = as_axes(None if axes is None else tuple(axes), x.ndim, "fftconvolve")
    kept = [k for k in range(x.ndim) if k not in along]
    if any(x.shape[k] != y.shape[k] for k in kept):
        fail(ShapeError, f"fftconvolve: {type_of(x)} and {type_of(y)} differ beside axes {along}")
    if mode == "valid" and not _fits(y, x):
        if not _fits(x, y):
            _refuse_shapes("fftconvolve", x, y)
        x, y = y, x
    pairs = list(zip(x.shape, y.shape, strict=True))
    sizes = [m if k in kept else m + n - 1 for k, (m, n) in enumerate(pairs)]
    whole = [sizes[k] for k in along]
    is_complex = jnp.iscomplexobj(x)
    to, back = (jnp.fft.fftn, jnp.fft.ifftn) if is_complex else (jnp.fft.rfftn, jnp.fft.irfftn)
    if all(1 in pairs[k] for k in along):
        found = x * y
    else:
        found = back(to(x, whole, along) * to(y, whole, along), whole, along).astype(x.dtype)
    wanted = {
        "full": sizes,
        "same": x.shape,
        "valid": [m if k in kept else m - n + 1 for k, (m, n) in enumerate(pairs)],
    }[mode]
    starts = [(n - part) // 2 for n, part in zip(sizes, wanted, strict=True)]
    return lax.slice(found, starts, [a + n for a, n in zip(starts, wanted, strict=True)])


def _refuse_shapes(name: str, x: Any, y: Any) -> None:
    fail(
        ShapeError,
        f"{name}: neither of {type_of(x)} and {type_of(y)} is the smaller one along all axes",
    )


def _direct(name: str, in1: ArrayLike, in2: ArrayLike, mode: str, precision: Any) -> Any:
    """The convolution as a sum of products."""
    x, y = _operands(name, in1, in2, mode)
    wanted = x.shape
    if not _fits(y, x):
        if not _fits(x, y):
            _refuse_shapes(name, x, y)
        x, y = y, x
    large, sizes = x.shape, y.shape
    before = {
        "full": [n - 1 for n in sizes],
        "valid": [0] * x.ndim,
        "same": [
            n - 1 - (m + n - 1 - w) // 2 for m, n, w in zip(x.shape, sizes, wanted, strict=True)
        ],
    }[mode]
    counts = {
        "full": [m + n - 1 for m, n in zip(x.shape, sizes, strict=True)],
        "valid": [m - n + 1 for m, n in zip(x.shape, sizes, strict=True)],
        "same": wanted,
    }[mode]
    pads = [
        (low, count + n - 1 - m - low)
        for low, count, m, n in zip(before, counts, large, sizes, strict=True)
    ]
    rank = x.ndim
    found = lax.conv_general_dilated(
        x[None, None], jnp.flip(y)[None, None], (1,) * rank, pads, precision=precision
    )
    return found[0, 0]


def convolve(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto", precision: Any = None
) -> Array:
    """The convolution of arrays of one rank; `method` is "direct" ("auto") or "fft".

    >>> import jitml.numpy as jnp
    >>> print(convolve(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 10.0])))
    [ 1. 12. 23. 30.]
    """
    if method == "fft":
        return fftconvolve(in1, in2, mode)
    if method not in ("auto", "direct"):
        fail(ArgumentError, f"convolve: method is {method!r}", "it is 'auto', 'direct' or 'fft'")
    return _direct("convolve", in1, in2, mode, precision)


def correlate(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto", precision: Any = None
) -> Array:
    """The correlation: the convolution with the second array turned round and conjugated.

    >>> import jitml.numpy as jnp
    >>> print(correlate(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 10.0])))
    [10. 21. 32.  3.]
    """
    return convolve(in1, _turned(in2), mode, method, precision)


def _turned(x: ArrayLike) -> Any:
    return jnp.flip(jnp.conj(jnp.asarray(x)))


def _check_two(name: str, boundary: str, fillvalue: float, *arrays: ArrayLike) -> None:
    if boundary != "fill" or fillvalue != 0:
        fail(
            ArgumentError,
            f"{name}: boundary is {boundary!r} with {fillvalue}",
            "there are zeros outside: boundary='fill', fillvalue=0; pad with jitml.numpy.pad",
        )
    types = [type_of(jnp.asarray(x)) for x in arrays]
    if any(t.ndim != 2 for t in types):
        fail(ShapeError, f"{name}: wants matrices, not {types[0]} and {types[1]}")


def convolve2d(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: float = 0,
    precision: Any = None,
) -> Array:
    """The convolution of two matrices.

    >>> import jitml.numpy as jnp
    >>> print(convolve2d(jnp.ones((2, 2)), jnp.ones((2, 2)), mode="valid"))
    [[4.]]
    """
    _check_two("convolve2d", boundary, fillvalue, in1, in2)
    return _direct("convolve2d", in1, in2, mode, precision)


def correlate2d(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: float = 0,
    precision: Any = None,
) -> Array:
    """The correlation of two matrices.

    >>> import jitml.numpy as jnp
    >>> print(correlate2d(jnp.eye(2), jnp.eye(2), mode="valid"))
    [[2.]]
    """
    _check_two("correlate2d", boundary, fillvalue, in1, in2)
    x, y = _operands("correlate2d", in1, in2, mode)
    if mode == "same":  # of an even number the place before the middle counts, as for SciPy
        return jnp.flip(_direct("correlate2d", jnp.flip(x), jnp.conj(y), mode, precision))
    found = _direct("correlate2d", x, _turned(y), mode, precision)
    # SciPy exchanges the arrays then, and conjugates the first one.
    is_exchanged = mode == "valid" and not _fits(y, x)
    return jnp.conj(found) if is_exchanged else found
