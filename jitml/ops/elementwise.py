"""Elementwise ops: a row each. Name, meaning in NumPy, dtype kinds, derivatives, and what it
computes per element.

`partials` have one entry per input, `lambda t, y, *inputs:` the output's tangent; `transposes`
likewise `lambda ct, *inputs:` where the op is linear. Without a `lower` the function of the same
name in `scalar.math` serves. Sources of derivatives: DLMF 4.20, 4.38 (inverse functions), 7.1
(error function), 5.2 (digamma).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitml.ir.dtypes import BOOL, DType, complex_dtype, is_complex, kind, short_name
from jitml.ir.errors import DTypeError
from jitml.ir.op import Undefined
from jitml.ir.types import ArrayType
from jitml.ops.kinds import (
    Elementwise,
    Row,
    Traced,
    bool_dtype,
    choose,
    fit,
    real_part_dtype,
    zeros_like,
)
from jitml.scalar import value as scalar
from jitml.scalar.value import Value
from jitml.trace.core import bind1, type_of

_NUMBERS, _ALL = "iufc", "biufc"
_REAL, _INEXACT, _FLOAT = "iuf", "fc", "f"


def _special(name: str) -> Callable[..., Any]:
    """A function of scipy.special as the NumPy meaning, imported when a test asks for it."""

    def value(*arrays: Any) -> Any:
        import scipy.special

        return getattr(scipy.special, name)(*arrays)

    return value


def _digamma_value(x: Any) -> Any:
    """Reflected below zero (DLMF 5.5.4), where SciPy's own is inexact beside the poles."""
    low = np.where(x < 0, x, 0.5)
    reflected = _special("psi")(1 - low) - np.pi / np.tan(np.pi * (low - np.round(low)))
    return np.where(x < 0, reflected, _special("psi")(x)).astype(x.dtype)


# ---- linear ----------------------------------------------------------------------------------

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
    zero, safe = _safe_divisor(a, b)
    return scalar.select(zero, 0, _wrapped(a, b, a / safe))


def _safe_divisor(a: Value, b: Value) -> tuple[Value, Value]:
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
    nothing = product.like(0.0) if isinstance(a, Value) else _make_complex(*[a.re.like(0.0)] * 2)
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

real: Row = Row(
    "real", np.real, "c",
    (lambda t, y, x: real(t),), (lambda ct, x: complex_(ct, zeros_like(ct)),),
    lambda x: x.re, real_part_dtype,
)  # fmt: skip
imag: Row = Row(
    "imag", np.imag, "c",
    (lambda t, y, x: imag(t),), (lambda ct, x: complex_(zeros_like(ct), neg(ct)),),
    lambda x: x.im, real_part_dtype,
)  # fmt: skip
conj: Row = Row(
    "conj", np.conj, "c", (lambda t, y, x: conj(t),), (lambda ct, x: conj(ct),),
    lambda x: _make_complex(x.re, -x.im),
)  # fmt: skip


def _make_complex(re: Any, im: Any) -> Any:
    from jitml.scalar.complex import Complex

    return Complex(re, im)


def _complex_value(re: Any, im: Any) -> Any:
    result = np.empty(np.broadcast(re, im).shape, complex_dtype(np.asarray(re).dtype))
    result.real, result.imag = re, im
    return result


complex_: Row = Row(
    "complex", _complex_value, _FLOAT,
    (
        lambda t, y, a, b: complex_(t, zeros_like(t)),
        lambda t, y, a, b: complex_(zeros_like(t), t),
    ),
    (
        lambda ct, a, b: convert(real(ct), type_of(a).dtype),
        lambda ct, a, b: convert(neg(imag(ct)), type_of(b).dtype),
    ),
    _make_complex, lambda dtype, *_: complex_dtype(dtype),
)  # fmt: skip


# ---- exponentials, powers --------------------------------------------------------------------

exp: Row = Row("exp", np.exp, _INEXACT, (lambda t, y, x: mul(t, y),))
exp2: Row = Row("exp2", np.exp2, _FLOAT, (lambda t, y, x: mul(t, mul(y, math.log(2))),))
expm1: Row = Row("expm1", np.expm1, _INEXACT, (lambda t, y, x: mul(t, add(y, 1)),))
log: Row = Row("log", np.log, _INEXACT, (lambda t, y, x: div(t, x),))
log1p: Row = Row("log1p", np.log1p, _INEXACT, (lambda t, y, x: div(t, add(x, 1)),))
sqrt: Row = Row("sqrt", np.sqrt, _INEXACT, (lambda t, y, x: div(t, mul(y, 2)),))
rsqrt: Row = Row(
    "rsqrt", lambda x: 1 / np.sqrt(x), _INEXACT,
    (lambda t, y, x: mul(t, mul(-0.5, div(y, x))),),
)  # fmt: skip
cbrt: Row = Row("cbrt", np.cbrt, _FLOAT, (lambda t, y, x: mul(t, div(y, mul(x, 3))),))
logistic: Row = Row(
    "logistic", lambda x: 1 / (1 + np.exp(-x)), _INEXACT,
    (lambda t, y, x: mul(t, mul(y, sub(1, y))),),
)  # fmt: skip


