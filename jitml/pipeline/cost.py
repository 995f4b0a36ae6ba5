"""What a graph costs: floating-point operations and bytes, counted from its equations."""

from __future__ import annotations

from jitml.ir.graph import Graph


def flop_count(graph: Graph) -> float:
    """Arithmetic operations: two for each multiply-add of a product, one for each element
    elsewhere.
    """
    from jitml.ops.cost import operation_count  # only who asks for costs needs it

    return operation_count(graph)


def bytes_accessed(graph: Graph) -> float:
    """Bytes of the graph's inputs and outputs: the least that a run must move."""
    inputs = sum(v.type.size_bytes for v in graph.inputs)
    outputs = {a: a.type.size_bytes for a in graph.outputs}
    return float(inputs + sum(outputs.values()))
