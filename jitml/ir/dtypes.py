"""Element types: NumPy dtypes with short names, and the promotion lattice with weak Python
scalars."""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

DType: TypeAlias = "np.dtype[Any]"

bfloat16: DType = np.dtype(ml_dtypes.bfloat16)
SHORT_NAMES: dict[DType, str] = {
    np.dtype(np.bool_): "bool",
    np.dtype(np.int8): "i8",
    np.dtype(np.int16): "i16",
    np.dtype(np.int32): "i32",
    np.dtype(np.int64): "i64",
    np.dtype(np.uint8): "u8",
    np.dtype(np.uint16): "u16",
    np.dtype(np.uint32): "u32",
    np.dtype(np.uint64): "u64",
    np.dtype(np.float16): "f16",
    bfloat16: "bf16",
    np.dtype(np.float32): "f32",
    np.dtype(np.float64): "f64",
    np.dtype(np.complex64): "c64",
    np.dtype(np.complex128): "c128",
}
FROM_SHORT_NAME: dict[str, DType] = {short: dtype for dtype, short in SHORT_NAMES.items()}

BOOL, INT32, INT64 = (np.dtype(t) for t in (np.bool_, np.int32, np.int64))
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
COMPLEX64, COMPLEX128 = np.dtype(np.complex64), np.dtype(np.complex128)

# Kind letters as in NumPy's `dtype.kind`, with bfloat16 (NumPy: "V") counted as a float.
_KINDS: dict[DType, str] = {d: ("f" if d == bfloat16 else d.kind) for d in SHORT_NAMES}


class extended(np.generic):
    """What elements are that NumPy has no dtype for, in its hierarchy of types."""


class prng_key(extended):
    """Keys of random numbers, in NumPy's hierarchy of types."""


def short_name(dtype: DType) -> str:
    """`f32` for float32; raises KeyError for a dtype that arrays cannot have."""
    return SHORT_NAMES[dtype]


def is_supported(dtype: DType) -> bool:
    return dtype in SHORT_NAMES


def kind(dtype: DType) -> str:
    """One of b, i, u, f, c."""
    return _KINDS[dtype]


def is_float(dtype: DType) -> bool:
    return _KINDS[dtype] == "f"


def is_complex(dtype: DType) -> bool:
    return _KINDS[dtype] == "c"


def is_inexact(dtype: DType) -> bool:
    return _KINDS[dtype] in "fc"


def is_integer(dtype: DType) -> bool:
    return _KINDS[dtype] in "iu"


def is_bool(dtype: DType) -> bool:
    return dtype == BOOL


def real_dtype(dtype: DType) -> DType:
    """The dtype of the real part."""
    if not is_complex(dtype):
        return dtype
    return FLOAT32 if dtype == COMPLEX64 else FLOAT64


def complex_dtype(dtype: DType) -> DType:
    """The complex dtype whose parts can hold `dtype`."""
    if is_complex(dtype):
        return dtype
    return COMPLEX128 if dtype == FLOAT64 else COMPLEX64


# The lattice of JAX's type promotion: each entry names its direct successors. A name with a `*` is
# the type of a Python scalar (weak): it takes on the width of whatever strong type it meets in its
# kind.
_SUCCESSORS: dict[str, tuple[str, ...]] = {
    "bool": ("i*",),
    "i*": ("u8", "i8"),
    "u8": ("i16", "u16"),
    "u16": ("i32", "u32"),
    "u32": ("i64", "u64"),
    "u64": ("f*",),
    "i8": ("i16",),
    "i16": ("i32",),
    "i32": ("i64",),
    "i64": ("f*",),
    "f*": ("bf16", "f16", "c*"),
    "bf16": ("f32",),
    "f16": ("f32",),
    "f32": ("f64", "c64"),
    "f64": ("c128",),
    "c*": ("c64",),
    "c64": ("c128",),
    "c128": (),
}


@functools.cache
def _upper_bounds(node: str) -> frozenset[str]:
    above = {node}
    for successor in _SUCCESSORS[node]:
        above |= _upper_bounds(successor)
    return frozenset(above)


@functools.cache
def _join(a: str, b: str) -> str:
    """The least upper bound of two lattice nodes."""
    common = _upper_bounds(a) & _upper_bounds(b)
    return next(node for node in common if common <= _upper_bounds(node))


def _node(dtype: DType, weak: bool) -> str:
    if weak and not is_bool(dtype):
        return {"u": "i"}.get(kind(dtype), kind(dtype)) + "*"
    return short_name(dtype)


@functools.cache
def promote(*types: tuple[DType, bool]) -> tuple[DType, bool]:
    """The dtype and weak flag that `(dtype, weak)` pairs promote to together.

    A join that is weak keeps the widest dtype met in its kind, so `i32*` with `i64*` is `i64*`.
    """
    nodes = [_node(dtype, weak) for dtype, weak in types]
    joined = functools.reduce(_join, nodes)
    if not joined.endswith("*"):
        return FROM_SHORT_NAME[joined], False
    letter = joined[0]
    same = [d for (d, weak) in types if weak and kind(d) == letter]
    widest = max(same, key=lambda d: d.itemsize) if same else _DEFAULT_WEAK[letter]
    return widest, True


_DEFAULT_WEAK = {"i": INT32, "f": FLOAT32, "c": COMPLEX64}
