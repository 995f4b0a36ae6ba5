"""Special functions: the names, signatures and results of `jax.scipy.special`.

All are native code, series and continued fractions included, and fuse with what is around them.
How accurate each is stands in tests/scalar/ACCURACY.md.
"""

from __future__ import annotations

from jitml.scipy.special.elementary import (
    boxcox,
    boxcox1p,
    dawsn,
    entr,
    erf,
    erfc,
    erfcx,
    erfinv,
    expit,
    kl_div,
    log_ndtr,
    log_softmax,
    logit,
    logsumexp,
    ndtr,
    ndtri,
    owens_t,
    rel_entr,
    softmax,
    wofz,
    xlog1py,
    xlogy,
)
from jitml.scipy.special.gamma_functions import (
    bernoulli,
    beta,
    betainc,
    betaln,
    comb,
    digamma,
    factorial,
    gamma,
    gammainc,
    gammaincc,
    gammaln,
    gammasgn,
    loggamma,
    multigammaln,
    poch,
    polygamma,
    zeta,
)
from jitml.scipy.special.harmonics import bessel_jn, i0, i0e, i1, i1e, sph_harm_y
from jitml.scipy.special.integrals import exp1, expi, expn, fresnel, hyp1f1, hyp2f1, sici, spence

__all__ = [
    "bernoulli", "bessel_jn", "beta", "betainc", "betaln", "boxcox", "boxcox1p", "comb", "dawsn",
    "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp1", "expi", "expit", "expn",
    "factorial", "fresnel", "gamma", "gammainc", "gammaincc", "gammaln", "gammasgn", "hyp1f1",
    "hyp2f1", "i0", "i0e", "i1", "i1e", "kl_div", "log_ndtr", "log_softmax", "loggamma", "logit",
    "logsumexp", "multigammaln", "ndtr", "ndtri", "owens_t", "poch", "polygamma", "rel_entr",
    "sici", "softmax", "spence", "sph_harm_y", "wofz", "xlog1py", "xlogy", "zeta",
]  # fmt: skip
