"""The double of libcuda as a shared library, for programs that load libcuda.so.1 themselves.

Comes in: a double. Goes out: a library of that name in this process, before which nobody may have
loaded another. It has one function in C, `cuGetProcAddress_v2`, by which libraries ask for all
others; these are Python's. A C compiler is needed.
"""

from __future__ import annotations

import atexit
import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jitml.emulation.streams import NOT_SUPPORTED
from jitml.emulation.whole_libcuda import WholeCuda

_MOST = 800  # functions that libraries ask for
# Libraries keep addresses of functions here; when Python ends, these no longer call it.
_SOURCE = """
#include <stdint.h>
typedef uint64_t u;
typedef int resolver(const char *, void **, int, uint64_t, int *);
typedef int function(u, u, u, u, u, u, u, u, u, u, u, u);
static resolver *resolve;
static function *functions[MOST];
int cuGetProcAddress_v2(const char *name, void **at, int version, uint64_t flags, int *status) {
  return resolve ? resolve(name, at, version, flags, status) : 3;
}
#define F(n) \\
  int f##n(u a, u b, u c, u d, u e, u f, u g, u h, u i, u j, u k, u l) { \\
    return resolve ? functions[n](a, b, c, d, e, f, g, h, i, j, k, l) : 4; \\
  }
ALL
void *places[] = {PLACES};
void set_resolver(resolver *found) { resolve = found; }
void *set_function(int number, function *found) {
  functions[number] = found;
  return places[number];
}
"""
_FAILED = 999  # the double itself has raised something
_Resolver = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64, ctypes.c_void_p
)


class _Out:
    """Where a function writes a result: what `ctypes.byref` gives."""

    def __init__(self, place: Any) -> None:
        self._obj = place


def _writes(kind: Any) -> Callable[[Any], _Out]:
    """How an address to write to is passed on; nobody reads what is written to none."""
    return lambda address: _Out(kind.from_address(address) if address else kind())


# Letters of signatures: the type in C, and how the double takes it.
_KINDS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "o": (ctypes.c_void_p, _writes(ctypes.c_int)),
    "O": (ctypes.c_void_p, _writes(ctypes.c_uint64)),
    "t": (ctypes.c_void_p, (ctypes.c_char * 16).from_address),
    "d": (ctypes.c_int, ctypes.c_int),
    "h": (ctypes.c_uint64, ctypes.c_uint64),
    "b": (ctypes.c_ubyte, ctypes.c_ubyte),
    "i": (ctypes.c_int, int),
    "n": (ctypes.c_uint64, int),
    "s": (ctypes.c_char_p, bytes),
}
# Functions as libraries ask for them: the double's name, if it is another, and the arguments.
_SIGNATURES = """
cuInit i, cuDriverGetVersion o, cuDeviceGetCount o, cuDeviceGet oi, cuDeviceGetName tid,
cuDeviceGetUuid nd, cuDeviceTotalMem Od, cuDeviceGetAttribute oid, cuDevicePrimaryCtxRetain Od,
cuDevicePrimaryCtxRelease d, cuDevicePrimaryCtxReset:cuDevicePrimaryCtxReset_v2 d,
cuDevicePrimaryCtxGetState doo, cuDeviceCanAccessPeer odd, cuDeviceGetDefaultMemPool Od,
cuDeviceGetMemPool:cuDeviceGetDefaultMemPool Od, cuCtxGetCurrent O, cuCtxSetCurrent h,
cuCtxPushCurrent h, cuCtxPopCurrent O, cuCtxGetDevice o, cuCtxGetId hO, cuCtxSynchronize ,
cuCtxGetStreamPriorityRange oo, cuStreamCreate Oi, cuStreamCreateWithPriority Oii,
cuStreamDestroy h, cuStreamSynchronize h, cuStreamQuery h, cuStreamGetFlags ho,
cuStreamGetPriority ho, cuStreamGetCtx hO, cuStreamGetId hO, cuStreamGetDevice ho,
cuStreamIsCapturing ho, cuStreamWaitEvent hhi, cuEventCreate Oi, cuEventDestroy h,
cuEventRecord hh, cuEventQuery h, cuEventSynchronize h, cuEventElapsedTime nhh, cuMemAlloc Oh,
cuMemFree h, cuMemAllocAsync Ohh, cuMemFreeAsync hh, cuMemAllocFromPoolAsync Ohhh,
cuMemGetInfo:cuMemGetInfo_v2 OO, cuMemcpy hhh, cuMemcpyAsync hhhh, cuMemcpyHtoD:cuMemcpy hhh,
cuMemcpyDtoH:cuMemcpy hhh, cuMemcpyDtoD:cuMemcpy hhh,
cuMemcpyHtoDAsync:cuMemcpyHtoDAsync_v2 hhhh, cuMemcpyDtoHAsync:cuMemcpyDtoHAsync_v2 hhhh,
cuMemcpyDtoDAsync:cuMemcpyDtoDAsync_v2 hhhh, cuMemsetD8 hbh, cuMemsetD8Async hbhh,
cuMemGetAddressRange OOh, cuPointerGetAttribute oih, cuPointerGetAttributes innh,
cuMemHostAlloc Ohi, cuMemFreeHost h, cuMemPoolGetAttribute hin, cuMemPoolSetAttribute hin,
cuMemPoolTrimTo hh, cuModuleLoadDataEx:cuLibraryLoadData On, cuModuleLoadData:cuLibraryLoadData On,
cuModuleGetFunction Ohs, cuModuleUnload:cuLibraryUnload h, cuLibraryLoadData On,
cuLibraryGetKernel Ohs, cuLibraryUnload h, cuKernelGetFunction Oh, cuKernelGetLibrary Oh,
cuKernelGetAttribute oihd, cuFuncGetAttribute oih,
cuOccupancyMaxActiveBlocksPerMultiprocessor ohih, cuLaunchKernel:launch hiiiiiiihnn,
cuLaunchKernelEx nhnn, cuGetErrorName iO, cuGetErrorString iO
"""