def _pow_slope(t: Traced, y: Traced, x: Traced, p: Traced) -> Traced:
    """t · p · x^(p−1), which is 0 where p is 0 even at x = 0."""
    slope = mul(p, pow(x, select(eq(p, 0), full_like(p, 1), sub(p, 1))))
    return mul(t, slope)


def _pow_log_slope(t: Traced, y: Traced, x: Traced, p: Traced) -> Traced:
    """t · x^p · log x, which is 0 at x = 0 (where x^p vanishes faster)."""
    zero = eq(x, 0)
    return mul(t, select(zero, zeros_like(y), mul(y, log(select(zero, full_like(x, 1), x)))))


def full_like(x: Traced, number: float) -> Traced:
    """An array of the type of `x`, full of `number`."""
    from jitml.ops.kinds import full_of

    return full_of(type_of(x), number)


pow: Row = Row("pow", np.power, _INEXACT, (_pow_slope, _pow_log_slope))

# ---- trigonometry ----------------------------------------------------------------------------

sin: Row = Row("sin", np.sin, _INEXACT, (lambda t, y, x: mul(t, cos(x)),))
cos: Row = Row("cos", np.cos, _INEXACT, (lambda t, y, x: neg(mul(t, sin(x))),))
tan: Row = Row("tan", np.tan, _INEXACT, (lambda t, y, x: mul(t, add(mul(y, y), 1)),))
asin: Row = Row("asin", np.arcsin, _INEXACT, (lambda t, y, x: div(t, sqrt(sub(1, mul(x, x)))),))
acos: Row = Row(
    "acos", np.arccos, _INEXACT, (lambda t, y, x: neg(div(t, sqrt(sub(1, mul(x, x))))),)
)
atan: Row = Row("atan", np.arctan, _INEXACT, (lambda t, y, x: div(t, add(mul(x, x), 1)),))
atan2: Row = Row(
    "atan2", np.arctan2, _FLOAT,
    (
        lambda t, z, y, x: mul(t, div(x, add(mul(x, x), mul(y, y)))),
        lambda t, z, y, x: neg(mul(t, div(y, add(mul(x, x), mul(y, y))))),
    ),
)  # fmt: skip
sinh: Row = Row("sinh", np.sinh, _INEXACT, (lambda t, y, x: mul(t, cosh(x)),))
cosh: Row = Row("cosh", np.cosh, _INEXACT, (lambda t, y, x: mul(t, sinh(x)),))
tanh: Row = Row("tanh", np.tanh, _INEXACT, (lambda t, y, x: mul(t, sub(1, mul(y, y))),))
asinh: Row = Row("asinh", np.arcsinh, _INEXACT, (lambda t, y, x: div(t, sqrt(add(mul(x, x), 1))),))
acosh: Row = Row(
    "acosh", np.arccosh, _INEXACT,
    (lambda t, y, x: div(t, mul(sqrt(sub(x, 1)), sqrt(add(x, 1)))),),
)  # fmt: skip
atanh: Row = Row("atanh", np.arctanh, _INEXACT, (lambda t, y, x: div(t, sub(1, mul(x, x))),))

# ---- special ---------------------------------------------------------------------------------

_TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)
erf: Row = Row(
    "erf", _special("erf"), _FLOAT,
    (lambda t, y, x: mul(t, mul(_TWO_OVER_SQRT_PI, exp(neg(mul(x, x))))),),
)  # fmt: skip
erfc: Row = Row(
    "erfc", _special("erfc"), _FLOAT,
    (lambda t, y, x: mul(t, mul(-_TWO_OVER_SQRT_PI, exp(neg(mul(x, x))))),),
)  # fmt: skip
erf_inv: Row = Row(
    "erf_inv", _special("erfinv"), _FLOAT,
    (lambda t, y, x: mul(t, mul(1 / _TWO_OVER_SQRT_PI, exp(mul(y, y)))),),
)  # fmt: skip
lgamma: Row = Row("lgamma", _special("gammaln"), _FLOAT, (lambda t, y, x: mul(t, digamma(x)),))
digamma: Row = Row(
    "digamma", _digamma_value, _FLOAT, (lambda t, y, x: mul(t, _trigamma(x)),)
)  # fmt: skip

