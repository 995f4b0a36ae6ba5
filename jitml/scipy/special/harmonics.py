"""Bessel functions and spherical harmonics."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

import jitml.numpy as jnp
from jitml import lax
from jitml.ir.errors import ArgumentError
from jitml.ir.graph import Literal
from jitml.numpy.operands import fail, settle
from jitml.ops import elementwise as ew
from jitml.scipy.special.operands import floats, unary
from jitml.trace.core import Tracer
from jitml.typing import Array, ArrayLike

# ---- Bessel functions -----------------------------------------------------------------------


def _growing(scaled: Any) -> Any:
    """A function of which `scaled` gives exp(−|x|) times the values."""

    def op(x: Any) -> Any:
        size = ew.mul(x, ew.sign(x))  # |x|, whose slope at 0 is 0 here
        return ew.mul(ew.exp(size), scaled(x))

    return op


_ORDER = "The modified Bessel function of the first kind, of order"
i0 = unary("i0", _growing(ew.bessel_i0e), f"{_ORDER} 0.", "i0(0.0)", "1.0")
i0e = unary("i0e", ew.bessel_i0e, "exp(−|x|)·i0(x).", "i0e(0.0)", "1.0")
i1 = unary("i1", _growing(ew.bessel_i1e), f"{_ORDER} 1.", "i1(0.0)", "0.0")
i1e = unary("i1e", ew.bessel_i1e, "exp(−|x|)·i1(x).", "i1e(0.0)", "0.0")


def bessel_jn(z: ArrayLike, *, v: int, n_iter: int = 50) -> Array:
    """The Bessel functions of the first kind of orders 0 to v, along a new first axis.

    The recurrence starts at order `n_iter`, which must be well above |z|.

    >>> print(bessel_jn(0.0, v=1))
    [1. 0.]
    """
    order, count = operator.index(v), operator.index(n_iter)
    if order < 0:
        fail(ArgumentError, f"bessel_jn: the order v is {order}; it is at least 0")
    (operand,) = floats("bessel_jn", z)
    x = jnp.asarray(settle(operand))
    # Ratios J_k/J_(k−1) from the top down, which neither overflow nor divide 0 by 0, and beside
    # them Horner's sum of 1 = J₀ + 2·J₂ + 2·J₄ + … over J₀ (DLMF 10.6.1, 10.12.4).
    zero = jnp.zeros_like(x)

    def step(i: Any, state: tuple[Array, Array]) -> tuple[Array, Array]:
        return _next_ratio(x, count - i, *state)

    steps = max(0, count - order)
    ratio, total = lax.fori_loop(0, steps, step, (zero, zero))
    ratios = []
    for k in range(order, 0, -1):
        ratio, total = _next_ratio(x, k, ratio, total)
        ratios.append(ratio)
    values = [1 / (1 + total)]
    for ratio in reversed(ratios):
        values.append(values[-1] * ratio)
    return jnp.stack(values)


def _next_ratio(x: Array, k: Any, ratio: Array, total: Array) -> tuple[Array, Array]:
    order = jnp.asarray(k).astype(x.dtype)
    ratio = 1 / (2 * order / x - ratio)
    even = jnp.asarray(k) % 2 == 0
    return ratio, ratio * (jnp.where(even, 2, 0).astype(x.dtype) + total)


# ---- spherical harmonics --------------------------------------------------------------------


def sph_harm_y(
    n: ArrayLike,
    m: ArrayLike,
    theta: ArrayLike,
    phi: ArrayLike,
    diff_n: int | None = None,
    n_max: int | None = None,
) -> Array:
    """Spherical harmonics of degrees n and orders m at polar angles theta and azimuths phi.

    `n_max`, the greatest degree, must be given where n is not known while tracing.

    >>> print(jnp.abs(sph_harm_y(0, 0, 0.5, 0.0)))
    0.2820948
    """
    if diff_n is not None:
        fail(ArgumentError, "sph_harm_y: diff_n is not supported", "jitml.jacfwd differentiates")
    polar, azimuth = (jnp.asarray(settle(x)) for x in floats("sph_harm_y", theta, phi))
    degree, order = jnp.asarray(n), jnp.asarray(m)
    degree = jnp.minimum(degree, _greatest(n, n_max)) if n_max is not None else degree
    size = jnp.abs(order)
    legendre = _legendre(degree, size, jnp.cos(polar), _greatest(n, n_max))
    angle = size * azimuth
    result = lax.complex(legendre * jnp.cos(angle), legendre * jnp.sin(angle))
    turned = jnp.conj(result) * jnp.where(size % 2 == 0, 1, -1)
    return jnp.where(order < 0, turned, result)


def _greatest(n: Any, n_max: int | None) -> int:
    if n_max is not None:
        return operator.index(n_max)
    if isinstance(n, (Tracer, Literal)):
        fail(
            ArgumentError,
            "sph_harm_y: the degrees n are not known while tracing",
            "give the greatest of them as n_max",
        )
    return int(np.max(np.asarray(n), initial=0))


def _legendre(n: Array, m: Array, x: Array, greatest: int) -> Array:
    """The normalized associated Legendre functions, by recurrence in the degree (DLMF 14.10.3)."""
    sine = jnp.sqrt(jnp.maximum(1 - x * x, 0))
    start = jnp.zeros(jnp.broadcast_shapes(n.shape, m.shape, x.shape), x.dtype)
    order = m.astype(x.dtype)

    def step(i: Any, state: tuple[Array, Array]) -> tuple[Array, Array]:
        before, now = state
        degree = jnp.asarray(i + 1).astype(x.dtype)
        diagonal = -jnp.sqrt((2 * degree + 1) / (2 * degree)) * sine * now
        apart = jnp.where(degree > order, degree * degree - order * order, 1)
        grown = jnp.sqrt((4 * degree * degree - 1) / apart)
        lower = (degree - 1) ** 2 - order * order
        shrunk = jnp.sqrt((2 * degree + 1) * jnp.maximum(lower, 0) / ((2 * degree - 3) * apart))
        shrunk = jnp.where(lower > 0, shrunk, 0)
        after = jnp.where(degree <= order, diagonal, grown * x * now - shrunk * before)
        is_past = degree > n
        return jnp.where(is_past, before, now), jnp.where(is_past, now, after)

    first = start + jnp.asarray(1 / math.sqrt(4 * math.pi), x.dtype)
    _, result = lax.fori_loop(0, greatest, step, (start, first))
    return result
