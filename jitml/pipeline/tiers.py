"""Programs that have run long get better code for their kernels, while they go on.

In: executables whose kernels were compiled fast. A thread, which lives while there are any, looks
now and then which of them have been busy; their kernels are compiled again in a worker process and
exchanged between two calls of a kernel. Bits stay the same. Must not know what programs compute.
"""

from __future__ import annotations

import atexit
import os
import threading
from weakref import ref

from jitml.pipeline.kernels import TIERED, Wanted, upgrade
from jitml.pipeline.programs import Ready
from jitml.pipeline.statistics import STATISTICS
from jitml_runtime import Executable
from jitml_runtime.record import frozen

BUSY_NS = 30_000_000  # about what compiling again costs
# It is looked soon after a program has come, and then less and less often.
_FIRST_SECONDS, _LONGEST_SECONDS, _GROWTH = 0.025, 0.2, 1.3


@frozen
class _Fast:
    """A kernel that was compiled fast: what to compile, the function, where it lies now."""

    wanted: Wanted
    function: str
    address: int


@frozen
class _Watched:
    """An executable with such kernels."""

    executable: ref[Executable]
    kernels: tuple[_Fast, ...]


class _Watch:
    """The executables that are watched, and the thread that does it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.watched: list[_Watched] = []
        self.is_running = False
        self.seconds = _FIRST_SECONDS  # until the next look
        self.ended = threading.Event()

    def add(self, watched: _Watched) -> None:
        """Watch an executable from now on."""
        with self.lock:
            self.watched.append(watched)
            self.seconds = _FIRST_SECONDS
            if not self.is_running:
                self.is_running = True
                threading.Thread(target=self._run, name="jitml-tiers", daemon=True).start()

    def _run(self) -> None:
        while not self.ended.wait(self.seconds):
            self.seconds = min(self.seconds * _GROWTH, _LONGEST_SECONDS)
            if not self.look():
                return

    def look(self) -> bool:
        """Exchange kernels of executables that were busy; whether there are any left to watch."""
        with self.lock:
            found, self.watched = self.watched, []
        kept = [watched for watched in found if not _is_done(watched)]
        with self.lock:
            self.watched += kept
            self.is_running = bool(self.watched)
            return self.is_running


def _is_done(watched: _Watched) -> bool:
    """Whether an executable is gone, or was busy; then it gets better kernels."""
    executable = watched.executable()
    if executable is None:
        return True
    if executable.busy_ns < BUSY_NS:
        return False
    executable.watch(False)
    for kernel in watched.kernels:
        code = upgrade(kernel.wanted)
        if code is None:  # no worker can be had: what there is will do
            return True
        executable.replace_kernel(kernel.address, code.address(kernel.function), code)
    STATISTICS.graphs_upgraded += 1
    return True


_WATCH = _Watch()


def watch(executable: Executable, ready: Ready) -> None:
    """See to it that kernels which were compiled fast are compiled again if they run long."""
    wants_more = [
        wanted.level == TIERED and loaded.text is not None
        for wanted, loaded in zip(ready.wanted, ready.loaded, strict=True)
    ]
    if not any(wants_more):
        return
    kernels = zip(ready.wanted, ready.loaded, ready.functions, ready.addresses, strict=True)
    fast = [
        _Fast(Wanted(wanted.key, wanted.level, loaded.text), function, address)
        for wanted, loaded, function, address in kernels
        if loaded.text is not None
    ]
    executable.watch(True)
    _WATCH.add(_Watched(ref(executable), tuple(fast)))


def _forget() -> None:
    """After a fork there is no thread: what was watched stays as it is."""
    global _WATCH
    _WATCH = _Watch()


atexit.register(lambda: _WATCH.ended.set())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
