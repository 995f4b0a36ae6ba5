"""Functions of one array, element by element: a row each, as NumPy names them.

In: anything `operand` takes. Out: arrays of the same shape. Integers become floats where the
result is not an integer; complex numbers are taken where the function has a meaning for them.
"""

from __future__ import annotations

import math
import sys
from types import FrameType
from typing import Any

from jitml.eager import compiled_at_once, operation
from jitml.ir import dtypes
from jitml.ir.dtypes import DType
from jitml.ir.errors import DTypeError
from jitml.ir.source import is_of_user
from jitml.ir.types import ArrayType
from jitml.numpy.operands import as_dtype, cast, fail, fitting, kind, operand, settle, strong
from jitml.numpy.rows import Unary, default_floated, floating, numeric, of_floats, of_reals, parts
from jitml.ops import elementwise as ew
from jitml.ops.kinds import full_of
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, DTypeLike
from jitml_runtime import calling

__all__ = [
    "absolute", "acos", "acosh", "angle", "arccos", "arccosh", "arcsin", "arcsinh", "arctan",
    "arctanh", "asin", "asinh", "astype", "atan", "atanh", "cbrt", "conj", "conjugate", "cos",
    "cosh", "deg2rad", "degrees", "exp", "exp2", "expm1", "fabs", "imag", "log", "log1p", "log2",
    "log10", "negative", "positive", "rad2deg", "radians", "real", "reciprocal", "sign", "signbit",
    "sin", "sinc", "sinh", "sqrt", "square", "tan", "tanh",
]  # fmt: skip

# ---- exponentials and logarithms ------------------------------------------------------------


def _scaled(x: Any, factor: float) -> Any:
    """Each part of `x` times a real factor."""
    result = parts(lambda part: ew.mul(part, factor))(x)
    return strong(result) if kind(x) == "c" else result


def _per_base(x: Any, base: int) -> Any:
    divided = parts(lambda part: ew.div(part, math.log(base)))
    result = divided(ew.log(x))
    return strong(result) if kind(x) == "c" else result


exp = floating("exp", ew.exp, "e to the power of each element.", "exp(0.0)", "1.0")
exp2 = floating(
    "exp2", of_floats(ew.exp2, lambda x: ew.exp(ew.mul(x, math.log(2)))),
    "2 to the power of each element.", "exp2(3.0)", "8.0",
)  # fmt: skip
expm1 = floating("expm1", ew.expm1, "exp(x) − 1, exact near 0.", "expm1(0.0)", "0.0")
log = floating("log", ew.log, "The natural logarithm.", "log(1.0)", "0.0")
log2 = floating("log2", lambda x: _per_base(x, 2), "The logarithm to base 2.", "log2(8.0)", "3.0")
log10 = floating(
    "log10",
    lambda x: _per_base(x, 10),
    "The logarithm to base 10.",
    "log10(1.0)",
    "0.0",
)
log1p = floating("log1p", ew.log1p, "log(1 + x), exact near 0.", "log1p(0.0)", "0.0")
sqrt = floating("sqrt", ew.sqrt, "The square root.", "sqrt(9.0)", "3.0")
cbrt = floating("cbrt", ew.cbrt, "The cube root.", "cbrt(27.0)", "3.0")

# ---- trigonometry ---------------------------------------------------------------------------

