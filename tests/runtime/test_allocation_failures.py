"""Every allocation of the C core fails once: MemoryError comes out and nothing is left behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def run_failing(
    build_core: Callable[..., Callable[..., list[str]]], object_code: bytes
) -> Callable[..., list[str]]:
    """Run Python with a core whose allocations can be made to fail; the lines that it prints."""
    return build_core("-DJITML_FAIL_ALLOCATIONS", {"kernels.o": object_code})


def test_every_allocation_may_fail(run_failing: Callable[..., list[str]]) -> None:
    lines = run_failing(str(HERE / "allocation_failures.py"), "kernels.o")
    assert lines[-1] == "all came through" and len(lines) > 500


IMPORTS = """
import ctypes, dataclasses, os, platform, sys
import ml_dtypes, numpy

def imported(number):
    os.environ["JITML_FAIL_ALLOCATION"] = str(number)
    try:
        import jitml_runtime
    except MemoryError:
        return 0
    return 1 if jitml_runtime._core.fail_allocation(0) < number else 2

number, status = 1, 0
while status == 0:
    child = os.fork()
    if child == 0:
        try:
            os._exit(imported(number))
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(3)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(number)
    number += 1
assert status == 1, status
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_every_allocation_of_the_import_may_fail(run_failing: Callable[..., list[str]]) -> None:
    assert len(run_failing("-c", IMPORTS)) > 30
