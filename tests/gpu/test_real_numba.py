"""The packages numba-cuda and cuda.core themselves on the double of libcuda, in one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import PACKAGES

from jitml.emulation.shared_library import find_compiler

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")

HERE = Path(__file__).parent


@pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")
@pytest.mark.skipif(os.path.exists("/dev/nvidiactl"), reason="there is a driver")
def test_programs_of_numba_and_cuda_core_run_on_the_double() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([PACKAGES, str(HERE)])}
    done = subprocess.run(
        [sys.executable, str(HERE / "numba_programs.py")],
        env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": done\n") == 10
