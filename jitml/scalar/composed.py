"""Instructions that few machines have, written with those that all have.

In: operands of one of them, as `value` describes them. Out: the same bits as
from a machine's own instruction, for the operands that are allowed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from jitml.scalar.arithmetic import bits_of, format_of, scale_by_power_of_two
from jitml.scalar.value import Value, bitcast, is_nan, select


def scale(x: Value, n: Value) -> Value:
    """x·2ⁿ by two factors, of which only the second rounds."""
    return scale_by_power_of_two(x, bits_of(n + format_of(n).magic))


def mantissa(x: Value) -> Value:
    """The m in [3/4, 3/2) with x = m·2ᵏ; some m there for x ≤ 0, ∞ and NaN."""
    layout = format_of(x)
    bits, biased = _split(x)
    return bitcast(bits - ((biased - (layout.bias + 1)) << layout.fraction), x.type)


def exponent(x: Value) -> Value:
    """The k with x = m·2ᵏ, m as above; −∞ at 0, ∞ at ∞, NaN at NaN and below 0."""
    layout = format_of(x)
    _, biased = _split(x)
    whole = 2.0**layout.fraction  # a float whose ulp is 1
    base = whole + layout.bias + 1
    denormal = x < layout.smallest_normal
    lower = select(denormal, x.like(base + layout.fraction + 2), base)
    k = bitcast(biased | bits_of(x.like(whole)), x.type) - lower
    special = select(x == 0.0, x.like(-math.inf), math.nan)
    return select(x < math.inf, select(x > 0.0, k, special), x)


def minimum(x: Value, y: Value) -> Value:
    """y where the comparison fails, as x86's own instruction has it; then NaNs of x."""
    return select(is_nan(x), x, select(x < y, x, y))


def maximum(x: Value, y: Value) -> Value:
    """y where the comparison fails, as x86's own instruction has it; then NaNs of x."""
    return select(is_nan(x), x, select(x > y, x, y))


def _split(x: Value) -> tuple[Value, Value]:
    """The bits of x, scaled where it is denormal, and k + bias + 1 for them."""
    layout = format_of(x)
    denormal = x < layout.smallest_normal
    bits = bits_of(select(denormal, x * 2.0 ** (layout.fraction + 2), x))
    start = ((layout.bias - 1) << layout.fraction) | (1 << layout.fraction - 1)  # of 3/4
    offset = (layout.bias + 1) << layout.fraction
    return bits, (bits - start + offset) >> layout.fraction


COMPOSED: dict[str, Callable[..., Value]] = {
    "scale": scale,
    "exponent": exponent,
    "mantissa": mantissa,
    "minimum": minimum,
    "maximum": maximum,
}
