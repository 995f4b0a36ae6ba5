"""Functions of the scalar language as one node of a kernel: how long their code is.

Comes in: a function over values, the types of its operands. Goes out: a `Call`, measured by running
the function with a builder that only counts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jitml.scalar.value import BITS, Number, Value

INSTRUCTION_COSTS = {
    "constant": 0,
    "size": 0,
    "index": 0,
    "load": 1,
    "div": 6,
    "sqrt": 6,
    "minimum": 3,
    "maximum": 3,
    "reduce": 40,
    "repeat": 400,
    "state": 0,
}
STEPS = 20  # that a loop takes, as far as its cost is concerned
REPEATED_CALL = 4  # instructions to compile for a call whose function is there already


@dataclass(frozen=True)
class Call:
    """A function, the type of its result, and about its code: how many instructions it has, what
    they cost, and the bits of the widest number.
    """

    function: Callable[..., Value]
    type: str
    instructions: int
    cost: int
    bits: int


@functools.cache
def measured(function: Callable[..., Value], types: tuple[str, ...]) -> Call:
    """The call of `function` on operands of these types."""
    counter = _Counter()
    result = function(*(Value(counter, type_, 1, ("operand", k)) for k, type_ in enumerate(types)))
    bits = max(BITS[type_] for type_ in (*types, *counter.types))
    return Call(function, result.type, len(counter.types), counter.cost, bits)


class _Counter:
    """A builder that counts the different instructions of a function; a value's `ref` is its
    expression.
    """

    def __init__(self) -> None:
        self.cost = 0
        self.types: list[str] = []
        self._values: dict[Any, Value] = {}

    def constant(self, type_: str, number: Number, lanes: int = 1) -> Value:
        return Value(self, type_, 1, (type_, repr(number)), number)

    def splat(self, value: Value, lanes: int) -> Value:
        return value

    def instruction(self, name: str, type_: str, lanes: int, operands: tuple[Value, ...]) -> Value:
        return self._value((name, type_, *(x.ref for x in operands)), name, type_)

    def lookup(self, table: Sequence[float], index: Value, type_: str) -> Value:
        return self._value(("lookup", type_, tuple(table), index.ref), "lookup", type_)

    def apply(self, function: Callable[..., Value], operands: tuple[Value, ...]) -> Value:
        return function(*operands)

    def rarely(
        self,
        condition: Value,
        rare: Callable[..., Sequence[Value]],
        operands: tuple[Value, ...],
        usual: Sequence[Value],
    ) -> list[Value]:
        """Only the branch counts, for the code behind it is elsewhere and seldom run."""
        refs = (condition.ref, *(x.ref for x in (*operands, *usual)))
        return [
            self._value(("rarely", rare, k, *refs), "select", x.type) for k, x in enumerate(usual)
        ]

    def repeat(
        self,
        condition: Callable[..., Value],
        step: Callable[..., Sequence[Value]],
        state: Sequence[Value],
        fixed: tuple[Value, ...],
    ) -> list[Value]:
        """The code of one step counts, and the cost of several."""
        number, before = len(self.types), self.cost
        now = [Value(self, x.type, 1, ("state", number, k)) for k, x in enumerate(state)]
        condition(*now, *fixed)
        step(*now, *fixed)
        self.cost = before + STEPS * (self.cost - before)
        refs = tuple(x.ref for x in (*state, *fixed))
        return [
            self._value(("repeat", condition, step, k, *refs), "state", x.type)
            for k, x in enumerate(state)
        ]

    def _value(self, key: Any, name: str, type_: str) -> Value:
        if key not in self._values:
            self._values[key] = Value(self, type_, 1, len(self._values))
            self.types.append(type_)
            self.cost += INSTRUCTION_COSTS.get(name, 1)
        return self._values[key]
