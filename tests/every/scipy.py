"""Calls of the rest of `jax.scipy`."""

from __future__ import annotations

import itertools

import numpy as np

from every.pools import (
    BRAIN,
    CM,
    E2,
    HALF,
    ONE,
    SPECIAL,
    C,
    Call,
    E,
    I,
    J,
    M,
    T,
    V,
    W,
    calls,
    of_each,
    of_one,
    optional,
    pairs,
)  # fmt: skip

X = "scipy.special"
G = "scipy.signal"
POSITIVE = [np.abs(x) + np.asarray(0.25, x.dtype) for x in (V, M, ONE, E, E2, HALF, BRAIN, W, T)]
INSIDE = [x / (x + np.asarray(1, x.dtype)) for x in POSITIVE]
REALS = [V, M, ONE, E, E2, SPECIAL, W, T, -V, V[:4] * 9]
NOISE = np.random.default_rng(11).normal(size=(2, 40))
COUNTS = np.array([[0, 1, 2], [5, 3, 9]])
SHAPES: dict[str, tuple[float, ...]] = {
    "beta": (2.3, 0.8), "chi2": (3.0,), "gamma": (1.7,), "pareto": (2.5,), "t": (4.0,),
    "truncnorm": (-0.5, 2.0), "cauchy": (), "expon": (), "gumbel_l": (), "gumbel_r": (),
    "laplace": (), "logistic": (), "norm": (), "uniform": (), "bernoulli": (0.3,),
    "betabinom": (7.0, 1.5, 2.0), "binom": (7.0, 0.3), "geom": (0.3,), "nbinom": (4.0, 0.3),
    "poisson": (2.5,), "gennorm": (1.3,), "vonmises": (2.0,), "wrapcauchy": (0.4,),
}  # fmt: skip
CONTINUOUS = "pdf logpdf cdf logcdf sf logsf"
BETWEEN = np.array([0.1, 0.4, 0.5, 0.9])
POINTS = [np.array([0.1, 0.5, 0.9]), np.array([[0.2], [0.7]]), ONE, E, np.array([0.3, np.nan]),
    INSIDE[0],
          INSIDE[5], INSIDE[1], BETWEEN, np.array([1.5, 3.0, 0.25])]  # fmt: skip
WHOLE = [np.array([0, 1, 2]), np.array([[3], [1]]), np.array(2), np.array([-1, 0]), np.array([7,
    20]),
         np.array([1.0, 2.0]), E, np.array([0.0, np.nan]), COUNTS, np.array([2],
             "int8")]  # fmt: skip

