"""Programs that an earlier process has compiled: found whole, or compiled again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import PACKAGES

import jitml
import jitml.numpy as jnp
from jitml.ir.graph import Eqn, Graph, Literal, Var
from jitml.ir.op import Op
from jitml.ir.types import ArrayType, parse_type
from jitml.ops.elementwise import Convert, IntegerPow, add
from jitml.ops.kinds import Row
from jitml.pipeline import disk as disk_module
from jitml.pipeline import environment
from jitml.pipeline.compile import clear_compiled
from jitml.pipeline.disk import PROGRAM, disk
from jitml.pipeline.graph_key import graph_key
from jitml.pipeline.statistics import STATISTICS

ROOT = Path(__file__).parent.parent.parent
F32 = ArrayType(np.dtype(np.float32), (3,))

PROGRAM_TEXT = """
import sys
import numpy as np
import jitml, jitml.numpy as jnp
from jitml.pipeline.statistics import STATISTICS as s

rng = np.random.default_rng(0)
weights = [rng.standard_normal((16, 16)).astype(np.float32) for _ in range(3)]
x = rng.standard_normal((4, 16)).astype(np.float32)

def loss(weights, x):
    for w in weights:
        x = jnp.tanh(x @ w)
    return jnp.mean(x ** 2)

value, gradients = jitml.jit(jitml.value_and_grad(loss))(weights, x)
rows = jitml.jit(lambda x, i: jnp.sort(x, axis=1)[i] / 3)(x, np.int32(2))
eager = jnp.cumsum(jnp.asarray(x) + 1, axis=0)
for y in (value, *gradients, rows, eager):
    print(np.asarray(y).tobytes().hex()[:4000])
compiled = s.graphs + s.kernels > 0
print(compiled, s.graphs_found > 0, *(m in sys.modules for m in ("llvmlite", "jitml.codegen.fuse")))
"""


def run(folder: Path, code: str = PROGRAM_TEXT, **environment: str) -> list[str]:
    """Lines that a new process prints, with its cache in `folder`."""
    given = {"PYTHONPATH": PACKAGES, "JITML_CACHE_DIR": str(folder)}
    given |= {"JITML_CACHE": "1", **environment}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, env={**os.environ, **given}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder that a process has filled, and what that process printed."""
    folder = tmp_path_factory.mktemp("filled") / "cache"
    *results, told = run(folder)
    assert told == "True False True True"
    return folder, results


@pytest.fixture
def kept(filled: tuple[Path, list[str]], tmp_path: Path) -> tuple[Path, list[str]]:
    """A copy of it."""
    shutil.copytree(filled[0], tmp_path / "cache")
    return tmp_path / "cache", filled[1]


FOUND, COMPILED = "False True False False", "True"


def test_a_second_process_needs_neither_passes_nor_compiler(kept: tuple[Path, list[str]]) -> None:
    folder, expected = kept
    assert run(folder, PYTHONHASHSEED="7") == [*expected, FOUND]


