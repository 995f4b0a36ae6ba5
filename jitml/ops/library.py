"""`library_call`: a routine of a numerical library, run for each element of a batch.

In: arrays with the axes of a batch in front. Out: likewise. Ops of linear algebra and Fourier
transforms are stated in it; it has no rule but types.

The arguments of the routine, in its own order, are pairs of what and a number or word:

    ("char", "L")      a character
    ("int", n)         an integer
    ("number", 1.0)    a number of the routine's type
    ("in", k)          the array that is input k
    ("out", k)         the array that is output k; with as many elements as input k where
                       k < `updates`: it then holds that input before
    ("ints", k)        the array of int32 that is output k
    ("work", bytes)    memory to work in
    ("null", 0)        nothing
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops.kinds import Traced
from jitml.trace.core import bind
from jitml_runtime.record import frozen

Argument: TypeAlias = tuple[str, "int | float | str"]


@frozen
class LibraryCall(Op):
    """Call `routine` for each element of a batch: of the first input, the last `rank` axes are one.

    `results` are the types of its outputs without the axes of the batch, `work_ns` is about how
    long one call takes. The first `updates` outputs start as copies of the first inputs.
    """

    name = "library_call"
    routine: str
    arguments: tuple[Argument, ...]
    rank: int
    results: tuple[ArrayType, ...]
    updates: int
    work_ns: int

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        batch = self.batch_shape(types[0])
        return tuple([ArrayType(t.dtype, (*batch, *t.shape)) for t in self.results])

    def batch_shape(self, first: ArrayType) -> tuple[int, ...]:
        """The axes of the batch, for the type of the first input."""
        return first.shape[: first.ndim - self.rank]


def call_library(
    routine: str,
    arguments: Sequence[Argument],
    inputs: Sequence[Traced],
    rank: int,
    results: Sequence[ArrayType],
    updates: int,
    work_ns: float,
) -> list[Traced]:
    """The outputs of a routine for each element of the batch that `inputs` have in common."""
    op = LibraryCall(routine, tuple(arguments), rank, tuple(results), updates, int(work_ns))
    return bind(op, *inputs)
