"""Ordinary differential equations: the name and signature of `jax.experimental.ode`.

Steps are those of Dormand and Prince (1980), of the fifth order, with a quartic between their ends;
the derivative goes back along the solution by the adjoint equations. Source: Hairer, Nørsett and
Wanner, "Solving Ordinary Differential Equations I", II.4 to II.6.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import jitml.numpy as jnp
from jitml import lax
from jitml.closures import closure_convert
from jitml.custom_derivatives import custom_vjp
from jitml.differentiation import vjp
from jitml.flatten_util import ravel_pytree
from jitml.ir.errors import DTypeError
from jitml.ir.source import user_source
from jitml.trace.forms import traced_form
from jitml.typing import Array
from jitml.vectorization import vmap

__all__ = ["odeint"]

Slope = Callable[[Any, Any], Any]
_TIMES = np.array([1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0])
_STAGES = np.array([
    [1 / 5, 0, 0, 0, 0, 0, 0],
    [3 / 40, 9 / 40, 0, 0, 0, 0, 0],
    [44 / 45, -56 / 15, 32 / 9, 0, 0, 0, 0],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729, 0, 0, 0],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656, 0, 0],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0],
])  # fmt: skip
_ERROR = np.array([
    35 / 384 - 5179 / 57600, 0, 500 / 1113 - 7571 / 16695, 125 / 192 - 393 / 640,
    -2187 / 6784 + 92097 / 339200, 11 / 84 - 187 / 2100, -1 / 40,
])  # fmt: skip
_MIDDLE = np.array([
    6025192743 / 30085553152 / 2, 0, 51252292925 / 65400821598 / 2,
    -2691868925 / 45128329728 / 2, 187940372067 / 1594534317056 / 2,
    -1776094331 / 19743644256 / 2, 11237099 / 235043384 / 2,
])  # fmt: skip


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    *args: Any,
    rtol: float = 1.4e-8,
    atol: float = 1.4e-8,
    mxstep: float = jnp.inf,
    hmax: float = jnp.inf,
) -> Any:
    """The solution of dy/dt = func(y, t, *args) with y = y0 at t[0], at the times t: a tree like
    y0, whose arrays have the times for a first axis.

    >>> import jitml.numpy as jnp
    >>> from jitml.experimental.ode import odeint
    >>> y = odeint(lambda y, t, rate: -rate * y, 1.0, jnp.array([0.0, 1.0]), 2.0)
    >>> print(y.round(4))
    [1.     0.1353]
    """
    times = jnp.asarray(t)
    if not jnp.issubdtype(times.dtype, jnp.floating):
        raise DTypeError(f"odeint: the times are {times.dtype}, not floats", source=user_source())
    start, unravel = ravel_pytree(y0)
    form = traced_form(func)

    def slope(y: Any, t: Any, *rest: Any) -> Any:
        return ravel_pytree(form(unravel(y), t, *rest))[0]

    closed, captured = closure_convert(slope, start, times[0], *args)
    limits = (float(rtol), float(atol), float(mxstep), float(hmax))
    found = _solution(closed, limits, start, times, *args, *captured)
    return vmap(unravel)(found)


@functools.partial(custom_vjp, nondiff_argnums=(0, 1))
def _solution(
    func: Callable[..., Any], limits: tuple[float, ...], y0: Array, t: Array, *args: Any
) -> Array:
    def slope(y: Any, t: Any) -> Any:
        return func(y, t, *args)

    return _integrate(slope, limits, y0, t)


def _integrate(slope: Slope, limits: tuple[float, ...], y0: Array, t: Array) -> Array:
    """The solution at the times: steps go on beyond each, and a quartic tells what lies between."""
    rtol, atol, most, longest = limits

    def step(state: Any) -> Any:
        count, y, f, now, h, before, quartic = state
        after, f_after, error, middle = _attempt(slope, y, f, now, h)
        size = _error_size(error, y, after, rtol, atol)
        holds = size <= 1
        following = jnp.clip(_next_step(size, h), 0.0, longest)
        new = (after, f_after, now + h, now, _quartic(y, after, middle, f, f_after, h))
        old = (y, f, now, before, quartic)
        y, f, now, before, quartic = (jnp.where(holds, a, b) for a, b in zip(new, old, strict=True))
        return count + 1, y, f, now, following, before, quartic

    def reach(carry: Any, target: Any) -> Any:
        def goes_on(state: Any) -> Any:
            return (state[3] < target) & (state[0] < most) & (state[4] > 0)

        _, *state = lax.while_loop(goes_on, step, (0, *carry))
        _, _, now, _, before, quartic = state
        place = (target - before) / jnp.where(now == before, 1, now - before)
        return tuple(state), jnp.polyval(quartic, place.astype(quartic.dtype))

    f0 = slope(y0, t[0])
    h = jnp.clip(_first_step(slope, t[0], y0, f0, rtol, atol), 0.0, longest)
    none = jnp.stack([y0 * 0] * 4 + [y0])
    _, found = lax.scan(reach, (y0, f0, t[0], h, t[0], none), t[1:])
    return jnp.concatenate([y0[None], found])


def _attempt(slope: Slope, y: Array, f: Array, t: Array, h: Array) -> tuple[Any, ...]:
    """After one step: y, its slope, the estimate of the error, and y in the middle of the step."""
    scale = h.astype(y.dtype)
    slopes = [f]
    for time, row in zip(_TIMES, _STAGES, strict=True):
        moved = sum(float(w) * k for w, k in zip(row, slopes, strict=False) if w)
        after = y + scale * moved
        slopes.append(slope(after, t + h * float(time)))
    rows = jnp.stack(slopes)
    error, middle = (scale * (jnp.asarray(w, y.dtype) @ rows) for w in (_ERROR, _MIDDLE))
    return after, slopes[-1], error, y + middle


def _quartic(y0: Array, y1: Array, middle: Array, f0: Array, f1: Array, h: Array) -> Array:
    """The coefficients, highest first, of what goes through three points with two slopes."""
    d0, d1 = (h.astype(y0.dtype) * f for f in (f0, f1))
    a = -2 * d0 + 2 * d1 - 8 * y0 - 8 * y1 + 16 * middle
    b = 5 * d0 - 3 * d1 + 18 * y0 + 14 * y1 - 32 * middle
    c = -4 * d0 + d1 - 11 * y0 - 5 * y1 + 16 * middle
    return jnp.stack([a, b, c, d0, y0])


def _length(x: Array) -> Array:
    return jnp.sqrt(jnp.mean(jnp.real(x * jnp.conj(x))))


def _error_size(error: Array, y0: Array, y1: Array, rtol: float, atol: float) -> Array:
    return _length(error / (atol + rtol * jnp.maximum(jnp.abs(y0), jnp.abs(y1))))


def _next_step(size: Array, h: Array) -> Array:
    """A step for which the error is likely to do: at most ten times as long, at least a fifth."""
    shrink = jnp.where(size < 1, 1.0, 0.2)
    factor = jnp.clip(0.9 * jnp.maximum(size, 1e-10) ** -0.2, shrink, 10.0)
    return (h * factor).astype(h.dtype)


def _first_step(slope: Slope, t: Array, y: Array, f: Array, rtol: float, atol: float) -> Array:
    scale = atol + jnp.abs(y) * rtol
    d0, d1 = _length(y / scale), _length(f / scale)
    h0 = jnp.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / jnp.where(d1 == 0, 1, d1))
    h0 = h0.astype(t.dtype)
    f1 = slope(y + h0.astype(y.dtype) * f, t + h0)
    d2 = _length((f1 - f) / scale) / h0
    most = jnp.maximum(d1, d2)
    h1 = jnp.where(most <= 1e-15, jnp.maximum(1e-6, h0 * 1e-3),
                   (0.01 / jnp.where(most == 0, 1, most)) ** 0.2)  # fmt: skip
    return jnp.minimum(100.0 * h0, h1).astype(t.dtype)


# ---- the derivative -----------------------------------------------------------------------------


def _forward(
    func: Callable[..., Any], limits: tuple[float, ...], y0: Array, t: Array, *args: Any
) -> tuple[Array, Any]:
    found = _solution(func, limits, y0, t, *args)
    return found, (found, t, args)


def _backward(func: Callable[..., Any], limits: tuple[float, ...], kept: Any, g: Array) -> Any:
    ys, t, args = kept
    flat_args, unravel_args = ravel_pytree(args)

    def adjoint(state: Any, back: Any) -> Any:
        """Slopes, along time that runs backward, of y and of the sums of its cotangent."""
        y, y_bar, _ = unravel_state(state)
        value, pull = vjp(lambda y, a: func(y, -back, *unravel_args(a)), y, flat_args)
        y_slope, arg_slope = pull(y_bar)
        return ravel_pytree((-value, y_slope, arg_slope))[0]

    zero = (ys[0] * 0, ys[0] * 0, flat_args * 0)
    _, unravel_state = ravel_pytree(zero)

    def interval(carry: Any, k: Any) -> Any:
        y_bar, args_bar = carry
        t_bar = jnp.vdot(func(ys[k], t[k], *args).conj(), g[k]).real.astype(t.dtype)
        state = ravel_pytree((ys[k], y_bar, args_bar))[0]
        both = jnp.stack([-t[k], -t[k - 1]])
        moved = _integrate(adjoint, limits, state, both)[1]
        _, y_bar, args_bar = unravel_state(moved)
        return (y_bar + g[k - 1], args_bar), t_bar

    order = jnp.arange(len(t) - 1, 0, -1)
    (y_bar, args_bar), t_bars = lax.scan(interval, (g[-1], flat_args * 0), order)
    first = -jnp.vdot(func(ys[0], t[0], *args).conj(), y_bar - g[0]).real.astype(t.dtype)
    t_bar = jnp.concatenate([first[None], t_bars[::-1]])
    return y_bar, t_bar, *unravel_args(args_bar)


_solution.defvjp(_forward, _backward)
