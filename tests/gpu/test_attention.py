"""Attention on the emulated device: one launch, the CPU's bits, and no array over all queries and
all keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax, nn
from jitml.codegen.nvptx.attention_kernel import MOST_ROWS
from jitml.device.driver import Driver
from jitml.emulation.libcuda import EmulatedCuda
from jitml.emulation.machine import SECTOR_BYTES
from jitml.nn import attention
from jitml.trace.core import trace_graph, type_of
from jitml.transforms.inline_calls import inline_calls
from tests.gpu.agreement import agree, same_bits

RANDOM = np.random.default_rng(0)


class Row(NamedTuple):
    """Batch, queries, keys, heads of queries and of keys, features; options, the tiles' size."""

    sizes: tuple[int, int, int, int, int, int]
    options: dict[str, Any] = {}  # noqa: RUF012
    tile: int = 256
    dtype: str = "float32"


def numbers(*shape: int) -> Any:
    return RANDOM.standard_normal(shape).astype(np.float32)


def truths(*shape: int) -> Any:
    return RANDOM.random(shape) > 0.3


def lengths(*values: int) -> Any:
    return np.array(values, np.int32)


CAUSAL = {"is_causal": True}
ROWS_OF_TESTS = {
    "one tile": Row((1, 5, 7, 1, 1, 8)),
    "two keys and features": Row((1, 2, 2, 1, 1, 2)),
    "odd features": Row((1, 17, 19, 2, 1, 7), {"local_window_size": (3, 2)}),
    "most features": Row((1, 19, 33, 1, 1, 128), {"scale": 0.5}),
    "most odd features": Row((1, 5, 130, 1, 1, 127)),
    "several tiles": Row((1, 300, 260, 1, 1, 64), CAUSAL),
    "keys that fill tiles": Row((2, 16, 512, 1, 1, 16)),
    "grouped, causal": Row((2, 33, 33, 4, 2, 16), CAUSAL, 16),
    "bias": Row((2, 13, 41, 4, 2, 12), {"bias": numbers(2, 4, 13, 41)}, 40),
    "shared bias, mask": Row(
        (2, 6, 300, 4, 2, 8), {"bias": numbers(1, 300), "mask": truths(2, 1, 6, 300)}
    ),
    "bias in bfloat16": Row((1, 6, 9, 2, 2, 8), {"bias": numbers(6, 9).astype("bfloat16")}),
    "mask of heads": Row((1, 20, 36, 4, 2, 8), {"mask": truths(4, 1, 36), **CAUSAL}, 8),
    "window": Row((1, 50, 40, 2, 1, 32), {"local_window_size": (9, 3)}, 8),
    "queries beyond all keys": Row((1, 60, 9, 1, 1, 8), {"local_window_size": 2}, 8),
    "hidden": Row((1, 6, 7, 2, 2, 8), {"mask": np.arange(6)[:, None] > np.ones(7)}),
    "lengths": Row(
        (2, 9, 270, 2, 2, 12),
        {"query_seq_lengths": lengths(3, 9), "key_value_seq_lengths": lengths(270, 100)},
    ),
    "no keys": Row((2, 5, 9, 2, 2, 8), {"key_value_seq_lengths": lengths(0, 3), **CAUSAL}, 4),
    "infinities": Row(
        (1, 5, 9, 1, 1, 8), {"bias": np.where(truths(5, 9), np.inf, 0.0).astype("f")}
    ),
    "bfloat16": Row((1, 33, 40, 2, 2, 16), CAUSAL, 16, "bfloat16"),
    "float16": Row((1, 33, 40, 2, 2, 16), {}, 16, "float16"),
}
# What products with vectors, other dtypes and wide rows have: the scan over tiles.
SCANS = {
    "one query": Row((2, 1, 40, 2, 2, 8)),
    "one key": Row((1, 8, 1, 2, 2, 8)),
    "one feature": Row((1, 8, 9, 2, 2, 1)),
    "many features": Row((1, 5, 9, 1, 1, 130)),
    "float64": Row((1, 8, 9, 2, 2, 8), {}, 256, "float64"),
}


def operands(row: Row) -> list[Any]:
    batch, queries, keys, heads, shared, features = row.sizes
    shapes = ((queries, heads), (keys, shared), (keys, shared))
    return [numbers(batch, *shape, features).astype(row.dtype) for shape in shapes]


def attended(row: Row) -> Callable[..., Any]:
    return lambda *x: nn.dot_product_attention(*x, **row.options, return_residual=True)


def launched(cuda: EmulatedCuda) -> list[Any]:
    """The launches of the kernel of attention."""
    return [launch for launch in cuda.launches if "weights" in launch.text]


def check(function: Callable[..., Any], samples: list[Any]) -> Any:
    """What a function gives on the device; the CPU gives the same bits."""
    types = [type_of(jnp.asarray(x)) for x in samples]
    traced = trace_graph(lambda *x: jitml.tree.leaves(function(*x)), types, "f")
    return agree(inline_calls(traced.graph), [*samples, *map(np.asarray, traced.captures)])


