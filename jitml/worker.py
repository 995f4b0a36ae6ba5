"""The compiler as a process of its own: LLVM text comes in through stdin, object code goes out
through stdout. `python -m jitml.worker` runs it; jitml runs the file itself, which spares it NumPy.

llvmlite holds one lock for a whole process, so kernels are compiled side by side in several. A
worker ends with its stdin, or when the process that started it is gone.

A request is five numbers (u32: codegen level and the bytes of triple, cpu and features; u64: bytes
of the text) and those four texts. A reply is a u32, 0 or 1 (an error), and a u64, the bytes of the
object code or message that follows. The first reply, without a request, is the number GREETING.
"""

from __future__ import annotations

import os
import select
import struct
import sys
from importlib import util
from typing import Any

REQUEST = struct.Struct("<IIIIQ")
REPLY = struct.Struct("<IQ")
GREETING = 0x6A69_0001
_PATIENCE_SECONDS = 1.0


def main() -> int:
    """Serve until nobody asks any more."""
    if len(sys.argv) > 1:
        sys.path.append(sys.argv[1])  # where llvmlite lies
    parent = os.getppid()
    source, target = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)  # what a library prints must not come between
    compiler = _compiler()
    compiler.host()  # loads LLVM
    _write(target, REPLY.pack(GREETING, 0))
    while _is_asked(source, parent):
        head = _read(source, REQUEST.size)
        if head is None:
            break
        level, *sizes = REQUEST.unpack(head)
        texts = [_read(source, size) for size in sizes]
        if None in texts:
            break
        triple, cpu, features, text = (t.decode() for t in texts if t is not None)
        status, data = _compile(compiler, text, (triple, cpu, features, 0), level)
        _write(target, REPLY.pack(status, len(data)) + data)
    return 0


def _compile(
    compiler: Any, text: str, target: tuple[str, str, str, int], level: int
) -> tuple[int, bytes]:
    try:
        return 0, compiler.compile_object(text, compiler.Target(*target), level)
    except RuntimeError as error:  # what LLVM has against the text
        return 1, str(error).encode()


def _compiler() -> Any:
    """The module that talks to llvmlite, loaded without the packages that it lies in."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "codegen", "target.py")
    spec = util.spec_from_file_location("jitml_worker_target", path)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _is_asked(source: int, parent: int) -> bool:
    """Wait for a request; False once the process that started this one is gone."""
    while not select.select([source], [], [], _PATIENCE_SECONDS)[0]:
        if os.getppid() != parent:
            return False
    return True


def _read(source: int, size: int) -> bytes | None:
    """Exactly `size` bytes; None if there are no more to come."""
    parts = []
    while size > 0:
        part = os.read(source, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _write(target: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:
        sys.exit(0)
