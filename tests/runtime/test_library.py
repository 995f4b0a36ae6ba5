"""Routines of libraries: where they are found, and what is said where they are not."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from places import PACKAGES

import jitml
import jitml.numpy as jnp
import jitml_runtime
from jitml.pipeline.compile import lower_graph
from jitml_runtime import Instruction, LoadError, library
from jitml_runtime.library import find_routine, with_addresses
from jitml_runtime.plan import check_plan

MATRIX = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.25], [0.5, 0.25, 2.0]])


@pytest.fixture
def _found_anew() -> Iterator[None]:
    find_routine.cache_clear()
    yield
    find_routine.cache_clear()


def test_routines_are_found_in_numpy() -> None:
    found = find_routine("lapack dpotrf")
    assert found.address and found.integer_bytes in (4, 8)
    assert "dpotrf of " in found.library
    loop = find_routine("fft c2c forward c128 long")
    assert loop.address and ("NumPy" in loop.library or "ducc0" in loop.library)


def test_an_unknown_routine_is_told() -> None:
    with pytest.raises(LoadError, match="the LAPACK routine dnothing is in no library"):
        find_routine("lapack dnothing")


def test_plans_without_routines_stay_as_they_are() -> None:
    plan = jitml.jit(lambda x: x + 1).lower(jnp.ones(3)).compile
    assert plan is not None
    empty = jitml_runtime.Plan((), (), (), ())
    assert with_addresses(empty, []) is empty
    named = jitml_runtime.Plan((), (), (), (), 0, (bytes(24),), routines=((0, "lapack dpotrf"),))
    (entry,) = with_addresses(named, []).constants
    assert int.from_bytes(entry[:8], "little") == find_routine("lapack dpotrf").address


def test_kernels_that_kernels_call() -> None:
    own = jitml_runtime.Plan((), (), (), (), 0, (bytes(24),), routines=((0, "kernel 1"),))
    (entry,) = with_addresses(own, [64, 128]).constants
    assert int.from_bytes(entry[:8], "little") == 128
    with pytest.raises(ValueError, match="there is no kernel 1 to be called"):
        check_plan(own, 1, 0)


def test_libraries_of_32_bit_integers_serve(
    _found_anew: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scipy")
    monkeypatch.setattr(library, "_LINKED", ("scipy.linalg._flapack",))
    if find_routine("lapack dgetrf").integer_bytes != 4:
        pytest.skip("SciPy's LAPACK has 64-bit integers")
    jitml.clear_caches()
    try:
        rng = np.random.default_rng(0)
        a = rng.normal(size=(3, 40, 40))
        factors, pivots, order = jitml.jit(jitml.lax.linalg.lu)(a)
        lower, upper = np.tril(factors, -1) + np.eye(40), np.triu(factors)
        rows = np.take_along_axis(a, np.asarray(order)[..., None], 1)
        np.testing.assert_allclose(lower @ upper, rows, atol=1e-12)
        assert np.asarray(pivots).max() <= 39
        bad = jitml.jit(jnp.linalg.cholesky)(-np.eye(40))
        assert np.isnan(np.asarray(bad)[0, 0])
    finally:
        jitml.clear_caches()


def test_deployed_programs_find_them_too(tmp_path: Path) -> None:
    path = tmp_path / "solve.jitml"

    def solve(a: object, b: object) -> object:
        return jnp.linalg.solve(a, b) + jnp.linalg.eigvalsh(a), jnp.fft.rfft(b)

    vector = np.array([1.0, 2.0, 3.0])
    jitml.export.save(solve, path, MATRIX, vector)
    code = (
        "import sys, numpy as np, jitml_runtime\n"
        f"f = jitml_runtime.load({str(path)!r})\n"
        f"x, y = f(np.array({MATRIX.tolist()}), np.array({vector.tolist()}))\n"
        "print('jitml' in sys.modules, x.tolist(), y.tolist())"
    )
    environment = {**os.environ, "PYTHONPATH": PACKAGES, "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    expected = [np.asarray(x).tolist() for x in jitml.jit(solve)(MATRIX, vector)]
    assert done.stdout.strip() == f"False {expected[0]} {expected[1]}"


def test_c_files_refuse_them(tmp_path: Path) -> None:
    with pytest.raises(jitml.errors.TransformError, match=r"calls a library \(lapack dsyevd"):
        jitml.export.save_c(jnp.linalg.eigvalsh, tmp_path / "factor", MATRIX)


def test_explain_names_the_library() -> None:
    text = jitml.explain(jnp.linalg.eigvalsh, MATRIX)
    assert f"calls {find_routine('lapack dsyevd').library}" in text


def test_threads_do_not_change_bits() -> None:
    a = np.random.default_rng(1).normal(size=(64, 24, 24))

    def factors(x: object) -> object:
        return jnp.linalg.qr(x), jnp.linalg.svd(x), jnp.linalg.inv(x), jnp.fft.fft(x)

    results = []
    for count in (1, 2):
        with jitml.num_threads(count):
            results.append(jitml.tree.leaves(jitml.jit(factors)(a)))
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


@pytest.fixture(params=["ducc0", "NumPy"])
def transforms(
    request: pytest.FixtureRequest, _found_anew: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The library that does long transforms."""
    if request.param == "ducc0":
        pytest.importorskip("ducc0")
    else:
        monkeypatch.setattr("jitml_runtime.transforms.find_spec", lambda name: None)
    jitml.clear_caches()
    yield request.param
    jitml.clear_caches()


