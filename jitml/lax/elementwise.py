"""Elementwise functions of `jitml.lax`: ops under JAX's names, no promotion, no broadcasting."""

from __future__ import annotations

import enum
import operator
from typing import Any

import numpy as np

from jitml.eager import operation
from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, DTypeError, ShapeError
from jitml.lax.operands import binary, matched, strict, tuned, unary
from jitml.numpy import arithmetic, elementwise
from jitml.numpy.operands import as_dtype, cast, fail, is_number, kind, settle
from jitml.numpy.operands import operand as as_operand
from jitml.numpy.rows import Binary, of_floats
from jitml.ops import elementwise as ew
from jitml.ops.kinds import full_of
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = [
    "RoundingMethod", "abs", "acos", "acosh", "add", "asin", "asinh", "atan", "atan2", "atanh",
    "bessel_i0e", "bessel_i1e", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "cbrt",
    "ceil", "clamp", "clz", "complex", "conj", "cos", "cosh", "digamma", "div", "eq", "erf",
    "erf_inv", "erfc", "exp", "exp2", "expm1", "floor", "full", "full_like", "ge", "gt", "imag",
    "integer_pow", "is_finite", "le", "lgamma", "log", "log1p", "logistic", "lt", "max", "min",
    "mul", "mulhi", "ne", "neg", "nextafter", "population_count", "pow", "real", "reciprocal",
    "reduce_precision", "rem", "round", "rsqrt", "select", "select_n", "shift_left",
    "shift_right_arithmetic", "shift_right_logical", "sign", "sin", "sinh", "sqrt", "square",
    "stop_gradient", "sub", "tan", "tanh",
]  # fmt: skip


def of_real_pairs(op: Binary, of_complex: Binary) -> Binary:
    """An op that takes no complex numbers, with what it means for those."""
    return lambda x, y: of_complex(x, y) if kind(x) == "c" else op(x, y)


def _complex_angle(y: Any, x: Any) -> Any:
    """−i log((x + iy) / √(x² + y²))"""
    length = ew.sqrt(ew.add(ew.mul(x, x), ew.mul(y, y)))
    return ew.mul(ew.log(ew.div(ew.add(x, ew.mul(y, 1j)), length)), -1j)


# ---- one array ------------------------------------------------------------------------------

