"""`ArrayType`: what the compiler knows of a value before it runs."""

from __future__ import annotations

import math

from jitml.ir.dtypes import FROM_SHORT_NAME, DType, short_name
from jitml_runtime.record import frozen


@frozen
class ArrayType:
    """dtype, shape and whether the dtype is weak (came from a Python scalar). Written `f32[8,3]`,
    weak `f32~[]`."""

    dtype: DType
    shape: tuple[int, ...]
    weak: bool = False

    # By hand, as for equations: so many are made that it counts.
    def __init__(self, dtype: DType, shape: tuple[int, ...], weak: bool = False) -> None:
        fields = self.__dict__
        fields["dtype"] = dtype
        fields["shape"] = shape
        fields["weak"] = weak

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        weak = "~" if self.weak else ""
        return f"{short_name(self.dtype)}{weak}[{','.join(map(str, self.shape))}]"

    def with_shape(self, shape: tuple[int, ...]) -> ArrayType:
        return ArrayType(self.dtype, shape, self.weak)

    def with_dtype(self, dtype: DType, weak: bool = False) -> ArrayType:
        return ArrayType(dtype, self.shape, weak)

    def strong(self) -> ArrayType:
        return ArrayType(self.dtype, self.shape) if self.weak else self


def parse_type(text: str) -> ArrayType:
    """The inverse of `str(type)`."""
    name, _, dims = text.strip().partition("[")
    weak = name.endswith("~")
    shape = tuple(int(d) for d in dims.rstrip("]").split(",") if d)
    return ArrayType(FROM_SHORT_NAME[name.rstrip("~")], shape, weak)
