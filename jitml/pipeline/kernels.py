"""Machine code of kernels: made once for a text and level, in this process or an earlier one.

In: a kernel's text and codegen level, or the key of one. Out: loaded code. The compiler is imported
when a kernel is found neither in memory nor on disk. Must not know what kernels compute.
"""

from __future__ import annotations

import functools
import time

from jitml.codegen.target import Target, compile_object, host
from jitml.pipeline.cache import Cache
from jitml.pipeline.disk import KERNEL, TARGET, disk
from jitml.pipeline.environment import compiler_key
from jitml.pipeline.statistics import STATISTICS
from jitml_runtime import Code, LoadError, load_object
from jitml_runtime.packing import FormatError, Packer, Unpacker, key_of


class MissingKernel(Exception):
    """A kernel that is known by its key alone is not there any more."""


def kernel_key(text: str) -> bytes:
    """The key of a kernel's text, on this machine."""
    return key_of(compiler_key() or b"", text.encode())


class _Kernel:
    """A kernel to load: known by key and level; the text serves to compile it."""

    __slots__ = ("key", "level", "text")

    def __init__(self, key: bytes, level: int, text: str | None) -> None:
        self.key = key
        self.level = level
        self.text = text

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Kernel):
            return NotImplemented
        return self.key == other.key and self.level == other.level


def load_kernel(key: bytes, level: int, text: str | None = None) -> Code:
    """The code of a kernel. Without its text, MissingKernel is raised if it must be compiled."""
    return _CODES(_Kernel(key, level, text))


def _load(kernel: _Kernel) -> Code:
    kept = disk() if compiler_key() else None
    key = key_of(kernel.key, bytes([kernel.level]))
    found = kept.read(KERNEL, key) if kept else None
    if found is not None:
        try:
            code = load_object(found)
        except LoadError:  # what an older loader has let pass
            pass
        else:
            STATISTICS.kernels_found += 1
            return code
    if kernel.text is None:
        raise MissingKernel
    start = time.perf_counter()
    data = compile_object(kernel.text, host(), kernel.level)
    code = load_object(data)
    STATISTICS.kernels += 1
    STATISTICS.seconds += time.perf_counter() - start
    if kept:
        kept.write(KERNEL, key, data)
    return code


_CODES: Cache[_Kernel, Code] = Cache(_load, 4096)


def forget_kernels() -> None:
    """Forget the code in memory."""
    _CODES.clear()


@functools.cache
def host_target() -> Target:
    """The machine that kernels are written for, without asking the compiler where it was asked
    before.
    """
    key = compiler_key()
    kept = disk() if key else None
    found = kept.read(TARGET, key) if kept and key else None
    if found is not None:
        try:
            source = Unpacker(found)
            return Target(source.text(), source.text(), source.text(), source.integer())
        except FormatError:
            pass
    target = host()
    if kept and key:
        out = Packer()
        for text in (target.triple, target.cpu, target.features):
            out.text(text)
        out.integer(target.vector_bytes)
        kept.write(TARGET, key, out.packed())
    return target
