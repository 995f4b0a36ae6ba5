"""Windows by name, as they repeat: their last number would be the first one again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jitml.numpy as jnp
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy.operands import fail
from jitml.trace.core import type_of

_BY_NAME: dict[str, Callable[..., Any]] = {
    "hann": jnp.hanning,
    "hanning": jnp.hanning,
    "hamming": jnp.hamming,
    "blackman": jnp.blackman,
    "bartlett": jnp.bartlett,
    "boxcar": jnp.ones,
    "rectangular": jnp.ones,
}


def window_values(name: str, window: Any, size: int | None, dtype: Any) -> Any:
    """A window of `size` numbers, or the given ones, which must be as many if `size` is given.

    Other names than the usual ones are SciPy's, which must be installed then.
    """
    if not isinstance(window, (str, tuple)):
        values = jnp.asarray(window).astype(dtype)
        if values.ndim != 1 or size not in (None, values.shape[0]):
            fail(ShapeError, f"{name}: a window of type {type_of(values)} for pieces of {size}",
                 "it is a vector with a number for each place of a piece")  # fmt: skip
        return values
    assert size is not None
    if size < 1:
        fail(ArgumentError, f"{name}: nperseg is {size}", "a piece has a place at least")
    kind, *options = (window,) if isinstance(window, str) else window
    if kind == "kaiser" and len(options) == 1:
        return jnp.kaiser(size + 1, options[0])[:-1].astype(dtype)
    if kind in _BY_NAME and not options:
        return _BY_NAME[kind](size + 1)[:-1].astype(dtype)
    return jnp.asarray(_of_scipy(name, window, size), dtype)


def _of_scipy(name: str, window: Any, size: int) -> Any:
    try:
        from scipy.signal import get_window

        return get_window(window, size)
    except ImportError:
        known = ", ".join([*_BY_NAME, "kaiser"])
        fail(ArgumentError, f"{name}: the window {window!r} needs SciPy", f"without: {known}")
    except ValueError as error:
        fail(ArgumentError, f"{name}: {error}")
