"""What kernels move, against the least possible: the limits hold without a device."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen.nvptx.assembler import find_assembler
from jitml.emulation.libcuda import EmulatedCuda
from jitml.emulation.machine import SECTOR_BYTES
from jitml.transforms.inline_calls import inline_calls
from tests.gpu.agreement import agree

WHOLE = {"v4.b32", "v2.b64"}  # accesses of 128 bits


class Row(NamedTuple):
    """A program, the shapes of its arguments, the most sectors over the ideal ones, and how many
    bytes its widest access has at least.
    """

    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    most: float = 1.05
    access_bytes: int = 4
    dtype: str = "float32"


def normalized(x: Any) -> Any:
    centred = x - x.mean(1, keepdims=True)
    return centred / jnp.sqrt((centred * centred).mean(1, keepdims=True) + 1e-5)


ROWS = {
    "elementwise": Row(lambda x, y: jnp.tanh(x * y) + 1, ((4096,), (4096,)), 1.0, 16),
    "bfloat16": Row(lambda x: x.astype("bfloat16") * 2, ((4096,),), 1.0, 16),
    "elements with a rest": Row(lambda x: jnp.exp(x), ((33, 65),), 1.05, 16),
    "elements that are not aligned": Row(lambda x: x[1:1025] * 2, ((1025,),), 1.2, 4),
    "rows by their number": Row(
        lambda x: x[jnp.arange(30, 2, -2, dtype="int32")] * 2, ((32, 64),), 1.0, 16
    ),
    "padded rows": Row(lambda x: jnp.pad(x, ((0, 0), (32, 32))), ((32, 64),), 1.1, 4),
    "product": Row(lambda x, y: x @ y, ((33, 20), (20, 40)), 50.0),
    "sum of rows": Row(lambda x: x.sum(1), ((16, 1000),), 1.05, 16),
    "sum of odd rows": Row(lambda x: x.sum(1), ((16, 1001),), 1.02, 16),
    "sum of rows of a few more": Row(lambda x: x.sum(1), ((16, 1002),), 1.02, 16),
    "sum of rows of half a sector more": Row(lambda x: x.sum(1), ((16, 1004),), 1.01, 16),
    "sum of odd double rows": Row(lambda x: x.sum(1), ((16, 501),), 1.02, 16, "float64"),
    "sum of odd half rows": Row(lambda x: x.sum(1), ((16, 2001),), 1.03, 16, "bfloat16"),
    "sum of odd bytes": Row(lambda x: x.sum(1), ((16, 4001),), 1.03, 16, "int8"),
    "sum of odd rows from 1 on": Row(lambda x: x[:, 1:].sum(1), ((16, 1001),), 1.02, 16),
    "sum of odd rows that begin apart": Row(
        lambda x, y: (x[:, :-1] * y).sum(1), ((16, 1001), (16, 1000)), 1.15, 4
    ),
    "softmax of odd rows": Row(jitml.nn.softmax, ((16, 1001),), 1.03, 16),
    "layer norm of odd rows": Row(normalized, ((16, 1001),), 1.03, 16),
    "logsumexp of odd rows": Row(lambda x: jitml.nn.logsumexp(x, axis=1), ((16, 1001),), 1.02, 16),
    "positions in odd rows": Row(lambda x: x.argmax(1), ((16, 1001),), 1.02, 16),
    "odd rows by their number": Row(
        lambda x: x[jnp.arange(30, -1, -2, dtype="int32")].sum(1), ((32, 257),), 0.6, 16
    ),
    "sum of a part of rows": Row(lambda x: x[:, 8:-8].sum(1), ((16, 1000),), 1.05, 16),
    "sums of a few columns": Row(lambda x: x.reshape(16, 4, 64).sum(1), ((64, 64),), 1.0, 16),
    "sum of columns": Row(lambda x: x.sum(0), ((70, 128),), 1.0, 16),
    "sum of columns of halves": Row(lambda x: x.sum(0), ((300, 256),), 1.0, 16, "bfloat16"),
    "sum of columns of bytes": Row(lambda x: x.sum(0), ((300, 512),), 1.0, 16, "int8"),
    "sum of columns of double": Row(lambda x: x.sum(0), ((70, 64),), 1.0, 16, "float64"),
    "sum of columns of a batch": Row(lambda x: x.sum(1), ((3, 70, 64),), 1.0, 16),
    "sum of long columns": Row(lambda x: x.sum(0), ((9000, 16),), 1.01, 16),
    "sum of columns of odd rows": Row(lambda x: x.sum(0), ((300, 131),), 1.3),
    "cumulative sums of columns of odd rows": Row(lambda x: jnp.cumsum(x, 0), ((70, 257),), 1.3),
    "positions in columns": Row(lambda x: x.argmax(0), ((300, 128),), 1.0, 16),
    "sum of all": Row(lambda x: x.sum(), ((64, 300),), 1.05, 16),
    "sum of all with a rest": Row(lambda x: x.sum(), ((19201,),), 1.05, 16),
    "position of the largest": Row(lambda x: x.argmax(1), ((16, 1000),), 1.05, 16),
    "cumulative sums": Row(lambda x: jnp.cumsum(x, 1), ((70, 256),), 1.0, 16),
    "cumulative sums of odd rows": Row(lambda x: jnp.cumsum(x, 1), ((70, 1001),), 1.02, 16),
    "cumulative sums from the end": Row(
        lambda x: jitml.lax.cumsum(x, 1, reverse=True), ((70, 1001),), 1.02, 16
    ),
    "a few long cumulative sums": Row(lambda x: jnp.cumsum(x, 1), ((3, 5001),), 1.01, 16),
    "cumulative sums of bytes": Row(lambda x: jnp.cumsum(x, 1), ((70, 256),), 1.0, 16, "int8"),
    "cumulative sums of columns": Row(lambda x: jnp.cumsum(x, 0), ((70, 256),), 1.0, 16),
    "cumulative sums of columns of halves": Row(
        lambda x: jnp.cumsum(x, 0), ((70, 256),), 1.0, 16, "bfloat16"
    ),
    "cumulative sums of complex numbers": Row(
        lambda x: jnp.cumsum(x, 1), ((70, 100),), 1.0, 8, "complex64"
    ),
    "transpose": Row(lambda x: x.T + 1, ((96, 64),), 1.0, 16),
    "transpose with rests": Row(lambda x: x.T + 1, ((72, 200),), 1.0, 16),
    "transpose of half sectors": Row(lambda x: x.T + 1, ((100, 300),), 1.08, 16),
    "transpose of odd rows to others": Row(lambda x: x.T + 1, ((104, 303),), 1.08, 16),
    "transpose of odd rows": Row(lambda x: x.T + 1, ((101, 303),), 1.2),
    "transpose beside another": Row(lambda x, y: x.T * y, ((64, 96), (96, 64)), 1.0, 16),
    "transposes of two dtypes": Row(
        lambda x: x.T + x.astype("bfloat16").T.astype("float32"), ((64, 96),), 1.0, 16
    ),
    "transpose of the middle": Row(
        lambda x: x.transpose(1, 0, 2).transpose(0, 2, 1), ((4, 64, 32),), 1.1
    ),
    "transposes of a batch": Row(lambda x: x.transpose(0, 2, 1), ((3, 64, 32),), 1.0, 16),
    "transpose of double": Row(lambda x: x.T + 1, ((96, 64),), 1.0, 16, "float64"),
    "transpose of halves": Row(lambda x: x.T + x.T, ((128, 192),), 1.0, 16, "bfloat16"),
    "transpose of bytes": Row(lambda x: x.T + x.T, ((128, 256),), 1.0, 16, "int8"),
    "transpose of complex numbers": Row(lambda x: x.T + x.T, ((96, 64),), 1.0, 8, "complex64"),
    "softmax": Row(jitml.nn.softmax, ((8, 1000),), 1.05, 16),
    "long softmax": Row(jitml.nn.softmax, ((2, 4000),), 1.05, 16),
    "layer norm": Row(normalized, ((8, 1024),), 1.05, 16),
    "logsumexp": Row(lambda x: jitml.nn.logsumexp(x, axis=1), ((8, 1024),), 1.05, 16),
    "logsumexp in a loop": Row(
        lambda x: jitml.lax.fori_loop(
            0, 2, lambda _, v: jitml.nn.logsumexp(x * v[:, None], axis=1), x[:, 0]
        ),
        ((8, 1024),), 2.1, 16,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_kernels_move_little_more_than_they_must_and_have_the_bits_of_the_cpu(
    name: str, measured: EmulatedCuda
) -> None:
    function, shapes, most, access_bytes, dtype = ROWS[name]
    random = np.random.default_rng(0)
    samples = [(9 * random.standard_normal(s)).astype(as_dtype(dtype)) for s in shapes]
    arrays = [jnp.asarray(x) for x in samples]
    graph = inline_calls(jitml.make_graph(function)(*arrays))
    measured.launches.clear()
    (found,) = map(np.asarray, agree(graph, samples))
    if name.startswith("transpose") and access_bytes == 16 and most == 1:
        assert sum(launch.counts.bank_conflicts for launch in measured.launches) == 0
    sectors = sum(launch.counts.sectors for launch in measured.launches)
    widest = max(launch.counts.widest_access for launch in measured.launches)
    least = (sum(x.nbytes for x in arrays) + found.nbytes) / SECTOR_BYTES
    assert sectors <= most * least + 4, sectors / least
    assert widest >= access_bytes
    if find_assembler():
        for kernel in jitml.aot(function, *arrays).kernels:
            assert kernel.resources and kernel.resources.spilled_bytes == 0


def as_dtype(name: str) -> Any:
    return ml_dtypes.bfloat16 if name == "bfloat16" else name


DTYPES = ("float32", "float64", "bfloat16", "float16", "complex64", "complex128", "int8", "int64")
FAMILIES: dict[str, Callable[[Any], Any]] = {
    "elementwise": lambda x: x + x,
    "sum": lambda x: abs(x).sum(1),
    "position": lambda x: x.argmax(1),
    "softmax": jitml.nn.softmax,
    "products of a row": lambda x: x * x.sum(1, keepdims=True).astype(x.dtype),
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_read_and_written_by_128_bits(name: str, dtype: str) -> None:
    is_complex, is_whole = dtype.startswith("complex"), dtype.startswith("int")
    if (name == "softmax" and (is_complex or is_whole)) or (name == "position" and is_complex):
        pytest.skip("has no meaning")
    if name == "products of a row" and is_complex:
        pytest.skip("sums of complex numbers are not folded by warps")
    found = jitml.aot(FAMILIES[name], jitml.ShapeDtypeStruct((6, 320), dtype), target="sm_90")
    accesses = [x for k in found.kernels for x in re.findall(r"\b(ld|st)\.global\.(\S+)", k.ptx)]
    read = {types for verb, types in accesses if verb == "ld"}
    written = {types for verb, types in accesses if verb == "st"}
    assert read <= WHOLE, read
    if name not in ("sum", "position"):
        assert written <= WHOLE, written
