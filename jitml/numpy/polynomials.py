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
from jitml.numpy.filters import convolve
from jitml.numpy.joining import concatenate
from jitml.numpy.manipulation import atleast_1d, broadcast_to
from jitml.numpy.operands import fail, promoted, settle
from jitml.numpy.ranges import arange
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = [
    "poly", "polyadd", "polyder", "polydiv", "polyint", "polymul", "polysub", "polyval", "vander",
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
    times = operator.index(m)
    if times < 0:
        fail(ArgumentError, f"{name}: the order must not be negative, got {times}")
    return times


def poly(seq_of_zeros: ArrayLike) -> Array:
    """The polynomial that has these zeros, and 1 as its first coefficient.

    >>> import jitml.numpy as jnp
    >>> print(poly(jnp.array([1.0, 2.0])))
    [ 1. -3.  2.]
    """
    zeros_ = _coefficients("poly", seq_of_zeros, to_inexact=True)
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
