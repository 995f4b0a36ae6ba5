"""Optimisers for training loops: pure functions on trees of arrays, small and plain.

In: gradients, a state, parameters. Out: updates and the next state. Names and formulas are Optax's,
and so are the trajectories. Optax itself runs by way of `jitml.as_jax`.
"""

from __future__ import annotations

from jitml.optim.clipping import clip, clip_by_global_norm, global_norm
from jitml.optim.optimizers import (
    Optimizer,
    State,
    adam,
    adamw,
    apply_updates,
    lamb,
    lion,
    momentum,
    rmsprop,
    sgd,
)
from jitml.optim.schedules import (
    Schedule,
    constant,
    cosine,
    exponential,
    linear,
    piecewise_constant,
    warmup_cosine,
)

__all__ = [
    "Optimizer",
    "Schedule",
    "State",
    "adam",
    "adamw",
    "apply_updates",
    "clip",
    "clip_by_global_norm",
    "constant",
    "cosine",
    "exponential",
    "global_norm",
    "lamb",
    "linear",
    "lion",
    "momentum",
    "piecewise_constant",
    "rmsprop",
    "sgd",
    "warmup_cosine",
]
