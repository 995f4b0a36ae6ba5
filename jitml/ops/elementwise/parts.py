"""The parts of complex numbers; size, sign and direction of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitml.ir.dtypes import complex_dtype, is_complex
from jitml.ops.elementwise.arithmetic import add, div, mul, neg, sub
from jitml.ops.elementwise.comparison import eq, ge
from jitml.ops.elementwise.conversion import convert
from jitml.ops.elementwise.selection import select
from jitml.ops.kinds import Row, Traced, full_like, make_complex, real_part_dtype, zeros_like
from jitml.scalar import value as scalar
from jitml.scalar.value import Value
from jitml.trace.core import type_of

_NUMBERS = "iufc"

real: Row = Row(
    "real", np.real, "c",
    (lambda t, y, x: real(t),), (lambda ct, x: complex_(ct, zeros_like(ct)),),
    lambda x: x.re, real_part_dtype,
)  # fmt: skip
imag: Row = Row(
    "imag", np.imag, "c",
    (lambda t, y, x: imag(t),), (lambda ct, x: complex_(zeros_like(ct), neg(ct)),),
    lambda x: x.im, real_part_dtype,
)  # fmt: skip
conj: Row = Row(
    "conj", np.conj, "c", (lambda t, y, x: conj(t),), (lambda ct, x: conj(ct),),
    lambda x: make_complex(x.re, -x.im),
)  # fmt: skip


def _complex_value(re: Any, im: Any) -> Any:
    result = np.empty(np.broadcast(re, im).shape, complex_dtype(np.asarray(re).dtype))
    result.real, result.imag = re, im
    return result


complex_: Row = Row(
    "complex", _complex_value, "f",
    (
        lambda t, y, a, b: complex_(t, zeros_like(t)),
        lambda t, y, a, b: complex_(zeros_like(t), t),
    ),
    (
        lambda ct, a, b: convert(real(ct), type_of(a).dtype),
        lambda ct, a, b: convert(neg(imag(ct)), type_of(b).dtype),
    ),
    make_complex, lambda dtype, *_: complex_dtype(dtype),
)  # fmt: skip


def _absolute(x: Any) -> Any:
    return x if isinstance(x, Value) and x.type in scalar.UNSIGNED else abs(x)


def _abs_slope(t: Traced, y: Traced, x: Traced) -> Traced:
    if not is_complex(type_of(x).dtype):
        # 1 at 0, as in JAX.
        return mul(t, select(ge(x, 0), full_like(x, 1), full_like(x, -1)))
    # Towards the direction of x: Re(conj(x) t) / |x|, and 0 at 0.
    safe = select(eq(y, 0), full_like(y, 1), y)
    return div(add(mul(real(x), real(t)), mul(imag(x), imag(t))), safe)


abs_: Row = Row("abs", np.abs, _NUMBERS, (_abs_slope,), (), _absolute, real_part_dtype)


def _sign(x: Any) -> Any:
    if not isinstance(x, Value):
        from jitml.scalar import complex as scalar_complex

        return scalar_complex.sign(x)
    if x.type in scalar.UNSIGNED:
        return scalar.select(x == 0, 0, x.like(1))
    signed = scalar.select(x > 0, 1, scalar.select(x < 0, x.like(-1), x))
    return signed


def _sign_slope(t: Traced, y: Traced, x: Traced) -> Traced:
    """The part of t across x, divided by |x|; of real numbers, none. 0 at 0."""
    if not is_complex(type_of(x).dtype):
        return None
    along = add(mul(real(y), real(t)), mul(imag(y), imag(t)))
    size = abs_(x)
    safe = select(eq(size, 0), full_like(size, 1), size)
    re, im = (div(sub(part(t), mul(part(y), along)), safe) for part in (real, imag))
    zero = zeros_like(size)
    nowhere = eq(size, 0)
    return complex_(select(nowhere, zero, re), select(nowhere, zero, im))


sign: Row = Row("sign", np.sign, _NUMBERS, (_sign_slope,), (), _sign)
