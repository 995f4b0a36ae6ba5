"""NumPy's functions on jitml's arrays: the names, signatures and results of `jax.numpy`.

Each module says in its `__all__` what it adds; those of `_LATER` are imported when first used.
"""

# ruff: noqa: F403  (the star imports are of modules that state their `__all__`)
from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

import numpy as _numpy

from jitml.numpy import (
    arithmetic,
    choice,
    classification,
    comparison,
    creation,
    cumulative,
    elementwise,
    extremes,
    floats,
    indexing,
    joining,
    linear_algebra,
    logic,
    manipulation,
    matrices,
    nan_reductions,
    padding,
    positions,
    quantiles,
    ranges,
    reductions,
    repeating,
    rounding,
    search,
    sorting,
    statistics,
    summation,
    types,
    ufuncs,
)
from jitml.numpy.arithmetic import *
from jitml.numpy.choice import *
from jitml.numpy.classification import *
from jitml.numpy.comparison import *
from jitml.numpy.creation import *
from jitml.numpy.cumulative import *
from jitml.numpy.elementwise import *
from jitml.numpy.elementwise import absolute
from jitml.numpy.extremes import *
from jitml.numpy.floats import *
from jitml.numpy.indexing import *
from jitml.numpy.joining import *
from jitml.numpy.linear_algebra import *
from jitml.numpy.logic import *
from jitml.numpy.manipulation import *
from jitml.numpy.matrices import *
from jitml.numpy.nan_reductions import *
from jitml.numpy.padding import *
from jitml.numpy.positions import *
from jitml.numpy.quantiles import *
from jitml.numpy.ranges import *
from jitml.numpy.reductions import *
from jitml.numpy.repeating import *
from jitml.numpy.rounding import *
from jitml.numpy.search import *
from jitml.numpy.sorting import *
from jitml.numpy.statistics import *
from jitml.numpy.summation import *
from jitml.numpy.types import *
from jitml.numpy.types import bool_
from jitml.numpy.ufuncs import *
from jitml.typing import Array as ndarray

if _TYPE_CHECKING:
    from jitml.numpy import fft as fft
    from jitml.numpy import linalg as linalg
    from jitml.numpy.bessel import *
    from jitml.numpy.bits import *
    from jitml.numpy.correlation import *
    from jitml.numpy.editing import *
    from jitml.numpy.files import *
    from jitml.numpy.filters import *
    from jitml.numpy.functional import *
    from jitml.numpy.histograms import *
    from jitml.numpy.index_tables import *
    from jitml.numpy.index_tricks import *
    from jitml.numpy.polynomials import *
    from jitml.numpy.selection import *
    from jitml.numpy.sets import *
    from jitml.numpy.text import *
    from jitml.numpy.windows import *

# Modules whose functions are rare, and what they add: `import jitml.numpy` does without them.
_LATER = {
    "bessel": "i0",
    "bits": "gcd lcm packbits unpackbits",
    "correlation": "corrcoef cov",
    "editing": "delete fill_diagonal insert place put put_along_axis trim_zeros",
    "files": "fromfile fromiter fromstring load save savez",
    "filters": "convolve correlate ediff1d gradient interp trapezoid unwrap",
    "functional": "apply_along_axis apply_over_axes vectorize",
    "histograms": "bincount histogram histogram2d histogram_bin_edges histogramdd",
    "index_tables": (
        "diag_indices diag_indices_from indices mask_indices tril_indices tril_indices_from "
        "triu_indices triu_indices_from"
    ),
    "index_tricks": "c_ index_exp ix_ mgrid ogrid r_ s_",
    "namespace_info": "__array_namespace_info__",
    "polynomials": (
        "poly polyadd polyder polydiv polyfit polyint polymul polysub polyval roots vander"
    ),
    "selection": "choose",
    "sets": (
        "intersect1d isin setdiff1d setxor1d union1d unique unique_all unique_counts "
        "unique_inverse unique_values"
    ),
    "small_types": (
        "float4_e2m1fn float6_e2m3fn float6_e3m2fn float8_e3m4 float8_e4m3 float8_e4m3b11fnuz "
        "float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu int1 int2 int4 "
        "uint1 uint2 uint4"
    ),
    "text": "array_repr array_str",
    "windows": "bartlett blackman hamming hanning kaiser",
}
_MODULE_OF = {name: module for module, names in _LATER.items() for name in names.split()}


def __getattr__(name: str) -> _Any:
    from importlib import import_module

    if name in ("fft", "linalg"):
        return import_module(f"jitml.numpy.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'jitml.numpy' has no attribute {name!r}")
    value = getattr(import_module(f"jitml.numpy.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF, "fft", "linalg"})


abs = absolute
__array_api_version__ = "2024.12"
bool = bool_
dtype = _numpy.dtype
ComplexWarning = _numpy.exceptions.ComplexWarning
set_printoptions, get_printoptions = _numpy.set_printoptions, _numpy.get_printoptions
printoptions = _numpy.printoptions

__all__ = [
    "ComplexWarning", "abs", "bool", "dtype", "fft", "get_printoptions", "linalg", "ndarray",
    "printoptions", "set_printoptions",
]  # fmt: skip
__all__ += arithmetic.__all__
__all__ += choice.__all__
__all__ += classification.__all__
__all__ += comparison.__all__
__all__ += creation.__all__
__all__ += cumulative.__all__
__all__ += elementwise.__all__
__all__ += extremes.__all__
__all__ += floats.__all__
__all__ += indexing.__all__
__all__ += joining.__all__
__all__ += linear_algebra.__all__
__all__ += logic.__all__
__all__ += manipulation.__all__
__all__ += matrices.__all__
__all__ += nan_reductions.__all__
__all__ += padding.__all__
__all__ += positions.__all__
__all__ += quantiles.__all__
__all__ += ranges.__all__
__all__ += reductions.__all__
__all__ += repeating.__all__
__all__ += rounding.__all__
__all__ += search.__all__
__all__ += sorting.__all__
__all__ += statistics.__all__
__all__ += summation.__all__
__all__ += types.__all__
__all__ += ufuncs.__all__
_UNSTARRED = ("namespace_info", "small_types")
__all__ += [name for name, module in _MODULE_OF.items() if module not in _UNSTARRED]
