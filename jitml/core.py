"""The public names of `jax.core`."""

from __future__ import annotations

from typing import Any

from jitml.abstract import ShapeDtypeStruct
from jitml.scopes import ensure_compile_time_eval
from jitml.sharding import AbstractMesh, NamedSharding, PartitionSpec
from jitml.trace.core import Tracer

__all__ = ["ShapedArray", "Tracer", "ensure_compile_time_eval"]


class ShapedArray(ShapeDtypeStruct):
    """The type of an array: shape, dtype, and whether the dtype is weak.

    >>> print(ShapedArray((2,), "int32"))
    int32[2]
    """

    __slots__ = ()

    def update(self, **changes: Any) -> ShapedArray:
        """The same with another shape, dtype or weak_type."""
        return ShapedArray(*ShapeDtypeStruct.update(self, **changes).__reduce__()[1])

    @property
    def sharding(self) -> NamedSharding:
        """How such an array lies on devices: along no axis of a mesh."""
        return NamedSharding(AbstractMesh((), ()), PartitionSpec(*[None] * self.ndim))

    def str_short(self) -> str:
        """As it prints."""
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"

    def __reduce__(self) -> tuple[Any, ...]:
        return (ShapedArray, (self.shape, self.dtype, self.weak_type))

    def __str__(self) -> str:
        return ("~" if self.weak_type else "") + self.str_short()

    def __repr__(self) -> str:
        return f"ShapedArray({self.str_short()}{', weak_type=True' if self.weak_type else ''})"
