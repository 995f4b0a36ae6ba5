"""Rows of arrays, read and written by their numbers."""

from __future__ import annotations

from jitml.ops.control import retyped
from jitml.ops.indexing import GatherDimensionNumbers, gather
from jitml.ops.kinds import Traced
from jitml.ops.layout import reshape
from jitml.ops.scatter import ScatterDimensionNumbers, scatter
from jitml.trace.core import type_of


def take_rows(x: Traced, numbers: Traced) -> Traced:
    """The rows of `x` of these numbers, which must be rows of `x`."""
    shape = type_of(x).shape
    dimensions = GatherDimensionNumbers(tuple(range(1, len(shape))), (0,), (0,))
    return gather(x, _column(numbers), dimensions, (1, *shape[1:]), "promise_in_bounds")


def put_rows(x: Traced, numbers: Traced, rows: Traced) -> Traced:
    """`x` with its rows of these numbers set; a number beyond the last row puts its row nowhere."""
    own = type_of(x)
    dimensions = ScatterDimensionNumbers(tuple(range(1, own.ndim)), (0,), (0,))
    given = retyped(rows, type_of(rows).with_dtype(own.dtype, own.weak))
    return scatter(x, _column(numbers), given, dimensions, mode="drop")


def _column(numbers: Traced) -> Traced:
    return reshape(numbers, (*type_of(numbers).shape, 1))
