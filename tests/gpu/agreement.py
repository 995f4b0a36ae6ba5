"""Whether a program gives the same bits on the device and on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitml.ir.dtypes import is_inexact
from jitml.ir.graph import Graph
from jitml.pipeline.compile import Compiled
from jitml_runtime import from_numpy


def same_bits(a: Any, b: Any) -> bool:
    """Equal in dtype, shape and bits; one NaN is as good as another."""
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    if not is_inexact(a.dtype):
        return bool(np.array_equal(a, b))
    if a.dtype.kind == "c":
        return same_bits(a.real, b.real) and same_bits(a.imag, b.imag)
    bits = f"u{a.dtype.itemsize}"
    x, y = np.ascontiguousarray(a).view(bits), np.ascontiguousarray(b).view(bits)
    return bool(np.all((x == y) | (np.isnan(a) & np.isnan(b))))


def agree(graph: Graph, samples: Any, rounding: float = 0.0) -> Any:
    """What a graph gives on the device; the CPU gives the same bits, but for so many roundings."""
    arrays = [from_numpy(np.array(x, order="C")) for x in samples]
    found = Compiled(graph).run(arrays)
    expected = Compiled(graph, on_host=True).run(arrays)
    for a, b in zip(found, expected, strict=True):
        x, y = np.asarray(a), np.asarray(b)
        if rounding:
            assert (x.dtype, x.shape) == (y.dtype, y.shape)
            np.testing.assert_allclose(x, y, atol=rounding * np.finfo(x.dtype).eps)
        else:
            assert same_bits(x, y), graph
    return found