def test_long_transforms_are_by_ducc0_where_it_is_installed(transforms: str) -> None:
    assert transforms in find_routine("fft r2c-even forward c128 long").library
    assert "NumPy" in find_routine("fft r2c-even forward c128 short").library


@pytest.mark.parametrize(
    "shape", [(5, 12), (70, 3, 64), (3, 64, 70), (2, 3, 40, 41), (1, 9, 512), (512, 9)], ids=str
)
def test_transforms_along_every_axis(transforms: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(2).normal(size=shape)
    z = x + 1j * x[::-1]
    for axis in range(len(shape)):
        halves = (("irfft", z), ("hfft", z)) if shape[axis] > 1 else ()
        for name, given in (("fft", z), ("ifft", z), ("rfft", x), *halves):
            found = getattr(jnp.fft, name)(given, axis=axis)
            np.testing.assert_allclose(found, getattr(np.fft, name)(given, axis=axis), atol=1e-11)
    for name, given in (("fftn", z), ("ifftn", z), ("rfftn", x), ("irfftn", z)):
        found = getattr(jnp.fft, name)(given)
        np.testing.assert_allclose(found, getattr(np.fft, name)(given), atol=1e-11)


@pytest.mark.parametrize("shape", [(150, 512), (2, 33, 2048), (70, 1, 4096)], ids=str)
def test_lines_that_lie_in_the_same_sets_of_a_cache(
    transforms: str, shape: tuple[int, ...]
) -> None:
    """Single precision, lines of whole multiples of 4096 bytes, in several parts."""
    x = np.random.default_rng(4).normal(size=shape)
    z = x + 1j * x[..., ::-1]
    for name, given in (("fft", z), ("ifft", z), ("rfft", x), ("irfft", z), ("fft2", z)):
        single = given.astype(np.complex64 if given is z else np.float32)
        expected = getattr(np.fft, name)(single.astype(given.dtype))
        found = getattr(jnp.fft, name)(single)
        np.testing.assert_allclose(found, expected, atol=1e-5 * abs(expected).max())


def test_chunks_of_transforms_do_not_change_bits(transforms: str) -> None:
    """Several chunks over lines, over columns, and over blocks."""
    x = np.random.default_rng(3).normal(size=(96, 100, 64)).astype(np.complex64)
    for axis in range(3):
        f = jitml.jit(functools.partial(jnp.fft.ifft, axis=axis))
        steps = lower_graph(f.trace(x).graph).plan.instructions
        (step,) = [s for s in steps if "c2c" in s.label]
        assert isinstance(step, Instruction) and 0 < step.grain < step.extent
        with jitml.num_threads(1):
            one = np.asarray(f(x))
        with jitml.num_threads(3):
            three = np.asarray(f(x))
        np.testing.assert_array_equal(one, three)


@pytest.fixture
def told() -> Iterator[list[int]]:
    """The numbers of threads that OpenBLAS is told, which has 7 of them before."""
    address = find_routine("lapack dgetrf").data
    if not address:
        pytest.skip("this LAPACK has no number of threads")
    record = (ctypes.c_int64 * 5).from_address(address)
    numbers: list[int] = []
    functions = (
        ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7),
        ctypes.CFUNCTYPE(None, ctypes.c_int)(numbers.append),
    )
    before = list(record)
    for place, function in zip((3, 4), functions, strict=True):
        record[place] = ctypes.cast(function, ctypes.c_void_p).value or 0
    yield numbers
    assert list(record[:2]) == [0, 0]
    record[:] = before


@pytest.mark.parametrize("threads", [1, 4])
def test_small_calls_have_one_thread_each(told: list[int], threads: int) -> None:
    a = np.random.default_rng(3).normal(size=(8, 90, 90))
    with jitml.num_threads(threads):
        jitml.jit(jitml.lax.linalg.lu)(a)
    assert told[:1] == [1] and told[-1:] == [7] and set(told) == {1, 7}
    assert told == [1, 7] * (len(told) // 2)


def test_large_calls_may_have_several(told: list[int]) -> None:
    jitml.jit(jitml.lax.linalg.lu)(np.eye(700))
    assert told == []


def test_the_last_kernel_gives_threads_back(told: list[int]) -> None:
    record = (ctypes.c_int64 * 5).from_address(find_routine("lapack dgetrf").data)
    record[1] = 1  # another one is inside
    jitml.jit(jitml.lax.linalg.lu)(np.eye(40))
    assert told == [] and record[1] == 1
    record[1] = 0


def test_a_child_process_waits_for_nobody(told: list[int]) -> None:
    record = (ctypes.c_int64 * 5).from_address(find_routine("lapack dgetrf").data)
    record[:3] = [1, 2, 5]
    library._forget_other_threads()
    assert told == [5]
    jitml.jit(jitml.lax.linalg.lu)(np.eye(40))
    assert told == [5, 1, 7]
