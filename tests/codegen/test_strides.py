"""Elements a few apart, forwards and backwards: out of loads of all between, and of no more."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen.memory import MOST_COLUMNS
from jitml.pipeline.compile import lower_graph
from tests.places import PACKAGES

STEPS = [*range(2, MOST_COLUMNS + 2), *range(-MOST_COLUMNS - 1, 0)]
SIZES = [9, 64, 65, 130, 1001]


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "f2", "f4", "i8", "f8", "c8"])
def test_any_step(dtype: str) -> None:
    with jitml.enable_x64():
        for size in SIZES:
            x = np.random.default_rng(size).uniform(-99, 99, size).astype(dtype)
            for step in STEPS:
                got = jitml.jit(lambda x, step=step: jnp.stack([x[::step], x[::step]]))(x)
                assert np.array_equal(got, np.stack([x[::step]] * 2)), (size, step)


def test_places_a_few_apart_are_not_gathered() -> None:
    x = np.ones(4096, np.float32)
    for step in (2, 3, -1, -2):
        program = lower_graph(jitml.make_graph(lambda x, step=step: x[::step] + 1)(x))
        assert "gather" not in program.kernels[0].text


def test_places_far_apart_are() -> None:
    """They would be read in as many loads as there are elements."""
    x = np.ones(4096, np.float32)
    program = lower_graph(jitml.make_graph(lambda x: x[:: MOST_COLUMNS + 1] + 1)(x))
    assert "gather" in program.kernels[0].text


# An array that fills a page between two that cannot be read.
BETWEEN_PAGES = """
import ctypes, mmap, numpy as np, jitml, jitml_runtime
memory = mmap.mmap(-1, 3 * mmap.PAGESIZE)
whole = np.frombuffer(memory, np.uint8)
libc = ctypes.CDLL(None)
for page in (0, 2):
    place = ctypes.c_void_p(whole.ctypes.data + page * mmap.PAGESIZE)
    assert libc.mprotect(place, mmap.PAGESIZE, 0) == 0
page = whole[mmap.PAGESIZE : 2 * mmap.PAGESIZE].view(np.float32)
for x in (page[-331:], page[:331]):
    array = jitml_runtime.from_numpy(x, copy=False)
    for step in (2, 3, 4, 5, -1, -2, -3):
        for skipped in range(abs(step)):
            first = skipped if step > 0 else 330 - skipped
            got = jitml.jit(lambda x: x[first::step] + 1)(array)
            assert np.array_equal(got, x[first::step] + 1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="protects memory as Linux does")
def test_nothing_before_or_behind_is_read() -> None:
    environment = {**os.environ, "PYTHONPATH": PACKAGES}
    subprocess.run([sys.executable, "-c", BETWEEN_PAGES], check=True, env=environment)
