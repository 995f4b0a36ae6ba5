"""Minima of functions of a vector by quasi-Newton methods: BFGS, and with limited memory L-BFGS.

A program of loops: it compiles, and maps over starting points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jitml.numpy as jnp
from jitml import lax
from jitml.differentiation import value_and_grad
from jitml.ir.arguments import check_callable
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy.operands import fail, floated, settle
from jitml.scipy.optimize.line_search import line_search
from jitml.trace.core import type_of
from jitml.typing import Array

__all__ = ["OptimizeResults", "minimize"]

# What `status` says.
CONVERGED, STEPS_SPENT, SEARCH_FAILED = 0, 1, 3


class OptimizeResults(NamedTuple):
    """A minimum: where it is, whether the search came to its end, and what it cost.

    `status` is 0 at a minimum, 1 if the steps were spent, 3 if no step led down.
    """

    x: Array
    success: bool | Array
    status: int | Array
    fun: Array
    jac: Array
    hess_inv: Array | None
    nfev: int | Array
    njev: int | Array
    nit: int | Array


class State(NamedTuple):
    """A point of the descent; `memory` is what the method knows of curvature."""

    x: Any
    value: Any
    gradient: Any
    memory: Any
    steps: Any
    calls: Any
    status: Any  # −1 while it goes on


class Method(NamedTuple):
    """How to make a direction of a gradient, and to learn from a step and the change along it."""

    start: Callable[[Any], Any]
    direction: Callable[[Any, Any], Any]
    learn: Callable[[Any, Any, Any, Any], Any]


def minimize(
    fun: Callable[..., Any],
    x0: Array,
    args: tuple[Any, ...] = (),
    *,
    method: str,
    tol: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> OptimizeResults:
    """A minimum of `fun(x, *args)` near the vector `x0`.

    `method` is "BFGS" or "l-bfgs-experimental-do-not-rely-on-this". Options: maxiter, gtol (how
    small the gradient must be, `tol`), norm (in which norm), line_search_maxiter; of L-BFGS maxcor
    (steps remembered), maxls, ftol, maxfun, maxgrad.

    >>> import jitml.numpy as jnp
    >>> found = minimize(lambda x: ((x - 2) ** 2).sum(), jnp.zeros(3), method="BFGS")
    >>> print(found.x, found.success)
    [2. 2. 2.] True
    """
    if not isinstance(args, tuple):
        fail(ArgumentError, f"minimize: args is a {type(args).__name__}, not a tuple")
    check_callable("minimize", fun)
    x = settle(floated("minimize", x0))
    if x.ndim != 1:
        fail(ShapeError, f"minimize: x0 is {type_of(x)}, not a vector", "ravel it in the function")
    if method.lower() not in _METHODS:
        fail(ArgumentError, f"minimize: there is no method {method!r}", "use 'BFGS'")
    given = dict(options or {})
    if tol is not None:
        given.setdefault("gtol", tol)
    try:
        return _METHODS[method.lower()](lambda x: fun(x, *args), x, **given)
    except TypeError as error:
        unknown = [name for name in given if f"argument '{name}'" in str(error)]
        if not unknown:
            raise
        fail(ArgumentError, f"minimize: there is no option {unknown[0]!r}")


def _bfgs(
    fun: Callable[[Any], Any],
    x: Any,
    maxiter: int | None = None,
    norm: float = float("inf"),
    gtol: float = 1e-5,
    line_search_maxiter: int = 10,
) -> OptimizeResults:
    unit = jnp.eye(x.shape[0], dtype=x.dtype)

    def learn(inverse: Any, step: Any, change: Any, _: Any) -> Any:
        """Nocedal and Wright, equation 6.17."""
        along = change @ step
        rho = jnp.where(along > 0, 1 / jnp.where(along > 0, along, 1), 0)
        left = unit - rho * jnp.outer(step, change)
        return jnp.where(rho > 0, left @ inverse @ left.T + rho * jnp.outer(step, step), inverse)

    method = Method(lambda _: unit, lambda inverse, gradient: -(inverse @ gradient), learn)
    most = 200 * x.shape[0] if maxiter is None else maxiter
    found = _descend(fun, x, method, most, norm, gtol, line_search_maxiter)
    return _results(found, found.memory)


def _lbfgs(
    fun: Callable[[Any], Any],
    x: Any,
    maxiter: float | None = None,
    norm: float = float("inf"),
    maxcor: int = 10,
    ftol: float = 2.220446049250313e-09,
    gtol: float = 1e-05,
    maxfun: float | None = None,
    maxgrad: float | None = None,
    maxls: int = 20,
) -> OptimizeResults:
    most = 15000.0 if maxiter is None and maxfun is None and maxgrad is None else float("inf")
    calls = min(n for n in (maxfun, maxgrad, float("inf")) if n is not None)
    steps = most if maxiter is None else maxiter
    method = Method(lambda x: _Memory.empty(maxcor, x), _two_loops, _Memory.learned)
    return _results(_descend(fun, x, method, steps, norm, gtol, maxls, ftol, calls), None)


_METHODS: dict[str, Callable[..., OptimizeResults]] = {
    "bfgs": _bfgs,
    "l-bfgs-experimental-do-not-rely-on-this": _lbfgs,
}


class _Memory(NamedTuple):
    """The last steps and changes of the gradient along them, the latest last."""

    steps: Any
    changes: Any
    rhos: Any  # 0: nothing there

    @staticmethod
    def empty(count: int, x: Any) -> _Memory:
        rows = jnp.zeros((count, x.shape[0]), x.dtype)
        return _Memory(rows, rows, jnp.zeros(count, x.dtype))

    def learned(self, step: Any, change: Any, _: Any) -> _Memory:
        along = step @ change
        rho = jnp.where(along > 0, 1 / jnp.where(along > 0, along, 1), 0)
        new = (
            jnp.concatenate([old[1:], row[None]])
            for old, row in zip(self, (step, change, rho), strict=True)
        )
        kept = along > 0
        return _Memory(*(jnp.where(kept, b, a) for a, b in zip(self, new, strict=True)))


def _two_loops(memory: _Memory, gradient: Any) -> Any:
    """Nocedal and Wright, algorithm 7.4."""

    def down(q: Any, row: _Memory) -> tuple[Any, Any]:
        alpha = row.rhos * (row.steps @ q)
        return q - alpha * row.changes, alpha

    def up(q: Any, rows: tuple[_Memory, Any]) -> tuple[Any, None]:
        row, alpha = rows
        return q + row.steps * (alpha - row.rhos * (row.changes @ q)), None

    q, alphas = lax.scan(down, gradient, memory, reverse=True)
    squares = memory.changes[-1] @ memory.changes[-1]
    is_some = (memory.rhos[-1] > 0) & (squares > 0)
    factor = jnp.where(is_some, 1 / jnp.where(is_some, memory.rhos[-1] * squares, 1), 1)
    return -lax.scan(up, q * factor, (memory, alphas))[0]


# ---- descent --------------------------------------------------------------------------------


def _descend(
    fun: Callable[[Any], Any],
    x: Any,
    method: Method,
    most: float,
    norm: float,
    tolerance: float,
    search_steps: int,
    least_gain: float = 0.0,
    most_calls: float = float("inf"),
) -> State:
    slopes = value_and_grad(fun)

    def is_flat(gradient: Any) -> Any:
        return jnp.linalg.norm(gradient, norm) < tolerance

    def step(state: State) -> State:
        direction = method.direction(state.memory, state.gradient)
        found = line_search(slopes, state.x, direction, state.value, state.gradient, search_steps)
        moved = found.low.step * direction
        change = found.low.gradient - state.gradient
        memory = method.learn(state.memory, moved, change, state.gradient)
        size = jnp.maximum(jnp.maximum(jnp.abs(state.value), jnp.abs(found.low.value)), 1)
        ends = is_flat(found.low.gradient)
        if least_gain:
            ends = ends | (state.value - found.low.value <= least_gain * size) & found.is_done
        steps, calls = state.steps + 1, state.calls + found.count
        is_spent = (steps >= most) | (calls >= most_calls)
        status = jnp.where(
            ends, CONVERGED,
            jnp.where(found.low.step == 0, SEARCH_FAILED, jnp.where(is_spent, STEPS_SPENT, -1)),
        )  # fmt: skip
        return State(
            state.x + moved, found.low.value, found.low.gradient, memory, steps, calls,
            status.astype("int32"),
        )  # fmt: skip

    value, gradient = slopes(x)
    first = jnp.where(is_flat(gradient), CONVERGED, -1 if most > 0 else STEPS_SPENT)
    zero = jnp.zeros((), "int32")
    start = State(x, value, gradient, method.start(x), zero, zero + 1, first.astype("int32"))
    found: State = lax.while_loop(lambda state: state.status < 0, step, start)
    return found


def _results(found: State, inverse: Any) -> OptimizeResults:
    return OptimizeResults(
        found.x, found.status == CONVERGED, found.status, found.value, found.gradient, inverse,
        found.calls, found.calls, found.steps,
    )  # fmt: skip
