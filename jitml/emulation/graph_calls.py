"""The double's functions for graphs, with their C arguments.

Comes in and goes out as in `libcuda`. What a body of a conditional node must not have is refused
when the graph is instantiated, as is a handle that no node asks.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, NoReturn

from jitml.emulation.graphs import IF, IN_BODIES, WHILE, Graph, Node
from jitml.emulation.streams import (
    INVALID_VALUE,
    NOT_SUPPORTED,
    SUCCESS,
    Refused,
    Stream,
    Unit,
)

CONDITIONALS_SINCE = 12040  # this version of the driver
_ASSIGN_DEFAULT = 1  # a handle has its default value at each launch
_CONDITIONAL = 13  # of kinds of nodes
_SET_DEPENDENCIES = 1
_MOST_BRANCHES = 1  # 2 and more are later drivers'


class _NodeParams(ctypes.Structure):
    """CUgraphNodeParams of a conditional node."""

    _fields_ = (
        ("kind", ctypes.c_int),
        ("reserved0", ctypes.c_int * 3),
        ("handle", ctypes.c_uint64),
        ("conditional", ctypes.c_int),
        ("branches", ctypes.c_uint),
        ("bodies", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
        ("reserved1", ctypes.c_longlong * 26),
    )


@dataclass(frozen=True)
class _Launchable:
    graph: Graph


class GraphCalls:
    """The part of the library that is about graphs."""

    version: int
    _handles: dict[int, Any]

    def _stream(self, stream: Any) -> Stream:
        raise NotImplementedError

    def _current(self) -> Unit:
        raise NotImplementedError

    def _handle(self, thing: Any) -> int:
        raise NotImplementedError

    def _graph(self, graph: Any) -> Graph:
        found = self._handles.get(graph.value)
        if not isinstance(found, Graph):
            _refuse()
        return found

    # ---- recording -------------------------------------------------------------------------------

    def cuStreamBeginCapture_v2(self, stream: Any, mode: int) -> int:
        found = self._stream(stream)
        return self._begin(found, Graph(found.unit.memory))

    def cuStreamBeginCaptureToGraph(
        self, stream: Any, graph: Any, before: Any, edges: Any, count: Any, mode: int
    ) -> int:
        if count.value:
            return NOT_SUPPORTED
        return self._begin(self._stream(stream), self._graph(graph))

    def _begin(self, stream: Stream, graph: Graph) -> int:
        if stream.recorded is not None:
            _refuse()
        stream.recorded, stream.last = graph, ()
        self._handle(graph)
        return stream.unit.status

    def cuStreamEndCapture(self, stream: Any, graph: Any) -> int:
        found = self._stream(stream)
        if found.recorded is None:
            return INVALID_VALUE
        graph._obj.value = self._number_of(found.recorded)
        found.recorded = None
        return found.unit.status

    def _number_of(self, thing: Any) -> int:
        numbers = [n for n, other in reversed(self._handles.items()) if other is thing]
        return numbers[0] if numbers else self._handle(thing)

    def cuStreamGetCaptureInfo_v2(
        self, stream: Any, status: Any, number: Any, graph: Any, before: Any, count: Any
    ) -> int:
        found = self._stream(stream)
        status._obj.value = int(found.recorded is not None)
        if found.recorded is not None:
            graph._obj.value = self._number_of(found.recorded)
            numbers = [self._number_of(node) for node in found.last]
            # The driver's memory: it lasts until the stream is asked the next time.
            found.told = (ctypes.c_void_p * max(1, len(numbers)))(*numbers)
            before._obj.value = ctypes.addressof(found.told)
            count._obj.value = len(numbers)
        return found.unit.status

    def cuStreamUpdateCaptureDependencies(
        self, stream: Any, before: Any, count: Any, flags: int
    ) -> int:
        found = self._stream(stream)
        if found.recorded is None or flags != _SET_DEPENDENCIES:
            return INVALID_VALUE
        found.last = self._nodes(found.recorded, ctypes.addressof(before._obj), count.value)
        return found.unit.status

    def _nodes(self, graph: Graph, address: int, count: int) -> tuple[Node, ...]:
        numbers = (ctypes.c_uint64 * count).from_address(address) if count else ()
        nodes = tuple([self._handles.get(number) for number in numbers])
        if not all(isinstance(node, Node) and node.graph is graph for node in nodes):
            _refuse()
        return nodes  # type: ignore[return-value]

    # ---- conditional nodes -----------------------------------------------------------------------

    def cuGraphConditionalHandleCreate(
        self, handle: Any, graph: Any, context: Any, value: Any, flags: Any
    ) -> int:
        if self.version < CONDITIONALS_SINCE:
            return NOT_SUPPORTED
        if self._handles.get(context.value) is not self._current():
            return INVALID_VALUE
        number = handle._obj.value = self._handle(("conditional handle",))
        is_set = flags.value == _ASSIGN_DEFAULT
        self._graph(graph).handles[number] = value.value if is_set else None
        return SUCCESS

    def cuGraphAddNode(self, node: Any, graph: Any, before: Any, count: Any, params: Any) -> int:
        if self.version < CONDITIONALS_SINCE:
            return NOT_SUPPORTED
        if ctypes.sizeof(params._obj) != ctypes.sizeof(_NodeParams):
            return INVALID_VALUE
        told = _NodeParams.from_address(ctypes.addressof(params._obj))
        found = self._graph(graph)
        is_legal = told.kind == _CONDITIONAL and told.conditional in (IF, WHILE)
        is_legal &= told.branches == _MOST_BRANCHES and not any((*told.reserved0, *told.reserved1))
        is_legal &= self._handles.get(told.context) is self._current()
        if not (is_legal and found.knows(told.handle)):
            return INVALID_VALUE
        earlier = self._nodes(found, before.value, count.value)
        body = found.add_conditional(told.handle, told.conditional, earlier)
        node._obj.value = self._handle(found.nodes[-1])
        body.told = (ctypes.c_void_p * 1)(self._handle(body))
        told.bodies = ctypes.addressof(body.told)
        return SUCCESS

    # ---- launches --------------------------------------------------------------------------------

    def cuGraphInstantiateWithFlags(self, launchable: Any, graph: Any, flags: Any) -> int:
        found = self._graph(graph)
        inner = [*found.all()]
        has_conditionals = len(inner) > 1
        if found.outer or (has_conditionals and found.is_instantiated):
            return INVALID_VALUE
        if any(node.kind not in IN_BODIES for body in inner[1:] for node in body.nodes):
            return INVALID_VALUE
        if {h for g in inner for h in g.handles} != {h for g in inner for h in g.used}:
            return INVALID_VALUE
        found.is_instantiated = True
        launchable._obj.value = self._handle(_Launchable(found))
        return SUCCESS

    def cuGraphDestroy(self, graph: Any) -> int:
        self._handles[graph.value] = None
        return SUCCESS

    def cuGraphLaunch(self, launchable: Any, stream: Any) -> int:
        found = self._stream(stream)
        found.ask(self._handles[launchable.value].graph.run)
        return found.unit.status

    def cuGraphExecDestroy(self, launchable: Any) -> int:
        self._handles[launchable.value].graph.is_instantiated = False
        self._handles[launchable.value] = None
        return SUCCESS


def _refuse() -> NoReturn:
    raise Refused(INVALID_VALUE)
