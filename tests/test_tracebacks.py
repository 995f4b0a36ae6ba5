"""Errors are shown with the user's lines alone: in scripts and in IPython."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from places import PACKAGES

import jitml
import jitml.numpy as jnp
from jitml.errors import JitmlError
from jitml.ir.tracebacks import hide_frames

PROGRAM = """
import jitml, jitml.numpy as jnp

def layer(x, w):
    h = x @ w
    return h

@jitml.jit
def model(x, w):
    return jitml.vmap(layer, (0, None))(x, w).sum()

def train(x, w):
    return jitml.grad(model, 1)(x, w)

train(jnp.ones((4, 3)), jnp.ones((5, 3)))
"""
TOLD = ["train(jnp.ones", "jitml.grad(model", "jitml.vmap(layer", "h = x @ w"]


def run(*command: str, **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": PACKAGES, "JITML_TRACEBACK": "", **variables}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True)
    return done.stderr.decode() + done.stdout.decode()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for users; the test suite shows all frames else."""
    monkeypatch.delenv("JITML_TRACEBACK")


def test_a_script_shows_the_users_lines_alone(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(PROGRAM)
    shown = run(str(path))
    frames = [line for line in shown.splitlines() if line.startswith('  File "')]
    assert len(frames) == 4 and all(str(path) in frame for frame in frames)
    assert "\njitml.errors.ShapeError: matmul: inner sizes differ" in shown
    assert str(Path(jitml.__file__).parent) in run(str(path), JITML_TRACEBACK="full")


def test_ipython_shows_the_users_lines_alone() -> None:
    pytest.importorskip("IPython", reason="the extra `notebook` is not installed")
    start = "from IPython.core.interactiveshell import InteractiveShell as S\n"
    shown = run("-c", f"{start}S.instance(colors='NoColor').run_cell({PROGRAM!r})")
    assert [shown.index(line) for line in TOLD] and "differentiation.py" not in shown
    assert "  at In[1]:4 in layer:  h = x @ w" in shown


@pytest.mark.parametrize(
    "call",
    [
        lambda: jitml.jit(jitml.vmap(lambda x: x @ jnp.ones(4)))(jnp.ones((2, 3))),
        lambda: jitml.grad(lambda x: jnp.sqrt(x + jnp.ones(2)).sum())(jnp.ones(3)),
        lambda: jnp.ones(3) + jnp.ones(4),
        lambda: jitml.vmap(lambda x, y: x)(jnp.ones(3), jnp.ones(4)),
        lambda: jitml.jit(lambda n: n, static_argnums=0)([]),
    ],
)
@pytest.mark.skipif("sys.version_info < (3, 11)")
def test_errors_leave_us_without_our_frames(call: Callable[[], object], shown: None) -> None:
    with pytest.raises(JitmlError) as caught:
        call()
    files = {frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)}
    # An executor written in Python has frames of its own around what an error leaves.
    assert {file for file in files if "jitml_runtime/reference" not in file} == {__file__}


def test_errors_of_users_and_what_they_came_from(shown: None) -> None:
    def first(x: object) -> object:
        raise KeyError("mine")

    def second(x: object) -> object:
        try:
            return jitml.grad(first)(1.0)
        except KeyError as error:
            raise ValueError("also mine") from error

    with pytest.raises(ValueError, match="also mine") as caught:
        jitml.vmap(second)(jnp.ones(3))
    hide_frames(caught.value)
    cause = caught.value.__cause__
    assert cause is not None
    for error, names in ((caught.value, ["second"]), (cause, ["second", "first"])):
        found = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert found[-len(names) :] == names
        assert not set(found) & {"gradient_function", "trace_graph", "record"}


@pytest.mark.parametrize(
    ("error", "count"),
    [("ZeroDivisionError('x')", 2), ("InternalError('x')", 2), ("ShapeError('x')", 1)],
)
def test_a_fault_of_ours_is_shown_whole(error: str, count: int, shown: None) -> None:
    file = str(Path(jitml.__file__).parent / "made.py")
    names = dict(vars(jitml.errors))
    exec(compile(f"def fail(): raise {error}", file, "exec"), names)
    with pytest.raises(Exception, match="x") as caught:
        names["fail"]()
    hide_frames(caught.value)
    assert len(traceback.extract_tb(caught.value.__traceback__)) == count
