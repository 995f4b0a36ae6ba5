"""Loads that jump, read in tiles that are turned over: any sizes, types and places in a program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen import emit, tiles
from tests.fuzz.check import small_chunks
from tests.places import PACKAGES

# Tiles have 16 or 8 elements a side, and four lie side by side.
SHAPES = [(16, 16), (17, 33), (40, 16), (100, 67), (64, 129), (8, 300)]
PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "alone": lambda x: x.T,
    "twice": lambda x: x.T * 2 + x.T,
    "beside one that does not jump": lambda x: x[: min(x.shape), : min(x.shape)].T + x[0, 0],
    "with its own": lambda x: (lambda s: s + s.T)(x[: min(x.shape), : min(x.shape)]),
    "in a batch": lambda x: jnp.swapaxes(jnp.stack([x, x + 1, x * 2]), 1, 2),
    "backwards": lambda x: x.T[::-1] + 1,
}


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was chosen for each kernel that was compiled."""
    found: list[Any] = []

    def choose(*args: Any) -> Any:
        found.append(tiles.choose_tiling(*args))
        return found[-1]

    monkeypatch.setattr(emit, "choose_tiling", choose)
    return found


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "u8"])
def test_transposes_of_any_size(program: str, dtype: str, chosen: list[Any]) -> None:
    jitml.clear_caches()
    with jitml.enable_x64(), small_chunks():
        for shape in SHAPES:
            x = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
            function = PROGRAMS[program]
            expected = np.asarray(function(jnp.asarray(x)))
            found = jitml.jit(function)(x)
            assert np.array_equal(found, expected), shape
            if program == "alone":
                assert np.array_equal(found, x.T)
    assert any(tiling is not None for tiling in chosen)


def test_what_is_not_worth_it_is_not_tiled(chosen: list[Any]) -> None:
    jitml.clear_caches()
    for function in (lambda x: x[:4].T + 1, lambda x: x[:, ::2] + 1, lambda x: x.sum(0)):
        jitml.jit(function)(np.ones((40, 40), np.float32))
    assert chosen
    assert all(tiling is None for tiling in chosen)


# An array that ends where its last page does; the next one cannot be read.
AT_THE_END_OF_A_PAGE = """
import ctypes, mmap, numpy as np, jitml, jitml_runtime
memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)
whole = np.frombuffer(memory, np.uint8)
libc = ctypes.CDLL(None)
assert libc.mprotect(ctypes.c_void_p(whole.ctypes.data + mmap.PAGESIZE), mmap.PAGESIZE, 0) == 0
x = whole[mmap.PAGESIZE - 3840 : mmap.PAGESIZE].view(np.float32).reshape(48, 20)
array = jitml_runtime.from_numpy(x, copy=False)
assert np.array_equal(jitml.jit(lambda x: x.T)(array), x.T)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="protects memory as Linux does")
def test_nothing_behind_an_array_is_read() -> None:
    environment = {**os.environ, "PYTHONPATH": PACKAGES}
    subprocess.run([sys.executable, "-c", AT_THE_END_OF_A_PAGE], check=True, env=environment)
