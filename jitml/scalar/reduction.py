"""Argument reduction for sin, cos and tan, exact for arguments of any size.

In: |x|, finite or not. Out: its remainder by π/2 and the quadrant. Moderate arguments take Cody and
Waite's way in three parts; larger ones are multiplied by a stored 2/π modulo 4 (Payne and Hanek,
1983), in floats: each product is exact, and so are the sums that cancel.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

from jitml.scalar.arithmetic import (
    bits_of,
    by_type,
    fast_two_sum,
    format_of,
    is_single,
    rarely,
    two_product,
    two_sum,
)
from jitml.scalar.value import Value, bitcast, convert, fma, lookup, round_even

# π/2 as three floats, the first two full ones.
HALF_PI_F32 = (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15)
HALF_PI_F64 = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
_WORKING_BITS = 1400  # of 1/π: 1024 of exponent, 2·53, and what cancels

Triple = tuple[Value, Value, Value]


def reduce_by_half_pi(size: Value) -> Triple:
    """|x| = n·π/2 + r + rest, |r| ≤ π/4: r, rest, and bits whose lowest two are those of n.

    r is within half an ulp, `rest` adds further bits.
    """
    layout = format_of(size)
    high, middle, low = HALF_PI_F32 if is_single(size) else HALF_PI_F64
    shifted = fma(size, 2.0 / math.pi, layout.magic)
    n = shifted - layout.magic
    first = fma(n, -high, size)  # exact
    # The next product may cancel against it, so both are carried in full.
    product, product_low = two_product(n, middle)
    second, lost = two_sum(first, -product)
    r, rest = fast_two_sum(second, fma(n, -low, lost - product_low))
    r, rest, quadrant = rarely(
        size > by_type(size, 2.0**16, 2.0**26),
        _reduce_single if is_single(size) else _reduce_double,
        (size,),
        (r, rest, bits_of(shifted)),
    )
    return r, rest, quadrant


def _reduce_single(size: Value) -> Triple:
    """f32 arguments from 2^2 on: 24 bits times 29 bits is exact in f64, and 53 more bits follow."""
    bits = bits_of(size)
    # size = m·4^(j + 1), m from 1/2 to 2.
    index = convert((bits >> 24) & 63, "i64")
    m = convert(bitcast((bits & 0x00FFFFFF) | 0x3F000000, "f32"), "f64")
    head, low = (lookup(part, index, "f64") for part in _table_single())
    product = m * head
    n = round_even(fma(m, low, product))
    # size − size spoils the result where size is infinite.
    turns = fma(m, low, product - n) + convert(size - size, "f64")
    exact = turns * (math.pi / 2)
    r = convert(exact, "f32")
    quadrant = bits_of(n + format_of(n).magic)
    return r, convert(exact - convert(r, "f64"), "f32"), convert(quadrant, "u32")


def _reduce_double(size: Value) -> Triple:
    """f64 arguments from 2 on: four exact products, each taken modulo 4, summed without loss."""
    bits = bits_of(size)
    # size = m·2^(16·(j + 1)), m from 2^-15 to 2.
    index = convert((bits >> 56) & 63, "i64")
    m = bitcast((bits & 0x00FFFFFFFFFFFFFF) | 0x3F00000000000000, "f64")
    parts = [lookup(part, index, "f64") for part in _table_double()]
    (p0, l0), (p1, l1), (p2, l2) = (two_product(m, part) for part in parts[:3])
    total, lost0 = two_sum(_modulo_4(p0), _modulo_4(l0))
    total, lost1 = two_sum(total, _modulo_4(p1))
    n = round_even(total)
    total, lost2 = fast_two_sum(-n, total)
    total, lost3 = two_sum(total, lost0)
    total, lost4 = two_sum(total, lost1)
    small, lost5 = two_sum(l1, p2)
    total, lost6 = two_sum(total, small)
    low = (lost2 + lost3) + (lost4 + lost5) + (lost6 + fma(m, parts[3], l2))
    turns, low = fast_two_sum(total + (size - size), low)
    r, rest = two_product(turns, HALF_PI_F64[0])
    r, rest = fast_two_sum(r, rest + fma(turns, HALF_PI_F64[1], low * HALF_PI_F64[0]))
    return r, rest, bits_of(n + format_of(n).magic)


def _modulo_4(x: Value) -> Value:
    return fma(round_even(x * 0.25), -4.0, x)


@functools.cache
def _table_single() -> tuple[tuple[float, ...], ...]:
    return _inverse_table(24, [2 * j + 2 for j in range(64)], [29, 53])


@functools.cache
def _table_double() -> tuple[tuple[float, ...], ...]:
    return _inverse_table(67, [16 * j + 16 for j in range(64)], [53, 53, 53, 53])


def _inverse_table(
    scale: int, exponents: Sequence[int], widths: Sequence[int]
) -> tuple[tuple[float, ...], ...]:
    """2ᵉ·2/π in parts of the given bits, modulo 4·2^scale: for factors n·2^-scale."""
    bits = _WORKING_BITS
    whole = (1 << 2 * bits + 1) // _pi(bits)
    rows = []
    for exponent in exponents:
        modulus = 1 << (bits + 2 + scale - exponent)
        rest = whole % modulus  # times 2^(exponent - bits) is the wanted number
        rest -= modulus if rest >= modulus // 2 else 0
        rows.append(_split(rest, exponent - bits, widths))
    return tuple(zip(*rows, strict=True))


def _split(number: int, exponent: int, widths: Sequence[int]) -> list[float]:
    """number·2^exponent as floats of the given numbers of bits, cut towards zero."""
    parts = []
    for width in widths:
        drop = max(0, abs(number).bit_length() - width)
        head = (abs(number) >> drop << drop) * (1 if number >= 0 else -1)
        parts.append(math.ldexp(head >> drop, exponent + drop))
        number -= head
    return parts


def _pi(bits: int) -> int:
    """π·2^bits, rounded down but for the last few bits (Machin's formula)."""

    def inverse_tangent(n: int) -> int:
        total = term = (1 << (bits + 16)) // n
        k, square = 1, n * n
        while term:
            term //= -square
            k += 2
            total += term // k
        return total

    return (16 * inverse_tangent(5) - 4 * inverse_tangent(239)) >> 16
