"""What a graph costs: floating-point operations and bytes, counted from its equations."""

from __future__ import annotations

import math

from jitml.ir.dtypes import is_complex
from jitml.ir.graph import Eqn, Graph
from jitml.ir.nested import nested_graphs


def flop_count(graph: Graph) -> float:
    """Arithmetic operations: two for each multiply-add of a product, one for each element
    elsewhere.
    """
    return float(sum(_eqn_flops(eqn) for eqn in graph.eqns))


def _eqn_flops(eqn: Eqn) -> float:
    # Only who asks for costs needs these modules.
    from jitml.ops.cond import Cond
    from jitml.ops.contraction import DotGeneral
    from jitml.ops.control import Control
    from jitml.ops.kinds import Elementwise, Reduction

    op = eqn.op
    if isinstance(op, Control):  # the dearest branch; of a loop of unknown length, one step
        inside = [flop_count(graph) for graph in nested_graphs(op)]
        return max(inside) if isinstance(op, Cond) else sum(inside) * getattr(op, "length", 1)
    if isinstance(op, DotGeneral):
        x = eqn.inputs[0].type
        _, _, contract = op.canonical(x, eqn.inputs[1].type)[0]
        depth = math.prod(x.shape[a] for a in contract)
        return 2 * depth * eqn.outputs[0].type.size * (4 if is_complex(x.dtype) else 1)
    if isinstance(op, Elementwise):
        return eqn.outputs[0].type.size
    return eqn.inputs[0].type.size if isinstance(op, Reduction) else 0


def bytes_accessed(graph: Graph) -> float:
    """Bytes of the graph's inputs and outputs: the least that a run must move."""
    inputs = sum(v.type.size_bytes for v in graph.inputs)
    outputs = {a: a.type.size_bytes for a in graph.outputs}
    return float(inputs + sum(outputs.values()))
