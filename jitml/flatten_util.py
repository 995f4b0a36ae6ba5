"""All leaves of a tree as one vector, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jitml.numpy as jnp
from jitml.ir.dtypes import DType, is_complex
from jitml.ir.errors import DTypeError, ShapeError
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import convert
from jitml.ops.elementwise import real as real_part
from jitml.ops.movement import slice_
from jitml.trace.core import type_of
from jitml.transforms.values import as_value
from jitml.tree_structure import Structure, flatten
from jitml_runtime.record import frozen

__all__ = ["ravel_pytree"]


def ravel_pytree(pytree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The leaves of a tree one after the other in a vector of the dtype that holds them all, and
    the function that makes such a tree of such a vector.

    >>> vector, unravel = ravel_pytree({"w": jnp.ones((2, 2)), "b": 3.0})
    >>> print(vector)
    [3. 1. 1. 1. 1.]
    >>> unravel(2 * vector)["b"]
    Array(6., dtype=float32)
    """
    leaves, structure = flatten(pytree)
    values = [as_value(x, "ravel_pytree: a leaf") for x in leaves]
    if not values:
        return jnp.zeros(0, "float32"), _Unravel(structure, (), jnp.zeros(0, "float32").dtype)
    dtype = jnp.result_type(*values)
    vector = jnp.concatenate([jnp.ravel(x).astype(dtype) for x in values])
    return vector, _Unravel(structure, tuple([type_of(x).strong() for x in values]), dtype)


@frozen
class _Unravel:
    """Makes a tree of a vector; equal to others that make the same of one."""

    structure: Structure
    types: tuple[ArrayType, ...]
    dtype: DType

    def __call__(self, vector: Any) -> Any:
        x = as_value(vector)
        size = sum(t.size for t in self.types)
        if type_of(x).shape != (size,):
            raise ShapeError(
                f"unravel takes an array of shape ({size},), not {type_of(x)}",
                hint="it takes vectors like the one that ravel_pytree gave",
                source=user_source(),
            )
        if type_of(x).dtype != self.dtype:
            raise DTypeError(
                f"unravel takes an array of dtype {self.dtype.name}, not {type_of(x)}",
                hint=f"convert it: vector.astype({self.dtype.name!r})",
                source=user_source(),
            )
        leaves, start = [], 0
        for type_ in self.types:
            leaves.append(_leaf(slice_(x, (start,), (start + type_.size,)), type_))
            start += type_.size
        return self.structure.unflatten(leaves)


def _leaf(part: Any, type_: ArrayType) -> Any:
    """A piece of the vector as a leaf."""
    if is_complex(type_of(part).dtype) and not is_complex(type_.dtype):
        part = real_part(part)
    return jnp.reshape(convert(part, type_.dtype), type_.shape)
