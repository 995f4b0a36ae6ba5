"""Products in `jitml.lax`: dot_general, convolutions and their relatives."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from jitml.ir.arguments import check_sequence
from jitml.ir.errors import ArgumentError
from jitml.lax.operands import strict
from jitml.numpy.operands import as_dtype, as_shape, fail, operand, settle
from jitml.ops import contraction as ct
from jitml.ops import convolution as cv
from jitml.ops import movement as mv
from jitml.ops.reduce_window import padding_pairs
from jitml.ops.window_products import ConvDimensionNumbers
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = [
    "Precision", "batch_matmul", "conv", "conv_dimension_numbers", "conv_general_dilated",
    "conv_transpose", "conv_with_general_padding", "dot", "dot_general", "padtype_to_pads",
]  # fmt: skip

Pair = tuple[int, int]


class Precision(enum.Enum):
    """How exactly a product may be computed; on a CPU all of them are exact to the dtype."""

    DEFAULT = 0
    HIGH = 1
    HIGHEST = 2


def _preferred(dtype: DTypeLike | None) -> Any:
    return None if dtype is None else as_dtype(dtype)


def dot_general(
    lhs: ArrayLike,
    rhs: ArrayLike,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    *,
    out_sharding: object = None,
) -> Array:
    """Sums of products over contracted axes, for each index of the batch axes.

    `dimension_numbers` is ((axes of lhs, of rhs) contracted, (axes of lhs, of rhs) batched).

    >>> import jitml.numpy as jnp
    >>> dot_general(jnp.ones((2, 3)), jnp.ones((3, 4)), (((1,), (0,)), ((), ()))).shape
    (2, 4)
    """
    x, y = strict("dot_general", lhs, rhs)
    wanted = _preferred(preferred_element_type)
    return settle(ct.dot_general(settle(x), settle(y), dimension_numbers, precision, wanted))


def dot(
    lhs: ArrayLike,
    rhs: ArrayLike,
    *,
    dimension_numbers: Any = None,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: object = None,
) -> Array:
    """The product of vectors and matrices, in any combination.

    >>> import jitml.numpy as jnp
    >>> print(dot(jnp.ones((2, 3)), jnp.ones(3)))
    [3. 3.]
    """
    if dimension_numbers is None:
        ranks = type_of(operand(lhs, "dot")).ndim, type_of(operand(rhs, "dot")).ndim
        if not {*ranks} <= {1, 2}:
            fail(
                ArgumentError,
                f"dot: takes vectors and matrices, got {ranks[0]} and {ranks[1]} dimensions",
                "pass dimension_numbers, or use jitml.numpy.dot",
            )
        dimension_numbers = (((ranks[0] - 1,), (0,)), ((), ()))
    return dot_general(lhs, rhs, dimension_numbers, precision, preferred_element_type)


def batch_matmul(lhs: Array, rhs: Array, precision: Any = None) -> Array:
    """Matrix products over equal batch axes.

    >>> import jitml.numpy as jnp
    >>> batch_matmul(jnp.ones((5, 2, 3)), jnp.ones((5, 3, 4))).shape
    (5, 2, 4)
    """
    rank = type_of(operand(lhs, "batch_matmul")).ndim
    batch = tuple(range(rank - 2))
    return dot_general(lhs, rhs, (((rank - 1,), (rank - 2,)), (batch, batch)), precision)


# ---- convolution ----------------------------------------------------------------------------


def conv_dimension_numbers(
    lhs_shape: Sequence[int], rhs_shape: Sequence[int], dimension_numbers: Any
) -> ConvDimensionNumbers:
    """Which axes are batch, features and space, from strings such as ("NHWC", "HWIO", "NHWC").

    >>> conv_dimension_numbers((1, 8, 8, 3), (3, 3, 3, 4), ("NHWC", "HWIO", "NHWC")).lhs_spec
    (0, 3, 1, 2)
    """
    lhs_shape, rhs_shape = as_shape(lhs_shape, "conv"), as_shape(rhs_shape, "conv")
    if len(lhs_shape) != len(rhs_shape):
        fail(
            ArgumentError,
            f"conv: the array has {len(lhs_shape)} dimensions, the kernel {len(rhs_shape)}",
        )
    return cv.conv_dimension_numbers(len(lhs_shape), dimension_numbers)


def conv_general_dilated(
    lhs: ArrayLike,
    rhs: ArrayLike,
    window_strides: Sequence[int],
    padding: str | Sequence[Pair],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: object = None,
) -> Array:
    """`lhs` convolved with the kernel `rhs`: strided, padded, dilated, grouped.

    >>> import jitml.numpy as jnp
    >>> conv_general_dilated(jnp.ones((1, 1, 5)), jnp.ones((2, 1, 3)), (1,), "SAME").shape
    (1, 2, 5)
    """
    x, w = strict("conv_general_dilated", lhs, rhs)
    return settle(
        cv.conv_general_dilated(
            settle(x), settle(w), window_strides, padding, lhs_dilation, rhs_dilation,
            dimension_numbers, feature_group_count, batch_group_count, precision,
            _preferred(preferred_element_type),
        )
    )  # fmt: skip


def conv(
    lhs: ArrayLike,
    rhs: ArrayLike,
    window_strides: Sequence[int],
    padding: str,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """A convolution of arrays (batch, features, space…) with kernels (out, in, space…).

    >>> import jitml.numpy as jnp
    >>> conv(jnp.ones((1, 1, 5)), jnp.ones((2, 1, 3)), (1,), "VALID").shape
    (1, 2, 3)
    """
    return conv_general_dilated(
        lhs, rhs, window_strides, padding,
        precision=precision, preferred_element_type=preferred_element_type,
    )  # fmt: skip


def conv_with_general_padding(
    lhs: ArrayLike,
    rhs: ArrayLike,
    window_strides: Sequence[int],
    padding: str | Sequence[Pair],
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """A convolution with dilations, in the order (batch, features, space…).

    >>> import jitml.numpy as jnp
    >>> x, w = jnp.ones((1, 1, 5)), jnp.ones((2, 1, 3))
    >>> conv_with_general_padding(x, w, (1,), [(1, 1)], None, None).shape
    (1, 2, 5)
    """
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation,
        precision=precision, preferred_element_type=preferred_element_type,
    )  # fmt: skip


def transpose_padding(size: int, stride: int, padding: str) -> Pair:
    """The padding of the dilated array that undoes a convolution with `padding`."""
    if padding.upper() == "SAME":
        total = size + stride - 2
        low = size - 1 if stride > size - 1 else -(-total // 2)
    elif padding.upper() == "VALID":
        total, low = size + stride - 2 + max(size - stride, 0), size - 1
    else:
        fail(ArgumentError, f"conv_transpose: padding {padding!r} is not known")
    return low, total - low


def conv_transpose(
    lhs: ArrayLike,
    rhs: ArrayLike,
    strides: Sequence[int],
    padding: str | Sequence[Pair],
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    transpose_kernel: bool = False,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    use_consistent_padding: bool = False,
) -> Array:
    """The convolution that enlarges: `lhs` is dilated by `strides` and convolved with `rhs`.

    >>> import jitml.numpy as jnp
    >>> conv_transpose(jnp.ones((1, 4, 1)), jnp.ones((3, 1, 2)), (2,), "SAME").shape
    (1, 8, 2)
    """
    x, w = strict("conv_transpose", lhs, rhs)
    rank = type_of(x).ndim
    if dimension_numbers is None:
        letters = "DHW"[5 - rank :]
        dimension_numbers = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    numbers = cv.conv_dimension_numbers(rank, dimension_numbers)
    spatial = numbers.rhs_spec[2:]
    steps = (1,) * len(spatial) if rhs_dilation is None else tuple(rhs_dilation)
    sizes = [(type_of(w).shape[k] - 1) * d + 1 for k, d in zip(spatial, steps, strict=True)]
    if isinstance(padding, str):
        pairs = [transpose_padding(n, s, padding) for n, s in zip(sizes, strides, strict=True)]
    elif use_consistent_padding:
        pairs = [(n - 1 - low, n - 1 - high) for n, (low, high) in zip(sizes, padding, strict=True)]
    else:
        pairs = [(low, high) for low, high in padding]
    if transpose_kernel:
        w = mv.reverse(w, spatial)
        order = list(range(rank))
        i, o = numbers.rhs_spec[1], numbers.rhs_spec[0]
        order[i], order[o] = order[o], order[i]
        w = mv.transpose(w, order)
    return conv_general_dilated(
        settle(x), settle(w), (1,) * len(spatial), pairs, strides, steps, numbers,
        precision=precision, preferred_element_type=preferred_element_type,
    )  # fmt: skip


def padtype_to_pads(
    in_shape: Sequence[int],
    window_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
) -> list[Pair]:
    """The pairs (low, high) that "SAME" or "VALID" stands for.

    >>> padtype_to_pads((5,), (3,), (1,), "SAME")
    [(1, 1)]
    """
    in_shape, window_shape = as_shape(in_shape, "padding"), as_shape(window_shape, "padding")
    check_sequence("padding", window_strides, "integers")
    return [
        (low, high) for low, high in padding_pairs(padding, in_shape, window_shape, window_strides)
    ]
