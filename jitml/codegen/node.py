"""What each kind of node becomes: one table from nodes to LLVM text.

Comes in: a node whose operands have been prepared. Goes out: its value at this place of the nest.
"""

from __future__ import annotations

from typing import Any

from jitml.codegen import memory
from jitml.codegen.fold import fold
from jitml.codegen.kernel import Node, decided
from jitml.codegen.nest import Nest
from jitml.codegen.routine import Call
from jitml.scalar.value import Value


def write_node(nest: Nest, node: Node) -> Any:
    """Write `node`; its value (of a reduction or a side path: its values)."""
    name, emit = node.name, nest.emit
    if name == "constant":
        return emit.constant(node.type, node.data)
    if name == "size":
        return nest.frame.size(node.data)
    if name == "index":
        return nest.index_value(node.data)
    if name == "load":
        return memory.load(nest, node)
    if name == "reduce":
        return fold(nest, node)
    if name == "state":
        return nest.find(node.operands[0].number)[node.data]
    if name == "check":
        return _check(nest, node)
    operands = [nest.value(x) for x in node.operands]
    if name == "rarely":
        return _rarely(nest, node, operands)
    if name == "repeat":
        condition, step, count = node.data
        return emit.repeat(condition, step, operands[:count], tuple(operands[count:]))
    if name == "call":
        return _call(nest, node, operands)
    if name == "lookup":
        return emit.lookup(node.data, operands[0], node.type)
    if name == "round":
        return emit.round_to(operands[0], node.data)
    if name == "narrow":
        return emit.narrow(operands[0], node.data)
    if name == "widen":
        return emit.widen(operands[0], node.data)
    known = decided(name, tuple(operands))
    if known is not None:
        return known
    lanes = max(v.lanes for v in operands)
    together = tuple(emit.splat(v, lanes) for v in operands)
    return emit.instruction(name, node.type, lanes, together)


def _rarely(nest: Nest, node: Node, operands: list[Value]) -> list[Value]:
    """The values of a side path: the usual ones where the condition does not hold."""
    condition, *values = operands
    rare, count = node.data
    return nest.emit.rarely(condition, rare, tuple(values[count:]), values[:count])


def _call(nest: Nest, node: Node, operands: list[Value]) -> Value:
    """The value of a function, in place or by code that the kernel's calls share."""
    call: Call = node.data
    lanes = max(v.lanes for v in operands)
    together = tuple(nest.emit.splat(v, lanes) for v in operands)
    if node.number in nest.shared:
        functions = nest.shared[node.number]
        return nest.emit.call_shared(functions, together)[functions.index(call.function)]
    return nest.emit.apply(call.function, together)


def _check(nest: Nest, node: Node) -> Value:
    """The condition of a check; where it fails, the fault is recorded on a side path."""
    emit = nest.emit
    ok, offending, linear = (nest.value(x) for x in node.operands[:3])
    active = nest.value(node.operands[3]) if len(node.operands) > 3 else None
    lanes = max(ok.lanes, active.lanes if active is not None else 1)
    ok = emit.splat(ok, lanes)
    bad = ~ok if active is None else ~ok & active

    def report() -> None:
        for lane in range(lanes):
            index, value, flag = (emit.extract(v, lane) for v in (linear, offending, bad))
            nest.frame.fail(node.data, index, value, flag)

    emit.if_(emit.any_lane(bad), report)
    return ok
