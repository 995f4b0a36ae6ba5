"""The scalar language run by NumPy: a builder whose values are arrays of lanes, evaluated at once.

What `lower` rules of ops mean can be tested with it where no backend is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitml.scalar.composed import COMPOSED
from jitml.scalar.value import Number, Value, select

_DTYPES = {
    "i1": np.bool_, "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64,
    "u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64,
    "f32": np.float32, "f64": np.float64,
}  # fmt: skip
_TYPES = {np.dtype(dtype): type_ for type_, dtype in _DTYPES.items()}


def _fma(x: Any, y: Any, z: Any) -> Any:
    return (np.longdouble(1) * x * y + z).astype(x.dtype)


_INSTRUCTIONS: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "neg": np.negative, "abs": np.abs,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "shl": np.left_shift, "shr": np.right_shift,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal, "select": np.where, "fma": _fma,
    "div": np.divide, "sqrt": np.sqrt, "floor": np.floor, "round_even": np.rint,
    "copysign": np.copysign,
}  # fmt: skip


class NumpyBuilder:
    """Runs each instruction when it is built; `ref` of a value is its array."""

    def constant(self, type_: str, number: Number, lanes: int = 1) -> Value:
        return Value(self, type_, lanes, np.full(lanes, number, _DTYPES[type_]), number)

    def splat(self, value: Value, lanes: int) -> Value:
        return Value(self, value.type, lanes, np.repeat(value.ref, lanes))

    def instruction(self, name: str, type_: str, lanes: int, operands: tuple[Value, ...]) -> Value:
        arrays = [operand.ref for operand in operands]
        with np.errstate(all="ignore"):
            if name == "convert":
                result = arrays[0].astype(_DTYPES[type_])
            elif name == "bitcast":
                result = arrays[0].view(_DTYPES[type_])
            elif name in COMPOSED:
                return COMPOSED[name](*operands)
            else:
                result = _INSTRUCTIONS[name](*arrays)
        assert result.dtype == _DTYPES[type_], (name, result.dtype, type_)
        return Value(self, type_, lanes, result)

    def lookup(self, table: Sequence[float], index: Value, type_: str) -> Value:
        return Value(self, type_, index.lanes, np.asarray(table, _DTYPES[type_])[index.ref])

    def apply(self, function: Callable[..., Value], operands: tuple[Value, ...]) -> Value:
        return function(*operands)

    def rarely(
        self,
        condition: Value,
        rare: Callable[..., Sequence[Value]],
        operands: tuple[Value, ...],
        usual: Sequence[Value],
    ) -> list[Value]:
        return [select(condition, x, y) for x, y in zip(rare(*operands), usual, strict=True)]


_BUILDER = NumpyBuilder()


def value_of(array: Any) -> Value:
    """A 1-d NumPy array as a scalar value with as many lanes."""
    array = np.atleast_1d(array)
    return Value(_BUILDER, _TYPES[array.dtype], array.size, array)


def constant(type_: str, number: Number, lanes: int = 1) -> Value:
    return _BUILDER.constant(type_, number, lanes)


class Pair(NamedTuple):
    """A complex number as keys of a sort are: two values."""

    re: Value
    im: Value
