"""Arithmetic of two arrays: NumPy's functions and, through `array_methods`, the operators.

Operands are promoted and broadcast; a Python number costs no equation. Integer division and
remainder round towards minus infinity as Python's do; by 0 they fail (by JAX's conventions they
give numbers).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jitml.eager import operation
from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, DTypeError
from jitml.ir.graph import Literal
from jitml.numpy.classification import isnan
from jitml.numpy.operands import (
    broadcast_together,
    cast,
    fail,
    is_number,
    kind,
    operand,
    promoted,
    settle,
)
from jitml.numpy.ufuncs import elementwise
from jitml.ops import elementwise as ew
from jitml.ops.kinds import full_of
from jitml.ops.require import require
from jitml.trace.conventions import CONVENTIONS
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = [
    "add", "clip", "divide", "divmod", "float_power", "floor_divide", "fmax", "fmin", "fmod",
    "maximum", "minimum", "mod", "multiply", "pow", "power", "remainder", "subtract",
    "true_divide",
]  # fmt: skip


def pair(name: str, x: Any, y: Any, to_inexact: bool = False) -> list[Any]:
    """Two operands of one dtype and of shapes that fit."""
    return broadcast_together(name, promoted(name, x, y, to_inexact=to_inexact))


def _without_bool(name: str, x: Any, y: Any) -> list[Any]:
    """A pair of which booleans have become integers."""
    xs = pair(name, x, y)
    return [cast(x, dtypes.INT32) for x in xs] if kind(xs[0]) == "b" else xs


@elementwise(identity=0)
def add(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The sum; of booleans the logical or.

    >>> print(add(1, 2))
    3
    """
    x, y = pair("add", x, y)
    return settle((ew.or_ if kind(x) == "b" else ew.add)(x, y))


