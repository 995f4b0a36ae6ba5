"""What special functions should give, by mpmath; where they are looked at; what error is allowed.

`python -m tests.scalar.special_accuracy` measures and writes the table of ACCURACY.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath
import numpy as np

Sampler = Callable[[Any, int], Any]


class Special(NamedTuple):
    """A function's meaning in mpmath, a sampler for each argument, and the errors allowed in ulp
    of f32 and of f64.
    """

    exact: Callable[..., Any]
    samplers: tuple[Sampler, ...]
    single: float = 1.0
    double: float = 100.0


def uniform(low: float, high: float) -> Sampler:
    return lambda random, count: random.uniform(low, high, count)


def spread(low: float, high: float) -> Sampler:
    """Evenly in the logarithm."""
    return lambda random, count: np.exp(random.uniform(np.log(low), np.log(high), count))


def whole(low: int, high: int) -> Sampler:
    return lambda random, count: random.integers(low, high + 1, count).astype(float)


def _beta(a: Any, b: Any) -> Any:
    return mpmath.exp(_betaln(a, b))


def _betaln(a: Any, b: Any) -> Any:
    return (mpmath.loggamma(a) + mpmath.loggamma(b) - mpmath.loggamma(a + b)).real


def _lower(a: Any, x: Any) -> Any:
    return mpmath.gammainc(a, 0, x, regularized=True)


def _upper(a: Any, x: Any) -> Any:
    return mpmath.gammainc(a, x, mpmath.inf, regularized=True)


def _incomplete_beta(a: Any, b: Any, x: Any) -> Any:
    return mpmath.betainc(a, b, 0, x, regularized=True)


def _by_argument(function: Callable[..., Any], place: int) -> Callable[..., Any]:
    """The derivative of a function of mpmath by one argument."""

    def slope(*arguments: Any) -> Any:
        def along(x: Any) -> Any:
            return function(*(x if k == place else a for k, a in enumerate(arguments)))

        return mpmath.diff(along, arguments[place])

    return slope


def _dawson(x: Any) -> Any:
    return mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(-x * x) * mpmath.erfi(x)


def _log_ndtr(x: Any) -> Any:
    return mpmath.log(mpmath.ncdf(x)) if x < 0 else mpmath.log1p(-mpmath.ncdf(-x))


def _ndtri(p: Any) -> Any:
    return mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1)


def _expn(n: Any, x: Any) -> Any:
    return mpmath.expint(int(n), x)


def _owens_t(h: Any, a: Any) -> Any:
    def density(t: Any) -> Any:
        return mpmath.exp(-h * h * (1 + t * t) / 2) / (1 + t * t)

    return mpmath.quad(density, [0, a / 8, a / 2, a]) / (2 * mpmath.pi)


def _rel_entr(p: Any, q: Any) -> Any:
    return p * mpmath.log(p / q)


POSITIVE = spread(0.01, 60)
SPECIAL = {
    "gamma": Special(mpmath.gamma, (uniform(-30.3, 34),), double=4),
    "poch": Special(mpmath.rf, (uniform(0.1, 15), uniform(-8, 15)), double=100),
    "beta": Special(_beta, (POSITIVE, spread(0.01, 20)), double=300),
    "betaln": Special(_betaln, (spread(0.01, 1e5), spread(0.01, 0.5)), double=1e4),
    "betainc": Special(_incomplete_beta, (spread(0.1, 80), spread(0.1, 80), uniform(0.2, 0.8)),
                       double=300),
    "betainc_grad_a": Special(_by_argument(_incomplete_beta, 0),
                              (spread(0.3, 9), spread(0.3, 9), uniform(0.2, 0.8)), double=1e4),
    "igamma": Special(_lower, (spread(0.05, 300), spread(0.1, 300)), double=2000),
    "igammac": Special(_upper, (spread(0.05, 300), spread(0.1, 90))),
    "igamma_grad_a": Special(_by_argument(_lower, 0), (spread(0.3, 9), spread(0.3, 9)), double=1e4),
    "zeta": Special(mpmath.zeta, (uniform(1.1, 15), spread(0.01, 9)), double=8),
    "polygamma": Special(lambda n, x: mpmath.polygamma(int(n), x), (whole(0, 9), spread(0.05, 90)),
                         double=8),
    "erfcx": Special(lambda x: mpmath.exp(x * x) * mpmath.erfc(x), (uniform(-8, 60),), double=2),
    "dawsn": Special(_dawson, (uniform(-20, 20),), double=8),
    "fresnel_sine": Special(mpmath.fresnels, (uniform(-20, 20),), double=4),
    "fresnel_cosine": Special(mpmath.fresnelc, (uniform(-20, 20),), double=4),
    "ndtr": Special(mpmath.ncdf, (uniform(-13, 5),), 2, 2),
    "log_ndtr": Special(_log_ndtr, (uniform(-60, 2),), 2, 2),
    "ndtri": Special(_ndtri, (uniform(0, 1),), 2, 2),
    "logit": Special(lambda p: mpmath.log(p / (1 - p)), (uniform(0, 1),), 2, 2),
    "owens_t": Special(_owens_t, (spread(0.01, 4), spread(0.01, 4)), double=50),
    "exp1": Special(mpmath.e1, (spread(1e-3, 80),), double=4),
    "expi": Special(mpmath.ei, (spread(0.5, 80),), double=8),
    "expn": Special(_expn, (whole(0, 20), spread(1e-3, 80)), double=50),
    "sine_integral": Special(mpmath.si, (uniform(-60, 60),), double=8),
    "cosine_integral": Special(mpmath.ci, (spread(0.7, 3),), double=20),
    "spence": Special(lambda x: mpmath.polylog(2, 1 - x).real, (spread(1e-3, 1e3),), double=8),
    "rel_entr": Special(_rel_entr, (spread(0.1, 9), spread(0.1, 9)), double=8),
    "hyp1f1": Special(mpmath.hyp1f1, (uniform(0.2, 5), uniform(0.2, 5), uniform(-30, 30)),
                      double=200),
    "hyp2f1": Special(mpmath.hyp2f1, (uniform(0.2, 3), uniform(0.2, 3), uniform(0.2, 5),
                                      uniform(-3, 0.95)), 4, 1e8),
}  # fmt: skip
