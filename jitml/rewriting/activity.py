"""What goes on while a rewritten function is traced, per thread: how deep in blocks whose condition
is not known, and what has been noted of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType
from typing import TypeAlias

from jitml.ir.errors import TracerError
from jitml.ir.source import user_frame, user_source

Place: TypeAlias = "tuple[CodeType | None, int]"  # an instruction
_MOST_REPEATED = 16  # times that one statement is inside of itself


class _State(threading.local):
    blocks: tuple[Place, ...] = ()  # the statements around, whose conditions are not known
    notes: dict[str, None] | None = None
    refused: dict[CodeType, str] | None = None


_STATE = _State()


@contextmanager
def watching() -> Iterator[tuple[dict[str, None], dict[CodeType, str]]]:
    """Inside, what becomes of statements is noted, and which functions cannot be rewritten."""
    before = _STATE.notes, _STATE.refused, _STATE.blocks
    _STATE.notes, _STATE.refused, _STATE.blocks = {}, {}, ()
    try:
        yield _STATE.notes, _STATE.refused
    finally:
        _STATE.notes, _STATE.refused, _STATE.blocks = before


def inside(became: str) -> _Inside:
    """A scope that traces a block whose condition is not known; tells what the statement became."""
    frame, source = user_frame(), user_source()
    here = (None, 0) if frame is None else (frame.f_code, frame.f_lasti)
    if _STATE.blocks.count(here) >= _MOST_REPEATED:
        raise TracerError(
            f"{source.function} calls itself under a condition that is not known while tracing, "
            "so that tracing it would not end",
            hint="write the recursion as a loop",
            source=source,
        )
    if _STATE.notes is not None:
        _STATE.notes.setdefault(f"{source.describe()}  -> {became}")
    return _Inside(here)


class _Inside:
    def __init__(self, here: Place) -> None:
        self._here = here

    def __enter__(self) -> None:
        self._before = _STATE.blocks
        _STATE.blocks = (*self._before, self._here)

    def __exit__(self, *_: object) -> None:
        _STATE.blocks = self._before


def is_conditional() -> bool:
    """Whether what runs now would run under a condition that is not known."""
    return bool(_STATE.blocks)


def note_refused(code: CodeType, reason: str) -> None:
    """Note why a function is not rewritten."""
    if _STATE.refused is not None:
        _STATE.refused.setdefault(code, reason)