def _signatures() -> dict[str, tuple[str, str]]:
    found = {}
    for line in _SIGNATURES.replace("\n", " ").split(","):
        name, _, letters = line.strip().partition(" ")
        asked, _, own = name.partition(":")
        found[asked] = (own or asked, letters)
    return found


class SharedLibrary:
    """The double of a process. `unsupported` names what was called that it does not have,
    `failures` are exceptions of its own.
    """

    def __init__(self, cuda: WholeCuda) -> None:
        self.cuda = cuda
        self.unsupported: list[str] = []
        self.failures: list[BaseException] = []
        self._known = _signatures()
        self._functions: dict[str, Any] = {}
        self._library = _loaded()
        self._resolver = _Resolver(self._resolve)
        self._library.set_resolver(self._resolver)
        self._library.set_function.restype = ctypes.c_void_p
        atexit.register(self._library.set_resolver, None)

    def _resolve(self, name: bytes, at: int, version: int, flags: int, status: int) -> int:
        """cuGetProcAddress: the address of a function."""
        asked = name.decode()
        if asked not in self._functions:
            function = self._function(asked)
            place = self._library.set_function(len(self._functions), function)
            self._functions[asked] = place, function
        ctypes.c_void_p.from_address(at).value = self._functions[asked][0]
        if status:
            ctypes.c_int.from_address(status).value = 0
        return 0

    def _function(self, asked: str) -> Any:
        if asked == "cuGetProcAddress":
            return self._library.cuGetProcAddress_v2  # by way of a function that passes it all on
        if asked not in self._known:
            return ctypes.CFUNCTYPE(ctypes.c_int)(lambda: self._refuse(asked))
        own, letters = self._known[asked]
        kinds = [_KINDS[letter] for letter in letters]

        def call(*arguments: Any) -> int:
            try:
                given = [take(x or 0) for (_, take), x in zip(kinds, arguments, strict=True)]
                return int(getattr(self.cuda, own)(*given))
            except BaseException as error:
                self.failures.append(error)
                return _FAILED

        return ctypes.CFUNCTYPE(ctypes.c_int, *[kind for kind, _ in kinds])(call)

    def _refuse(self, name: str) -> int:
        self.unsupported.append(name)
        return NOT_SUPPORTED


def find_compiler() -> str | None:
    """A C compiler; None if there is none."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def _loaded() -> ctypes.CDLL:
    """The library, which whoever asks for libcuda.so.1 from now on gets, too."""
    compiler = find_compiler()
    if compiler is None:
        raise OSError("a shared library needs a C compiler: install gcc or clang")
    functions = "".join([f"F({n})" for n in range(_MOST)])
    places = ", ".join([f"f{n}" for n in range(_MOST)])
    text = _SOURCE.replace("MOST", str(_MOST)).replace("ALL", functions)
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "libcuda.c"), Path(folder, "libcuda.so.1")
        source.write_text(text.replace("PLACES", places))
        command = [compiler, "-O0", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
        subprocess.run([*command, str(source), "-o", str(result)], check=True)
        return ctypes.CDLL(str(result), mode=ctypes.RTLD_GLOBAL)
