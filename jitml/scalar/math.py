"""The math of the scalar language, one name per function, for real and complex operands.

In: `Value`s of f32 or f64, or `Complex` where a complex function exists. Out: the same kind, type
and lanes. The same instructions serve one lane and many: results do not depend on the vector width.
Each function states its accuracy in units in the last place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from jitml.scalar import complex as on_complex
from jitml.scalar import complex_trigonometric as on_complex_angles
from jitml.scalar import exponential, logarithm, power, rounding, trigonometric, value
from jitml.scalar.bessel import bessel_i0e, bessel_i1e
from jitml.scalar.complex import Complex, angle, choose, conj, hypot
from jitml.scalar.entropy import kl_div, rel_entr, xlog1py, xlogy
from jitml.scalar.exponential_integrals import cosine_integral, exp1, expi, expn, sine_integral
from jitml.scalar.faddeeva import dawsn, erfcx, fresnel_cosine, fresnel_sine, wofz
from jitml.scalar.gamma import digamma, lgamma
from jitml.scalar.gamma_function import beta, betaln, gamma, poch
from jitml.scalar.hypergeometric import (
    hyp1f1,
    hyp1f1_grad_a,
    hyp1f1_grad_b,
    hyp2f1,
    hyp2f1_grad_a,
    hyp2f1_grad_c,
)
from jitml.scalar.incomplete_beta import betainc, betainc_grad_a, betainc_grad_b
from jitml.scalar.incomplete_gamma import igamma, igamma_grad_a, igammac, random_gamma_grad
from jitml.scalar.normal import log_ndtr, logit, ndtr, owens_t
from jitml.scalar.power import cbrt, integer_pow
from jitml.scalar.quantile import erf_inv, ndtri
from jitml.scalar.rounding import fmod, nextafter, round_half_away
from jitml.scalar.special import erf, erfc
from jitml.scalar.trigonometric import atan2
from jitml.scalar.value import Value
from jitml.scalar.zeta import polygamma, spence, zeta, zeta_grad_x

T = TypeVar("T", Value, Complex)


class Unary(Protocol):
    """A function of one real or complex operand."""

    def __call__(self, x: T, /) -> T: ...


class Binary(Protocol):
    """A function of two real or two complex operands."""

    def __call__(self, x: T, y: T, /) -> T: ...


def _unary(real: Callable[[Value], Value], other: Callable[[Complex], Complex]) -> Unary:
    def function(x: T, /) -> T:
        return other(x) if isinstance(x, Complex) else real(x)

    function.__name__, function.__doc__ = real.__name__, real.__doc__
    return function


def _binary(
    real: Callable[[Value, Value], Value], other: Callable[[Complex, Complex], Complex]
) -> Binary:
    def function(x: T, y: T, /) -> T:
        if isinstance(x, Complex):
            assert isinstance(y, Complex)
            return other(x, y)
        assert isinstance(y, Value)
        return real(x, y)

    function.__name__, function.__doc__ = real.__name__, real.__doc__
    return function


def _rsqrt(x: Complex) -> Complex:
    return on_complex.reciprocal(on_complex.sqrt(x))


def _logistic(x: Complex) -> Complex:
    return on_complex.reciprocal(on_complex.exp(-x) + 1)


exp = _unary(exponential.exp, on_complex.exp)
expm1 = _unary(exponential.expm1, on_complex.expm1)
exp2 = _unary(exponential.exp2, on_complex.exp2)
logistic = _unary(exponential.logistic, _logistic)
log = _unary(logarithm.log, on_complex.log)
log1p = _unary(logarithm.log1p, on_complex.log1p)
log2 = _unary(logarithm.log2, on_complex.log2)
log10 = _unary(logarithm.log10, on_complex.log10)
sqrt = _unary(value.sqrt, on_complex.sqrt)
rsqrt = _unary(power.rsqrt, _rsqrt)
sin = _unary(trigonometric.sin, on_complex_angles.sin)
cos = _unary(trigonometric.cos, on_complex_angles.cos)
tan = _unary(trigonometric.tan, on_complex_angles.tan)
asin = _unary(trigonometric.asin, on_complex_angles.asin)
acos = _unary(trigonometric.acos, on_complex_angles.acos)
atan = _unary(trigonometric.atan, on_complex_angles.atan)
sinh = _unary(exponential.sinh, on_complex_angles.sinh)
cosh = _unary(exponential.cosh, on_complex_angles.cosh)
tanh = _unary(exponential.tanh, on_complex_angles.tanh)
asinh = _unary(logarithm.asinh, on_complex_angles.asinh)
acosh = _unary(logarithm.acosh, on_complex_angles.acosh)
atanh = _unary(logarithm.atanh, on_complex_angles.atanh)
sign = _unary(rounding.sign, on_complex.sign)
reciprocal = _unary(rounding.reciprocal, on_complex.reciprocal)
square = _unary(rounding.square, on_complex.square)
pow = _binary(power.pow, on_complex.pow)

__all__ = [
    "Complex", "acos", "acosh", "angle", "asin", "asinh", "atan", "atan2", "atanh", "bessel_i0e",
    "bessel_i1e", "beta", "betainc", "betainc_grad_a", "betainc_grad_b", "betaln", "cbrt",
    "choose", "conj", "cos", "cosh", "cosine_integral", "dawsn", "digamma", "erf", "erf_inv",
    "erfc", "erfcx", "exp", "exp1", "exp2", "expi", "expm1", "expn", "fmod", "fresnel_cosine",
    "fresnel_sine", "gamma", "hyp1f1", "hyp1f1_grad_a", "hyp1f1_grad_b", "hyp2f1",
    "hyp2f1_grad_a", "hyp2f1_grad_c", "hypot", "igamma", "igamma_grad_a", "igammac",
    "integer_pow", "kl_div", "lgamma", "log", "log1p", "log2", "log10", "log_ndtr", "logistic",
    "logit", "ndtr", "ndtri", "nextafter", "owens_t", "poch", "polygamma", "pow",
    "random_gamma_grad", "reciprocal", "rel_entr", "round_half_away", "rsqrt", "sign", "sin",
    "sine_integral", "sinh", "spence", "sqrt", "square", "tan", "tanh", "wofz", "xlog1py",
    "xlogy", "zeta", "zeta_grad_x",
]  # fmt: skip
