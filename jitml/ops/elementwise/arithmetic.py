"""Sums, products, quotients, powers with integer exponents, extremes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import kind
from jitml.ir.errors import DTypeError
from jitml.ir.types import ArrayType
from jitml.ops.elementwise.bits import and_
from jitml.ops.elementwise.comparison import eq, ge, gt, le, lt
from jitml.ops.elementwise.selection import select
from jitml.ops.kinds import Elementwise, Row, Traced, choose, make_complex, zeros_like
from jitml.scalar import value as scalar
from jitml.scalar.value import Value
from jitml.trace.core import bind1
from jitml_runtime.record import frozen

_NUMBERS, _INEXACT = "iufc", "fc"

neg: Row = Row(
    "neg", np.negative, _NUMBERS, (lambda t, y, x: neg(t),), (lambda ct, x: neg(ct),), lambda x: -x
)
add: Row = Row(
    "add", np.add, _NUMBERS,
    (lambda t, y, a, b: t, lambda t, y, a, b: t),
    (lambda ct, a, b: ct, lambda ct, a, b: ct),
    lambda a, b: a + b,
)  # fmt: skip
sub: Row = Row(
    "sub", np.subtract, _NUMBERS,
    (lambda t, y, a, b: t, lambda t, y, a, b: neg(t)),
    (lambda ct, a, b: ct, lambda ct, a, b: neg(ct)),
    lambda a, b: a - b,
)  # fmt: skip
mul: Row = Row(
    "mul", np.multiply, _NUMBERS,
    (lambda t, y, a, b: mul(t, b), lambda t, y, a, b: mul(a, t)),
    (lambda ct, a, b: mul(ct, b), lambda ct, a, b: mul(a, ct)),
    lambda a, b: a * b,
)  # fmt: skip


def _divide(a: Any, b: Any) -> Any:
    """True division of floats; of integers, division that truncates, with x / 0 = 0 and no trap."""
    if not isinstance(a, Value) or a.type in scalar.FLOATS:
        return a / b
    zero, safe = safe_divisor(a, b)
    return scalar.select(zero, 0, _wrapped(a, b, a / safe))


def safe_divisor(a: Value, b: Value) -> tuple[Value, Value]:
    """Where `b` is 0, and a divisor that cannot trap (1 in place of 0 and of −1)."""
    zero = b == 0
    unsafe = zero | (b == -1) if b.type in scalar.SIGNED else zero
    return zero, scalar.select(unsafe, 1, b)


def _wrapped(a: Value, b: Value, quotient: Value) -> Value:
    """The quotient, with x / −1 = −x so that the most negative number wraps instead of trapping."""
    return scalar.select(b == -1, -a, quotient) if b.type in scalar.SIGNED else quotient


def _divide_value(a: Any, b: Any) -> Any:
    if np.asarray(a).dtype.kind not in "iu":
        return np.divide(a, b)
    quotient = np.floor_divide(a, b)
    inexact = (np.remainder(a, b) != 0) & ((np.asarray(a) < 0) != (np.asarray(b) < 0))
    return np.where(np.asarray(b) == 0, 0, quotient + inexact)


div: Row = Row(
    "div", _divide_value, _NUMBERS,
    (lambda t, y, a, b: div(t, b), lambda t, y, a, b: neg(div(mul(t, y), b))),
    (lambda ct, a, b: div(ct, b), None),
    _divide,
)  # fmt: skip


def _zero_times(a: Any, b: Any) -> Any:
    """a · b, but 0 where a is 0, whatever b is."""
    zero = a == 0 if isinstance(a, Value) else (a.re == 0) & (a.im == 0)
    product = a * b
    nothing = product.like(0.0) if isinstance(a, Value) else make_complex(*[a.re.like(0.0)] * 2)
    return choose(zero, nothing, product)


def _zero_times_value(a: Any, b: Any) -> Any:
    return np.where(np.asarray(a) == 0, 0, np.multiply(a, b))


# The product with a strong zero: what the cotangent of an untaken branch is multiplied with.
zero_times: Row = Row(
    "zero_times", _zero_times_value, _INEXACT,
    (lambda t, y, a, b: zero_times(t, b), lambda t, y, a, b: zero_times(a, t)),
    (lambda ct, a, b: zero_times(ct, b), lambda ct, a, b: zero_times(a, ct)),
    _zero_times,
)  # fmt: skip


def _share(t: Traced, taken: Traced, tie: Traced) -> Traced:
    """The tangent of the input that max or min took; half of it at a tie."""
    zero = zeros_like(t)
    return select(taken, select(tie, mul(t, 0.5), t), zero)


maximum: Row = Row(
    "max", np.maximum, "biuf",
    (
        lambda t, y, a, b: _share(t, ge(a, b), eq(a, b)),
        lambda t, y, a, b: _share(t, ge(b, a), eq(a, b)),
    ),
    (), lambda a, b: a | b if a.type == "i1" else scalar.maximum(a, b),
)  # fmt: skip
minimum: Row = Row(
    "min", np.minimum, "biuf",
    (
        lambda t, y, a, b: _share(t, le(a, b), eq(a, b)),
        lambda t, y, a, b: _share(t, le(b, a), eq(a, b)),
    ),
    (), lambda a, b: a & b if a.type == "i1" else scalar.minimum(a, b),
)  # fmt: skip


def _clamp(low: Value, x: Value, high: Value) -> Value:
    if x.type == "i1":
        return (low | x) & high
    return scalar.minimum(scalar.maximum(low, x), high)


def _where(condition: Traced, t: Traced) -> Traced:
    return select(condition, t, zeros_like(t))


clamp: Row = Row(
    "clamp", lambda low, x, high: np.minimum(np.maximum(low, x), high), "biuf",
    (
        lambda t, y, low, x, high: _where(and_(gt(low, x), lt(low, high)), t),
        lambda t, y, low, x, high: _where(and_(gt(x, low), lt(x, high)), t),
        lambda t, y, low, x, high: _where(lt(high, x), t),
    ),
    (), _clamp,
)  # fmt: skip


@frozen
class IntegerPow(Elementwise):
    """x to the integer power `exponent`, by repeated squaring."""

    name = "integer_pow"
    exponent: int

    def check_dtypes(self, types: Sequence[ArrayType]) -> None:
        allowed = _INEXACT if self.exponent < 0 else _NUMBERS
        if kind(types[0].dtype) not in allowed:
            raise DTypeError(
                f"integer_pow: {types[0].dtype.name} to the power {self.exponent} is not defined",
                hint="integers take powers of 0 and more; convert to a float first",
            )

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x = np.asarray(arrays[0])
        with np.errstate(all="ignore"):
            return (np.asarray(np.power(x, np.asarray(self.exponent).astype(x.dtype))),)

    def lower(self, *values: Any) -> Any:
        from jitml.scalar import math as scalar_math

        return scalar_math.integer_pow(values[0], self.exponent)

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        (x,), (t,) = primals, tangents
        out = bind1(self, x)
        if t is None or self.exponent == 0:
            return [out], [None]
        return [out], [mul(t, mul(self.exponent, integer_pow(x, self.exponent - 1)))]


def integer_pow(x: Traced, exponent: int) -> Traced:
    """`x` to an integer power."""
    return x if exponent == 1 else bind1(IntegerPow(exponent), x)
