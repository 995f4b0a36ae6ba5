"""Products on the emulated device, by tiles and by matrix units: any size and layout."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen.nvptx.matrix_units import STAGES
from jitml.emulation.libcuda import EmulatedCuda
from jitml.emulation.machine import SECTOR_BYTES
from jitml.pipeline.compile import Compiled
from jitml.transforms.inline_calls import inline_calls
from jitml_runtime import from_numpy
from tests.gpu.agreement import agree


class Row(NamedTuple):
    """A product, the shapes of its operands, their dtype, the most sectors over the ideal ones."""

    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    dtype: str = "float32"
    most: float = 6.0


def product(x: Any, y: Any) -> Any:
    return x @ y


def as_tf32(x: Any, y: Any) -> Any:
    return jitml.lax.dot(x, y, precision="high")


def exact(x: Any, y: Any) -> Any:
    return jitml.lax.dot(x, y, precision="highest")


TILES = {
    "one square": Row(product, ((128, 24), (24, 128)), most=1.05),
    "small squares": Row(product, ((64, 40), (40, 72)), most=1.6),
    "bfloat16 in order": Row(exact, ((70, 40), (40, 70)), "bfloat16"),
    "first turned": Row(lambda x, y: x.T @ y, ((33, 130), (33, 70))),
    "second turned": Row(lambda x, y: x @ y.T, ((130, 33), (150, 33))),
    "float64": Row(product, ((70, 30), (30, 66)), "float64"),
    "int8": Row(product, ((70, 30), (30, 70)), "int8", 16.0),
    "int64": Row(product, ((66, 30), (30, 66)), "int64"),
    "a batch": Row(lambda x, y: jnp.einsum("bij,bjk->bik", x, y), ((3, 40, 30), (3, 30, 40))),
    "slices that move": Row(
        lambda x, y: jitml.lax.scan(lambda c, s: (c + s @ y, None), jnp.zeros((37, 33)), x)[0],
        ((3, 37, 11), (11, 33)),
        most=20.0,
    ),
    "convolution": Row(
        lambda x, w: jitml.lax.conv_general_dilated(x, w, (1, 1), "SAME"),
        ((2, 8, 12, 12), (16, 8, 3, 3)),
        most=12.0,
    ),
    "both turned": Row(lambda x, y: x.T @ y.T, ((40, 68), (72, 40))),
}
UNITS = {
    "bfloat16": Row(product, ((128, 96), (96, 128)), "bfloat16", 1.5),
    "rests": Row(product, ((131, 100), (100, 72)), "float16"),
    "tf32": Row(as_tf32, ((131, 100), (100, 72))),
    "first turned": Row(lambda x, y: x.T @ y, ((64, 200), (64, 130)), "bfloat16"),
    "second turned": Row(lambda x, y: x @ y.T, ((200, 96), (130, 96)), "bfloat16"),
    "not aligned": Row(lambda x, y: x.T @ y.T, ((65, 67), (66, 65)), "bfloat16", 20.0),
    "tf32 not aligned": Row(lambda x, y: as_tf32(x.T, y.T), ((101, 131), (72, 101))),
    "a batch": Row(
        lambda x, y: jnp.einsum("bij,bkj->bik", x, y), ((2, 64, 32), (2, 64, 32)), "bfloat16"
    ),
    "convolution": Row(
        lambda x, w: jitml.lax.conv_general_dilated(x, w, (1, 1), "SAME"),
        ((1, 8, 9, 9), (64, 8, 3, 3)),
        "bfloat16",
        20.0,
    ),
}


def samples_of(row: Row, whole: bool) -> list[Any]:
    random = np.random.default_rng(0)
    dtype = jnp.dtype(row.dtype)
    if whole or dtype.kind == "i":
        return [random.integers(-4, 5, s).astype(dtype) for s in row.shapes]
    return [random.standard_normal(s).astype(dtype) for s in row.shapes]


def check_moves(row: Row, measured: EmulatedCuda, samples: list[Any], found: Any) -> None:
    sectors = sum(launch.counts.sectors for launch in measured.launches)
    least = (sum(x.nbytes for x in samples) + np.asarray(found).nbytes) / SECTOR_BYTES
    assert sectors <= row.most * least, sectors / least
    assert not any(launch.counts.bank_conflicts for launch in measured.launches)
    assert any(launch.counts.shared_turns for launch in measured.launches)


def record(row: Row, samples: list[Any]) -> Any:
    return inline_calls(jitml.make_graph(row.function)(*map(jnp.asarray, samples)))


@pytest.mark.sampled
@pytest.mark.parametrize("name", TILES)
def test_tiles_have_the_bits_of_the_cpu_and_no_bank_conflicts(
    name: str, measured: EmulatedCuda
) -> None:
    row = TILES[name]
    samples = samples_of(row, whole=False)
    (found,) = agree(record(row, samples), samples)
    assert not any("mma.sync" in launch.text for launch in measured.launches)
    check_moves(row, measured, samples, found)


@pytest.mark.sampled
@pytest.mark.parametrize("name", UNITS)
def test_matrix_units_sum_whole_numbers_exactly_without_bank_conflicts(
    name: str, measured: EmulatedCuda
) -> None:
    row = UNITS[name]
    samples = samples_of(row, whole=True)
    (found,) = agree(record(row, samples), samples)
    text = next(launch.text for launch in measured.launches if "mma.sync" in launch.text)
    check_moves(row, measured, samples, found)
    # One barrier in front of the loop over panels, one in it; two in that over rows of the result.
    assert text.count("mma.sync") >= 32 and text.count("bar.sync") == 4
    assert STAGES >= 3 and re.search(rf"cp.async.wait_group\s+{STAGES - 2};", text)


@pytest.mark.parametrize(("dtype", "step"), [("bfloat16", 16), ("float32", 8)])
def test_matrix_units_keep_to_their_bound(dtype: str, step: int, emulated: Any) -> None:
    row = Row(as_tf32, ((64, 200), (200, 64)), dtype)
    x, y = samples_of(row, whole=False)
    (found,) = Compiled(record(row, [x, y])).run([from_numpy(x), from_numpy(y)])
    if dtype == "float32":  # what a unit reads of a number
        x, y = (np.asarray(a.view(np.uint32) & 0xFFFFE000).view(np.float32) for a in (x, y))
    x, y = x.astype(np.float64), y.astype(np.float64)
    bound = (200 / step + 1) * 2.0**-19 * (np.abs(x) @ np.abs(y))
    if dtype == "bfloat16":  # results are rounded to it
        bound += np.abs(x @ y) * 2.0**-8
    error = np.abs(np.asarray(found).astype(np.float64) - x @ y)
    assert (error <= bound).all() and error.any()


def test_signed_zeros_and_what_is_no_number_pass_the_end_of_k(emulated: Any) -> None:
    x = np.full((40, 9), -1e-30, np.float32)
    y = np.full((9, 40), 1e-30, np.float32)  # products vanish: sums are -0
    x[3, 2], y[5, 7] = np.inf, np.nan
    (found,) = agree(record(Row(product, ()), [x, y]), [x, y])
    assert np.signbit(np.asarray(found)[0, 0]) and np.asarray(found)[0, 0] == 0
