"""Functions of other libraries on jitml's arrays, beside the same on NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def leaves(tree: Any) -> list[Any]:
    """The arrays and numbers in nested tuples and lists."""
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


class Comparison:
    """Calls functions on arrays that `make` makes, and on NumPy's; keeps what differs."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make
        self.count = 0
        self.problems: list[str] = []

    def __call__(self, name: str, function: Callable[..., Any], *args: Any) -> None:
        self.count += 1
        expected = function(*args)
        try:
            found = function(*[self.make(x) if isinstance(x, np.ndarray) else x for x in args])
            for got, want in zip(leaves(found), leaves(expected), strict=True):
                np.testing.assert_allclose(np.asarray(got), np.asarray(want), 1e-6, 1e-9)
        except Exception as error:
            self.problems.append(f"{name}: {type(error).__name__}: {error}")

    def finish(self) -> None:
        """Say what differed, or how many functions did not."""
        print("\n".join(self.problems) or f"{self.count} functions")
