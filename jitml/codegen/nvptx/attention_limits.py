"""What is added to a logit, and which keys a query may see.

Comes in: the op, its operands' types and pointers. Goes out: values of a kernel under construction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce

from jitml.codegen.special import Function
from jitml.ir.dtypes import short_name
from jitml.ir.types import ArrayType
from jitml.ops.attention import HIDDEN, Operands
from jitml.scalar.value import Value, convert, select

# Sample, head, group, query and key; queries and keys counted over all tiles.
Place = Sequence[Value]


class Limits:
    """Those of one kernel; `left` and `right` say how many keys around its place a query sees."""

    def __init__(
        self,
        f: Function,
        types: Operands,
        buffers: Operands,
        left: int | None,
        right: int | None,
    ) -> None:
        self.f = f
        self.bias = None
        if types.bias is not None:
            self.bias = _Table(f, buffers.bias, types.bias)
        self.rules: list[Callable[[Place], Value]] = []
        if types.mask is not None:
            self.rules.append(_Table(f, buffers.mask, types.mask).load)
        for count, is_before in ((left, True), (right, False)):
            if count is not None:
                self.rules.append(partial(_is_near, is_before, f.argument(count)))
        for lengths, axis in ((buffers.query_lengths, 3), (buffers.key_lengths, 4)):
            if lengths is not None:
                self.rules.append(partial(self._is_inside, lengths, axis))

    @property
    def are_any(self) -> bool:
        """Whether a logit may change."""
        return self.bias is not None or bool(self.rules)

    def apply(self, logit: Value, place: Place) -> Value:
        """The logit at a place."""
        if self.bias is not None:
            logit = logit + self.bias.load(place)
        if not self.rules:
            return logit
        visible = reduce(lambda a, b: a & b, [rule(place) for rule in self.rules])
        return select(visible, logit, HIDDEN)

    def _is_inside(self, lengths: Value, axis: int, place: Place) -> Value:
        address = self.f.emit.address(lengths, place[0], "i32")
        return place[axis] < convert(self.f.emit.load(address, "i32"), "i64")


def _is_near(is_before: bool, count: Value, place: Place) -> Value:
    query, key = place[3:]
    return query <= key + count if is_before else query >= key - count


class _Table:
    """A bias or mask: an axis along which there is one for all has stride 0."""

    def __init__(self, f: Function, pointer: Value, type_: ArrayType) -> None:
        self.f = f
        self.pointer = pointer
        self.storage = short_name(type_.dtype)
        shape = type_.shape
        self.strides = [
            f.argument(0 if n == 1 else math.prod(shape[k + 1 :])) for k, n in enumerate(shape)
        ]

    def load(self, place: Place) -> Value:
        offset = self.f.number(0)
        for at, stride in zip(place, self.strides, strict=True):
            offset = offset + at * stride
        return self.f.emit.load(
            self.f.emit.address(self.pointer, offset, self.storage), self.storage
        )
