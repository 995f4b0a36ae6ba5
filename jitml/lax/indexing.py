"""gather and scatter in `jitml.lax`.

Unlike JAX's, an index out of bounds raises unless `mode` says otherwise.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

from jitml.ir.errors import ArgumentError
from jitml.lax.operands import strict
from jitml.numpy.index_entries import Dynamic, checked_mode, positions_of, stacked_positions
from jitml.numpy.indexing import take_slices
from jitml.numpy.operands import as_shape, fail, settle
from jitml.numpy.operands import operand as as_operand
from jitml.ops import indexing as ix
from jitml.ops import scatter as sc
from jitml.ops.indexing import GatherDimensionNumbers
from jitml.ops.scatter import ScatterDimensionNumbers
from jitml.trace.conventions import CONVENTIONS
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike


class GatherScatterMode(enum.Enum):
    """What an index out of bounds does."""

    CLIP = 0
    FILL_OR_DROP = 1
    PROMISE_IN_BOUNDS = 2
    RAISE = 3

    @staticmethod
    def from_any(mode: Any) -> GatherScatterMode:
        """The mode of a name.

        >>> GatherScatterMode.from_any("clip").name
        'CLIP'
        """
        name = checked_mode(mode, "GatherScatterMode")
        names = {"fill": "FILL_OR_DROP", "drop": "FILL_OR_DROP"}
        return GatherScatterMode[names.get(name, name.upper())]


def _mode(name: str, mode: Any, out_of_bounds: str) -> str:
    found = checked_mode(mode, name)
    if found == "wrap":
        fail(ArgumentError, f"{name}: there is no mode 'wrap'", "take remainders of the indices")
    return out_of_bounds if found in ("fill", "drop") else found


def gather(
    operand: ArrayLike,
    start_indices: ArrayLike,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Sequence[int],
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: Any = None,
    fill_value: Any = None,
    order: str = "given",
) -> Array:
    """Slices of an array at the positions in the last axis of `start_indices`. `order` is that in
    which the derivative adds up, as for `scatter_add`.

    >>> import jitml.numpy as jnp
    >>> numbers = GatherDimensionNumbers((), (0,), (0,))
    >>> print(gather(jnp.array([5, 6, 7]), jnp.array([[2], [0]]), numbers, (1,)))
    [7 5]
    """
    x, positions = (
        settle(as_operand(operand, "gather")),
        settle(as_operand(start_indices, "gather")),
    )
    how = _mode("gather", mode, "fill")
    sizes = as_shape(slice_sizes, "gather")
    return settle(ix.gather(x, positions, dimension_numbers, sizes, how, fill_value, order))


def _scatter(name: str, kind: str, summary: str, result: str) -> Callable[..., Any]:
    def function(
        operand: ArrayLike,
        scatter_indices: ArrayLike,
        updates: ArrayLike,
        dimension_numbers: ScatterDimensionNumbers,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        order: str = "given",
    ) -> Array:
        x, new = (settle(a) for a in strict(name, operand, updates))
        positions = settle(as_operand(scatter_indices, name))
        how = _mode(name, mode, "drop")
        found = sc.scatter(
            x, positions, new, dimension_numbers, kind, how, bool(unique_indices), order
        )
        return settle(found)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{summary}\n\n    >>> import jitml.numpy as jnp\n"
        f"    >>> numbers = ScatterDimensionNumbers((), (0,), (0,))\n"
        f"    >>> x, at, new = jnp.array([5, 6]), jnp.array([[1]]), jnp.array([7])\n"
        f"    >>> print({name}(x, at, new, numbers))\n    {result}\n    "
    )
    return function


scatter = _scatter("scatter", "set", "Slices replaced; the last of duplicates counts.", "[5 7]")
scatter_add = _scatter(
    "scatter_add", "add",
    'Updates added to slices; with `order="any"` a GPU adds them as they come, as `x.at` tells.',
    "[ 5 13]",
)  # fmt: skip
scatter_mul = _scatter("scatter_mul", "mul", "Slices multiplied by updates.", "[ 5 42]")
scatter_min = _scatter("scatter_min", "min", "The smaller of slice and update.", "[5 6]")
scatter_max = _scatter("scatter_max", "max", "The greater of slice and update.", "[5 7]")


def scatter_sub(
    operand: ArrayLike,
    scatter_indices: ArrayLike,
    updates: ArrayLike,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
    order: str = "given",
) -> Array:
    """Updates subtracted from slices.

    >>> import jitml.numpy as jnp
    >>> numbers = ScatterDimensionNumbers((), (0,), (0,))
    >>> print(scatter_sub(jnp.array([5, 6]), jnp.array([[1]]), jnp.array([7]), numbers))
    [ 5 -1]
    """
    from jitml.numpy.elementwise import negative

    return scatter_add(
        operand, scatter_indices, negative(updates), dimension_numbers,
        indices_are_sorted=indices_are_sorted, unique_indices=unique_indices, mode=mode,
        order=order,
    )  # fmt: skip


def scatter_apply(
    operand: Array,
    scatter_indices: ArrayLike,
    func: Callable[[Any], Any],
    dimension_numbers: ScatterDimensionNumbers,
    *,
    update_shape: Sequence[int] = (),
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
) -> Array:
    """Slices of `update_shape` with `func` applied to their elements, once for each time that an
    index names them.

    >>> import jitml.numpy as jnp
    >>> numbers = ScatterDimensionNumbers((), (0,), (0,))
    >>> print(scatter_apply(jnp.array([5, 6]), jnp.array([[1], [1]]), lambda x: x + 1, numbers,
    ...                     update_shape=(2,)))
    [5 8]
    """
    import jitml.numpy as jnp
    from jitml.lax.control_flow import while_loop
    from jitml.vectorization import vmap

    x = jnp.asarray(operand)
    ones = jnp.ones(as_shape(update_shape, "scatter_apply"), "int32")
    counts = scatter_add(
        jnp.zeros(x.shape, "int32"), scatter_indices, ones, dimension_numbers, mode=mode
    )

    def step(state: tuple[Any, Any]) -> tuple[Any, Any]:
        left, value = state
        new = vmap(func)(value.ravel()).reshape(x.shape).astype(x.dtype)
        return left - 1, jnp.where(left > 0, new, value)

    found: Array = while_loop(lambda state: (state[0] > 0).any(), step, (counts, x))[1]
    return found


def index_take(src: Array, idxs: Sequence[ArrayLike], axes: Sequence[int]) -> Array:
    """The elements at positions along axes, which come first in the result.

    >>> import jitml.numpy as jnp
    >>> print(index_take(jnp.array([5, 6, 7]), (jnp.array([2, 0]),), (0,)))
    [7 5]
    """
    x = as_operand(src, "index_take")
    sizes = type_of(x).shape
    mode = "wrap" if CONVENTIONS.are_of_jax else "raise"
    positions = [
        positions_of(Dynamic(as_operand(i)), sizes[a], mode)
        for i, a in zip(idxs, axes, strict=True)
    ]
    stacked, shape = stacked_positions("index_take", positions)
    return settle(take_slices(x, stacked, shape, tuple(axes), 0, "raise", None))


__all__ = [
    "GatherDimensionNumbers",
    "GatherScatterMode",
    "ScatterDimensionNumbers",
    "gather",
    "index_take",
    "scatter",
    "scatter_add",
    "scatter_apply",
    "scatter_max",
    "scatter_min",
    "scatter_mul",
    "scatter_sub",
]
