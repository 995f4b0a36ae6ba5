"""When this process traced and compiled what, while somebody wants to know.

In: names, and what is done under them. Out: spans of time. While nobody asks, a scope costs one
test. Runs of programs are not told here but by the runtime (`record_runs`), which knows no names.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Span(NamedTuple):
    """What was done (`kind`: "trace", "compile", "transfer", "run", "wait"), for which function,
    from when to when (of `time.perf_counter_ns`), on which thread.
    """

    kind: str
    name: str
    begin_ns: int
    end_ns: int
    thread: int
    size_bytes: int = 0

    @property
    def ms(self) -> float:
        """How long it took."""
        return (self.end_ns - self.begin_ns) / 1e6


_LISTENERS: list[Callable[[Span], object]] = []


def listen(listener: Callable[[Span], object]) -> None:
    """Tell of every span from now on."""
    _LISTENERS.append(listener)


def unlisten(listener: Callable[[Span], object]) -> None:
    """Tell no longer."""
    _LISTENERS.remove(listener)


class spanning:  # a scope
    """A scope that is told as a span of a kind."""

    __slots__ = ("_begin_ns", "_kind", "_name")

    def __init__(self, kind: str, name: str) -> None:
        self._kind = kind
        self._name = name

    def __enter__(self) -> None:
        self._begin_ns = time.perf_counter_ns() if _LISTENERS else 0

    def __exit__(self, *_: Any) -> None:
        if self._begin_ns:
            end_ns = time.perf_counter_ns()
            span = Span(self._kind, self._name, self._begin_ns, end_ns, threading.get_ident())
            for listener in tuple(_LISTENERS):
                listener(span)
