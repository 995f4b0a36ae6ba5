"""`NativeCall`: a call of a function in machine code that is not jitml's own.

Such a function has a kernel's signature, and exists in this process alone: programs are told its
address as an argument of a kernel that calls it. On GPUs it is a kernel of its own, in PTX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from jitml.ir.errors import ArgumentError
from jitml.ir.source import Source
from jitml.ir.types import ArrayType
from jitml.ops.callback import ForeignCall, Values
from jitml.ops.custom import HostObject
from jitml.ops.layout import batch_to_front
from jitml.trace.core import bind, type_of
from jitml_runtime.record import frozen, replace

# (types of inputs, types of outputs) -> the function for these.
Specialize = Callable[[Sequence[ArrayType], Sequence[ArrayType]], "NativeFunction"]


Extents = tuple[int, int, int]


class Grid(NamedTuple):
    """The blocks of a launch, the threads of each, and the shared memory that a block has beside
    what its kernel declares.
    """

    blocks: Extents
    threads: Extents
    shared_bytes: int = 0


class GridKernel(NamedTuple):
    """A function on GPUs: `ptx(target)` gives its kernel, with the signature of a plan's. Without a
    grid its threads take the elements of the results in turn.
    """

    ptx: Callable[[str], str]
    grid: Grid | None


class NativeFunction(HostObject):
    """A function in memory. `kept` holds its code, `python` computes the same for NumPy arrays:
    `python(outputs, inputs)` writes outputs. `batched`, where it is given, is for stacked arrays.
    A function for GPUs has a `grid_kernel`; if that is all, its address is 0.
    """

    __slots__ = ("address", "batched", "grid_kernel", "kept", "python", "source")

    def __init__(
        self,
        name: str,
        address: int,
        kept: Any,
        python: Callable[[Sequence[Any], Sequence[Any]], None],
        batched: Specialize | None,
        source: Source,
        grid_kernel: GridKernel | None = None,
    ) -> None:
        super().__init__(name)
        self.address = address
        self.kept = kept
        self.python = python
        self.batched = batched
        self.source = source
        self.grid_kernel = grid_kernel

    def check_on_cpu(self, source: Source) -> None:
        """Raise if it is for GPUs alone."""
        if not self.address:
            raise ArgumentError(
                f"numba_call: {self.name} is a kernel for GPUs, and runs on the CPU here",
                hint="give cpu=, the same compiled by numba.njit; or set JITML_DEVICE=cuda, or "
                "JITML_DEVICE=cuda-emulated, which needs no GPU",
                source=source or self.source,
            )


@frozen
class NativeCall(ForeignCall):
    """Call a function in machine code."""

    name = "native_call"
    derivative_hint: ClassVar[str] = "jvp=rule or vjp=(fwd, bwd) of numba_call"
    function: NativeFunction

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        self.function.check_on_cpu(self.function.source)
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
