"""Matrix products of operands in narrow formats, a scale for each block of numbers.

In: operands, with scales or with a configuration of how to scale them. Out: their product. Arrays
have no 8-bit floats: quantised numbers are those of the narrow format, held in the operand's dtype.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jitml.numpy as jnp
from jitml import lax
from jitml.custom_derivatives import custom_vjp
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy.operands import fail
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = ["get_scaled_dot_general_config", "scaled_dot_general", "scaled_matmul"]


def scaled_matmul(
    lhs: ArrayLike,
    rhs: ArrayLike,
    lhs_scales: ArrayLike,
    rhs_scales: ArrayLike,
    preferred_element_type: DTypeLike = jnp.float32,
) -> Array:
    """[B, M, K] times [B, N, K] to [B, M, N], each scaled by [B, …, K / block], one for a block.

    >>> x, scale = jnp.array([[[1.0, 2.0]]]), jnp.array([[[0.5]]])
    >>> print(scaled_matmul(x, x, scale, scale))
    [[[1.25]]]
    """
    arrays = [jnp.asarray(x) for x in (lhs, rhs, lhs_scales, rhs_scales)]
    a, b, a_scales, b_scales = arrays
    listed = ", ".join(str(type_of(x)) for x in arrays)
    if any(x.ndim != 3 for x in arrays):
        fail(ShapeError, f"scaled_matmul: all operands have 3 dimensions, not {listed}")
    outer, ends = (0, 1), (0, 2)
    pairs = (a, b, ends), (a_scales, b_scales, ends), (a, a_scales, outer), (b, b_scales, outer)
    if any(x.shape[k] != y.shape[k] for x, y, axes in pairs for k in axes):
        fail(ShapeError, f"scaled_matmul: shapes do not fit: {listed}",
             "they are [B, M, K], [B, N, K], [B, M, blocks] and [B, N, blocks]")  # fmt: skip
    if a.shape[2] % max(a_scales.shape[2], 1):
        fail(ShapeError, f"scaled_matmul: {a_scales.shape[2]} scales for {a.shape[2]} numbers")
    wide = [x.astype(jnp.float32) for x in arrays]
    factors = [jnp.repeat(s, a.shape[2] // s.shape[2], 2) for s in wide[2:]]
    return jnp.asarray(_product(wide[0] * factors[0], wide[1] * factors[1]), preferred_element_type)


def _product(x: Any, y: Any) -> Any:
    return lax.dot_general(x, y, (((2,), (2,)), ((0,), (0,))))


# ---- formats --------------------------------------------------------------------------------


class Format(NamedTuple):
    """A narrow float: its greatest number, bits of mantissa, and smallest exponent."""

    greatest: float
    mantissa: int
    smallest: int

    def nearest(self, x: Any) -> Any:
        """The numbers of the format that are nearest, the greatest for those beyond."""
        exponent = jnp.maximum(jnp.frexp(x)[1] - 1, self.smallest) - self.mantissa
        near = jnp.ldexp(jnp.round(jnp.ldexp(x, -exponent)), exponent)
        return jnp.clip(near, -self.greatest, self.greatest).astype(x.dtype)


_FORMATS = {"float8_e4m3fn": Format(448.0, 3, -6), "float4_e2m1fn": Format(6.0, 1, 0)}


class BlockScaleConfig(NamedTuple):
    """How an operand is quantised: a scale for each block of `block_size` contracted numbers."""

    mode: str
    block_size: int
    data_type: str
    scale_type: str
    global_scale: Any = None
    infer_only: bool = False


def get_scaled_dot_general_config(mode: str, global_scale: Array | None = None) -> BlockScaleConfig:
    """The configuration of a mode, "mxfp8" or "nvfp4" (which takes a scale for all numbers).

    >>> get_scaled_dot_general_config("mxfp8").block_size
    32
    """
    if mode == "mxfp8":
        return BlockScaleConfig(mode, 32, "float8_e4m3fn", "float8_e8m0fnu")
    if mode != "nvfp4":
        fail(ArgumentError, f"get_scaled_dot_general_config: no mode {mode!r}",
             "it is 'mxfp8' or 'nvfp4'")  # fmt: skip
    scale = jnp.ones(1) if global_scale is None else global_scale
    return BlockScaleConfig(mode, 16, "float4_e2m1fn", "float8_e4m3fn", scale)


def _quantised(x: Any, config: BlockScaleConfig) -> Any:
    """What is left of numbers [B, M, K] after they were scaled and rounded, block by block."""
    if x.shape[2] % config.block_size or not x.shape[2]:
        fail(
            ShapeError,
            f"scaled_dot_general: {x.shape[2]} contracted numbers in blocks of {config.block_size}",
            "fill the contracted axes up with zeros",
        )
    target = _FORMATS[config.data_type]
    whole = 1.0 if config.global_scale is None else config.global_scale
    blocks = (x / whole).reshape(*x.shape[:2], -1, config.block_size)
    wanted = jnp.abs(blocks).max(3, keepdims=True) / target.greatest
    is_power = config.mode == "mxfp8"
    scales = _power_above(wanted) if is_power else _FORMATS[config.scale_type].nearest(wanted)
    near = target.nearest(blocks / jnp.where(scales == 0, 1, scales))
    return (near * scales * whole).reshape(x.shape).astype(x.dtype)


def _power_above(x: Any) -> Any:
    """The least power of two that is not smaller than a positive number."""
    fraction, exponent = jnp.frexp(x)
    return jnp.ldexp(jnp.ones_like(x), jnp.maximum(exponent - (fraction == 0.5), -126))


# ---- products -------------------------------------------------------------------------------


def _scaled(x: Any, y: Any, configs: Sequence[BlockScaleConfig]) -> Any:
    return _product(_quantised(x, configs[0]), _quantised(y, configs[1]))


def _function(configs: Sequence[BlockScaleConfig]) -> custom_vjp:
    """The product of [B, M, K] and [B, N, K], whose derivative takes rounding for the identity."""

    def back(kept: tuple[Any, Any], ct: Any) -> tuple[Any, Any]:
        x, y = kept
        return (
            _back(ct, y, x, (configs[2], configs[1]), configs[0]),
            _back(jnp.swapaxes(ct, 1, 2), x, y, (configs[2], configs[0]), configs[1]),
        )

    function = custom_vjp(lambda x, y: _scaled(x, y, configs))
    function.defvjp(lambda x, y: (_scaled(x, y, configs), (x, y)), back)
    return function


def _back(
    ct: Any, other: Any, x: Any, configs: Sequence[BlockScaleConfig], own: BlockScaleConfig
) -> Any:
    """The cotangent of x; 0 where x was too great for its format."""
    turned = jnp.swapaxes(other, 1, 2)
    if own.mode == "mxfp8":
        return _scaled(ct, turned, configs)
    limit = own.global_scale * _FORMATS[own.data_type].greatest * 448.0
    return jnp.where(jnp.abs(x) <= limit, _product(ct, turned), 0)


def scaled_dot_general(
    lhs: ArrayLike,
    rhs: ArrayLike,
    dimension_numbers: Any,
    preferred_element_type: DTypeLike = jnp.float32,
    configs: list[BlockScaleConfig] | None = None,
    implementation: str | None = None,
) -> Array:
    """`lax.dot_general` of operands that are rounded to narrow formats, a scale for each block.

    `configs` holds those of `lhs`, `rhs` and the gradient; None: nothing is rounded.

    >>> configs = [get_scaled_dot_general_config("mxfp8")] * 3
    >>> x = jnp.ones((2, 32))
    >>> print(scaled_dot_general(x, x, (((1,), (1,)), ((), ())), configs=configs))
    [[32. 32.]
     [32. 32.]]
    """
    x, y = jnp.asarray(lhs), jnp.asarray(rhs)
    if configs is None:
        return lax.dot_general(x, y, dimension_numbers, None, preferred_element_type)
    (ours, theirs), batched = dimension_numbers
    (left, kept), (right, other) = (
        _in_three(v, contracted, batch)
        for v, contracted, batch in zip((x, y), (ours, theirs), batched, strict=True)
    )
    shape = [x.shape[a] for a in batched[0]] + kept + other
    found = _function(configs)(left, right).reshape(shape)
    return jnp.asarray(found, preferred_element_type)


def _in_three(x: Any, contracted: Sequence[int], batched: Sequence[int]) -> tuple[Any, list[int]]:
    """The operand as [batch, kept, contracted], and the sizes of what is kept."""
    kept = [a for a in range(x.ndim) if a not in (*contracted, *batched)]
    sizes = [[x.shape[a] for a in axes] for axes in (batched, kept, contracted)]
    return x.transpose(*batched, *kept, *contracted).reshape(*map(math.prod, sizes)), sizes[1]
