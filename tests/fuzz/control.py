"""Steps of random programs that are conditionals and loops, with short random programs inside.

What is inside is smooth, so that rounding, which differs from NumPy's, never changes a choice.
"""

from __future__ import annotations

from typing import Any

from jitml.ir.dtypes import INT32, INT64, DType, is_inexact
from jitml.ir.types import ArrayType
from jitml.ops import elementwise
from jitml.ops.cond import cond_values
from jitml.ops.layout import iota, reshape
from jitml.ops.scan import scan_values
from jitml.ops.while_loop import while_values
from jitml.trace.core import type_of
from jitml.trace.numbers import literal
from tests.fuzz.steps import STEPS, Draw, Program, Step, indices

_INSIDE = (
    "add", "sub", "mul", "neg", "sin", "cos", "tanh", "max", "select", "broadcast_in_dim",
    "reshape", "transpose", "reverse", "slice", "pad", "concatenate", "gather", "scatter",
    "dynamic_slice", "dynamic_update_slice", "reduce_sum", "reduce_max", "logistic",
)  # fmt: skip
_LONGEST = 6  # steps of a loop
_LARGEST = 200  # elements of a carry


class Inner(Program):
    """A program inside another: what it makes of inexact numbers is smooth."""

    def converted(self, x: Any, dtype: DType) -> Any:
        if is_inexact(type_of(x).dtype) and not is_inexact(dtype):
            shape = type_of(x).shape
            x = iota(INT32, shape, 0) if shape else literal(1, ArrayType(INT32, ()))
        return super().converted(x, dtype)


def nested(draw: Draw, values: list[Any], like: list[Any]) -> list[Any]:
    """What a short random program makes of `values`: tame results, of the types of `like`."""
    program = Inner(draw, values)
    for _ in range(2 + draw(3)):
        STEPS[_INSIDE[draw(len(_INSIDE))]](program)
    return [program.tame(program.like(x)) for x in like]


def _carry(p: Program) -> Any:
    x = p.tame(p.take("fi"))
    return x if type_of(x).size <= _LARGEST else p.fitted(x, (3,))


def _count(p: Program, dtype: DType) -> Any:
    """A number of steps or branches, known at run time only."""
    return elementwise.convert(reshape(indices(p, (1,), _LONGEST), ()), dtype)


def _cond(p: Program) -> None:
    x, y = _carry(p), _carry(p)

    def branch(_: int, *operands: Any) -> list[Any]:
        return nested(p.draw, list(operands), [x, y])

    p.add(*cond_values(branch, _count(p, INT32), [x, y], ("first", "second", "third")))


def _while(p: Program) -> None:
    x, y = _carry(p), _carry(p)
    start = literal(0, ArrayType(INT64, ()))

    def step(constants: list[Any], carries: list[Any]) -> list[Any]:
        number, *state = carries
        return [elementwise.add(number, 1), *nested(p.draw, [*constants, *state], state)]

    found = while_values(
        lambda constants, carries: [elementwise.lt(carries[0], constants[0])],
        step,
        [_count(p, INT64)],
        [_carry(p)],
        [start, x, y],
        "loop",
    )
    p.add(*found[1:])


def _scan(p: Program) -> None:
    x, length = _carry(p), 1 + p.draw(_LONGEST)
    shape = (length, *type_of(x).shape)
    rows = [p.fitted(p.take("fi"), shape) for _ in range(1 + p.draw(2))]

    def step(constants: list[Any], carries: list[Any], slices: list[Any]) -> Any:
        inputs = [*constants, *carries, *slices]
        return nested(p.draw, inputs, carries), nested(p.draw, inputs, [slices[0]])

    last, ys = scan_values(step, [_carry(p)], [x], rows, length, bool(p.draw(2)), "steps")
    p.add(*last, *ys)


CONTROL: dict[str, Step] = {"cond": _cond, "while": _while, "scan": _scan}
