"""Sorts and cumulative folds on the emulated device: lines of any length, number and layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.emulation.libcuda import EmulatedCuda
from jitml.transforms.inline_calls import inline_calls
from tests.gpu.agreement import agree

Row = tuple[Callable[..., Any], tuple[int, ...], str, int]  # function, shape, dtype, blocks

SORTS: dict[str, Row] = {
    "rows": (lambda x: jnp.sort(x, 1), (7, 200), "float32", 7),
    "one line": (jnp.sort, (2500,), "float32", 20),
    "columns": (lambda x: jnp.sort(x, 0), (150, 6), "int16", 6),
    "positions": (jnp.argsort, (2100,), "int8", 9),
    "columns and positions": (lambda x: jnp.argsort(x, 0), (2100, 2), "uint8", 18),
    "two keys": (lambda x: jnp.lexsort((jnp.cos(x), x // 4)), (300,), "float32", 1),
    "complex": (jnp.sort, (300,), "complex64", 1),
    "short lines": (lambda x: jnp.sort(x, 1), (40, 9), "float64", 1),
}
FOLDS: dict[str, Row] = {
    "one line": (jnp.cumsum, (1100,), "float32", 1),
    "rows": (lambda x: jnp.cumsum(x, 1), (40, 100), "float32", 2),
    "rows from the end": (
        lambda x: jitml.lax.cumsum(x, 1, reverse=True), (70, 33), "float32", 3,
    ),
    "few rows": (lambda x: jitml.lax.cummax(x, 1, reverse=True), (3, 1100), "int32", 3),
    "columns": (lambda x: jnp.cumprod(x, 0), (40, 100), "float32", 1),
    "the middle": (lambda x: jnp.cumsum(x, 1), (4, 50, 7), "float64", 1),
    "bfloat16": (lambda x: jnp.cumsum(x, 1), (9, 50), "bfloat16", 1),
    "complex": (jnp.cumsum, (50,), "complex64", 1),
}  # fmt: skip
ROWS = {f"{kind}: {name}": row for kind, rows in (("sort", SORTS), ("fold", FOLDS))
        for name, row in rows.items()}  # fmt: skip


@pytest.mark.sampled
@pytest.mark.parametrize("name", ROWS)
def test_lines_are_shared_out_and_have_the_bits_of_the_cpu(
    name: str, measured: EmulatedCuda
) -> None:
    function, shape, dtype, blocks = ROWS[name]
    random = np.random.default_rng(0)
    x = (random.standard_normal(shape) * 9).astype(jnp.dtype(dtype))
    if x.dtype.kind == "f":
        x.flat[::7], x.flat[3::7], x.flat[5::11] = 0.0, -0.0, np.nan
    agree(inline_calls(jitml.make_graph(function)(jnp.asarray(x))), [x])
    assert max(launch.blocks for launch in measured.launches) >= blocks
