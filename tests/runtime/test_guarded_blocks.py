"""Kernels touch no memory but their arrays': a core whose blocks end at forbidden pages tells."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

WRITE = """
import ctypes, numpy
import jitml.numpy as jnp
x = jnp.ones({count}, jnp.int8) + jnp.int8(1)
address = numpy.asarray(x).ctypes.data
ctypes.memset(address + {place}, 7, 1)
del x
print("went")
"""


@pytest.fixture(scope="module")
def run_guarded(build_core: Callable[..., Callable[..., list[str]]]) -> Callable[..., list[str]]:
    """Run Python with such a core; the lines that it prints."""
    return build_core("-DJITML_GUARD_BLOCKS")


def test_kernels_stay_inside_their_arrays(run_guarded: Callable[..., list[str]]) -> None:
    script = Path(__file__).parent / "guarded_blocks.py"
    assert "all inside" in run_guarded(str(script))


@pytest.mark.parametrize(
    ("count", "place", "status"),
    [
        (100, 99, 0),
        (100, 100, -signal.SIGABRT),
        (100, 128, -signal.SIGSEGV),
        (64, 64, -signal.SIGSEGV),
    ],
)
def test_what_is_outside_is_found(
    count: int, place: int, status: int, run_guarded: Callable[..., list[str]]
) -> None:
    lines = run_guarded("-c", WRITE.format(count=count, place=place), status=status)
    if status == 0:
        assert lines[0] == "went"
    elif status == -signal.SIGABRT:
        assert "jitml: byte 100 of a block of 100 was written" in lines
