"""Operations on the bits of integers and truth values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitml.ops.kinds import Row
from jitml.scalar import value as scalar
from jitml.scalar.value import Value


def _shifted(shift: Callable[[Any, Any], Any], beyond: Callable[[Any], Any]) -> Callable[..., Any]:
    """A shift that is defined for counts of the width and more."""

    def lower(x: Value, count: Value) -> Value:
        width = scalar.BITS[x.type]
        unsigned = scalar.bitcast(count, "u" + x.type[1:])
        inside = unsigned < width
        safe = scalar.bitcast(scalar.select(inside, unsigned, 0), x.type)
        return scalar.select(inside, shift(x, safe), beyond(x))

    return lower


def _shift_right_logical(x: Value, count: Value) -> Value:
    unsigned = "u" + x.type[1:]
    return scalar.bitcast(scalar.bitcast(x, unsigned) >> scalar.bitcast(count, unsigned), x.type)


def _shift_right_arithmetic(x: Value, count: Value) -> Value:
    signed = "i" + x.type[1:]
    return scalar.bitcast(scalar.bitcast(x, signed) >> scalar.bitcast(count, signed), x.type)


def _sign_fill(x: Value) -> Value:
    return _shift_right_arithmetic(x, x.like(scalar.BITS[x.type] - 1))


def _shift_value(shift: Callable[..., Any], cast: str, fill: bool) -> Callable[..., Any]:
    def value(x: Any, count: Any) -> Any:
        x, count = np.asarray(x), np.asarray(count)
        bits = x.dtype.itemsize * 8
        unsigned = count.astype(f"u{x.dtype.itemsize}")
        wide = x.astype(f"{cast}{x.dtype.itemsize}")
        full = shift(wide, np.minimum(unsigned, bits - 1).astype(wide.dtype))
        return np.where(
            unsigned < bits, full, shift(wide, wide.dtype.type(bits - 1)) if fill else 0
        )

    return value


and_: Row = Row("and", np.bitwise_and, "biu", (None, None), (), lambda a, b: a & b)
or_: Row = Row("or", np.bitwise_or, "biu", (None, None), (), lambda a, b: a | b)
xor: Row = Row("xor", np.bitwise_xor, "biu", (None, None), (), lambda a, b: a ^ b)
not_: Row = Row("not", np.invert, "biu", (None,), (), lambda x: ~x)
shift_left: Row = Row(
    "shift_left", _shift_value(np.left_shift, "u", False), "iu", (None, None), (),
    _shifted(lambda x, n: x << n, lambda x: x.like(0)),
)  # fmt: skip
shift_right_logical: Row = Row(
    "shift_right_logical", _shift_value(np.right_shift, "u", False), "iu", (None, None), (),
    _shifted(_shift_right_logical, lambda x: x.like(0)),
)  # fmt: skip
shift_right_arithmetic: Row = Row(
    "shift_right_arithmetic", _shift_value(np.right_shift, "i", True), "iu", (None, None), (),
    _shifted(_shift_right_arithmetic, _sign_fill),
)  # fmt: skip
population_count: Row = Row(
    "population_count", lambda x: np.bitwise_count(x.view(f"u{x.itemsize}")), "iu", (None,), (),
    lambda x: scalar.population_count(x),
)  # fmt: skip


def _count_leading_zeros_value(x: Any) -> Any:
    x = np.asarray(x)
    bits = x.dtype.itemsize * 8
    unsigned = x.astype(f"u{x.dtype.itemsize}").astype(object)
    return np.vectorize(lambda v: bits - int(v).bit_length(), otypes=[x.dtype])(unsigned)


count_leading_zeros: Row = Row(
    "count_leading_zeros", _count_leading_zeros_value, "iu", (None,), (),
    scalar.count_leading_zeros,
)  # fmt: skip
