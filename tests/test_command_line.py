"""`python -m jitml`: the matrix of rules, and every stage of a function."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import PACKAGES

import jitml
import jitml.numpy as jnp
from jitml.__main__ import cache_report, clear_cache, main, rule_matrix
from jitml.pipeline.disk import KERNEL, PROGRAM, Disk

MODULE = """
import functools
import jitml
import jitml.numpy as jnp

def layer(x, w, scale=2.0):
    h = jnp.tanh(x @ w)
    return h.sum(axis=1) * scale

@functools.partial(jitml.jit, static_argnames="n")
def repeated(x, n):
    for _ in range(n):
        x = jnp.sin(x)
    return x

class Model:
    @staticmethod
    def loss(x):
        return (x * x).sum()

slope = jitml.grad(Model.loss)
value = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "explained.py"
    path.write_text(MODULE)
    return path


@pytest.fixture
def run(file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, file.stem, sys)  # to be removed afterwards

    def explain(name: str, *types: str) -> tuple[int, str, str]:
        status = main(["explain", f"{file}:{name}", *types])
        found = capsys.readouterr()
        return status, found.out, found.err

    return explain


# Slopes with respect to parameters, for which no second derivatives are known (nor to JAX).
DERIVED_ONCE = {
    "betainc_grad_a", "betainc_grad_b", "hyp1f1_grad_a", "hyp1f1_grad_b", "hyp2f1_grad_a",
    "hyp2f1_grad_c", "igamma_grad_a", "random_gamma_grad", "zeta_grad_x",
}  # fmt: skip


def test_every_op_is_marked() -> None:
    lines = rule_matrix().splitlines()
    rows = [line.split() for line in lines[1 : lines.index("")]]
    assert len(rows) > 90
    assert lines[0].split() == ["op", "infer", "value", "jvp", "transpose", "batch", "kernel"]
    for name, *marks, kernel in rows:
        assert kernel in ("map", "fold", "own", "expand", "call"), name
        assert len(marks) == 5, name
        assert ("-" in marks) == (name in DERIVED_ONCE), f"{name} lacks a rule"
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["add"] == ["x", "x", "x", "x", "x", "map"]
    assert by_name["exp"] == ["x", "x", "x", "·", "x", "map"]
    assert by_name["reduce_sum"][-1] == "fold"
    assert by_name["dot_general"][-1] == "own"
    assert by_name["conv_general_dilated"][-1] == "expand"


def test_explain_shows_every_stage(run) -> None:  # type: ignore[no-untyped-def]
    status, out, err = run("layer", "f32[8,3]", "f32[3,4]")
    assert (status, err) == (0, "")
    headings = re.findall(r"^== (.*) ==$", out, re.MULTILINE)
    assert headings[:2] == ["source", "recorded graph"]
    assert "after inline_calls: no change" in headings[2]
    assert "after tile_attention: no change" in headings[3]
    assert any(h.startswith("plan: 2 instructions") for h in headings)
    assert any(h.startswith("kernel 0: ") for h in headings)
    assert "def layer(x, w, scale=2.0):" in out
    assert "%x: f32[8,3], %w: f32[3,4]" in out
    assert "# explained.py:7" in out
    assert "define" in out
    assert "more lines" in out, "a long kernel is cut short"


def test_explain_of_all_kinds_of_functions(run) -> None:  # type: ignore[no-untyped-def]
    assert run("repeated", "f64[3]", "2")[1].count(" = sin ") >= 2
    assert "graph" in run("Model.loss", "f32[5]")[1]
    assert "mul" in run("slope", "f32[5]")[1]
    assert "define" not in run("slope", "f32[5]", "--assembly")[1]
    assert "more lines" not in run("layer", "f32[8,3]", "f32[3,4]", "--full")[1]


@pytest.mark.parametrize(
    ("name", "types", "wanted"),
    [
        ("nothing", (), "has no function 'nothing'\n  hint: its functions are layer"),
        ("value", (), "has no function 'value'"),
        (
            "layer",
            (),
            "layer takes 2 arguments, 0 types were given\n  hint: python -m jitml explain",
        ),
        ("layer", ("f32[1]",) * 4, "layer takes 3 arguments, 4 types were given"),
        ("layer", ("f32[8,3", "f32[3,4]"), "cannot read the type 'f32[8,3'"),
        ("layer", ("f99[8,3]", "f32[3,4]"), "cannot read the type 'f99[8,3]'"),
        ("layer", ("f32[8,3]", "f32[4,4]"), "inner sizes differ"),
    ],
)
def test_explain_tells_what_is_wrong(run, name: str, types: tuple[str, ...], wanted: str) -> None:  # type: ignore[no-untyped-def]
    status, out, err = run(name, *types)
    assert (status, out) == (1, "")
    assert wanted in err
    assert len(err.splitlines()) <= 6


def test_explain_of_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "missing.py:f"]) == 1
    assert "does not name a function in a file" in capsys.readouterr().err


def test_a_reader_that_stops_early_is_no_error() -> None:
    environment = {**os.environ, "PYTHONPATH": PACKAGES}
    command = [sys.executable, "-m", "jitml", "ops"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_explain_as_a_method() -> None:
    f = jitml.jit(lambda x, n: jnp.sin(x) * n, static_argnums=1)
    text = f.explain(jnp.ones(3), 2)
    assert text.startswith("== source ==")
    assert "mul" in text
    assert jitml.explain(f, jitml.ShapeDtypeStruct((3,), "float32"), n=2).count("== kernel") == 1


# ---- cache ---------------------------------------------------------------------------------------


def test_cache_info_and_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cache"
    monkeypatch.setenv("JITML_CACHE", "1")
    monkeypatch.setenv("JITML_CACHE_DIR", str(folder))
    monkeypatch.setenv("JITML_CACHE_SIZE", "64M")
    disk = Disk(str(folder))
    disk.write(KERNEL, bytes(24), bytes(1 << 20))
    disk.write(PROGRAM, bytes(24), b"plan")
    assert main(["cache", "info"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"folder   {folder}",
        "state    in use",
        "content  1 programs, 1 kernels",
        "size     1.0 MB of at most 64 MB",
    ]
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"deleted 2 entries of {folder}\n"
    assert "content  0 programs, 0 kernels" in cache_report()


def test_cache_info_says_why_the_cache_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    monkeypatch.setenv("JITML_CACHE_DIR", str(folder))
    monkeypatch.setenv("JITML_CACHE", "0")
    assert "state    turned off by JITML_CACHE=0" in cache_report()
    monkeypatch.setenv("JITML_CACHE", "1")
    assert "state    in use" in cache_report()
    folder.mkdir(0o700)
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        assert "state    read, but not written: the folder is read-only" in cache_report()
    folder.chmod(0o770)
    assert f"state    not used: {folder} can be written by others" in cache_report()
    assert clear_cache().startswith(f"nothing deleted: {folder} can be written by others")
