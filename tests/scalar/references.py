"""What the math functions should give: float64 functions judge f32, mpmath judges f64.

Also the samples to judge by, and the distance of results from their references in ulp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mpmath
import numpy as np
import scipy.special

DTYPES: dict[str, type[Any]] = {"f32": np.float32, "f64": np.float64}
_PRECISION = {"f32": (24, -149, 2.0**128), "f64": (53, -1074, np.inf)}


class Reference(NamedTuple):
    """A function's meaning in float64 and in mpmath, the error allowed in ulp, and its arity."""

    double: Callable[..., Any]
    exact: Callable[..., Any]
    ulp: float
    arity: int = 1
    # Where the result crosses zero steeply the error is measured against this size instead.
    scale: Callable[..., Any] | None = None


def _cube_root(x: Any) -> Any:
    return mpmath.sign(x) * mpmath.cbrt(abs(x))


def _log1p(x: Any) -> Any:
    return mpmath.log1p(x) if abs(x) < 0.5 else mpmath.log(1 + x)


def _erfc(x: Any) -> Any:
    return mpmath.mpf(0) if x > 40 else mpmath.erfc(x)


def _lgamma(x: Any) -> Any:
    pole = x <= 0 and x == mpmath.floor(x)
    return mpmath.inf if pole else mpmath.loggamma(x).real


def _size_of_lgamma(x: Any) -> Any:
    return np.where(x < 0, np.maximum(1.0, scipy.special.gammaln(np.abs(x))), 0.0)


def _size_of_digamma(x: Any) -> Any:
    return np.where(x < 0, 1.0 + np.abs(scipy.special.digamma(np.abs(x) + 1.0)), 0.0)


def _scaled_bessel(order: int) -> Callable[..., Any]:
    return lambda x: mpmath.besseli(order, x) * mpmath.exp(-abs(x))