@pytest.mark.sampled
@pytest.mark.parametrize("name", ROWS_OF_TESTS)
def test_attention_is_one_launch_with_the_bits_of_the_cpu(
    name: str, measured: EmulatedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ROWS_OF_TESTS[name]
    monkeypatch.setattr(attention, "_TILE", row.tile)
    samples = operands(row)
    check(attended(row), samples)
    (launch,) = launched(measured)
    assert launch.counts.bank_conflicts <= 8
    # Of threads of LLVM text nothing is counted.
    assert launch.counts.widest_access in (0, 16 if row.sizes[-1] % 4 == 0 else 4)
    # Queries, keys, values and tables are cut into tiles, and the result is joined.
    assert len(measured.launches) <= 15
    # Rows that are no multiple of 32 bytes share sectors; some more are those of pairs and lengths.
    factor = 1.5 if row.sizes[-1] % 4 == 0 else 2
    assert launch.counts.load_sectors <= factor * most_sectors(row) + 150


def most_sectors(row: Row) -> float:
    """What blocks read, each of which reads each tile of keys and values once, and its queries once
    for each: as if every query saw every key; tables element by element.
    """
    batch, queries, keys, heads, shared, features = row.sizes
    tiles, key_tiles = (-(-n // row.tile) for n in (queries, keys))
    rows = heads // shared * -(-queries // tiles)
    blocks = batch * shared * tiles * -(-rows // MOST_ROWS)
    numbers = blocks * key_tiles * (2 * -(-keys // key_tiles) + min(MOST_ROWS, rows)) * features
    tables = sum(name in row.options for name in ("bias", "mask"))
    return (4 * numbers + 8 * tables * batch * heads * queries * keys) / SECTOR_BYTES


@pytest.mark.parametrize("name", SCANS)
def test_what_has_no_kernel_is_a_scan_with_the_bits_of_the_cpu(
    name: str, measured: EmulatedCuda
) -> None:
    check(attended(SCANS[name]), operands(SCANS[name]))
    assert measured.launches and not launched(measured)


def test_blocks_take_several_units(measured: EmulatedCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Driver, "most_threads", 256)
    row = Row((2, 70, 40, 2, 1, 8), CAUSAL, 32)
    monkeypatch.setattr(attention, "_TILE", row.tile)
    check(attended(row), operands(row))
    (launch,) = launched(measured)
    assert launch.blocks <= 2


@pytest.mark.parametrize("axes", [(0, 0, 0), (0, None, None), (None, 2, 1)])
def test_a_batch_by_vmap_is_one_launch(axes: Any, measured: EmulatedCuda) -> None:
    row = Row((2, 9, 12, 2, 1, 8), CAUSAL)
    samples = operands(row)
    stacked = [
        x if axis is None else np.moveaxis(np.stack([x, x + 1, x * 2]), 0, axis)
        for x, axis in zip(samples, axes, strict=True)
    ]
    found = check(jitml.vmap(attended(row), axes), stacked)
    assert len(launched(measured)) == 1
    for number in range(3):
        one = [
            x if axis is None else np.take(x, number, axis)
            for x, axis in zip(stacked, axes, strict=True)
        ]
        for a, b in zip(found, check(attended(row), one), strict=True):
            assert same_bits(np.asarray(a)[number], np.asarray(b))


@pytest.mark.parametrize("bias", [numbers(3, 1, 9, 12), numbers(3, 2, 1, 9, 12)])
def test_tables_of_each_element_by_vmap(bias: Any, measured: EmulatedCuda) -> None:
    row = Row((2, 9, 12, 2, 1, 8))
    mask, ends = truths(2, 1, 9, 12), lengths(5, 12)

    def function(q: Any, k: Any, v: Any, b: Any) -> Any:
        return nn.dot_product_attention(q, k, v, b, mask, key_value_seq_lengths=ends)

    samples = operands(row)
    (found,) = check(jitml.vmap(function, (None, None, None, 0)), [*samples, bias])
    assert len(launched(measured)) == 1
    for number in range(3):
        (one,) = check(function, [*samples, bias[number]])
        assert same_bits(np.asarray(found)[number], np.asarray(one))


def test_derivatives_and_loops_have_the_kernel_in_them(measured: EmulatedCuda) -> None:
    row = Row((1, 9, 9, 2, 2, 8), CAUSAL)
    q, k, v = operands(row)

    def layers(q: Any, ks: Any, v: Any) -> Any:
        def layer(x: Any, k: Any) -> Any:
            return nn.dot_product_attention(x, k, v, is_causal=True), None

        return (lax.scan(layer, q, ks)[0] ** 2).sum()

    check(layers, [q, np.stack([k, k * 2, k + 1]), v])
    assert len(launched(measured)) == 3
    check(jitml.grad(layers, (0, 1, 2)), [q, np.stack([k, k * 2, k + 1]), v])
    assert len(launched(measured)) == 6
