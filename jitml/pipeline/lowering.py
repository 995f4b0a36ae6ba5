"""From a graph to its program: the passes, fusion, kernels' texts and the plan.

Imports all of the code generator, so it is imported when a graph must be lowered, not before.
"""

from __future__ import annotations

from jitml.codegen.fuse import fuse
from jitml.codegen.nvptx.target import TRIPLE
from jitml.codegen.plan import Program, make_plan
from jitml.codegen.target import Target
from jitml.ir.graph import Atom, Graph
from jitml.ops.layout import Reshape
from jitml.pipeline.passes import PASSES
from jitml.transforms.dce import dce
from jitml.transforms.runner import run_passes
from jitml_runtime.record import replace


def lower(
    graph: Graph, target: Target, donated: tuple[int, ...] = (), joins: bool = True
) -> Program:
    """The program of a graph for `target`, before machine code; if it `joins`, kernels may call
    kernels by address.
    """
    if target.triple == TRIPLE:
        from jitml.codegen.nvptx.attention import keep_attention
        from jitml.codegen.nvptx.library import ask_libraries

        graph = ask_libraries(keep_attention(graph))
    graph = run_passes(graph, PASSES).graph
    types = graph.output_types
    graph = returning_inputs(graph)
    if target.triple == TRIPLE:
        from jitml.codegen.nvptx.plan import make_device_plan

        return make_device_plan(graph, fuse(graph, for_threads=True), target, types, donated)
    return make_plan(graph, fuse(graph), target, types, donated, joins)


def returning_inputs(graph: Graph) -> Graph:
    """The graph with inputs themselves as the outputs that are inputs in another shape: the runtime
    shares their memory.
    """
    origins: dict[Atom, Atom] = {}
    for eqn in graph.eqns:
        if isinstance(eqn.op, Reshape):
            origins[eqn.outputs[0]] = origins.get(eqn.inputs[0], eqn.inputs[0])
    inputs = set(graph.inputs)
    outputs = tuple([origins[a] if origins.get(a) in inputs else a for a in graph.outputs])
    return graph if outputs == graph.outputs else dce(replace(graph, outputs=outputs))
