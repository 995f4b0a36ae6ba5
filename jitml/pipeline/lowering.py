"""From a graph to its program: the passes, fusion, kernels' texts and the plan.

Imports all of the code generator, so it is imported when a graph must be lowered, not before.
"""

from __future__ import annotations

from jitml.codegen.fuse import fuse
from jitml.codegen.nvptx.target import TRIPLE
from jitml.codegen.plan import Program, make_plan
from jitml.codegen.target import Target
from jitml.ir.graph import Graph
from jitml.pipeline.passes import PASSES
from jitml.transforms.runner import run_passes


def lower(
    graph: Graph, target: Target, donated: tuple[int, ...] = (), joins: bool = True
) -> Program:
    """The program of a graph for `target`, before machine code; if it `joins`, kernels may call
    kernels by address.
    """
    graph = run_passes(graph, PASSES).graph
    if target.triple == TRIPLE:
        from jitml.codegen.nvptx.plan import make_device_plan

        return make_device_plan(graph, fuse(graph), target, donated)
    return make_plan(graph, fuse(graph), target, donated, joins)
