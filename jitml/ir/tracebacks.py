"""Tracebacks without our own frames.

In: an exception that leaves us, or is about to be shown. Out: the same, whose traceback leads
through the user's lines alone. `JITML_TRACEBACK=full` keeps all frames, and so does what looks like
a fault of ours.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from jitml.ir.errors import InternalError, JitmlError
from jitml.ir.source import PACKAGES

Function = TypeVar("Function", bound=Callable[..., Any])
_STANDARD = os.path.join(os.path.dirname(os.__file__), "")
_INSTALLED = os.path.join(_STANDARD, "site-packages", "")


def hiding_frames(function: Function) -> Function:
    """The function, through which errors leave us: without our frames, its own among them. (Before
    Python 3.11, where one is raised again, they come back; what ends a program is shown without.)
    """

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            hide_frames(error, is_ours_alone=True)
            raise

    return called  # type: ignore[return-value]


def hide_frames(error: BaseException | None, is_ours_alone: bool = False) -> None:
    """Take our frames out of the traceback of an error, and of those that it came from; all of
    them where it `is_ours_alone` and has met no user's frame yet.
    """
    if os.environ.get("JITML_TRACEBACK") == "full":
        return
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = _without_ours(error, error.__traceback__, is_ours_alone)
        error = error.__cause__ or error.__context__


def _without_ours(
    error: BaseException, first: TracebackType | None, may_be_empty: bool
) -> TracebackType | None:
    kept, is_hidden = [], False
    entry = first
    while entry is not None:
        file = entry.tb_frame.f_code.co_filename
        is_hidden = file.startswith(PACKAGES) or (is_hidden and _is_standard(file))
        if not is_hidden:
            kept.append(entry)
        entry = entry.tb_next
    is_told = isinstance(error, JitmlError) and not isinstance(error, InternalError)
    if is_hidden and not is_told:
        return first
    if not kept:
        return None if may_be_empty else first
    for entry, following in zip(kept, [*kept[1:], None], strict=True):
        entry.tb_next = following
    return kept[0]


def _is_standard(file: str) -> bool:
    return file.startswith((_STANDARD, "<frozen")) and not file.startswith(_INSTALLED)
