"""Random programs, half of them under two transforms, on the emulated device: the CPU's bits.

JITML_GPU_PROGRAMS sets how many there are.
"""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest

from jitml.ir.verify import verify
from jitml.ops.elementwise import Bitcast
from jitml.transforms.inline_calls import inline_calls
from tests.fuzz.generate import random_arrays, random_graph, random_types
from tests.fuzz.transformed import TRANSFORMS, transform
from tests.gpu.agreement import agree

PROGRAMS = int(os.environ.get("JITML_GPU_PROGRAMS", "2"))
EQUATIONS = 15


@pytest.mark.parametrize("number", range(PROGRAMS))
def test_random_programs_have_the_bits_of_the_cpu(number: int, emulated: Any) -> None:
    random = Random(number)
    graph = verify(random_graph(random.randrange, random_types(random.randrange), EQUATIONS))
    if number % 2:
        pair = random.choice([(a, b) for a in TRANSFORMS for b in TRANSFORMS])
        graph = verify(transform(graph, *pair))
    if any(isinstance(eqn.op, Bitcast) for eqn in inline_calls(graph).eqns):
        pytest.skip("a GPU has other bits for what is no number")
    agree(inline_calls(graph), random_arrays(graph.input_types, number))
