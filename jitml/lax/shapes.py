"""Shapes in `jitml.lax`: what convolutions and windows give, and arrays made to fit others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.arguments import check_sequence
from jitml.ir.dtypes import DType
from jitml.ir.errors import ShapeError
from jitml.lax.contraction import padtype_to_pads, transpose_padding
from jitml.numpy import creation
from jitml.numpy.operands import as_dtype, as_shape, expand_to, fail, kind_of, settle
from jitml.numpy.operands import operand as as_operand
from jitml.ops import convolution as cv
from jitml.ops import movement as mv
from jitml.trace.core import type_of
from jitml.trace.numbers import DEFAULT_DTYPES, is_number
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = [
    "broadcast_like",
    "broadcast_to_rank",
    "conv_general_permutations",
    "conv_general_shape_tuple",
    "conv_shape_tuple",
    "conv_transpose_shape_tuple",
    "dtype",
    "empty",
    "reduce_window_shape_tuple",
    "shape_as_value",
]

Shape = tuple[int, ...]
Pads = str | Sequence[tuple[int, int]]


# ---- arrays ---------------------------------------------------------------------------------


def broadcast_like(arr: ArrayLike, like_arr: ArrayLike) -> Array:
    """An array in the shape of another, which it must broadcast to.

    >>> import jitml.numpy as jnp
    >>> broadcast_like(jnp.ones(3), jnp.zeros((2, 3))).shape
    (2, 3)
    """
    x, shape = (
        as_operand(arr, "broadcast_like"),
        type_of(as_operand(like_arr, "broadcast_like")).shape,
    )
    own = type_of(x).shape
    fits = len(own) <= len(shape) and all(
        n in (1, size) for n, size in zip(own[::-1], shape[::-1], strict=False)
    )
    if not fits:
        fail(ShapeError, f"broadcast_like: {type_of(x)} does not broadcast to shape {shape}")
    return settle(expand_to(x, shape))


def broadcast_to_rank(x: ArrayLike, rank: int) -> Array:
    """An array with axes of size 1 put before its own, so that there are `rank`.

    >>> import jitml.numpy as jnp
    >>> broadcast_to_rank(jnp.ones(3), 3).shape
    (1, 1, 3)
    """
    value = as_operand(x, "broadcast_to_rank")
    own = type_of(value).shape
    if rank < len(own):
        fail(ShapeError, f"broadcast_to_rank: {type_of(value)} has more than {rank} dimensions")
    return settle(mv.reshape(value, (1,) * (rank - len(own)) + own))


def empty(shape: Any, dtype: DTypeLike, *, out_sharding: object = None) -> Array:
    """An array whose elements nobody is to read; they are 0.

    >>> empty((2,), "float32").shape
    (2,)
    """
    return creation.zeros(shape, dtype)


def dtype(x: Any) -> DType:
    """The dtype of a value, or the one that a type stands for.

    >>> print(dtype(1.0), dtype("int8"))
    float32 int8
    """
    if isinstance(x, (str, type, np.dtype)):
        return as_dtype(x)
    return kind_of(x if is_number(x) else as_operand(x, "dtype"))[0]


def shape_as_value(shape: Sequence[int]) -> Array:
    """A shape as an array of integers.

    >>> print(shape_as_value((2, 3)))
    [2 3]
    """
    return creation.asarray(np.array(as_shape(shape), DEFAULT_DTYPES.of(int)))


# ---- what windows and convolutions give -----------------------------------------------------


def _positions(size: int, window: int, stride: int) -> int:
    return 0 if size < window else (size - window) // stride + 1


def conv_shape_tuple(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    strides: Sequence[int],
    pads: Pads,
    batch_group_count: int = 1,
) -> Shape:
    """The shape of a convolution of (batch, feature, space…) with (out, in, space…).

    >>> conv_shape_tuple((1, 3, 8), (4, 3, 3), (2,), "SAME")
    (1, 4, 4)
    """
    lhs_shape, rhs_shape = (as_shape(x, "conv_shape_tuple") for x in (lhs_shape, rhs_shape))
    space, window = lhs_shape[2:], rhs_shape[2:]
    if isinstance(pads, str):
        pads = padtype_to_pads(space, window, strides, pads)
    if not len(pads) == len(strides) == len(space) == len(window):
        fail(
            ShapeError,
            f"conv_shape_tuple: {len(space)} axes of space, {len(window)} of windows, "
            f"{len(strides)} strides and {len(pads)} pads",
        )
    padded = [n + low + high for n, (low, high) in zip(space, pads, strict=True)]
    if lhs_shape[0] % batch_group_count or any(n < 0 for n in padded):
        fail(ShapeError, f"conv_shape_tuple: {tuple(lhs_shape)} does not fit {pads} and groups")
    counts = map(_positions, padded, window, strides)
    return (int(lhs_shape[0]) // batch_group_count, int(rhs_shape[0]), *map(int, counts))


def conv_general_permutations(dimension_numbers: Any) -> tuple[Shape, Shape, Shape]:
    """Where the axes (batch, feature, space…) are in each of three layouts.

    >>> conv_general_permutations(("NHWC", "HWIO", "NHWC"))
    ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
    """
    check_sequence("conv_general_permutations", dimension_numbers, "layouts")
    lhs, rhs, out = cv.conv_dimension_numbers(len(dimension_numbers[0]), dimension_numbers)
    return lhs, rhs, out


def _placed(canonical: Shape, spec: Shape) -> Shape:
    """Sizes given as (batch, feature, space…) in the order of a layout."""
    return tuple(canonical[spec.index(k)] for k in range(len(spec)))


def conv_general_shape_tuple(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Pads,
    dimension_numbers: Any,
) -> Shape:
    """The shape of a convolution in given layouts.

    >>> layouts = ("NHWC", "HWIO", "NHWC")
    >>> conv_general_shape_tuple((1, 8, 8, 3), (3, 3, 3, 4), (1, 1), "VALID", layouts)
    (1, 6, 6, 4)
    """
    lhs, rhs, out = conv_general_permutations(dimension_numbers)
    sizes = [lhs_shape[k] for k in lhs], [rhs_shape[k] for k in rhs]
    return _placed(conv_shape_tuple(*sizes, window_strides, padding), out)


def conv_transpose_shape_tuple(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Pads,
    dimension_numbers: Any,
) -> Shape:
    """The shape of a transposed convolution in given layouts.

    >>> layouts = ("NHC", "HIO", "NHC")
    >>> conv_transpose_shape_tuple((1, 4, 3), (3, 3, 2), (2,), "SAME", layouts)
    (1, 8, 2)
    """
    lhs, rhs, out = conv_general_permutations(dimension_numbers)
    batch, _, *space = (lhs_shape[k] for k in lhs)
    features, _, *window = (rhs_shape[k] for k in rhs)
    rows = list(zip(window, window_strides, strict=True))
    pads = [transpose_padding(*r, padding) for r in rows] if isinstance(padding, str) else padding
    counts = (
        (n - 1) * stride + low + high - size + 2
        for n, (size, stride), (low, high) in zip(space, rows, pads, strict=True)
    )
    return _placed((batch, features, *counts), out)


def reduce_window_shape_tuple(
    operand_shape: Sequence[int],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Shape:
    """The shape of a fold over windows.

    >>> reduce_window_shape_tuple((8,), (3,), (2,), [(1, 0)])
    (4,)
    """
    operand_shape = as_shape(operand_shape, "reduce_window_shape_tuple")
    window_dimensions = as_shape(window_dimensions, "reduce_window_shape_tuple")
    for x in (window_strides, padding):
        check_sequence("reduce_window_shape_tuple", x, "integers, or of pairs of them")
    sizes = _dilated(operand_shape, base_dilation)
    windows = _dilated(window_dimensions, window_dilation)
    if not len(sizes) == len(windows) == len(window_strides) == len(padding):
        fail(ShapeError, f"reduce_window_shape_tuple: windows {windows} over shape {sizes}")
    padded = (n + low + high for n, (low, high) in zip(sizes, padding, strict=True))
    return tuple(map(_positions, padded, windows, window_strides))


def _dilated(sizes: Sequence[int], steps: Sequence[int] | None) -> list[int]:
    if steps is None:
        return list(sizes)
    return [0 if n == 0 else (n - 1) * step + 1 for n, step in zip(sizes, steps, strict=True)]
