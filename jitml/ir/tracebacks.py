"""Tracebacks without our own frames.

In: an exception that is about to be shown. Out: the same, whose traceback leads through the user's
lines alone. `JITML_TRACEBACK=full` keeps all frames, and so does what looks like a fault of ours.
"""

from __future__ import annotations

import os
from types import TracebackType

from jitml.ir.errors import InternalError, JitmlError
from jitml.ir.source import PACKAGES

_STANDARD = os.path.join(os.path.dirname(os.__file__), "")
_INSTALLED = os.path.join(_STANDARD, "site-packages", "")


def hide_frames(error: BaseException | None) -> None:
    """Take our frames out of the traceback of an error, and of those that it came from."""
    if os.environ.get("JITML_TRACEBACK") == "full":
        return
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = _without_ours(error, error.__traceback__)
        error = error.__cause__ or error.__context__


def _without_ours(error: BaseException, first: TracebackType | None) -> TracebackType | None:
    kept, is_hidden = [], False
    entry = first
    while entry is not None:
        file = entry.tb_frame.f_code.co_filename
        is_hidden = file.startswith(PACKAGES) or (is_hidden and _is_standard(file))
        if not is_hidden:
            kept.append(entry)
        entry = entry.tb_next
    is_told = isinstance(error, JitmlError) and not isinstance(error, InternalError)
    if not kept or (is_hidden and not is_told):
        return first
    for entry, following in zip(kept, [*kept[1:], None], strict=True):
        entry.tb_next = following
    return kept[0]


def _is_standard(file: str) -> bool:
    return file.startswith((_STANDARD, "<frozen")) and not file.startswith(_INSTALLED)
