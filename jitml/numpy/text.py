"""Arrays as text."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitml.numpy.creation import asarray
from jitml.typing import ArrayLike

__all__ = ["array_repr", "array_str"]


def _options(max_line_width: int | None, precision: int | None, suppress_small: bool | None) -> Any:
    given = {"linewidth": max_line_width, "precision": precision, "suppress": suppress_small}
    return np.printoptions(**{name: x for name, x in given.items() if x is not None})  # type: ignore[arg-type]


def array_repr(
    arr: ArrayLike,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """The text that `repr` gives.

    >>> array_repr([1.0, 2.0])
    'Array([1., 2.], dtype=float32)'
    """
    with _options(max_line_width, precision, suppress_small):
        return repr(asarray(arr))


def array_str(
    a: ArrayLike,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """The text that `str` gives.

    >>> array_str([1.0, 2.0])
    '[1. 2.]'
    """
    with _options(max_line_width, precision, suppress_small):
        return str(asarray(a))
