"""What goes on while a rewritten function is traced, per thread: how deep in blocks whose condition
is not known, and what has been noted of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

from jitml.ir.errors import TracerError
from jitml.ir.source import user_source

_MOST_REPEATED = 32  # times that one block is inside of itself


class _State(threading.local):
    blocks: tuple[CodeType, ...] = ()  # the blocks around, whose conditions are not known
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


def inside(block: Any, became: str) -> _Inside:
    """A scope that traces a block whose condition is not known; tells what the statement became."""
    code: CodeType = block.__code__
    if _STATE.blocks.count(code) >= _MOST_REPEATED:
        raise TracerError(
            f"{code.co_name} calls itself under a condition that is not known while tracing, "
            "so that tracing it would not end",
            hint="write the recursion as a loop",
            source=user_source(),
        )
    if _STATE.notes is not None:
        _STATE.notes.setdefault(f"{user_source().describe()}  -> {became}")
    return _Inside(code)


class _Inside:
    def __init__(self, code: CodeType) -> None:
        self._code = code

    def __enter__(self) -> None:
        self._before = _STATE.blocks
        _STATE.blocks = (*self._before, self._code)

    def __exit__(self, *_: object) -> None:
        _STATE.blocks = self._before


def is_conditional() -> bool:
    """Whether what runs now would run under a condition that is not known."""
    return bool(_STATE.blocks)


def note_refused(code: CodeType, reason: str) -> None:
    """Note why a function is not rewritten."""
    if _STATE.refused is not None:
        _STATE.refused.setdefault(code, reason)
