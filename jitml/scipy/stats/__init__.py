"""Distributions and statistics: the names, signatures and results of `jax.scipy.stats`.

Each distribution is a module, imported when it is first used.

>>> from jitml.scipy import stats
>>> print(stats.norm.cdf(0.0))
0.5
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = [
    "bernoulli", "beta", "betabinom", "binom", "cauchy", "chi2", "dirichlet", "expon", "gamma",
    "gennorm", "geom", "gumbel_l", "gumbel_r", "laplace", "logistic", "multinomial",
    "multivariate_normal", "nbinom", "norm", "pareto", "poisson", "t", "truncnorm", "uniform",
    "vonmises", "wrapcauchy",
]  # fmt: skip
_FUNCTIONS = {
    "ModeResult": "summaries",
    "gaussian_kde": "density_estimate",
    "mode": "summaries",
    "rankdata": "summaries",
    "sem": "summaries",
}
__all__ = [*_MODULES, *_FUNCTIONS]


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        module = importlib.import_module(f"jitml.scipy.stats.{_FUNCTIONS[name]}")
        value = globals()[name] = getattr(module, name)
        return value
    if name in _MODULES:
        return importlib.import_module(f"jitml.scipy.stats.{name}")
    raise AttributeError(f"module 'jitml.scipy.stats' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
