"""Scalar values and the instructions over them.

A `Value` is one SSA value of a kernel under construction, a scalar or a vector of lanes that all
run the same instruction. Python operators and the functions below build instructions through the
value's `builder`; numbers that stand beside a value become constants of its type, a scalar beside a
vector is splat.

Types are short names: i1 (a truth value), i8 … i64, u8 … u64, f32, f64. Smaller floats are storage
only:
loads widen them to f32, stores round.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar, Union, cast

FLOATS = frozenset({"f32", "f64"})
SIGNED = frozenset({"i8", "i16", "i32", "i64"})
UNSIGNED = frozenset({"u8", "u16", "u32", "u64"})
BITS = {
    "i1": 1, "i8": 8, "u8": 8, "i16": 16, "u16": 16, "i32": 32, "u32": 32, "i64": 64, "u64": 64,
    "f32": 32, "f64": 64,
}  # fmt: skip

Number: TypeAlias = bool | int | float
Operand: TypeAlias = Union["Value", bool, int, float]
RoutineT = TypeVar("RoutineT", bound="Callable[..., Value]")


class Builder(Protocol):
    """What a backend offers: constants, and one method that appends an instruction by name."""

    def constant(self, type_: str, number: Number, lanes: int = 1) -> Value: ...

    def splat(self, value: Value, lanes: int) -> Value: ...

    def instruction(self, name: str, type_: str, lanes: int, operands: tuple[Value, ...]) -> Value:
        """Append instruction `name` over `operands` (all of `lanes` lanes); its result is of
        `type_`."""

    def lookup(self, table: Sequence[float], index: Value, type_: str) -> Value:
        """Read element `index` (i64, lane by lane) of a constant table."""

    def apply(self, function: Callable[..., Value], operands: tuple[Value, ...]) -> Value:
        """The value of `function(*operands)`: in place, or by code that several calls share."""

    def rarely(
        self,
        condition: Value,
        rare: Callable[..., Sequence[Value]],
        operands: tuple[Value, ...],
        usual: Sequence[Value],
    ) -> list[Value]:
        """The values of `rare(*operands)` in lanes where `condition` holds, else `usual`; not
        computed where no lane asks."""

    def repeat(
        self,
        condition: Callable[..., Value],
        step: Callable[..., Sequence[Value]],
        state: Sequence[Value],
        fixed: tuple[Value, ...],
    ) -> list[Value]:
        """`while condition(*state, *fixed): state = step(*state, *fixed)`, each lane as often as
        it asks."""


class Value:
    """One SSA value: `ref` is the backend's name for it, `number` its value where it is a
    constant."""

    __slots__ = ("builder", "lanes", "number", "ref", "type")

    def __init__(
        self, builder: Builder, type_: str, lanes: int, ref: Any, number: Number | None = None
    ) -> None:
        self.builder = builder
        self.type = type_
        self.lanes = lanes
        self.ref = ref
        self.number = number

    def __repr__(self) -> str:
        return f"Value({self.type}x{self.lanes} {self.ref})"

    # Comparison builds instructions, so values are hashed and looked up by identity only.
    __hash__ = object.__hash__

    def like(self, number: Number) -> Value:
        """The constant `number` with this value's type and lanes."""
        return self.builder.constant(self.type, number, self.lanes)

    def __add__(self, other: Operand) -> Value:
        return binary("add", self, other)

    def __radd__(self, other: Operand) -> Value:
        return binary("add", other, self)

    def __sub__(self, other: Operand) -> Value:
        return binary("sub", self, other)

    def __rsub__(self, other: Operand) -> Value:
        return binary("sub", other, self)

    def __mul__(self, other: Operand) -> Value:
        return binary("mul", self, other)

    def __rmul__(self, other: Operand) -> Value:
        return binary("mul", other, self)

    def __truediv__(self, other: Operand) -> Value:
        """Float division, or integer division that truncates (the divisor must not be 0)."""
        return binary("div", self, other)

    def __rtruediv__(self, other: Operand) -> Value:
        return binary("div", other, self)

    def __mod__(self, other: Operand) -> Value:
        """Remainder with the sign of the dividend (C's %); integers only."""
        return binary("rem", self, other)

    def __neg__(self) -> Value:
        return unary("neg", self)

    def __abs__(self) -> Value:
        return unary("abs", self) if self.type in FLOATS else select(self < 0, -self, self)

    def __and__(self, other: Operand) -> Value:
        return binary("and", self, other)

    def __or__(self, other: Operand) -> Value:
        return binary("or", self, other)

    def __xor__(self, other: Operand) -> Value:
        return binary("xor", self, other)

    def __invert__(self) -> Value:
        return binary("xor", self, True if self.type == "i1" else -1)

    def __lshift__(self, other: Operand) -> Value:
        return binary("shl", self, other)

    def __rshift__(self, other: Operand) -> Value:
        """Arithmetic for signed types, logical for unsigned ones. The count must be below the
        width."""
        return binary("shr", self, other)

    def __lt__(self, other: Operand) -> Value:
        return compare("lt", self, other)

    def __le__(self, other: Operand) -> Value:
        return compare("le", self, other)

    def __gt__(self, other: Operand) -> Value:
        return compare("gt", self, other)

    def __ge__(self, other: Operand) -> Value:
        return compare("ge", self, other)

    def __eq__(self, other: Operand) -> Value:  # type: ignore[override]
        return compare("eq", self, other)

    def __ne__(self, other: Operand) -> Value:  # type: ignore[override]
        return compare("ne", self, other)

    def __bool__(self) -> bool:
        raise TypeError("a scalar Value has no truth value while a kernel is built; use select")