neg = unary("neg", ew.neg, "−x.", "neg(2.0) -> -2.0")
abs = unary("abs", elementwise.absolute, "The absolute value.", "abs(-2.0) -> 2.0")
sign = unary("sign", ew.sign, "−1, 0 or 1.", "sign(-2.0) -> -1.0")
floor = unary("floor", ew.floor, "The greatest integer not above.", "floor(1.5) -> 1.0")
ceil = unary("ceil", ew.ceil, "The least integer not below.", "ceil(1.5) -> 2.0")
exp = tuned("exp", ew.exp, "e to the power x.", "exp(0.0) -> 1.0")
exp2 = tuned("exp2", of_floats(ew.exp2, elementwise.exp2), "2 to the power x.", "exp2(3.0) -> 8.0")
expm1 = tuned("expm1", ew.expm1, "exp(x) − 1.", "expm1(0.0) -> 0.0")
log = tuned("log", ew.log, "The natural logarithm.", "log(1.0) -> 0.0")
log1p = tuned("log1p", ew.log1p, "log(1 + x).", "log1p(0.0) -> 0.0")
sqrt = tuned("sqrt", ew.sqrt, "The square root.", "sqrt(9.0) -> 3.0")
rsqrt = tuned("rsqrt", ew.rsqrt, "1 / √x.", "rsqrt(4.0) -> 0.5")
cbrt = tuned("cbrt", ew.cbrt, "The cube root.", "cbrt(8.0) -> 2.0")
logistic = tuned("logistic", ew.logistic, "1 / (1 + exp(−x)).", "logistic(0.0) -> 0.5")
sin = tuned("sin", ew.sin, "The sine.", "sin(0.0) -> 0.0")
cos = tuned("cos", ew.cos, "The cosine.", "cos(0.0) -> 1.0")
tan = tuned("tan", ew.tan, "The tangent.", "tan(0.0) -> 0.0")
asin = unary("asin", ew.asin, "The inverse sine.", "asin(0.0) -> 0.0")
acos = unary("acos", ew.acos, "The inverse cosine.", "acos(1.0) -> 0.0")
atan = unary("atan", ew.atan, "The inverse tangent.", "atan(0.0) -> 0.0")
sinh = unary("sinh", ew.sinh, "The hyperbolic sine.", "sinh(0.0) -> 0.0")
cosh = unary("cosh", ew.cosh, "The hyperbolic cosine.", "cosh(0.0) -> 1.0")
tanh = tuned("tanh", ew.tanh, "The hyperbolic tangent.", "tanh(0.0) -> 0.0")
asinh = unary("asinh", ew.asinh, "The inverse of sinh.", "asinh(0.0) -> 0.0")
acosh = unary("acosh", ew.acosh, "The inverse of cosh.", "acosh(1.0) -> 0.0")
atanh = unary("atanh", ew.atanh, "The inverse of tanh.", "atanh(0.0) -> 0.0")
erf = unary("erf", ew.erf, "The error function.", "erf(0.0) -> 0.0")
erfc = unary("erfc", ew.erfc, "1 − erf(x).", "erfc(0.0) -> 1.0")
erf_inv = unary("erf_inv", ew.erf_inv, "The inverse of erf.", "erf_inv(0.0) -> 0.0")
bessel_i0e = unary("bessel_i0e", ew.bessel_i0e, "exp(−|x|)·I₀(x).", "bessel_i0e(0.0) -> 1.0")
bessel_i1e = unary("bessel_i1e", ew.bessel_i1e, "exp(−|x|)·I₁(x).", "bessel_i1e(0.0) -> 0.0")
lgamma = unary("lgamma", ew.lgamma, "log |Γ(x)|.", "lgamma(1.0) -> 0.0")
digamma = unary("digamma", ew.digamma, "The derivative of lgamma.", "digamma(1.0) < 0 -> True")
real = unary("real", ew.real, "The real part of complex numbers.", "real(1j) -> 0.0")
imag = unary("imag", ew.imag, "The imaginary part of complex numbers.", "imag(1j) -> 1.0")
is_finite = unary(
    "is_finite", ew.is_finite, "Whether neither NaN nor infinite.", "is_finite(1.0) -> True"
)
bitwise_not = unary("bitwise_not", ew.not_, "All bits turned round.", "bitwise_not(0) -> -1")
population_count = unary(
    "population_count", ew.population_count, "How many bits are 1.", "population_count(7) -> 3"
)
clz = unary("clz", ew.count_leading_zeros, "How many bits before the first 1.", "clz(1) -> 31")
square = unary("square", lambda x: ew.integer_pow(x, 2), "x · x.", "square(3.0) -> 9.0")
reciprocal = unary("reciprocal", elementwise.reciprocal, "1 / x.", "reciprocal(4.0) -> 0.25")

# ---- two arrays -----------------------------------------------------------------------------


def _divisor(x: Any, y: Any) -> Any:
    return y if type_of(y).dtype == dtypes.BOOL else arithmetic.divisor(x, y)


def _quotient(x: Any, y: Any) -> Any:
    return arithmetic.whole_quotient(x, _divisor(x, y))


def _rest(x: Any, y: Any) -> Any:
    return arithmetic.whole_rest(x, _divisor(x, y))


add = binary("add", ew.add, "x + y.", "add(1, 2) -> 3")
sub = binary("sub", ew.sub, "x − y.", "sub(1, 2) -> -1")
div = binary("div", _quotient, "x / y; of integers rounded towards 0.", "div(-7, 2) -> -3")
rem = binary("rem", _rest, "What div leaves; it has the sign of x.", "rem(-7, 2) -> -1")
max = binary(
    "max", of_real_pairs(ew.maximum, arithmetic.maximum), "The greater; NaN wins.", "max(1, 2) -> 2"
)
min = binary(
    "min", of_real_pairs(ew.minimum, arithmetic.minimum), "The smaller; NaN wins.", "min(1, 2) -> 1"
)
atan2 = binary(
    "atan2",
    of_real_pairs(ew.atan2, _complex_angle),
    "The angle of the point (y, x).",
    "atan2(0.0, 1.0) -> 0.0",
)
complex = binary("complex", ew.complex_, "x + iy.", "complex(1.0, 2.0) -> (1+2j)")
eq = binary("eq", ew.eq, "x == y.", "eq(1, 1) -> True")
ne = binary("ne", ew.ne, "x != y.", "ne(1, 1) -> False")
lt = binary("lt", ew.lt, "x < y.", "lt(1, 2) -> True")
le = binary("le", ew.le, "x <= y.", "le(1, 2) -> True")
gt = binary("gt", ew.gt, "x > y.", "gt(1, 2) -> False")
ge = binary("ge", ew.ge, "x >= y.", "ge(1, 2) -> False")
bitwise_and = binary("bitwise_and", ew.and_, "The bits of both.", "bitwise_and(6, 3) -> 2")
bitwise_or = binary("bitwise_or", ew.or_, "The bits of either.", "bitwise_or(6, 3) -> 7")
bitwise_xor = binary("bitwise_xor", ew.xor, "The bits of one.", "bitwise_xor(6, 3) -> 5")
shift_left = binary("shift_left", ew.shift_left, "x · 2^y.", "shift_left(1, 3) -> 8")
shift_right_logical = binary(
    "shift_right_logical", ew.shift_right_logical,
    "The bits moved right, zeros moved in.", "shift_right_logical(8, 2) -> 2",
)  # fmt: skip
shift_right_arithmetic = binary(
    "shift_right_arithmetic", ew.shift_right_arithmetic,
    "The bits moved right, the sign moved in.", "shift_right_arithmetic(-8, 2) -> -2",
)  # fmt: skip


