"""Kernels that sort, in each of their ways, give what the op means, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from oracle import to_array

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.codegen.emit import KernelText
from jitml.codegen.sorting.coding import Coding
from jitml.codegen.sorting.columns import columns_kernel
from jitml.codegen.sorting.lanes import lanes_kernel
from jitml.codegen.sorting.lines import Lines
from jitml.codegen.sorting.merge import merge_kernel
from jitml.codegen.sorting.radix import radix_kernel
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ops.sort import Sort
from jitml.ops.top_k import TopK
from jitml.pipeline.compile import Compiled, lower_graph

_SPECIAL = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0, -1.0]
_DTYPES = ["?", "i1", "u1", "i2", "u4", "i4", "i8", "u8", "f4", "f8", "e", "bfloat16", "F", "D"]


def _array(random: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> Any:
    kind = np.dtype(dtype) if dtype != "bfloat16" else np.dtype(ml_dtypes.bfloat16)
    if kind.kind in "FDc":
        real, imaginary = (_array(random, "f8", shape) for _ in range(2))
        result = np.empty(shape, np.complex128)
        result.real, result.imag = real, imaginary
        return result.astype(kind)
    if kind.kind in "iu" and random.random() < 0.5:
        limits = np.iinfo(kind)
        return random.integers(limits.min, limits.max, shape, kind, endpoint=True)
    if kind.kind in "biu":
        return random.integers(0, 2 if kind.kind == "b" else 9, shape).astype(kind)
    numbers = random.standard_normal(shape)
    special = random.random(shape) < random.choice([0.0, 0.02, 0.9])
    return np.where(special, random.choice(_SPECIAL, shape), numbers).astype(kind)


def _sorted(arrays: list[Any], axis: int, num_keys: int = 1) -> None:
    wanted = Sort(axis, True, num_keys).value(*arrays)
    found = jitml.jit(lambda *xs: tuple(lax.sort(list(xs), dimension=axis, num_keys=num_keys)))(
        *map(jnp.asarray, arrays)
    )
    for w, f in zip(wanted, found, strict=True):
        assert np.asarray(f).tobytes() == w.tobytes(), [(x.dtype, x.shape) for x in arrays]


def _cases() -> Iterator[tuple[str, tuple[int, ...], int]]:
    shapes = [((1100,), 0), ((3, 600), 1), ((40, 37), 1), ((37, 40), 0), ((2, 33, 5), 1), ((9,), 0)]
    for number, dtype in enumerate(_DTYPES):
        yield dtype, *shapes[number % len(shapes)]
        yield dtype, *shapes[(number + 3) % len(shapes)]


@pytest.mark.parametrize(("dtype", "shape", "axis"), list(_cases()))
def test_a_sort_is_its_value(dtype: str, shape: tuple[int, ...], axis: int) -> None:
    random = np.random.default_rng([len(shape), ord(dtype[0])])
    x, y = _array(random, dtype, shape), _array(random, "i4", shape)
    _sorted([x], axis)
    _sorted([x, y], axis)
    _sorted([y, x, y], axis, 2)


@pytest.mark.parametrize("extent", [8193, 20_000, 40_000, 57_000])
def test_runs_are_merged_two_pairs_at_a_time(extent: int) -> None:
    """Lines of several blocks, so that there are levels with one pair or one run beside the
    others.
    """
    random = np.random.default_rng(extent)
    for dtype in ("u4", "i8"):
        _sorted([random.integers(0, 1 << 31, extent).astype(dtype)], 0)
        _sorted([np.arange(extent, 0, -1).astype(dtype), np.arange(extent)], 0)


def _by_lanes(lines: Lines, target: Target) -> KernelText:
    return lanes_kernel(Coding(lines, target), target)


def _by_columns(lines: Lines, target: Target) -> KernelText:
    return columns_kernel(Coding(lines, target), target)


_WAYS = [_by_lanes, _by_columns, radix_kernel, merge_kernel]


@pytest.mark.parametrize("vector_bytes", [16, None])
@pytest.mark.parametrize("way", _WAYS)
def test_each_way_alone_sorts(
    way: Any, vector_bytes: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever way is chosen, what it gives is the same, in vectors of any width."""

    def only(eqn: Eqn, target: Target) -> KernelText:
        target = target if vector_bytes is None else target._replace(vector_bytes=vector_bytes)
        lines = Lines([a.type for a in eqn.inputs], eqn.op.dimension, eqn.op.num_keys)  # type: ignore[attr-defined]
        return way(lines, target)

    monkeypatch.setattr("jitml.codegen.plan.sort_kernel", only)
    random = np.random.default_rng(7)
    for extent in (2, 4, 5, 9, 31, 140, 600, 1100):
        x = random.choice(np.array(_SPECIAL, np.float32), (17, extent))
        y = random.integers(0, 999, (17, extent), np.int16)
        for operands in ([x], [x, y]):
            graph = jitml.make_graph(lambda *xs: lax.sort(list(xs)))(*operands)
            found = Compiled(graph, lower_graph(graph)).run([to_array(a) for a in operands])
            for w, f in zip(Sort(1).value(*operands), found, strict=True):
                assert np.asarray(f).tobytes() == w.tobytes()


@pytest.mark.parametrize("dtype", ["?", "i1", "u4", "f4", "bfloat16"])
def test_top_k_is_its_value(dtype: str) -> None:
    random = np.random.default_rng(3)
    for shape, axis, k in [((3000,), 0, 7), ((5, 90), 1, 90), ((40, 6), 0, 1), ((2, 5, 3), 1, 4)]:
        x = _array(random, dtype, shape)
        found = jitml.jit(lambda x, k=k, axis=axis: lax.top_k(x, k, axis=axis))(x)
        for w, f in zip(TopK(k, axis).value(x), found, strict=True):
            assert np.asarray(f).tobytes() == w.tobytes(), (shape, axis, k)


@pytest.mark.parametrize("step", [1, -1])
def test_top_k_of_ordered_lines(step: int) -> None:
    """What has been gathered is cut down again and again, or once."""
    x = np.arange(5000, dtype=np.int32)[::step]
    for found, wanted in zip(lax.top_k(x, 20), TopK(20, 0).value(x), strict=True):
        np.testing.assert_array_equal(found, wanted)
