"""Ops that are stated in other ops before fusion: the statement means what the op means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import Case, all_cases
from oracle import evaluating_by_value, record, run, to_array, to_numpy

from jitml.ir.dtypes import kind
from jitml.ir.graph import Graph
from jitml.ir.types import ArrayType
from jitml.ir.verify import verify
from jitml.ops.reduction import reduce_prod, reduce_sum

_EXPANDED = ("conv_general_dilated", "reduce_window", "reduce_")
_CASES = [case for case in all_cases() if case.name.startswith(_EXPANDED)]


def expanded(graph: Graph) -> Graph:
    """The graph with its last equation stated in other ops, its other equations as they are."""
    eqn = graph.eqns[-1]
    types = [a.type for a in eqn.inputs]
    return verify(record(eqn.op.expand, types))


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_the_statement_means_the_same(case: Case) -> None:
    for dtype in case.dtypes():
        graph = record(case.apply, case.types(dtype))
        if len(graph.eqns) != 1:
            continue
        xs = [to_array(x) for x in case.samples(dtype)]
        with evaluating_by_value(), np.errstate(all="ignore"):
            found, wanted = run(expanded(graph), xs), run(graph, xs)
        for a, b in zip(map(to_numpy, found), map(to_numpy, wanted), strict=True):
            assert a.dtype == b.dtype
            compare(a, b)


def compare(found: Any, expected: Any) -> None:
    if kind(found.dtype) in "biu":
        np.testing.assert_array_equal(found, expected)
        return
    tolerance = {2: 1e-2, 4: 1e-5}.get(found.dtype.itemsize, 1e-5)
    wide = np.complex128 if found.dtype.kind == "c" else np.float64
    np.testing.assert_allclose(
        found.astype(wide), expected.astype(wide), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("fold", [reduce_sum, reduce_prod])
def test_narrow_floats_stay_wide_between_the_groups(fold: Any) -> None:
    narrow = ArrayType(np.dtype(np.float16), (3, 4, 5))
    graph = expanded(record(lambda x: fold(x, (0, 2)), [narrow]))
    names = [eqn.op.name for eqn in graph.eqns]
    assert names == ["convert", fold.__name__, fold.__name__, "convert"]
    assert graph.eqns[1].op.parameters() == {"axes": (2,)}
    assert graph.eqns[2].outputs[0].type.dtype == np.float32


def test_adjacent_axes_are_one_group() -> None:
    type_ = ArrayType(np.dtype(np.float32), (2, 3, 4))
    graph = expanded(record(lambda x: reduce_sum(x, (1, 2)), [type_]))
    assert [eqn.op.parameters() for eqn in graph.eqns] == [{"axes": (1, 2)}]
