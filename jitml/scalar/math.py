"""The math of the scalar language, one name per function.

In: a `Value` of f32 or f64. Out: a `Value` of the same type and lanes. The same instructions serve
one lane and many, so results do not depend on the vector width. Each function states its accuracy, in
units in the last place.
"""

from __future__ import annotations

from jitml.scalar.exponential import cosh, exp, exp2, expm1, logistic, sinh, tanh
from jitml.scalar.logarithm import acosh, asinh, atanh, log, log1p, log2, log10
from jitml.scalar.power import cbrt, integer_pow, pow, rsqrt
from jitml.scalar.special import erf
from jitml.scalar.trigonometric import acos, asin, atan, atan2, cos, sin, tan
from jitml.scalar.value import sqrt

__all__ = [
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "cos", "cosh", "erf", "exp",
    "exp2", "expm1", "integer_pow", "log", "log10", "log1p", "log2", "logistic", "pow", "rsqrt",
    "sin", "sinh", "sqrt", "tan", "tanh",
]  # fmt: skip
