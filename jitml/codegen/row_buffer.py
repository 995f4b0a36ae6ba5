"""Which values of a kernel are kept in memory from one loop over an axis to the next.

Comes in: a kernel's nodes. Goes out: the nodes to keep, each with its axis. Where they are kept and
how they are read back is `nest`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jitml.codegen.kernel import Axis, Kernel, Node

RECOMPUTE_COST = 8  # instructions; dearer values that two loops need are kept


def nodes_to_keep(
    kernel: Kernel, nodes: Sequence[Node], inner: Sequence[Axis]
) -> Iterator[tuple[Axis, Node]]:
    """Values that several loops over one axis need, and that are dear to compute again."""
    for axis in inner:
        for node in _shared_nodes(_loops(kernel, nodes, axis), axis):
            if node.cost >= RECOMPUTE_COST:
                yield axis, node


def loads_to_keep(
    kernel: Kernel, nodes: Sequence[Node], inner: Sequence[Axis]
) -> Iterator[tuple[Axis, Node]]:
    """What several loops over one axis read from memory."""
    for axis in inner:
        seen: set[int] = set()
        for roots in _loops(kernel, nodes, axis):
            reached = _reach(roots, axis)
            yield from ((axis, n) for k, n in reached.items() if n.name == "load" and k in seen)
            seen |= set(reached)


def _loops(kernel: Kernel, nodes: Sequence[Node], axis: Axis) -> list[tuple[Node, ...]]:
    """What each loop over an axis computes."""
    loops = [n.operands for n in nodes if n.name == "reduce" and n.data.axis is axis]
    loops.append(tuple(n for s in kernel.stores for n in s.nodes if axis in n.axes))
    return loops


def _shared_nodes(loops: Sequence[Sequence[Node]], axis: Axis) -> list[Node]:
    """The topmost nodes along `axis` that more than one loop computes."""
    reached = [_reach(roots, axis) for roots in loops]
    count: dict[int, int] = {}
    for nodes in reached:
        for number in nodes:
            count[number] = count.get(number, 0) + 1
    covered = {
        x.number
        for nodes in reached
        for node in nodes.values()
        if count[node.number] > 1
        for x in node.operands
    }
    shared = {n.number: n for nodes in reached for n in nodes.values() if count[n.number] > 1}
    kept = {"i1", "state"}
    return [n for n in shared.values() if n.number not in covered and n.type not in kept]


def _reach(roots: Sequence[Node], axis: Axis) -> dict[int, Node]:
    """The nodes below `roots` that vary along `axis`."""
    found: dict[int, Node] = {}
    stack = [n for n in roots if axis in n.axes]
    while stack:
        node = stack.pop()
        if node.number not in found:
            found[node.number] = node
            stack.extend(n for n in node.operands if axis in n.axes)
    return found
