"""Functions of neural networks, under the names of `jax.nn`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitml.nn import initializers
from jitml.nn.activations import (
    celu,
    elu,
    gelu,
    glu,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    identity,
    leaky_relu,
    log1mexp,
    log_sigmoid,
    log_softmax,
    logmeanexp,
    logsumexp,
    mish,
    one_hot,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_sign,
    softmax,
    softplus,
    sparse_plus,
    sparse_sigmoid,
    squareplus,
    standardize,
    swish,
    tanh,
)

if TYPE_CHECKING:
    from jitml.nn.attention import dot_product_attention as dot_product_attention
    from jitml.nn.scaled import get_scaled_dot_general_config as get_scaled_dot_general_config
    from jitml.nn.scaled import scaled_dot_general as scaled_dot_general
    from jitml.nn.scaled import scaled_matmul as scaled_matmul

_ELSEWHERE = {
    "dot_product_attention": "jitml.nn.attention",
    "get_scaled_dot_general_config": "jitml.nn.scaled",
    "scaled_dot_general": "jitml.nn.scaled",
    "scaled_matmul": "jitml.nn.scaled",
}


def __getattr__(name: str) -> Any:
    """What needs derivatives is imported when it is first used."""
    import importlib

    if name not in _ELSEWHERE:
        raise AttributeError(f"module 'jitml.nn' has no attribute {name!r}")
    return getattr(importlib.import_module(_ELSEWHERE[name]), name)


__all__ = [
    "celu",
    "dot_product_attention",
    "elu",
    "gelu",
    "get_scaled_dot_general_config",
    "glu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "identity",
    "initializers",
    "leaky_relu",
    "log1mexp",
    "log_sigmoid",
    "log_softmax",
    "logmeanexp",
    "logsumexp",
    "mish",
    "one_hot",
    "relu",
    "relu6",
    "scaled_dot_general",
    "scaled_matmul",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "standardize",
    "swish",
    "tanh",
]
