"""Calls of `jax.random`: the same key gives the same numbers."""

from __future__ import annotations

import numpy as np

from every.pools import KEY, Call, M, V, calls, of_each

KEYS = [KEY, np.array([1, 2], "uint32"), np.array([0, 0], "uint32"), np.array([2**31, 5], "uint32")]
SIZES = [(), (3,), (2, 3), (0,), (1, 1), (5,), (17,)]
TYPES = ["float32", "float16", "bfloat16"]
PLAIN = (
    "uniform normal exponential gumbel laplace logistic cauchy maxwell truncated_normal rademacher "
    "lognormal rayleigh bits"
)
SIMPLE = "uniform normal exponential gumbel laplace logistic cauchy maxwell"
CHANCES = np.array([0.1, 0.2, 0.3, 0.4])


def sized(name: str, *given: object) -> list[Call]:
    """Calls of a distribution with parameters, for keys and shapes."""
    each = [(k, *given, s) for k, s in zip(KEYS * 2, SIZES, strict=False)]
    return calls(f"random.{name}", *each, *((KEYS[k], *given, (4,)) for k in (1, 2, 3)))


CALLS: list[Call] = [
    *of_each("random", SIMPLE, *((KEY, s) for s in SIZES), *((KEY, (4,), t) for t in TYPES),
             *((k, (4,)) for k in KEYS)),
    *of_each("random", "rademacher", *((k, s) for k in KEYS for s in SIZES[:3])),
    *of_each("random", "bits", *((k, s, t) for k in KEYS for s, t in zip(SIZES[:3], (
             "uint8", "uint16", "uint32"), strict=True))),
    *of_each("random", "lognormal", *((k, s, (4,)) for k in KEYS for s in (0.5, 1.0, 2.0))),
    *sized("truncated_normal", -1.0, 2.0), *sized("pareto", 2.5), *sized("weibull_min", 1.5, 2.0),
    *sized("triangular", 0.0, 0.3, 1.0), *sized("geometric", 0.3), *sized("bernoulli", 0.3),
    *sized("gamma", 2.5), *sized("loggamma", 0.7), *sized("beta", 1.5, 0.5), *sized("t", 3.0),
    *sized("chisquare", 3.0), *sized("f", 3.0, 4.0), *sized("poisson", 3.5), *sized("binomial",
        9.0, 0.3),
    *sized("double_sided_maxwell", 0.5, 2.0), *sized("rayleigh", 2.0), *sized("wald", 1.5),
    *sized("generalized_normal", 1.5),
    *calls("random.dirichlet", *((k, a) for k in KEYS for a in (V, V[:2], M * M + 0.2))),
    *calls("random.categorical", *((k, x) for k in KEYS for x in (V, M, M[:, :1]))),
    *calls("random.choice", *((k, a, (3,), r, p) for k in KEYS[:2] for a in (4,
        V[:4]) for r in (True, False)
                              for p in (None, CHANCES))),
    *calls("random.permutation", *((k, x) for k in KEYS for x in (7, V, M)), (KEY, M, 1), (KEY, M,
        1, True)),
    *calls("random.randint", *((k, s, 0, n) for k in KEYS for s, n in zip(SIZES[:3], (10, 3, 100),
        strict=True))),
    *calls("random.split", *((k, n) for k in KEYS for n in (1, 2, (2, 3)))),
    *calls("random.fold_in", *((k, n) for k in KEYS for n in (0, 7, 2**31 - 1))),
    *calls("random.PRNGKey", *((n,) for n in (0, 1, 42, -1, 2**31 - 1, 7, 123456, 99, -5, 1000))),
    *of_each("random", "key_data wrap_key_data clone", *((k,) for k in KEYS))[:0],
    *calls("random.multivariate_normal", *((k, V[:3], np.eye(3) * s) for k in KEYS for s in (1.0,
        2.0, 0.5))),
    *calls("random.ball", *((k, d) for k in KEYS for d in (1, 2, 5))),
]  # fmt: skip
