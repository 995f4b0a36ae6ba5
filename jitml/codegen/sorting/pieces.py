"""Between vectors whose lanes have a line each and pieces of `PIECE` elements of one line.

`PIECE` vectors, one for each of as many elements, hold as many pieces as they have lanes.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitml.codegen.llvm import Emitter
from jitml.scalar.value import Value

PIECE = 4


def to_pieces(emit: Emitter, rows: Sequence[Value]) -> list[Value]:
    """The piece of each lane of `PIECE` vectors."""
    a, b, c, d = rows
    even, odd = _zip(emit, a, c), _zip(emit, b, d)
    whole = [v for x, y in zip(even, odd, strict=True) for v in _zip(emit, x, y)]
    starts = range(0, a.lanes, PIECE)
    return [emit.shuffle(v, v, range(k, k + PIECE)) for v in whole for k in starts]


def from_pieces(emit: Emitter, pieces: Sequence[Value]) -> list[Value]:
    """The `PIECE` vectors whose lanes have these pieces."""
    count = len(pieces) // PIECE
    vectors = [_joined(emit, pieces[k * count : (k + 1) * count]) for k in range(PIECE)]
    lower, upper = _unzip(emit, *vectors[:2]), _unzip(emit, *vectors[2:])
    a, c = _unzip(emit, lower[0], upper[0])
    b, d = _unzip(emit, lower[1], upper[1])
    return [a, b, c, d]


def _joined(emit: Emitter, parts: Sequence[Value]) -> Value:
    """Vectors one behind the other, as one."""
    while len(parts) > 1:
        lanes = range(2 * parts[0].lanes)
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [emit.shuffle(x, y, lanes) for x, y in pairs]
    return parts[0]


def _zip(emit: Emitter, a: Value, b: Value) -> tuple[Value, Value]:
    """The lanes of two vectors by turns: their lower and their upper halves."""
    lanes = [lane for k in range(a.lanes) for lane in (k, a.lanes + k)]
    return emit.shuffle(a, b, lanes[: a.lanes]), emit.shuffle(a, b, lanes[a.lanes :])


def _unzip(emit: Emitter, a: Value, b: Value) -> tuple[Value, Value]:
    """The even and the odd lanes of two vectors one behind the other."""
    lanes = range(2 * a.lanes)
    return emit.shuffle(a, b, lanes[::2]), emit.shuffle(a, b, lanes[1::2])
