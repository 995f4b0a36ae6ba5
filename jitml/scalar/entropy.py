"""Products with a logarithm, 0 where the factor is. f32 or f64 in, the same type out."""

from __future__ import annotations

from jitml.scalar.logarithm import log, log1p
from jitml.scalar.value import Value, is_nan, routine, select


@routine
def xlogy(x: Value, y: Value) -> Value:
    """x·log(y), 0 where x is 0, within 2 ulp."""
    return select((x == 0.0) & ~is_nan(y), 0.0, x * log(y))


@routine
def xlog1py(x: Value, y: Value) -> Value:
    """x·log(1 + y), 0 where x is 0, within 3 ulp."""
    return select((x == 0.0) & ~is_nan(y), 0.0, x * log1p(y))
