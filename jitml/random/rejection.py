"""Samples that are found by rejection: of the gamma, Poisson and binomial distributions.

In: the words of a key and arrays of parameters, of one shape. Out: arrays of samples. The loops are
native, and draw the numbers that `jax.random` draws. Must not know: what users pass.

Sources: G. Marsaglia, W. W. Tsang, "A simple method for generating gamma variables" (2000);
W. Hörmann, "The transformed rejection method for generating Poisson random variables" (1993) and
"The generation of binomial random variates" (1993).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jitml.numpy as jnp
from jitml import lax
from jitml.custom_derivatives import custom_jvp
from jitml.eager import operation
from jitml.numpy.operands import operand, settle
from jitml.ops import elementwise as ew
from jitml.random.distributions import normal_samples, unit_samples
from jitml.random.keys import child
from jitml.typing import Array
from jitml.vectorization import vmap

Key: TypeAlias = tuple[Any, Any]  # two words

_FLAT = 0.0331
# The rest of Stirling's formula for log k!, k = 0 … 9.
_STIRLING = tuple(
    math.lgamma(k + 1) - (k + 0.5) * math.log(k + 1) + k + 1 - math.log(2 * math.pi) / 2
    for k in range(10)
)


def _uniform(key: Key, shape: tuple[int, ...], dtype: Any) -> Array:
    first, second = (operand(word) for word in key)
    return jnp.asarray(settle(unit_samples((first, second), shape, dtype)))


# ---- gamma ----------------------------------------------------------------------------------


def gamma_samples(keys: Any, a: Array, in_logarithm: bool) -> Array:
    """Samples of shapes `a`, each of a key of its own: keys: u32[n, 2], a: f[n] → f[n]; or their
    logarithms.
    """
    return (_log_gammas if in_logarithm else _gammas)(keys, a)


@custom_jvp
def _gammas(keys: Any, a: Array) -> Array:
    return _all_gammas(keys, a)


@custom_jvp
def _log_gammas(keys: Any, a: Array) -> Array:
    return _all_log_gammas(keys, a)


def _slope(t: Array, samples: Array, keys: Any, a: Array) -> Array:
    """The implicit derivative: at a sample x, −(dP/da)/(dP/dx)."""
    return t * jnp.asarray(settle(ew.random_gamma_grad(operand(a), operand(samples))))


def _log_slope(t: Array, logarithms: Array, keys: Any, a: Array) -> Array:
    tiny = jnp.finfo(logarithms.dtype).tiny
    samples = jnp.maximum(jnp.exp(logarithms), jnp.array(tiny, logarithms.dtype))
    return _slope(t, samples, keys, a) / samples


_gammas.defjvps(None, _slope)
_log_gammas.defjvps(None, _log_slope)


@operation
def _all_gammas(keys: Any, a: Array) -> Array:
    d, cube, boosts = vmap(_one_gamma)(keys[:, 0], keys[:, 1], a)
    return d * cube * jnp.where(a >= 1, 1, (1 - boosts) ** (1 / a))


@operation
def _all_log_gammas(keys: Any, a: Array) -> Array:
    d, cube, boosts = vmap(_one_gamma)(keys[:, 0], keys[:, 1], a)
    samples = jnp.log1p(-boosts)
    boost = jnp.where((a >= 1) | (samples == 0), 0, samples * (1 / a))
    return jnp.log(d) + jnp.log(cube) + boost


def _one_gamma(first: Any, second: Any, a: Array) -> tuple[Array, Array, Array]:
    """d and v³, whose product is a sample for the shape a, or a + 1 if that is below 1; and the
    number that brings such a sample down to the smaller shape.
    """
    d = jnp.where(a >= 1, a, a + 1) - jnp.array(1 / 3, a.dtype)
    c = jnp.array(1 / 3, a.dtype) / jnp.sqrt(d)
    key, boost_key = child((first, second), 0), child((first, second), 1)

    def attempt(state: Any) -> Any:
        return _attempt(d, c, *state[:-1])

    no_word = jnp.zeros((), "uint32")
    start = (*key, *[no_word] * 4, True, jnp.ones((), a.dtype), False)
    state = lax.while_loop(lambda state: ~state[-1], attempt, start)
    return d, state[7], _uniform(boost_key, (), a.dtype)


def _attempt(
    d: Array, c: Array, k0: Any, k1: Any, x0: Any, x1: Any, u0: Any, u1: Any, is_fresh: Any, _: Any
) -> tuple[Any, ...]:
    """One more normal number, of fresh keys if the last one was used; all that is kept for the
    next attempt, the cube found, and whether it is accepted (as it is where NaN is all there is).
    """
    fresh = [word for k in range(3) for word in child((k0, k1), k)]
    old = (k0, k1, x0, x1, u0, u1)
    k0, k1, x0, x1, u0, u1 = (jnp.where(is_fresh, a, b) for a, b in zip(fresh, old, strict=True))
    following, (n0, n1) = child((x0, x1), 0), child((x0, x1), 1)
    x = jnp.asarray(settle(normal_samples((operand(n0), operand(n1)), (), c.dtype)))
    v = 1 + x * c
    square, cube = x * x, v * v * v
    u = _uniform((u0, u1), (), c.dtype)
    is_used = ~(v <= 0)
    below = square * 0.5 + d * (1 - cube + jnp.log(cube))
    rejected = (u >= 1 - _FLAT * (square * square)) & (jnp.log(u) >= below)
    return k0, k1, *following, u0, u1, is_used, cube, is_used & ~rejected


# ---- Poisson --------------------------------------------------------------------------------


@operation
def poisson_samples(words: Any, rate: Array) -> Array:
    """Samples of rates by a key u32[2], as floats; −1 where a rate is negative, infinite or NaN."""
    few = ~(rate >= 10)
    usual = jnp.isfinite(rate)
    key = words[0], words[1]
    low = _counted(key, jnp.where(few & usual, rate, 0))
    high = _poisson_rejected(key, jnp.where(few | ~usual, 1e5, rate))
    samples = jnp.where(few, low, high)
    return jnp.where(rate == 0, 0, jnp.where(usual & (rate > 0), samples, -1))


def _counted(key: Key, rate: Array) -> Array:
    """How many uniform numbers have a product above exp(−rate) (Knuth)."""

    def going(state: Any) -> Any:
        return jnp.any(state[3] > -rate)

    def count(state: Any) -> Any:
        k0, k1, found, logarithm = state
        key, other = child((k0, k1), 0), child((k0, k1), 1)
        found = jnp.where(logarithm > -rate, found + 1, found)
        return *key, found, logarithm + jnp.log(_uniform(other, rate.shape, rate.dtype))

    zero = jnp.zeros_like(rate)
    return lax.while_loop(going, count, (*key, zero, zero))[2] - 1


def _poisson_rejected(key: Key, rate: Array) -> Array:
    b = 0.931 + 2.53 * jnp.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse = 1.1239 + 1.1328 / (b - 3.4)
    v_limit = 0.9277 - 3.6224 / (b - 2)
    log_rate = jnp.log(rate)

    def propose(u: Array, v: Array) -> tuple[Array, Array]:
        size = 0.5 - jnp.abs(u)
        k = jnp.floor((2 * a / size + b) * u + rate + 0.43)
        drawn = jnp.log(v * inverse / (a / (size * size) + b))
        log_factorial = jnp.asarray(settle(ew.lgamma(operand(k + 1))))
        likely = drawn <= -rate + k * log_rate - log_factorial
        outside = (k < 0) | ((size < 0.013) & (v > size))
        return k, ((size >= 0.07) & (v <= v_limit)) | (~outside & likely)

    return _until_accepted(key, rate, propose)


def _until_accepted(
    key: Key, like: Array, propose: Callable[[Array, Array], tuple[Array, Array]]
) -> Array:
    """What is proposed for numbers u of [−1/2, 1/2) and v of [0, 1), where last accepted, when
    all elements have been.
    """

    def more(state: Any) -> Any:
        return ~jnp.all(state[3])

    def draw(state: Any) -> Any:
        k0, k1, found, accepted = state
        key, *others = (child((k0, k1), k) for k in range(3))
        u, v = (_uniform(other, like.shape, like.dtype) for other in others)
        proposed, is_good = propose(u - 0.5, v)
        return *key, jnp.where(is_good, proposed, found), accepted | is_good

    start = (*key, jnp.full_like(like, -1), jnp.zeros(like.shape, bool))
    return lax.while_loop(more, draw, start)[2]


# ---- binomial -------------------------------------------------------------------------------


@operation
def binomial_samples(words: Any, count: Array, chance: Array) -> Array:
    """How many of `count` trials succeed, by a key u32[2]; NaN where there are no
    such count and chance.
    """
    rarer = chance < 0.5
    q = jnp.where(rarer, chance, 1 - chance)
    lost = jnp.isnan(q) | (q < 0) | jnp.isnan(count) | (count < 0)
    endless = jnp.isinf(count)
    usual = ~lost & ~endless
    q, whole = jnp.where(jnp.isnan(q) | (q < 0), 0.01, q), jnp.floor(count)
    few = ~(whole * q > 10)
    key = words[0], words[1]
    low = _successes(key, jnp.where(few & usual, whole, 0), q)
    many = usual & ~few
    high = _binomial_rejected(key, jnp.where(many, whole, 1e4), jnp.where(many, q, 0.5))
    samples = jnp.where(few, low, high)
    samples = jnp.where(rarer, samples, whole - samples)
    return jnp.where(lost, jnp.nan, jnp.where(endless, jnp.inf, samples))


def _successes(key: Key, count: Array, chance: Array) -> Array:
    """How many geometric waiting times fit into `count` trials."""
    scale = jnp.log1p(-chance)

    def going(state: Any) -> Any:
        return jnp.any(state[3] <= count)

    def wait(state: Any) -> Any:
        k0, k1, found, trials = state
        other, key = child((k0, k1), 0), child((k0, k1), 1)
        found = jnp.where(trials <= count, found + 1, found)
        waited = jnp.ceil(jnp.log(_uniform(other, count.shape, count.dtype)) / scale)
        return *key, found, trials + waited

    zero = jnp.zeros_like(count)
    return lax.while_loop(going, wait, (*key, zero, zero))[2] - 1


def _binomial_rejected(key: Key, count: Array, chance: Array) -> Array:
    deviation = jnp.sqrt(count * chance * (1 - chance))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * chance
    v_limit = 0.92 - 4.2 / b
    odds = chance / (1 - chance)
    alpha = (2.83 + 5.1 / b) * deviation
    mode = jnp.floor((count + 1) * chance)
    at_mode = (mode + 0.5) * jnp.log((mode + 1) / (odds * (count - mode + 1)))
    at_mode = at_mode + _stirling_rest(mode) + _stirling_rest(count - mode)

    def propose(u: Array, v: Array) -> tuple[Array, Array]:
        size = 0.5 - jnp.abs(u)
        k = jnp.floor((2 * a / size + b) * u + (count * chance + 0.5))
        left = count - k + 1
        bound = at_mode + (count + 1) * jnp.log((count - mode + 1) / left)
        bound = bound + (k + 0.5) * jnp.log(odds * left / (k + 1))
        bound = bound - _stirling_rest(k) - _stirling_rest(count - k)
        likely = jnp.log(v * alpha / (a / (size * size) + b)) <= bound
        outside = (k < 0) | (k > count)
        return k, ((size >= 0.07) & (v <= v_limit)) | (~outside & likely)

    return _until_accepted(key, count, propose)


def _stirling_rest(k: Array) -> Array:
    square = (k + 1) * (k + 1)
    rest = (1 / 12 - (1 / 360 - 1 / 1260 / square) / square) / (k + 1)
    for number, known in enumerate(_STIRLING):
        rest = jnp.where(k == number, known, rest)
    return rest
