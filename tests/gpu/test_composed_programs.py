"""Composed derivatives and vmaps of small programs, on the emulated device: the CPU's bits.

JITML_GPU=all runs all of them; else a few.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
from jitml.transforms.inline_calls import inline_calls
from tests.gpu.agreement import agree
from tests.transforms.programs import Of, Ops, Ours, pairs

ALL = list(pairs(6))
CHOSEN = ALL if os.environ.get("JITML_GPU") == "all" else ALL[::29]


def test_programs_are_enough() -> None:
    assert len({name for name, *_ in ALL}) >= 60


@pytest.mark.parametrize(
    ("program", "transform", "x"), [pytest.param(*pair, id=name) for name, *pair in CHOSEN]
)
def test_composed_programs_have_the_bits_of_the_cpu(
    program: Callable[[Any, Any], Any], transform: Of, x: Any, emulated: Any
) -> None:
    traced = jitml.jit(transform(Ours, lambda v: program(Ops(), v))).trace(x)
    captured = traced.entry.hidden_values()
    assert captured is not None
    agree(inline_calls(traced.graph), [x, *map(np.asarray, captured)])
