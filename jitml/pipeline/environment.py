"""What compiled code depends on beside the program: the machine, the compiler, jitml's own source.

Out: keys that differ where code made under one of them must not run, or would not be made, under
the other. Found without llvmlite, so that a program that is known needs no compiler.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder

import ml_dtypes
import numpy as np

from jitml.pipeline.disk import SOURCES, disk
from jitml_runtime import processor
from jitml_runtime.code import IMPORTED_AT
from jitml_runtime.packing import key_of

_FOLDERS = ("ir", "trace", "scalar", "ops", "transforms", "codegen", "pipeline")
_X86_FIELDS = ("vendor_id", "cpu family", "model", "stepping", "flags")
_ARM_FIELDS = ("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features")
_SETTLED_SECONDS = 2


@functools.cache
def compiler_key() -> bytes | None:
    """What the machine code of a kernel depends on beside its text; None if it cannot be told."""
    machine, compiler, layer = _machine(), _compiler(), _digest_of("codegen/target.py")
    if machine is None or compiler is None or layer is None:
        return None
    return key_of(processor.platform_name().encode(), machine, compiler, layer)


@functools.cache
def program_key() -> bytes | None:
    """What a plan and its kernels depend on beside the graph; None if it cannot be told."""
    compiler = compiler_key()
    sources = _sources() if compiler else None
    if compiler is None or sources is None:
        return None
    versions = f"{np.__version__} {ml_dtypes.__version__} {sys.version}"
    return key_of(compiler, versions.encode(), sources)


def _machine() -> bytes | None:
    """The processor and what it can do."""
    fields = processor.description() or {}
    if processor.features() is None:
        return None
    return "\n".join(
        [fields[name] for name in (*_X86_FIELDS, *_ARM_FIELDS) if name in fields]
    ).encode()


def _compiler() -> bytes | None:
    """The version of llvmlite and of the LLVM inside it."""
    spec = PathFinder.find_spec("llvmlite")
    if spec is None or not spec.origin:
        return None
    folder = os.path.dirname(spec.origin)
    version = _read(os.path.join(folder, "_version.py"), 1 << 12)
    try:
        with os.scandir(os.path.join(folder, "binding")) as files:
            libraries = sorted(
                (file.name, file.stat().st_size) for file in files if "llvmlite." in file.name
            )
    except OSError:
        return None
    return None if version is None else version + repr(libraries).encode()


def _sources() -> bytes | None:
    """A digest of the text of everything that takes part in compiling; None if any of it is newer
    than this process, which may then run what it was before.
    """
    files = _source_files()
    newest = max((status.st_ctime for _, status in files), default=IMPORTED_AT)
    if newest >= IMPORTED_AT:
        return None
    # Reading all files takes milliseconds, so the digest is kept under what the file system tells
    # of them; a change within the resolution of its clock would not show there.
    kept = disk() if newest < IMPORTED_AT - _SETTLED_SECONDS else None
    told = key_of(*(f"{path} {_state(status)}".encode() for path, status in files))
    found = kept.read(SOURCES, told) if kept else None
    if found is None:
        found = _digest([path for path, _ in files])
        if kept and found:
            kept.write(SOURCES, told, found)
    return found


def _source_files() -> list[tuple[str, os.stat_result]]:
    """The source files in order of their paths; none if a folder cannot be read."""
    package = _package()
    found: list[tuple[str, os.stat_result]] = []
    try:
        for folder in (*(os.path.join(package, name) for name in _FOLDERS), _runtime()):
            here = list(_files_in(folder))
            if not here:
                return []
            found += sorted(here)
    except OSError:
        return []
    return found


def _files_in(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                yield entry.path, entry.stat()
            elif "." not in entry.name and entry.name != "__pycache__" and entry.is_dir():
                yield from _files_in(entry.path)


def _state(status: os.stat_result) -> tuple[int, ...]:
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return (*times, status.st_size, status.st_ino, status.st_dev)


def _digest(paths: Sequence[str]) -> bytes | None:
    """A digest of files' names and contents."""
    contents: list[bytes] = []
    for path in paths:
        text = _read_source(path)
        if text is None:
            return None
        name = os.path.join(*path.split(os.sep)[-3:])  # wherever the package lies
        contents += [name.encode(), text]
    return key_of(*contents)


def _digest_of(name: str) -> bytes | None:
    text = _read_source(os.path.join(_package(), name))
    return None if text is None else key_of(text)


def _package() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _runtime() -> str:
    import jitml_runtime

    return os.path.dirname(os.path.abspath(jitml_runtime.__file__))


def _read(path: str, most: int) -> bytes | None:
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.read(file, most)
    except OSError:
        return None
    finally:
        os.close(file)


def _read_source(path: str) -> bytes | None:
    """A source file, unless it has changed while this process ran."""
    try:
        is_older = os.stat(path).st_ctime < IMPORTED_AT
    except OSError:
        return None
    return _read(path, 1 << 24) if is_older else None
