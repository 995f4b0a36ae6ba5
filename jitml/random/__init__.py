"""Random numbers as functions of keys, with the names and the bits of `jax.random`.

>>> from jitml import random
>>> print(random.uniform(random.key(0)))
0.947667
"""

from __future__ import annotations

from jitml.random.choices import categorical, choice, permutation
from jitml.random.distributions import (
    bernoulli,
    cauchy,
    exponential,
    geometric,
    gumbel,
    laplace,
    logistic,
    lognormal,
    maxwell,
    normal,
    pareto,
    rademacher,
    randint,
    rayleigh,
    triangular,
    truncated_normal,
    uniform,
    weibull_min,
)
from jitml.random.keys import (
    Key,
    PRNGKey,
    bits,
    clone,
    fold_in,
    key,
    key_data,
    key_impl,
    split,
    wrap_key_data,
)

__all__ = [
    "Key",
    "PRNGKey",
    "bernoulli",
    "bits",
    "categorical",
    "cauchy",
    "choice",
    "clone",
    "exponential",
    "fold_in",
    "geometric",
    "gumbel",
    "key",
    "key_data",
    "key_impl",
    "laplace",
    "logistic",
    "lognormal",
    "maxwell",
    "normal",
    "pareto",
    "permutation",
    "rademacher",
    "randint",
    "rayleigh",
    "split",
    "triangular",
    "truncated_normal",
    "uniform",
    "weibull_min",
    "wrap_key_data",
]
