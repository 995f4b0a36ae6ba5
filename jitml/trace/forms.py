"""What is called for a user's function while tracing: itself, or a form of it that its control flow
on traced values has been rewritten in. Per thread. Must not know: how that is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LONG = 64  # rows of an array beyond which going through them is recorded as one loop


class _State(threading.local):
    form: Callable[[Any], Any] | None = None
    may_rewrite: bool = False
    is_truth_asked: bool = False


_STATE = _State()


@contextmanager
def calling(form: Callable[[Any], Any] | None, may_rewrite: bool = False) -> Iterator[None]:
    """A scope in which `form(function)` is called for users' functions (None: they themselves), and
    `may_rewrite` says whether an attempt that fails there is followed by one that rewrites.
    """
    before = _STATE.form, _STATE.may_rewrite, _STATE.is_truth_asked
    _STATE.form, _STATE.may_rewrite, _STATE.is_truth_asked = form, may_rewrite, False
    try:
        yield
    finally:
        _STATE.form, _STATE.may_rewrite, _STATE.is_truth_asked = before


def traced_form(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is called for a user's function while tracing."""
    form = _STATE.form
    return function if form is None else form(function)


def ask_truth() -> None:
    """Tell that the truth of an unknown value was asked for, whoever catches the error."""
    _STATE.is_truth_asked = True


def is_truth_asked() -> bool:
    """Whether that was told in the current scope of `calling`."""
    return _STATE.is_truth_asked


def may_rewrite() -> bool:
    """Whether the current attempt to trace is followed by one that rewrites control flow."""
    return _STATE.may_rewrite
