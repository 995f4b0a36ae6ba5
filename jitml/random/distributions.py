"""Random numbers of the usual distributions, as functions of a key.

Uniform and integer samples have the bits of `jax.random`; the others differ by rounding of the
functions applied.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.dtypes import DType
from jitml.ir.errors import ArgumentError, DTypeError, ShapeError
from jitml.numpy import arithmetic, comparison, joining, reductions
from jitml.numpy import elementwise as el
from jitml.numpy.operands import (
    as_dtype,
    as_shape,
    cast,
    expand_to,
    fail,
    inexact,
    is_number,
    joined_shape,
    operand,
    settle,
)
from jitml.numpy.types import finfo
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.random.keys import Words, random_bits, word_pairs, words_of
from jitml.trace.core import type_of
from jitml.trace.numbers import literal
from jitml.typing import Array, ArrayLike, DTypeLike, Shape


def float_dtype(name: str, dtype: DTypeLike | None) -> DType:
    """The dtype of the samples, which must be a float."""
    wanted = as_dtype(float if dtype is None else dtype)
    if not dtypes.is_float(wanted):
        fail(DTypeError, f"random.{name}: samples are floats, not {wanted.name}")
    return wanted


def sample_shape(name: str, shape: Shape | None, *parameters: ArrayLike) -> tuple[int, ...]:
    """The shape of the samples: as given, or that of the parameters together."""
    own = [() if is_number(p) else type_of(operand(p)).shape for p in parameters]
    if shape is None:
        return joined_shape(own)
    sizes = as_shape(shape, f"random.{name}")
    try:
        fits = joined_shape([sizes, *own]) == sizes
    except ValueError:
        fits = False
    if not fits:
        fail(ShapeError, f"random.{name}: parameters of shapes {own} do not broadcast to {sizes}")
    return sizes


def parameter(value: ArrayLike, dtype: DType, shape: tuple[int, ...]) -> Any:
    """A parameter in the dtype of the samples, 0-d or of their shape."""
    x = cast(value if is_number(value) else operand(value), dtype)
    return expand_to(x, shape) if type_of(x).shape else x


def _is(number: Any, value: float) -> bool:
    return is_number(number) and number == value


# ---- uniform --------------------------------------------------------------------------------


def unit_samples(words: Words, shape: tuple[int, ...], dtype: DType) -> Any:
    """Samples of [0, 1): random bits as the mantissa of a number in [1, 2), less 1."""
    info = finfo(dtype)
    width = 8 if info.nmant < 8 else info.bits
    unsigned = np.dtype(f"uint{info.bits}")
    mantissa = ew.convert(random_bits(words, width, shape), unsigned)
    mantissa = ew.shift_right_logical(mantissa, width - info.nmant)
    one = int(np.array(1.0, dtype).view(unsigned))
    return ew.sub(ew.bitcast(ew.or_(mantissa, one), dtype), 1)


def uniform_samples(
    words: Words, shape: tuple[int, ...], dtype: DType, low: ArrayLike, high: ArrayLike
) -> Any:
    """Samples of [low, high)."""
    floats = unit_samples(words, shape, dtype)
    if _is(low, 0.0) and _is(high, 1.0):
        return floats
    first, last = parameter(low, dtype, shape), parameter(high, dtype, shape)
    return ew.maximum(first, _multiply_add(floats, ew.sub(last, first), first, dtype))


def _multiply_add(x: Any, factor: Any, term: Any, dtype: DType) -> Any:
    """x · factor + term rounded once, as the instruction that `jax.random` meets does it."""
    wider: dict[str, DType] = {"float16": dtypes.FLOAT32, "float32": dtypes.FLOAT64}
    wide = wider.get(dtype.name, dtype)
    return cast(ew.add(ew.mul(cast(x, wide), cast(factor, wide)), cast(term, wide)), dtype)


def uniform(
    key: Any,
    shape: Shape = (),
    dtype: DTypeLike | None = None,
    minval: ArrayLike = 0.0,
    maxval: ArrayLike = 1.0,
    *,
    out_sharding: object = None,
) -> Array:
    """Floats of [minval, maxval), all equally likely.

    >>> from jitml import random
    >>> print(uniform(random.key(0)))
    0.947667
    """
    wanted = float_dtype("uniform", dtype)
    sizes = sample_shape("uniform", shape, minval, maxval)
    return settle(uniform_samples(words_of("uniform", key), sizes, wanted, minval, maxval))


def randint(
    key: Any,
    shape: Shape,
    minval: ArrayLike,
    maxval: ArrayLike,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Integers of [minval, maxval).

    >>> from jitml import random
    >>> int(randint(random.key(0), (), 5, 6))
    5
    """
    wanted = as_dtype(int if dtype is None else dtype)
    if not dtypes.is_integer(wanted):
        fail(DTypeError, f"random.randint: samples are integers, not {wanted.name}")
    sizes = sample_shape("randint", shape, minval, maxval)
    # Narrow integers are sampled in 32 bits: the remainder of few bits is far from uniform.
    working = dtypes.INT32 if wanted.itemsize < 4 else wanted
    low, high, beyond = _integer_bounds(minval, maxval, wanted, working, sizes)
    bits = working.itemsize * 8
    higher, lower = (random_bits(w, bits, sizes) for w in word_pairs(words_of("randint", key)))
    unsigned = np.dtype(f"uint{bits}")
    empty = ew.le(high, low)
    span = ew.convert(ew.sub(high, low), unsigned)
    span = ew.select(empty, cast(1, unsigned), span)
    span = ew.select(ew.and_(beyond, ew.not_(empty)), ew.add(span, 1), span)
    # The remainder of an integer twice as wide, from the remainders of its halves.
    factor = ew.rem(cast(2 ** (bits // 2), unsigned), span)
    factor = ew.rem(ew.mul(factor, factor), span)
    offset = ew.add(ew.mul(ew.rem(higher, span), factor), ew.rem(lower, span))
    return settle(cast(ew.add(low, ew.convert(ew.rem(offset, span), working)), wanted))


def _integer_bounds(
    minval: ArrayLike, maxval: ArrayLike, dtype: DType, working: DType, shape: tuple[int, ...]
) -> tuple[Any, Any, Any]:
    """Both bounds in the dtype to work in, and whether the upper one lies just beyond it."""
    limits = np.iinfo(dtype)
    lowest, highest = int(limits.min), int(limits.max)
    top = highest + (working != dtype)
    low = _clipped(minval, lowest, highest, working, shape)
    high = _clipped(maxval, lowest, top, working, shape)
    if working != dtype:
        return low, high, literal(False)
    if is_number(maxval):
        return low, high, literal(int(maxval) > highest)
    beyond = operand(comparison.greater(maxval, highest))
    return low, high, expand_to(beyond, shape) if type_of(beyond).shape else beyond


def _clipped(value: ArrayLike, low: int, high: int, dtype: DType, shape: tuple[int, ...]) -> Any:
    """A bound kept between two integers, in `dtype`."""
    if is_number(value):
        return cast(min(max(int(value), low), high), dtype)
    x = operand(value, "random.randint")
    if not dtypes.is_integer(type_of(x).dtype):
        x = ew.convert(x, dtypes.INT64)
    own = np.iinfo(type_of(x).dtype)
    inside = arithmetic.clip(x, max(low, int(own.min)), min(high, int(own.max)))
    return parameter(inside, dtype, shape)


# ---- normal ---------------------------------------------------------------------------------


def normal_samples(words: Words, shape: tuple[int, ...], dtype: DType) -> Any:
    low = float(np.nextafter(np.array(-1.0, dtype), np.array(0.0, dtype), dtype=dtype))
    samples = uniform_samples(words, shape, dtype, low, 1.0)
    return ew.mul(ew.erf_inv(samples), float(np.array(math.sqrt(2), dtype)))


def normal(
    key: Any, shape: Shape = (), dtype: DTypeLike | None = None, *, out_sharding: object = None
) -> Array:
    """Samples of the standard normal distribution; complex ones have a variance of 1 too.

    >>> from jitml import random
    >>> normal(random.key(0), (2, 3)).shape
    (2, 3)
    """
    wanted = as_dtype(float if dtype is None else dtype)
    sizes = as_shape(shape, "random.normal")
    words = words_of("normal", key)
    if dtypes.is_complex(wanted):
        real = dtypes.real_dtype(wanted)
        parts = [normal_samples(w, sizes, real) for w in word_pairs(words)]
        return settle(ew.div(ew.complex_(*parts), cast(math.sqrt(2), wanted)))
    return settle(normal_samples(words, sizes, float_dtype("normal", wanted)))


def lognormal(
    key: Any,
    sigma: ArrayLike = 1.0,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """exp of normal samples times sigma.

    >>> from jitml import random
    >>> print(lognormal(random.key(0)) > 0)
    True
    """
    wanted = float_dtype("lognormal", dtype)
    sizes = sample_shape("lognormal", shape, sigma)
    samples = normal_samples(words_of("lognormal", key), sizes, wanted)
    return settle(ew.exp(ew.mul(samples, parameter(sigma, wanted, sizes))))


def truncated_normal(
    key: Any,
    lower: ArrayLike,
    upper: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Normal samples between `lower` and `upper`.

    >>> from jitml import random
    >>> print(truncated_normal(random.key(0), 0.0, 1.0) > 0)
    True
    """
    wanted = float_dtype("truncated_normal", dtype)
    sizes = sample_shape("truncated_normal", shape, lower, upper)
    low, high = (parameter(v, wanted, sizes) for v in (lower, upper))
    root = float(np.array(math.sqrt(2), wanted))
    ends = [settle(ew.erf(ew.div(end, root))) for end in (low, high)]
    samples = uniform_samples(words_of("truncated_normal", key), sizes, wanted, *ends)
    found = ew.mul(ew.erf_inv(samples), root)
    above = ew.nextafter(ew.stop_gradient(low), math.inf)
    below = ew.nextafter(ew.stop_gradient(high), -math.inf)
    return settle(ew.minimum(ew.maximum(above, found), below))


# ---- of the uniform by a function -----------------------------------------------------------


def _positive_samples(name: str, key: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    """Samples of (0, 1)."""
    return uniform_samples(words_of(name, key), shape, dtype, float(finfo(dtype).tiny), 1.0)


def exponential(
    key: Any, shape: Shape = (), dtype: DTypeLike | None = None, *, out_sharding: object = None
) -> Array:
    """Samples of the exponential distribution.

    >>> from jitml import random
    >>> print(exponential(random.key(0)) > 0)
    True
    """
    wanted = float_dtype("exponential", dtype)
    sizes = as_shape(shape, "random.exponential")
    samples = unit_samples(words_of("exponential", key), sizes, wanted)
    return settle(ew.neg(ew.log1p(ew.neg(samples))))


def gumbel(
    key: Any,
    shape: Shape = (),
    dtype: DTypeLike | None = None,
    mode: str | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Samples of the Gumbel distribution; mode "high" resolves its far tail.

    >>> from jitml import random
    >>> gumbel(random.key(0), (3,)).shape
    (3,)
    """
    wanted = float_dtype("gumbel", dtype)
    sizes = as_shape(shape, "random.gumbel")
    if mode not in (None, "low", "high"):
        fail(ArgumentError, f"random.gumbel: mode {mode!r} is not known", "it is 'low' or 'high'")
    if mode != "high":
        samples = _positive_samples("gumbel", key, sizes, wanted)
        return settle(ew.neg(ew.log(ew.neg(ew.log(samples)))))
    info = finfo(wanted)
    both = unit_samples(words_of("gumbel", key), (2, *sizes), wanted)
    coarse, fine = (mv.reshape(joining.take_slice(both, 0, k, k + 1), sizes) for k in (0, 1))
    finer = ew.add(ew.add(coarse, ew.mul(fine, 2.0**-info.nmant)), float(info.tiny))
    samples = ew.select(ew.ge(coarse, 0.5), coarse, finer)
    return settle(ew.neg(ew.log(ew.neg(ew.log1p(ew.neg(samples))))))


def laplace(
    key: Any, shape: Shape = (), dtype: DTypeLike | None = None, *, out_sharding: object = None
) -> Array:
    """Samples of the Laplace distribution.

    >>> from jitml import random
    >>> laplace(random.key(0), (3,)).shape
    (3,)
    """
    wanted = float_dtype("laplace", dtype)
    sizes = as_shape(shape, "random.laplace")
    low = -1.0 + float(finfo(wanted).epsneg)
    samples = uniform_samples(words_of("laplace", key), sizes, wanted, low, 1.0)
    return settle(ew.mul(ew.sign(samples), ew.log1p(ew.neg(ew.abs_(samples)))))


def logistic(
    key: Any, shape: Shape = (), dtype: DTypeLike | None = None, *, out_sharding: object = None
) -> Array:
    """Samples of the logistic distribution.

    >>> from jitml import random
    >>> logistic(random.key(0), (3,)).shape
    (3,)
    """
    wanted = float_dtype("logistic", dtype)
    samples = _positive_samples("logistic", key, as_shape(shape, "random.logistic"), wanted)
    return settle(ew.sub(ew.log(samples), ew.log1p(ew.neg(samples))))


def cauchy(
    key: Any, shape: Shape = (), dtype: DTypeLike | None = None, *, out_sharding: object = None
) -> Array:
    """Samples of the Cauchy distribution.

    >>> from jitml import random
    >>> cauchy(random.key(0), (3,)).shape
    (3,)
    """
    wanted = float_dtype("cauchy", dtype)
    sizes = as_shape(shape, "random.cauchy")
    low = float(finfo(wanted).eps)
    samples = uniform_samples(words_of("cauchy", key), sizes, wanted, low, 1.0)
    return settle(ew.tan(ew.mul(ew.sub(samples, 0.5), math.pi)))


def pareto(
    key: Any,
    b: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Samples of the Pareto distribution with the exponent b.

    >>> from jitml import random
    >>> print(pareto(random.key(0), 2.0) >= 1)
    True
    """
    wanted = float_dtype("pareto", dtype)
    sizes = sample_shape("pareto", shape, b)
    growth = operand(exponential(key, sizes, wanted))
    return settle(ew.exp(ew.div(growth, parameter(b, wanted, sizes))))


def rayleigh(
    key: Any,
    scale: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Samples of the Rayleigh distribution.

    >>> from jitml import random
    >>> print(rayleigh(random.key(0), 1.0) >= 0)
    True
    """
    wanted = float_dtype("rayleigh", dtype)
    sizes = sample_shape("rayleigh", shape, scale)
    samples = unit_samples(words_of("rayleigh", key), sizes, wanted)
    root = ew.sqrt(ew.mul(ew.log(samples), -2.0))
    return settle(ew.mul(parameter(scale, wanted, sizes), root))


def weibull_min(
    key: Any,
    scale: ArrayLike,
    concentration: ArrayLike,
    shape: Shape = (),
    dtype: DTypeLike | None = None,
) -> Array:
    """Samples of the Weibull distribution.

    >>> from jitml import random
    >>> print(weibull_min(random.key(0), 1.0, 2.0) >= 0)
    True
    """
    wanted = float_dtype("weibull_min", dtype)
    sizes = sample_shape("weibull_min", shape, scale, concentration)
    growth = operand(exponential(key, sizes, wanted))
    power = operand(arithmetic.divide(1.0, concentration))
    return settle(
        ew.mul(ew.pow(growth, parameter(power, wanted, sizes)), parameter(scale, wanted, sizes))
    )


def maxwell(
    key: Any, shape: Shape = (), dtype: DTypeLike | None = None, *, out_sharding: object = None
) -> Array:
    """Lengths of normal vectors of 3 elements.

    >>> from jitml import random
    >>> print(maxwell(random.key(0)) > 0)
    True
    """
    vectors = normal(key, (*as_shape(shape, "random.maxwell"), 3), float_dtype("maxwell", dtype))
    return el.sqrt(reductions.sum(arithmetic.multiply(vectors, vectors), axis=-1))


def triangular(
    key: Any,
    left: ArrayLike,
    mode: ArrayLike,
    right: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Samples of the triangular distribution.

    >>> from jitml import random
    >>> print(triangular(random.key(0), 0.0, 0.5, 1.0) < 1)
    True
    """
    wanted = float_dtype("triangular", dtype)
    sizes = sample_shape("triangular", shape, left, mode, right)
    low, peak, high = (expand_to(parameter(p, wanted, sizes), sizes) for p in (left, mode, right))
    u = unit_samples(words_of("triangular", key), sizes, wanted)
    width, rise, fall = ew.sub(high, low), ew.sub(peak, low), ew.sub(high, peak)
    below = ew.add(low, ew.sqrt(ew.mul(ew.mul(u, width), rise)))
    above = ew.sub(high, ew.sqrt(ew.mul(ew.mul(ew.sub(1, u), width), fall)))
    return settle(ew.select(ew.lt(u, ew.div(rise, width)), below, above))


# ---- discrete -------------------------------------------------------------------------------


def bernoulli(
    key: Any,
    p: ArrayLike = 0.5,
    shape: Shape | None = None,
    mode: str = "low",
    *,
    out_sharding: object = None,
) -> Array:
    """True with the probability p.

    >>> from jitml import random
    >>> print(bernoulli(random.key(0), 1.0))
    True
    """
    if mode not in ("low", "high"):
        fail(
            ArgumentError, f"random.bernoulli: mode {mode!r} is not known", "it is 'low' or 'high'"
        )
    chance = operand(p, "random.bernoulli")
    dtype = inexact(type_of(chance).dtype)
    sizes = sample_shape("bernoulli", shape, chance)
    chance = parameter(chance, dtype, sizes)
    words = words_of("bernoulli", key)
    if mode == "low":
        return settle(ew.lt(unit_samples(words, sizes, dtype), chance))
    both = unit_samples(words, (2, *sizes), dtype)
    coarse, fine = (mv.reshape(joining.take_slice(both, 0, k, k + 1), sizes) for k in (0, 1))
    return settle(ew.lt(ew.mul(fine, 2.0 ** -finfo(dtype).nmant), ew.sub(chance, coarse)))


def rademacher(
    key: Any, shape: Shape = (), dtype: DTypeLike | None = None, *, out_sharding: object = None
) -> Array:
    """−1 or 1, equally likely.

    >>> from jitml import random
    >>> print(rademacher(random.key(0)) ** 2)
    1
    """
    wanted = as_dtype(int if dtype is None else dtype)
    heads = operand(bernoulli(key, 0.5, shape))
    return settle(ew.sub(ew.mul(cast(heads, wanted), 2), 1))


def geometric(
    key: Any,
    p: ArrayLike,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """How many trials of probability p until the first success.

    >>> from jitml import random
    >>> print(geometric(random.key(0), 1.0))
    1
    """
    wanted = as_dtype(int if dtype is None else dtype)
    chance = operand(p, "random.geometric")
    working = inexact(type_of(chance).dtype)
    sizes = sample_shape("geometric", shape, chance)
    u = unit_samples(words_of("geometric", key), sizes, working)
    u = ew.select(ew.eq(u, 0), cast(1.0, working), u)
    failure = ew.log1p(ew.neg(parameter(chance, working, sizes)))
    return settle(cast(ew.add(ew.floor(ew.div(ew.log(u), failure)), 1), wanted))
