"""Conversions between dtypes, by value and by bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import BOOL, DType, is_complex, kind, short_name
from jitml.ir.errors import DTypeError
from jitml.ir.op import Undefined
from jitml.ir.types import ArrayType
from jitml.ops.kinds import Elementwise, Traced, make_complex
from jitml.scalar import value as scalar
from jitml.scalar.value import Value
from jitml.trace.core import bind1, type_of
from jitml_runtime.record import frozen


@frozen
class Convert(Elementwise):
    """Convert to `dtype`. Floats to integers truncate and saturate; complex to real drops the
    imaginary part."""

    name = "convert"
    dtype: DType
    weak: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (ArrayType(self.dtype, types[0].shape, self.weak),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x = np.asarray(arrays[0])
        with np.errstate(all="ignore"):
            if is_complex(x.dtype) and not is_complex(self.dtype) and self.dtype != BOOL:
                x = x.real
            if kind(x.dtype) == "f" and kind(self.dtype) in "iu":
                return (_saturated(x, self.dtype),)
            return (x.astype(self.dtype),)

    def lower(self, *values: Any) -> Any:
        return _convert(values[0], short_name(self.dtype))

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        (x,), (t,) = primals, tangents
        smooth = kind(self.dtype) in "fc"
        return [bind1(self, x)], [bind1(self, t) if smooth and t is not None else None]

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,), (x,) = cotangents, inputs
        return [None if ct is None else convert(ct, x.type.dtype, x.type.weak)]


def _saturated(x: Any, dtype: DType) -> Any:
    limits = np.iinfo(dtype)
    wide = x.astype(np.float64)
    clipped = np.where(np.isnan(wide), 0, np.clip(np.trunc(wide), limits.min, limits.max))
    top, bottom = wide >= float(limits.max), wide <= float(limits.min)
    inside = np.where(top | bottom, 0, clipped).astype(dtype)
    return np.where(top, limits.max, np.where(bottom, limits.min, inside)).astype(dtype)


def _convert(x: Any, dtype: str) -> Any:
    if dtype in ("c64", "c128"):
        part = "f32" if dtype == "c64" else "f64"
        if isinstance(x, Value):
            re = scalar.convert(x, part)
            return make_complex(re, re.like(0.0))
        return make_complex(scalar.convert(x.re, part), scalar.convert(x.im, part))
    if not isinstance(x, Value):
        return (x.re != 0) | (x.im != 0) if dtype == "bool" else _convert(x.re, dtype)
    if dtype in ("f16", "bf16"):
        return _narrowed(x)
    return scalar.convert(x, "i1" if dtype == "bool" else dtype)


def _narrowed(x: Value) -> Value:
    """`x` as f32 for a store to a 16-bit float: rounded to odd, so that the second rounding is the
    only one."""
    if x.type == "f32" or scalar.BITS[x.type] <= 16:
        return scalar.convert(x, "f32")
    wide = scalar.convert(x, "f64")
    near = scalar.convert(wide, "f32")
    back = scalar.convert(near, "f64")
    bits = scalar.bitcast(near, "u32")
    exact = (back == wide) | ((bits & 1) != 0) | scalar.is_nan(wide)
    outward = abs(back) < abs(wide)
    odd = scalar.bitcast(scalar.select(outward, bits + 1, bits - 1), "f32")
    return scalar.select(exact | (abs(back) == math.inf), near, odd)


def convert(x: Traced, dtype: DType, weak: bool = False) -> Traced:
    """`x` converted to `dtype`; `x` itself if it has that dtype and weak flag."""
    type_ = type_of(x)
    if type_.dtype == dtype and type_.weak == weak:
        return x
    return bind1(Convert(dtype, weak), x)


@frozen
class Bitcast(Elementwise):
    """Reinterpret the bits as another dtype of the same width."""

    name = "bitcast"
    dtype: DType

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        refused = BOOL in (x.dtype, self.dtype) or is_complex(x.dtype) or is_complex(self.dtype)
        if x.dtype != self.dtype and (x.dtype.itemsize != self.dtype.itemsize or refused):
            raise DTypeError(
                f"bitcast: {x.dtype.name} and {self.dtype.name} do not have the same width",
                hint="only integers and floats of one width can be reinterpreted",
            )
        return (ArrayType(self.dtype, x.shape),)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        x = np.asarray(arrays[0])
        return (x.view(self.dtype).reshape(x.shape),)

    # Between 16-bit floats and integers the code generator goes through the stored bits.
    def lower(self, *values: Any) -> Any:
        return scalar.bitcast(values[0], short_name(self.dtype))

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        return [bind1(self, *primals)], [None]


def bitcast(x: Traced, dtype: DType) -> Traced:
    """The bits of `x` as `dtype`."""
    return bind1(Bitcast(dtype), x)
