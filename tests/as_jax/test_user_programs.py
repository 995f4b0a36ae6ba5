"""Programs of the kinds that JAX's users write, as they are, on jitml: the numbers are JAX's.

`python tests/as_jax/test_user_programs.py` runs them with JAX and writes what they print to
programs_reference.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PROGRAMS = Path(__file__).with_name("programs")
REFERENCE = Path(__file__).with_name("programs_reference.json")
NAMES = sorted(path.stem for path in PROGRAMS.glob("*.py"))


def printed(name: str, *before: str) -> Any:
    command = [sys.executable, *before, str(PROGRAMS / f"{name}.py")]
    return json.loads(subprocess.check_output(command, env={**os.environ, "JITML_CACHE": "0"}))


@pytest.mark.sampled
@pytest.mark.parametrize("name", NAMES)
def test_programs_print_what_they_print_with_jax(name: str) -> None:
    expected = json.loads(REFERENCE.read_text("utf-8"))[name]
    np.testing.assert_allclose(printed(name, "-m", "jitml.as_jax"), expected, 2e-4, 1e-5)


def write() -> None:
    """The reference, made with JAX."""
    rows = [f'"{name}": {json.dumps([rounded(x) for x in printed(name)])}' for name in NAMES]
    REFERENCE.write_text("{\n" + ",\n".join(rows) + "\n}\n", "utf-8")


def rounded(x: Any) -> Any:
    return float(f"{x:.7g}") if isinstance(x, float) else x


if __name__ == "__main__":
    write()
