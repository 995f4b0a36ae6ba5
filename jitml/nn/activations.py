"""Functions that networks apply element by element, and softmax with its relatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jitml.numpy as jnp
from jitml.eager import compiled_at_once, operation
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy.operands import as_axes, as_axis, as_dtype, fail, floated, operand, settle
from jitml.numpy.rows import named
from jitml.ops import elementwise as ew
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, Axis, DTypeLike

__all__ = [
    "celu", "elu", "gelu", "glu", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh",
    "identity", "leaky_relu", "log1mexp", "log_sigmoid", "log_softmax", "logmeanexp", "logsumexp",
    "mish", "one_hot", "relu", "relu6", "selu", "sigmoid", "silu", "soft_sign", "softmax",
    "softplus", "sparse_plus", "sparse_sigmoid", "squareplus", "standardize", "swish", "tanh",
]  # fmt: skip


def _float(name: str, x: ArrayLike) -> Any:
    return settle(floated(name, x))


def _elementwise(
    name: str, meaning: Callable[[Any], Any], summary: str, call: str, result: str
) -> Callable[[ArrayLike], Array]:
    def activation(x: ArrayLike) -> Array:
        return meaning(_float(name, x))

    function = named(activation, name, summary, call, result)
    function.__module__ = __name__
    return operation(function)


def identity(x: ArrayLike) -> Array:
    """x itself.

    >>> print(identity(2.0))
    2.0
    """
    return jnp.asarray(x)


@operation
def relu(x: ArrayLike) -> Array:
    """x where it is positive, else 0; the derivative at 0 is 0.

    >>> print(relu(-1.0))
    0.0
    """
    value = jnp.asarray(x)
    return jnp.where(value <= 0, jnp.zeros_like(value), value)


@operation
def relu6(x: ArrayLike) -> Array:
    """x kept between 0 and 6; the derivative at both is 0.

    >>> print(relu6(7.0))
    6.0
    """
    return settle(ew.clamp(0.0, floated("relu6", x), 6.0))


@operation
def hard_tanh(x: ArrayLike) -> Array:
    """x kept between −1 and 1.

    >>> print(hard_tanh(3.0))
    1.0
    """
    value = jnp.asarray(x)
    return jnp.where(value > 1, 1, jnp.where(value < -1, -1, value))


def _sigmoid(x: Any) -> Any:
    return settle(ew.logistic(operand(x)))


sigmoid = _elementwise("sigmoid", _sigmoid, "1 / (1 + exp(−x)).", "sigmoid(0.0)", "0.5")
tanh = jnp.tanh


def _softplus(x: Any) -> Any:
    return jnp.logaddexp(x, 0)


softplus = _elementwise("softplus", _softplus, "log(1 + exp(x)).", "softplus(-200.0)", "0.0")
log_sigmoid = _elementwise(
    "log_sigmoid", lambda x: -_softplus(-x), "log(sigmoid(x)).", "log_sigmoid(200.0)", "-0.0"
)
silu = _elementwise("silu", lambda x: x * _sigmoid(x), "x · sigmoid(x).", "silu(0.0)", "0.0")
swish = silu
mish = _elementwise(
    "mish", lambda x: x * jnp.tanh(_softplus(x)), "x · tanh(softplus(x)).", "mish(0.0)", "0.0"
)
soft_sign = _elementwise(
    "soft_sign", lambda x: x / (jnp.abs(x) + 1), "x / (|x| + 1).", "soft_sign(1.0)", "0.5"
)
hard_sigmoid = _elementwise(
    "hard_sigmoid", lambda x: relu6(x + 3.0) / 6.0,
    "relu6(x + 3) / 6.", "hard_sigmoid(0.0)", "0.5",
)  # fmt: skip
hard_silu = _elementwise(
    "hard_silu", lambda x: x * hard_sigmoid(x), "x · hard_sigmoid(x).", "hard_silu(0.0)", "0.0"
)
hard_swish = hard_silu
sparse_plus = _elementwise(
    "sparse_plus",
    lambda x: jnp.where(x <= -1.0, 0.0, jnp.where(x >= 1.0, x, (x + 1.0) ** 2 / 4)),
    "0 below −1, x above 1, and a parabola between.", "sparse_plus(0.0)", "0.25",
)  # fmt: skip
sparse_sigmoid = _elementwise(
    "sparse_sigmoid", lambda x: 0.5 * jnp.clip(x + 1.0, 0.0, 2.0),
    "The derivative of sparse_plus.", "sparse_sigmoid(0.0)", "0.5",
)  # fmt: skip


@compiled_at_once
def elu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Array:
    """x where it is positive, else alpha · (exp(x) − 1).

    >>> print(elu(2.0))
    2.0
    """
    value = _float("elu", x)
    safe = jnp.where(value > 0, 0.0, value)
    return jnp.where(value > 0, value, alpha * jnp.expm1(safe))


@compiled_at_once
def celu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Array:
    """max(x, 0) + alpha · (exp(min(x, 0) / alpha) − 1).

    >>> print(celu(2.0))
    2.0
    """
    value = _float("celu", x)
    below = jnp.where(value > 0, 0.0, value)
    return jnp.where(value > 0, value, alpha * jnp.expm1(jnp.divide(below, alpha)))


@operation
def selu(x: ArrayLike) -> Array:
    """The elu whose outputs keep mean 0 and variance 1.

    >>> print(selu(0.0))
    0.0
    """
    return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717)


@compiled_at_once
def leaky_relu(x: ArrayLike, negative_slope: ArrayLike = 0.01) -> Array:
    """x where it is positive, else a small multiple of it.

    >>> print(leaky_relu(2.0))
    2.0
    """
    value = _float("leaky_relu", x)
    return jnp.where(value >= 0, value, negative_slope * value)


@compiled_at_once
def gelu(x: ArrayLike, approximate: bool = True) -> Array:
    """x times the normal distribution function of x, by tanh if `approximate`.

    >>> print(gelu(0.0))
    0.0
    """
    value = _float("gelu", x)
    if approximate:
        inner = math.sqrt(2 / math.pi) * (value + 0.044715 * value**3)
        return value * (0.5 * (1.0 + jnp.tanh(inner)))
    tail = settle(ew.erfc(operand(-value / math.sqrt(2))))
    return 0.5 * value * tail


@compiled_at_once
def squareplus(x: ArrayLike, b: ArrayLike = 4) -> Array:
    """(x + √(x² + b)) / 2.

    >>> print(squareplus(0.0))
    1.0
    """
    value = _float("squareplus", x)
    return 0.5 * (value + jnp.sqrt(value**2 + b))


@compiled_at_once
def glu(x: ArrayLike, axis: int = -1) -> Array:
    """The first half along an axis times the sigmoid of the second.

    >>> print(glu(jnp.zeros(2)))
    [0.]
    """
    value = _float("glu", x)
    where = as_axis(axis, value.ndim, "glu")
    if value.shape[where] % 2:
        fail(ShapeError, f"glu: axis {where} of {type_of(value)} has no two halves")
    first, second = jnp.split(value, 2, where)
    return first * sigmoid(second)


@operation
def log1mexp(x: ArrayLike) -> Array:
    """log(1 − exp(−x)) for positive x.

    >>> print(log1mexp(200.0))
    -0.0
    """
    value = _float("log1mexp", x)
    near = value < math.log(2)
    small, large = jnp.where(near, value, 1.0), jnp.where(near, 1.0, value)
    return jnp.where(near, jnp.log(-jnp.expm1(-small)), jnp.log1p(-jnp.exp(-large)))


# ---- along axes -------------------------------------------------------------------------------


def _shift(name: str, x: Any, axis: Axis, mask: ArrayLike | None) -> Any:
    """The greatest element along axes of `name`, which no derivative goes through."""
    as_axes(axis, type_of(operand(x)).ndim, name)
    top = jnp.max(settle(ew.stop_gradient(operand(x))), axis, None, True, -math.inf, mask)
    return settle(ew.stop_gradient(operand(top)))


@compiled_at_once
def softmax(x: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None) -> Array:
    """exp(x) divided by its sum along axes; elements that `where` leaves out are 0.

    >>> print(softmax(jnp.zeros(2)))
    [0.5 0.5]
    """
    value = _float("softmax", x)
    grown = jnp.exp(_inside(value - _shift("softmax", value, axis, where), where, -math.inf))
    return _inside(grown / jnp.sum(grown, axis, keepdims=True), where, 0)


@compiled_at_once
def log_softmax(x: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None) -> Array:
    """log(softmax(x)); elements that `where` leaves out are −∞.

    >>> print(log_softmax(jnp.zeros(1)))
    [0.]
    """
    value = _float("log_softmax", x)
    moved = _inside(value - _shift("log_softmax", value, axis, where), where, -math.inf)
    total = jnp.log(jnp.sum(jnp.exp(moved), axis, keepdims=True))
    return _inside(moved - total, where, -math.inf)


def _inside(x: Any, mask: ArrayLike | None, filler: float) -> Any:
    return x if mask is None else jnp.where(mask, x, filler)


@compiled_at_once
def logsumexp(
    a: ArrayLike,
    axis: Axis = None,
    b: ArrayLike | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: ArrayLike | None = None,
) -> Any:
    """log(sum(b · exp(a))) along axes, without overflow on the way.

    >>> print(logsumexp(jnp.array([1000.0])))
    1000.0
    """
    value = _float("logsumexp", a)
    if b is not None:
        value, factor = jnp.broadcast_arrays(value, b)
        value = jnp.where(factor != 0, value, -math.inf)
    top = _shift("logsumexp", jnp.real(value), axis, where)
    top = jnp.where(jnp.isfinite(top), top, 0)
    grown = jnp.exp(value - top)
    if b is not None:
        grown = grown * factor
    total = jnp.sum(grown, axis, keepdims=True, where=where)
    sign = jnp.sign(total)
    if not jnp.iscomplexobj(value):
        total = jnp.abs(total) if return_sign else total
    found = jnp.log(jnp.abs(total) if return_sign else total) + top
    if not keepdims:
        axes = tuple(range(value.ndim)) if axis is None else axis
        found, sign = jnp.squeeze(found, axes), jnp.squeeze(sign, axes)
    return (found, sign) if return_sign else found


def logmeanexp(
    x: ArrayLike, axis: Axis = None, where: ArrayLike | None = None, keepdims: bool = False
) -> Array:
    """log(mean(exp(x))) along axes.

    >>> print(logmeanexp(jnp.zeros(3)))
    0.0
    """
    value = _float("logmeanexp", x)
    ones = jnp.ones_like(value)
    count = jnp.sum(ones, axis, keepdims=keepdims, where=where)
    return logsumexp(value, axis, keepdims=keepdims, where=where) - jnp.log(count)


@compiled_at_once
def standardize(
    x: ArrayLike,
    axis: Axis = -1,
    mean: ArrayLike | None = None,
    variance: ArrayLike | None = None,
    epsilon: ArrayLike = 1e-5,
    where: ArrayLike | None = None,
    *,
    algorithm: str = "fast",
) -> Array:
    """x less its mean, divided by its standard deviation.

    "fast" takes the variance as the mean square less the squared mean, "stable" as the mean
    square distance from the mean.

    >>> print(standardize(jnp.ones(2)))
    [0. 0.]
    """
    if algorithm not in ("fast", "stable"):
        fail(ArgumentError, f"standardize: {algorithm!r} is not known", "it is 'fast' or 'stable'")
    value = _float("standardize", x)
    center = jnp.mean(value, axis, keepdims=True, where=where) if mean is None else mean
    if variance is None and algorithm == "stable":
        variance = jnp.mean((value - center) ** 2, axis, keepdims=True, where=where)
    elif variance is None:
        squares = jnp.mean(jnp.square(value), axis, keepdims=True, where=where)
        variance = squares - jnp.square(center)
    scale = settle(ew.rsqrt(operand(jnp.add(variance, epsilon))))
    return jnp.subtract(value, center) * scale


def one_hot(
    x: ArrayLike, num_classes: int, *, dtype: DTypeLike | None = None, axis: int = -1
) -> Array:
    """For each index a vector that is 1 there and 0 elsewhere; all 0 for an index outside.

    >>> print(one_hot(jnp.array([1]), 3))
    [[0. 1. 0.]]
    """
    value = jnp.asarray(x)
    where = as_axis(axis, value.ndim + 1, "one_hot")
    column = jnp.expand_dims(value, where)
    shape = tuple(num_classes if k == where else 1 for k in range(value.ndim + 1))
    wanted = as_dtype(float if dtype is None else dtype)
    numbers = jnp.arange(num_classes, dtype=value.dtype).reshape(shape)
    return (column == numbers).astype(wanted)
