"""`NativeCall`: a call of a function in machine code that is not jitml's own.

Such a function has a kernel's signature, and exists in this process alone: programs are told its
address as an argument of a kernel that calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from jitml.ir.source import Source
from jitml.ir.types import ArrayType
from jitml.ops.callback import ForeignCall, Values
from jitml.ops.custom import HostObject
from jitml.ops.layout import batch_to_front
from jitml.trace.core import bind, type_of
from jitml_runtime.record import frozen, replace

# (types of inputs, types of outputs) -> the function for these.
Specialize = Callable[[Sequence[ArrayType], Sequence[ArrayType]], "NativeFunction"]


class NativeFunction(HostObject):
    """A function in memory. `kept` holds its code, `python` computes the same for NumPy arrays:
    `python(outputs, inputs)` writes outputs. `batched`, where it is given, is for stacked arrays.
    """

    __slots__ = ("address", "batched", "kept", "python", "source")

    def __init__(
        self,
        name: str,
        address: int,
        kept: Any,
        python: Callable[[Sequence[Any], Sequence[Any]], None],
        batched: Specialize | None,
        source: Source,
    ) -> None:
        super().__init__(name)
        self.address = address
        self.kept = kept
        self.python = python
        self.batched = batched
        self.source = source


@frozen
class NativeCall(ForeignCall):
    """Call a function in machine code."""

    name = "native_call"
    derivative_hint: ClassVar[str] = "jvp=rule or vjp=(fwd, bwd) of numba_call"
    function: NativeFunction

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        outputs = [np.zeros(t.shape, t.dtype) for t in self.infer()]
        self.function.python(outputs, list(map(np.asarray, arrays)))
        return tuple(outputs)

    def batch(
        self, size: int, inputs: Values, axes: Sequence[int | None]
    ) -> tuple[Values, Sequence[int | None]]:
        if self.function.batched is None:
            return self._each(size, inputs, axes)
        stacked = [batch_to_front(size, x, a) for x, a in zip(inputs, axes, strict=True)]
        shapes = tuple([(size, *shape) for shape in self.shapes])
        op = replace(self, shapes=shapes)
        types = [type_of(x) for x in stacked]
        op = replace(op, function=self.function.batched(types, op.infer()))
        return bind(op, *stacked), [0] * len(shapes)
