"""Functions of one array, element by element: a row each, as NumPy names them.

In: anything `operand` takes. Out: arrays of the same shape. Integers become floats where the
result is not an integer; complex numbers are taken where the function has a meaning for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import DTypeError
from jitml.ir.types import ArrayType
from jitml.numpy.operands import as_dtype, cast, fail, inexact, operand, settle, strong
from jitml.ops import elementwise as ew
from jitml.ops.kinds import full_of
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike, DTypeLike

Unary: TypeAlias = Callable[[Any], Any]


def _named(function: Unary, name: str, summary: str, call: str, result: str) -> Unary:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{summary}\n\n    >>> print({call})\n    {result}\n    "
    return function


def _floating(name: str, op: Unary, summary: str, call: str, result: str) -> Unary:
    """A function whose result is a float or complex."""

    def function(x: ArrayLike, /) -> Array:
        return settle(op(floated(name, x)))

    return _named(function, name, summary, call, result)


def _numeric(name: str, op: Unary, summary: str, call: str, result: str) -> Unary:
    """A function whose result has the dtype of its argument."""

    def function(x: ArrayLike, /) -> Array:
        return settle(op(operand(x, name)))

    return _named(function, name, summary, call, result)


def floated(name: str, x: ArrayLike) -> Any:
    """`x` as an operand of a float or complex dtype."""
    x = operand(x, name)
    type_ = type_of(x)
    return cast(x, inexact(type_.dtype, type_.weak), type_.weak)


def _default_floated(x: Any) -> Any:
    """Integers as the default float, 64-bit ones as float64; floats and complex as they are."""
    dtype = type_of(x).dtype
    if dtypes.is_inexact(dtype):
        return x
    return cast(x, inexact(dtype) if dtype.itemsize == 8 else DEFAULT_DTYPES.of(float))


def kind(x: Any) -> str:
    """The kind letter of an operand's dtype."""
    return dtypes.kind(type_of(x).dtype)


def _of_floats(op: Unary, of_complex: Unary) -> Unary:
    """An op that takes floats alone, with what it means for complex numbers."""
    return lambda x: of_complex(x) if kind(x) == "c" else op(x)


def _parts(op: Unary) -> Unary:
    """An op applied to both parts of complex numbers."""
    return _of_floats(op, lambda x: ew.complex_(op(ew.real(x)), op(ew.imag(x))))


def _of_reals(name: str, op: Unary) -> Unary:
    """An op that has no meaning for complex numbers."""

    def checked(x: Any) -> Any:
        if kind(x) == "c":
            fail(
                DTypeError,
                f"{name}: complex numbers have no {name}",
                "take the real part with .real",
            )
        return op(x)

    return checked


# ---- exponentials and logarithms ------------------------------------------------------------


def _scaled(x: Any, factor: float) -> Any:
    """Each part of `x` times a real factor."""
    result = _parts(lambda part: ew.mul(part, factor))(x)
    return strong(result) if kind(x) == "c" else result


def _per_base(x: Any, base: int) -> Any:
    divided = _parts(lambda part: ew.div(part, math.log(base)))
    result = divided(ew.log(x))
    return strong(result) if kind(x) == "c" else result


exp = _floating("exp", ew.exp, "e to the power of each element.", "exp(0.0)", "1.0")
exp2 = _floating(
    "exp2", _of_floats(ew.exp2, lambda x: ew.exp(ew.mul(x, math.log(2)))),
    "2 to the power of each element.", "exp2(3.0)", "8.0",
)  # fmt: skip
expm1 = _floating("expm1", ew.expm1, "exp(x) − 1, exact near 0.", "expm1(0.0)", "0.0")
log = _floating("log", ew.log, "The natural logarithm.", "log(1.0)", "0.0")
log2 = _floating("log2", lambda x: _per_base(x, 2), "The logarithm to base 2.", "log2(8.0)", "3.0")
log10 = _floating(
    "log10",
    lambda x: _per_base(x, 10),
    "The logarithm to base 10.",
    "log10(1.0)",
    "0.0",
)
log1p = _floating("log1p", ew.log1p, "log(1 + x), exact near 0.", "log1p(0.0)", "0.0")
sqrt = _floating("sqrt", ew.sqrt, "The square root.", "sqrt(9.0)", "3.0")
cbrt = _floating("cbrt", ew.cbrt, "The cube root.", "cbrt(27.0)", "3.0")

