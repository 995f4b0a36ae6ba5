"""Integrals of samples: the names and signatures of `jax.scipy.integrate`."""

from __future__ import annotations

import jitml.numpy as jnp
from jitml.typing import Array, ArrayLike

__all__ = ["trapezoid"]


def trapezoid(
    y: ArrayLike, x: ArrayLike | None = None, dx: ArrayLike = 1.0, axis: int = -1
) -> Array:
    """The integral of samples along an axis, by straight lines between them.

    >>> import jitml.numpy as jnp
    >>> print(trapezoid(jnp.array([1.0, 2.0, 3.0])))
    4.0
    """
    return jnp.trapezoid(y, x, dx, axis)