def _double_logistic(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


REFERENCES = {
    "exp": Reference(np.exp, mpmath.exp, 1.0),
    "exp2": Reference(np.exp2, lambda x: mpmath.mpf(2) ** x, 1.5),
    "expm1": Reference(np.expm1, mpmath.expm1, 1.5),
    "log": Reference(np.log, mpmath.log, 1.0),
    "log2": Reference(np.log2, lambda x: mpmath.log(x) / mpmath.log(2), 2.0),
    "log10": Reference(np.log10, mpmath.log10, 1.6),
    "log1p": Reference(np.log1p, _log1p, 2.0),
    "logistic": Reference(_double_logistic, lambda x: 1 / (1 + mpmath.exp(-x)), 2.0),
    "sqrt": Reference(np.sqrt, mpmath.sqrt, 0.5),
    "rsqrt": Reference(lambda x: 1 / np.sqrt(x), lambda x: 1 / mpmath.sqrt(x), 1.5),
    "cbrt": Reference(np.cbrt, _cube_root, 1.0),
    "sin": Reference(np.sin, mpmath.sin, 1.6),
    "cos": Reference(np.cos, mpmath.cos, 1.6),
    "tan": Reference(np.tan, mpmath.tan, 2.0),
    "asin": Reference(np.arcsin, mpmath.asin, 2.0),
    "acos": Reference(np.arccos, mpmath.acos, 1.5),
    "atan": Reference(np.arctan, mpmath.atan, 1.5),
    "sinh": Reference(np.sinh, mpmath.sinh, 2.0),
    "cosh": Reference(np.cosh, mpmath.cosh, 2.0),
    "tanh": Reference(np.tanh, mpmath.tanh, 2.0),
    "asinh": Reference(np.arcsinh, mpmath.asinh, 2.0),
    "acosh": Reference(np.arccosh, mpmath.acosh, 2.0),
    "atanh": Reference(np.arctanh, mpmath.atanh, 2.0),
    "erf": Reference(scipy.special.erf, mpmath.erf, 2.0),
    "erfc": Reference(scipy.special.erfc, _erfc, 2.0),
    "erf_inv": Reference(scipy.special.erfinv, mpmath.erfinv, 2.0),
    "bessel_i0e": Reference(scipy.special.i0e, _scaled_bessel(0), 2.0),
    "bessel_i1e": Reference(scipy.special.i1e, _scaled_bessel(1), 2.0),
    "lgamma": Reference(scipy.special.gammaln, _lgamma, 4.0, scale=_size_of_lgamma),
    "digamma": Reference(scipy.special.digamma, mpmath.digamma, 4.0, scale=_size_of_digamma),
    "pow": Reference(np.power, mpmath.power, 1.5, arity=2),
    "atan2": Reference(np.arctan2, mpmath.atan2, 2.0, arity=2),
}


def samples(name: str, type_: str, count: int, seed: int = 0) -> list[Any]:
    """Finite operands over all magnitudes, denser where functions bend: about 7·count of each."""
    random = np.random.default_rng(seed)
    dtype, bits = DTYPES[type_], 32 if type_ == "f32" else 64
    if name == "pow":
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            scales = np.repeat([0.01, 1.0, 20.0, bits], 2 * count)
            x = np.exp(random.standard_normal(scales.size) * scales).astype(dtype)
            limit = (80 if type_ == "f32" else 700) / np.log(x.astype(np.float64))
            y = np.where(
                np.arange(x.size) % 2 == 0,
                limit * random.uniform(-1, 1, x.size),
                random.standard_normal(x.size) * 3,
            ).astype(dtype)
        keep = np.isfinite(x) & np.isfinite(y) & (x > 0)
        return [x[keep], y[keep]]
    parts = [
        random.integers(0, 2**bits, count, np.uint32 if bits == 32 else np.uint64).view(dtype),
        *(random.standard_normal(count) * scale for scale in (1, 8, 60, 500)),
        1 + random.standard_normal(count) * 0.1,
        random.uniform(-1, 1, count),
    ]
    x = np.concatenate([part.astype(dtype) for part in parts])
    x = x[np.isfinite(x)]
    return [x] if REFERENCES[name].arity == 1 else [x, random.permutation(x)]


def exact_values(name: str, operands: Sequence[Any]) -> tuple[Any, Any]:
    """mpmath's results, the sum of two float64 arrays; NaN outside the domain."""
    function = REFERENCES[name].exact
    highs, lows = [], []
    with mpmath.workprec(160):
        for point in zip(*operands, strict=True):
            try:
                value = function(*(mpmath.mpf(float(x)) for x in point))
            except ValueError:
                value = mpmath.nan
            if isinstance(value, mpmath.mpc) or mpmath.isnan(value):
                value = mpmath.nan
            high = float(value)
            highs.append(high)
            lows.append(float(value - high) if np.isfinite(high) else 0.0)
    return np.array(highs), np.array(lows)


def reference_values(name: str, type_: str, operands: Sequence[Any]) -> tuple[Any, Any]:
    """The expected results for operands of a type, as an unevaluated sum."""
    if type_ == "f64":
        return exact_values(name, operands)
    with np.errstate(all="ignore"):
        high = REFERENCES[name].double(*(x.astype(np.float64) for x in operands))
    return high, np.zeros_like(high)


def errors_in_ulp(name: str, type_: str, operands: Sequence[Any], results: Any) -> Any:
    """How far each result is from the truth; infinite where NaN or an infinity is wrong."""
    high, low = reference_values(name, type_, operands)
    precision, smallest, top = _PRECISION[type_]
    limit = float(np.finfo(DTYPES[type_]).max)
    got = results.astype(np.float64)
    size = np.abs(high)
    scale = REFERENCES[name].scale
    if scale is not None:
        with np.errstate(all="ignore"):
            size = np.maximum(size, scale(operands[0].astype(np.float64)))
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(np.where(np.isfinite(size), size, 1.0))
        ulp = np.ldexp(1.0, np.maximum(exponent - precision, smallest))
        error = np.abs((got - high) - low) / ulp
        over = (size > limit) & (np.abs(got) >= limit) & (np.sign(got) == np.sign(high))
    # Beyond the largest float, that float (where within half an ulp) or infinity is right.
    error = np.where(over & ((got != high) | (size >= top) | np.isinf(got)), 0.0, error)
    both_nan = np.isnan(high) & np.isnan(got)
    return np.where(both_nan | (got == high), 0.0, np.where(np.isnan(error), np.inf, error))
