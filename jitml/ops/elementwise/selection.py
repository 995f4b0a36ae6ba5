"""Selection, and rows that pass values on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import BOOL, DType
from jitml.ir.errors import DTypeError
from jitml.ir.op import Undefined
from jitml.ir.types import ArrayType
from jitml.ops.kinds import Elementwise, Row, Traced, choose, fit, zeros_like
from jitml.trace.core import bind1, type_of
from jitml_runtime.record import frozen

stop_gradient: Row = Row("stop_gradient", np.asarray, "biufc", (None,), (), lambda x: x)


@frozen
class Select(Elementwise):
    """`x` where `condition` is true, else `y`. The untaken side's cotangent is a strong zero."""

    name = "select"

    def check_dtypes(self, types: Sequence[ArrayType]) -> None:
        condition, x, y = types
        if condition.dtype != BOOL or x.dtype != y.dtype:
            raise DTypeError(
                f"select: needs bool and two of one dtype, got {', '.join(map(str, types))}"
            )

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        shape = types[0].shape if not (types[1].shape or types[2].shape) else None
        (out,) = super().infer(*types)
        weak = types[1].weak and types[2].weak
        return (ArrayType(types[1].dtype, out.shape if shape is None else shape, weak),)

    def output_dtypes(self, *dtypes: DType) -> tuple[DType, ...]:
        return (dtypes[1],)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return (np.where(*arrays).astype(np.asarray(arrays[1]).dtype),)

    def lower(self, *values: Any) -> Any:
        return choose(*values)

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        condition, x, y = primals
        out = bind1(self, condition, x, y)
        _, dx, dy = tangents
        if dx is None and dy is None:
            return [out], [None]
        known = dx if dx is not None else dy
        dx, dy = (zeros_like(known) if d is None else d for d in (dx, dy))
        shape = type_of(out).shape
        return [out], [bind1(self, condition, fit(dx, shape), fit(dy, shape))]

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,) = cotangents
        condition, x, y = inputs
        if ct is None:
            return [None, None, None]
        zero = zeros_like(ct)
        ct_x = bind1(self, condition, ct, zero) if isinstance(x, Undefined) else None
        ct_y = bind1(self, condition, zero, ct) if isinstance(y, Undefined) else None
        return [
            None,
            None if ct_x is None else fit(ct_x, x.type.shape),
            None if ct_y is None else fit(ct_y, y.type.shape),
        ]


def select(condition: Traced, x: Traced, y: Traced) -> Traced:
    """`x` where `condition` is true, else `y`."""
    return bind1(Select(), condition, x, y)
