"""Machine code of kernels: made once for a text and level, in this process or an earlier one.

In: kernels' texts and the codegen levels that they want, or keys. Out: loaded code. The compiler is
imported when a kernel is found neither in memory nor on disk. Kernels that want `TIERED` are
compiled fast at first; `upgrade` gives the code that is worth more time. Bits are the same at all
levels. Must not know what kernels compute.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jitml.codegen.target import Target, host
from jitml.pipeline.cache import Cache
from jitml.pipeline.disk import KERNEL, TARGET, disk
from jitml.pipeline.environment import compiler_key
from jitml.pipeline.statistics import STATISTICS
from jitml_runtime import Code, LoadError, load_object
from jitml_runtime.packing import FormatError, Packer, Unpacker, key_of
from jitml_runtime.record import frozen

if TYPE_CHECKING:
    from jitml.pipeline.workers import Worker

TIERED = 1  # the level of kernels that are compiled at level 0 first, and again where they run long
FAST, FULL = 0, 2
# What a kernel costs to compile: milliseconds, and for each kilobyte of text.
_COST = {0: (2.0, 1.0), 1: (3.0, 2.2), 2: (3.0, 1.6)}


class MissingKernel(Exception):
    """A kernel that is known by its key alone is not there any more."""


@frozen
class Wanted:
    """A kernel: its key, the level that it wants, its text where it is known."""

    key: bytes
    level: int
    text: str | None


@frozen
class Loaded:
    """A kernel's code; `text` is there if the code was compiled fast and `upgrade` would make it
    better.
    """

    code: Code
    text: str | None


def kernel_key(text: str) -> bytes:
    """The key of a kernel's text, on this machine."""
    return key_of(compiler_key() or b"", text.encode())


class Job:
    """A kernel at one level: known by these; compiled from the text, through a worker or here."""

    __slots__ = ("key", "level", "text", "through")

    def __init__(self, key: bytes, level: int, text: str | None) -> None:
        self.key = key
        self.level = level
        self.text = text
        self.through: Worker | None = None

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Job):
            return NotImplemented
        return self.key == other.key and self.level == other.level

    @property
    def stored_key(self) -> bytes:
        return key_of(self.key, bytes([self.level]))

    @property
    def cost_ms(self) -> float:
        base, by_kilobyte = _COST[self.level]
        return base + by_kilobyte * len(self.text or "") / 1000


def load_kernels(wanted: Sequence[Wanted]) -> tuple[Loaded, ...]:
    """The code of kernels, each at the best level that is at hand. MissingKernel is raised if one
    without text must be compiled.
    """
    first_level = functools.cache(_first_level)  # asks the system once, if at all
    jobs = [_best_job(kernel, first_level) for kernel in wanted]
    new = [job for job in dict.fromkeys(jobs) if job.text is not None and not _is_at_hand(job)]
    if len(new) > 1:
        from jitml.pipeline.compiling import load_beside

        load_beside(sorted(new, key=lambda job: job.cost_ms), _LOADED)
    return tuple([_LOADED(job) for job in jobs])


def upgrade(kernel: Wanted) -> Code | None:
    """The code of a kernel that has run long, at the level for that, compiled in a worker. None
    where no worker can be had.
    """
    from jitml.pipeline.workers import worker

    job = Job(kernel.key, FULL, kernel.text)
    if not _is_at_hand(job):
        job.through = worker()
        if job.through is None:
            return None
    return _LOADED(job).code


def _first_level() -> int:
    """The level at which kernels that want `TIERED` are compiled at first."""
    from jitml.pipeline.workers import worker_count

    return FAST if worker_count() else TIERED


def _best_job(kernel: Wanted, first_level: Callable[[], int]) -> Job:
    if kernel.level != TIERED:
        return Job(kernel.key, kernel.level, kernel.text)
    for level in (FULL, TIERED, FAST):
        job = Job(kernel.key, level, kernel.text)
        if _is_at_hand(job):
            return job
    if kernel.text is None:
        raise MissingKernel
    return Job(kernel.key, first_level(), kernel.text)


def _is_at_hand(job: Job) -> bool:
    """Whether a kernel is in memory, or seems to be on disk."""
    if _LOADED.get(job) is not None:
        return True
    kept = disk() if compiler_key() else None
    return kept is not None and kept.has(KERNEL, job.stored_key)


# ---- one kernel ----------------------------------------------------------------------------------


def _load(job: Job) -> Loaded:
    kept = disk() if compiler_key() else None
    found = kept.read(KERNEL, job.stored_key) if kept else None
    if found is not None:
        try:
            loaded = _unpacked(found)
        except (FormatError, LoadError):  # what an older version has let pass
            pass
        else:
            STATISTICS.kernels_found += 1
            return loaded
    if job.text is None:
        raise MissingKernel
    from jitml.pipeline.compiling import compile_text

    start = time.perf_counter()
    data = compile_text(job.text, job.level, job.through, host_target())
    code = load_object(data)
    STATISTICS.kernels += 1
    STATISTICS.seconds += time.perf_counter() - start
    text = job.text if job.level == FAST else None
    if kept:
        kept.write(KERNEL, job.stored_key, _packed(data, text))
    return Loaded(code, text)


def _packed(data: bytes, text: str | None) -> bytes:
    out = Packer()
    out.data(data)
    out.text(text or "")
    return out.packed()


def _unpacked(found: bytes) -> Loaded:
    source = Unpacker(found)
    return Loaded(load_object(source.data()), source.text() or None)


_LOADED: Cache[Job, Loaded] = Cache(_load, 4096)


def forget_kernels() -> None:
    """Forget the code in memory."""
    _LOADED.clear()


# ---- the machine ---------------------------------------------------------------------------------


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
