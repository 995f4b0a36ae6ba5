"""Choosing among arrays by their numbers."""

from __future__ import annotations

from typing import Any

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, DTypeError
from jitml.numpy.arithmetic import clip, remainder
from jitml.numpy.creation import asarray
from jitml.numpy.indexing import take_along_axis
from jitml.numpy.joining import stack
from jitml.numpy.manipulation import broadcast_arrays, expand_dims, reshape
from jitml.numpy.operands import fail, no_out, promoted
from jitml.typing import Array, ArrayLike

__all__ = ["choose"]


def choose(a: ArrayLike, choices: Any, out: None = None, mode: str = "raise") -> Array:
    """For each element of `a` that element of the array of `choices` whose number it is.

    A number out of bounds raises; with `mode` "wrap" or "clip" it does not.

    >>> import jitml.numpy as jnp
    >>> print(choose(jnp.array([0, 1]), [jnp.array([1, 2]), jnp.array([3, 4])]))
    [1 4]
    """
    no_out("choose", out)
    number = asarray(a)
    if not dtypes.is_integer(number.dtype):
        fail(DTypeError, f"choose: numbers of choices are integers, not {number.dtype.name}")
    if mode not in ("raise", "wrap", "clip"):
        fail(ArgumentError, f"choose: mode {mode!r} is not known", "'raise', 'wrap' or 'clip'")
    if not len(choices):
        fail(ArgumentError, "choose: there are no choices")
    if mode == "wrap":
        number = remainder(number, len(choices))
    elif mode == "clip":
        number = clip(number, 0, len(choices) - 1)
    number, *arrays = broadcast_arrays(number, *promoted("choose", *choices))
    found = take_along_axis(stack(arrays), expand_dims(number, 0), 0)
    return reshape(found, found.shape[1:])
