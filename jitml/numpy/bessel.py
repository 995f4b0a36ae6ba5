"""The modified Bessel function that windows are made of."""

from __future__ import annotations

from jitml.numpy.operands import floated, settle
from jitml.numpy.rows import of_reals
from jitml.ops import elementwise as ew
from jitml.typing import Array, ArrayLike

__all__ = ["i0"]


def i0(x: ArrayLike) -> Array:
    """The modified Bessel function of the first kind, of order 0.

    >>> print(i0(0.0))
    1.0
    """
    value = floated("i0", x)
    scaled = of_reals("i0", ew.bessel_i0e)(value)
    size = ew.mul(value, ew.sign(value))  # |x|, whose slope at 0 is 0 here
    return settle(ew.mul(ew.exp(size), scaled))