def _high_half(x: Any, y: Any) -> Any:
    """The upper half of the bits of a product of integers."""
    dtype = type_of(x).dtype
    if not dtypes.is_integer(dtype):
        fail(DTypeError, f"mulhi: takes integers, not {type_of(x)}")
    bits = dtype.itemsize * 8
    if bits < 64:
        wide = np.dtype(f"{'u' if dtype.kind == 'u' else ''}int{2 * bits}")
        product = ew.mul(ew.convert(x, wide), ew.convert(y, wide))
        shift = ew.shift_right_logical if dtype.kind == "u" else ew.shift_right_arithmetic
        return ew.convert(shift(product, bits), dtype)
    high = _high_half_of_words(ew.bitcast(x, np.dtype("uint64")), ew.bitcast(y, np.dtype("uint64")))
    if dtype.kind == "u":
        return high
    found = ew.bitcast(high, dtype)
    for a, b in ((x, y), (y, x)):  # a negative number reads 2^64 higher
        found = ew.sub(found, ew.select(ew.lt(a, 0), b, full_of(type_of(b), 0)))
    return found


def _high_half_of_words(x: Any, y: Any) -> Any:
    """The same for u64, by four products of halves."""
    low = [ew.and_(v, 0xFFFFFFFF) for v in (x, y)]
    top = [ew.shift_right_logical(v, 32) for v in (x, y)]
    first = ew.shift_right_logical(ew.mul(low[0], low[1]), 32)
    second = ew.add(ew.mul(top[0], low[1]), first)
    third = ew.add(ew.mul(low[0], top[1]), ew.and_(second, 0xFFFFFFFF))
    carried = ew.add(ew.shift_right_logical(second, 32), ew.shift_right_logical(third, 32))
    return ew.add(ew.mul(top[0], top[1]), carried)


@operation
def mulhi(x: ArrayLike, y: ArrayLike, /) -> Array:
    """The upper half of the bits of x · y.

    >>> print(mulhi(2**30, 12))
    3
    """
    return settle(_high_half(*matched("mulhi", x, y)))


def mul(x: ArrayLike, y: ArrayLike, *, out_dtype: Any = None) -> Array:
    """x · y, in `out_dtype` if that is given.

    >>> print(mul(3, 2))
    6
    """
    if out_dtype is None:
        return _product(x, y)
    wanted = as_dtype(out_dtype)
    return _product(*(settle(cast(v, wanted)) for v in matched("mul", x, y)))


_product = binary("mul", ew.mul, "x · y.", "mul(3, 2) -> 6")


@operation
def nextafter(x1: ArrayLike, x2: ArrayLike) -> Array:
    """The float next to x1 in the direction of x2.

    >>> print(nextafter(1.0, 2.0) > 1)
    True
    """
    return settle(ew.nextafter(*matched("nextafter", x1, x2)))


def conj(x: ArrayLike) -> Array:
    """The complex conjugate; of a real array too, as a complex one.

    >>> print(conj(1j))
    -1j
    """
    value = as_operand(x, "conj")
    if not dtypes.is_complex(type_of(value).dtype):
        value = ew.complex_(value, full_of(type_of(value), 0))
    return settle(ew.conj(value))


def pow(x: ArrayLike, y: ArrayLike) -> Array:
    """x to the power y, which may be an integer array beside a float one.

    >>> print(pow(2.0, 3.0))
    8.0
    """
    if is_number(y) and isinstance(y, int):
        return integer_pow(x, y)
    base, exponent = as_operand(x, "pow"), as_operand(y, "pow")
    if dtypes.is_integer(type_of(exponent).dtype) or is_number(y):
        if not dtypes.is_inexact(type_of(base).dtype):
            return settle(as_operand(arithmetic.power(base, exponent)))
        exponent = cast(y if is_number(y) else exponent, type_of(base).dtype)
    return settle(ew.pow(base, exponent))


