"""Gamma, beta and zeta functions and what counts with them.

In: arrays and numbers, promoted to one float dtype. Out: arrays of it.
"""

from __future__ import annotations

import functools
import math
import operator
from fractions import Fraction
from typing import Any

import numpy as np

import jitml.numpy as jnp
from jitml.eager import operation
from jitml.ir import dtypes
from jitml.ir.arguments import as_integer
from jitml.ir.errors import ArgumentError, DTypeError
from jitml.lax import stop_gradient
from jitml.numpy.operands import fail, kind, kind_of, operand, settle
from jitml.ops import elementwise as ew
from jitml.scipy.special.complex_gamma import complex_gamma, complex_loggamma, in_double
from jitml.scipy.special.operands import floats, unary
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike

# ---- gamma ----------------------------------------------------------------------------------


@operation
def gamma(x: ArrayLike) -> Array:
    """The gamma function, of complex numbers too.

    >>> print(gamma(5.0))
    24.0
    """
    (value,) = floats("gamma", x, to_complex=True)
    if kind(value) == "c":
        return in_double(complex_gamma, settle(value))
    return settle(ew.gamma(value))


@operation
def loggamma(x: ArrayLike) -> Array:
    """log Γ(x) on its principal branch; of real numbers, NaN below 0.

    >>> print(loggamma(1.0))
    0.0
    """
    (value,) = floats("loggamma", x, to_complex=True)
    if kind(value) == "c":
        return in_double(complex_loggamma, settle(value))
    nothing = ew.full_like(value, math.nan)
    return settle(ew.select(ew.ge(value, 0), ew.lgamma(value), nothing))


gammaln = unary("gammaln", ew.lgamma, "log |Γ(x)|.", "gammaln(1.0)", "0.0")
digamma = unary("digamma", ew.digamma, "The derivative of log Γ(x).", "digamma(1.0)", "-0.5772157")


def gammasgn(x: ArrayLike) -> Array:
    """The sign of Γ(x): 1 or −1, that of the zero at ±0, NaN at −1, −2, …

    >>> print(gammasgn(-0.5))
    -1.0
    """
    (only,) = floats("gammasgn", x)
    value = jnp.asarray(settle(only))
    whole = jnp.floor(value)
    odd = jnp.remainder(whole, 2) != 0
    lost = ((value < 0) & (value == whole)) | jnp.isnan(value)
    negative = ((value < 0) & odd) | ((value == 0) & jnp.signbit(value))
    sign = jnp.where(negative, -1.0, 1.0)
    return jnp.where(lost, jnp.nan, sign).astype(value.dtype)


def polygamma(n: ArrayLike, x: ArrayLike) -> Array:
    """The n-th derivative of digamma; `n` has an integer dtype.

    >>> print(polygamma(1, 1.0))
    1.644934
    """
    dtype = kind_of(operand(n, "polygamma"))[0]
    if not dtypes.is_integer(dtype):
        fail(DTypeError, f"polygamma: the order has dtype {dtype.name}, which is no integer")
    return settle(ew.polygamma(*floats("polygamma", n, x)))


@operation
def gammainc(a: ArrayLike, x: ArrayLike) -> Array:
    """P(a, x), the lower incomplete gamma function over Γ(a).

    >>> print(gammainc(1.0, 0.0))
    0.0
    """
    return settle(ew.igamma(*floats("gammainc", a, x)))


@operation
def gammaincc(a: ArrayLike, x: ArrayLike) -> Array:
    """Q(a, x) = 1 − P(a, x), the upper incomplete gamma function over Γ(a).

    >>> print(gammaincc(1.0, 0.0))
    1.0
    """
    return settle(ew.igammac(*floats("gammaincc", a, x)))


def multigammaln(a: ArrayLike, d: Any) -> Array:
    """The logarithm of the gamma function of d dimensions.

    >>> print(multigammaln(1.5, 1) == gammaln(1.5))
    True
    """
    count = operator.index(d)
    (only,) = floats("multigammaln", a)
    value = jnp.asarray(settle(only))
    if count < 1:
        fail(ArgumentError, f"multigammaln: {count} dimensions; there is at least 1")
    total = jnp.full_like(value, count * (count - 1) / 4 * math.log(math.pi))
    for k in range(count):
        total = total + gammaln(value - k / 2)
    return total


# ---- counting -------------------------------------------------------------------------------