# ---- trigonometry ---------------------------------------------------------------------------

sin = _floating("sin", ew.sin, "The sine.", "sin(0.0)", "0.0")
cos = _floating("cos", ew.cos, "The cosine.", "cos(0.0)", "1.0")
tan = _floating("tan", ew.tan, "The tangent.", "tan(0.0)", "0.0")
arcsin = asin = _floating("arcsin", ew.asin, "The inverse sine.", "arcsin(0.0)", "0.0")
arccos = acos = _floating("arccos", ew.acos, "The inverse cosine.", "arccos(1.0)", "0.0")
arctan = atan = _floating("arctan", ew.atan, "The inverse tangent.", "arctan(0.0)", "0.0")
sinh = _floating("sinh", ew.sinh, "The hyperbolic sine.", "sinh(0.0)", "0.0")
cosh = _floating("cosh", ew.cosh, "The hyperbolic cosine.", "cosh(0.0)", "1.0")
tanh = _floating("tanh", ew.tanh, "The hyperbolic tangent.", "tanh(0.0)", "0.0")
arcsinh = asinh = _floating("arcsinh", ew.asinh, "The inverse of sinh.", "arcsinh(0.0)", "0.0")
arccosh = acosh = _floating("arccosh", ew.acosh, "The inverse of cosh.", "arccosh(1.0)", "0.0")
arctanh = atanh = _floating("arctanh", ew.atanh, "The inverse of tanh.", "arctanh(0.0)", "0.0")
deg2rad = radians = _floating(
    "deg2rad", lambda x: _scaled(x, math.pi / 180), "Degrees as radians.", "deg2rad(0.0)", "0.0"
)
rad2deg = degrees = _floating(
    "rad2deg", lambda x: _scaled(x, 180 / math.pi), "Radians as degrees.", "rad2deg(0.0)", "0.0"
)


def _sinc(x: Any) -> Any:
    """sin(t)/t at t = πx: near 0 by its series, whose derivatives are right there too."""
    t = ew.mul(x, math.pi)
    square = ew.mul(t, t)
    series = ew.mul(square, -1 / math.factorial(11))
    for n in (9, 7, 5, 3):
        sign = 1.0 if n % 4 == 1 else -1.0
        series = ew.mul(square, ew.add(series, sign / math.factorial(n)))
    near = ew.lt(ew.abs_(t), 0.1)
    safe = ew.select(near, full_of(type_of(t), 1), t)
    return ew.select(near, ew.add(series, 1), ew.div(ew.sin(safe), safe))


sinc = _floating("sinc", _sinc, "sin(πx)/(πx), which is 1 at 0.", "sinc(0.0)", "1.0")

# ---- sign and parts -------------------------------------------------------------------------


def _absolute(x: Any) -> Any:
    return x if kind(x) == "b" else ew.abs_(x)


def _reject_bool(name: str, op: Unary, instead: str) -> Unary:
    def checked(x: Any) -> Any:
        if kind(x) == "b":
            fail(DTypeError, f"{name}: booleans have no {name}", f"use {instead}")
        return op(x)

    return checked


absolute = _numeric("absolute", _absolute, "The absolute value.", "absolute(-2.0)", "2.0")
fabs = _floating(
    "fabs", _of_reals("fabs", ew.abs_), "The absolute value as a float.", "fabs(-2)", "2.0"
)
negative = _numeric(
    "negative", _reject_bool("negative", ew.neg, "logical_not or ~"),
    "Each element with the other sign.", "negative(2.0)", "-2.0",
)  # fmt: skip
positive = _numeric("positive", lambda x: x, "The array itself.", "positive(2.0)", "2.0")
sign = _numeric(
    "sign", _reject_bool("sign", ew.sign, "astype(int)"),
    "−1, 0 or 1; of a complex number its direction.", "sign(-2.0)", "-1.0",
)  # fmt: skip
square = _numeric(
    "square", lambda x: ew.integer_pow(cast(x, dtypes.INT32) if kind(x) == "b" else x, 2),
    "Each element times itself.", "square(3.0)", "9.0",
)  # fmt: skip
real = _numeric(
    "real", lambda x: ew.real(x) if kind(x) == "c" else x, "The real part.", "real(1.0)", "1.0"
)
imag = _numeric(
    "imag", lambda x: ew.imag(x) if kind(x) == "c" else full_of(type_of(x), 0),
    "The imaginary part.", "imag(1.0)", "0.0",
)  # fmt: skip
conjugate = conj = _numeric(
    "conjugate", lambda x: ew.conj(x) if kind(x) == "c" else x,
    "The complex conjugate.", "conjugate(1.0)", "1.0",
)  # fmt: skip


