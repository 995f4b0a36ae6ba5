"""Worker processes that compile kernels beside this one (see `jitml.worker`).

In: texts. Out: object code. Workers are started when they are first needed and end with this
process; a child that was forked starts its own. Where none can be started (JITML_WORKERS=0, Python
inside another program, a single processor), or one dies, the process does all by itself.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from importlib.machinery import PathFinder

from jitml.codegen.target import Target
from jitml.worker import GREETING, REPLY, REQUEST
from jitml_runtime.threads import default_thread_count

_MOST_WORKERS = 4
_MOST_FAILURES = 3


class WorkerLost(Exception):
    """The process is gone, or speaks another language."""


class Worker:
    """One process, which compiles one text after the other."""

    def __init__(self, command: list[str]) -> None:
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        null = os.open(os.devnull, os.O_WRONLY)
        moved = [(os.POSIX_SPAWN_DUP2, fd, k) for k, fd in enumerate((requests, replies, null))]
        try:
            self._pid = os.posix_spawn(
                command[0],
                command,
                os.environ,
                file_actions=moved,
                setpgroup=0,  # Ctrl-C is for this process alone
            )
        except OSError:
            os.close(self._requests)
            os.close(self._replies)
            raise
        finally:
            for fd in (requests, replies, null):
                os.close(fd)
        self._owner = os.getpid()
        self._is_ready = False
        self.is_closed = False
        self._lock = threading.RLock()

    def compile(self, text: str, target: Target, level: int) -> bytes | None:
        """The object code of a text; None if LLVM refuses it. Raises WorkerLost."""
        with self._lock:
            self.wait()
            texts = [t.encode() for t in (target.triple, target.cpu, target.features, text)]
            self._send(REQUEST.pack(level, *map(len, texts)) + b"".join(texts))
            status, size = REPLY.unpack(self._receive(REPLY.size))
            data = self._receive(size)
            return data if status == 0 else None

    def wait(self) -> None:
        """Return when the worker has loaded its compiler."""
        with self._lock:
            if not self._is_ready:
                greeting, _ = REPLY.unpack(self._receive(REPLY.size))
                if greeting != GREETING:
                    raise WorkerLost
                self._is_ready = True

    def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._requests, rest) :]
        except OSError:
            raise WorkerLost from None

    def _receive(self, size: int) -> bytes:
        parts = []
        while size > 0:
            try:
                part = os.read(self._replies, min(size, 1 << 20))
            except OSError:
                raise WorkerLost from None
            if not part:
                raise WorkerLost
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """End the process; in a fork of its owner, only let go of it."""
        self.is_closed = True
        os.close(self._requests)
        os.close(self._replies)
        if os.getpid() == self._owner:
            try:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
            except OSError:  # somebody else has waited for it
                return


class _Pool:
    """The workers of this process."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.failures = 0
        self.lock = threading.Lock()

    def get(self, number: int) -> Worker | None:
        """The worker of this number, started if it is not there yet."""
        with self.lock:
            while len(self.workers) <= number:
                command = _command()
                if command is None or self.failures >= _MOST_FAILURES:
                    return None
                try:
                    self.workers.append(Worker(command))
                except OSError:
                    self.failures += 1
                    return None
            return self.workers[number]

    def drop(self, worker: Worker) -> None:
        """Forget a worker that is lost."""
        with self.lock:
            if worker in self.workers:
                self.workers.remove(worker)
                self.failures += 1
                worker.close()

    def close(self) -> None:
        """End all workers."""
        with self.lock:
            while self.workers:
                self.workers.pop().close()


_POOL = _Pool()


def worker(number: int = 0) -> Worker | None:
    """A worker of this process; None where none can be had."""
    return _POOL.get(number) if number < worker_count() else None


def has_worker() -> bool:
    """Whether one is running already."""
    return bool(_POOL.workers)


def drop_worker(lost: Worker) -> None:
    """Do without a worker that was lost; after some such losses, without any."""
    _POOL.drop(lost)


def worker_count() -> int:
    """How many workers may be used: JITML_WORKERS, or one for each further processor."""
    asked = os.environ.get("JITML_WORKERS", "")
    if asked.isdecimal():
        return min(int(asked), _MOST_WORKERS)
    return min(default_thread_count() - 1, _MOST_WORKERS)


def _command() -> list[str] | None:
    """How a worker is started; None where `sys.executable` may be no Python."""
    executable = sys.executable or ""
    is_python = os.path.basename(executable).startswith(("python", "pypy"))
    spec = PathFinder.find_spec("llvmlite")
    if not hasattr(os, "posix_spawn") or not is_python or getattr(sys, "frozen", False):
        return None
    if spec is None or not spec.origin:
        return None
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    libraries = os.path.dirname(os.path.dirname(spec.origin))
    return [executable, "-I", "-S", os.path.join(package, "worker.py"), libraries]


def _forget() -> None:
    """After a fork the workers are the parent's."""
    global _POOL
    inherited, _POOL = _POOL, _Pool()
    for each in inherited.workers:
        each.close()


atexit.register(lambda: _POOL.close())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