# B_2, B_4, … B_14 (DLMF 24.2)
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def _trigamma(x: Traced) -> Traced:
    """The derivative of digamma, stated in other ops so that it has derivatives of its own.

    Source: reflection DLMF 5.15.6, recurrence 5.15.5, asymptotic series 5.15.8 from x = 10 on.
    """
    is_low = lt(x, 0.5)
    shifted = select(is_low, sub(1, x), x)
    total = zeros_like(x)
    for k in range(10):
        total = add(total, integer_pow(add(shifted, k), -2))
    inverse = div(1, add(shifted, 10))
    square = mul(inverse, inverse)
    series = zeros_like(x)
    for number in reversed(_BERNOULLI):
        series = add(mul(series, square), number)
    tail = mul(inverse, add(1, add(mul(inverse, 0.5), mul(square, series))))
    total = add(total, tail)
    low = select(is_low, x, full_like(x, 0.5))
    # Less the nearest integer, which is exact, so that the poles are where they belong.
    sine = sin(mul(sub(low, floor(add(low, 0.5))), math.pi))
    return select(is_low, sub(div(math.pi**2, mul(sine, sine)), total), total)


# ---- rounding, sign, order -------------------------------------------------------------------


def _absolute(x: Any) -> Any:
    return x if isinstance(x, Value) and x.type in scalar.UNSIGNED else abs(x)


def _abs_slope(t: Traced, y: Traced, x: Traced) -> Traced:
    if not is_complex(type_of(x).dtype):
        return mul(t, sign(x))
    # Towards the direction of x: Re(conj(x) t) / |x|, and 0 at 0.
    safe = select(eq(y, 0), full_like(y, 1), y)
    return div(add(mul(real(x), real(t)), mul(imag(x), imag(t))), safe)


abs_: Row = Row("abs", np.abs, _NUMBERS, (_abs_slope,), (), _absolute, real_part_dtype)


def _sign(x: Any) -> Any:
    if not isinstance(x, Value):
        from jitml.scalar import complex as scalar_complex

        return scalar_complex.sign(x)
    if x.type in scalar.UNSIGNED:
        return scalar.select(x == 0, 0, x.like(1))
    signed = scalar.select(x > 0, 1, scalar.select(x < 0, x.like(-1), x))
    return signed


def _sign_slope(t: Traced, y: Traced, x: Traced) -> Traced:
    """The part of t across x, divided by |x|; of real numbers, none. 0 at 0."""
    if not is_complex(type_of(x).dtype):
        return None
    along = add(mul(real(y), real(t)), mul(imag(y), imag(t)))
    size = abs_(x)
    safe = select(eq(size, 0), full_like(size, 1), size)
    re, im = (div(sub(part(t), mul(part(y), along)), safe) for part in (real, imag))
    zero = zeros_like(size)
    nowhere = eq(size, 0)
    return complex_(select(nowhere, zero, re), select(nowhere, zero, im))


sign: Row = Row("sign", np.sign, _NUMBERS, (_sign_slope,), (), _sign)
floor: Row = Row("floor", np.floor, _FLOAT, (None,), (), scalar.floor)
ceil: Row = Row("ceil", np.ceil, _FLOAT, (None,), (), scalar.ceil)
trunc: Row = Row("trunc", np.trunc, _FLOAT, (None,), (), scalar.trunc)
round_even: Row = Row("round_even", np.rint, _FLOAT, (None,), (), scalar.round_even)


def _round_away_value(x: Any) -> Any:
    below = np.floor(np.abs(x))
    return np.copysign(below + (np.abs(x) - below >= 0.5), x)


round_away: Row = Row(
    "round_away", _round_away_value, _FLOAT, (None,), (),
    lambda x: scalar.copysign(_round_half_up(abs(x)), x),
)  # fmt: skip


def _round_half_up(x: Value) -> Value:
    below = scalar.floor(x)
    return scalar.select(x - below >= 0.5, below + 1, below)


