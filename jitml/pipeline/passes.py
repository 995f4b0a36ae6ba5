"""The pipeline: the passes that a graph goes through before it is fused into kernels, in order."""

from __future__ import annotations

from jitml.codegen.expand import expand
from jitml.ir.graph import Eqn, Graph, Literal, Var
from jitml.ir.nested import map_nested, nested_graphs
from jitml.ir.source import Source
from jitml.ops.attention import Attention
from jitml.ops.layout import BroadcastInDim
from jitml.trace.inline import rewritten
from jitml.transforms.compact import compact
from jitml.transforms.cse import cse
from jitml.transforms.dce import dce
from jitml.transforms.hoist import hoist
from jitml.transforms.in_step import in_step
from jitml.transforms.inline_calls import drop_barriers, inline_calls
from jitml.transforms.loop_updates import loop_updates
from jitml.transforms.merge_scans import merge_scans
from jitml.transforms.prune import prune
from jitml.transforms.ranges import ranges
from jitml.transforms.runner import Pass, run_passes
from jitml.transforms.simplify import simplify
from jitml.transforms.windows import windows
from jitml_runtime.record import replace


def store_literals(graph: Graph) -> Graph:
    """Give outputs that are literals an equation, since every output is stored by a kernel.

    Before: `return 2.0:f32[]`. After: `%c = broadcast_in_dim 2.0:f32[]; return %c`.
    """
    added: dict[Literal, Eqn] = {}
    for atom in graph.outputs:
        if isinstance(atom, Literal) and atom not in added:
            added[atom] = Eqn(BroadcastInDim((), ()), (atom,), (Var(atom.type),))
    if not added:
        return graph
    outputs = tuple(added[a].outputs[0] if isinstance(a, Literal) else a for a in graph.outputs)
    return Graph(graph.name, graph.inputs, (*graph.eqns, *added.values()), outputs)


def tile_attention(graph: Graph) -> Graph:
    """Put the bodies of attention in its place, where it has no kernel.

    Before: `%o, %t, %s = attention %q %k %v %p`. After: `%o, %t, %s = scan %p … with body = …`.
    """
    if not any(isinstance(eqn.op, Attention) for eqn in graph.eqns):
        return graph
    return rewritten(graph, lambda e: e.op.expand if isinstance(e.op, Attention) else None)


def inside(graph: Graph) -> Graph:
    """Take the graphs inside of equations, bodies and branches, through all passes."""
    if not any(any(nested_graphs(eqn.op)) for eqn in graph.eqns):
        return graph
    return graph.with_eqns(list(map(_run_inside, graph.eqns)))


def _run_inside(eqn: Eqn) -> Eqn:
    return replace(eqn, op=map_nested(eqn.op, lambda g: _placed(run_all(g), eqn.source)))


def _placed(graph: Graph, source: Source) -> Graph:
    """The graph, what no line has made (a number that is an output) at that of the op around it."""
    if all(eqn.source for eqn in graph.eqns):
        return graph
    return graph.with_eqns([e if e.source else replace(e, source=source) for e in graph.eqns])


def run_all(graph: Graph) -> Graph:
    """The graph after all passes."""
    return run_passes(graph, PASSES).graph


PASSES: tuple[Pass, ...] = (
    inline_calls,
    tile_attention,
    dce,
    simplify,
    cse,
    merge_scans,
    compact,
    windows,
    in_step,
    hoist,
    loop_updates,
    expand,
    ranges,
    simplify,
    cse,
    dce,
    drop_barriers,
    prune,
    inside,
    store_literals,
)
