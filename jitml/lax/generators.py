"""Random bits from a state, and uniform numbers from a hidden one; `jitml.random` serves better."""

from __future__ import annotations

from typing import Any

import numpy as np

import jitml.numpy as jnp
from jitml.callbacks import io_callback
from jitml.ir.dtypes import is_float
from jitml.ir.errors import ArgumentError, DTypeError, ShapeError
from jitml.lax.conversion import bitcast_convert_type, convert_element_type
from jitml.lax.options import RandomAlgorithm
from jitml.numpy.operands import as_dtype, as_shape, fail, settle
from jitml.ops.random_bits import threefry2x32
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = ["rng_bit_generator", "rng_uniform"]


def rng_bit_generator(
    key: ArrayLike,
    shape: Any,
    dtype: DTypeLike = np.uint32,
    algorithm: RandomAlgorithm = RandomAlgorithm.RNG_DEFAULT,
    *,
    out_sharding: object = None,
) -> tuple[Array, Array]:
    """A new state and random bits; a state is u32[4] or u64[2]: a key, and how often it was used.

    In one dimension the bits are those of JAX's RNG_THREE_FRY, which is the default here.

    >>> import jitml.numpy as jnp
    >>> state, bits = rng_bit_generator(jnp.arange(4, dtype="uint32"), (2,))
    >>> print(state)
    [0 1 3 3]
    """
    state, wanted, sizes = jnp.asarray(key), as_dtype(dtype), as_shape(shape)
    if (state.dtype.name, state.shape) not in (("uint32", (4,)), ("uint64", (2,))):
        fail(ShapeError, f"rng_bit_generator: the key is {type_of(state)}, not u32[4] or u64[2]")
    if wanted.kind != "u":
        fail(DTypeError, f"rng_bit_generator: bits are unsigned integers, not {wanted.name}")
    if algorithm is RandomAlgorithm.RNG_PHILOX:
        fail(ArgumentError, "rng_bit_generator: there is no RNG_PHILOX", "use RNG_THREE_FRY")
    is_wide = state.dtype.name == "uint64"
    words = state if is_wide else bitcast_convert_type(state.reshape(2, 2), np.uint64)
    size = int(np.prod(sizes, dtype=np.int64))
    is_double = wanted.itemsize == 8
    count = size if is_double else -(-size // 2)
    counts = words[1] + jnp.arange(count, dtype=np.uint64)
    first, second = (bitcast_convert_type(x, np.uint32) for x in (words[0], counts))
    drawn = threefry2x32(first[0], first[1], second[:, 0], second[:, 1])
    pair = jnp.stack([settle(w) for w in drawn], -1)
    bits = bitcast_convert_type(pair, np.uint64) if is_double else pair.ravel()[:size]
    used = jnp.stack([words[0], words[1] + np.uint64(count)])
    new = used if is_wide else bitcast_convert_type(used, np.uint32).ravel()
    return new, convert_element_type(bits, wanted).reshape(sizes)


_GENERATOR = np.random.default_rng()


def rng_uniform(a: ArrayLike, b: ArrayLike, shape: Any) -> Array:
    """Uniform numbers between a and b, others at each call: they come from a hidden state.

    >>> 2 <= rng_uniform(2.0, 3.0, ()) < 3
    Array(True, dtype=bool)
    """
    low, high, sizes = jnp.asarray(a), jnp.asarray(b), as_shape(shape)
    if low.ndim or high.ndim or low.dtype != high.dtype or not is_float(low.dtype):
        fail(DTypeError, f"rng_uniform: bounds {type_of(low)} and {type_of(high)}",
             "they are 0-d floats of one dtype")  # fmt: skip
    wanted = type_of(jnp.zeros(sizes, low.dtype))

    def draw() -> Any:
        drawn = np.float64 if low.dtype.itemsize == 8 else np.float32
        return _GENERATOR.random(sizes, drawn).astype(low.dtype)

    return low + io_callback(draw, wanted, ordered=True) * (high - low)
