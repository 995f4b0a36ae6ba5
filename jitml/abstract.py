"""Shapes and dtypes that stand for arrays: `ShapeDtypeStruct`, and what may be given instead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.arguments import as_numpy_dtype, check_sequence
from jitml.ir.types import ArrayType
from jitml.trace.conventions import canonical
from jitml.trace.core import Tracer
from jitml.trace.numbers import check_supported
from jitml_runtime import Array


class ShapeDtypeStruct:
    """A shape and dtype that stand for an array where only these matter (`eval_shape`, `lower`).

    >>> ShapeDtypeStruct((2, 3), "float32").size
    6
    """

    __slots__ = ("dtype", "shape", "weak_type")
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    weak_type: bool

    def __init__(
        self,
        shape: Sequence[int],
        dtype: Any,
        weak_type: bool = False,
        *,
        sharding: Any = None,  # accepted: there is one device
    ) -> None:
        kind = check_supported(as_numpy_dtype("ShapeDtypeStruct", dtype))
        check_sequence("ShapeDtypeStruct", shape, "sizes")
        object.__setattr__(self, "shape", tuple(map(int, shape)))
        object.__setattr__(self, "dtype", kind)
        object.__setattr__(self, "weak_type", bool(weak_type))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"ShapeDtypeStruct never changes; use update({name}=…) for another")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("ShapeDtypeStruct never changes")

    def update(self, **changes: Any) -> ShapeDtypeStruct:
        """The same with another shape, dtype or weak_type."""
        own: dict[str, Any] = {
            "shape": self.shape,
            "dtype": self.dtype,
            "weak_type": self.weak_type,
        }
        return ShapeDtypeStruct(**(own | changes))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a shape with 0 dimensions")
        return self.shape[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ShapeDtypeStruct):
            return NotImplemented
        return abstract_type(self) == abstract_type(other)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.weak_type))

    def __reduce__(self) -> tuple[Any, ...]:
        return (ShapeDtypeStruct, (self.shape, self.dtype, self.weak_type))

    def __repr__(self) -> str:
        weak = ", weak_type=True" if self.weak_type else ""
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={self.dtype.name}{weak})"


def is_abstract(x: Any) -> bool:
    """Whether `x` tells a shape and dtype but no value."""
    return not isinstance(x, (Array, Tracer, np.ndarray, np.generic)) and (
        hasattr(x, "shape") and hasattr(x, "dtype")
    )


def abstract_type(x: Any) -> ArrayType:
    """The type that a ShapeDtypeStruct, or what is like one, stands for."""
    dtype = canonical(check_supported(np.dtype(x.dtype)))
    return ArrayType(dtype, tuple(x.shape), bool(getattr(x, "weak_type", False)))


def struct_of(type_: ArrayType) -> ShapeDtypeStruct:
    """The inverse of `abstract_type`."""
    return ShapeDtypeStruct(type_.shape, type_.dtype, type_.weak)
