"""Optax from PyPI, as it is, on jitml: 100 steps go where they go on JAX.

Skipped where Optax is not installed (extra `optax`); JAX itself is not needed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
REFERENCE: dict[str, Any] = json.loads((HERE / "optax_reference.json").read_text("utf-8"))
TOLERANCE = 1e-5

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("optax") is None, reason="Optax is not installed"
)


@pytest.mark.parametrize(
    ("wide", "names"),
    [("0", [n for n in REFERENCE if n != "lbfgs"]), ("1", ["lbfgs"])],
    ids=["32 bits", "64 bits"],
)
def test_optimisers_follow_jax(wide: str, names: list[str]) -> None:
    command = [sys.executable, "-m", "jitml.as_jax", str(HERE / "optax_program.py"), *names]
    environment = {**os.environ, "JAX_ENABLE_X64": wide}
    found = json.loads(subprocess.check_output(command, env=environment, timeout=120))
    for name in names:
        for what, expected in REFERENCE[name].items():
            given = np.array(found[name][what])
            np.testing.assert_allclose(given, expected, TOLERANCE, TOLERANCE, err_msg=name)
