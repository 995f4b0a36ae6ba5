"""Scatters on the emulated device: many warps, the order of the updates."""

from __future__ import annotations

import os
import re
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


# Sums of small whole numbers have the same bits in any order.
ANY_ORDER = {
    "numbers": Row(
        lambda u, i: jnp.zeros(10, u.dtype).at[i].add(u, order="any"), (300,), ((300,),)
    ),
    "rows": Row(lambda u, i: jnp.zeros((10, 8)).at[i].add(u, order="any"), (40, 8), ((40,),)),
    "in double": Row(
        lambda u, i: jnp.zeros(10, u.dtype).at[i].add(u, order="any"), (90,), ((90,),), 1, "float64"
    ),
    "in half": Row(
        lambda u, i: jnp.zeros(10, u.dtype).at[i].add(u, order="any"), (90,), ((90,),), 1, "float16"
    ),
    "in bfloat16": Row(
        lambda u, i: jnp.zeros(10, "bfloat16").at[i].add(u.astype("bfloat16"), order="any"),
        (90,), ((90,),),
    ),
    "complex": Row(
        lambda u, i: jnp.zeros(10, u.dtype).at[i].add(u, order="any"), (64,), ((64,),), 1, "c8"
    ),
    "whole numbers": Row(
        lambda u, i: jnp.zeros(10, u.dtype).at[i].add(u, order="any"), (90,), ((90,),), 1, "int32"
    ),
    "wide whole numbers": Row(
        lambda u, i: jnp.zeros(10, u.dtype).at[i].add(u, order="any"), (90,), ((90,),), 1, "int64"
    ),
    "the least": Row(
        lambda u, i: jnp.zeros(10, u.dtype).at[i].min(u, order="any"), (90,), ((90,),), 1, "int32"
    ),
    "the greatest without a sign": Row(
        lambda u, i: jnp.zeros(10, "uint64").at[i].max((u - 2).astype("uint64"), order="any"),
        (90,), ((90,),), 1, "int64",
    ),
    "some dropped": Row(
        lambda u, i: jnp.zeros(7).at[i].add(u, mode="drop", order="any"), (90,), ((90,),)
    ),
    "a batch": Row(
        lambda u, i: jitml.vmap(lambda u, i: jnp.zeros(10).at[i].add(u, order="any"))(u, i),
        (5, 7), ((5, 7),),
    ),
    "a tangent": Row(
        lambda u, i: jitml.jvp(lambda u: jnp.zeros(10).at[i].add(u, order="any"), (u,), (u,))[1],
        (90,), ((90,),),
    ),
    "a tangent of the greatest": Row(
        lambda u, i: jitml.jvp(lambda u: jnp.zeros(10).at[i].max(u, order="any"), (u,), (u,))[1],
        (90,), ((90,),),
    ),
    "of lax": Row(
        lambda u, i: jitml.lax.scatter_add(
            jnp.zeros(10), i[:, None], u, jitml.lax.ScatterDimensionNumbers((), (0,), (0,)),
            order="any",
        ),
        (90,), ((90,),),
    ),
    "segments": Row(lambda u, i: jitml.ops.segment_sum(u, i, 10, order="any"), (90,), ((90,),)),
    "gradient of a read": Row(
        lambda u, i: jitml.grad(lambda x: (x.at[i].get(order="any") * u).sum())(jnp.zeros(10)),
        (90,), ((90,),),
    ),
    "gradient of rows": Row(
        lambda u, i: jitml.grad(lambda x: (jnp.take(x, i, 0, order="any") * u).sum())(
            jnp.zeros((10, 8))
        ),
        (40, 8), ((40,),),
    ),
    "gradient of reads, of a batch": Row(
        lambda u, i: jitml.vmap(
            jitml.grad(lambda x, u, i: (x.at[i].get(order="any") * u).sum()), (None, 0, 0)
        )(jnp.zeros(10), u, i),
        (5, 20), ((5, 20),),
    ),
    "gradient along an axis": Row(
        lambda u, i: jitml.grad(
            lambda x: (jnp.take_along_axis(x, i, 1, order="any") * u).sum()
        )(jnp.zeros((3, 10))),
        (3, 20), ((3, 20),),
    ),
    "gradient of slices": Row(
        lambda u, i: jitml.grad(
            lambda x: (
                jitml.lax.gather(
                    x, i, jitml.lax.GatherDimensionNumbers((), (0,), (0,)), (1,), order="any"
                ) * u
            ).sum()
        )(jnp.zeros(10)),
        (30,), ((30, 1),),
    ),
    "gradient of the gradient of updates": Row(
        lambda u, i: jitml.grad(
            lambda t: (
                jitml.grad(lambda v: (jnp.zeros(10).at[i].add(v, order="any") * t).sum())(u) * u
            ).sum()
        )(jnp.zeros(10)),
        (30,), ((30,),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ANY_ORDER)
def test_in_any_order_updates_are_atomic(name: str, emulated: Any) -> None:
    row = ANY_ORDER[name]
    random = np.random.default_rng(0)
    samples = [random.integers(0, 4, row.updates).astype(row.dtype)]
    samples += [random.integers(0, 10, s).astype(np.int32) for s in row.indices]
    graph = inline_calls(jitml.make_graph(row.function)(*map(jnp.asarray, samples)))
    agree(graph, samples)
    kernels = jitml.aot(row.function, *map(jnp.asarray, samples), target="sm_90").kernels
    atomic = re.findall(r"\batom\.global\.(add|min|max)\S*\.(\w+)", "".join(k.ptx for k in kernels))
    assert set(atomic) - {("min", "u64")}, atomic  # that is also how a failed check is told


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("kind", ["set", "add", "multiply", "max"])
def test_unique_updates_are_written_at_once(kind: str, dtype: str, measured: EmulatedCuda) -> None:
    is_complex = dtype == "complex64"
    if is_complex and kind == "max":
        pytest.skip("complex numbers have no order")

    def update(u: Any, i: Any) -> Any:
        return getattr(jnp.ones((40, 64), dtype).at[i], kind)(u, unique_indices=True)

    random = np.random.default_rng(0)
    samples = [(random.standard_normal((20, 64)) * (1 + 2j if is_complex else 1)).astype(dtype)]
    samples.append(random.permutation(40)[:20].astype(np.int32))
    agree(inline_calls(jitml.make_graph(update)(*map(jnp.asarray, samples))), samples)
    last = measured.launches[-1]
    assert last.counts.widest_access == (4 if is_complex else 16)
    assert not last.counts.instructions["vote.sync.ballot.b32"]


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_slices_of_a_batch_are_written_at_once(dtype: str, emulated: Any) -> None:
    def update(x: Any, u: Any, i: Any) -> Any:
        return jitml.vmap(lambda x, u, i: jitml.lax.dynamic_update_slice(x, u, (i, 0)))(x, u, i)

    samples = [np.zeros((3, 10, 8)), np.arange(48).reshape(3, 2, 8) * (1 + 2j)]
    samples = [x.real.astype(dtype) if dtype == "float32" else x.astype(dtype) for x in samples]
    samples.append(np.array([1, 0, 5], np.int32))
    agree(inline_calls(jitml.make_graph(update)(*map(jnp.asarray, samples))), samples)


def test_kinds_without_an_atomic_instruction_keep_their_order(emulated: Any) -> None:
    updates = np.arange(60, dtype=np.float32)
    indices = np.arange(60, dtype=np.int32) % 7
    found = jnp.zeros(7).at[indices].set(updates, order="any")
    np.testing.assert_array_equal(np.asarray(found), [56, 57, 58, 59, 53, 54, 55])


def test_bfloat16_keeps_its_order_on_older_gpus() -> None:
    shapes = [jitml.ShapeDtypeStruct((90,), "bfloat16"), jitml.ShapeDtypeStruct((90,), "int32")]

    def update(u: Any, i: Any) -> Any:
        return jnp.zeros(10, "bfloat16").at[i].add(u, order="any")

    for target, is_atomic in (("sm_80", False), ("sm_89", False), ("sm_90", True)):
        kernels = jitml.aot(update, *shapes, target=target).kernels
        added = re.search(r"atom\.\S*add\S*\.bf16", "".join(k.ptx for k in kernels))
        assert bool(added) is is_atomic, target


def test_atomic_sums_of_float32_lose_what_is_too_small_to_be_normal(emulated: Any) -> None:
    if os.environ.get("JITML_GPU_RUNG") == "threads":
        pytest.skip("this processor's atomic additions keep them")
    small, zeros = np.float32(1e-40), np.zeros(3, np.int32)
    kept = jnp.zeros(1).at[zeros].add(jnp.full(3, small))
    lost = jnp.zeros(1).at[zeros].add(jnp.full(3, small), order="any")
    assert np.asarray(kept)[0] > 0 and np.asarray(lost)[0] == 0


def test_an_order_that_is_none_is_refused() -> None:
    with pytest.raises(jitml.errors.ArgumentError, match="sideways"):
        jnp.zeros(3).at[jnp.array([0])].add(1.0, order="sideways")


@pytest.mark.parametrize("name", ["take", "take_along_axis", "at.get", "gather"])
def test_reads_refuse_an_order_that_is_none(name: str) -> None:
    x, i, order = jnp.zeros(3), jnp.array([0]), {"order": "sideways"}
    numbers = jitml.lax.GatherDimensionNumbers((), (0,), (0,))
    reads: dict[str, Callable[[], Any]] = {
        "take": lambda: jnp.take(x, i, **order),
        "take_along_axis": lambda: jnp.take_along_axis(x, i, 0, **order),
        "at.get": lambda: x.at[i].get(**order),
        "gather": lambda: jitml.lax.gather(x, i[:, None], numbers, (1,), **order),
    }
    with pytest.raises(jitml.errors.ArgumentError, match=rf"{name}: there is no order 'sideways'"):
        reads[name]()


def test_gradients_of_reads_keep_their_order_unless_told(emulated: Any) -> None:
    """The default is the bits of the CPU, which any order does not promise."""
    shapes = [jitml.ShapeDtypeStruct((90,), "float32"), jitml.ShapeDtypeStruct((90,), "int32")]

    def gradient(u: Any, i: Any) -> Any:
        return jitml.grad(lambda x: (x[i] * jnp.take(x, i) * u).sum())(jnp.zeros(10))

    kernels = jitml.aot(gradient, *shapes, target="sm_90").kernels
    assert not re.search(r"\bred\.|\batom\.global\.add", "".join(k.ptx for k in kernels))


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
    for options in ({}, {"order": "any"}):

        def add(i: Any, options: Any = options) -> Any:
            return jnp.zeros((10, 40)).at[i].add(1.0, **options)

        with pytest.raises(IndexError, match="33"):
            np.asarray(jitml.jit(add)(indices))
