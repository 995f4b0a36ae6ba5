"""Trace a function as it is; where that needs the truth of a value that is not known, once more
with Python's control flow rewritten.

In: how to trace. Out: what that gave. Imports the rewriting itself only where it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any, TypeVar

from jitml.ir.errors import (
    LongIterationError,
    TracerBoolConversionError,
    TracerError,
    TracerIntegerConversionError,
)
from jitml.trace.forms import calling, is_truth_asked
from jitml_runtime.record import frozen

Result = TypeVar("Result")
_NEEDS = (LongIterationError, TracerBoolConversionError, TracerIntegerConversionError)


@frozen
class Attempt:
    """What tracing gave; `rewritten` tells statement by statement what has become of control
    flow.
    """

    result: Any
    rewritten: tuple[str, ...] = ()


def trace_as_written(
    trace: Callable[[Any], Any], function: Any, may_rewrite: bool
) -> Attempt | None:
    """`trace(function)`; None if that needs rewriting, which is possible.

    It does also where the function itself has caught the error that tells so.
    """
    with calling(None, may_rewrite):
        try:
            attempt = Attempt(trace(function))
        except Exception as error:
            if may_rewrite and (isinstance(error, _NEEDS) or is_truth_asked()):
                return None
            raise
        return None if may_rewrite and is_truth_asked() else attempt


def trace_rewritten(trace: Callable[[Any], Any], function: Any) -> Attempt:
    """`trace` of the rewritten form of `function`, which calls rewritten forms as well."""
    from jitml.rewriting.activity import watching
    from jitml.rewriting.functions import rewritten

    with watching() as (notes, refused), calling(rewritten):
        try:
            return Attempt(trace(rewritten(function)), tuple(notes))
        except TracerError as error:
            error.hint = _hint(error, refused)
            raise


def _hint(error: TracerError, refused: dict[CodeType, str]) -> str:
    """How to go on, with why the innermost function in which it went wrong is not rewritten."""
    found = ""
    at = error.__traceback__
    while at is not None:
        code = at.tb_frame.f_code
        if code in refused:
            found = f"{code.co_name} (line {at.tb_lineno}) cannot be rewritten: {refused[code]}; "
        at = at.tb_next
    return found + error.hint
