"""The gamma function of complex numbers: compositions of functions that have derivatives.

Source: Stirling's series (DLMF 5.11.1), recurrence and reflection (5.5.1, 5.5.3; Hare 1997).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jitml.numpy as jnp
from jitml.typing import Array

# B_2k/(2k·(2k − 1)) for k = 1, 2, …
_STIRLING = (
    1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400,
)  # fmt: skip
_SHIFT = 8


def in_double(function: Callable[[Array], Array], z: Array) -> Array:
    """A function of complex128, which loses digits on its way, of any complex array."""
    return function(z.astype("complex128")).astype(z.dtype)


def complex_loggamma(z: Array) -> Array:
    """log Γ(z) on its principal branch, which is cut along the negative axis; NaN at poles."""
    left = jnp.real(z) < -4.0
    right = _loggamma_right(jnp.where(left, 1 - z, z))
    half_turns = jnp.floor(jnp.real(z) * 0.5 + 0.25)
    turns = jnp.where(jnp.signbit(jnp.imag(z)), -half_turns, half_turns)
    constant = jnp.array(math.log(math.pi), jnp.real(z).dtype)
    safe = jnp.where(left, z, 0.5)
    reflected = constant + 2j * math.pi * turns - jnp.log(_sine_of_half_turns(safe)) - right
    result = jnp.where(left, reflected, right)
    return jnp.where(_is_pole(z), math.nan, result).astype(z.dtype)


def complex_gamma(z: Array) -> Array:
    """Γ(z) = exp(log Γ(z)); NaN at poles."""
    return jnp.exp(complex_loggamma(z))


def _is_pole(z: Array) -> Array:
    x = jnp.real(z)
    return (jnp.imag(z) == 0) & (x <= 0) & (x == jnp.floor(x))


def _loggamma_right(z: Array) -> Array:
    """log Γ(z) for Re z ≥ −4: moved to the right, where Stirling's series holds."""
    near = jnp.abs(z) < 16.0
    moved = jnp.where(near, z + 2 * _SHIFT, z)
    inverse = 1 / moved
    square, rest = inverse * inverse, jnp.zeros_like(z)
    for coefficient in reversed(_STIRLING):
        rest = rest * square + coefficient
    leading = (moved - 0.5) * jnp.log(moved) - moved + math.log(2 * math.pi) / 2
    passed = jnp.zeros_like(z)
    safe = jnp.where(near & ~_is_pole(z), z, 1.0)
    for k in range(2 * _SHIFT):
        passed = passed + jnp.log(safe + k)
    return leading + rest * inverse - jnp.where(near, passed, 0)


def _sine_of_half_turns(z: Array) -> Array:
    """sin(πz), the whole part of Re z taken off first."""
    turns = jnp.round(jnp.real(z) * 0.5) * 2
    return jnp.sin((z - turns) * math.pi)
