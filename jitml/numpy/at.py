"""`x.at[index]`: what an assignment to `x[index]` would do, as a new array.

In: the array, an index in NumPy's form, values. Out: the array with those elements changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ConcretizationTypeError, TracerError
from jitml.numpy import arithmetic
from jitml.numpy.choice import choose
from jitml.numpy.elementwise import negative
from jitml.numpy.index_entries import checked_mode, entries_of, read_mode
from jitml.numpy.indexing import read_index
from jitml.numpy.operands import (
    cast,
    fail,
    is_number,
    kind_of,
    operand,
    promoted_kind,
    settle,
    warn_user,
)
from jitml.numpy.updates import Combine, is_contiguous, scatter_update, update_by_mask, update_slice
from jitml.ops.indexing import check_order
from jitml.ops.kinds import full_of
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike
from jitml_runtime import basic_update, calling
from jitml_runtime.record import frozen

_KINDS: dict[str, tuple[str, Combine]] = {
    "set": ("set", lambda old, new: new),
    "add": ("add", arithmetic.add),
    "multiply": ("mul", arithmetic.multiply),
    "min": ("min", arithmetic.minimum),
    "max": ("max", arithmetic.maximum),
}


class IndexUpdater:
    """`x.at`: takes an index.

    >>> import jitml.numpy as jnp
    >>> print(jnp.zeros(3).at[1].set(5.0))
    [0. 5. 0.]
    """

    __slots__ = ("_array",)

    def __init__(self, array: Any) -> None:
        self._array = array

    def __getitem__(self, index: Any) -> IndexedUpdater:
        return IndexedUpdater(self._array, index)

    def __repr__(self) -> str:
        return f"at({self._array!r})"


@frozen
class IndexedUpdater:
    """`x.at[index]`: each method returns a changed copy of `x`.

    `mode` says what an index out of bounds does: "raise" (the default), "clip" it to the nearest,
    "drop" or "fill" (leave it out; a read gives `fill_value`), "wrap", or "promise_in_bounds".

    Updates of one element happen in the `order` "given", so that bits are the same each time. With
    `order="any"` a GPU adds them as they come, or takes the least or greatest of whole numbers.
    That is faster, but sums of floating-point numbers then differ in their last bits from run to
    run, and in those of float32, numbers too small to be normal count as 0. A CPU does as ever.
    """

    array: Any
    index: Any

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"at[{self.index!r}] of {self.array!r}"

    def get(
        self,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        fill_value: Any = None,
        wrap_negative_indices: bool = True,
        out_sharding: object = None,
        order: str = "given",
    ) -> Array:
        """The elements themselves; `order` is that of the updates which the derivative is.

        >>> import jitml.numpy as jnp
        >>> print(jnp.zeros(3).at[7].get(mode="fill", fill_value=-1))
        -1.0
        """
        how = read_mode(mode, fill_value, "at.get")
        check_order("at.get", order)
        return settle(read_index(operand(self.array), self.index, how, fill_value, order))

    def set(self, values: ArrayLike, **options: Any) -> Array:
        """The elements replaced; of duplicates the last one counts.

        >>> import jitml.numpy as jnp
        >>> print(jnp.zeros(3).at[1:].set(1.0))
        [0. 1. 1.]
        """
        if not options and calling.recorder is None:
            found = basic_update(self.array, self.index, values)
            if found is not None:
                return found
        return self._updated("set", values, **options)

    def add(self, values: ArrayLike, **options: Any) -> Array:
        """`values` added; duplicates add up.

        >>> import jitml.numpy as jnp
        >>> print(jnp.zeros(3).at[jnp.array([0, 0])].add(1.0))
        [2. 0. 0.]
        """
        return self._updated("add", values, **options)

    def subtract(self, values: ArrayLike, **options: Any) -> Array:
        """`values` subtracted; duplicates add up.

        >>> import jitml.numpy as jnp
        >>> print(jnp.zeros(2).at[0].subtract(1.0))
        [-1.  0.]
        """
        return self._updated("add", negative(values), **options)

    def multiply(self, values: ArrayLike, **options: Any) -> Array:
        """Multiplied by `values`.

        >>> import jitml.numpy as jnp
        >>> print(jnp.ones(2).at[0].multiply(3.0))
        [3. 1.]
        """
        return self._updated("multiply", values, **options)

    mul = multiply

    def divide(self, values: ArrayLike, **options: Any) -> Array:
        """Divided by `values`.

        >>> import jitml.numpy as jnp
        >>> print(jnp.ones(2).at[0].divide(2.0))
        [0.5 1. ]
        """
        divisors = IndexedUpdater(_ones_like(self.array), self.index).multiply(values, **options)
        return arithmetic.divide(self.array, divisors)

    def power(self, values: ArrayLike, **options: Any) -> Array:
        """To the power of `values`.

        >>> import jitml.numpy as jnp
        >>> print((2 * jnp.ones(2)).at[0].power(3.0))
        [8. 2.]
        """
        powers = IndexedUpdater(_ones_like(self.array), self.index).multiply(values, **options)
        return arithmetic.power(self.array, powers)

    def min(self, values: ArrayLike, **options: Any) -> Array:
        """The smaller of the element and the value.

        >>> import jitml.numpy as jnp
        >>> print(jnp.ones(2).at[0].min(0.5))
        [0.5 1. ]
        """
        return self._updated("min", values, **options)

    def max(self, values: ArrayLike, **options: Any) -> Array:
        """The greater of the element and the value.

        >>> import jitml.numpy as jnp
        >>> print(jnp.ones(2).at[0].max(2.0))
        [2. 1.]
        """
        return self._updated("max", values, **options)

    def apply(self, func: Callable[[Any], Any], **options: Any) -> Array:
        """`func` applied to the elements, as often as each is named.

        >>> import jitml.numpy as jnp
        >>> print(jnp.ones(2).at[0].apply(jnp.negative))
        [-1.  1.]
        """
        none = settle(full_of(type_of(self.array).with_dtype(dtypes.INT32), 0))
        one = IndexedUpdater(none, self.index)
        counts = one.add(1, **options)
        times = 1 if options.get("unique_indices") else _largest(counts)
        result = self.array
        for done in range(times):
            result = choose(counts > done, cast(settle(func(result)), self.array.dtype), result)
        return settle(result)

    def _updated(
        self,
        kind: str,
        values: ArrayLike,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        out_sharding: object = None,
        wrap_negative_indices: bool = True,
        order: str = "given",
    ) -> Array:
        check_order("at", order)
        how = checked_mode(mode, "at")
        x = operand(self.array)
        y = _fitting_values(x, values)
        masked = update_by_mask(x, self.index, y, _KINDS[kind][1])
        if masked is not None:
            return settle(masked)
        entries = entries_of(self.index, type_of(x).shape, how)
        if all(is_contiguous(e) for e in entries):
            return settle(update_slice(x, entries, y, _KINDS[kind][1]))
        return settle(scatter_update(x, entries, y, _KINDS[kind][0], how, unique_indices, order))


def _ones_like(x: Any) -> Any:
    return settle(full_of(type_of(x), 1))


def _largest(counts: Any) -> int:
    try:
        return int(np.max(np.asarray(counts), initial=0))
    except TracerError:
        fail(
            ConcretizationTypeError,
            "at.apply: how often an index occurs is not known while tracing",
            "pass unique_indices=True if no index occurs twice",
        )


def _fitting_values(x: Any, values: Any) -> Any:
    """The values as an operand of the dtype of `x`; a narrowing one warns."""
    type_ = type_of(x)
    if not is_number(values):
        values = operand(values, "at")
    joined, _ = promoted_kind([(type_.dtype, type_.weak), kind_of(values)])
    if joined != type_.dtype and not type_.weak:
        _warn_of_narrowing(kind_of(values)[0], type_.dtype)
    return cast(values, type_.dtype, type_.weak)


def _warn_of_narrowing(source: Any, target: Any) -> None:
    warn_user(
        FutureWarning,
        f"at: values of dtype {source.name} are put into an array of dtype {target.name}, "
        "which cannot hold them exactly; convert one of them with .astype",
    )
