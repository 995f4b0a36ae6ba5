"""Squares of vectors are transposed in registers.

In: as many vectors as each has lanes. Out: their columns as vectors, by shuffles that processors
have as one instruction and that LLVM finds at once. Must not know where the vectors come from.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitml.codegen.llvm import Emitter
from jitml.scalar.value import BITS, Value

_SHUFFLED_BITS = 128  # lanes are interleaved within so many bits, and whole ones exchanged


def transposed(emit: Emitter, rows: Sequence[Value]) -> list[Value]:
    """The columns of a square of vectors: blocks along the diagonal are transposed by interleaving
    their rows, then those off it change places, at each size.
    """
    side = len(rows)
    block = min(side, _SHUFFLED_BITS // BITS[rows[0].type])
    columns = [
        column
        for first in range(0, side, block)
        for column in _interleaved(emit, rows[first : first + block])
    ]
    step = side // 2
    while step >= block:
        _exchange(emit, columns, step)
        step //= 2
    return columns


def _interleaved(emit: Emitter, rows: Sequence[Value]) -> list[Value]:
    """Rows whose lanes, in groups of as many as there are rows, are those of the columns."""
    lanes, group = range(rows[0].lanes), len(rows)
    low = [k for lane in lanes if lane % group < group // 2 for k in (lane, len(lanes) + lane)]
    high = [k for lane in lanes if lane % group >= group // 2 for k in (lane, len(lanes) + lane)]
    for _ in range(group.bit_length() - 1):
        pairs = list(zip(rows[: group // 2], rows[group // 2 :], strict=True))
        rows = [emit.shuffle(a, b, half) for a, b in pairs for half in (low, high)]
    return list(rows)


def _exchange(emit: Emitter, rows: list[Value], step: int) -> None:
    """Let blocks of `step` lanes off the diagonal of squares twice as large change places."""
    side = len(rows)
    low = [k if not k & step else side + k - step for k in range(side)]
    high = [k + step if not k & step else side + k for k in range(side)]
    for k in range(side):
        if not k & step:
            a, b = rows[k], rows[k + step]
            rows[k], rows[k + step] = emit.shuffle(a, b, low), emit.shuffle(a, b, high)
