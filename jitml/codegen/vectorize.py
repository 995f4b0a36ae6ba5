"""Which loop of a kernel runs in vectors, and how wide they are.

Comes in: a kernel and the machine. Goes out: an axis and a number of lanes. Bits do not depend on
either.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from jitml.codegen.kernel import Axis, Kernel, Node, Store
from jitml.codegen.routine import INSTRUCTION_COSTS
from jitml.codegen.sharing import instructions
from jitml.codegen.target import Target
from jitml.scalar.value import BITS

UNITS_STEP = 64  # elements of a vector axis that chunks are multiples of: whole cache lines
LONG_AXIS = 1024  # elements; along longer ones a vector may take several registers
SHORT_BODY = 40  # instructions; so many registers are there for two of each
LONG_CHAIN = 4  # reads of which each tells where the next one reads
MOST_LANES = 64
_SHORT = 8  # elements; along shorter axes vectors are narrow


def choose_vector_axis(kernel: Kernel, nodes: Sequence[Node]) -> Axis | None:
    """The axis along which most accesses are contiguous; a reduced axis or the innermost outer one
    first.
    """
    updates = [s for s in kernel.stores if s.combine]
    if updates:
        outer = kernel.live_outer()
        beside = (a for a in outer if all(_lies_beside(s, a) for s in updates))
        return next(beside, None) or _lanes_in_order(outer)
    reduced = [
        n.data.axis
        for n in nodes
        if n.name == "reduce" and n.data.axis is not None and n.data.runs_along_lanes
    ]
    inner = [a for a in kernel.inner if not a.merged and a.extent != 1]
    # The extent of a reduction must be the same in all lanes.
    limits = [n.data.limit for n in nodes if n.name == "reduce" and n.data.limit]
    fixed = {axis for limit in limits for axis in limit.axes}
    axes = dict.fromkeys([*reduced, *inner, *reversed(kernel.live_outer())])
    accesses = [n.data.index for n in nodes if n.name == "load"]
    accesses.extend(s.index for s in kernel.stores)
    counts = [math.prod(a.extent for a in index.axes if not a.merged) for index in accesses]
    most = max(counts, default=1)
    works = _works(nodes)

    def contiguity(axis: Axis) -> float:
        """Accesses that happen seldom (a store behind a long reduction) count little."""
        strides = (abs(index.coefficient(axis)) for index in accesses)
        share = min(1.0, axis.extent / _SHORT)  # of the lanes
        scores = (_STRIDE_SCORES[s] * share if s in _STRIDE_SCORES else -4.0 for s in strides)
        score: float = sum(n / most * x for n, x in zip(counts, scores, strict=True))
        score -= _WORK_SCORE / most * sum(work / _lanes(axis, axes) for axes, work in works.items())
        return score + (0.1 if axis.extent >= 64 else -2.0 if axis.extent < _SHORT else 0.0)

    return max((a for a in axes if a not in fixed), key=contiguity, default=None)


def _works(nodes: Sequence[Node]) -> Mapping[frozenset[Axis], int]:
    """By the axes along which they differ, how many instructions are for all elements."""
    works: Counter[frozenset[Axis]] = Counter()
    for node in nodes:
        if node.name not in _NO_WORK:
            extents = (a.extent for a in node.axes if not a.merged)
            own = instructions(node) if node.name == "call" else INSTRUCTION_COSTS.get(node.name, 1)
            works[node.axes] += own * math.prod(extents)
    return works


def _lanes(axis: Axis, axes: frozenset[Axis]) -> int:
    """How many lanes, of a usual vector along `axis`, work on what differs along `axes`."""
    return min(axis.extent, _SHORT) if axis in axes else 1


def _lanes_in_order(outer: Sequence[Axis]) -> Axis | None:
    """The axis whose lanes are updated in the order of updates, if it is not short."""
    is_long = bool(outer) and outer[-1].extent >= _SHORT
    return outer[-1] if is_long else None


def _lies_beside(update: Store, axis: Axis) -> bool:
    """Whether the elements along `axis` of an update lie side by side: no two are the same."""
    decided = [*update.index.nodes, *([] if update.where is None else [update.where])]
    is_dense = update.index.coefficient(axis) == 1 and len(update.nodes) == 1
    return is_dense and not any(varies(n, axis) for n in decided)


def varies(node: Node, axis: Axis) -> bool:
    """Whether the value of a node differs along `axis`; that of a check is its condition, wherever
    it tells of a failure.
    """
    if node.name not in ("check", "and"):
        return axis in node.axes
    is_check = node.name == "check"
    operands = (node.operands[0], *node.operands[3:]) if is_check else node.operands
    return any(varies(x, axis) for x in operands)


_STRIDE_SCORES = {0: 0.5, 1: 3.0, 2: 1.0}
_NO_WORK = ("index", "size", "reduce", "load", "constant")
_WORK_SCORE = 1.0  # of an instruction for each element


def choose_width(
    axis: Axis | None, nodes: Sequence[Node], has_shared_calls: bool, target: Target
) -> int:
    """The lanes of vectors along `axis`: as its widest values fill a register, or a few of them."""
    if axis is None:
        return 1
    widest = widest_bytes([n for n in nodes if axis in n.axes])
    width = min(target.lanes(widest) * _unrolling(axis, nodes, has_shared_calls), MOST_LANES)
    while width > axis.extent:
        width //= 2
    return max(width, 1)


_NOT_IN_VECTORS = ("index", "size", "reduce", "i1")
_FEW = 8  # one instruction in so many may take several registers


def widest_bytes(nodes: Sequence[Node]) -> int:
    """The size of the widest values; wider ones are left out where they are few (the positions
    that a gather reads at, before much mathematics in 32 bits).
    """
    counts: Counter[int] = Counter()
    for node in nodes:
        if node.name in _NOT_IN_VECTORS:
            continue
        bits = node.data.bits if node.name == "call" else BITS.get(node.type, 0)
        counts[max(bits // 8, 1)] += instructions(node)
    total, seen = sum(counts.values()), 0
    for size_bytes in sorted(counts, reverse=True):
        seen += counts[size_bytes]
        if seen * _FEW >= total:
            return size_bytes
    return 1


def _unrolling(axis: Axis, nodes: Sequence[Node], has_shared_calls: bool) -> int:
    """How many registers a vector takes: several rows of accumulators side by side share the pages
    they read, functions that are called have several chains of instructions to interleave, and
    searches wait for one read to know the next.
    """
    reductions = [n.data for n in nodes if n.name == "reduce" and n.data.axis is not None]
    if any(r.axis is axis for r in reductions) or axis.extent < LONG_AXIS:
        return 1
    if any(r.axis.extent >= UNITS_STEP for r in reductions):
        return 4
    if _reads_in_turn(nodes) >= LONG_CHAIN:
        return 4
    return 2 if has_shared_calls or sum(map(instructions, nodes)) <= SHORT_BODY else 1


def _reads_in_turn(nodes: Sequence[Node]) -> int:
    """The most reads of which each tells where the next one reads; operands come before users."""
    before: dict[int, int] = {}
    for node in nodes:
        own = node.name == "load" and bool(node.data.index.nodes)
        before[node.number] = own + max((before[x.number] for x in node.operands), default=0)
    return max(before.values(), default=0)