def factorial(n: ArrayLike, exact: bool = False) -> Array:
    """n! = Γ(n + 1), 0 for negative n.

    >>> print(factorial(5))
    120.0
    """
    if exact:
        fail(
            ArgumentError,
            "factorial: exact=True is not supported: integers of arrays are bounded",
            "math.factorial gives Python's own integers",
        )
    (value,) = floats("factorial", n)
    result = ew.gamma(ew.add(value, 1))
    return settle(ew.select(ew.lt(value, 0), ew.full_like(value, 0), result))


def comb(N: ArrayLike, k: ArrayLike, *, repetition: bool = False) -> Array:
    """How many ways there are to take k of N things.

    >>> print(comb(5, 2))
    10.0
    """
    if repetition:
        return comb(jnp.asarray(N) + k - 1, k)
    total, taken = (jnp.asarray(settle(x)) for x in floats("comb", N, k))
    inside = (taken <= total) & (taken >= 0) & (total >= 0)
    n, some = jnp.where(inside, total, 1), jnp.where(inside, taken, 0)
    ways = 1 / ((n + 1) * beta(n - some + 1, some + 1))
    # The quotient of whole numbers is whole: where a float can hold it, rounding gives it.
    whole = (n == jnp.floor(n)) & (some == jnp.floor(some)) & (ways < 0.1 / jnp.finfo(n.dtype).eps)
    rounding = stop_gradient(jnp.where(whole, jnp.round(ways) - ways, 0))
    return jnp.where(inside, ways + rounding, 0)


@operation
def poch(z: ArrayLike, m: ArrayLike) -> Array:
    """The rising factorial Γ(z + m)/Γ(z).

    >>> print(poch(1.0, 4))
    24.0
    """
    return settle(ew.poch(*floats("poch", z, m)))


def bernoulli(n: int) -> Array:
    """The Bernoulli numbers B₀ to Bₙ, B₁ being −1/2.

    >>> print(bernoulli(2))
    [ 1.         -0.5         0.16666667]
    """
    count = as_integer("bernoulli", n)
    if count < 0:
        fail(ArgumentError, f"bernoulli: n is {count}; it is at least 0")
    numbers = np.zeros(count + 1)
    numbers[:2] = [1.0, -0.5][: count + 1]
    for k in range(2, count + 1, 2):
        numbers[k] = _bernoulli(k)
    with np.errstate(over="ignore"):
        return jnp.asarray(numbers.astype(DEFAULT_DTYPES.of(float)))


@functools.cache
def _exact_bernoulli(k: int) -> Fraction:
    """B_k by its recurrence (DLMF 24.5.3)."""
    if k == 0:
        return Fraction(1)
    if k > 1 and k % 2:
        return Fraction(0)
    return -sum(math.comb(k + 1, j) * _exact_bernoulli(j) for j in range(k)) / Fraction(k + 1)


def _bernoulli(k: int) -> float:
    """B_k for even k; a large one as −(−1)^(k/2)·2·k!/(2π)^k·ζ(k), ζ being 1 (DLMF 25.6.2)."""
    if k < 60:
        return float(_exact_bernoulli(k))
    logarithm = math.lgamma(k + 1) - k * math.log(2 * math.pi)
    size = 2 * math.exp(logarithm) if logarithm < 700 else math.inf
    return size if k % 4 == 2 else -size


# ---- beta and zeta --------------------------------------------------------------------------


@operation
def beta(a: ArrayLike, b: ArrayLike) -> Array:
    """The beta function Γ(a)·Γ(b)/Γ(a + b).

    >>> print(beta(1.0, 2.0))
    0.5
    """
    return settle(ew.beta(*floats("beta", a, b)))


@operation
def betaln(a: ArrayLike, b: ArrayLike) -> Array:
    """The logarithm of |B(a, b)|.

    >>> print(betaln(1.0, 1.0))
    0.0
    """
    return settle(ew.betaln(*floats("betaln", a, b)))


@operation
def betainc(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> Array:
    """The regularized incomplete beta function I_x(a, b).

    >>> print(betainc(1.0, 1.0, 0.25))
    0.25
    """
    return settle(ew.betainc(*floats("betainc", a, b, x)))


def zeta(x: ArrayLike, q: ArrayLike | None = None) -> Array:
    """Hurwitz' zeta function Σ (q + k)⁻ˣ over k ≥ 0; Riemann's without q.

    >>> print(zeta(2.0, 1.0))
    1.644934
    """
    return settle(ew.zeta(*floats("zeta", x, 1.0 if q is None else q)))
