"""A step along a direction after which a function is lower and less steep (strong Wolfe
conditions).

An interval that holds such a step is grown, then narrowed. Source: Nocedal and Wright, "Numerical
Optimization", algorithms 3.5 and 3.6, here one loop: until there is an upper end it is infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jitml.numpy as jnp
from jitml import lax
from jitml.tree import map as tree_map

SUFFICIENT_DECREASE = 1e-4
CURVATURE = 0.9
LONGEST = 1e10  # a function that still falls there has no minimum along the direction


class Point(NamedTuple):
    """A step, the function there, its slope along the direction, and its gradient."""

    step: Any
    value: Any
    slope: Any
    gradient: Any


class Search(NamedTuple):
    """Where the search stands: the best step found, the other end, and how it ended."""

    low: Point
    high: Point
    count: Any
    is_done: Any


def line_search(
    value_and_slope: Callable[[Any], tuple[Any, Any]],
    x: Any,
    direction: Any,
    value: Any,
    gradient: Any,
    most: int,
) -> Search:
    """The search from x along `direction` with `most` evaluations; its result is `low`."""
    slope = gradient @ direction
    start = Point(jnp.zeros_like(value), value, slope, gradient)
    none = Point(jnp.full_like(value, jnp.inf), value, slope, gradient)
    zero = jnp.zeros((), "int32")

    def body(state: Search) -> Search:
        step = _next_step(state)
        found, gradient = value_and_slope(x + step * direction)
        trial = Point(step, found, gradient @ direction, gradient)
        return _narrowed(state, trial, start)

    def goes_on(state: Search) -> Any:
        is_short = ~jnp.isfinite(state.low.step) | (state.low.step < LONGEST)
        return ~state.is_done & (state.count < most) & is_short

    found: Search = lax.while_loop(goes_on, body, Search(start, none, zero, zero > 0))
    return found


def _next_step(state: Search) -> Any:
    """Within the interval where the parabola through its ends is lowest, not too near to them; 1,
    then twice as far, while there is no upper end.
    """
    low, high = state.low, state.high
    is_open = ~jnp.isfinite(high.step)
    width = jnp.where(is_open, 1, high.step - low.step)
    bend = 2 * (high.value - low.value - low.slope * width)
    share = jnp.where(bend > 0, -low.slope * width / jnp.where(bend > 0, bend, 1), 0.5)
    share = jnp.where(jnp.isfinite(share), jnp.clip(share, 0.1, 0.9), 0.5)
    further = jnp.where(low.step > 0, 2 * low.step, 1)
    return jnp.where(is_open, further, low.step + share * width)


def _narrowed(state: Search, trial: Point, start: Point) -> Search:
    limit = start.value + SUFFICIENT_DECREASE * trial.step * start.slope
    fits = (trial.value <= limit) & ((trial.value < state.low.value) | (state.low.step == 0))
    is_done = fits & (jnp.abs(trial.slope) <= -CURVATURE * start.slope)
    rises = jnp.where(state.high.step >= state.low.step, trial.slope, -trial.slope) >= 0
    high = _chosen(fits, _chosen(rises, state.low, state.high), trial)
    return Search(_chosen(fits, trial, state.low), high, state.count + 1, is_done)


def _chosen(condition: Any, yes: Point, no: Point) -> Point:
    return tree_map(lambda a, b: jnp.where(condition, a, b), yes, no)  # type: ignore[no-any-return]
