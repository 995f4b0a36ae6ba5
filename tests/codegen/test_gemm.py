"""Matrix products against the definition: one fma chain per element, written as a scalar kernel."""

from __future__ import annotations

import ctypes
import functools
import itertools
import mmap
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

from jitml.codegen.gemm import (
    Epilogue,
    GemmKernels,
    GemmStep,
    Temp,
    gemm_kernels,
    gemm_steps,
)
from jitml.codegen.gemm_blocks import Blocks, GemmShape
from jitml.codegen.gemm_driver import (
    A_DIRECT,
    A_PACKED,
    B_DIRECT,
    B_IN_UNIT,
    B_PACKED,
    GemmSizes,
)
from jitml.codegen.gemm_gather import Gather
from jitml.codegen.target import Target, compile_object, host
from jitml_runtime.code import load_object

DTYPES: dict[str, Any] = {
    "f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64,
    "c64": np.complex64, "c128": np.complex128,
    **{f"i{b}": np.dtype(f"int{b}") for b in (8, 16, 32, 64)},
    **{f"u{b}": np.dtype(f"uint{b}") for b in (8, 16, 32, 64)},
}  # fmt: skip
KERNEL = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
)
NO_SITE = 2**63 - 1
CHAIN = """
declare {t} @llvm.fma.{s}({t}, {t}, {t})
define i32 @chain(ptr %buffers, ptr %sizes, i64 %begin, i64 %end, ptr %fault) {{
  %pb = getelementptr ptr, ptr %buffers, i64 1
  %pc = getelementptr ptr, ptr %buffers, i64 2
  %a = load ptr, ptr %buffers
  %b = load ptr, ptr %pb
  %c = load ptr, ptr %pc
  %pk = getelementptr i64, ptr %sizes, i64 1
  %n = load i64, ptr %sizes
  %k = load i64, ptr %pk
  br label %element
element:
  %i = phi i64 [%begin, %0], [%i1, %done]
  %row = udiv i64 %i, %n
  %column = urem i64 %i, %n
  %a0 = mul i64 %row, %k
  br label %check
check:
  %j = phi i64 [0, %element], [%j1, %link]
  %sum = phi {t} [0.0, %element], [%sum1, %link]
  %more = icmp slt i64 %j, %k
  br i1 %more, label %link, label %done
link:
  %ai = add i64 %a0, %j
  %bj = mul i64 %j, %n
  %bi = add i64 %bj, %column
  %ap = getelementptr {t}, ptr %a, i64 %ai
  %bp = getelementptr {t}, ptr %b, i64 %bi
  %x = load {t}, ptr %ap
  %y = load {t}, ptr %bp
  %sum1 = call {t} @llvm.fma.{s}({t} %x, {t} %y, {t} %sum)
  %j1 = add i64 %j, 1
  br label %check
done:
  %cp = getelementptr {t}, ptr %c, i64 %i
  store {t} %sum, ptr %cp
  %i1 = add i64 %i, 1
  %next = icmp slt i64 %i1, %end
  br i1 %next, label %element, label %out
out:
  ret i32 0
}}
"""


class Fault(ctypes.Structure):
    _fields_ = (
        ("site", ctypes.c_int64),
        ("index", ctypes.c_int64),
        ("value", ctypes.c_int64),
        ("stop", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p),
    )


class Loaded(NamedTuple):
    code: Any
    functions: dict[str, Any]


def load(text: str, target: Target, names: Sequence[str], level: int = 2) -> Loaded:
    code = load_object(compile_object(text, target, level))
    return Loaded(code, {name: KERNEL(code.address(name)) for name in names})


def narrowed(vector_bytes: int) -> Target:
    """The host with narrower vectors than it has."""
    machine = host()
    width = min(vector_bytes, machine.vector_bytes)
    return Target(machine.triple, machine.cpu, machine.features, width)


