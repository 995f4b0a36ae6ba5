"""`import jitml` is light: what is heavy comes with its first use."""

from __future__ import annotations

import os
import subprocess
import sys

from places import PACKAGES


def run(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": PACKAGES}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_import_brings_in_the_runtime_alone() -> None:
    code = (
        "import sys, numpy; before = set(sys.modules); import jitml; "
        "print(*sorted(set(sys.modules) - before))"
    )
    modules = run(code).split()
    ours = {m.partition(".")[0] for m in modules} & {"jitml", "jitml_runtime"}
    assert ours == {"jitml", "jitml_runtime"}
    assert [m for m in modules if m.startswith("jitml.")] == []
    assert not {"llvmlite", "scipy", "hypothesis"} & set(modules)


def test_numpy_functions_need_no_compiler_until_one_runs() -> None:
    code = (
        "import sys, jitml.numpy as jnp; print('jitml.codegen.emit' in sys.modules); "
        "jnp.ones(3) + 1; print('llvmlite' in sys.modules)"
    )
    assert run(code).split() == ["False", "True"]


def test_arrays_have_operators_whatever_was_imported_first() -> None:
    made = "import jitml, jitml_runtime, numpy as np; a = jitml_runtime.from_numpy(np.arange(3.0));"
    uses = (
        "a + 1",
        "1 - a",
        "a.sum()",
        "repr(a)",
        "f'{a}'",
        "round(a)",
        "a[1]",
        "a.T",
        "-a",
        "a < 2",
    )
    expected = run(f"{made} import jitml.array_methods; print(*[{', '.join(uses)}], sep=';')")
    for use, wanted in list(zip(uses, expected.split(";"), strict=True))[::4]:
        assert run(f"{made} print({use})").strip() == wanted.strip()
    assert run(f"{made} print(hasattr(a, 'nothing'), list(a) == [0, 1, 2])").split() == [
        "False",
        "True",
    ]


def test_each_public_name_is_there() -> None:
    assert run("import jitml; print(all(hasattr(jitml, n) for n in jitml.__all__))") == "True\n"
