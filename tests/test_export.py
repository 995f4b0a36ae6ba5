"""Compiled functions in files: for `jitml_runtime` alone, and for C."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
import jitml_runtime
from jitml import lax
from jitml.errors import ArgumentError
from jitml_runtime import LoadError, deployment, processor
from jitml_runtime.packing import seal, unseal

RUNTIME = Path(jitml_runtime.__file__).parent.parent
RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 5)).astype(np.float32)
W = RNG.standard_normal((5, 7)).astype(np.float32)
SCALE = jnp.asarray(RNG.standard_normal(7).astype(np.float32))

on_linux = pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="needs /proc/cpuinfo")
pytestmark = on_linux


class Layer(NamedTuple):
    w: Any
    b: Any


def predict(layers: list[Layer], x: Any, *, power: Any = 2) -> Any:
    for layer in layers:
        x = jnp.tanh(x @ layer.w + layer.b)
    y = x * SCALE
    return {"y": y**power, "sums": (y.sum(axis=1), None), "layer": Layer(y.sum(), y.sum()), "x": x}


LAYERS = [Layer(W, np.zeros(7, np.float32)), Layer(np.eye(7, dtype=np.float32), np.ones(7, "f"))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "program.jitml"


def saved(path: Path, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    jitml.export.save(fun, path, *args, **kwargs)
    return jitml_runtime.load(path)


def assert_same(found: Any, expected: Any) -> None:
    """Equal containers with the same bits."""
    left, right = jitml.tree.leaves(found), jitml.tree.leaves(expected)
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert isinstance(a, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape
        assert a.tobytes() == np.asarray(b).tobytes()


# ---- a round trip --------------------------------------------------------------------------------


@pytest.mark.parametrize("cpu", ["host", "x86-64-v3"])
def test_results_are_the_same_bits(path: Path, cpu: str) -> None:
    if cpu != "host" and not set(processor.LEVELS["x86-64-v3"]) <= (processor.features() or set()):
        pytest.skip("this processor is of another kind")
    program = saved(path, predict, LAYERS, X, power=3.0, cpu=cpu)
    found = program(LAYERS, X, power=3.0)
    assert_same(found, jitml.jit(predict)(LAYERS, X, power=3.0))
    assert list(found) == ["layer", "sums", "x", "y"] and found["layer"]._fields == ("w", "b")
    assert found["sums"][1] is None
    assert program.features == (
        processor.compiled_features() if cpu == "host" else processor.LEVELS[cpu]
    )


def test_a_program_tells_what_it_takes_and_gives(path: Path) -> None:
    program = saved(path, predict, LAYERS[:1], X, power=3.0)
    assert (program.name, program.made_by) == ("predict", jitml.__version__)
    assert repr(program) == (
        "<program predict(layers[0].w: float32[5,7], layers[0].b: float32[7], x: float32[4,5], "
        "power: float32[]) -> result['layer'].w: float32[], result['layer'].b: float32[], "
        "result['sums'][0]: float32[4], result['x']: float32[4,7], result['y']: float32[4,7]>"
    )
    assert list(program.inputs) == ["layers[0].w", "layers[0].b", "x", "power"]


@pytest.mark.parametrize(
    ("fun", "args"),
    [
        (lambda x: x, (X,)),
        (lambda x, y: (y, y, x, x + 1, x + 1), (X, np.arange(3))),
        (lambda: jnp.arange(5), ()),
        (lambda x: (jnp.sort(x, axis=0), jnp.cumsum(x, axis=1), x.argmax()), (X,)),
        (lambda x: jnp.sin(x) + SCALE[:5], (X,)),
        (lambda x: x[2:2] * 2, (X,)),
        (lambda x, y: x * y, (X.astype(np.float16), 2)),
        (lambda x: ~x, (X > 0,)),
        (lambda x: x * x, ((X + 1j * X).astype(np.complex64),)),
        (lambda x: jnp.exp(x).sum(axis=0), (X.astype(ml_dtypes.bfloat16),)),
        (lambda x: jnp.zeros((3, 3)).at[x].add(1), (np.array([0, 2]),)),
        (jitml.value_and_grad(lambda x: jnp.sum(jnp.cos(x) ** 2)), (X,)),
        (jitml.vmap(lambda x: jnp.dot(x, x)), (X.astype(np.float64),)),
    ],
)
def test_programs_of_all_kinds(path: Path, fun: Callable[..., Any], args: tuple[Any, ...]) -> None:
    assert_same(saved(path, fun, *args)(*args), jitml.jit(fun)(*args))


def test_types_alone_do_for_examples(path: Path) -> None:
    program = saved(path, lambda x: x * 2, jitml.ShapeDtypeStruct((3,), "float32"))
    assert_same(program(np.ones(3, "f")), np.full(3, 2, "f"))


def test_static_and_donated_arguments(path: Path) -> None:
    fun = jitml.jit(
        lambda n, x, y: [x * k + y for k in range(n)], static_argnums=0, donate_argnums=1
    )
    program = saved(path, fun, 3, jnp.ones(2), jnp.ones(2))
    x = np.full(2, 5, np.float32)
    found = program(y=np.ones(2, "f"), x=x)
    assert_same(found, [np.full(2, 5 * k + 1, "f") for k in range(3)])
    assert (x == 5).all()


def test_arrays_of_closures_are_kept_as_they_were(path: Path) -> None:
    offset = np.ones(2, np.float32)
    program = saved(path, lambda x: x + jnp.asarray(offset), np.zeros(2, np.float32))
    offset[:] = 7
    assert_same(program(np.zeros(2, np.float32)), np.ones(2, np.float32))


def test_results_do_not_change_with_arguments_that_are_passed_through(path: Path) -> None:
    program = saved(path, lambda x: x, X)
    x = X.copy()
    found = program(x)
    x[:] = 0
    assert_same(found, X)


def test_irregular_arrays_and_arrays_of_jitml(path: Path) -> None:
    program = saved(path, lambda x: x * 2, np.zeros((3, 2)))
    x = np.arange(12.0).reshape(2, 6)[:, ::2].T
    assert_same(program(x), x * 2)
    assert_same(program(jnp.asarray(np.ascontiguousarray(x))), x * 2)
    assert_same(program(x.astype(">f8").astype("<f8")), x * 2)


ALONE = """
import sys
import numpy as np
import jitml_runtime
program = jitml_runtime.load(sys.argv[1])
y = program(np.arange(20, dtype=np.float32).reshape(4, 5))
print(y.tobytes().hex(), type(y).__name__, float(y.sum() * 0 + 1))
try:
    program(np.zeros(3))
