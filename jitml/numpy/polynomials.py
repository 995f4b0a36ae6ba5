"""Polynomials, given by their coefficients from the highest power down.

In: vectors of coefficients. Out: vectors of coefficients, values.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from jitml.ir.errors import ArgumentError
from jitml.lax.control_flow import scan
from jitml.numpy.arithmetic import power
from jitml.numpy.creation import asarray, ones, zeros
from jitml.numpy.editing import trim_zeros
from jitml.numpy.elementwise import sqrt
from jitml.numpy.filters import convolve
from jitml.numpy.joining import concatenate
from jitml.numpy.linalg import eigvals, inv, lstsq
from jitml.numpy.linear_algebra import matmul, outer
from jitml.numpy.manipulation import atleast_1d, broadcast_to
from jitml.numpy.matrices import eye
from jitml.numpy.operands import fail, promoted, settle
from jitml.numpy.ranges import arange
from jitml.numpy.reductions import sum as _sum
from jitml.numpy.types import finfo, result_type
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = [
    "poly", "polyadd", "polyder", "polydiv", "polyfit", "polyint", "polymul", "polysub", "polyval",
    "roots", "vander",
]  # fmt: skip

_UNROLLED = 16


def _coefficients(name: str, p: ArrayLike, to_inexact: bool = False) -> Any:
    (x,) = promoted(name, atleast_1d(p), to_inexact=to_inexact)
    if type_of(x).ndim != 1:
        fail(ArgumentError, f"{name}: coefficients stand in a vector, got {type_of(x)}")
    return settle(x)


def _together(name: str, a1: ArrayLike, a2: ArrayLike, to_inexact: bool = False) -> list[Any]:
    xs = [_coefficients(name, a) for a in (a1, a2)]
    return [settle(x) for x in promoted(name, *xs, to_inexact=to_inexact)]


def polyval(p: ArrayLike, x: ArrayLike, *, unroll: int = _UNROLLED) -> Array:
    """The value at each element of `x`, by Horner's rule.

    >>> import jitml.numpy as jnp
    >>> print(polyval(jnp.array([1, 0, 2]), 3))
    11
    """
    coefficients, at = (settle(a) for a in promoted("polyval", p, x))
    if not coefficients.shape:
        coefficients = coefficients.reshape(1)
    rest = coefficients.shape[1:]
    shape = np.broadcast_shapes(rest, at.shape)
    start = zeros(shape, coefficients.dtype)
    if coefficients.shape[0] <= max(unroll, 1):
        for k in range(coefficients.shape[0]):
            start = start * at + coefficients[k]
        return start
    found, _ = scan(lambda y, c: (y * at + c, None), start, coefficients)
    return found


def polyadd(a1: ArrayLike, a2: ArrayLike) -> Array:
    """The sum of two polynomials.

    >>> import jitml.numpy as jnp
    >>> print(polyadd(jnp.array([1, 2]), jnp.array([5])))
    [1 7]
    """
    x, y = _together("polyadd", a1, a2)
    length = max(x.shape[0], y.shape[0])
    x, y = (concatenate([zeros(length - z.shape[0], z.dtype), z]) for z in (x, y))
    return x + y


def polysub(a1: ArrayLike, a2: ArrayLike) -> Array:
    """The difference of two polynomials.

    >>> import jitml.numpy as jnp
    >>> print(polysub(jnp.array([1, 2]), jnp.array([5])))
    [ 1 -3]
    """
    x, y = _together("polysub", a1, a2)
    return polyadd(x, -y)


def polymul(a1: ArrayLike, a2: ArrayLike, *, trim_leading_zeros: bool = False) -> Array:
    """The product of two polynomials.

    >>> import jitml.numpy as jnp
    >>> print(polymul(jnp.array([1, 1]), jnp.array([1, 1])).astype(int))
    [1 2 1]
    """
    x, y = _together("polymul", a1, a2, to_inexact=True)
    if trim_leading_zeros and (x.shape[0] > 1 or y.shape[0] > 1):
        x, y = (trim_zeros(z, "f") for z in (x, y))
    x, y = (z if z.shape[0] else zeros(1, z.dtype) for z in (x, y))
    return convolve(x, y)


def polydiv(u: ArrayLike, v: ArrayLike, *, trim_leading_zeros: bool = False) -> tuple[Array, Array]:
    """Quotient and remainder of two polynomials.

    >>> import jitml.numpy as jnp
    >>> print(*polydiv(jnp.array([1.0, 3.0, 2.0]), jnp.array([1.0, 1.0])))
    [1. 2.] [0. 0. 0.]
    """
    rest, divisor = _together("polydiv", u, v, to_inexact=True)
    if not divisor.shape[0]:
        fail(ArgumentError, "polydiv: the divisor has no coefficients")
    steps = rest.shape[0] - divisor.shape[0] + 1
    quotient = zeros(max(steps, 1), rest.dtype)
    for k in range(max(steps, 0)):
        digit = rest[k] / divisor[0]
        quotient = quotient.at[k].set(digit)
        rest = rest.at[k : k + divisor.shape[0]].add(-digit * divisor)
    return quotient, trim_zeros(rest, "f") if trim_leading_zeros else rest


def polyder(p: ArrayLike, m: int = 1) -> Array:
    """The m-th derivative.

    >>> import jitml.numpy as jnp
    >>> print(polyder(jnp.array([1.0, 2.0, 3.0])))
    [2. 2.]
    """
    times = _order("polyder", m)
    x = _coefficients("polyder", p, to_inexact=True)
    if not times:
        return x
    degrees = range(x.shape[0] - 1, times - 1, -1)
    factors = [float(math.perm(d, times)) for d in degrees]
    return x[: len(factors)] * asarray(factors, dtype=x.dtype)


def polyint(p: ArrayLike, m: int = 1, k: Any = None) -> Array:
    """The m-th integral; `k` are the constants, from the first integration on.

    >>> import jitml.numpy as jnp
    >>> print(polyint(jnp.array([2.0, 2.0])))
    [1. 2. 0.]
    """
    times = _order("polyint", m)
    x = _coefficients("polyint", p, to_inexact=True)
    constants = atleast_1d(asarray(0 if k is None else k)).astype(x.dtype)
    if constants.ndim > 1 or (constants.shape[0] not in (1, times) and times):
        fail(
            ArgumentError,
            f"polyint: {constants.size} constants for {times} integrations",
            "give one for all, or one for each",
        )
    for step in range(times):
        constant = constants[min(step, constants.shape[0] - 1)].reshape(1)
        degrees = [float(d) for d in range(x.shape[0], 0, -1)]
        x = concatenate([x / asarray(degrees, dtype=x.dtype), constant])
    return x


def _order(name: str, m: int) -> int:
    if not isinstance(m, (int, np.integer)) or m < 0:
        fail(ArgumentError, f"{name}: the order is an integer that is not negative, got {m!r}")
    return int(m)


def poly(seq_of_zeros: ArrayLike) -> Array:
    """The polynomial that has these zeros, and 1 as its first coefficient; of a square matrix the
    characteristic one.

    >>> import jitml.numpy as jnp
    >>> print(poly(jnp.array([1.0, 2.0])))
    [ 1. -3.  2.]
    """
    zeros_ = asarray(seq_of_zeros)
    if zeros_.ndim == 2 and zeros_.shape[0] == zeros_.shape[1] and zeros_.size:
        zeros_ = eigvals(zeros_)
    zeros_ = _coefficients("poly", zeros_, to_inexact=True)
    if not zeros_.shape[0]:
        return ones((), zeros_.dtype)
    result = ones(1, zeros_.dtype)
    for k in range(zeros_.shape[0]):
        shifted = concatenate([result, zeros(1, result.dtype)])
        result = shifted - concatenate([zeros(1, result.dtype), result * zeros_[k]])
    return result


def vander(x: ArrayLike, N: int | None = None, increasing: bool = False) -> Array:
    """The matrix whose columns are the powers of `x`, from the highest of N down to 0.

    >>> import jitml.numpy as jnp
    >>> print(vander(jnp.array([2, 3]), 3))
    [[4 2 1]
     [9 3 1]]
    """
    values = asarray(x)
    if values.ndim != 1:
        fail(ArgumentError, f"vander: needs a vector, got shape {values.shape}")
    count = values.shape[0] if N is None else operator.index(N)
    if count < 0:
        fail(ArgumentError, f"vander: N must not be negative, got {count}")
    exponents = arange(count) if increasing else arange(count - 1, -1, -1)
    columns = broadcast_to(values.reshape(-1, 1), (values.shape[0], count))
    # The power 0 is taken of 1, so that the derivative at 0 is one too.
    return power(columns * (exponents != 0) + (exponents == 0), exponents).astype(values.dtype)


def roots(p: ArrayLike, *, strip_zeros: bool = True) -> Array:
    """The zeros of a polynomial, as complex numbers.

    Leading and trailing coefficients of 0 are left out, for which they must be known; without
    `strip_zeros` the first one must not be 0.

    >>> import jitml.numpy as jnp
    >>> print(jnp.sort(roots(jnp.array([1.0, -3.0, 2.0])).real).round(4))
    [1. 2.]
    """
    x = _coefficients("roots", p, to_inexact=True)
    at_zero = 0
    if strip_zeros:
        x = trim_zeros(x, "f")
        stripped = trim_zeros(x, "b")
        at_zero, x = x.shape[0] - stripped.shape[0], stripped
    degree = x.shape[0] - 1
    wanted = result_type(x.dtype, "complex64")
    none = zeros(at_zero, wanted)
    if degree < 1:
        return none
    companion = concatenate([-x[None, 1:] / x[0], eye(degree - 1, degree, dtype=x.dtype)])
    return concatenate([eigvals(companion).astype(wanted), none])


def polyfit(
    x: ArrayLike,
    y: ArrayLike,
    deg: int,
    rcond: float | None = None,
    full: bool = False,
    w: ArrayLike | None = None,
    cov: Any = False,
) -> Any:
    """The polynomial of degree `deg` that is nearest to the points, by least squares.

    `full` adds residuals, rank, singular values and rcond, `cov` the covariance of coefficients
    (with "unscaled" for weights that are the errors' own).

    >>> import jitml.numpy as jnp
    >>> print(polyfit(jnp.array([0.0, 1.0, 2.0]), jnp.array([1.0, 3.0, 5.0]), 1).round(3))
    [2. 1.]
    """
    count = _order("polyfit", deg) + 1
    places, values = (settle(z) for z in promoted("polyfit", x, y, to_inexact=True))
    _check_points(places, values)
    if rcond is None:
        rcond = places.shape[0] * finfo(places.dtype).eps
    left, right = vander(places, count), values
    if w is not None:
        weights = asarray(w).astype(left.dtype)
        if weights.shape != places.shape:
            fail(ArgumentError, f"polyfit: {weights.shape} weights for points {places.shape}")
        left = left * weights[:, None]
        right = right * (weights[:, None] if right.ndim == 2 else weights)
    size = sqrt(_sum(left * left, axis=0))  # columns of one size, so that rcond has a meaning
    found, residuals, rank, singular = lstsq(left / size, right, rcond)
    found = (found.T / size).T
    if full:
        return found, residuals, rank, singular, asarray(rcond)
    if not cov:
        return found
    return found, _covariance(left, size, residuals, right.ndim, places.shape[0], cov)


def _check_points(places: Any, values: Any) -> None:
    if places.ndim != 1 or not places.shape[0]:
        fail(ArgumentError, f"polyfit: places stand in a vector, not empty; got {type_of(places)}")
    if values.ndim not in (1, 2) or values.shape[0] != places.shape[0]:
        fail(
            ArgumentError,
            f"polyfit: values of shape {values.shape} for {places.shape[0]} places",
        )


def _covariance(left: Any, size: Any, residuals: Any, rank: int, points: int, cov: Any) -> Array:
    """The covariances of the coefficients."""
    count = left.shape[1]
    scaled = left / size
    base = inv(matmul(scaled.T, scaled)) / outer(size, size)
    if cov != "unscaled":
        if points <= count:
            fail(
                ArgumentError,
                f"polyfit: {points} points are too few for the covariance of {count} coefficients",
            )
        residuals = residuals / (points - count)
        return base[:, :, None] * residuals if rank == 2 else base * residuals
    return base[:, :, None] if rank == 2 else base
