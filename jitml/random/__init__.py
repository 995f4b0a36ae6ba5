"""Random numbers as functions of keys, with the names and the bits of `jax.random`.

>>> from jitml import random
>>> print(random.uniform(random.key(0)))
0.947667
"""

from __future__ import annotations

from jitml.random.choices import categorical, choice, permutation
from jitml.random.counts import binomial, multinomial, poisson
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
from jitml.random.gamma import beta, chisquare, dirichlet, f, gamma, loggamma, t
from jitml.random.keys import (
    Key,
    PRNGKey,
    bits,
    clone,
    fold_in,
    key,
    key_data,
    key_dtype,
    key_impl,
    split,
    wrap_key_data,
)
from jitml.random.vectors import (
    ball,
    double_sided_maxwell,
    generalized_normal,
    multivariate_normal,
    orthogonal,
    wald,
)

__all__ = [
    "Key",
    "PRNGKey",
    "ball",
    "bernoulli",
    "beta",
    "binomial",
    "bits",
    "categorical",
    "cauchy",
    "chisquare",
    "choice",
    "clone",
    "dirichlet",
    "double_sided_maxwell",
    "exponential",
    "f",
    "fold_in",
    "gamma",
    "generalized_normal",
    "geometric",
    "gumbel",
    "key",
    "key_data",
    "key_dtype",
    "key_impl",
    "laplace",
    "loggamma",
    "logistic",
    "lognormal",
    "maxwell",
    "multinomial",
    "multivariate_normal",
    "normal",
    "orthogonal",
    "pareto",
    "permutation",
    "poisson",
    "rademacher",
    "randint",
    "rayleigh",
    "split",
    "t",
    "triangular",
    "truncated_normal",
    "uniform",
    "wald",
    "weibull_min",
    "wrap_key_data",
]
