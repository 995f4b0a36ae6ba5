"""Windows for filters and spectra.

In: a number of points. Out: a vector of weights of the default float dtype.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from jitml.ir.errors import ArgumentError, JitmlError
from jitml.numpy.bessel import i0
from jitml.numpy.creation import ones
from jitml.numpy.elementwise import absolute, cos, sqrt
from jitml.numpy.operands import cast, fail, operand, settle
from jitml.numpy.ranges import arange
from jitml.typing import Array, ArrayLike

__all__ = ["bartlett", "blackman", "hamming", "hanning", "kaiser"]


def _count(name: str, M: Any) -> int:
    try:
        return operator.index(M)
    except TypeError as error:
        if isinstance(error, JitmlError):
            raise
        fail(ArgumentError, f"{name}: the number of points is an integer, not {M!r}")


def _cosines(name: str, M: Any, weights: tuple[float, ...]) -> Array:
    """The sum of weighted cosines of once, twice, … the angle that runs round in M − 1 steps."""
    count = _count(name, M)
    if count <= 1:
        return ones(max(count, 0))
    angle = arange(count, dtype=float) * (2 * math.pi / (count - 1))
    terms = [w * cos(angle * k) for k, w in enumerate(weights) if k]
    return sum(terms, start=weights[0])


def bartlett(M: int) -> Array:
    """The triangle that is 0 at both ends.

    >>> print(bartlett(5))
    [0.  0.5 1.  0.5 0. ]
    """
    count = _count("bartlett", M)
    if count <= 1:
        return ones(max(count, 0))
    steps = arange(count, dtype=float)
    return 1 - absolute(2 * steps + (1 - count)) / (count - 1)


def blackman(M: int) -> Array:
    """0.42 − 0.5·cos(2πn/(M−1)) + 0.08·cos(4πn/(M−1)).

    >>> print(blackman(3).round(3) + 0)
    [0. 1. 0.]
    """
    return _cosines("blackman", M, (0.42, -0.5, 0.08))


def hamming(M: int) -> Array:
    """0.54 − 0.46·cos(2πn/(M−1)).

    >>> print(hamming(3).round(2))
    [0.08 1.   0.08]
    """
    return _cosines("hamming", M, (0.54, -0.46))


def hanning(M: int) -> Array:
    """0.5 − 0.5·cos(2πn/(M−1)).

    >>> print(hanning(3))
    [0. 1. 0.]
    """
    return _cosines("hanning", M, (0.5, -0.5))


def kaiser(M: int, beta: ArrayLike) -> Array:
    """I₀(β·√(1 − (2n/(M−1) − 1)²)) / I₀(β).

    >>> print(kaiser(3, 0.0))
    [1. 1. 1.]
    """
    count = _count("kaiser", M)
    if count <= 1:
        return ones(max(count, 0))
    steps = arange(count, dtype=float)
    shape = settle(cast(operand(beta, "kaiser"), steps.dtype))
    middle = 0.5 * (count - 1)
    return i0(shape * sqrt(1 - ((steps - middle) / middle) ** 2)) / i0(shape)
