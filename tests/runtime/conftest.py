"""Fixtures: both executors, loaded kernels, processes of their own."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import pytest

import jitml_runtime
from jitml_runtime import Code, load_object

HERE = Path(__file__).parent
CORE = HERE.parent.parent / "runtime" / "core"
OPERATORS = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "floor_divide",
    "remainder",
    "divmod",
    "power",
    "matmul",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "left_shift",
    "right_shift",
    "less",
    "less_equal",
    "equal",
    "not_equal",
    "greater",
    "greater_equal",
    "negative",
    "positive",
    "absolute",
    "invert",
    "getitem",
    "contains",
    "iter",
    "repr",
    "str",
]
EXECUTORS = {"native": "jitml_runtime._core", "python": "jitml_runtime.reference"}


def _load_programs() -> ModuleType:
    found = importlib.util.spec_from_file_location("programs", HERE / "programs.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["programs"] = module
    found.loader.exec_module(module)
    return module


programs_module = _load_programs()


@pytest.fixture(params=list(EXECUTORS))
def executor(request: pytest.FixtureRequest) -> str:
    """Name of the executor under test."""
    try:
        importlib.import_module(EXECUTORS[request.param])
    except ImportError:
        pytest.skip("the C core is not built")
    return str(request.param)


@pytest.fixture
def runtime(executor: str) -> Iterator[Any]:
    """Module of the executor under test, without operators; they and its threads come back."""
    module = importlib.import_module(EXECUTORS[executor])
    threads = module.get_num_threads()
    operators = module.set_operators(dict.fromkeys(OPERATORS))
    yield module
    module.set_operators(operators)
    module.set_num_threads(threads)


@pytest.fixture
def programs() -> ModuleType:
    """Plans and kernels."""
    return programs_module


@pytest.fixture(scope="session")
def object_code() -> bytes:
    """Object code of all test kernels."""
    code: bytes = programs_module.compile_text(programs_module.KERNELS)
    return code


@pytest.fixture(scope="session")
def code(object_code: bytes) -> Code:
    """Loaded test kernels."""
    return load_object(object_code)


@pytest.fixture
def bind(runtime: Any, code: Code) -> Callable[..., Any]:
    """Make an executable of a plan."""

    def bound(plan: Any, functions: Any = ()) -> Any:
        return programs_module.bind(runtime, code, plan, functions)

    return bound


@pytest.fixture
def run_script(
    executor: str, object_code: bytes, tmp_path: Path
) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run a script in a process of its own; it finds `runtime`, `code` and `programs`."""
    path = tmp_path / "kernels.o"
    path.write_bytes(object_code)
    opening = (
        "import sys, os, time, threading, signal, pathlib\n"
        "import numpy as np, programs\n"
        "import jitml_runtime as runtime\n"
        f"code = runtime.load_object(pathlib.Path({str(path)!r}).read_bytes())\n"
    )

    def run(script: str) -> subprocess.CompletedProcess[str]:
        places = os.pathsep.join([str(HERE), *sys.path])
        environment = {**os.environ, "JITML_RUNTIME": executor, "PYTHONPATH": places}
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", opening + script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def build_core(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Callable[..., list[str]]]:
    """Build the C core with a flag; gives what runs Python with it, beside some files, and returns
    the lines that it prints.
    """
    if not shutil.which("gcc") or not CORE.exists():
        pytest.skip("needs gcc and the sources of the core")

    def build(
        flag: str, files: Mapping[str, bytes] = MappingProxyType({})
    ) -> Callable[..., list[str]]:
        folder = tmp_path_factory.mktemp("core")
        package = folder / "jitml_runtime"
        installed = Path(jitml_runtime.__file__).parent
        shutil.copytree(installed, package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        sources = sorted(map(str, CORE.glob("*.c")))
        command = ["gcc", "-std=gnu11", "-O0", "-shared", "-fPIC", flag, "-pthread"]
        include = f"-I{sysconfig.get_path('include')}"
        target = str(package / f"_core{suffix}")
        subprocess.run([*command, include, *sources, "-o", target], check=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return functools.partial(_run, folder)

    return build


def _run(folder: Path, *arguments: str, status: int = 0) -> list[str]:
    places = os.pathsep.join([str(folder), *sys.path])
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", *arguments],
        env={**os.environ, "PYTHONPATH": places, "JITML_RUNTIME": "native", "JITML_CACHE": "0"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == status, f"{result.stdout[-200:]}\n{result.stderr}"
    return [*result.stdout.splitlines(), *result.stderr.splitlines()]
