"""SciPy's functions that take arrays of any library: `scipy_program.py` for jitml's arrays as they
are, `scipy_program.py as_jax` for what SciPy does with JAX's, where it may not write into arrays.
"""

from __future__ import annotations

import os
import sys

os.environ["SCIPY_ARRAY_API"] = "1"

import numpy as np
import scipy.cluster.hierarchy
import scipy.cluster.vq
import scipy.constants
import scipy.fft
import scipy.integrate
import scipy.ndimage
import scipy.signal
import scipy.special
import scipy.stats
from comparing import Comparison
from scipy.spatial.transform import Rotation

import jitml
import jitml.numpy as jnp

STATISTICS = (
    "gmean hmean skew kurtosis describe sem entropy moment jarque_bera chisquare "
    "power_divergence combine_pvalues circmean circvar circstd tmin tmax rankdata"
)
WRITING = (
    "zscore variation tmean tvar tstd tsem mode median_abs_deviation iqr skewtest "
    "kurtosistest normaltest"
)

ELEMENTWISE = "expit entr erf gammaln log_ndtr ndtr ndtri i0 i1 i0e i1e logit"
FFT, FFT_OF_MATRICES = "fft ifft rfft irfft hfft fftshift ifftshift", "fftn ifft2 rfftn"
SUMS = "logsumexp log_softmax"

IS_JAX = sys.argv[1:] == ["as_jax"]
if IS_JAX:
    from jitml import as_jax

    as_jax.install()
    import jax
    import jax.numpy

    assert isinstance(jnp.ones(1), jax.Array)

jitml.config.update("jax_enable_x64", True)
compare = Comparison(jnp.asarray)
generator = np.random.default_rng(0)
matrix = generator.normal(size=(6, 4))
line, turned = generator.normal(size=8), generator.normal(size=8)
parts = generator.uniform(0.1, 0.9, size=8)

for name in ELEMENTWISE.split():
    compare(name, getattr(scipy.special, name), parts)
for name, count in (("xlogy", 2), ("betainc", 3), ("chdtr", 2), ("stdtr", 2)):
    compare(name, getattr(scipy.special, name), *[parts] * count)
compare("softmax", scipy.special.softmax, matrix)

for name in STATISTICS.split():
    compare(name, getattr(scipy.stats, name), parts)
for name, more in (
    ("zmap", turned), ("pmean", 2.0), ("ttest_1samp", 0.0), ("ttest_ind", turned),
    ("kstat", 2), ("kstatvar", 2), ("trim_mean", 0.1),
):  # fmt: skip
    compare(name, getattr(scipy.stats, name), parts, more)

for name in FFT.split():
    compare(name, getattr(scipy.fft, name), line)
for name in FFT_OF_MATRICES.split():
    compare(name, getattr(scipy.fft, name), matrix)

compare("fftconvolve", scipy.signal.fftconvolve, line, parts)
compare("oaconvolve", scipy.signal.oaconvolve, line, parts)
compare("convolve", scipy.signal.convolve, line, parts)
compare("correlate", scipy.signal.correlate, line, parts)
compare("detrend", scipy.signal.detrend, line)
compare("medfilt", scipy.signal.medfilt, line)

compare("vq", scipy.cluster.vq.vq, matrix, matrix[:2])
compare("kmeans", lambda x: scipy.cluster.vq.kmeans(x, x[:2]), matrix)
compare("linkage", scipy.cluster.hierarchy.linkage, matrix)
compare("trapezoid", scipy.integrate.trapezoid, line)
compare("cumulative_trapezoid", scipy.integrate.cumulative_trapezoid, line)
compare("gaussian_filter", lambda x: scipy.ndimage.gaussian_filter(x, 1.0), matrix)
compare("temperature", lambda x: scipy.constants.convert_temperature(x, "C", "K"), line)
compare("rotations", lambda x: Rotation.from_quat(x).as_matrix(), matrix)

if IS_JAX:  # these write into arrays, but for JAX's
    for name in SUMS.split():
        compare(name, getattr(scipy.special, name), matrix)
    compare("rel_entr", scipy.special.rel_entr, parts, parts[::-1].copy())
    for name in WRITING.split():
        compare(name, getattr(scipy.stats, name), line)
    compare("pearsonr", scipy.stats.pearsonr, line, turned)
    compare("bartlett", scipy.stats.bartlett, line, parts)
    compare("whiten", scipy.cluster.vq.whiten, matrix)

compare.finish()
