"""What a condition that is not known could not undo, and variables that it may leave unassigned:
checked where rewritten code runs, refused with the user's line.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitml.ir.errors import TracerError
from jitml.ir.source import user_source
from jitml.rewriting.activity import is_conditional
from jitml.rewriting.state import Unassigned


def assigned(x: Any) -> Any:
    """A variable that is read, which all ways to here must have assigned."""
    if isinstance(x, Unassigned):
        x.refuse()
    return x


def raised(exception: Any) -> Any:
    """An exception that is about to be raised."""
    if is_conditional():
        name = exception.__name__ if isinstance(exception, type) else type(exception).__name__
        _refuse(f"{name} is raised", "check before the call, or return a value that tells")
    return exception


def storing(what: str) -> None:
    """What is no variable of the function is about to be assigned."""
    if is_conditional():
        _refuse(f"{what} is assigned", "assign a variable there, and this one afterwards")


def storing_into(container: Any, is_variable: bool) -> None:
    """An element of a container, or an object in place, is about to be changed."""
    if not is_conditional():
        return
    if isinstance(container, np.ndarray):
        _refuse("a NumPy array is changed", "make it an array with jitml.numpy.asarray")
    if not is_variable and not hasattr(container, "at"):
        _refuse(
            f"a {type(container).__name__} that no variable of the function holds is changed",
            "let a variable hold it",
        )


def _refuse(what: str, hint: str) -> None:
    raise TracerError(
        f"{what} under a condition that is not known while tracing", hint=hint, source=user_source()
    )
