"""a · b + c with one rounding, for arrays of numbers: what NumPy lacks.

The product of two binary32 numbers is exact in binary64; the sum is then rounded to odd, so that
rounding it once more to binary32 is as good as rounding it once. In binary64 the product and sum
are taken apart into parts that are exact; what that cannot decide goes through whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


_TOWARD: dict[str, Callable[[Array], Any]] = {  # what PTX's roundings aim at, if not the nearest
    "rz": np.zeros_like,
    "rm": lambda x: np.full_like(x, -np.inf),
    "rp": lambda x: np.full_like(x, np.inf),
}


def fused_multiply_add(a: Array, b: Array, c: Array, rounding: str = "rn") -> Array:
    """a · b + c of binary32 or binary64 numbers, rounded once; those of binary64 to the nearest."""
    if np.result_type(a, b, c) == np.float32:
        odd = _odd_double(a, b, c)
        found = odd.astype(np.float32)
        return found if rounding == "rn" else _rounded(odd, found, _TOWARD[rounding](found))
    return _double(*np.broadcast_arrays(a, b, c))


def _rounded(odd: Array, nearest: Array, goal: Array) -> Array:
    """The binary32 number that lies between `odd` and a goal, next to `odd`."""
    is_past = np.where(goal >= odd, nearest < odd, nearest > odd)
    return np.where(is_past, np.nextafter(nearest, goal), nearest)


def _odd_double(a: Array, b: Array, c: Array) -> Array:
    """a · b + c of binary32 numbers, as a binary64 number rounded to odd."""
    product = np.multiply(a, b, dtype=np.float64)
    c = c.astype(np.float64)
    total = product + c
    # The error of the sum (exact, by Knuth) tells which way to odd.
    part = total - product
    error = (product - (total - part)) + (c - part)
    inexact = np.isfinite(total) & (error != 0)
    bits = np.atleast_1d(total).view(np.int64).reshape(np.shape(total))
    even = (bits & 1) == 0
    toward = np.where((error > 0) == (total > 0), 1, -1)
    odd = np.where(inexact & even, bits + toward, bits)
    return np.asarray(odd, np.int64).view(np.float64)


def _double(a: Array, b: Array, c: Array) -> Array:
    result = a * b + c
    flat = [np.ravel(x) for x in (a, b, c)]
    out = np.array(result, np.float64).ravel()
    usual = _by_parts(flat[0], flat[1], flat[2], out)
    for place in np.flatnonzero(~usual):
        x, y, z = (float(v[place]) for v in flat)
        if all(map(np.isfinite, (x, y, z))):
            out[place] = _exact(x, y, z)
    return out.reshape(result.shape)


def _by_parts(a: Array, b: Array, c: Array, out: Array) -> Array:
    """Set `out` where exponents leave room to work with parts; the lanes that are done."""
    magnitudes = [np.abs(x) for x in (a, b, c)]
    room = np.ones(out.shape, bool)
    for m in magnitudes:
        room &= (m == 0) | ((m > 1e-100) & (m < 1e100))
    high, low = _product(a, b)
    total = high + c
    part = total - high
    error = (high - (total - part)) + (c - part)
    # total + error + low is exact; round the last two to odd first.
    tail = error + low
    rest = tail - error
    lost = (error - (tail - rest)) + (low - rest)
    bits = tail.view(np.int64)
    toward = np.where((lost > 0) == (tail > 0), 1, -1)
    odd = np.where((lost != 0) & ((bits & 1) == 0), bits + toward, bits).view(np.float64)
    found = np.where(odd == 0, total, total + odd)
    np.copyto(out, found, where=room)
    done: Array = room | ~np.isfinite(a * b) | ~np.isfinite(c)
    return done


def _product(a: Array, b: Array) -> tuple[Array, Array]:
    """a · b as the sum of two numbers, by Dekker."""
    high = a * b

    def split(x: Array) -> tuple[Array, Array]:
        scaled = x * 134217729.0
        upper = scaled - (scaled - x)
        return upper, x - upper

    (a1, a2), (b1, b2) = split(a), split(b)
    return high, ((a1 * b1 - high) + a1 * b2 + a2 * b1) + a2 * b2


def _exact(a: float, b: float, c: float) -> float:
    total = Fraction(a) * Fraction(b) + Fraction(c)
    if total == 0:
        return a * b + c if a * b == 0 else 0.0
    try:
        return float(total)
    except OverflowError:
        return float("inf") if total > 0 else float("-inf")
