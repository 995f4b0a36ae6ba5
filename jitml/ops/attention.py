"""`Attention`: attention over tiles of queries and keys, for backends with a kernel of its own.

Its meaning is its body, which others run in its place. A kernel needs to know what the body
computes, which the parameters tell; `jitml.nn.tiles` says what they mean, and makes the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jitml.ir.op import Traced
from jitml.ir.text import PARAMETER_CLASSES
from jitml.ir.types import ArrayType
from jitml.ops.control import at_front, build, spread
from jitml.ops.custom import Call, Transform, Values, push_graph
from jitml.ops.layout import batch_to_front, broadcast_in_dim, move_axis, reshape
from jitml.ops.slicing import slice_
from jitml.trace.core import bind, type_of
from jitml.trace.inline import inline
from jitml_runtime.record import frozen, replace

# The logit of a key that a query may not attend to: finite, so that a query that may attend to
# none attends to all alike.
HIDDEN = -0.7 * float(np.finfo(np.float32).max)


class Tiling(NamedTuple):
    """How queries and keys are cut, and which queries see which keys by their positions alone."""

    queries: int  # in a tile
    keys: int  # in a tile
    last_key: int  # keys from here on fill up the last tile
    left: int | None  # how many keys before its own position a query sees; None: all
    right: int | None  # and how many behind


PARAMETER_CLASSES["Tiling"] = Tiling


class Operands(NamedTuple):
    """What attention is a function of. The first axis of q, k and v counts tiles.

    q: f[tile, batch, head, group * query, feature]; k, v: f[tile, batch, head, key, feature]; bias
    and mask: of [batch, head, group, query, key], 1 where all share; lengths: i32[batch]. pairs:
    i32[pair, 2], the tiles of queries and keys that meet, in order; the others count as hidden.
    """

    q: Any
    k: Any
    v: Any
    pairs: Any
    bias: Any = None
    mask: Any = None
    query_lengths: Any = None
    key_lengths: Any = None


def by_name(items: Sequence[Any], given: Sequence[bool]) -> Operands:
    """What belongs to the operands that are given, by their names."""
    return Operands(*spread(items, given))


_BATCH_AXES = Operands(1, 1, 1, None, 0, 0, 0, 0)


@frozen
class Attention(Call):
    """Call `body`, which goes through tiles as `tiling` says.

    The inputs are those of `Operands` that `given` tells, the outputs f[tile, batch, head, group *
    query, feature] and, for each row, its greatest logit and the sum of exponentials below that.
    """

    name = "attention"
    tiling: Tiling
    given: tuple[bool, ...]

    def jvp(  # type: ignore[override]
        self, primals: Values, tangents: Sequence[Traced | None], transform: Transform
    ) -> tuple[Values, Sequence[Traced | None]]:
        return push_graph(self.body, primals, tangents, transform)

    def batch(  # type: ignore[override]
        self, size: int, inputs: Values, axes: Sequence[int | None], transform: Transform
    ) -> tuple[Values, Sequence[int | None]]:
        """A longer batch: the new axis goes in front of that of the operands."""
        if by_name(axes, self.given).pairs is not None:
            found = transform(self.body, size, axes)
            return inline(found.graph, inputs), found.axes
        batch = self.body.input_types[0].shape[1]
        places = [a for a, flag in zip(_BATCH_AXES, self.given, strict=True) if flag]
        rows = []
        for x, axis, place in zip(inputs, axes, places, strict=True):
            if place is None or (place == 0 and axis is None and _is_shared(x)):
                rows.append((x, None))
            else:
                rows.append((_whole(x, size, axis, place, batch), place))
        merged = [x if place is None else _merged(x, place) for x, place in rows]
        stacked = transform(self.body, size, [place for _, place in rows])

        def body(*values: Traced) -> Values:
            apart = [
                x if place is None else _alike(_apart(x, place, size), place, type_)
                for x, (_, place), type_ in zip(values, rows, self.body.input_types, strict=True)
            ]
            outputs = zip(
                inline(stacked.graph, apart), stacked.axes, self.body.output_types, strict=True
            )
            return [_merged(move_axis(at_front(size, *row), 0, 1), 1) for row in outputs]

        graph = build(body, [type_of(x) for x in merged], self.body.name)
        outputs = bind(replace(self, body=graph), *merged)
        return [_apart(x, 1, size) for x in outputs], [1] * len(outputs)


def _is_shared(x: Traced) -> bool:
    """Whether it is a bias or mask that all of a batch share."""
    shape = type_of(x).shape
    return len(shape) == 5 and shape[0] == 1


def _whole(x: Traced, size: int, axis: int | None, place: int, batch: int) -> Traced:
    """`x` with an axis of `size` at `place`, and one of `batch` behind it."""
    x = move_axis(batch_to_front(size, x, axis), 0, place)
    shape = type_of(x).shape
    if shape[place + 1] == batch:
        return x
    wide = (*shape[: place + 1], batch, *shape[place + 2 :])
    return broadcast_in_dim(x, wide, tuple(range(len(wide))))


def _alike(x: Traced, place: int, type_: ArrayType) -> Traced:
    """One for each element of a new batch, where all of the old one have the same."""
    shape = type_of(x).shape
    ends = (*shape[: place + 1], type_.shape[place], *shape[place + 2 :])
    return x if ends == shape else slice_(x, (0,) * len(shape), ends)


def _merged(x: Traced, place: int) -> Traced:
    """Two axes as one."""
    shape = type_of(x).shape
    return reshape(x, (*shape[:place], shape[place] * shape[place + 1], *shape[place + 2 :]))


def _apart(x: Traced, place: int, size: int) -> Traced:
    """One axis as two, the first of `size`."""
    shape = type_of(x).shape
    return reshape(x, (*shape[:place], size, shape[place] // size, *shape[place + 1 :]))
