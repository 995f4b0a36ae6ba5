"""JAX programs run on jitml by JAX's conventions, and JAX itself is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        cwd=HERE,
    )


def test_a_program_runs_by_jaxs_conventions() -> None:
    found = run("-m", "jitml.as_jax", "jax_program.py", "an argument")
    assert found.stderr == ""
    assert found.stdout == "False False StandIn\n"


def test_modules_run_with_64_bits_if_the_environment_says_so() -> None:
    (found,) = run("-m", "jitml.as_jax", "-m", "wide_program", JAX_ENABLE_X64="1").stdout.split()
    assert found == "float64"


def test_it_is_too_late_once_jax_is_imported() -> None:
    code = (
        "import sys, types; sys.modules['jax'] = types.ModuleType('jax'); "
        "from jitml import as_jax; as_jax.install()"
    )
    assert "JAX itself has been imported already" in run("-c", code).stderr


def test_the_command_says_what_it_wants() -> None:
    assert "python -m jitml.as_jax program.py" in run("-m", "jitml.as_jax").stdout
    missing = run("-m", "jitml.as_jax", "nothing.py")
    assert (missing.returncode, missing.stderr) == (2, "as_jax: there is no file 'nothing.py'\n")
    assert run("-m", "jitml.as_jax", "-m").returncode == 2


def test_without_it_jax_is_jax() -> None:
    code = "import jitml.as_jax, sys; print([n for n in sys.modules if n.startswith('jax')])"
    assert run("-c", code).stdout == "[]\n"
