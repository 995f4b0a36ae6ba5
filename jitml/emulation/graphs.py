"""Graphs of the double: what streams record, and nodes whose bodies run if a number says so.

Comes in: work with what it comes after. Goes out: work in an order that this allows, as unlike the
one in which it was recorded as is legal. The numbers that conditional nodes ask are set by kernels;
a number of which nobody has said anything since the launch began is a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

from jitml.emulation.faults import EmulatedFault

if TYPE_CHECKING:
    from jitml.emulation.memory import Memory

IF, WHILE = 0, 1  # kinds of conditional nodes
IN_BODIES = ("kernel", "memset", "memcpy", "conditional")
MOST_TURNS = 100_000  # of a loop; one that takes more is taken for endless


@dataclass(eq=False)
class Node:
    """Work of a graph; `graph` has it, `before` are the nodes that it comes after."""

    kind: str
    work: Callable[[], object]
    before: tuple[Node, ...]
    graph: Graph


@dataclass(eq=False)
class Graph:
    """What a stream has recorded. `outer` has the conditional node whose body this is; `handles`
    are numbers that were made for this graph, with their values at each launch.
    """

    memory: Memory
    outer: Graph | None = None
    nodes: list[Node] = field(default_factory=list)
    bodies: list[Graph] = field(default_factory=list)
    handles: dict[int, int | None] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)  # handles of conditional nodes
    is_instantiated: bool = False
    told: Any = None  # memory of the driver's that callers read
    _order: list[Node] | None = None

    def add(self, kind: str, work: Callable[[], object], before: tuple[Node, ...]) -> Node:
        """Add a node."""
        self.nodes.append(Node(kind, work, before, self))
        self._order = None
        return self.nodes[-1]

    def add_conditional(self, handle: int, kind: int, before: tuple[Node, ...]) -> Graph:
        """Add a conditional node; its body, which is empty yet."""
        body = Graph(self.memory, self)
        self.bodies.append(body)
        self.used.add(handle)

        def run() -> None:
            for _ in range(MOST_TURNS):
                if not self._value(handle):
                    return
                for node in body.order():
                    node.work()
                if kind == IF:
                    return
            raise EmulatedFault("endless", "a loop of a graph does not come to an end")

        self.add("conditional", run, before)
        return body

    def _value(self, handle: int) -> int:
        value = self.memory.conditionals.get(handle)
        if value is None:
            raise EmulatedFault("uninitialised", "nobody has set what a conditional node asks")
        return value

    def knows(self, handle: int) -> bool:
        """Whether a conditional node of this graph may use a handle that no other has."""
        graph: Graph | None = self
        while graph is not None:
            if handle in graph.handles:
                return not any(handle in other.used for other in graph.all())
            graph = graph.outer
        return False

    def all(self) -> Iterator[Graph]:
        """This graph and those within."""
        yield self
        for body in self.bodies:
            yield from body.all()

    def order(self) -> list[Node]:
        """The nodes, each after those that it comes after; of several the one recorded last."""
        if self._order is None:
            self._order = self._ordered()
        return self._order

    def _ordered(self) -> list[Node]:
        numbers = {node: number for number, node in enumerate(self.nodes)}
        waits = {node: len(node.before) for node in self.nodes}
        after: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for earlier in node.before:
                after[earlier].append(node)
        ready = [-numbers[node] for node, count in waits.items() if not count]
        heapify(ready)
        found = []
        while ready:
            found.append(self.nodes[-heappop(ready)])
            for node in after[found[-1]]:
                waits[node] -= 1
                if not waits[node]:
                    heappush(ready, -numbers[node])
        return found

    def run(self) -> None:
        """Do all work; what kernels say of handles counts until the end."""
        values = {handle: v for graph in self.all() for handle, v in graph.handles.items()}
        self.memory.conditionals = values
        for node in self.order():
            node.work()
        self.memory.conditionals = {}
