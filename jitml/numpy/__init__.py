"""NumPy's functions on jitml's arrays: the names, signatures and results of `jax.numpy`.

Each module says in its `__all__` what it adds.
"""

# ruff: noqa: F403  (the star imports are of modules that state their `__all__`)
from __future__ import annotations

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
    linalg,
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
    sets,
    sorting,
    statistics,
    summation,
    types,
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
from jitml.numpy.sets import *
from jitml.numpy.sorting import *
from jitml.numpy.statistics import *
from jitml.numpy.summation import *
from jitml.numpy.types import *
from jitml.numpy.types import bool_
from jitml.typing import Array as ndarray

abs = absolute
bool = bool_
dtype = _numpy.dtype
set_printoptions, get_printoptions = _numpy.set_printoptions, _numpy.get_printoptions
printoptions = _numpy.printoptions

__all__ = [
    "abs", "bool", "dtype", "get_printoptions", "linalg", "ndarray", "printoptions",
    "set_printoptions",
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
__all__ += sets.__all__
__all__ += sorting.__all__
__all__ += statistics.__all__
__all__ += summation.__all__
__all__ += types.__all__
