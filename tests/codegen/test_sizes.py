"""Sizes around the widths of vectors, of accumulators and of blocks, along and across the axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracle import evaluate_op, record, to_array

from jitml.ir.dtypes import FROM_SHORT_NAME
from jitml.ir.types import ArrayType
from jitml.ops import elementwise as e
from jitml.ops import reduction as r
from jitml.ops.layout import broadcast_in_dim
from jitml.pipeline.compile import compile_graph
from jitml.trace.core import type_of
from tests.fuzz.check import same_bits, small_chunks

SIZES = (1, 2, 3, 7, 15, 17, 31, 33, 63, 64, 65, 100, 4096, 4097, 8192)
DTYPES = ("bool", "i8", "u16", "i64", "bf16", "f32", "f64", "c64")


def folds(x: Any, axis: int) -> list[Any]:
    """Several reductions of one array that share their loop, or do not."""
    if type_of(x).dtype.kind == "c":
        return [r.reduce_sum(x, (axis,))]
    results = [r.reduce_max(x, (axis,)), r.argmin(x, axis)]
    if type_of(x).dtype.kind != "b":
        results.append(r.reduce_sum(x, (axis,)))
        kept = tuple(a for a in range(2) if a != axis)
        results.append(e.sub(x, broadcast_in_dim(results[0], type_of(x).shape, kept)))
    return results


def sample(dtype: Any, shape: tuple[int, ...]) -> Any:
    """Small integers: sums of them are exact in every dtype, in any order."""
    numbers = np.random.default_rng(1).integers(0, 2, shape)
    return numbers.astype(dtype)


@pytest.mark.sampled
@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("axis", [0, 1])
def test_folds_of_all_sizes(name: str, axis: int) -> None:
    dtype = FROM_SHORT_NAME[name]
    for size in SIZES:
        for other in (3, 70) if size <= 65 else (2,):
            shape = (size, other) if axis == 0 else (other, size)
            graph = record(lambda x: folds(x, axis), [ArrayType(dtype, shape)])
            x = sample(dtype, shape)
            with small_chunks():
                found = compile_graph(graph).run([to_array(x)])
            values: dict[Any, Any] = {graph.inputs[0]: to_array(x)}
            for eqn in graph.eqns:
                values.update(
                    zip(
                        eqn.outputs,
                        evaluate_op(eqn.op, [values[a] for a in eqn.inputs]),
                        strict=True,
                    )
                )
            for a, atom in zip(found, graph.outputs, strict=True):
                if name in ("i8", "bf16") and size > 100:
                    continue
                assert same_bits(np.asarray(a), np.asarray(values[atom])), (shape, atom)


def test_special_numbers_fold_alike_in_every_form() -> None:
    """Infinities, NaN and −0 under products: by columns and by rows, of complex numbers too."""
    for name in ("f32", "c64"):
        dtype = FROM_SHORT_NAME[name]
        x = np.full((70, 9), 1.0, dtype)
        x[3, 1], x[4, 2], x[5, 3], x[69, 4] = np.inf, -0.0, np.nan, -np.inf
        for axis in (0, 1):
            rows = x if axis else np.ascontiguousarray(x.T)
            columns = np.ascontiguousarray(rows.T)
            along, across = (
                compile_graph(
                    record(lambda v, a=a: [r.reduce_prod(v, (a,))], [ArrayType(dtype, v.shape)])
                ).run([to_array(v)])[0]
                for v, a in ((rows, 1), (columns, 0))
            )
            assert same_bits(np.asarray(along), np.asarray(across))