def damage_half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def damage_bit(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def damage_version(data: bytes) -> bytes:
    return data[:8] + b"\x63" + data[9:]


@pytest.mark.parametrize("damage", [damage_half, damage_bit, damage_version])
def test_a_damaged_cache_is_rebuilt(
    kept: tuple[Path, list[str]], damage: Callable[[bytes], bytes]
) -> None:
    folder, expected = kept
    for path in folder.rglob("*.*"):
        path.write_bytes(damage(path.read_bytes()))
    *results, told = run(folder)
    assert results == expected and told.startswith(COMPILED)
    assert run(folder) == [*expected, FOUND]


def test_a_program_whose_kernels_are_gone_is_compiled_again(kept: tuple[Path, list[str]]) -> None:
    folder, expected = kept
    for path in folder.rglob("*.kernel"):
        path.unlink()
    *results, told = run(folder)
    assert results == expected and told.startswith(COMPILED)


def test_kernels_serve_programs_that_are_new(kept: tuple[Path, list[str]]) -> None:
    folder, expected = kept
    for path in folder.rglob("*.program"):
        path.unlink()
    *results, told = run(folder)
    assert results == expected
    assert told == "True False False True", "lowered again, without llvmlite"


def test_a_folder_that_cannot_be_used_does_not_matter(
    kept: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, expected = kept
    folder.chmod(0o777)
    assert run(folder)[:-1] == expected
    before = sorted(folder.rglob("*"))
    folder.chmod(0o700)
    assert run(folder, JITML_CACHE="0")[:-1] == expected
    assert sorted(folder.rglob("*")) == before


def test_two_processes_fill_one_folder(filled: tuple[Path, list[str]], tmp_path: Path) -> None:
    given = {"PYTHONPATH": PACKAGES, "JITML_CACHE_DIR": str(tmp_path / "c")}
    given |= {"JITML_CACHE": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM_TEXT],
            env={**os.environ, **given},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        printed = process.communicate(timeout=100)[0].splitlines()
        assert process.returncode == 0 and printed[:-1] == filled[1]


OUTSIDE = """
import numpy as np, jitml, jitml.numpy as jnp
f = jitml.jit(lambda x, i: 2 * x[i])
for call in (f, lambda x, i: jnp.asarray(x)[i]):
    try:
        call(np.arange(3.0), np.array([1, 5]))
    except IndexError as error:
        print(str(error).replace(chr(10), "|"))
"""


def test_a_failed_check_of_a_program_that_was_found_is_told_as_before(tmp_path: Path) -> None:
    first = run(tmp_path / "cache", OUTSIDE)
    assert len(first) == 2 and "index 5 is out of bounds for axis 0 with size 3" in first[0]
    assert run(tmp_path / "cache", OUTSIDE) == first


# ---- in one process ------------------------------------------------------------------------------


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """This process with a cache of its own, and nothing compiled."""
    monkeypatch.setenv("JITML_CACHE", "1")
    monkeypatch.setenv("JITML_CACHE_DIR", str(tmp_path / "own"))
    disk_module.reopen()
    clear_compiled()
    yield tmp_path / "own"
    monkeypatch.undo()
    disk_module.reopen()


def test_equal_programs_are_found_whatever_their_names(own_cache: Path) -> None:
    x = jnp.arange(3.0)
    first = jitml.jit(lambda x: jnp.sin(x) * 2.0)(x)
    clear_compiled()
    compiled, found = STATISTICS.kernels, STATISTICS.graphs_found
    second = jitml.jit(lambda other: jnp.sin(other) * 2.0)(x)
    assert np.array_equal(first, second)
    assert (STATISTICS.kernels, STATISTICS.graphs_found) == (compiled, found + 1)
    third = jitml.jit(lambda other: jnp.sin(other) * 3.0)(x)
    assert np.allclose(third, np.sin(np.arange(3)) * 3)
    assert STATISTICS.graphs_found == found + 1


@pytest.mark.parametrize("name", ["JITML_DUMP", "JITML_VERIFY"])
def test_passes_run_where_the_environment_asks_for_them(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    assert float(jitml.jit(lambda x: x + 40)(2)) == 42
    kept = disk()
    assert kept is not None
    assert not any(entry.kind == PROGRAM for entry in kept.entries())


def key_with(op: Op, *literals: Any) -> bytes | None:
    x = Var(F32)
    inputs = (x, *(Literal(value, ArrayType(F32.dtype, ())) for value in literals))
    out = Var(F32)
    return graph_key(Graph("f", (x,), (Eqn(op, inputs, (out,)),), (out,)))


def test_keys_tell_apart_what_python_finds_equal() -> None:
    keys = [
        key_with(IntegerPow(1)),
        key_with(IntegerPow(True)),
        key_with(IntegerPow(1.0)),  # type: ignore[arg-type]
        key_with(IntegerPow(0)),
        key_with(IntegerPow(-0.0)),  # type: ignore[arg-type]
        key_with(add, 0.0),
        key_with(add, -0.0),
        key_with(add, 0),
        key_with(add, False),
        key_with(Convert(np.dtype(np.float32))),
        key_with(Convert(np.dtype(np.float64))),
    ]
    assert None not in keys and len(set(keys)) == len(keys)


def test_keys_do_not_depend_on_names_and_lines() -> None:
    x = parse_type("f32[3]")

    def make(name: str) -> Graph:
        a, b = Var(x, name), Var(x)
        return Graph(name, (a,), (Eqn(add, (a, a), (b,)),), (b,))

    assert graph_key(make("one")) == graph_key(make("other")) is not None


def test_graphs_with_ops_from_elsewhere_have_no_key() -> None:
    registered = dict(Op.registry)

    class Own(IntegerPow):
        name = "own_power"

    try:
        assert key_with(Own(2)) is None
        own_row = Row("own_row", np.asarray, "f", (None,), (), lambda x: x + x)
        assert key_with(own_row) is None
        assert key_with(IntegerPow(len)) is None  # type: ignore[arg-type]
    finally:
        Op.registry.clear()
        Op.registry.update(registered)


def copy_sources(target: Path) -> Path:
    for name in environment._FOLDERS:
        shutil.copytree(ROOT / "jitml" / name, target / name)
    for path in target.rglob("*"):
        assert path.stat().st_ctime > 0
    return target


def test_other_sources_are_another_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = copy_sources(tmp_path / "jitml")
    monkeypatch.setattr(environment, "_package", lambda: str(package))
    assert environment._sources() is None, "changed while this process runs"
    monkeypatch.setattr(environment, "IMPORTED_AT", float("inf"))
    first = environment._sources()
    assert first is not None and environment._sources() == first
    with (package / "ops" / "sort.py").open("a") as file:
        file.write("# changed\n")
    second = environment._sources()
    (package / "ops" / "sort.py").rename(package / "ops" / "sort2.py")
    third = environment._sources()
    with next((package / "ops").glob("*/*.py")).open("a") as file:
        file.write("# changed\n")
    assert len({first, second, third, environment._sources(), None}) == 5


def test_unchanged_sources_are_read_once(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = copy_sources(tmp_path / "jitml")
    monkeypatch.setattr(environment, "_package", lambda: str(package))
    monkeypatch.setattr(environment, "IMPORTED_AT", float("inf"))
    first = environment._sources()
    with monkeypatch.context() as patch:
        patch.setattr(environment, "_digest", lambda paths: b"read again")
        assert environment._sources() == first
        (package / "ops" / "sort.py").touch()
        assert environment._sources() == b"read again"
    (package / "ops" / "sort.py").write_text("# changed\n")
    assert environment._sources() not in (first, b"read again", None)
