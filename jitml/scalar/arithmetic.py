"""Building blocks of the math functions: float formats, polynomials, exact sums and products.

Comes in and goes out: `Value`s of f32 or f64. A pair `(high, low)` stands for the unevaluated sum
of the two, `low` below half an ulp of `high` unless said.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from jitml.scalar.value import Operand, Value, bitcast, convert, fma, select

Pair = tuple[Value, Value]
_ROOT_HALF_F32 = (0.7071067690849304, 1.2101617485882343e-08)
_ROOT_HALF_F64 = (0.7071067811865476, -4.833646656726457e-17)


class Format(NamedTuple):
    """The layout of a binary float: its bits seen as an unsigned type, and the usual constants."""

    unsigned: str
    width: int
    fraction: int  # stored bits of the significand
    bias: int
    magic: float  # added to |n| < 2^(fraction-1), it leaves round(n) in the low bits
    smallest_normal: float


_FORMATS = {
    "f32": Format("u32", 32, 23, 127, 1.5 * 2.0**23, 2.0**-126),
    "f64": Format("u64", 64, 52, 1023, 1.5 * 2.0**52, 2.0**-1022),
}


def format_of(x: Value) -> Format:
    return _FORMATS[x.type]


def is_single(x: Value) -> bool:
    return x.type == "f32"


def by_type(x: Value, single: float, double: float) -> float:
    """The constant for the type of `x`."""
    return single if x.type == "f32" else double


def bits_of(x: Value) -> Value:
    return bitcast(x, format_of(x).unsigned)


def sign_bit(x: Value) -> Value:
    """The bits of `x` with all but the sign cleared."""
    return bits_of(x) & (1 << (format_of(x).width - 1))


def flip_sign(x: Value, sign: Value) -> Value:
    """`x` negated where the sign bit of the bits `sign` is set."""
    return bitcast(bits_of(x) ^ sign, x.type)


def polynomial(x: Value, coefficients: Sequence[float]) -> Value:
    """The sum of coefficients[i]·xⁱ by Estrin's scheme: short chains, one fma per term."""
    terms: list[Operand] = list(coefficients)
    power = x
    while len(terms) > 1:
        if len(terms) % 2:
            # The last one joins its neighbour, which often spares a power.
            terms[-2:] = [fma(power, terms[-1], terms[-2])]
        terms = [fma(power, terms[i + 1], terms[i]) for i in range(0, len(terms), 2)]
        if len(terms) > 1:
            power = power * power
    (result,) = terms
    return result if isinstance(result, Value) else x.like(result)


def round_moderate(x: Value) -> Value:
    """`x` rounded to the nearest integer, for |x| < 2^(fraction-1); elsewhere of no use."""
    magic = format_of(x).magic
    return (x + magic) - magic


def power_of_two(exponent: Value, type_: str) -> Value:
    """2ⁿ for the n in the low bits of an unsigned value; 2ⁿ must be a normal number."""
    layout = _FORMATS[type_]
    return bitcast((exponent + layout.bias) << layout.fraction, type_)


def scale_by_power_of_two(x: Value, exponent: Value) -> Value:
    """x·2ⁿ in two steps: n may run to twice the exponent range, and denormals round once."""
    half = exponent >> 1
    return x * power_of_two(half, x.type) * power_of_two(exponent - half, x.type)


def clamp(x: Value, low: float, high: float) -> Value:
    """`x` kept within [low, high]; NaN stays NaN. One min and one max instruction."""
    x = select(x.like(high) < x, high, x)
    return select(x.like(low) > x, low, x)


def two_sum(x: Value, y: Value) -> Pair:
    """x + y exactly (Knuth)."""
    total = x + y
    y_part = total - x
    return total, (x - (total - y_part)) + (y - y_part)


def fast_two_sum(x: Operand, y: Value) -> Pair:
    """x + y exactly, where |x| ≥ |y| or x = 0 (Dekker)."""
    first = x if isinstance(x, Value) else y.like(x)
    total = first + y
    return total, y - (total - first)


def two_product(x: Value, y: Operand) -> Pair:
    """x·y exactly, barring underflow."""
    product = x * y
    return product, fma(x, y, -product)


def rarely(
    condition: Value,
    rare: Callable[..., Sequence[Value]],
    operands: tuple[Value, ...],
    usual: Sequence[Value],
) -> list[Value]:
    """The values of `rare(*operands)` where `condition` holds (seldom), else `usual`."""
    return condition.builder.rarely(condition, rare, operands, usual)


def repeat(
    condition: Callable[..., Value],
    step: Callable[..., Sequence[Value]],
    state: Sequence[Value],
    fixed: tuple[Value, ...] = (),
) -> list[Value]:
    """`while condition(*state, *fixed): state = step(*state, *fixed)`, each lane as often as it
    asks: what a lane computes does not depend on its neighbours. The condition must fail for NaN.
    """
    return state[0].builder.repeat(condition, step, state, fixed)


def in_double(function: Callable[..., Value]) -> Callable[..., Value]:
    """A function of f64 values that takes f32 ones as well, by way of f64."""

    @functools.wraps(function)
    def widened(*operands: Value) -> Value:
        if is_single(operands[0]):
            return convert(function(*(convert(x, "f64") for x in operands)), "f32")
        return function(*operands)

    return widened


def over_root_two(x: Value) -> Pair:
    """x/√2 as a pair."""
    high, low = _ROOT_HALF_F32 if is_single(x) else _ROOT_HALF_F64
    at, rest = two_product(x, high)
    return at, fma(x, low, rest)
