"""The normal distribution between a and b, which are those of the standard one."""

from __future__ import annotations

import math

import jitml.numpy as jnp
from jitml.nn.activations import log1mexp
from jitml.scipy import special
from jitml.scipy.stats.families import inside, log_density, of_standard, where_valid
from jitml.typing import Array, ArrayLike

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def _log_mass(a: Array, b: Array) -> Array:
    """The logarithm of how probable a normal number between a and b is, by the nearer tail."""
    right, central = a > 0, (a <= 0) & (b > 0)
    low, high = jnp.where(right, -b, a), jnp.where(right, -a, b)
    low, high = jnp.where(central, -1, low), jnp.where(central, 0, high)
    top = special.log_ndtr(high)
    tail = top + log1mexp(top - special.log_ndtr(low))
    middle = jnp.log1p(-special.ndtr(jnp.where(central, a, -1)) - special.ndtr(-jnp.abs(b)))
    return jnp.where(central, middle, tail)


def _log_density(z: Array, a: Array, b: Array) -> Array:
    usual = z * z * -0.5 - math.log(2 * math.pi) / 2 - _log_mass(a, b)
    return where_valid(a < b, inside((z >= a) & (z <= b), usual))


def _log_below(z: Array, a: Array, b: Array) -> Array:
    within = jnp.clip(z, a, b)
    below = _log_mass(a, within) - _log_mass(a, b)
    above = _log_mass(within, b) - _log_mass(a, b)
    # Close to 1 the other tail has the digits.
    result = jnp.where(below > -0.1, jnp.log1p(-jnp.exp(above)), below)
    result = jnp.where(z <= a, -jnp.inf, jnp.where(z >= b, 0.0, result))
    return where_valid((a < b) & ~jnp.isnan(z), result)


def _log_above(z: Array, a: Array, b: Array) -> Array:
    return _log_below(-z, -b, -a)


def logpdf(
    x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1
) -> Array:
    """The logarithm of the density at x.

    >>> print(logpdf(0.0, -1.0, 1.0))
    -0.53722334
    """
    return log_density("truncnorm.logpdf", _log_density, x, a, b, loc=loc, scale=scale)


def pdf(
    x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1
) -> Array:
    """The density at x.

    >>> print(pdf(0.0, -1.0, 1.0))
    0.5843686
    """
    return jnp.exp(logpdf(x, a, b, loc, scale))


def cdf(
    x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1
) -> Array:
    """How probable at most x is.

    >>> print(round(float(cdf(0.0, -1.0, 1.0)), 4))
    0.5
    """
    return jnp.exp(logcdf(x, a, b, loc, scale))


def logcdf(
    x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1
) -> Array:
    """The logarithm of how probable at most x is.

    >>> print(round(float(logcdf(0.0, -1.0, 1.0)), 4))
    -0.6931
    """
    return of_standard("truncnorm.logcdf", _log_below, x, a, b, loc=loc, scale=scale)


def sf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """How probable more than x is.

    >>> print(round(float(sf(0.0, -1.0, 1.0)), 4))
    0.5
    """
    return jnp.exp(logsf(x, a, b, loc, scale))


def logsf(
    x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1
) -> Array:
    """The logarithm of how probable more than x is.

    >>> print(round(float(logsf(0.0, -1.0, 1.0)), 4))
    -0.6931
    """
    return of_standard("truncnorm.logsf", _log_above, x, a, b, loc=loc, scale=scale)
