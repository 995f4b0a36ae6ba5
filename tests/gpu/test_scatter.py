"""Scatters on the emulated device: many warps, the order of the updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.emulation.libcuda import EmulatedCuda
from jitml.transforms.inline_calls import inline_calls
from tests.gpu.agreement import agree


class Row(NamedTuple):
    """A program, the shapes of its updates and indices, how many blocks it has at least."""

    function: Callable[..., Any]
    updates: tuple[int, ...]
    indices: tuple[tuple[int, ...], ...]
    blocks: int = 1
    dtype: str = "float32"


SCATTERS = {
    "numbers": Row(lambda u, i: jnp.zeros(10).at[i].add(u), (300,), ((300,),), 8),
    "rows": Row(lambda u, i: jnp.zeros((10, 40)).at[i].add(u), (100, 40), ((100,),), 4),
    "columns": Row(lambda u, i: jnp.ones((20, 10)).at[:, i].mul(u), (20, 50), ((50,),)),
    "the last one wins": Row(lambda u, i: jnp.zeros((10, 9)).at[i].set(u), (64, 9), ((64,),), 2),
    "the middle": Row(
        lambda u, i, j: jnp.zeros((10, 20, 10)).at[i, :, j].add(u), (50, 20), ((50,), (50,))
    ),
    "some dropped": Row(
        lambda u, i: jnp.zeros(7).at[i].max(u, mode="drop"), (90,), ((90,),), 2, "int16"
    ),
    "complex": Row(lambda u, i: jnp.zeros(10, u.dtype).at[i].add(u), (64,), ((64,),), 2, "c8"),
    "a batch": Row(
        lambda u, i: jitml.vmap(lambda u, i: jnp.zeros(10).at[i].add(u))(u, i), (5, 7), ((5, 7),)
    ),
    "a slice": Row(
        lambda u, i: jitml.lax.dynamic_update_slice(jnp.zeros((20, 20)), u, (i[0], i[1])),
        (5, 6), ((2,),),
    ),
    "slices that overlap": Row(
        lambda w, i: jitml.grad(
            lambda w: (jitml.vmap(lambda s: jitml.lax.dynamic_slice(w, (s,), (4,)))(i) ** 2).sum()
        )(w),
        (13,), ((40,),), 4,
    ),
    "an embedding": Row(
        lambda w, i: jitml.grad(lambda w: (jnp.tanh(w)[i] ** 2).sum())(w), (10, 33), ((70,),), 4
    ),
}  # fmt: skip


@pytest.mark.sampled
@pytest.mark.parametrize("name", SCATTERS)
def test_scatters_keep_the_order_of_their_updates(name: str, measured: EmulatedCuda) -> None:
    row = SCATTERS[name]
    random = np.random.default_rng(0)
    samples = [(random.standard_normal(row.updates) * 9).astype(row.dtype)]
    samples += [random.integers(0, 10, s).astype(np.int32) for s in row.indices]
    agree(inline_calls(jitml.make_graph(row.function)(*map(jnp.asarray, samples))), samples)
    assert max(launch.blocks for launch in measured.launches) >= row.blocks


def test_the_first_index_out_of_bounds_is_named(emulated: Any) -> None:
    indices = np.arange(200, dtype=np.int32) % 10
    indices[[70, 150]] = 33, 44
    with pytest.raises(IndexError, match="33"):
        np.asarray(jitml.jit(lambda i: jnp.zeros((10, 40)).at[i].add(1.0))(indices))
