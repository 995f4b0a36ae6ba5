"""What the distributions have in common: places and scales, densities of their logarithms.

In: functions of a standard variable. Out: their values for what users pass. NaN where a scale is
not positive or a parameter is outside of its range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jitml.numpy as jnp
from jitml.numpy.operands import settle
from jitml.scipy.special.operands import floats
from jitml.typing import Array, ArrayLike

Standard = Callable[..., Array]


def arrays(name: str, *arguments: ArrayLike) -> list[Array]:
    """The arguments as arrays of one float dtype, of shapes that fit."""
    return [jnp.asarray(settle(x)) for x in floats(name, *arguments)]


def log_density(
    name: str, standard: Standard, x: ArrayLike, *parameters: ArrayLike, loc: Any, scale: Any
) -> Array:
    """The logarithm of the density of a distribution that is moved and stretched."""
    value, place, factor, *shapes = arrays(name, x, loc, scale, *parameters)
    return standard((value - place) / factor, *shapes) - jnp.log(factor)


def of_standard(
    name: str, standard: Standard, x: ArrayLike, *parameters: ArrayLike, loc: Any, scale: Any
) -> Array:
    """A function of a distribution that is moved and stretched, such as its cdf."""
    value, place, factor, *shapes = arrays(name, x, loc, scale, *parameters)
    return jnp.where(factor > 0, standard((value - place) / factor, *shapes), jnp.nan)


def quantile(
    name: str, standard: Standard, q: ArrayLike, *parameters: ArrayLike, loc: Any, scale: Any
) -> Array:
    """The quantiles for probabilities q, NaN outside of 0 ≤ q ≤ 1."""
    chance, place, factor, *shapes = arrays(name, q, loc, scale, *parameters)
    inside = (chance >= 0) & (chance <= 1) & (factor > 0)
    return jnp.where(inside, standard(chance, *shapes) * factor + place, jnp.nan)


def log_mass(
    name: str, standard: Standard, k: ArrayLike, *parameters: ArrayLike, loc: Any
) -> Array:
    """The logarithm of the probability of counts, −∞ of what is no whole number."""
    value, place, *shapes = arrays(name, k, loc, *parameters)
    count = value - place
    result = standard(count, *shapes)
    return jnp.where((count == jnp.floor(count)) | jnp.isnan(result), result, -jnp.inf)


def inside(condition: Array, result: Array, outside: float = -jnp.inf) -> Array:
    """`result` where the condition holds; NaN stays NaN."""
    return jnp.where(condition | jnp.isnan(result), result, outside)


def where_valid(condition: Array, result: Array) -> Array:
    """`result` where the parameters are those of a distribution, else NaN."""
    return jnp.where(condition, result, jnp.nan)
