"""Matrix products beside NumPy and PyTorch, one thread, interleaved, in GFLOP/s of processor time.

    python benchmarks/gemm.py [f32 f64] [nn nt tn tt] [16 64 1024 …]

Run it with OPENBLAS_NUM_THREADS=1. Each figure is of the lower quartile of the times; the last
column is our speed over that of the best of the others.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from jitml.codegen.gemm import Temp, gemm_kernels, gemm_steps
from jitml.codegen.gemm_blocks import GemmShape
from jitml.codegen.target import compile_object, host
from jitml_runtime.code import Code, load_object

KERNEL = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 2, ctypes.c_void_p
)
DTYPES: dict[str, Any] = {"f32": np.float32, "f64": np.float64}
SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048)
SECONDS = 1.5
# Products in one call of ours, so that the cost of calling through ctypes does not count.
CALL_WORK = 1 << 23


def main(arguments: list[str]) -> None:
    """Print one row per dtype, layout and size."""
    dtypes = [a for a in arguments if a in DTYPES] or list(DTYPES)
    layouts = [a for a in arguments if a in ("nn", "nt", "tn", "tt")] or ["nn"]
    sizes = [int(a) for a in arguments if a.isdigit()] or SIZES
    for dtype in dtypes:
        target = host()
        text = gemm_kernels(dtype, dtype, dtype, target).text
        compile_object("", target, 2)
        start = time.thread_time()
        code = load_object(compile_object(text, target, 2))
        print(f"{dtype}: compiled in {1e3 * (time.thread_time() - start):.0f} ms")
        for layout in layouts:
            for size in sizes:
                print(row(dtype, layout, size, code), flush=True)


def row(dtype: str, layout: str, size: int, code: Code) -> str:
    """Measure one size."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((size, size)).astype(DTYPES[dtype]) for _ in range(2))
    a, b = (x.T if way == "t" else x for x, way in zip((a, b), layout, strict=True))
    repeat = max(1, CALL_WORK // size**3)
    candidates = {"jitml": (own(a, b, dtype, repeat, code), 1), **peers(a, b, repeat)}
    times: dict[str, list[float]] = {name: [] for name in candidates}
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times["jitml"]) < 5:
        for name, (function, calls) in candidates.items():
            start = time.thread_time()
            for _ in range(calls):
                function()
            times[name].append(time.thread_time() - start)
    work = 2e-9 * size**3 * repeat
    speeds = {name: work / float(np.quantile(t, 0.25)) for name, t in times.items()}
    best = max(speed for name, speed in speeds.items() if name != "jitml")
    columns = "  ".join(f"{name} {speed:6.1f}" for name, speed in speeds.items())
    return f"{dtype} {layout} {size:5d}  {columns}  ratio {speeds['jitml'] / best:.2f}"


def peers(a: Any, b: Any, repeat: int) -> dict[str, tuple[Callable[[], Any], int]]:
    """The others, each with how often to call it."""
    out = np.empty(a.shape, a.dtype)
    found: dict[str, tuple[Callable[[], Any], int]] = {
        "numpy": (lambda: np.matmul(a, b, out=out), repeat)
    }
    try:
        import torch
    except ImportError:
        return found
    torch.set_num_threads(1)
    x, y, z = torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(np.empty_like(out))
    return {**found, "torch": (lambda: torch.mm(x, y, out=z), repeat)}


def own(a: Any, b: Any, dtype: str, repeat: int, code: Code) -> Callable[[], None]:
    """Our product, `repeat` times in one call (the batch repeats the operands by strides of 0)."""
    size = a.shape[0]
    a_row, a_column, b_row, b_column = (s // a.itemsize for s in (*a.strides, *b.strides))
    extents = (repeat, size, size, size)
    shape = GemmShape(*extents, 0, a_row, a_column, 0, b_row, b_column, 0, size)
    steps = gemm_steps(shape, gemm_kernels(dtype, dtype, dtype, host()))
    memory: dict[Any, Any] = {"a": a, "b": b, "c": np.empty(a.shape, a.dtype)}
    calls: list[tuple[Any, ...]] = []
    stop = ctypes.c_int32(0)
    for step in steps:
        for name in step.buffers:
            if isinstance(name, Temp):
                memory.setdefault(name, np.empty(name.size_bytes + 64, np.uint8))
        buffers = np.array([memory[name].ctypes.data for name in step.buffers], np.int64)
        scratch = np.empty(step.scratch_bytes + 64, np.uint8)
        aligned = -(-scratch.ctypes.data // 64) * 64
        sizes = np.array(step.sizes, np.int64)
        fault = np.array([0, 0, 0, ctypes.addressof(stop), aligned], np.int64)
        kernel = KERNEL(code.address(step.function))
        places = (buffers.ctypes.data, sizes.ctypes.data, 0, step.extent, fault.ctypes.data)
        calls.append((kernel, places, (buffers, sizes, scratch, fault, stop, memory, code)))

    def run() -> None:
        for kernel, places, _ in calls:
            assert kernel(*places) == 0

    return run


if __name__ == "__main__":
    main(sys.argv[1:])
