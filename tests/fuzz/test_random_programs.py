"""Random programs: compiled whole they equal eager bit for bit, with one thread and with two.

Half of them run under two nested transforms. JITML_FUZZ_PROGRAMS sets how many programs there are.
One that fails is cut down and left as text in the system's folder for temporary files.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jitml.ir.graph import Graph
from jitml.ir.verify import verify
from tests.fuzz.check import check_program, shrink, small_chunks
from tests.fuzz.generate import NAMES, random_arrays, random_graph, random_types
from tests.fuzz.transformed import TRANSFORMS, transform

PROGRAMS = int(os.environ.get("JITML_FUZZ_PROGRAMS", "16"))
EQUATIONS = 15
FAILED = Path(tempfile.gettempdir()) / "jitml_random_program.ir"
_PAIRS = tuple((a, b) for a in TRANSFORMS for b in TRANSFORMS)


def program(random: Random, is_transformed: bool) -> Graph:
    """A program of at least 15 equations, under two transforms or none."""
    graph = verify(random_graph(random.randrange, random_types(random.randrange), EQUATIONS))
    if not is_transformed:
        return graph
    return verify(transform(graph, *_PAIRS[random.randrange(len(_PAIRS))]))


def run(graph: Graph, is_transformed: bool) -> None:
    """The checks; equations of derivatives, whose arguments can be anything, are not held against
    NumPy.
    """
    check_program(graph, random_arrays(graph.input_types, 0), not is_transformed)


def fails(graph: Graph, is_transformed: bool) -> bool:
    try:
        run(graph, is_transformed)
    except Exception:
        return True
    return False


def test_compiled_programs_equal_eager(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()

    @settings(
        max_examples=PROGRAMS,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False), st.booleans())
    def check(random: Random, is_transformed: bool) -> None:
        graph = program(random, is_transformed)
        counts.update(eqn.op.name for eqn in graph.eqns)
        if fails(graph, is_transformed):
            FAILED.write_text(str(shrink(graph, lambda part: fails(part, is_transformed))))
            run(graph, is_transformed)

    with small_chunks():
        check()
    with capsys.disabled():
        print(f"\n{PROGRAMS} random programs: {dict(sorted(counts.items()))}")
    if PROGRAMS >= 500:
        rare = {name: counts[name] for name in NAMES if counts[name] < 20}
        assert not rare, f"ops that occur too seldom: {rare}"
