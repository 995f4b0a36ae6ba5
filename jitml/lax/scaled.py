"""Products of operands that are scaled block by block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jitml.numpy as jnp
from jitml.ir.errors import ShapeError
from jitml.lax.contraction import dot_general
from jitml.numpy.operands import fail
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike, DTypeLike

__all__ = ["scaled_dot"]


def scaled_dot(
    lhs: ArrayLike,
    rhs: ArrayLike,
    *,
    lhs_scale: ArrayLike | None = None,
    rhs_scale: ArrayLike | None = None,
    dimension_numbers: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """(lhs · lhs_scale) @ (rhs · rhs_scale), where a scale holds for blocks of contracted elements.

    A scale has the shape of its operand, but for contracted axes, where its size divides that of
    the operand. Operands and scales are rounded to bfloat16, the result too unless
    `preferred_element_type` is given. Without `dimension_numbers` matrices are multiplied, over
    equal batch axes.

    >>> import jitml.numpy as jnp
    >>> print(scaled_dot(jnp.ones((1, 4)), jnp.ones((4, 1)), lhs_scale=jnp.array([[1.0, 10.0]])))
    [[22]]
    """
    x, y = jnp.asarray(lhs), jnp.asarray(rhs)
    if dimension_numbers is None:
        batched = tuple(range(x.ndim - 2))
        dimension_numbers = (((x.ndim - 1,), (x.ndim - 2,)), (batched, batched))
    (ours, theirs), _ = dimension_numbers
    wanted = jnp.bfloat16 if preferred_element_type is None else preferred_element_type
    return dot_general(
        _scaled("lhs", x, lhs_scale, ours),
        _scaled("rhs", y, rhs_scale, theirs),
        dimension_numbers,
        preferred_element_type=wanted,
    )


def _scaled(name: str, x: Any, scale: ArrayLike | None, contracted: Sequence[int]) -> Any:
    narrow = x.astype(jnp.bfloat16)
    if scale is None:
        return narrow
    factor = jnp.asarray(scale).astype(jnp.bfloat16)
    if factor.ndim != x.ndim:
        fail(ShapeError, f"scaled_dot: {name} is {type_of(x)}, its scale {type_of(factor)}")
    for axis, (size, count) in enumerate(zip(x.shape, factor.shape, strict=True)):
        is_contracted = axis in contracted
        if (
            size % max(count, 1)
            or (is_contracted and size < 2 * count)
            or not (is_contracted or size == count)
        ):
            fail(
                ShapeError,
                f"scaled_dot: axis {axis} of {name} has size {size}, that of its scale {count}",
                "along contracted axes one number scales two elements or more; others are equal",
            )
        if is_contracted:
            factor = jnp.repeat(factor, size // count, axis)
    return narrow * factor
