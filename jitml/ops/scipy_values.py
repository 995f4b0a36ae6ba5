"""NumPy meanings of special functions: SciPy's, imported when a test asks for one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def scipy_special(name: str) -> Callable[..., Any]:
    """A function of scipy.special."""

    def value(*arrays: Any) -> Any:
        import scipy.special

        return getattr(scipy.special, name)(*arrays)

    return value


def slope_of(function: Callable[..., Any], argument: int) -> Callable[..., Any]:
    """The derivative by one argument, from differences of fourth order in float64."""

    def value(*arrays: Any) -> Any:
        wide = [np.asarray(x).astype(np.float64) for x in arrays]
        step = 1e-3 * np.maximum(np.abs(wide[argument]), 0.1)

        def at(count: int) -> Any:
            moved = [x + count * step if k == argument else x for k, x in enumerate(wide)]
            return function(*moved)

        return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)

    return value
