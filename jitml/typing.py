"""Names for annotations.

What functions take and give. Knows the two kinds of array, and nothing else of jitml.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from jitml.trace.core import Tracer
from jitml_runtime import Array as ConcreteArray

if TYPE_CHECKING:
    # Arrays and tracers share a surface that is installed at run time, which a checker cannot see.
    Array: TypeAlias = Any
    ArrayLike: TypeAlias = Any
    DTypeLike: TypeAlias = Any
else:

    class _ArrayMeta(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, (ConcreteArray, Tracer))

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, (ConcreteArray, Tracer))

    class Array(metaclass=_ArrayMeta):
        """What jitml computes with: `isinstance(x, Array)` holds for arrays and for tracers."""

        def __new__(cls, *_: object) -> Array:
            raise TypeError("arrays are made by jitml.numpy.array, zeros, arange and friends")

    ArrayLike = Any
    DTypeLike = Any

Axis: TypeAlias = int | Sequence[int] | None
Shape: TypeAlias = int | Sequence[int]

__all__ = ["Array", "ArrayLike", "Axis", "ConcreteArray", "DTypeLike", "Shape"]
