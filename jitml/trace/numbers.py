"""Numbers of a program: the dtypes that Python numbers get, and constants of a graph."""

from __future__ import annotations

import struct

import numpy as np

from jitml.ir.dtypes import (
    BOOL,
    COMPLEX64,
    COMPLEX128,
    FLOAT32,
    FLOAT64,
    INT32,
    INT64,
    DType,
    is_supported,
)
from jitml.ir.errors import ArgumentError, IntegerOverflowError
from jitml.ir.graph import Literal, Number
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml_runtime import calling


def is_number(x: object) -> bool:
    """Whether `x` is a Python number."""
    return isinstance(x, (bool, int, float, complex))


def literal(value: Number, type_: ArrayType | None = None) -> Literal:
    """A constant of the program; without a type, the weak default type of a Python number."""
    # The text tells 0.0 from -0.0, also as a part of a complex number.
    bits = value if value and not isinstance(value, complex) else repr(value)
    key = (bits, type(value), calling.is_wide if type_ is None else type_)
    found = _LITERALS.get(key)
    if found is None:
        if len(_LITERALS) >= _MOST_LITERALS:
            _LITERALS.clear()
        found = _LITERALS[key] = _new_literal(value, type_)
    return found


def _new_literal(value: Number, type_: ArrayType | None) -> Literal:
    if type_ is None:
        type_ = ArrayType(DEFAULT_DTYPES.of(type(value)), (), not isinstance(value, bool))
    return Literal(convert_number(value, type_.dtype), ArrayType(type_.dtype, (), type_.weak))


_LITERALS: dict[tuple[object, ...], Literal] = {}  # looked up faster than made
_MOST_LITERALS = 4096


def convert_number(value: Number, dtype: DType) -> Number:
    """`value` rounded to `dtype`, as a Python number. An integer that does not fit raises
    OverflowError.
    """
    if dtype.kind in "iu" and isinstance(value, int):
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max:
            raise IntegerOverflowError(
                f"{value} does not fit {dtype.name}",
                hint="give the value a wider dtype, or enable 64-bit defaults",
                source=user_source(),
            )
        return int(value)
    if dtype == FLOAT32 and isinstance(value, float) and abs(value) < _LARGE:
        return float(_FLOAT32.unpack(_FLOAT32.pack(value))[0])  # much faster than an array
    with np.errstate(all="ignore"):
        number = np.asarray(value).astype(dtype)
    return number.astype(np.float32).item() if not hasattr(number.item(), "real") else number.item()


_LARGE = 1e38  # below it no float overflows
_FLOAT32 = struct.Struct("<f")
_NARROW = {bool: BOOL, int: INT32, float: FLOAT32, complex: COMPLEX64}
_WIDE = {bool: BOOL, int: INT64, float: FLOAT64, complex: COMPLEX128}


class _DefaultDTypes:
    """The dtypes that Python numbers get: 32 bits wide, or 64 with the switch."""

    @property
    def is_wide(self) -> bool:
        return calling.is_wide

    def of(self, kind: type) -> DType:
        found = _WIDE if calling.is_wide else _NARROW
        return found.get(kind) or found[float]


DEFAULT_DTYPES = _DefaultDTypes()


def check_supported(dtype: DType) -> DType:
    """Return `dtype` if arrays can have it."""
    if not is_supported(dtype):
        raise ArgumentError(
            f"arrays of dtype {dtype} are not supported",
            hint="use a bool, integer, float or complex dtype",
            source=user_source(),
        )
    return dtype