class _NextAfter(Row):
    """For 16-bit floats a step of the bits: kernels compute in f32, whose neighbours are nearer."""

    def expands(self, *types: ArrayType) -> bool:
        return types[0].dtype.itemsize == 2

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        x, y = inputs
        dtype = type_of(x).dtype
        bits = bitcast(x, np.dtype(np.int16))
        one = full_like(bits, 1)
        outward = eq(lt(x, y), gt(x, 0))
        stepped = bitcast(select(outward, add(bits, one), sub(bits, one)), dtype)
        least = bitcast(one, dtype)
        from_zero = select(gt(y, 0), least, neg(least))
        moved = select(eq(x, 0), from_zero, stepped)
        undefined = or_(ne(x, x), ne(y, y))
        return [select(undefined, add(x, y), select(eq(x, y), y, moved))]


nextafter: Row = _NextAfter("nextafter", np.nextafter, _FLOAT, (None, None))


def _remainder(a: Any, b: Any) -> Any:
    """Remainder with the sign of the dividend (C's fmod and %); of integers, x rem 0 = x."""
    if a.type in scalar.FLOATS:
        from jitml.scalar import math as scalar_math

        return scalar_math.fmod(a, b)
    zero, safe = _safe_divisor(a, b)
    rest = a % safe
    return scalar.select(zero, a, rest)


def _remainder_value(a: Any, b: Any) -> Any:
    if np.asarray(a).dtype.kind not in "iu":
        return np.fmod(a, b)
    return np.where(np.asarray(b) == 0, a, np.fmod(a, np.where(np.asarray(b) == 0, 1, b)))


rem: Row = Row(
    "rem", _remainder_value, _REAL,
    (lambda t, y, a, b: t, lambda t, y, a, b: neg(mul(t, trunc(div(a, b))))), (), _remainder,
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

# ---- comparison (of complex numbers only for equality) ---------------------------------------

eq: Row = Row("eq", np.equal, _ALL, (None, None), (), lambda a, b: a == b, bool_dtype)
ne: Row = Row("ne", np.not_equal, _ALL, (None, None), (), lambda a, b: a != b, bool_dtype)
lt: Row = Row("lt", np.less, "biuf", (None, None), (), lambda a, b: a < b, bool_dtype)
le: Row = Row("le", np.less_equal, "biuf", (None, None), (), lambda a, b: a <= b, bool_dtype)
gt: Row = Row("gt", np.greater, "biuf", (None, None), (), lambda a, b: a > b, bool_dtype)
ge: Row = Row("ge", np.greater_equal, "biuf", (None, None), (), lambda a, b: a >= b, bool_dtype)
is_finite: Row = Row(
    "is_finite", np.isfinite, _FLOAT, (None,), (), lambda x: abs(x) < math.inf, bool_dtype
)

# ---- bits ------------------------------------------------------------------------------------


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

# ---- flow of values --------------------------------------------------------------------------

stop_gradient: Row = Row("stop_gradient", np.asarray, _ALL, (None,), (), lambda x: x)


@dataclass(frozen=True)
class Select(Elementwise):
    """`x` where `condition` is true, else `y`. The untaken side's cotangent is a strong zero."""

    name = "select"

    def check_dtypes(self, types: Sequence[ArrayType]) -> None:
        condition, x, y = types
        if condition.dtype != BOOL or x.dtype != y.dtype:
            raise DTypeError(
                f"select: needs bool and two of one dtype, got {', '.join(map(str, types))}"
            )

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        shape = types[0].shape if not (types[1].shape or types[2].shape) else None
        (out,) = super().infer(*types)
        weak = types[1].weak and types[2].weak
        return (ArrayType(types[1].dtype, out.shape if shape is None else shape, weak),)

    def output_dtypes(self, *dtypes: DType) -> tuple[DType, ...]:
        return (dtypes[1],)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return (np.where(*arrays).astype(np.asarray(arrays[1]).dtype),)

    def lower(self, *values: Any) -> Any:
        return choose(*values)

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        condition, x, y = primals
        out = bind1(self, condition, x, y)
        _, dx, dy = tangents
        if dx is None and dy is None:
            return [out], [None]
        known = dx if dx is not None else dy
        dx, dy = (zeros_like(known) if d is None else d for d in (dx, dy))
        shape = type_of(out).shape
        return [out], [bind1(self, condition, fit(dx, shape), fit(dy, shape))]

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,) = cotangents
        condition, x, y = inputs
        if ct is None:
            return [None, None, None]
        zero = zeros_like(ct)
        ct_x = bind1(self, condition, ct, zero) if isinstance(x, Undefined) else None
        ct_y = bind1(self, condition, zero, ct) if isinstance(y, Undefined) else None
        return [
            None,
            None if ct_x is None else fit(ct_x, x.type.shape),
            None if ct_y is None else fit(ct_y, y.type.shape),
        ]