@functools.cache
def module(
    operand: str, accumulate: str, result: str, vector_bytes: int, level: int = 2
) -> tuple[GemmKernels, Loaded]:
    target = narrowed(vector_bytes)
    kernels = gemm_kernels(operand, accumulate, result, target)
    return kernels, load(kernels.text, target, ("gemm", "pack_b"), level)


@functools.cache
def chain_kernel(dtype: str) -> Loaded:
    names = {"f32": "float", "f64": "double"}
    return load(CHAIN.format(t=names[dtype], s=dtype), host(), ("chain",))


def aligned(size_bytes: int) -> np.ndarray:
    """Memory on a cache line, full of NaNs and huge integers."""
    raw = np.full(size_bytes + 64, 0xFF, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size_bytes]


def run(
    functions: dict[str, Any], steps: Sequence[GemmStep], places: dict[str, int], stop: int = 0
) -> tuple[int, Fault]:
    """Run steps chunk by chunk, in a random order, each chunk with dirty scratch memory."""
    temps: dict[Temp, np.ndarray] = {}
    stop_flag = ctypes.c_int32(stop)
    status, fault = 0, Fault(NO_SITE, 0, 0, ctypes.addressof(stop_flag), 0)
    for step in steps:
        for name in step.buffers:
            if isinstance(name, Temp) and name not in temps:
                temps[name] = aligned(name.size_bytes)
        pointers = [
            temps[b].ctypes.data if isinstance(b, Temp) else places[b] for b in step.buffers
        ]
        buffers, sizes = np.array(pointers, np.int64), np.array(step.sizes, np.int64)
        chunks = list(range(0, step.extent, step.grain))
        random.Random(7).shuffle(chunks)
        for begin in chunks:
            scratch = aligned(max(step.scratch_bytes, 1))
            fault.scratch = scratch.ctypes.data
            end = min(begin + step.grain, step.extent)
            status |= functions[step.function](
                buffers.ctypes.data, sizes.ctypes.data, begin, end, ctypes.addressof(fault)
            )
            assert fault.scratch == scratch.ctypes.data
    return status, fault


def chain(a: np.ndarray, b: np.ndarray, dtype: str) -> np.ndarray:
    """The definition, for a[batch, m, k] and b[batch, k, n] of one float dtype."""
    outputs = np.empty((a.shape[0], a.shape[1], b.shape[2]), DTYPES[dtype])
    for x, y, out in zip(a, b, outputs, strict=True):
        x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
        step = GemmStep("chain", ("a", "b", "c"), (y.shape[1], y.shape[0]), out.size, out.size, 0)
        places = {"a": x.ctypes.data, "b": y.ctypes.data, "c": out.ctypes.data}
        if out.size:
            run(chain_kernel(dtype).functions, [step], places)
    return outputs


def expected(a: np.ndarray, b: np.ndarray, accumulate: str, result: str) -> np.ndarray:
    if result.startswith("c"):
        part = "f32" if accumulate == "c64" else "f64"
        a, b = a.astype(DTYPES[accumulate]), b.astype(DTYPES[accumulate])
        pairs = np.stack([a.real, a.imag], -1).reshape(*a.shape[:2], 2 * a.shape[2])
        shape = (b.shape[0], 2 * b.shape[1], b.shape[2])
        real = chain(pairs, np.stack([b.real, -b.imag], 2).reshape(shape), part)
        imaginary = chain(pairs, np.stack([b.imag, b.real], 2).reshape(shape), part)
        both = np.stack([real, imaginary], -1).view(DTYPES[accumulate])[..., 0]
        return np.asarray(both, DTYPES[result])
    if accumulate[0] in "iu":
        sums = np.matmul(a.astype(np.int64), b.astype(np.int64))
        return np.asarray(sums.astype(DTYPES[accumulate]), DTYPES[result])
    part = "f64" if accumulate == "f64" else "f32"
    sums = chain(a.astype(DTYPES[part]), b.astype(DTYPES[part]), part)
    return np.asarray(sums, DTYPES[result])