except TypeError as error:
    print(error)
print([m for m in sys.modules if m.partition(".")[0] in ("jitml", "llvmlite", "ml_dtypes")])
"""


@pytest.mark.parametrize("runtime", ["native", "python"])
def test_the_runtime_alone_runs_it(path: Path, runtime: str, tmp_path: Path) -> None:
    if runtime != jitml_runtime.EXECUTOR == "python":
        pytest.skip("the C core is not used")
    jitml.export.save(lambda x: jnp.tanh(x @ W), path, X)
    (tmp_path / "ml_dtypes.py").write_text("raise ImportError('not installed')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{RUNTIME}"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ALONE, str(path)],
        env={**environment, "JITML_RUNTIME": runtime},
        capture_output=True,
        text=True,
        check=False,
    )
    expected = jitml.jit(lambda x: jnp.tanh(x @ W))(np.arange(20, dtype="f").reshape(4, 5))
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"{np.asarray(expected).tobytes().hex()} ndarray 1.0",
        "x must be float32[4,5], not float64[3]",
        "[]",
    ]


def test_bfloat16_needs_ml_dtypes(path: Path, tmp_path: Path) -> None:
    jitml.export.save(lambda x: x, path, np.zeros(3, ml_dtypes.bfloat16))
    (tmp_path / "ml_dtypes.py").write_text("raise ImportError('not installed')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{RUNTIME}"}
    code = "import sys, jitml_runtime; jitml_runtime.load(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env=environment, capture_output=True, text=True
    )
    assert "arrays of dtype bfloat16 are needed: pip install ml_dtypes" in done.stderr


# ---- arguments that do not fit -------------------------------------------------------------------

Other = namedtuple("Other", "w c")


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((LAYERS,), {"power": 1.0}, r"predict takes 2 arguments by position \(layers, x\), 1 were"),
        ((LAYERS, X, 2.0), {}, "predict takes 2 arguments by position"),
        ((LAYERS, X), {}, "keyword arguments lacks 'power'"),
        ((LAYERS, X), {"power": 1.0, "q": 1}, "has 'q', which the program does not take"),
        (
            (LAYERS, X.astype(float)),
            {"power": 1.0},
            r"x must be float32\[4,5\], not float64\[4,5\]",
        ),
        ((LAYERS, X.T), {"power": 1.0}, r"x must be float32\[4,5\], not float32\[5,4\]"),
        ((LAYERS, X.tolist()), {"power": 1.0}, r"x must be float32\[4,5\], not a list"),
        ((LAYERS, X), {"power": 1j}, r"power must be float32\[\], not 1j"),
        ((LAYERS[:1], X), {"power": 1.0}, "layers must be a list of 2, not a list of 1"),
        ((tuple(LAYERS), X), {"power": 1.0}, "layers must be a list of 2, not a tuple of 2"),
        (([LAYERS[0], Other(W, W)], X), {"power": 1.0}, r"layers\[1\] must be a Layer\(w, b\)"),
        (([LAYERS[0], None], X), {"power": 1.0}, r"layers\[1\] must be a Layer\(w, b\), not None"),
    ],
)
def test_arguments_that_do_not_fit(
    path: Path, args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    program = saved(path, predict, LAYERS, X, power=1.0)
    with pytest.raises(TypeError, match=message):
        program(*args, **kwargs)


def test_numbers_for_arguments(path: Path) -> None:
    program = saved(path, lambda b, i, u, x: (b, i, u, x), True, 1, np.uint8(1), 1.0)
    assert_same(program(False, -5, 255, 3), (np.False_, np.int32(-5), np.uint8(255), np.float32(3)))
    for args in ((1, 1, 1, 1.0), (True, 1.5, 1, 1.0), (True, 2**40, 1, 1.0), (True, 1, 256, 1.0)):
        with pytest.raises(TypeError, match="must be"):
            program(*args)


def test_an_index_out_of_bounds_names_the_line(path: Path) -> None:
    program = saved(path, lambda x, i: x[i] * 2, X, np.array([1]))
    with pytest.raises(IndexError) as raised:
        program(X, np.array([4]))
    assert re.fullmatch(
        r"index 4 is out of bounds for axis 0 with size 4 of f32\[4,5\] "
        r"\(at element 0 of the result\)\n  at test_export.py:\d+ in <lambda>:  program = .*",
        str(raised.value),
    )
    assert_same(program(X, np.array([3])), X[[3]] * 2)


def test_loops_and_conditionals(path: Path) -> None:
    def fun(x: Any, rows: Any) -> Any:
        def step(total: Any, row: Any) -> Any:
            total = total + x[row]
            return total, jitml.lax.cond(total[0] > 0, jnp.sin, jnp.cos, total)

        return jitml.lax.scan(step, jnp.zeros(5), rows)

    rows = np.array([0, 3, 2])
    program = saved(path, fun, X, rows)
    assert_same(program(X, rows), jitml.jit(fun)(X, rows))
    with pytest.raises(IndexError, match=r"index 7 is .*, at loop step 1\)"):
        program(X, np.array([0, 7, 8]))


def test_steps_of_loops_that_are_one_kernel_are_told(path: Path) -> None:
    def fun(x: Any, rows: Any) -> Any:
        return jitml.lax.fori_loop(0, 4, lambda i, total: total + x[rows[i]], jnp.float32(0))

    x, rows = jnp.arange(5.0), np.array([0, 3, 2, 1])
    program = saved(path, fun, x, rows)
    assert_same(program(x, rows), jitml.jit(fun)(x, rows))
    wrong = np.array([0, 3, 8, 9])
    with pytest.raises(IndexError) as expected:
        jitml.jit(fun)(x, wrong)
    with pytest.raises(IndexError, match=r"at element 0 of the result, at loop step 2\)") as found:
        program(x, wrong)
    assert str(found.value).split("\n")[0] in str(expected.value)


@dataclass
class Model:
    w: Any


jitml.tree_util.register_dataclass(Model)


def test_what_cannot_be_saved_says_so(path: Path) -> None:
    with pytest.raises(ArgumentError, match="the argument model contains a Model, which only this"):
        jitml.export.save(lambda model: model.w, path, Model(X))
    with pytest.raises(ArgumentError, match="the result contains a Model"):
        jitml.export.save(lambda x: Model(x), path, X)
    with pytest.raises(ArgumentError, match="there is no cpu 'z80' for"):
        jitml.export.save(lambda x: x, path, X, cpu="z80")
    with pytest.raises(ArgumentError, match="'not-a-name' cannot be the name of a C function"):
        jitml.export.save_c(lambda x: x, path.with_name("not-a-name"), X)
    assert not path.exists()


# ---- files that cannot be loaded -----------------------------------------------------------------


def fails(path: Path) -> str:
    with pytest.raises(LoadError) as raised:
        jitml_runtime.load(path)
    text = str(raised.value)
    start = f"{path} cannot be loaded: "
    assert text.startswith(start)
    return text[len(start) :]


def test_damaged_files(path: Path) -> None:
    jitml.export.save(lambda x: x + 1, path, X)
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        assert "cut off" in fails(path) or "damaged" in fails(path)
    for position in range(0, len(whole), 97):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        assert fails(path)


def test_contents_that_lie_are_refused(path: Path) -> None:
    """Even a file whose digest is right is checked for what it says."""
    jitml.export.save(lambda x, y: jnp.sin(x @ y), path, np.zeros((3, 3)), np.zeros((3, 3)))
    payload = unseal(16, path.read_bytes())
    words = int.from_bytes(payload[:8], "little")
    refused = 0
    for word in range(2, words):
        for value in (-1, 2**40, 1):
            changed = bytearray(payload)
            changed[8 * word : 8 * word + 8] = value.to_bytes(8, "little", signed=True)
            try:
                deployment.unpack(seal(16, bytes(24), bytes(changed)))
            except (LoadError, ValueError):
                refused += 1
    assert refused > words


def repacked(path: Path, **changes: Any) -> None:
    found = deployment.unpack(path.read_bytes())
    path.write_bytes(deployment.pack(found._replace(**changes)))


def test_files_for_other_machines(path: Path) -> None:
    jitml.export.save(lambda x: x + 1, path, X)
    repacked(path, features=("avx2", "avx4096"))
    assert fails(path) == (
        "this processor lacks avx4096, which its code uses: save it with cpu='x86-64-v3' for any "
        "processor with AVX2"
    )
    repacked(path, features=(), platform="amiga-m68k")
    assert fails(path) == f"it was compiled for amiga-m68k, this is {processor.platform_name()}"


def test_files_of_other_versions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jitml.export.save(lambda x: x + 1, path, X)
    with monkeypatch.context() as patch:
        patch.setattr(deployment, "INTERFACE", 99)
        assert fails(path) == (
            f"it was saved by jitml {jitml.__version__} for kernel interface 5, this jitml_runtime "
            "has interface 99: save it again"
        )
    data = path.read_bytes()
    path.write_bytes(data[:8] + b"\x07" + data[9:])
    assert fails(path) == "it has format 7, this version of jitml_runtime reads 1"
    path.write_bytes(b"\x7fELF" + data)
    assert fails(path) == "it is no jitml file, or cut off"


# ---- C -------------------------------------------------------------------------------------------

MAIN = r"""
#include <stdio.h>
#include <stdlib.h>
#include "network.h"

