"""How much there is to compute in a graph, counted from its equations."""

from __future__ import annotations

import math
from collections.abc import Callable

from jitml.ir.dtypes import is_complex
from jitml.ir.graph import Eqn, Graph
from jitml.ir.nested import nested_graphs
from jitml.ir.op import Op
from jitml.ops.cond import Cond
from jitml.ops.contraction import DotGeneral
from jitml.ops.control import Control
from jitml.ops.kinds import Elementwise, Reduction

Weight = Callable[[Op], int]


def operation_count(graph: Graph, weight: Weight = lambda op: 1) -> float:
    """Arithmetic operations: two for each multiply-add of a product, one for each element
    elsewhere, or as many as the `weight` of its op says.

    Of a conditional the dearest branch counts, of a loop of unknown length one step.
    """
    return float(sum(_eqn_count(eqn, weight) for eqn in graph.eqns))


def _eqn_count(eqn: Eqn, weight: Weight) -> float:
    op = eqn.op
    if isinstance(op, Control):
        inside = [operation_count(graph, weight) for graph in nested_graphs(op)]
        return max(inside) if isinstance(op, Cond) else sum(inside) * getattr(op, "length", 1)
    if op.has_rule:
        return sum(operation_count(graph, weight) for graph in nested_graphs(op))
    if isinstance(op, DotGeneral):
        x = eqn.inputs[0].type
        _, _, contract = op.canonical(x, eqn.inputs[1].type)[0]
        depth = math.prod(x.shape[a] for a in contract)
        return 2 * depth * eqn.outputs[0].type.size * (4 if is_complex(x.dtype) else 1)
    if isinstance(op, Elementwise):
        return eqn.outputs[0].type.size * weight(op)
    return eqn.inputs[0].type.size if isinstance(op, Reduction) else 0
