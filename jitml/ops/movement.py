"""All movement ops in one place to import from; they are defined by subject elsewhere."""

from __future__ import annotations

from jitml.ops.dynamic import dynamic_slice, dynamic_update_slice
from jitml.ops.layout import (
    broadcast_in_dim,
    expand_dims,
    iota,
    move_axis,
    reshape,
    reverse,
    squeeze,
    transpose,
)
from jitml.ops.slicing import concatenate, pad, slice_, window

__all__ = [
    "broadcast_in_dim",
    "concatenate",
    "dynamic_slice",
    "dynamic_update_slice",
    "expand_dims",
    "iota",
    "move_axis",
    "pad",
    "reshape",
    "reverse",
    "slice_",
    "squeeze",
    "transpose",
    "window",
]