def integer_pow(x: ArrayLike, y: int) -> Array:
    """x to a power that is known while tracing.

    >>> print(integer_pow(2.0, 3))
    8.0
    """
    return settle(ew.integer_pow(as_operand(x, "integer_pow"), operator.index(y)))


class RoundingMethod(enum.Enum):
    """Where ties go in `round`."""

    AWAY_FROM_ZERO = 0
    TO_NEAREST_EVEN = 1


def round(x: ArrayLike, rounding_method: RoundingMethod = RoundingMethod.AWAY_FROM_ZERO) -> Array:
    """The nearest integer; ties go away from zero, or to the even one.

    >>> print(round(2.5))
    3.0
    """
    away = RoundingMethod(rounding_method) is RoundingMethod.AWAY_FROM_ZERO
    return settle((ew.round_away if away else ew.round_even)(as_operand(x, "round")))


def select(pred: ArrayLike, on_true: ArrayLike, on_false: ArrayLike) -> Array:
    """`on_true` where `pred`, else `on_false`; `pred` has their shape or is 0-d.

    >>> print(select(True, 1, 2))
    1
    """
    yes, no = strict("select", on_true, on_false)
    return settle(ew.select(as_operand(pred, "select"), yes, no))


def select_n(which: ArrayLike, *cases: ArrayLike) -> Array:
    """The case with the number `which`, element by element; False is 0.

    >>> print(select_n(1, 10, 20))
    20
    """
    if not cases:
        fail(ArgumentError, "select_n: needs at least one case")
    number, values = as_operand(which, "select_n"), strict("select_n", *cases)
    is_bool = type_of(number).dtype == dtypes.BOOL
    if is_bool and len(values) > 2:
        fail(ArgumentError, f"select_n: a bool chooses between 2 cases, not {len(values)}")
    result = values[0]
    for k, value in enumerate(values[1:], 1):
        result = ew.select(number if is_bool else ew.ge(number, k), value, result)
    return settle(result)


def clamp(min: ArrayLike, x: ArrayLike, max: ArrayLike) -> Array:
    """x kept between `min` and `max`, which have its shape or are 0-d. Where it equals one of them
    all derivatives are 0.

    >>> print(clamp(0, 5, 3))
    3
    """
    value = as_operand(x, "clamp")
    type_ = type_of(value)
    bounds = [
        cast(b, type_.dtype, type_.weak) if is_number(b) else as_operand(b) for b in (min, max)
    ]
    for bound in bounds:
        if type_of(bound).shape not in ((), type_.shape):
            fail(ShapeError, f"clamp: a bound of type {type_of(bound)} for an array of {type_}")
    return settle(ew.clamp(bounds[0], value, bounds[1]))


def stop_gradient(x: Any) -> Any:
    """x, whose derivative counts as 0.

    >>> print(stop_gradient(1.0))
    1.0
    """
    from jitml.differentiation import stop_gradient as stop

    return stop(x)


def reduce_precision(operand: ArrayLike, exponent_bits: int, mantissa_bits: int) -> Array:
    """x rounded to a float with so many bits, as the array's own dtype.

    >>> print(reduce_precision(1.0, 8, 7))
    1.0
    """
    x = as_operand(operand, "reduce_precision")
    own = type_of(x)
    known = {(5, 10): "float16", (8, 7): "bfloat16", (8, 23): "float32", (11, 52): "float64"}
    target = known.get((exponent_bits, mantissa_bits))
    if target is None or not dtypes.is_float(own.dtype):
        fail(
            DTypeError,
            f"reduce_precision: {exponent_bits} and {mantissa_bits} bits of {own.dtype.name}",
            "the bits must be those of float16, bfloat16, float32 or float64",
        )
    return settle(cast(ew.convert(x, np.dtype(target)), own.dtype, own.weak))


def full(shape: Any, fill_value: ArrayLike, dtype: Any = None, *, sharding: object = None) -> Array:
    """An array full of one number.

    >>> print(full((2,), 7))
    [7 7]
    """
    from jitml.numpy.creation import full as numpy_full

    return numpy_full(shape, fill_value, dtype)


def full_like(
    x: ArrayLike,
    fill_value: ArrayLike,
    dtype: Any = None,
    shape: Any = None,
    sharding: object = None,
) -> Array:
    """An array full of one number, of the shape and dtype of another.

    >>> print(full_like(1.0, 7))
    7.0
    """
    from jitml.numpy.creation import full_like as numpy_full_like

    return numpy_full_like(x, fill_value, dtype, shape)