def _pair(x: Operand, y: Operand) -> tuple[Value, Value]:
    """Bring two operands to one type and one number of lanes."""
    if not isinstance(x, Value):
        assert isinstance(y, Value), y
        return y.like(x), y
    if not isinstance(y, Value):
        return x, x.like(y)
    assert x.type == y.type, (x.type, y.type)
    if x.lanes < y.lanes:
        return x.builder.splat(x, y.lanes), y
    return x, y if y.lanes == x.lanes else y.builder.splat(y, x.lanes)


def _together(*operands: Operand) -> tuple[Value, ...]:
    """Bring operands to one type and one number of lanes."""
    first = next(x for x in operands if isinstance(x, Value))
    lanes = max(x.lanes for x in operands if isinstance(x, Value))
    values = (
        x if isinstance(x, Value) else first.builder.constant(first.type, x, lanes)
        for x in operands
    )
    together = tuple(v if v.lanes == lanes else v.builder.splat(v, lanes) for v in values)
    assert all(v.type == first.type for v in together), [v.type for v in together]
    return together


def unary(name: str, x: Value) -> Value:
    return x.builder.instruction(name, x.type, x.lanes, (x,))


def binary(name: str, x: Operand, y: Operand) -> Value:
    a, b = _pair(x, y)
    return a.builder.instruction(name, a.type, a.lanes, (a, b))


def compare(name: str, x: Operand, y: Operand) -> Value:
    """Ordered comparison, but `ne` is true where either side is NaN (as in Python)."""
    a, b = _pair(x, y)
    return a.builder.instruction(name, "i1", a.lanes, (a, b))


def routine(function: RoutineT) -> RoutineT:
    """Mark a function of values that is long enough for its uses to share code: builders decide."""

    @functools.wraps(function)
    def through_builder(*operands: Value) -> Value:
        return operands[0].builder.apply(function, operands)

    return cast(RoutineT, through_builder)


def select(condition: Value, x: Operand, y: Operand) -> Value:
    """`x` where `condition` (i1) holds, else `y`, lane by lane."""
    a, b = _pair(x, y)
    lanes = max(condition.lanes, a.lanes)
    condition, a, b = (
        v if v.lanes == lanes else v.builder.splat(v, lanes) for v in (condition, a, b)
    )
    return a.builder.instruction("select", a.type, lanes, (condition, a, b))


def fma(x: Operand, y: Operand, z: Operand) -> Value:
    """x·y + z, rounded once. The only place where a product and a sum fuse."""
    a, b, c = _together(x, y, z)
    return a.builder.instruction("fma", a.type, a.lanes, (a, b, c))


def sqrt(x: Value) -> Value:
    """Square root, correctly rounded."""
    return unary("sqrt", x)


def floor(x: Value) -> Value:
    return unary("floor", x)


def ceil(x: Value) -> Value:
    return unary("ceil", x)


def trunc(x: Value) -> Value:
    return unary("trunc", x)


def round_even(x: Value) -> Value:
    """To the nearest integer, halves to even."""
    return unary("round_even", x)


def copysign(x: Value, sign: Value) -> Value:
    return binary("copysign", x, sign)


def population_count(x: Value) -> Value:
    return unary("population_count", x)


def count_leading_zeros(x: Value) -> Value:
    return unary("count_leading_zeros", x)


def scale(x: Value, n: Value) -> Value:
    """x·2ⁿ for a whole n, rounded once; |x| from 2^-60 to 2^60, |n| up to twice the exponents'."""
    return binary("scale", x, n)


def mantissa(x: Value) -> Value:
    """The m in [3/4, 3/2) with x = m·2ᵏ; finite for x = 0 and ∞."""
    return unary("mantissa", x)


def exponent(x: Value) -> Value:
    """The k with x = m·2ᵏ, m the mantissa; −∞ at 0, ∞ at ∞. Below 0 and at NaN it is NaN, or the
    mantissa is.
    """
    return unary("exponent", x)


def convert(x: Value, type_: str) -> Value:
    """Convert the number: floats to integers truncate and saturate (NaN gives 0), to i1 tests for
    non-zero."""
    if x.type == type_:
        return x
    if type_ == "i1":
        return x != 0
    return x.builder.instruction("convert", type_, x.lanes, (x,))


def bitcast(x: Value, type_: str) -> Value:
    """Reinterpret the bits as another type of the same width."""
    if x.type == type_:
        return x
    return x.builder.instruction("bitcast", type_, x.lanes, (x,))


def lookup(table: Sequence[float], index: Value, type_: str) -> Value:
    """`table[index]` as `type_`; the i64 index must be in range in every lane."""
    return index.builder.lookup(table, index, type_)


def is_nan(x: Value) -> Value:
    return x != x


def minimum(x: Operand, y: Operand) -> Value:
    """The smaller; NaN if either is NaN; `y` of equals."""
    a, b = _together(x, y)
    return binary("minimum", a, b) if a.type in FLOATS else select(a < b, a, b)


def maximum(x: Operand, y: Operand) -> Value:
    """The larger; NaN if either is NaN; `y` of equals."""
    a, b = _together(x, y)
    return binary("maximum", a, b) if a.type in FLOATS else select(a > b, a, b)
