"""Each pass on small graphs, against text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import golden
import pytest

import jitml
import jitml.ops.collectives  # these ops register themselves for the parser
import jitml.ops.contraction
import jitml.ops.movement
import jitml.ops.reduction
from jitml.ir.graph import Graph
from jitml.trace.inline import inline
from jitml.transforms.batch import batch
from jitml.transforms.cse import cse
from jitml.transforms.dce import dce
from jitml.transforms.functionalize import functionalize
from jitml.transforms.hoist import hoist
from jitml.transforms.jvp import jvp
from jitml.transforms.linearize import linearize
from jitml.transforms.loop_updates import loop_updates
from jitml.transforms.merge_scans import merge_scans
from jitml.transforms.partial_eval import partial_eval
from jitml.transforms.ranges import ranges
from jitml.transforms.simplify import simplify
from jitml.transforms.transpose import transpose

Graphs = tuple[Graph, ...]


def remat(graph: Graph, policy: str) -> Graphs:
    """The derivative of a checkpointed call: what runs before (if anything of it is kept), and the
    linear part, which computes the rest again.
    """
    kept = getattr(jitml.checkpoint_policies, policy)
    function = jitml.checkpoint(lambda *xs: inline(graph, xs), policy=kept)
    types = [jitml.ShapeDtypeStruct(t.shape, t.dtype) for t in graph.input_types]
    recorded = jitml.make_graph(function)(*types)
    found = linearize(recorded, (True,) * len(types)).graph
    bodies: list[Graph] = [eqn.op.body for eqn in found.eqns]  # type: ignore[attr-defined]
    return tuple(bodies)


APPLY: dict[str, Callable[..., Graphs]] = {
    "batch": lambda g, size, axes, name=None: (batch(g, size, axes, name).graph,),
    "cse": lambda g: (cse(g),),
    "merge_scans": lambda g: (merge_scans(g),),
    "dce": lambda g: (dce(g),),
    "hoist": lambda g: (hoist(g),),
    "functionalize": lambda g, kinds: (functionalize(g, kinds).graph,),
    "jvp": lambda g, has_tangent: (jvp(g, has_tangent).graph,),
    "linearize": lambda g, has_tangent: (linearize(g, has_tangent).graph,),
    "loop_updates": lambda g: (loop_updates(g),),
    "ranges": lambda g: (dce(ranges(g)),),
    "partial_eval": lambda g, known: partial_eval(g, known)[:2],
    "remat": remat,
    "simplify": lambda g: (simplify(g),),
    "transpose": lambda g, linear: (transpose(g, linear).graph,),
}
CASES = [(name, path) for name in APPLY for path in golden.cases(name)]


@pytest.mark.parametrize(("name", "path"), CASES, ids=lambda x: getattr(x, "stem", x))
def test_golden(name: str, path: Path, update_golden: bool) -> None:
    golden.check(path, APPLY[name], update_golden)


def test_a_file_without_its_second_part_fails(tmp_path: Path) -> None:
    path = tmp_path / "case.ir"
    path.write_text("graph f(%x: f32[]) {\n  return %x\n}\n")
    with pytest.raises(AssertionError):
        golden.check(path, APPLY["dce"], update=False)


def test_the_folder_has_no_other_passes() -> None:
    named: set[Any] = {p.name for p in golden.FOLDER.iterdir() if p.is_dir()}
    assert set(APPLY) <= named
