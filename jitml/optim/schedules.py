"""Learning rates that change from step to step.

In: numbers. Out: functions from the number of the step, from 0 on, to the rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jitml.numpy as jnp
from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source

__all__ = [
    "Schedule", "constant", "cosine", "exponential", "linear", "piecewise_constant",
    "warmup_cosine",
]  # fmt: skip

Schedule: TypeAlias = Callable[[Any], Any]


def constant(value: float) -> Schedule:
    """The same rate at every step.

    >>> constant(0.1)(5)
    0.1
    """
    return lambda step: value


def linear(first: float, last: float, steps: int) -> Schedule:
    """From `first` to `last` in equal parts, then `last`.

    >>> print(linear(1.0, 0.0, 4)(1))
    0.75
    """
    _check_steps("linear", steps)
    return lambda step: first + (last - first) * jnp.minimum(_float(step), steps) / steps


def cosine(first: float, steps: int, last: float = 0.0) -> Schedule:
    """From `first` to `last` along half a wave, then `last` (arXiv:1608.03983, equation 5).

    >>> print(cosine(1.0, 4, last=0.5)(4))
    0.5
    """
    _check_steps("cosine", steps)

    def rate(step: Any) -> Any:
        part = jnp.minimum(_float(step), steps) / steps
        return last + (first - last) * 0.5 * (1 + jnp.cos(jnp.pi * part))

    return rate


def exponential(first: float, steps: int, factor: float, staircase: bool = False) -> Schedule:
    """`first` times `factor` for each `steps` steps; with `staircase` all at once, at their end.

    >>> print(exponential(1.0, 10, 0.5)(20))
    0.25
    """
    _check_steps("exponential", steps)

    def rate(step: Any) -> Any:
        count = _float(step) / steps
        return first * factor ** (jnp.floor(count) if staircase else count)

    return rate


def piecewise_constant(first: float, factors: Mapping[int, float]) -> Schedule:
    """`first`, multiplied by each factor from its step on.

    >>> print(piecewise_constant(1.0, {10: 0.5, 20: 0.5})(15))
    0.5
    """

    def rate(step: Any) -> Any:
        value: Any = first
        for boundary, factor in factors.items():
            value = value * jnp.where(_float(step) >= boundary, factor, 1.0)
        return value

    return rate


def warmup_cosine(
    first: float, peak: float, warmup_steps: int, steps: int, last: float = 0.0
) -> Schedule:
    """Linear from `first` to `peak` in `warmup_steps`, then along half a wave to `last` at `steps`.

    >>> rate = warmup_cosine(0.0, 1.0, 10, 30)
    >>> print(rate(5), rate(10), rate(30))
    0.5 1.0 0.0
    """
    _check_steps("warmup_cosine", steps - warmup_steps)
    up, down = linear(first, peak, warmup_steps), cosine(peak, steps - warmup_steps, last)
    return lambda step: jnp.where(step < warmup_steps, up(step), down(step - warmup_steps))


def _float(step: Any) -> Any:
    """A step as a number that can be divided, in the default dtype."""
    return jnp.asarray(step, float)


def _check_steps(name: str, steps: int) -> None:
    if not steps > 0:
        raise ArgumentError(
            f"optim.{name}: a schedule over {steps} steps",
            hint="it takes one step or more",
            source=user_source(),
        )
