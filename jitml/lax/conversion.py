"""dtype conversions of `jitml.lax`: by value, and by bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.dtypes import DType
from jitml.ir.errors import DTypeError, ShapeError
from jitml.numpy.operands import as_dtype, fail, settle, strong
from jitml.numpy.operands import operand as as_operand
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.ops.reduction import reduce_or
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = [
    "bitcast_convert_type", "convert_element_type",
]  # fmt: skip


def convert_element_type(operand: ArrayLike, new_dtype: DTypeLike) -> Array:
    """The array converted to a dtype. Floats to integers truncate and saturate.

    >>> print(convert_element_type(1.5, "int32"))
    1
    """
    x, wanted = as_operand(operand, "convert_element_type"), as_dtype(new_dtype)
    if type_of(x).dtype == wanted:
        return settle(strong(x))
    return settle(ew.convert(x, wanted))


def _unsigned(bits: int) -> DType:
    return np.dtype(f"uint{bits}")


def _as_unsigned(x: Any) -> Any:
    """The bits of integers and floats as an unsigned integer of the same width."""
    dtype = type_of(x).dtype
    if dtype == dtypes.BOOL or dtypes.is_complex(dtype):
        fail(DTypeError, f"bitcast: {dtype.name} has no bits of its own", "convert it first")
    return ew.bitcast(x, _unsigned(dtype.itemsize * 8))


def bitcast_convert_type(operand: ArrayLike, new_dtype: DTypeLike) -> Array:
    """The bits as another dtype; a narrower one adds a last axis, a wider one takes it away.

    >>> print(bitcast_convert_type(1.0, "uint32"))
    1065353216
    """
    x, wanted = as_operand(operand, "bitcast_convert_type"), as_dtype(new_dtype)
    type_ = type_of(x)
    if type_.dtype == wanted:
        return settle(x)
    own, new = type_.dtype.itemsize, wanted.itemsize
    if own == new:
        return settle(ew.bitcast(x, wanted))
    if own > new:
        return settle(ew.bitcast(_split_bits(_as_unsigned(x), own // new), wanted))
    if not type_.ndim or type_.shape[-1] != new // own:
        fail(
            ShapeError,
            f"bitcast_convert_type: {type_} to {wanted.name} needs a last axis of {new // own}",
        )
    return settle(ew.bitcast(_joined_bits(_as_unsigned(x), _unsigned(new * 8)), wanted))


def _split_bits(x: Any, parts: int) -> Any:
    """Unsigned integers as `parts` narrower ones along a new last axis, the low bits first."""
    type_ = type_of(x)
    bits = type_.dtype.itemsize * 8 // parts
    shape = (*type_.shape, parts)
    wide = mv.broadcast_in_dim(x, shape, tuple(range(type_.ndim)))
    shift = ew.mul(mv.iota(type_.dtype, shape, type_.ndim), bits)
    return ew.convert(ew.shift_right_logical(wide, shift), _unsigned(bits))


def _joined_bits(x: Any, wide: DType) -> Any:
    """The narrow integers of the last axis as one wide integer."""
    type_ = type_of(x)
    bits = type_.dtype.itemsize * 8
    shift = ew.mul(mv.iota(wide, type_.shape, type_.ndim - 1), bits)
    return reduce_or(ew.shift_left(ew.convert(x, wide), shift), (type_.ndim - 1,))


def bitcast_last_axis(x: Any, wanted: DType) -> Any:
    """The bits as another dtype; the last axis grows or shrinks, as NumPy's `view` has it."""
    type_ = type_of(x)
    own, new = type_.dtype.itemsize, wanted.itemsize
    if own == new:
        return bitcast_convert_type(x, wanted)
    if not type_.ndim:
        fail(ShapeError, f"view: a 0-d array of {type_.dtype.name} cannot be seen as {wanted.name}")
    *outer, last = type_.shape
    if own > new:
        apart = bitcast_convert_type(x, wanted)
        return settle(mv.reshape(apart, (*outer, last * (own // new))))
    if last % (new // own):
        fail(
            ShapeError,
            f"view: a last axis of {last} {type_.dtype.name} does not fill {wanted.name}",
        )
    grouped = mv.reshape(as_operand(x), (*outer, last // (new // own), new // own))
    return bitcast_convert_type(settle(grouped), wanted)
