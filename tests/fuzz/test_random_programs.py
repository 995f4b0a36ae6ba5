"""Random programs: compiled whole they equal eager bit for bit, with one thread and with two.

Half of them run under two nested transforms. JITML_FUZZ_PROGRAMS sets how many programs there are.
One that fails is cut down and left as text in the system's folder for temporary files.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import jitml.ops
from jitml.ir.graph import Graph
from jitml.ir.op import Op
from jitml.ir.verify import verify
from tests.fuzz.check import check_program, shrink, small_chunks
from tests.fuzz.generate import ALL_STEPS, random_arrays, random_graph, random_types
from tests.fuzz.steps import ONCE_DIFFERENTIABLE
from tests.fuzz.transformed import TRANSFORMS, transform

PROGRAMS = int(os.environ.get("JITML_FUZZ_PROGRAMS", "16"))
SHARD = 8  # programs of one test
EQUATIONS = 15
FAILED = Path(tempfile.gettempdir()) / "jitml_random_program.ir"
_PAIRS = tuple((a, b) for a in TRANSFORMS for b in TRANSFORMS)


def programs(shard: int) -> list[Graph]:
    """Eight programs of at least 15 equations; every second one is under two nested transforms."""
    found: list[Graph] = []

    @seed(shard)
    @settings(
        max_examples=SHARD,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=True))
    def draw(random: Random) -> None:
        graph = verify(random_graph(random.randrange, random_types(random.randrange), EQUATIONS))
        if len(found) % 2:
            graph = verify(transform(graph, *_PAIRS[random.randrange(len(_PAIRS))]))
        found.append(graph)

    draw()
    return found


def run(graph: Graph) -> None:
    check_program(graph, random_arrays(graph.input_types, 0))


def fails(graph: Graph) -> bool:
    try:
        run(graph)
    except Exception:
        return True
    return False


@pytest.mark.parametrize("shard", range(-(-PROGRAMS // SHARD)))
def test_compiled_programs_equal_eager(shard: int) -> None:
    with small_chunks():
        for graph in programs(shard):
            if fails(graph):
                FAILED.write_text(str(shrink(graph, fails)))
                run(graph)


@pytest.mark.skipif(PROGRAMS < 500, reason="few programs do not have every op")
def test_every_op_occurs(capsys: pytest.CaptureFixture[str]) -> None:
    """The same programs, counted only."""
    graphs = [graph for shard in range(-(-PROGRAMS // SHARD)) for graph in programs(shard)]
    counts = Counter(eqn.op.name for graph in graphs for eqn in graph.eqns)
    with capsys.disabled():
        print(f"\n{len(graphs)} random programs: {dict(sorted(counts.items()))}")
    assert len(graphs) >= PROGRAMS
    assert min(len(graph.eqns) for graph in graphs) >= EQUATIONS
    rare = {name: counts[name] for name in ALL_STEPS if counts[name] < 20}
    assert not rare, f"ops that occur too seldom: {rare}"


def test_every_op_has_a_step() -> None:
    for module in pkgutil.walk_packages(jitml.ops.__path__, "jitml.ops."):
        importlib.import_module(module.name)
    by_passes = {"partial", "combine", "lanes", "barrier", "while_tangents", "window_product",
                 "grid_attention"}  # fmt: skip
    by_names = {"all_gather", "all_reduce", "all_to_all", "axis_index", "ppermute"}
    by_rules = {"custom_call", "custom_pullback", "custom_tangents", "checkpoint",
                "linear_checkpoint", "checkpoint_name"}  # fmt: skip
    by_users = {"attention", "check", "debug_callback", "io_callback", "key_use", "native_call",
                "observe", "pure_callback"}  # fmt: skip
    own = {name for name, op in Op.registry.items() if _module(op).startswith("jitml.")}
    # What libraries compute has no bits to compare, and random matrices are ill-conditioned.
    libraries = ("jitml.ops.linalg", "jitml.ops.fft", "jitml.ops.library")
    own -= {name for name, op in Op.registry.items() if _module(op).startswith(libraries)}
    own -= ONCE_DIFFERENTIABLE
    assert own - by_passes - by_names - by_rules - by_users == set(ALL_STEPS)


def _module(op: Op | type[Op]) -> str:
    return (op if isinstance(op, type) else type(op)).__module__
