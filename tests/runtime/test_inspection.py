"""What perf and gdb are told: names and addresses of kernels, only if asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jitml_runtime import code as loading
from jitml_runtime import inspection, load_object

Script = Callable[[str], "subprocess.CompletedProcess[str]"]
pytestmark = pytest.mark.skipif(not loading.has_own_loader(), reason="needs the own loader")
PROGRAM = """
from jitml_runtime.inspection import announce
plan = programs.add_three_plan(5000, 100)
announce(plan, [code] * len(programs.NAMES))
announce(plan, [code] * len(programs.NAMES))
"""


def test_functions_of_an_image_have_their_addresses(
    object_code: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_object(object_code).image is None
    monkeypatch.setattr(loading, "IS_INSPECTED", True)
    code = load_object(object_code)
    assert code.image is not None
    found = {name: (address, size) for name, address, size in inspection.functions(code.image)}
    assert {name: address for name, (address, _) in found.items()} == {
        name: code.address(name) for name in code.symbols()
    }
    assert all(size > 0 for _, size in found.values())


def test_perf_gets_a_map_of_each_process(
    run_script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JITML_PERF", "1")
    result = run_script(
        PROGRAM + "path = pathlib.Path(f'/tmp/perf-{os.getpid()}.map')\n"
        "lines = path.read_text().splitlines()\n"
        "assert path.stat().st_mode & 0o777 == 0o600\n"
        "assert len(lines) == len(code.symbols()), lines\n"
        "assert f'{code.address(\"work\"):x} ' in path.read_text()\n"
        "assert all(line.endswith(' jitml add_one') for line in lines)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    own = pathlib.Path(f'/tmp/perf-{os.getpid()}.map')\n"
        "    same = own.read_text().splitlines() == lines\n"
        "    own.unlink()\n"
        "    os._exit(0 if same else 1)\n"
        "path.unlink()\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_a_map_that_cannot_be_written_is_a_warning(
    run_script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JITML_PERF", "1")
    result = run_script(
        "path = pathlib.Path(f'/tmp/perf-{os.getpid()}.map')\n"
        "path.symlink_to('/tmp/elsewhere')\n"
        "import warnings\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n" + PROGRAM.replace("\n", "\n    ").rstrip() + "\n"
        "path.unlink()\n"
        "assert 'cannot be written' in str(seen[0].message), seen\n"
        "assert not os.path.exists('/tmp/elsewhere')\n"
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("gdb"), reason="needs gdb")
def test_gdb_stops_in_a_kernel_and_knows_its_callers(tmp_path: Path, object_code: bytes) -> None:
    pytest.importorskip("jitml_runtime._core")
    (tmp_path / "kernels.o").write_bytes(object_code)
    (tmp_path / "program.py").write_text(
        "import numpy as np, pathlib, programs, jitml_runtime as runtime\n"
        "code = runtime.load_object(pathlib.Path('kernels.o').read_bytes())\n"
        + PROGRAM
        + "runtime.set_num_threads(1)\n"
        "x = runtime.from_numpy(np.zeros(5000, np.float32))\n"
        "programs.bind(runtime, code, plan).run([x])\n"
        "del code\n"
    )
    (tmp_path / "commands").write_text(
        "set confirm off\nset breakpoint pending on\nset python print-stack none\n"
        "break add_one\nrun program.py\nbacktrace 2\ndelete\ncontinue\n"
    )
    places = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    result = subprocess.run(
        ["gdb", "-q", "-batch", "-nx", "-x", "commands", sys.executable],
        env={**os.environ, "PYTHONPATH": places, "JITML_GDB": "1", "JITML_RUNTIME": "native"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "ptrace" in result.stderr:
        pytest.skip("gdb may not trace here")
    assert "#0 " in result.stdout and "in add_one ()" in result.stdout, result
    assert "in run_chunk (" in result.stdout and "exited normally" in result.stdout, result


def test_images_are_unregistered_once() -> None:
    core = pytest.importorskip("jitml_runtime._core")
    first, second, third = (core.register_debug_image(b"image") for _ in range(3))
    core.unregister_debug_image(second)
    with pytest.raises(ValueError, match="no image is registered"):
        core.unregister_debug_image(second)
    core.unregister_debug_image(third)
    core.unregister_debug_image(first)
    with pytest.raises(TypeError):
        core.register_debug_image("text")
