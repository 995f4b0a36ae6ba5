"""Products with a logarithm, 0 where the factor is, and entropies. f32 or f64 in, the same out."""

from __future__ import annotations

import math

from jitml.scalar.arithmetic import in_double
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


@routine
@in_double
def rel_entr(p: Value, q: Value) -> Value:
    """p·log(p/q) within 4 ulp in f32, ∞ outside of p ≥ 0 and q ≥ 0."""
    return _at_borders(p, q, _relative(p, q), p.like(0.0))


@routine
@in_double
def kl_div(p: Value, q: Value) -> Value:
    """p·log(p/q) − p + q, ∞ outside of p ≥ 0 and q ≥ 0."""
    return _at_borders(p, q, _relative(p, q) - p + q, q)


def _relative(p: Value, q: Value) -> Value:
    ratio = p / q
    near = (ratio > 0.5) & (ratio < 2.0)
    return p * select(near, log1p((p - q) / q), log(ratio))


def _at_borders(p: Value, q: Value, inside: Value, at_zero: Value) -> Value:
    result = select((p == 0.0) & (q >= 0.0), at_zero, math.inf)
    result = select((p > 0.0) & (q > 0.0), inside, result)
    return select(is_nan(p) | is_nan(q), math.nan, result)