def _reciprocal(x: Any) -> Any:
    return ew.div(full_of(type_of(x), 1), x)


reciprocal = _floating("reciprocal", _reciprocal, "1 / x.", "reciprocal(4.0)", "0.25")


def angle(z: ArrayLike, deg: bool = False) -> Array:
    """The argument of complex numbers, in radians or degrees.

    >>> print(angle(1.0))
    0.0
    """
    x = operand(z, "angle")
    x = strong(_default_floated(x))
    if kind(x) == "c":
        result = ew.atan2(ew.imag(x), ew.real(x))
    else:
        result = ew.atan2(full_of(type_of(x), 0), x)
    return settle(ew.mul(result, 180 / math.pi) if deg else result)


def signbit(x: ArrayLike, /) -> Array:
    """Whether the sign bit is set: −0.0 has one.

    >>> print(signbit(-0.0))
    True
    """
    x = operand(x, "signbit")
    if kind(x) in "bu":
        return settle(full_of(ArrayType(dtypes.BOOL, type_of(x).shape), False))
    if kind(x) == "f":
        x = ew.bitcast(x, as_dtype(f"int{type_of(x).dtype.itemsize * 8}"))
    return settle(ew.lt(x, 0))


# ---- rounding -------------------------------------------------------------------------------


def _rounding(name: str, op: Unary, summary: str, call: str, result: str) -> Unary:
    """A function that leaves integers as they are."""
    return _numeric(name, lambda x: op(x) if kind(x) not in "biu" else x, summary, call, result)


floor = _rounding("floor", ew.floor, "The greatest integer not above.", "floor(1.7)", "1.0")
ceil = _rounding("ceil", ew.ceil, "The least integer not below.", "ceil(1.2)", "2.0")
trunc = fix = _rounding("trunc", ew.trunc, "The integer part.", "trunc(-1.7)", "-1.0")


def _rint(x: Any) -> Any:
    return _parts(ew.round_even)(_default_floated(x))


rint = _numeric("rint", _rint, "The nearest integer, ties to even.", "rint(2.5)", "2.0")


def round(a: ArrayLike, decimals: int = 0) -> Array:
    """Round to `decimals` places, ties to even.

    >>> print(round(2.5))
    2.0
    """
    x = operand(a, "round")
    if kind(x) in "biu":
        return settle(x if decimals >= 0 else _round_integers(x, 10**-decimals))
    return settle(_parts(lambda part: _round_floats(part, decimals))(x))


around = round


def _round_floats(x: Any, decimals: int) -> Any:
    if decimals == 0:
        return ew.round_even(x)
    type_ = type_of(x)
    wide = cast(x, dtypes.FLOAT32) if type_.dtype.itemsize < 4 else x
    if decimals > 0:
        factor = 10.0**decimals
        result = ew.div(ew.round_even(ew.mul(wide, factor)), factor)
    else:
        factor = 10.0**-decimals
        result = ew.mul(ew.round_even(ew.div(wide, factor)), factor)
    return strong(cast(result, type_.dtype))


