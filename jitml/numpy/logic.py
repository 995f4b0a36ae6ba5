"""Truths and bits."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from jitml.eager import operation
from jitml.ir import dtypes
from jitml.ir.errors import DTypeError
from jitml.numpy.arithmetic import pair
from jitml.numpy.operands import broadcast_together, cast, fail, kind, operand, operands, settle
from jitml.numpy.rows import Binary, named
from jitml.numpy.ufuncs import elementwise, ufunc
from jitml.ops import elementwise as ew
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = [
    "bitwise_and", "bitwise_count", "bitwise_invert", "bitwise_left_shift", "bitwise_not",
    "bitwise_or", "bitwise_right_shift", "bitwise_xor", "invert", "left_shift", "logical_and",
    "logical_not", "logical_or", "logical_xor", "right_shift",
]  # fmt: skip

# ---- truths ---------------------------------------------------------------------------------


def truth(x: Any) -> Any:
    """Whether an operand is not 0."""
    return x if kind(x) == "b" else ew.ne(x, 0)


def _truths(name: str, x: Any, y: Any) -> list[Any]:
    return broadcast_together(name, [truth(a) for a in operands(name, x, y)])


def _logical(name: str, op: Binary, identity: bool, summary: str, call: str, result: str) -> ufunc:
    def function(x: ArrayLike, y: ArrayLike, /) -> Array:
        return settle(op(*_truths(name, x, y)))

    return elementwise(identity=identity)(named(function, name, summary, call, result))


logical_and = _logical(
    "logical_and", ew.and_, True, "Whether both are true.", "logical_and(True, False)", "False"
)
logical_or = _logical(
    "logical_or", ew.or_, False, "Whether one or both are true.", "logical_or(True, False)", "True"
)
logical_xor = _logical(
    "logical_xor", ew.xor, False, "Whether exactly one is true.", "logical_xor(True, True)", "False"
)


@operation
def logical_not(x: ArrayLike, /) -> Array:
    """Whether false.

    >>> print(logical_not(0))
    True
    """
    value = operand(x, "logical_not")
    return settle(ew.not_(value) if kind(value) == "b" else ew.eq(value, 0))


# ---- bits -----------------------------------------------------------------------------------


def _bits(name: str, x: Any, y: Any) -> list[Any]:
    xs = pair(name, x, y)
    if kind(xs[0]) in "fc":
        _refuse(name, xs[0])
    return xs


def _refuse(name: str, x: Any) -> NoReturn:
    what = f"{name} does not take {type_of(x).dtype.name}"
    fail(DTypeError, what, "it takes integers and booleans")


def _bitwise(name: str, op: Binary, identity: int, summary: str, call: str, result: str) -> ufunc:
    def function(x: ArrayLike, y: ArrayLike, /) -> Array:
        return settle(op(*_bits(name, x, y)))

    return elementwise(identity=identity)(named(function, name, summary, call, result))


bitwise_and = _bitwise(
    "bitwise_and", ew.and_, -1, "The bits that both have.", "bitwise_and(6, 3)", "2"
)
bitwise_or = _bitwise(
    "bitwise_or", ew.or_, 0, "The bits that one or both have.", "bitwise_or(6, 3)", "7"
)
bitwise_xor = _bitwise(
    "bitwise_xor", ew.xor, 0, "The bits that exactly one has.", "bitwise_xor(6, 3)", "5"
)


@operation
def invert(x: ArrayLike, /) -> Array:
    """All bits turned round; of booleans the logical not.

    >>> print(invert(0))
    -1
    """
    bits = operand(x, "invert")
    if kind(bits) in "fc":
        _refuse("invert", bits)
    return settle(ew.not_(bits))


bitwise_not = bitwise_invert = invert


def _shift_operands(name: str, x: Any, y: Any) -> list[Any]:
    return [cast(a, dtypes.INT32) if kind(a) == "b" else a for a in _bits(name, x, y)]


@elementwise()
def left_shift(x: ArrayLike, y: ArrayLike, /) -> Array:
    """x · 2^y, without the bits that leave; 0 for counts of the width and more.

    >>> print(left_shift(1, 3))
    8
    """
    return settle(ew.shift_left(*_shift_operands("left_shift", x, y)))


@elementwise()
def right_shift(x: ArrayLike, y: ArrayLike, /) -> Array:
    """x / 2^y rounded down.

    >>> print(right_shift(-8, 1))
    -4
    """
    x, y = _shift_operands("right_shift", x, y)
    shift = ew.shift_right_logical if kind(x) == "u" else ew.shift_right_arithmetic
    return settle(shift(x, y))


bitwise_left_shift, bitwise_right_shift = left_shift, right_shift


@operation
def bitwise_count(x: ArrayLike, /) -> Array:
    """How many bits of |x| are 1, as uint8.

    >>> print(bitwise_count(7))
    3
    """
    value = operand(x, "bitwise_count")
    if kind(value) == "b":
        return settle(cast(value, np.dtype(np.uint8)))
    size = ew.abs_(value) if kind(value) == "i" else value
    return settle(cast(ew.population_count(size), np.dtype(np.uint8)))
