"""When what ran: spans of time that runs of programs and conversions have taken, while somebody
wants to know.

In: spans. Out: a list of them. Must not know what they are of.
"""

from __future__ import annotations

import threading
from typing import Any

Span = tuple[Any, int, int, int, int]

is_recording = False
_spans: list[Span] = []


def record(about: Any, begin_ns: int, end_ns: int, size_bytes: int) -> None:
    """Remember a span of this thread."""
    _spans.append((about, begin_ns, end_ns, size_bytes, threading.get_ident()))


def record_runs(wanted: bool, /) -> None:
    """Remember from now on when programs run and arrays are converted, or do so no longer."""
    global is_recording
    is_recording = bool(wanted)


def recorded_runs() -> tuple[list[Span], int]:
    """What was remembered since this was last asked: a list of (what, begin_ns, end_ns, bytes,
    thread), and how many more there was no room for.
    """
    found = _spans[:]
    del _spans[: len(found)]
    return found, 0
