"""The optimisers: what an array of parameters is moved by, from its gradient and what is remembered
of earlier ones.

In: trees of gradients and parameters, of one structure. Out: trees of updates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jitml.numpy as jnp
from jitml import tree
from jitml.ir.errors import TreeError
from jitml.ir.source import user_source
from jitml.optim.schedules import Schedule
from jitml.typing import Array

__all__ = [
    "Optimizer", "State", "adam", "adamw", "apply_updates", "lamb", "lion", "momentum", "rmsprop",
    "sgd",
]  # fmt: skip


class State(NamedTuple):
    """What an optimiser remembers: how many steps were made, and trees like the parameters."""

    step: Array
    moments: tuple[Any, ...]


class Optimizer(NamedTuple):
    """`init(parameters)` gives a state, `update(gradients, state, parameters)` updates to add to
    the parameters and the next state.

    >>> import jitml, jitml.numpy as jnp
    >>> from jitml import optim
    >>> optimizer = optim.adam(0.1)
    >>> @jitml.jit
    ... def train(parameters, state):
    ...     gradients = jitml.grad(lambda p: jnp.sum((p["w"] - 3) ** 2))(parameters)
    ...     updates, state = optimizer.update(gradients, state, parameters)
    ...     return optim.apply_updates(parameters, updates), state
    >>> parameters = {"w": jnp.zeros(2)}
    >>> state = optimizer.init(parameters)
    >>> for _ in range(200):
    ...     parameters, state = train(parameters, state)
    >>> print(jnp.round(parameters["w"], 2))
    [3. 3.]
    """

    init: Callable[[Any], State]
    update: Callable[[Any, State, Any], tuple[Any, State]]


# (step from 1 on, rate, gradient, parameter, moments…) -> update, moments…
Rule = Callable[..., tuple[Any, ...]]


def apply_updates(parameters: Any, updates: Any) -> Any:
    """The parameters with their updates added, each in its dtype.

    >>> print(apply_updates(jnp.ones(2), jnp.array([0.5, -1.0])))
    [1.5 0. ]
    """

    def moved(p: Any, u: Any) -> Any:
        return (p + u).astype(jnp.asarray(p).dtype)

    return tree.map(moved, parameters, updates)


def sgd(learning_rate: float | Schedule) -> Optimizer:
    """Steps along the gradient.

    >>> optimizer = sgd(0.5)
    >>> updates, state = optimizer.update(jnp.ones(2), optimizer.init(jnp.zeros(2)), jnp.zeros(2))
    >>> print(updates)
    [-0.5 -0.5]
    """
    return _optimizer(learning_rate, 0, lambda step, rate, g, p: (-rate * g,))


def momentum(
    learning_rate: float | Schedule, decay: float = 0.9, nesterov: bool = False
) -> Optimizer:
    """Steps along a decaying sum of gradients; with `nesterov`, along where it will be next.

    >>> optimizer = momentum(0.5)
    >>> _, state = optimizer.update(jnp.ones(1), optimizer.init(jnp.zeros(1)), jnp.zeros(1))
    >>> print(optimizer.update(jnp.ones(1), state, jnp.zeros(1))[0])
    [-0.95]
    """

    def rule(step: Any, rate: Any, g: Any, p: Any, trace: Any) -> tuple[Any, ...]:
        trace = g + decay * trace
        return -rate * (g + decay * trace if nesterov else trace), trace

    return _optimizer(learning_rate, 1, rule)


def adam(
    learning_rate: float | Schedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> Optimizer:
    """Steps by the mean of gradients over the root of the mean of their squares
    (arXiv:1412.6980, algorithm 1).

    >>> optimizer = adam(0.5)
    >>> updates, _ = optimizer.update(jnp.ones(1), optimizer.init(jnp.zeros(1)), jnp.zeros(1))
    >>> print(jnp.round(updates, 3))
    [-0.5]
    """
    return adamw(learning_rate, b1, b2, eps, weight_decay=0.0)


def adamw(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-4,
) -> Optimizer:
    """`adam`, with parameters that shrink by themselves (arXiv:1711.05101, algorithm 2).

    >>> optimizer = adamw(0.5, weight_decay=0.1)
    >>> updates, _ = optimizer.update(jnp.ones(1), optimizer.init(jnp.ones(1)), jnp.ones(1))
    >>> print(jnp.round(updates, 3))
    [-0.55]
    """

    def rule(step: Any, rate: Any, g: Any, p: Any, *moments: Any) -> tuple[Any, ...]:
        direction, *now = _adam_direction(step, g, moments, b1, b2, eps)
        return -rate * (direction + weight_decay * p), *now

    return _optimizer(learning_rate, 2, rule)


def _adam_direction(
    step: Any, g: Any, moments: tuple[Any, ...], b1: float, b2: float, eps: float
) -> tuple[Any, Any, Any]:
    """Where `adam` goes, and its moments."""
    mean = (1 - b1) * g + b1 * moments[0]
    square = (1 - b2) * jnp.abs(g) ** 2 + b2 * moments[1]
    unbiased_mean = mean / (1 - b1**step).astype(g.dtype)
    unbiased_square = square / (1 - b2**step).astype(square.dtype)
    return unbiased_mean / (jnp.sqrt(unbiased_square) + eps), mean, square


def lion(
    learning_rate: float | Schedule, b1: float = 0.9, b2: float = 0.99, weight_decay: float = 1e-3
) -> Optimizer:
    """Steps of one size in the direction of a mean of gradients (arXiv:2302.06675, program 1).

    >>> optimizer = lion(0.5, weight_decay=0.0)
    >>> print(optimizer.update(jnp.array([3.0, -1]), optimizer.init(jnp.ones(2)), jnp.ones(2))[0])
    [-0.5  0.5]
    """

    def rule(step: Any, rate: Any, g: Any, p: Any, mean: Any) -> tuple[Any, ...]:
        direction = jnp.sign((1 - b1) * g + b1 * mean)
        return -rate * (direction + weight_decay * p), (1 - b2) * g + b2 * mean

    return _optimizer(learning_rate, 1, rule)


def lamb(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
) -> Optimizer:
    """`adamw`, each array's step as long as the array (arXiv:1904.00962, algorithm 2).

    >>> optimizer = lamb(0.5)
    >>> start = jnp.array([3.0, 4.0])
    >>> print(jnp.round(optimizer.update(start, optimizer.init(start), start)[0], 3))
    [-1.768 -1.768]
    """

    def rule(step: Any, rate: Any, g: Any, p: Any, *moments: Any) -> tuple[Any, ...]:
        direction, *now = _adam_direction(step, g, moments, b1, b2, eps)
        direction = direction + weight_decay * p
        length, wanted = (jnp.sqrt(jnp.sum(jnp.abs(x) ** 2)) for x in (direction, p))
        is_zero = (length == 0) | (wanted == 0)
        ratio = jnp.where(is_zero, 1.0, wanted / jnp.where(is_zero, 1.0, length))
        return -rate * ratio.astype(g.dtype) * direction, *now

    return _optimizer(learning_rate, 2, rule)


def rmsprop(
    learning_rate: float | Schedule,
    decay: float = 0.9,
    eps: float = 1e-8,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> Optimizer:
    """Steps by the gradient over the root of a mean of its squares, summed up with `momentum`
    (Hinton's lecture 6e).

    >>> optimizer = rmsprop(0.5, decay=0.0)
    >>> print(optimizer.update(jnp.array([2.0]), optimizer.init(jnp.ones(1)), jnp.ones(1))[0])
    [-0.5]
    """

    def rule(step: Any, rate: Any, g: Any, p: Any, square: Any, trace: Any) -> tuple[Any, ...]:
        square = (1 - decay) * jnp.abs(g) ** 2 + decay * square
        update = -rate * g / jnp.sqrt(square + eps)
        trace = update + momentum * trace
        return update + momentum * trace if nesterov else trace, square, trace

    return _optimizer(learning_rate, 2, rule)


def _optimizer(learning_rate: float | Schedule, count: int, rule: Rule) -> Optimizer:
    """The optimiser that moves each array by `rule`, with `count` moments for each."""

    def init(parameters: Any) -> State:
        moments = [tree.map(jnp.zeros_like, parameters) for _ in range(count)]
        return State(jnp.zeros((), jnp.int32), tuple(moments))

    def update(gradients: Any, state: State, parameters: Any) -> tuple[Any, State]:
        step = state.step + 1
        rate = learning_rate(state.step) if callable(learning_rate) else learning_rate
        leaves, structure = tree.flatten(gradients)
        rows = [_leaves_like(structure, x) for x in (parameters, *state.moments)]
        found = []
        for gradient, *others in zip(leaves, *rows, strict=True):
            g = jnp.asarray(gradient)
            found.append(rule(step, jnp.asarray(rate, g.dtype), g, *others))
        columns = [structure.unflatten(x) for x in zip(*found, strict=True)]
        updates, *moments = columns or [gradients, *state.moments]
        return updates, State(step, tuple(moments))

    return Optimizer(init, update)


def _leaves_like(structure: Any, values: Any) -> list[Any]:
    leaves, own = tree.flatten(values)
    if own != structure:
        raise TreeError(
            f"optim: gradients have the structure {structure}, parameters or state {own}",
            hint="differentiate by the parameters that the state was made for",
            source=user_source(),
        )
    return leaves
