"""The double of libcuda as a shared library, asked by its C functions in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from places import PACKAGES

from jitml.emulation.shared_library import find_compiler

PROGRAM = """
import ctypes
import numpy as np
import jitml, jitml.numpy as jnp
from jitml.device.launches import grid_of
from jitml.emulation.shared_library import SharedLibrary
from jitml.emulation.whole_libcuda import LaunchConfig, WholeCuda

double = WholeCuda(device_count=2)
shared = SharedLibrary(double)
libcuda = ctypes.CDLL("libcuda.so.1")


def function(name, *kinds):
    place, status = ctypes.c_void_p(), ctypes.c_int()
    found = libcuda.cuGetProcAddress_v2(
        name.encode(), ctypes.byref(place), 12000, ctypes.c_uint64(0), ctypes.byref(status)
    )
    assert found == 0 and place.value
    return ctypes.CFUNCTYPE(ctypes.c_int, *kinds)(place.value)


V, U, I = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int
context, now, stream, library, kernel = (ctypes.c_void_p() for _ in range(5))
by = ctypes.byref
assert function("cuMemAlloc", V, U)(by(stream), 8) == 201  # no context yet
assert function("cuCtxPopCurrent", V)(by(now)) == 201
contexts = []
for number in (0, 1):
    assert function("cuDevicePrimaryCtxRetain", V, I)(by(context), number) == 0
    contexts.append(context.value)
retain = function("cuDevicePrimaryCtxRetain", V, I)
assert retain(by(context), 0) == 0 and context.value == contexts[0]  # the same again
current = function("cuCtxGetCurrent", V)
push, pop = function("cuCtxPushCurrent", V), function("cuCtxPopCurrent", V)
for one in contexts:
    push(one)
current(by(now))
assert now.value == contexts[1]
assert pop(by(now)) == 0 and now.value == contexts[1]
current(by(now))
assert now.value == contexts[0]

program = jitml.aot(lambda x: x * 2 + 1, np.zeros(1000, "float32"))
step = program.program.plan.instructions[0]
grid = grid_of(step)
assert function("cuLibraryLoadData", V, V)(by(library), program.kernels[0].ptx.encode()) == 0
get = function("cuLibraryGetKernel", V, V, ctypes.c_char_p)
assert get(by(kernel), library, b"nobody") == 500
assert get(by(kernel), library, b"kernel") == 0
assert function("cuLibraryLoadData", V, V)(by(library), b"\x7fELF") == 200

x = np.arange(1000, dtype="float32")
out = np.empty_like(x)
allocate, free = function("cuMemAlloc", V, U), function("cuMemFree", U)
buffers = [ctypes.c_uint64() for _ in range(3)]
for buffer in buffers:
    assert allocate(by(buffer), 4096) == 0
copy, wait = function("cuMemcpy", U, U, U), function("cuStreamSynchronize", V)
assert copy(buffers[0].value, x.ctypes.data, 4000) == 0
values = [*(b.value for b in buffers[:2]), *step.sizes, step.extent, buffers[2].value, 0, 0, 0]
words = (ctypes.c_uint64 * len(values))(*values)
addresses = [ctypes.addressof(words) + 8 * k for k in range(len(words))]
table = (ctypes.c_void_p * len(words))(*addresses)
assert function("cuStreamCreate", V, I)(by(stream), 0) == 0
config = LaunchConfig((1, 1, 1), (2048, 1, 1), 0, stream, None, 0)
start = function("cuLaunchKernelEx", V, V, V, V)
assert start(by(config), kernel, table, None) == 1
config = LaunchConfig(grid.blocks, grid.threads, 0, stream, None, 0)
assert start(by(config), kernel, table, None) == 0
ready = function("cuStreamQuery", V)
assert ready(stream) == 600
assert copy(out.ctypes.data, buffers[1].value, 4000) == 0  # the default stream waits for others
assert ready(stream) == 0
assert np.array_equal(out, x * 2 + 1)

kind, ordinal, start_, size = I(), I(), U(), U()
kinds = (ctypes.c_int * 4)(2, 9, 11, 12)
places = (ctypes.c_void_p * 4)(*map(ctypes.addressof, (kind, ordinal, start_, size)))
ask = function("cuPointerGetAttributes", ctypes.c_uint, V, V, U)
assert ask(4, kinds, places, buffers[1].value + 100) == 0
assert (kind.value, ordinal.value, start_.value, size.value) == (2, 0, buffers[1].value, 4096)

assert double.memory.live_bytes == 3 * 4096
for buffer in buffers:
    assert free(buffer.value) == 0
assert double.memory.live_bytes == 0 and free(buffers[0].value) == 1

text = ctypes.c_char_p()
assert function("cuGetErrorName", I, V)(700, by(text)) == 0
assert text.value == b"CUDA_ERROR_ILLEGAL_ADDRESS"
assert function("cuTensorMapEncodeTiled")() == 801
assert shared.unsupported == ["cuTensorMapEncodeTiled"] and not shared.failures
double.cuInit = None  # the double itself fails
assert function("cuInit", I)(0) == 999 and len(shared.failures) == 1
print("done")
"""


@pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")
@pytest.mark.skipif(os.path.exists("/dev/nvidiactl"), reason="there is a driver")
def test_libraries_get_the_double_by_the_name_of_libcuda() -> None:
    environment = {**os.environ, "PYTHONPATH": PACKAGES}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
    assert done.returncode == 0
