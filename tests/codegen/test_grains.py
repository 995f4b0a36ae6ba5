"""Chunks of work are equal, so that threads end together."""

from __future__ import annotations

import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen.special import CHUNK_COST, chunk_grain, even_grain
from jitml.pipeline.compile import lower_graph


@pytest.mark.parametrize("units", [2, 3, 7, 100, 1000])
@pytest.mark.parametrize("chunks", [1, 2, 3, 4, 5, 7, 1000])
def test_chunks_are_equal_and_two_threads_have_as_many(units: int, chunks: int) -> None:
    grain = even_grain(units, chunks)
    found = -(-units // grain)
    assert 1 <= found <= chunks + 1
    if chunks == 1:
        assert found == 1
    elif units >= 1000 and chunks <= 7:
        assert found % 2 == 0
        last = units - grain * (found - 1)
        assert last > grain * 0.9


def test_little_work_is_one_chunk() -> None:
    assert chunk_grain(100, 2 * CHUNK_COST - 1) == 0
    assert chunk_grain(1, 100 * CHUNK_COST) == 0
    assert chunk_grain(100, 2 * CHUNK_COST) == 50
    assert chunk_grain(100, 3 * CHUNK_COST) == 25


def test_transforms_are_shared_out_evenly() -> None:
    graph = jitml.make_graph(jnp.fft.rfft)(jnp.zeros((256, 4096), "float32"))
    (step,) = lower_graph(graph).plan.instructions
    chunks = -(-step.extent // step.grain)
    assert chunks % 2 == 0
    assert chunks * step.grain == step.extent
