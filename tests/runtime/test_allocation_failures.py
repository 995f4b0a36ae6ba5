"""Every allocation of the C core fails once: MemoryError comes out and nothing is left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

import jitml_runtime

HERE = Path(__file__).parent
CORE = HERE.parent.parent / "runtime" / "core"


@pytest.fixture(scope="module")
def run_failing(
    tmp_path_factory: pytest.TempPathFactory, object_code: bytes
) -> Callable[..., list[str]]:
    """Run Python with a core whose allocations can be made to fail; the lines that it prints."""
    if not shutil.which("gcc") or not CORE.exists():
        pytest.skip("needs gcc and the sources of the core")
    folder = tmp_path_factory.mktemp("failing")
    package = folder / "jitml_runtime"
    installed = Path(jitml_runtime.__file__).parent
    shutil.copytree(installed, package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    sources = sorted(map(str, CORE.glob("*.c")))
    build = ["gcc", "-std=gnu11", "-O0", "-shared", "-fPIC", "-DJITML_FAIL_ALLOCATIONS", "-pthread"]
    include = f"-I{sysconfig.get_path('include')}"
    subprocess.run([*build, include, *sources, "-o", str(package / f"_core{suffix}")], check=True)
    (folder / "kernels.o").write_bytes(object_code)

    def run(*arguments: str) -> list[str]:
        places = os.pathsep.join([str(folder), *sys.path])
        result = subprocess.run(
            [sys.executable, "-X", "faulthandler", *arguments],
            env={**os.environ, "PYTHONPATH": places, "JITML_RUNTIME": "native", "JITML_CACHE": "0"},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, f"{result.stdout[-200:]}\n{result.stderr}"
        return result.stdout.splitlines()

    return run


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
