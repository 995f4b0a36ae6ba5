"""Dead code elimination."""

from __future__ import annotations

from jitml.ir.dependencies import live_eqns
from jitml.ir.graph import Graph


def dce(graph: Graph) -> Graph:
    """Drop the equations whose results nobody uses; inputs stay.

    Before: `graph f(%x) { %y = sin %x; %z = cos %x; return %z }`
    After:  `graph f(%x) { %z = cos %x; return %z }`
    """
    return graph.with_eqns(live_eqns(graph.eqns, graph.outputs))