CALLS: list[Call] = [
    *of_one(X, "erf erfc erfcx dawsn ndtr log_ndtr expit i0 i0e i1 i1e spence exp1 expi entr",
        REALS),
    *of_one(X, "gammaln digamma gamma gammasgn loggamma factorial", [*POSITIVE, -W / 3]),
    *of_one(X, "erfinv ndtri logit", [*INSIDE, W / 3]),
    *of_one(X, "sici fresnel", REALS),
    *of_one(X, "wofz", [C, CM, C * 3, -C, C.conj(), CM * 9, CM / 9, C[:1], C * 0.01, CM.T]),
    *of_each(X, "beta betaln gammainc gammaincc xlogy xlog1py kl_div rel_entr poch",
             *pairs(POSITIVE), (V, 0.5), (2.0, V)),
    *of_each(X, "owens_t", *pairs(POSITIVE[:6]), (V, 0.5), (2.0, V), (W, W), (T, T)),
    *of_each(X, "boxcox boxcox1p", *pairs(POSITIVE), (V, 0.0), (V, 0.5)),
    *of_each(X, "zeta", *((a + np.asarray(1.5, a.dtype),
        np.asarray(np.flip(a)).copy()) for a in POSITIVE), (V + 1, 2.0)),
    *of_each(X, "polygamma", *((n, x) for n in (1, 2, 4) for x in (V, M * M + 0.3, ONE,
        T * T + 0.2))),
    *calls(f"{X}.betainc", *((a, np.asarray(np.flip(a)).copy(), x) for a, x in zip(POSITIVE,
        INSIDE, strict=True)),
           (V, 2.0, 0.3)),
    *of_each(X, "expn", *((n, x) for n in (0, 1, 2, 5) for x in (V, M * M + 0.3, ONE + 1))),
    *of_each(X, "comb", (5, 2), (V * 2, I[:5] % 3), (10.0, 3.0), (np.array([5.0, 6]), 2), (4.5,
        2), (40, 20),
             (0, 0), (3, 5), (np.array([[7.0], [9.0]]), np.array([1, 2, 3])), (1.0, 1.0)),
    *of_each(X, "hyp1f1", *((a, b, x) for a in (0.5, 2.0) for b in (1.5, 3.0) for x in (V, -V,
        ONE))),
    *of_each(X, "hyp2f1", *((a, b, c, x) for a in (0.5, 2.0) for b in (1.5, -2.0) for c in (2.7,
        4.2)
                            for x in (INSIDE[0] * 0.9, -V))),
    *of_each(X, "multigammaln", *((x + 5, d) for x in (V, ONE, E, HALF, BRAIN) for d in (1, 3))),
    *of_each(X, "logsumexp softmax log_softmax", *((x,) for x in (V, M, T, W, HALF, BRAIN,
        SPECIAL)), (M, 0),
             (T, 1), (M, -1)),
    *calls(f"{X}.bernoulli", *((n,) for n in range(10))),
    *(Call(f"{X}.bessel_jn", (x,), {"v": v}) for v in (0, 1, 4) for x in (V, ONE, W * W, V * 3)),
    *(Call(f"{X}.sph_harm_y", (np.array([n]), np.array([m]), np.array([0.4]), np.array([1.1])),
        {"n_max": 5})
      for n, m in itertools.product((0, 1, 2, 5), (0, 1, -1)) if abs(m) <= n),
    # distributions
    *(Call(f"scipy.stats.{d}.{f}", (x, *s), {}) for d,
        s in SHAPES.items() for f in CONTINUOUS.split()
      for x in POINTS if d not in ("bernoulli", "betabinom", "binom", "geom", "nbinom", "poisson")),
    *(Call(f"scipy.stats.{d}.{f}", (x, *SHAPES[d]), {}) for d in ("bernoulli", "betabinom",
        "binom", "geom",
      "nbinom", "poisson") for f in ("pmf", "logpmf", "cdf") for x in WHOLE),
    *(Call(f"scipy.stats.{d}.{f}", (x, *SHAPES[d]), {}) for d in SHAPES for f in ("ppf", "isf")
      for x in POINTS[:9]),
    *of_each("scipy.stats.multivariate_normal", "pdf logpdf", *((x, np.zeros(3), c) for x in (W,
        V[:3], M.T[
        :, :3], W * 0) for c in (np.eye(3), 2 * np.eye(3), np.eye(3) + 0.2))),
    *of_each("scipy.stats.dirichlet", "pdf logpdf", *((x, a) for x in (np.array([0.2, 0.3, 0.5]),
        np.array(
        [0.1, 0.1, 0.8]), np.array([0.2, 0.3])) for a in (V[:3], V[:3] * 2, np.ones(3)))),
    *of_each("scipy.stats.multinomial", "pmf logpmf", *((np.array(x), sum(x),
        np.array(p)) for x in (
        [1, 2, 0], [0, 0, 4], [3, 3, 3]) for p in ([0.2, 0.3, 0.5], [0.1, 0.1, 0.8], [1 / 3] * 3))),
    *of_each("scipy.stats", "mode rankdata sem", *((x,) for x in (V, M, T, W, J, HALF, COUNTS)),
        (M, 1), (T, 2),
             (COUNTS, 0), (M, None)),
    *optional("scipy.stats.rankdata", (np.array([3.0, 1, 3, 2]),), *({"method": m} for m in (
        "average", "min", "max", "dense", "ordinal"))),
    # signals
    *(c for n in ("convolve", "correlate") for m in ("full", "same", "valid") for c in calls(
        f"{G}.{n}", (V, W), (I, W), (C, V[:3]), (M, M[:2, :2]), mode=m)),
    *(c for m in ("full", "same", "valid") for c in calls(
        f"{G}.fftconvolve", (V, W), (C, V[:3]), (M, M[:2, :2]), (T, T[:, :2, :1]), mode=m)),
    *(c for n in ("convolve2d", "correlate2d") for m in ("full", "same", "valid") for c in calls(
        f"{G}.{n}", (M, M[:2, :2]), (J, J[:1, :2]), (CM, M[:2, :2]), (M, M[:1]), mode=m)),
    *(c for o in ({}, {"type": "constant"}, {"axis": 0}, {"bp": 2}) for c in calls(
        f"{G}.detrend", (NOISE,), (NOISE * 3,), (M,), **o)),
    *(c for n in ("stft", "welch") for c in optional(
        f"{G}.{n}", (NOISE,), *({"nperseg": 8, **o} for o in (
            {}, {"noverlap": 3}, {"nfft": 16}, {"window": "hamming"}, {"detrend": "linear"},
                {"axis": 0, "nperseg": 2},
            {"return_onesided": False}, {"fs": 2.0}, {"boundary": None}, {"scaling": "spectrum"},
                {"average": "median"},
            {"padded": False})))),
    *optional(f"{G}.csd", (NOISE[0], NOISE[1]), *({"nperseg": 8, **o} for o in (
        {}, {"noverlap": 3}, {"nfft": 16}, {"window": "hamming"}, {"detrend": "linear"},
            {"fs": 2.0},
        {"return_onesided": False}, {"scaling": "spectrum"}, {"average": "median"},
            {"detrend": False}))),
    *optional(f"{G}.istft", (CM.repeat(2, 0)[:5] + 0.1,), *({"nperseg": 8, **o} for o in (
        {}, {"noverlap": 4}, {"window": "hann"}, {"fs": 2.0}, {"boundary": False}))),
    *(c for o in (0, 1) for m in ("constant", "nearest", "mirror", "wrap",
        "reflect") for c in calls(
        "scipy.ndimage.map_coordinates", (M, [np.array([0.3, 1.7, -0.4, 2.6]), np.array([1.2, 3.4,
            0.0, -1.0])], o, m),
        (V, [np.array([0.3, 4.7])], o, m))),
    *calls("scipy.integrate.trapezoid", (V,), (V, np.array([0.0, 1, 3, 4, 9])), (M,), (M, None,
        0.5), (I,), (C,), (T,),
           (M, None, 1.0, 0), (HALF,), (W,)),
]  # fmt: skip