@elementwise()
def subtract(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The difference.

    >>> print(subtract(3, 2))
    1
    """
    x, y = pair("subtract", x, y)
    if kind(x) == "b":
        hint = "use logical_xor, or astype(int) first"
        fail(DTypeError, "subtract: booleans have no difference", hint)
    return settle(ew.sub(x, y))


@elementwise(identity=1)
def multiply(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The product; of booleans the logical and.

    >>> print(multiply(3, 2))
    6
    """
    x, y = pair("multiply", x, y)
    return settle((ew.and_ if kind(x) == "b" else ew.mul)(x, y))


@elementwise()
def divide(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The true quotient; of integers a float.

    >>> print(divide(3, 2))
    1.5
    """
    return settle(ew.div(*pair("divide", x, y, to_inexact=True)))


true_divide = divide


def _is_nonzero_literal(x: Any) -> bool:
    return isinstance(x, Literal) and x.value != 0


def _differs(x: Any, y: Any) -> Any:
    """Where x has not the sign of y, and is not 0."""
    return ew.and_(ew.ne(x, 0), ew.ne(ew.lt(x, 0), ew.lt(y, 0)))


def whole_quotient(x: Any, y: Any) -> Any:
    """x / y, rounded towards 0 for integers, of which JAX's by 0 is −1."""
    if kind(x) == "f" or not CONVENTIONS.are_of_jax or _is_nonzero_literal(y):
        return ew.div(x, y)
    return ew.select(ew.eq(y, 0), ew.not_(full_of(type_of(y), 0)), ew.div(x, y))


def whole_rest(x: Any, y: Any) -> Any:
    """What `whole_quotient` leaves; JAX's by the integer 0 is x."""
    if kind(x) == "f" or not CONVENTIONS.are_of_jax or _is_nonzero_literal(y):
        return ew.rem(x, y)
    return ew.select(ew.eq(y, 0), x, ew.rem(x, y))


def _floor_divide(x: Any, y: Any) -> Any:
    if kind(x) == "u":
        return whole_quotient(x, y)
    if kind(x) == "f":
        return _float_divmod(x, y)[0]
    whole, rest = whole_quotient(x, y), whole_rest(x, y)
    if CONVENTIONS.are_of_jax:  # whose quotients by 0 come of the signs
        differ = ew.ne(ew.sign(x), ew.sign(y))
    else:
        differ = ew.ne(ew.lt(rest, 0), ew.lt(y, 0))
    down = ew.and_(ew.ne(rest, 0), differ)
    return ew.select(down, ew.sub(whole, 1), whole)


def _remainder(x: Any, y: Any) -> Any:
    if kind(x) == "f":
        return _float_divmod(x, y)[1]
    found = _fmod(x, y)
    if kind(x) == "u":
        return found
    return ew.select(_differs(found, y), ew.add(found, y), found)


def _fmod(x: Any, y: Any) -> Any:
    """What integer division leaves is 0 by 0, as JAX says."""
    rest = ew.rem(x, y)
    if kind(x) == "f" or not CONVENTIONS.are_of_jax or _is_nonzero_literal(y):
        return rest
    return ew.select(ew.eq(y, 0), full_of(type_of(y), 0), rest)


def _float_divmod(x: Any, y: Any) -> tuple[Any, Any]:
    rest = ew.rem(x, y)
    differs = _differs(rest, y)
    exact = ew.div(x, y)
    whole = ew.div(ew.sub(x, rest), y)
    whole = ew.round_even(ew.select(differs, ew.sub(whole, 1), whole))
    is_zero = ew.eq(whole, 0)
    whole = ew.select(is_zero, ew.mul(ew.stop_gradient(exact), 0.0), whole)  # with its sign
    is_limit = ew.eq(ew.abs_(x), math.inf)
    if not _is_nonzero_literal(y):
        is_limit = ew.or_(is_limit, ew.eq(y, 0))
    whole = ew.select(is_limit, exact, whole)
    return whole, _with_sign_of(y, ew.select(differs, ew.add(rest, y), rest))


def _with_sign_of(y: Any, rest: Any) -> Any:
    """A remainder that is 0 with the sign of the divisor, and the same slope."""
    zero = ew.select(ew.lt(y, 0), full_of(type_of(y), -0.0), full_of(type_of(y), 0.0))
    change = ew.sub(ew.stop_gradient(rest), rest)
    return ew.select(ew.eq(rest, 0), ew.sub(zero, change), rest)


def _dividend_and_divisor(name: str, x: Any, y: Any) -> list[Any]:
    x, y = _without_bool(name, x, divisor(x, y))
    if kind(x) == "c":
        fail(DTypeError, f"{name}: complex numbers have no order, so no {name}")
    return [x, y]


def divisor(x: Any, y: Any) -> Any:
    """y, which is not 0 where it is an integer that divides another."""
    if CONVENTIONS.are_of_jax or not (is_integral(x) and is_integral(y)) or _size(x) == 0:
        return y
    if is_number(y) and y:
        return y
    return require(operand(y), "nonzero")


def is_integral(x: Any) -> bool:
    """Whether `x` is a whole number, a bool, or an array of such."""
    return isinstance(x, int) if is_number(x) else kind(operand(x)) in "biu"


def _size(x: Any) -> int:
    return 1 if is_number(x) else type_of(operand(x)).size


@elementwise()
def floor_divide(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The quotient rounded towards minus infinity.

    >>> print(floor_divide(-7, 2))
    -4
    """
    return settle(_floor_divide(*_dividend_and_divisor("floor_divide", x, y)))


@elementwise()
def remainder(x: ArrayLike, y: ArrayLike, /) -> Array:
    """What floor_divide leaves; it has the sign of the divisor.

    >>> print(remainder(-7, 2))
    1
    """
    return settle(_remainder(*_dividend_and_divisor("remainder", x, y)))


mod = remainder


@elementwise()
def fmod(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The remainder with the sign of the dividend, as in C.

    >>> print(fmod(-7, 2))
    -1
    """
    return settle(_fmod(*_dividend_and_divisor("fmod", x, y)))


def divmod(x: ArrayLike, y: ArrayLike, /) -> tuple[Array, Array]:
    """(floor_divide, remainder).

    >>> quotient, rest = divmod(-7, 2)
    >>> print(quotient, rest)
    -4 1
    """
    x, y = _dividend_and_divisor("divmod", x, y)
    both = _float_divmod(x, y) if kind(x) == "f" else (_floor_divide(x, y), _remainder(x, y))
    return settle(both[0]), settle(both[1])


# ---- powers ---------------------------------------------------------------------------------


@elementwise(keeps_integer=True)
def power(x: ArrayLike, y: ArrayLike, /) -> Array:
    """x to the power y. Integers to integer powers stay integers and wrap.

    >>> print(power(2.0, 3))
    8.0
    """
    if is_number(y) and isinstance(y, int) and not isinstance(y, bool):
        return settle(_static_power(operand(x, "power"), y))
    if is_integral(x) and is_integral(y) and not CONVENTIONS.are_of_jax:
        y = require(operand(y), "natural")
    x, y = _without_bool("power", x, y)
    return settle(ew.pow(x, y) if kind(x) in "fc" else _integer_power(x, y))


pow = power


def _static_power(x: Any, exponent: int) -> Any:
    if kind(x) == "b":
        x = cast(x, dtypes.INT32)
    if kind(x) in "iu" and exponent < 0:
        fail(
            ArgumentError,
            f"power: integers to the negative power {exponent} are not integers",
            "use float_power, or convert with .astype(float)",
        )
    return ew.integer_pow(x, exponent)


def _integer_power(x: Any, y: Any) -> Any:
    """Repeated squaring over the bits of y; negative powers of ±1 are ±1, of other integers 0."""
    type_ = type_of(y)
    one = full_of(type_of(x), 1)
    result, square, bits = one, x, y
    for _ in range(type_.dtype.itemsize * 8 - (kind(y) == "i")):
        odd = ew.ne(ew.and_(bits, 1), 0)
        result = ew.select(odd, ew.mul(result, square), result)
        square, bits = ew.mul(square, square), ew.shift_right_logical(bits, 1)
    if kind(y) == "u":
        return result
    odd = ew.ne(ew.and_(y, 1), 0)
    sign_of_unit = ew.select(odd, x, one)
    inverse = ew.select(ew.eq(ew.abs_(x), 1), sign_of_unit, full_of(type_of(x), 0))
    return ew.select(ew.lt(y, 0), inverse, result)


@elementwise()
def float_power(x: ArrayLike, y: ArrayLike, /) -> Array:
    """x to the power y in floats.

    >>> print(float_power(2, -1))
    0.5
    """
    return settle(ew.pow(*pair("float_power", x, y, to_inexact=True)))


# ---- extremes -------------------------------------------------------------------------------


def _extreme(name: str, op: Callable[..., Any], first: Callable[..., Any]) -> Callable[..., Any]:
    """Maximum or minimum; complex numbers are ordered by real part, then imaginary part."""

    def extreme(x: Any, y: Any) -> Any:
        x, y = pair(name, x, y)
        if kind(x) != "c":
            return op(x, y)
        same = ew.eq(ew.real(x), ew.real(y))
        take = ew.select(same, first(ew.imag(x), ew.imag(y)), first(ew.real(x), ew.real(y)))
        return ew.select(ew.or_(take, operand(isnan(x))), x, y)

    return extreme


_maximum = _extreme("maximum", ew.maximum, ew.ge)
_minimum = _extreme("minimum", ew.minimum, ew.le)


@elementwise()
def maximum(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The greater of two; NaN wins.

    >>> print(maximum(1, 2))
    2
    """
    return settle(_maximum(x, y))


@elementwise()
def minimum(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The smaller of two; NaN wins.

    >>> print(minimum(1, 2))
    1
    """
    return settle(_minimum(x, y))


def _ignoring_nan(name: str, extreme: Callable[..., Any], x: Any, y: Any) -> Array:
    x, y = pair(name, x, y)
    if kind(x) not in "fc":
        return settle(extreme(x, y))
    other = ew.select(operand(isnan(y)), x, extreme(x, y))
    return settle(ew.select(operand(isnan(x)), y, other))


@elementwise()
def fmax(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The greater of two; a number wins over NaN.

    >>> print(fmax(1.0, float("nan")))
    1.0
    """
    return _ignoring_nan("fmax", _maximum, x, y)


@elementwise()
def fmin(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The smaller of two; a number wins over NaN.

    >>> print(fmin(1.0, float("nan")))
    1.0
    """
    return _ignoring_nan("fmin", _minimum, x, y)


@operation
def clip(
    arr: ArrayLike | None = None,
    /,
    min: ArrayLike | None = None,
    max: ArrayLike | None = None,
    *,
    a: ArrayLike | None = None,
    a_min: ArrayLike | None = None,
    a_max: ArrayLike | None = None,
) -> Array:
    """`arr` kept between `min` and `max`, either of which may be None.

    >>> print(clip(5, 0, 3))
    3
    """
    value = a if arr is None else arr
    if value is None:
        fail(ArgumentError, "clip: no array was given")
    low, high = a_min if min is None else min, a_max if max is None else max
    given = [x for x in (value, low, high) if x is not None]
    numbers = [x for x in given if isinstance(x, complex)]  # others may need the array's width
    if numbers or any(kind(operand(x, "clip")) == "c" for x in given if not is_number(x)):
        fail(DTypeError, "clip: complex numbers have no order")
    result = value
    if low is not None:
        result = maximum(low, result)
    return settle(operand(result if high is None else minimum(high, result)))