def fill(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype[0] in "iu":
        info = np.iinfo(DTYPES[dtype])
        return rng.integers(info.min, info.max, shape, DTYPES[dtype], endpoint=True)
    if dtype[0] == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(DTYPES[dtype])
    return rng.standard_normal(shape).astype(DTYPES[dtype])


def shape_of(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> GemmShape:
    strides = [s // x.itemsize for x in (a, b, c) for s in x.strides]
    assert c.size == 0 or c.shape[2] == 1 or strides[8] == 1
    return GemmShape(a.shape[0], a.shape[1], b.shape[2], a.shape[2], *strides[:8])


def multiply(
    a: np.ndarray, b: np.ndarray, types: tuple[str, str, str], vector_bytes: int = 64
) -> np.ndarray:
    """C by the compiled kernels, inside a larger array that must stay as it is."""
    kernels, loaded = module(*types, vector_bytes)
    batch, m, n = a.shape[0], a.shape[1], b.shape[2]
    frame = np.full((batch, m + 2, n + 5), 77).astype(DTYPES[types[2]])
    c = frame[:, 1 : m + 1, 2 : n + 2]
    places = {"a": a.ctypes.data, "b": b.ctypes.data, "c": c.ctypes.data}
    status, _ = run(loaded.functions, gemm_steps(shape_of(a, b, c), kernels), places)
    assert status == 0
    out = c.copy()
    c[...] = np.array(77).astype(DTYPES[types[2]])
    assert (frame == np.array(77).astype(DTYPES[types[2]])).all(), "wrote outside of C"
    return out


def check(
    a: np.ndarray, b: np.ndarray, types: tuple[str, str, str], vector_bytes: int = 64
) -> None:
    got, want = multiply(a, b, types, vector_bytes), expected(a, b, types[1], types[2])
    assert got.tobytes() == want.tobytes(), (a.shape, b.shape, a.strides, b.strides, types)


EXTENTS = [
    (1, 1, 1, 1), (1, 8, 32, 5), (1, 7, 33, 4), (3, 17, 16, 9), (1, 129, 70, 300), (1, 40, 2100, 3),
    (2, 131, 65, 257), (1, 33, 600, 40), (5, 1, 9, 11), (2, 9, 1, 8), (1, 70, 300, 1100),
    (1, 150, 200, 1101),
]  # fmt: skip
LAYOUTS = ["nn", "nt", "tn", "tt"]


def operand(batch: int, rows: int, columns: int, dtype: str, layout: str, seed: int) -> np.ndarray:
    if layout == "n":
        return fill((batch, rows, columns), dtype, seed)
    return fill((batch, columns, rows), dtype, seed).transpose(0, 2, 1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("vector_bytes", [16, 32, 64])
def test_every_element_is_the_chain(dtype: str, layout: str, vector_bytes: int) -> None:
    for batch, m, n, k in EXTENTS:
        a = operand(batch, m, k, dtype, layout[0], 1)
        b = operand(batch, k, n, dtype, layout[1], 2)
        check(a, b, (dtype, dtype, dtype), vector_bytes)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_every_tail(dtype: str) -> None:
    types = (dtype, dtype, dtype)
    for m, n in itertools.product((*range(1, 9), 12), (1, 8, 9, 16, 17, 23, 31, 32, 41)):
        check(fill((1, m, 5), dtype, m), fill((1, 5, n), dtype, n), types)
    for m, n in [(64, 193), (71, 200), (77, 224), (83, 230), (98, 209)]:  # both are packed
        check(fill((1, m, 5), dtype, m), fill((1, 5, n), dtype, n), types)
    check(fill((1, 521, 7), dtype, 1), fill((1, 7, 530), dtype, 2), types)  # few rows at a time


MIXED = [
    ("bf16", "f32", "bf16"), ("bf16", "f32", "f32"), ("f16", "f32", "f16"), ("f16", "f16", "f16"),
    ("f32", "f64", "f32"), ("f32", "f32", "bf16"), ("f32", "f32", "f64"), ("f64", "f64", "f32"),
    ("i8", "i8", "i8"), ("u8", "u8", "u8"), ("i8", "i32", "i32"), ("u8", "i32", "i32"),
    ("i16", "i16", "i16"), ("u16", "u16", "u16"), ("i32", "i32", "i32"), ("u32", "u32", "u32"),
    ("i64", "i64", "i64"), ("u64", "u64", "u64"), ("i32", "i64", "i64"), ("i8", "i8", "i32"),
    ("i64", "i64", "i8"), ("u16", "u8", "i64"),
    ("c64", "c64", "c64"), ("c128", "c128", "c128"), ("c64", "c128", "c128"),
    ("c64", "c128", "c64"),
]  # fmt: skip


@pytest.mark.parametrize("types", MIXED, ids="-".join)
def test_dtypes(types: tuple[str, str, str]) -> None:
    for index, (batch, m, n, k) in enumerate([(2, 9, 37, 6), (1, 131, 70, 560), (1, 40, 530, 3)]):
        layout = LAYOUTS[index]
        a = operand(batch, m, k, types[0], layout[0], 3)
        b = operand(batch, k, n, types[0], layout[1], 4)
        check(a, b, types)


@pytest.mark.parametrize(
    "types", [("f32",) * 3, ("bf16", "f32", "bf16"), ("c64",) * 3], ids="-".join
)
def test_strides(types: tuple[str, str, str]) -> None:
    a, b = fill((3, 60, 44), types[0], 5), fill((3, 44, 80), types[0], 6)
    repeat = np.broadcast_to
    check(a[::-1], b, types)
    check(a[:, ::-1, ::-1], b[:, ::-1, ::-1], types)
    check(a[:, ::3, ::2], b[:, ::2, ::3], types)
    check(repeat(a[:1], (3, 60, 44)), b, types)
    check(a, repeat(b[:1], (3, 44, 80)), types)
    check(repeat(a[:, :1], (3, 60, 44)), repeat(b[:, :, :1], (3, 44, 80)), types)
    check(repeat(a[:, :, :1], (3, 60, 44)), repeat(b[:, :1], (3, 44, 80)), types)


@pytest.mark.parametrize("types", [("f32",) * 3, ("f16", "f32", "f16"), ("c64",) * 3, ("i32",) * 3])
def test_empty(types: tuple[str, str, str]) -> None:
    for batch, m, n, k in [(2, 9, 40, 0), (0, 2, 3, 4), (1, 0, 3, 4), (1, 3, 0, 4)]:
        check(fill((batch, m, k), types[0], 0), fill((batch, k, n), types[0], 0), types)


def test_rejected_dtypes() -> None:
    for types in [("f32", "i32", "f32"), ("c64", "f32", "f32"), ("f64", "f64", "f16")]:
        with pytest.raises(ValueError, match="no contraction kernel"):
            gemm_kernels(*types, host())


def at_guard(array: np.ndarray, high: bool) -> tuple[np.ndarray, mmap.mmap]:
    """A copy of `array` that begins or ends where memory is not mapped."""
    page = mmap.PAGESIZE
    size = -(-array.nbytes // page) * page
    memory = mmap.mmap(-1, size + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    for guard in (start, start + page + size):
        assert libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0) == 0
    offset = page + size - array.nbytes if high else page
    copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy, memory


@pytest.mark.parametrize("high", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_reads_nothing_outside(layout: str, high: bool) -> None:
    for m, n, k in [(13, 37, 11), (3, 5, 300), (140, 70, 33)]:
        a, keep_a = at_guard(fill((1, *(m, k)[:: -1 if layout[0] == "t" else 1]), "f32", 1), high)
        b, keep_b = at_guard(fill((1, *(k, n)[:: -1 if layout[1] == "t" else 1]), "f32", 2), high)
        a = a.transpose(0, 2, 1) if layout[0] == "t" else a
        b = b.transpose(0, 2, 1) if layout[1] == "t" else b
        check(a, b, ("f32", "f32", "f32"))
        assert len(keep_a) and len(keep_b)


def test_signed_zeros_and_specials_follow_the_chain() -> None:
    special = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, 1e-45, 3e38], np.float32)
    rng = np.random.default_rng(0)
    a, b = rng.choice(special, (1, 37, 3)), rng.choice(special, (1, 3, 45))
    got, want = multiply(a, b, ("f32",) * 3), expected(a, b, "f32", "f32")
    assert np.array_equal(got, want, equal_nan=True)
    assert np.array_equal(np.signbit(got) | np.isnan(got), np.signbit(want) | np.isnan(want))


EPILOGUE = """
define i32 @epilogue(ptr %buffers, ptr %sizes, i64 %begin, i64 %end, ptr %fault) {
  %pc = getelementptr ptr, ptr %buffers, i64 1
  %c = load ptr, ptr %pc
  %bias = load ptr, ptr %buffers
  %ld = load i64, ptr %sizes
  br label %rows
rows:
  %i = phi i64 [%begin, %0], [%i1, %row]
  %base = mul i64 %i, %ld
  br label %column
column:
  %j = phi i64 [0, %rows], [%j1, %column]
  %at = add i64 %base, %j
  %cp = getelementptr float, ptr %c, i64 %at
  %bp = getelementptr float, ptr %bias, i64 %j
  %x = load float, ptr %cp
  %y = load float, ptr %bp
  %z = fadd float %x, %y
  store float %z, ptr %cp
  %j1 = add i64 %j, 1
  %more = icmp slt i64 %j1, %ld
  br i1 %more, label %column, label %row
row:
  %sp = getelementptr i8, ptr %fault, i64 32
  %scratch = load ptr, ptr %sp
  store i64 -1, ptr %scratch
  %i1 = add i64 %i, 1
  %again = icmp slt i64 %i1, %end
  br i1 %again, label %rows, label %out
out:
  ret i32 0
}
"""


@pytest.mark.parametrize("extents", [(1, 300, 700, 560), (3, 20, 33, 8), (1, 9, 40, 0)])
def test_epilogue_sees_each_element_once(extents: tuple[int, ...]) -> None:
    batch, m, n, k = extents
    kernels, loaded = module("f32", "f32", "f32", 64)
    a, b = fill((batch, m, k), "f32", 1), fill((batch, k, n), "f32", 2)
    bias, c = fill((n,), "f32", 3), np.empty((batch, m, n), np.float32)
    adder = load(EPILOGUE, host(), ("epilogue",))
    epilogue = Epilogue(("bias", "c"), (n,), units=1, scratch_bytes=8)
    steps = gemm_steps(shape_of(a, b, c), kernels, epilogue)
    places = {name: x.ctypes.data for name, x in (("a", a), ("b", b), ("c", c), ("bias", bias))}
    cell = np.array([adder.code.address("epilogue")], np.int64)
    places["epilogue"] = cell.ctypes.data
    status, _ = run(loaded.functions, steps, places)
    assert status == 0
    assert np.array_equal(c, expected(a, b, "f32", "f32") + bias)


def test_stops_when_told() -> None:
    kernels, loaded = module("f32", "f32", "f32", 64)
    a, b, c = (np.zeros((1, 200, 200), np.float32) for _ in range(3))
    places = {"a": a.ctypes.data, "b": b.ctypes.data, "c": c.ctypes.data}
    steps = gemm_steps(shape_of(a, b, c), kernels)
    assert run(loaded.functions, steps, places, stop=1)[0] == 2


def test_blocking_follows_from_the_shape() -> None:
    kernels, _ = module("f32", "f32", "f32", 64)
    shape = GemmShape(1, 500, 400, 300, 0, 300, 1, 0, 400, 1, 0, 400)
    assert gemm_steps(shape, kernels) == gemm_steps(shape, kernels)
    batched = shape._replace(batch=64, m=32, n=64, k=64)
    (step,) = gemm_steps(batched, kernels)
    assert step.function == "gemm"
    assert step.extent == 64


def planned(m: int, n: int, k: int, **changes: Any) -> Blocks:
    shape = GemmShape(1, m, n, k, 0, k, 1, 0, n, 1, 0, n)._replace(**changes)
    return Blocks(shape, module("f32", "f32", "f32", 64)[0].types, has_epilogue=False)


def test_operands_on_few_pages_are_read_where_they_are() -> None:
    near = planned(300, 512, 300)
    assert (near.a_mode, near.b_mode) == (A_DIRECT, B_DIRECT)
    assert planned(300, 513, 300).b_mode == B_PACKED  # many blocks of rows share it
    assert planned(100, 513, 300).b_mode == B_IN_UNIT  # few do
    assert planned(32, 513, 300).b_mode == B_DIRECT  # few rows need it
    assert planned(300, 512, 300, b_row=513).b_mode == B_PACKED
    assert planned(300, 512, 1024).a_mode == A_DIRECT
    assert planned(300, 512, 1025).a_mode == A_PACKED
    assert planned(300, 513, 1024).a_mode == A_PACKED  # as well as B, which many rows share
    assert planned(200, 513, 1024).a_mode == A_DIRECT
    assert planned(300, 512, 300, a_row=1, a_column=1025).a_mode == A_PACKED


def test_images_whose_panels_are_read_where_they_lie() -> None:
    """Not for part of a tile, nor rows shorter than a panel, nor images that meet in caches."""
    types = module("f32", "f32", "f32", 64)[0].types
    rows, columns = 8 * types.tile.rows, types.tile.columns

    def lane_run(m: int, run: int, image: int) -> int:
        windows = Gather(((60, run + 2), (run, 1)), ((40, image), (3, run + 2), (3, 1)))
        return planned(m, 60 * run, 360, b_gather=windows).lane_run

    assert lane_run(rows, 64, 70 * 66) == (64 if types.masks_operand else 0)
    assert lane_run(rows - 3, 64, 70 * 66) == 0
    assert lane_run(rows, columns - 1, 70 * 66) == 0
    assert lane_run(rows, 64, 4096) == 0


@pytest.mark.parametrize("extents", [(512, 512, 512), (600, 600, 600), (128, 512, 2000)])
def test_units_have_even_shares(extents: tuple[int, int, int]) -> None:
    """As many units as threads want, with nearly equal numbers of tiles."""
    m, n, k = extents
    kernels, _ = module("f32", "f32", "f32", 64)
    step = gemm_steps(GemmShape(1, m, n, k, 0, k, 1, 0, n, 1, 0, n), kernels)[-1]
    sizes = GemmSizes(*step.sizes)
    assert step.extent == sizes.row_blocks * sizes.column_blocks
    assert step.extent % 4 == 0
    assert (sizes.block_rows - sizes.tile_rows) * sizes.row_blocks < m + sizes.tile_rows


@pytest.mark.parametrize("layout", ["nn", "nt"])
def test_b_that_many_units_share(layout: str) -> None:
    """It is packed beforehand, by several units."""
    a, b = operand(1, 290, 300, "f32", layout[0], 1), operand(1, 300, 1100, "f32", layout[1], 2)
    kernels, _ = module("f32", "f32", "f32", 64)
    packing, _ = gemm_steps(shape_of(a, b, np.empty((1, 290, 1100), np.float32)), kernels)
    assert packing.function == "pack_b"
    assert packing.extent > 4
    check(a, b, ("f32", "f32", "f32"))


def test_quick_compilation_gives_the_same_bits() -> None:
    a, b = fill((1, 70, 90), "f32", 1), fill((1, 90, 200), "f32", 2)
    kernels, loaded = module("f32", "f32", "f32", 64, 0)
    c = np.empty((1, 70, 200), np.float32)
    places = {"a": a.ctypes.data, "b": b.ctypes.data, "c": c.ctypes.data}
    assert run(loaded.functions, gemm_steps(shape_of(a, b, c), kernels), places)[0] == 0
    assert c.tobytes() == expected(a, b, "f32", "f32").tobytes()