sin = floating("sin", ew.sin, "The sine.", "sin(0.0)", "0.0")
cos = floating("cos", ew.cos, "The cosine.", "cos(0.0)", "1.0")
tan = floating("tan", ew.tan, "The tangent.", "tan(0.0)", "0.0")
arcsin = asin = floating("arcsin", ew.asin, "The inverse sine.", "arcsin(0.0)", "0.0")
arccos = acos = floating("arccos", ew.acos, "The inverse cosine.", "arccos(1.0)", "0.0")
arctan = atan = floating("arctan", ew.atan, "The inverse tangent.", "arctan(0.0)", "0.0")
sinh = floating("sinh", ew.sinh, "The hyperbolic sine.", "sinh(0.0)", "0.0")
cosh = floating("cosh", ew.cosh, "The hyperbolic cosine.", "cosh(0.0)", "1.0")
tanh = floating("tanh", ew.tanh, "The hyperbolic tangent.", "tanh(0.0)", "0.0")
arcsinh = asinh = floating("arcsinh", ew.asinh, "The inverse of sinh.", "arcsinh(0.0)", "0.0")
arccosh = acosh = floating("arccosh", ew.acosh, "The inverse of cosh.", "arccosh(1.0)", "0.0")
arctanh = atanh = floating("arctanh", ew.atanh, "The inverse of tanh.", "arctanh(0.0)", "0.0")
deg2rad = radians = floating(
    "deg2rad", lambda x: _scaled(x, math.pi / 180), "Degrees as radians.", "deg2rad(0.0)", "0.0"
)
rad2deg = degrees = floating(
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


sinc = floating("sinc", _sinc, "sin(πx)/(πx), which is 1 at 0.", "sinc(0.0)", "1.0")

# ---- sign and parts -------------------------------------------------------------------------


def _absolute(x: Any) -> Any:
    return x if kind(x) == "b" else ew.abs_(x)


def _reject_bool(name: str, op: Unary, instead: str) -> Unary:
    def checked(x: Any) -> Any:
        if kind(x) == "b":
            fail(DTypeError, f"{name}: booleans have no {name}", f"use {instead}")
        return op(x)

    return checked


absolute = numeric("absolute", _absolute, "The absolute value.", "absolute(-2.0)", "2.0")
fabs = floating(
    "fabs", of_reals("fabs", ew.abs_), "The absolute value as a float.", "fabs(-2)", "2.0"
)
negative = numeric(
    "negative", _reject_bool("negative", ew.neg, "logical_not or ~"),
    "Each element with the other sign.", "negative(2.0)", "-2.0",
)  # fmt: skip
positive = numeric("positive", lambda x: x, "The array itself.", "positive(2.0)", "2.0")


def _sign(x: Any) -> Any:
    """The sign of −0 is 0, as NumPy and the array API standard have it."""
    found = ew.sign(x)
    return ew.add(found, 0.0) if kind(x) == "f" else found


sign = numeric(
    "sign", _reject_bool("sign", _sign, "astype(int)"),
    "−1, 0 or 1; of a complex number its direction.", "sign(-2.0)", "-1.0",
)  # fmt: skip
square = numeric(
    "square", lambda x: ew.integer_pow(cast(x, dtypes.INT32) if kind(x) == "b" else x, 2),
    "Each element times itself.", "square(3.0)", "9.0",
)  # fmt: skip
real = numeric(
    "real", lambda x: ew.real(x) if kind(x) == "c" else x, "The real part.", "real(1.0)", "1.0"
)
imag = numeric(
    "imag", lambda x: ew.imag(x) if kind(x) == "c" else full_of(type_of(x), 0),
    "The imaginary part.", "imag(1.0)", "0.0",
)  # fmt: skip
conjugate = conj = numeric(
    "conjugate", lambda x: ew.conj(x) if kind(x) == "c" else x,
    "The complex conjugate.", "conjugate(1.0)", "1.0",
)  # fmt: skip


def _reciprocal(x: Any) -> Any:
    return ew.div(full_of(type_of(x), 1), x)


reciprocal = floating("reciprocal", _reciprocal, "1 / x.", "reciprocal(4.0)", "0.25")


@compiled_at_once
def angle(z: ArrayLike, deg: bool = False) -> Array:
    """The argument of complex numbers, in radians or degrees.

    >>> print(angle(1.0))
    0.0
    """
    x = operand(z, "angle")
    x = strong(default_floated(x))
    if kind(x) == "c":
        result = ew.atan2(ew.imag(x), ew.real(x))
    else:
        result = ew.atan2(full_of(type_of(x), 0), x)
    return settle(ew.mul(result, 180 / math.pi) if deg else result)


@operation
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


def astype(
    x: ArrayLike, dtype: DTypeLike, /, *, copy: bool = False, device: object = None
) -> Array:
    """`x` converted to `dtype`. Floats to integers truncate.

    A number at hand that an integer dtype cannot hold raises IntegerOverflowError. In a function
    that is traced, integers wrap around and floats saturate, as `jitml.lax.convert_element_type`
    does always.

    >>> print(astype(1.7, "int32"))
    1
    """
    return converted(x, dtype, sys._getframe(1))


def converted(x: ArrayLike, dtype: DTypeLike, caller: FrameType) -> Array:
    """`x` as `dtype`; what the user converts at hand must fit."""
    wanted = as_dtype("float" if dtype is None else dtype)
    if calling.recorder is None and dtypes.is_integer(wanted) and is_of_user(caller):
        return _astype_at_hand(x, wanted)
    return _astype(x, wanted)


@compiled_at_once
def _astype(x: ArrayLike, dtype: DType) -> Array:
    value = operand(x, "astype")
    same = type_of(value).dtype == dtype
    return settle(strong(value) if same else ew.convert(value, dtype))


@compiled_at_once
def _astype_at_hand(x: ArrayLike, dtype: DType) -> Array:
    return _astype(fitting(operand(x, "astype"), dtype), dtype)
