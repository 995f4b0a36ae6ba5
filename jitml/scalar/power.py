"""Powers and roots. f32 or f64 in (integers too for `integer_pow`), the same type and lanes out."""

from __future__ import annotations

import math
from typing import TypeVar

from jitml.scalar.arithmetic import (
    Pair,
    bits_of,
    by_type,
    clamp,
    fast_two_sum,
    flip_sign,
    format_of,
    is_single,
    polynomial,
    rarely,
    round_moderate,
    sign_bit,
    two_product,
)
from jitml.scalar.complex import Complex
from jitml.scalar.exponential import EXP2_F32, LN2_F64, exp_as_pair
from jitml.scalar.value import (
    FLOATS,
    Value,
    bitcast,
    exponent,
    fma,
    mantissa,
    routine,
    scale,
    select,
    sqrt,
    trunc,
)

# log2(1 + f)/f, minimax for the relative error on −1/4 ≤ f ≤ 1/2: 2^-35.8.
_LOG2 = (
    1.442695040910632, -0.7213475208316524, 0.48089833264796283, -0.3606736534278837,
    0.28854042744070796, -0.24045841961330328, 0.20605687900712055, -0.18000362643955062,
    0.16050272283540776, -0.1492078077313634, 0.13879504932540151, -0.10204551060324409,
    0.03799279978635035,
)  # fmt: skip
# log2((1 + s)/(1 − s))/s as a polynomial in s², minimax for the relative error on |s| ≤ 1/5:
# 2^-35.2. The constant term is in two parts.
_LOG2_LEAD_F32 = (2.885390043258667, 3.857775254800799e-08)
_LOG2_F32 = (9.6179664e-01, 5.770899e-01, 4.1129866e-01, 3.472992e-01)
# Where |y·log2(x)| is above this one, the power of f32 is 0 or ∞.
_LARGEST_PRODUCT = 200.0
# (log((1 + s)/(1 − s)) − 2s − 2s³/3)/s⁵ as a polynomial in s², minimax there, 2^-75.8 of log.
_LOG_FAR = (
    0.4, 0.28571428571426166, 0.2222222222283964, 0.18181818098400207, 0.15384622060524106,
    0.13333000559017874, 0.11775133946850928, 0.1032731002661004, 0.11612379692609565,
)  # fmt: skip
_TWO_THIRDS_LOW = 3.700743415417188e-17  # 2/3 less its f64


T = TypeVar("T", Value, Complex)


def rsqrt(x: Value) -> Value:
    """1/√x within 1.5 ulp."""
    return 1.0 / sqrt(x)


@routine
def cbrt(x: Value) -> Value:
    """Cube root within 1 ulp: x·z² for z = 1/∛x, a guess from the exponent that is improved without
    divisions.
    """
    layout = format_of(x)
    size = abs(x)
    small = size < by_type(x, 2.0**-64, 2.0**-512)
    # Scaled so that the cubes below neither overflow nor underflow, by cubes.
    step = layout.bias // 2 // 3
    near = size * select(small, x.like(2.0 ** (3 * step)), 2.0**-6)
    z = _inverse_cbrt_guess(near)
    for _ in range(1 if is_single(x) else 2):
        # (1 − e)^(−1/3) to its fourth term.
        e = fma(-near, z * z * z, 1.0)
        z = fma(z * e, polynomial(e, (1.0 / 3.0, 2.0 / 9.0, 14.0 / 81.0)), z)
    square = z * z
    root = near * square
    cube, cube_low = two_product(root, root)
    rest = fma(-cube_low, root, fma(-cube, root, near))
    root = fma(rest * square, 1.0 / 3.0, root) * select(small, x.like(2.0**-step), 4.0)
    usual = (size > 0.0) & (size < math.inf)
    return flip_sign(select(usual, root, size), sign_bit(x))


def _inverse_cbrt_guess(x: Value) -> Value:
    """1/∛x within 4 % for normal x > 0, by dividing the bits by 3 (Kahan)."""
    layout = format_of(x)
    top = bits_of(x) >> (layout.width - 24)
    whole = by_type(x, 2.0**23, 2.0**52)
    number = bitcast(top | bits_of(x.like(whole)), x.type) - whole
    bias = 4.0 / 3.0 * (layout.bias - 0.051) * 2.0 ** (layout.fraction - layout.width + 24)
    third = fma(number, -1.0 / 3.0, whole + bias)
    return bitcast(bits_of(third) << (layout.width - 24), x.type)


@routine
def pow(x: Value, y: Value) -> Value:
    """xʸ within 1.5 ulp, with the special values of C's pow; logarithms are pairs."""
    product, power = (_pow_single if is_single(x) else _pow_double)(abs(x), y)
    usual = (x > 0.0) & (abs(product) < by_type(x, _LARGEST_PRODUCT, math.inf))
    return rarely(~usual, _special_power, (x, y, product, power), (power,))[0]


