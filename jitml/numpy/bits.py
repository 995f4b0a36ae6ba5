"""Bits of bytes, and divisors of integers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, DTypeError
from jitml.lax.control_flow import while_loop
from jitml.numpy.arithmetic import pair
from jitml.numpy.creation import asarray
from jitml.numpy.elementwise import absolute
from jitml.numpy.joining import take_slice
from jitml.numpy.logic import bitwise_and, left_shift, right_shift
from jitml.numpy.manipulation import broadcast_arrays, moveaxis, ravel, reshape
from jitml.numpy.operands import as_axis, cast, fail, kind, operand, settle
from jitml.numpy.reductions import any as _any
from jitml.numpy.reductions import sum as _sum
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.ops.kinds import full_of
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = ["gcd", "lcm", "packbits", "unpackbits"]

_BYTE = np.dtype(np.uint8)


def _shifts(name: str, bitorder: str) -> Array:
    if bitorder not in ("big", "little"):
        fail(ArgumentError, f"{name}: bitorder {bitorder!r} is not known", "'big' or 'little'")
    order = np.arange(8, dtype=np.uint8)
    return asarray(order[::-1] if bitorder == "big" else order)


def _lines(name: str, a: ArrayLike, axis: int | None) -> tuple[Any, int]:
    """The array with the wanted axis last (raveled without one), and where that axis was."""
    if axis is None:
        return ravel(a), 0
    x = operand(a, name)
    where = as_axis(axis, type_of(x).ndim, name)
    return moveaxis(settle(x), where, -1), where


def packbits(a: ArrayLike, axis: int | None = None, bitorder: str = "big") -> Array:
    """Eight truths as the bits of one uint8 each; the last ones are filled up with 0.

    >>> import jitml.numpy as jnp
    >>> print(packbits(jnp.array([True, False, True])))
    [160]
    """
    if kind(operand(a, "packbits")) not in "biu":
        fail(DTypeError, f"packbits: needs booleans or integers, got {type_of(operand(a))}")
    lines, where = _lines("packbits", a, axis)
    *outer, count = lines.shape
    ones = cast(ew.ne(operand(lines), 0), _BYTE)
    padding = [(0, 0, 0)] * len(outer) + [(0, -count % 8, 0)]
    padded = mv.pad(ones, full_of(type_of(ones).with_shape(()), 0), padding)
    groups = reshape(settle(padded), (*outer, -(-count // 8), 8))
    packed = _sum(left_shift(groups, _shifts("packbits", bitorder)), axis=-1, dtype=_BYTE)
    return moveaxis(packed, -1, where)


def unpackbits(
    a: ArrayLike, axis: int | None = None, count: int | None = None, bitorder: str = "big"
) -> Array:
    """The eight bits of each uint8, 0 or 1; `count` of them (from the end, if negative, left out).

    >>> import jitml.numpy as jnp
    >>> print(unpackbits(jnp.array([160], "uint8"), count=3))
    [1 0 1]
    """
    if type_of(operand(a, "unpackbits")).dtype != _BYTE:
        fail(DTypeError, f"unpackbits: needs uint8, got {type_of(operand(a))}")
    lines, where = _lines("unpackbits", a, axis)
    *outer, length = lines.shape
    bits = right_shift(reshape(lines, (*outer, length, 1)), _shifts("unpackbits", bitorder))
    unpacked = reshape(bitwise_and(bits, asarray(1, _BYTE)), (*outer, 8 * length))
    if count is not None:
        wanted = operator.index(count)
        unpacked = _first_bits(unpacked, wanted if wanted >= 0 else max(8 * length + wanted, 0))
    return moveaxis(unpacked, -1, where)


def _first_bits(x: Any, count: int) -> Any:
    """The first bits along the last axis, 0 beyond its end."""
    last, there = x.ndim - 1, x.shape[-1]
    x = take_slice(x, last, 0, min(count, there))
    padding = [(0, 0, 0)] * last + [(0, max(count - there, 0), 0)]
    return settle(mv.pad(x, full_of(type_of(x).with_shape(()), 0), padding))


# ---- divisors -------------------------------------------------------------------------------


def _integers(name: str, x1: ArrayLike, x2: ArrayLike) -> list[Any]:
    xs = pair(name, x1, x2)
    if not dtypes.is_integer(type_of(xs[0]).dtype):
        fail(DTypeError, f"{name}: needs integers, got {type_of(xs[0])} and {type_of(xs[1])}")
    return [absolute(x) for x in xs]


def gcd(x1: ArrayLike, x2: ArrayLike) -> Array:
    """The greatest common divisor; of 0 and 0 it is 0.

    >>> print(gcd(12, -18))
    6
    """
    x, y = broadcast_arrays(*_integers("gcd", x1, x2))

    def step(numbers: tuple[Any, Any]) -> tuple[Any, Any]:
        a, b = numbers
        divisor = settle(ew.select(ew.eq(b, 0), full_of(type_of(b), 1), b))
        rest = settle(ew.rem(a, divisor))
        done = ew.eq(b, 0)
        return settle(ew.select(done, a, b)), settle(ew.select(done, b, rest))

    greatest: Array = while_loop(lambda numbers: _any(numbers[1] != 0), step, (x, y))[0]
    return greatest


def lcm(x1: ArrayLike, x2: ArrayLike) -> Array:
    """The least common multiple; 0 if either is 0.

    >>> print(lcm(4, 6))
    12
    """
    x, y = _integers("lcm", x1, x2)
    common = ew.maximum(operand(gcd(x, y)), 1)
    return settle(ew.mul(ew.div(operand(x), common), operand(y)))
