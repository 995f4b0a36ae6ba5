"""Covariances and correlations of variables."""

from __future__ import annotations

from typing import Any

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError
from jitml.numpy.arithmetic import clip
from jitml.numpy.creation import asarray
from jitml.numpy.elementwise import conj, imag, real, sqrt
from jitml.numpy.joining import concatenate
from jitml.numpy.linear_algebra import dot
from jitml.numpy.manipulation import atleast_2d, squeeze
from jitml.numpy.matrices import diagonal
from jitml.numpy.operands import as_dtype, fail, operand, promoted, settle
from jitml.numpy.reductions import sum as _sum
from jitml.numpy.statistics import average
from jitml.ops import elementwise as ew
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = ["corrcoef", "cov"]


def _observations(m: ArrayLike, y: ArrayLike | None, rowvar: bool, dtype: DTypeLike | None) -> Any:
    """A row for each variable, a column for each observation."""
    given = [m] if y is None else [m, y]
    xs = [settle(x) for x in promoted("cov", *given, to_inexact=True)]
    rows = []
    for x in xs:
        if x.ndim > 2:
            fail(ArgumentError, f"cov: needs a vector or a matrix, got {type_of(x)}")
        matrix = atleast_2d(x)
        rows.append(matrix.T if not rowvar and x.ndim == 2 and x.shape[0] != 1 else matrix)
    if len({x.shape[1] for x in rows}) > 1:
        fail(ArgumentError, f"cov: {rows[0].shape[1]} and {rows[1].shape[1]} observations")
    result = concatenate(rows)
    return result if dtype is None else result.astype(as_dtype(dtype))


def _frequencies(name: str, weights: ArrayLike, count: int) -> Any:
    x = asarray(weights)
    if x.shape != (count,):
        fail(ArgumentError, f"cov: {name} of shape {x.shape} for {count} observations")
    if name == "fweights" and not dtypes.is_integer(x.dtype):
        fail(ArgumentError, f"cov: fweights are integers, not {x.dtype.name}")
    return x


def cov(
    m: ArrayLike,
    y: ArrayLike | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: ArrayLike | None = None,
    aweights: ArrayLike | None = None,
    dtype: DTypeLike | None = None,
) -> Array:
    """The covariances of variables, which are rows (or columns, without `rowvar`).

    >>> import jitml.numpy as jnp
    >>> print(cov(jnp.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])))
    [[ 1. -1.]
     [-1.  1.]]
    """
    x = _observations(m, y, rowvar, dtype)
    count = x.shape[1]
    lost = (0 if bias else 1) if ddof is None else ddof
    weights: Any = None
    if fweights is not None:
        weights = _frequencies("fweights", fweights, count)
    if aweights is not None:
        more = _frequencies("aweights", aweights, count)
        weights = more if weights is None else weights * more
    if weights is None:
        total: Any = count
        centred = x - average(x, axis=1, keepdims=True)
        scale: Any = count - lost
    else:
        mean, totals = average(x, axis=1, weights=weights, returned=True)
        centred, total = x - mean[:, None], totals[0]
        scale = total - lost
        if lost and aweights is not None:
            scale = total - lost * _sum(weights * asarray(aweights)) / total
    other = centred.T if weights is None else (centred * weights).T
    scale = settle(ew.maximum(operand(asarray(scale).astype(_real(x))), 0))
    return squeeze(dot(centred, conj(other)) / scale.astype(x.dtype))


def _real(x: Any) -> Any:
    return dtypes.real_dtype(x.dtype)


def corrcoef(
    x: ArrayLike,
    y: ArrayLike | None = None,
    rowvar: bool = True,
    dtype: DTypeLike | None = None,
) -> Array:
    """The correlations of variables, between −1 and 1.

    >>> import jitml.numpy as jnp
    >>> print(corrcoef(jnp.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])).round(5))
    [[ 1. -1.]
     [-1.  1.]]
    """
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.ndim:
        return c / c
    deviations = sqrt(real(diagonal(c)))
    scaled = c / deviations[:, None].astype(c.dtype) / deviations.astype(c.dtype)
    if not dtypes.is_complex(c.dtype):
        return clip(scaled, -1, 1)
    parts = (clip(operand(part(scaled)), -1, 1) for part in (real, imag))
    return settle(ew.complex_(*map(operand, parts)))
