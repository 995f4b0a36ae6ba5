"""What every public function asks of arguments that are no arrays."""

from __future__ import annotations

from typing import Any

from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source


def check_callable(name: str, function: Any) -> None:
    """Raise ArgumentError unless `function`, an argument of `name`, can be called."""
    if not callable(function):
        raise ArgumentError(
            f"{name} takes a Python function, not a {type(function).__name__}",
            source=user_source(),
        )


def check_sequence(name: str, x: Any, of: str) -> None:
    """Raise ArgumentError unless `x`, an argument of `name`, has a length and items, as lists,
    tuples and arrays have."""
    if not hasattr(x, "__len__") or not hasattr(x, "__getitem__"):
        raise ArgumentError(
            f"{name} takes a sequence of {of}, not a {type(x).__name__}",
            hint=f"give a list or tuple of {of}",
            source=user_source(),
        )