def _special_power(x: Value, y: Value, product: Value, power: Value) -> tuple[Value]:
    """xʸ for x ≤ 0, operands that are not finite and products y·log|x| that are large, from |x|ʸ
    where that is of use.
    """
    size = abs(x)
    large = abs(product) >= by_type(x, _LARGEST_PRODUCT, math.inf)
    power = select(large, select(product > 0.0, y.like(math.inf), 0.0), power)
    power = select(size == 0.0, select(y < 0.0, y.like(math.inf), 0.0), power)
    power = select(size == math.inf, select(y < 0.0, y.like(0.0), math.inf), power)
    whole = trunc(y) == y
    half = y * 0.5
    odd = whole & (trunc(half) != half)
    power = flip_sign(power, select(odd, sign_bit(x), sign_bit(x) & 0))
    power = select((x < 0.0) & (size < math.inf) & ~whole, math.nan, power)
    power = select((size == 1.0) & (abs(y) == math.inf), 1.0, power)
    undefined = (x != x) | (y != y)
    return (select((y == 0.0) | (x == 1.0), 1.0, select(undefined, math.nan, power)),)


def _pow_single(size: Value, y: Value) -> Pair:
    """y·log2(size) and size^y for f32 operands, where the product is not large."""
    high, low = _log2_pair(size)
    product, rest = two_product(y, high)
    n = round_moderate(product)
    r = (product - n) + fma(y, low, rest)
    return product, scale(fma(r, polynomial(r, EXP2_F32), 1.0), n)


def _log2_pair(x: Value) -> Pair:
    """log2(x) for f32 x > 0 to about 2^-32, relative."""
    k = exponent(x)
    s, s_low = _atanh_argument(mantissa(x))
    z, z_low = two_product(s, s)
    z_low = fma(s + s, s_low, z_low)
    # log2(m) = s·(lead + z·(next + z·(…))): both brackets and products as pairs.
    following, *others = _LOG2_F32
    factor, factor_low = fast_two_sum(following, z * polynomial(z, others))
    far, far_low = two_product(z, factor)
    far_low = fma(z_low, factor, fma(z, factor_low, far_low))
    factor, factor_low = fast_two_sum(_LOG2_LEAD_F32[0], far)
    factor_low = factor_low + (far_low + _LOG2_LEAD_F32[1])
    near, near_low = two_product(s, factor)
    near_low = fma(s_low, factor, fma(s, factor_low, near_low))
    high, low = fast_two_sum(k, near)
    return high, low + near_low


def log2_for_single(x: Value) -> Value:
    """log2 of an f64 x > 0 that was f32, within 2^-35."""
    f = mantissa(x) - 1.0
    return fma(f, polynomial(f, _LOG2), exponent(x))


def exp2_for_single(x: Value) -> Value:
    """2ˣ for an f64 x as f32 needs it, within 2^-27; saturates beyond f32's range."""
    x = clamp(x, -160.0, 160.0)
    n = round_moderate(x)
    r = x - n
    return scale(fma(r, polynomial(r, EXP2_F32), 1.0), n)


def _pow_double(size: Value, y: Value) -> Pair:
    """y·log(size) and size^y for f64 operands: exp of the product as a pair."""
    high, low = log_pair(size)
    product, rest = two_product(high, y)
    n, factor, _ = exp_as_pair(product, fma(low, y, rest))
    return product, scale(factor, n)


def log_pair(x: Value) -> Pair:
    """log(x) for f64 x > 0 to about 2^-65, relative."""
    k = exponent(x)
    s, s_low = _atanh_argument(mantissa(x))
    z, z_low = two_product(s, s)
    z_low = fma(s + s, s_low, z_low)
    cube, cube_low = two_product(z, s)
    cube_low = cube_low + fma(z_low, s, z * s_low)
    # log(m) = 2s + s³·(2/3 + z·(…)): the bracket and its product with s³ as pairs.
    factor, factor_low = fast_two_sum(2.0 / 3.0, z * polynomial(z, _LOG_FAR))
    factor_low = factor_low + _TWO_THIRDS_LOW
    far, far_low = two_product(cube, factor)
    far_low = far_low + fma(cube, factor_low, cube_low * factor)
    near, near_low = fast_two_sum(s + s, far)
    near_low = near_low + fma(s_low, 2.0, far_low)
    high, low = fast_two_sum(k * LN2_F64[0], near)
    return fast_two_sum(high, low + fma(k, LN2_F64[1], near_low))


def _atanh_argument(m: Value) -> Pair:
    """(m − 1)/(m + 1) as a pair."""
    f = m - 1.0
    below = m + 1.0
    below_low = m - (below - 1.0)
    inverse = 1.0 / below
    s = f * inverse
    return s, fma(-s, below_low, fma(-s, below, f)) * inverse


def integer_pow(x: T, n: int) -> T:
    """xⁿ by repeated squaring; a negative n (not for integers) inverts the power of |n|."""
    if n < 0:
        part = x.re if isinstance(x, Complex) else x
        assert part.type in FLOATS, "a negative power of an integer is not an integer"
        return 1.0 / integer_pow(x, -n)
    result: T | None = None
    while n:
        if n & 1:
            result = x if result is None else result * x
        n >>= 1
        if n:
            x = x * x
    return x.like(1) if result is None else result