def select(condition: Traced, x: Traced, y: Traced) -> Traced:
    """`x` where `condition` is true, else `y`."""
    return bind1(Select(), condition, x, y)


@dataclass(frozen=True)
class Convert(Elementwise):
    """Convert to `dtype`. Floats to integers truncate and saturate; complex to real drops the
    imaginary part."""

    name = "convert"
    dtype: DType
    weak: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (ArrayType(self.dtype, types[0].shape, self.weak),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x = np.asarray(arrays[0])
        with np.errstate(all="ignore"):
            if is_complex(x.dtype) and not is_complex(self.dtype) and self.dtype != BOOL:
                x = x.real
            if kind(x.dtype) == "f" and kind(self.dtype) in "iu":
                return (_saturated(x, self.dtype),)
            return (x.astype(self.dtype),)

    def lower(self, *values: Any) -> Any:
        return _convert(values[0], short_name(self.dtype))

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        (x,), (t,) = primals, tangents
        smooth = kind(self.dtype) in "fc"
        return [bind1(self, x)], [bind1(self, t) if smooth and t is not None else None]

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,), (x,) = cotangents, inputs
        return [None if ct is None else convert(ct, x.type.dtype, x.type.weak)]


def _saturated(x: Any, dtype: DType) -> Any:
    limits = np.iinfo(dtype)
    wide = x.astype(np.float64)
    clipped = np.where(np.isnan(wide), 0, np.clip(np.trunc(wide), limits.min, limits.max))
    top, bottom = wide >= float(limits.max), wide <= float(limits.min)
    inside = np.where(top | bottom, 0, clipped).astype(dtype)
    return np.where(top, limits.max, np.where(bottom, limits.min, inside)).astype(dtype)


def _convert(x: Any, dtype: str) -> Any:
    if dtype in ("c64", "c128"):
        part = "f32" if dtype == "c64" else "f64"
        if isinstance(x, Value):
            re = scalar.convert(x, part)
            return _make_complex(re, re.like(0.0))
        return _make_complex(scalar.convert(x.re, part), scalar.convert(x.im, part))
    if not isinstance(x, Value):
        return (x.re != 0) | (x.im != 0) if dtype == "bool" else _convert(x.re, dtype)
    if dtype in ("f16", "bf16"):
        return _narrowed(x)
    return scalar.convert(x, "i1" if dtype == "bool" else dtype)


def _narrowed(x: Value) -> Value:
    """`x` as f32 for a store to a 16-bit float: rounded to odd, so that the second rounding is the
    only one."""
    if x.type == "f32" or scalar.BITS[x.type] <= 16:
        return scalar.convert(x, "f32")
    wide = scalar.convert(x, "f64")
    near = scalar.convert(wide, "f32")
    back = scalar.convert(near, "f64")
    bits = scalar.bitcast(near, "u32")
    exact = (back == wide) | ((bits & 1) != 0) | scalar.is_nan(wide)
    outward = abs(back) < abs(wide)
    odd = scalar.bitcast(scalar.select(outward, bits + 1, bits - 1), "f32")
    return scalar.select(exact | (abs(back) == math.inf), near, odd)


def convert(x: Traced, dtype: DType, weak: bool = False) -> Traced:
    """`x` converted to `dtype`; `x` itself if it has that dtype and weak flag."""
    type_ = type_of(x)
    if type_.dtype == dtype and type_.weak == weak:
        return x
    return bind1(Convert(dtype, weak), x)


@dataclass(frozen=True)
class Bitcast(Elementwise):
    """Reinterpret the bits as another dtype of the same width."""

    name = "bitcast"
    dtype: DType

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        refused = BOOL in (x.dtype, self.dtype) or is_complex(x.dtype) or is_complex(self.dtype)
        if x.dtype != self.dtype and (x.dtype.itemsize != self.dtype.itemsize or refused):
            raise DTypeError(
                f"bitcast: {x.dtype.name} and {self.dtype.name} do not have the same width",
                hint="only integers and floats of one width can be reinterpreted",
            )
        return (ArrayType(self.dtype, x.shape),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x = np.asarray(arrays[0])
        return (x.view(self.dtype).reshape(x.shape),)

    # Between 16-bit floats and integers the code generator goes through the stored bits.
    def lower(self, *values: Any) -> Any:
        return scalar.bitcast(values[0], short_name(self.dtype))

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        return [bind1(self, *primals)], [None]


def bitcast(x: Traced, dtype: DType) -> Traced:
    """The bits of `x` as `dtype`."""
    return bind1(Bitcast(dtype), x)


@dataclass(frozen=True)
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
