"""Segments of a loop in which comparisons with its position are decided.

Comes in: the vector axis and the nodes of a kernel. Goes out: runs of positions, with what the
comparisons are there: the parts of a concatenation, the elements that a roll brings around, the
border of a stencil. Each is written as a loop of its own, without masks.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from jitml.codegen.kernel import Axis, Node
from jitml.codegen.sharing import instructions
from jitml.scalar.value import BITS, SIGNED

MOST_IN_SEGMENTS = 800  # instructions, over all segments: the time to compile them stays bounded
USUAL_SHARE = 0.75  # of the positions, from which on others are rare
MOST_STEPS = 1.5  # times those of one loop
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
}
# A comparison with 0 turns where the left side comes to be below one of these.
_BOUNDS = {"lt": (0,), "ge": (0,), "le": (1,), "gt": (1,), "eq": (0, 1), "ne": (0, 1)}


@dataclass(frozen=True)
class Segment:
    """Positions [first, end) of an axis; by the number of each comparison, what it is there."""

    first: int
    end: int
    known: dict[int, bool] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return self.end - self.first


def segments(axis: Axis, nodes: Sequence[Node], width: int) -> list[Segment]:
    """The segments of `axis`; one where nothing is decided by position, too much is, or so many
    elements would not fill a vector of `width` that masks are cheaper.
    """
    found = _decided(axis, nodes)
    if len(found) * sum(map(instructions, nodes)) > MOST_IN_SEGMENTS:
        return [Segment(0, axis.extent)]
    steps = sum(_steps(segment.count, width) for segment in found)
    if steps > MOST_STEPS * _steps(axis.extent, width):
        return [Segment(0, axis.extent)]
    return found


def usual_segment(axis: Axis, nodes: Sequence[Node]) -> Segment | None:
    """The segment that most positions lie in, where there are others: it is worth a text of its
    own.
    """
    found = _decided(axis, nodes)
    longest = max(found, key=lambda segment: segment.count)
    is_usual = USUAL_SHARE * axis.extent <= longest.count < axis.extent
    return longest if is_usual and 2 * sum(map(instructions, nodes)) <= MOST_IN_SEGMENTS else None


def _decided(axis: Axis, nodes: Sequence[Node]) -> list[Segment]:
    """All segments, however many there are."""
    found = [(node, _difference(axis, node)) for node in nodes if node.name in _COMPARISONS]
    compared = [(node, *line) for node, line in found if line is not None]
    cuts = {0, axis.extent}
    for node, slope, start in compared:
        cuts.update(c for c in _turns(node.name, slope, start) if 0 < c < axis.extent)
    if len(cuts) == 2:
        return [Segment(0, axis.extent)]
    return [
        Segment(
            first, end, {n.number: _COMPARISONS[n.name](a * first + b, 0) for n, a, b in compared}
        )
        for first, end in itertools.pairwise(sorted(cuts))
    ]


def _steps(count: int, width: int) -> int:
    """How many vectors, whole and narrower ones, hold so many elements."""
    return count // width + (count % width).bit_count()


def _difference(axis: Axis, node: Node) -> tuple[int, int] | None:
    """(a, b) where the left side less the right one is a · position + b."""
    slope = start = 0
    for operand, sign in zip(node.operands, (1, -1), strict=True):
        if operand.name == "convert" and _fits(operand):
            operand = operand.operands[0]
        if operand.name == "index" and operand.data.axes == {axis} and not operand.data.values:
            slope += sign * operand.data.coefficient(axis)
            start += sign * operand.data.constant
        elif operand.name == "size" or (operand.name == "constant" and operand.type in SIGNED):
            start += sign * operand.data
        else:
            return None
    return (slope, start) if slope else None


def _fits(converted: Node) -> bool:
    """Whether an index is the same number in the type that it is converted to."""
    index, most = converted.operands[0], 1 << (BITS[converted.type] - 1)
    bounds = index.data.bounds() if index.name == "index" else None
    return (
        converted.type in SIGNED and bounds is not None and -most <= bounds[0] <= bounds[1] < most
    )


def _turns(name: str, slope: int, start: int) -> list[int]:
    """The first positions at which a comparison of slope · position + start with 0 is another."""
    return [
        -((start - bound) // slope) if slope > 0 else (start - bound) // -slope + 1
        for bound in _BOUNDS[name]
    ]