int main(void)
{
    float w[35], x[20], result_0[8], result_1[20], total;
    int64_t rows[2] = {2, 1};
    for (int k = 0; k < 35; k++)
        w[k] = 0.25f * (float)(k % 7) - 0.5f;
    for (int k = 0; k < 20; k++)
        x[k] = 0.125f * (float)k - 1.0f;
    void *workspace = aligned_alloc(64, (NETWORK_WORKSPACE_BYTES + 64) / 64 * 64);
    int32_t status = network(w, x, rows, result_0, result_1, &total, workspace);
    printf("%d [%s]\n", status, network_message(status));
    for (int k = 0; k < 8; k++)
        printf("%a ", result_0[k]);
    printf("%a %a\n", result_1[19], total);
    rows[0] = 9;
    status = network(w, x, rows, result_0, result_1, &total, workspace);
    printf("%d %s\n", status, network_message(status));
    status = network(w, x, rows, result_0, result_1, &total, (char *)workspace + 8);
    printf("%d %s\n", status, network_message(status));
    printf("%s\n", network_message(99));
    free(workspace);
    return 0;
}
"""
OFFSET = jnp.asarray(np.arange(4, dtype=np.float32))


def network(w: Any, x: Any, rows: Any) -> Any:
    h = jnp.tanh(x @ w)[rows]
    y = jnp.sort(h, axis=1)[:, :4] + OFFSET
    return y, x, y.sum() / 3


def c_arguments() -> tuple[Any, ...]:
    k = np.arange(35)
    w = (0.25 * (k % 7) - 0.5).astype(np.float32).reshape(5, 7)
    x = (0.125 * np.arange(20) - 1).astype(np.float32).reshape(4, 5)
    return w, x, np.array([2, 1])


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_a_c_program_links_and_calls_it(tmp_path: Path) -> None:
    arguments = c_arguments()
    jitml.export.save_c(network, tmp_path / "network", *arguments)
    (tmp_path / "main.c").write_text(MAIN)
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-o", "main"]
    command = ["gcc", *flags, "main.c", "network.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
    printed = subprocess.run(
        [tmp_path / "main"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert printed[0] == "0 []"
    y, x, total = jitml.jit(network)(*arguments)
    numbers = [float.fromhex(text) for text in printed[1].split()]
    assert numbers == [*np.asarray(y).ravel().tolist(), float(x[3, 4]), float(total)]
    assert re.fullmatch(
        r"1 an index is out of bounds for axis 0 with size 4 of f32\[4,7\] at test_export.py:\d+ "
        r"in network:  h = jnp.tanh\(x @ w\)\[rows\]",
        printed[2],
    )
    assert printed[3:] == ["-1 the workspace is not aligned to 64 bytes", "unknown status"]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_all_dtypes_in_c(tmp_path: Path) -> None:
    """Called through a shared library, with what the header declares."""
    dtypes = ["bool", "int8", "uint16", "float16", "bfloat16", "float64", "complex64", "complex128"]
    arguments = [np.arange(3).astype(jnp.dtype(name)) for name in dtypes]

    def fun(*xs: Any) -> Any:
        return [x | x if x.dtype == bool else x * x for x in xs]

    called_in_c(fun, tmp_path / "all_of_them", *arguments)
    header = (tmp_path / "all_of_them.h").read_text()
    declared = re.findall(r"^    const (\w+) \*(\w+),", header, re.MULTILINE)
    kinds = ["bool", "int8_t", "uint16_t", "uint16_t", "uint16_t", "double", "float", "double"]
    assert declared == [(kind, f"args_{k}") for k, kind in enumerate(kinds)]


def called_in_c(fun: Any, path: Path, *arguments: Any) -> None:
    """Call the C function through a shared library, and compare each bit with the jitted one."""
    jitml.export.save_c(fun, path, *arguments)
    library = path.with_suffix(".so")
    subprocess.run(["gcc", "-shared", "-o", library, path.with_suffix(".o")], check=True)
    expected = [np.asarray(x) for x in jitml.tree.leaves(jitml.jit(fun)(*arguments))]
    results = [np.zeros_like(x) for x in expected]
    size = int(re.findall(r"WORKSPACE_BYTES (\d+)", path.with_suffix(".h").read_text())[0])
    memory = np.zeros(size + 64, np.uint8)
    workspace = memory.ctypes.data + -memory.ctypes.data % 64
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (*map(np.asarray, arguments), *results)]
    function = getattr(ctypes.CDLL(str(library)), path.name)
    assert function(*pointers, ctypes.c_void_p(workspace)) == 0
    for found, wanted in zip(results, expected, strict=True):
        assert found.tobytes() == wanted.tobytes()


def rows_of_products(x: Any, w: Any) -> Any:
    """Slices that move, forwards and backwards, and carried arrays that change places."""

    def step(h: Any, row: Any) -> Any:
        return jnp.tanh(h @ w + row), h.sum()

    last, sums = lax.scan(step, x[0], x)
    first, back = lax.scan(step, last, x, reverse=True)
    return last, sums, first, back


def steps_until(x: Any, w: Any) -> Any:
    """A loop within a loop, of a length that the data decide, and branches in it."""

    def step(state: Any) -> Any:
        count, h = state
        branches = [lambda h: h @ w, lambda h: jnp.sort(h, 0) + 1, lambda h: h[::-1] * 0.5]
        h = lax.switch(count - 1, branches, h)
        return count + 1, lax.fori_loop(0, count, lambda i, h: h.at[i % 4].add(i) @ w, h)

    return lax.while_loop(lambda s: (s[0] < 9) & (jnp.abs(s[1]).max() < 1e6), step, (0, x))


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize("fun", [rows_of_products, steps_until])
def test_loops_and_branches_in_c(fun: Any, tmp_path: Path) -> None:
    x = np.linspace(-1, 1, 4 * 40, dtype=np.float32).reshape(4, 40)
    w = np.cos(np.arange(1600, dtype=np.float32)).reshape(40, 40) / 4
    steps = jitml.jit(fun).lower(x, w).compile()._program.plan.instructions
    assert any(isinstance(step, jitml_runtime.Loop) for step in steps)
    called_in_c(fun, tmp_path / "looping", x, w)


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_the_header_is_c_plus_plus_too(tmp_path: Path) -> None:
    jitml.export.save_c(lambda new, delete: new + delete, tmp_path / "sum_of", X, X)
    (tmp_path / "main.cpp").write_text('#include "sum_of.h"\nint main() { return 0; }\n')
    command = ["g++", "-Wall", "-Wextra", "-Werror", "-pedantic", "main.cpp", "sum_of.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert "a0_new" in (tmp_path / "sum_of.h").read_text()
