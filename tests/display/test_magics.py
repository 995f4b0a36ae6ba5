"""The magics: a call is shown instead of being made; what is before it is executed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from places import PACKAGES

import jitml
import jitml.numpy as jnp
from jitml.errors import ArgumentError


class Shell:
    """What the magics use of IPython's shell."""

    def __init__(self) -> None:
        self.user_ns: dict[str, Any] = {"jitml": jitml, "jnp": jnp}
        self.magics: dict[str, Any] = {}
        self.compile = self

    def register_magic_function(self, function: Any, kind: str, name: str) -> None:
        assert kind == "line_cell"
        self.magics[name] = function

    execution_count = 1

    def cache(self, source: str, number: int) -> str:
        return "<cell>"


@pytest.fixture
def shell() -> Shell:
    found = Shell()
    jitml.load_ipython_extension(found)
    return found


def test_explain_shows_the_stages_of_a_call(shell: Shell) -> None:
    shell.user_ns["f"] = jitml.jit(lambda x, scale=1: jnp.sin(x) * scale)
    explained = shell.magics["jit_explain"]("f(jnp.ones(7), scale=2)")
    assert "f32[7]" in str(explained)
    assert "== recorded graph ==" in str(explained)
    assert shell.user_ns["f"].compiles == 0


def test_what_is_before_the_call_is_executed_and_kept(shell: Shell) -> None:
    cell = "size = 5\ndef g(x):\n    return x + 1\ng(jnp.ones(size))\n"
    assert "f32[5]" in str(shell.magics["jit_explain"]("", cell))
    assert shell.user_ns["size"] == 5
    assert not [name for name in shell.user_ns if "ask" in name]


def test_another_last_line_is_an_error_that_says_what_to_write(shell: Shell) -> None:
    for source in ("", "x = 1", "1 + 1"):
        with pytest.raises(ArgumentError, match=r"hint: write the call .*: %jit_explain f\(x\)"):
            shell.magics["jit_explain"](source)


def test_report_asks_the_function_for_its_report(shell: Shell) -> None:
    f = jitml.jit(lambda x: x)
    f.report = lambda *args, **kwargs: ("report of", args, kwargs)
    shell.user_ns["f"] = f
    assert shell.magics["jit_report"]("", "f(1, b=2)") == ("report of", (1,), {"b": 2})


def test_ipython_takes_them(tmp_path: Path) -> None:
    pytest.importorskip("IPython")
    lines = (
        "%load_ext jitml",
        "import jitml.numpy as jnp",
        "h = lambda x: x * 2",
        "explained = %jit_explain h(jnp.ones(3))",
        "print(explained)",
        "found = get_ipython().run_cell_magic('jit_explain', '', 'n = 4; h(jnp.ones(n))')",
        "print(n, found)",
    )
    environment = {**os.environ, "PYTHONPATH": PACKAGES, "IPYTHONDIR": str(tmp_path)}
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=nocolor", "-c"]
    printed = subprocess.run(
        [*command, "\n".join(lines)], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "f32[3]" in printed
    assert "f32[4]" in printed
    assert "\n4 == source ==" in printed