def _round_integers(x: Any, unit: int) -> Any:
    if unit > np.iinfo(type_of(x).dtype).max:
        return full_of(type_of(x), 0)
    rest = ew.rem(x, unit)
    rest = ew.select(ew.lt(rest, 0), ew.add(rest, unit), rest)
    below = ew.sub(x, rest)
    odd = ew.ne(ew.rem(ew.div(below, unit), 2), 0)
    up = ew.or_(ew.gt(rest, unit // 2), ew.and_(ew.eq(rest, unit // 2), odd))
    return ew.select(up, ew.add(below, unit), below)


# ---- what kind of number --------------------------------------------------------------------


def _equals(x: Any, limit: float) -> Any:
    if kind(x) == "f":
        return ew.eq(x, limit)
    return full_of(ArrayType(dtypes.BOOL, type_of(x).shape), False)


def _test(
    name: str, of_float: Unary, of_integer: bool, summary: str, call: str, result: str
) -> Unary:
    """A truth about floats: a constant for integers, part by part for complex numbers."""

    def function(x: ArrayLike, /) -> Array:
        x = operand(x, name)
        if kind(x) == "c":
            join = ew.and_ if of_integer else ew.or_
            return settle(join(of_float(ew.real(x)), of_float(ew.imag(x))))
        if kind(x) == "f":
            return settle(of_float(x))
        return settle(full_of(ArrayType(dtypes.BOOL, type_of(x).shape), of_integer))

    return _named(function, name, summary, call, result)


isnan = _test("isnan", lambda x: ew.ne(x, x), False, "Whether not a number.", "isnan(1.0)", "False")
isfinite = _test(
    "isfinite", ew.is_finite, True, "Whether neither NaN nor infinite.", "isfinite(1.0)", "True"
)
isinf = _test(
    "isinf", lambda x: ew.eq(ew.abs_(x), math.inf), False,
    "Whether infinite, of either sign.", "isinf(1.0)", "False",
)  # fmt: skip
isposinf = _numeric(
    "isposinf", _of_reals("isposinf", lambda x: _equals(x, math.inf)),
    "Whether +∞.", "isposinf(1.0)", "False",
)  # fmt: skip
isneginf = _numeric(
    "isneginf", _of_reals("isneginf", lambda x: _equals(x, -math.inf)),
    "Whether −∞.", "isneginf(1.0)", "False",
)  # fmt: skip


def isreal(x: ArrayLike) -> Array:
    """Whether the imaginary part is 0.

    >>> print(isreal(1j))
    False
    """
    return settle(ew.eq(operand(imag(x)), 0))


def iscomplex(x: ArrayLike) -> Array:
    """Whether the imaginary part is not 0.

    >>> print(iscomplex(1j))
    True
    """
    return settle(ew.ne(operand(imag(x)), 0))


def nan_to_num(
    x: ArrayLike,
    copy: bool = True,
    nan: ArrayLike = 0.0,
    posinf: ArrayLike | None = None,
    neginf: ArrayLike | None = None,
) -> Array:
    """Numbers in the place of NaN and of infinities (by default 0 and the largest).

    >>> print(nan_to_num(float("nan")))
    0.0
    """
    value = operand(x, "nan_to_num")
    if kind(value) == "c":
        parts = [nan_to_num(part, copy, nan, posinf, neginf) for part in (real(value), imag(value))]
        return settle(ew.complex_(*parts))
    if kind(value) != "f":
        return settle(value)
    dtype = type_of(value).dtype
    limit = finite_limit(dtype)

    def filled(condition: Any, filler: Any, y: Any) -> Any:
        return ew.select(condition, cast(filler, dtype), y)

    value = filled(ew.ne(value, value), nan, strong(value))
    value = filled(ew.eq(value, math.inf), limit if posinf is None else posinf, value)
    return settle(filled(ew.eq(value, -math.inf), -limit if neginf is None else neginf, value))


def finite_limit(dtype: Any) -> float:
    """The largest finite number of a float dtype."""
    from jitml.numpy.types import finfo

    return float(finfo(dtype).max)


def astype(
    x: ArrayLike, dtype: DTypeLike, /, *, copy: bool = False, device: object = None
) -> Array:
    """`x` converted to `dtype`. Floats to integers truncate and saturate.

    >>> print(astype(1.7, "int32"))
    1
    """
    wanted = as_dtype("float" if dtype is None else dtype)
    value = operand(x, "astype")
    if type_of(value).dtype == wanted:
        return settle(strong(value))
    return settle(ew.convert(value, wanted))
