"""`Require`: numbers that must meet a condition, without which a result would be wrong in silence.

An integer is not divided by 0 nor raised to a negative power, and a number at hand is not converted
to an integer dtype that cannot hold it. Where an element does not meet the condition the program
fails, as for an index out of bounds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitml.ir.dtypes import DType, is_float
from jitml.ir.errors import (
    ArgumentError,
    DivisionByZeroError,
    IntegerOverflowError,
    JitmlError,
)
from jitml.ir.types import ArrayType
from jitml.ops.kinds import Movement, Traced, choose
from jitml.scalar import value as scalar
from jitml.trace.core import bind1
from jitml_runtime.record import frozen


class Failure(NamedTuple):
    """What the failure of a check means: `subject` is what holds the number that `{value}` in
    `message` stands for."""

    subject: str
    error: type[JitmlError]
    message: str
    hint: str


class Condition(NamedTuple):
    """`holds` tells of scalars of compiled programs and of NumPy arrays alike."""

    holds: Callable[[Any], Any]
    failure: Failure


CONDITIONS = {
    "nonzero": Condition(
        lambda x: x != 0,
        Failure(
            "the divisor",
            DivisionByZeroError,
            "an integer is divided by 0",
            "divide by jitml.numpy.where(y == 0, 1, y) and choose what 0 gives, or divide floats",
        ),
    ),
    "natural": Condition(
        lambda x: x >= 0,
        Failure(
            "the exponent",
            ArgumentError,
            "an integer is raised to the negative power {value}",
            "use float_power, or convert with .astype(float)",
        ),
    ),
}


@frozen
class Require(Movement):
    """The input as it is; the program fails where an element does not meet `condition`, one of
    CONDITIONS or the name of an integer dtype that must hold its whole part."""

    name = "require"
    condition: str

    mode = "raise"

    @property
    def meaning(self) -> Condition:
        """What the condition is, and what is told where it does not hold."""
        return CONDITIONS.get(self.condition) or _fitting(np.dtype(self.condition))

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x = np.asarray(arrays[0])
        holds = np.asarray(self.meaning.holds(x.astype(np.float64) if is_float(x.dtype) else x))
        if not holds.all():
            failure = self.meaning.failure
            text = failure.message.format(value=x[~holds].flat[0])
            raise failure.error(text, hint=failure.hint)
        return (x,)

    def lower(self, read: Any, index: Sequence[Any]) -> Any:
        element = read(0, index)
        x = scalar.convert(element, "f64") if element.type in scalar.FLOATS else element
        told = scalar.bitcast(x, "i64") if x.type == "f64" else x
        read.check(self.meaning.holds(x), told)
        holds = read.checked(None)
        return element if holds is None else choose(holds, element, element.like(1))

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        return [bind1(self, *primals)], tangents

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        return [bind1(self, *inputs)], axes

    def told(self, bits: int, dtype: DType) -> object:
        """The number that a failed check has noted, of an input of `dtype`."""
        if is_float(dtype):
            return struct.unpack("d", struct.pack("q", bits))[0]
        return bits % 2**64 if dtype.kind == "u" else bits


def _fitting(dtype: DType) -> Condition:
    """That the whole part of a number lies within the bounds of an integer dtype."""
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)

    def holds(x: Any) -> Any:
        is_whole, least, most = _bounds(x)
        if not is_whole:  # both are powers of two, and so exact
            return (x > float(low - 1) if low > -(2**53) else x >= float(low)) & (
                x < float(high + 1)
            )
        inside = x == x
        if least < low:
            inside = inside & (x >= low)
        return inside & (x <= high) if most > high else inside

    return Condition(
        holds,
        Failure(
            "the array",
            IntegerOverflowError,
            f"{{value}} does not fit {dtype.name}",
            "give a wider dtype, or clip first; jitml.lax.convert_element_type converts all the "
            "same (integers wrap around, floats saturate)",
        ),
    )


def _bounds(x: Any) -> tuple[bool, int, int]:
    """Whether a scalar or array has an integer type, and the least and most it can be."""
    if isinstance(x, scalar.Value):
        if x.type in scalar.FLOATS:
            return False, 0, 0
        bits, is_signed = scalar.BITS[x.type], x.type in scalar.SIGNED
        return True, -(1 << bits - 1) if is_signed else 0, (1 << bits - is_signed) - 1
    if x.dtype.kind == "f":
        return False, 0, 0
    limits = np.iinfo(x.dtype)
    return True, int(limits.min), int(limits.max)


def require(x: Traced, condition: str) -> Traced:
    """`x`, of which each element must meet the condition."""
    return bind1(Require(condition), x)
