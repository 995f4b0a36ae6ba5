"""The memory plan: what is alive at the same time never shares bytes.

Lives are counted here from the finished plan alone: from the first to the last instruction that
names a buffer, both included, so that a kernel's output is kept apart from all that it reads.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitml.codegen import plan as planning
from jitml.codegen.fuse import fuse
from jitml.codegen.plan import make_plan
from jitml.codegen.target import host
from jitml.ir.graph import Graph
from jitml.pipeline.passes import PASSES
from jitml.transforms.runner import run_passes
from jitml_runtime import Branch, Copy, Instruction, Loop, Plan, Step
from tests.fuzz.generate import random_graph, random_types

EQUATIONS = 12


def random_program(seed: int) -> Graph:
    draw = random.Random(seed).randrange
    return run_passes(random_graph(draw, random_types(draw), EQUATIONS), PASSES).graph


def plans(graph: Graph) -> Iterator[Plan]:
    """Of the fused graph, and of one with a kernel for each equation: that has more buffers."""
    for separately in (False, True):
        yield make_plan(graph, fuse(graph, separately), host(), graph.output_types).plan


def lives(plan: Plan) -> dict[int, tuple[int, int]]:
    """The first and the last step that need each temporary buffer: those that name it, and the
    whole of a loop that carries it, or that it is alive around.
    """
    found: dict[int, tuple[int, int]] = {}
    for place, step in enumerate(plan.instructions):
        for number in named(step):
            while plan.buffers[number].kind == "moving":
                number = plan.buffers[number].index
            if plan.buffers[number].kind == "temp":
                found[number] = (found.get(number, (place,))[0], place)
        ended = [loop for loop in loops(plan) if loop.condition_end == place + 1]
        for loop in ended:  # its predicate is read here
            if loop.predicate in found:
                found[loop.predicate] = (found[loop.predicate][0], place)
    for place, step in reversed(list(enumerate(plan.instructions))):
        if isinstance(step, Loop):
            carried = {number for pair in step.carries for number in pair}
            for number, (first, last) in found.items():
                is_within = place < first and last < step.end
                if number in carried or (not is_within and first < step.end and place <= last):
                    found[number] = (min(first, place), max(last, step.end - 1))
    return found


def loops(plan: Plan) -> list[Loop]:
    return [step for step in plan.instructions if isinstance(step, Loop)]


def named(step: Step) -> Sequence[int]:
    """The buffers that a step reads and writes itself."""
    if isinstance(step, Instruction):
        return step.buffers
    if isinstance(step, Copy):
        return (step.source, step.target)
    if isinstance(step, Branch):
        return (step.index,)
    assert isinstance(step, Loop)
    return (*step.moving, *(number for pair in step.carries for number in pair))


def conflicts(plan: Plan) -> list[tuple[int, int]]:
    """Pairs of temporary buffers that are alive together and share bytes."""
    alive, found = lives(plan), []
    for a, b in combinations(alive, 2):
        together = max(alive[a][0], alive[b][0]) <= min(alive[a][1], alive[b][1])
        if together and shares_bytes(plan, a, b):
            found.append((a, b))
    return found


def shares_bytes(plan: Plan, a: int, b: int) -> bool:
    first, second = plan.buffers[a], plan.buffers[b]
    ends = first.offset + first.size_bytes, second.offset + second.size_bytes
    return max(first.offset, second.offset) < min(ends)


@settings(max_examples=40, deadline=None, database=None)
@given(st.integers(0, 1 << 32))
def test_buffers_that_live_together_share_no_byte(seed: int) -> None:
    for plan in plans(random_program(seed)):
        assert not conflicts(plan)
        ends = [plan.buffers[k].offset + plan.buffers[k].size_bytes for k in lives(plan)]
        assert max(ends, default=0) <= plan.arena_bytes


def test_buffers_do_share_memory() -> None:
    """Else the test above would find nothing whatever the planner did."""
    sharing = 0
    for seed in range(8):
        for plan in plans(random_program(seed)):
            sharing += any(shares_bytes(plan, a, b) for a, b in combinations(lives(plan), 2))
    assert sharing >= 4


def test_a_buffer_freed_too_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    place = planning.Planner._place_temps

    def too_early(planner: planning.Planner) -> int:
        for temp in planner.temps.values():
            temp.last = max(temp.first, temp.last - 1)
        return place(planner)

    monkeypatch.setattr(planning.Planner, "_place_temps", too_early)
    assert any(conflicts(plan) for seed in range(8) for plan in plans(random_program(seed)))
