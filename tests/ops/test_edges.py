"""Ties, NaN, infinities, empty axes; and what wrong arguments are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from oracle import evaluating_by_value, record, run, run_jvp, to_array, to_numpy

from jitml.ir.dtypes import FROM_SHORT_NAME
from jitml.ir.errors import ArgumentError, AxisError, DTypeError, JitmlError, ShapeError
from jitml.ir.op import Undefined
from jitml.ir.types import parse_type
from jitml.ops import cumulative as c
from jitml.ops import reduction as r
from jitml.ops.contraction import DotGeneral, check_precision, dot_general
from jitml.ops.convolution import conv_general_dilated
from jitml.ops.random_bits import threefry2x32
from jitml.ops.reduce_window import ReduceWindow, reduce_window
from jitml.ops.sort import sort
from jitml.ops.top_k import top_k
from jitml.trace.core import type_of

_INF, _NAN = np.inf, np.nan


@pytest.fixture(autouse=True)
def _by_value() -> Iterator[None]:
    with evaluating_by_value(), np.errstate(all="ignore"):
        yield


def value_and_slope(function: Callable[..., Any], x: Any, t: Any) -> tuple[Any, Any]:
    arrays = to_array(np.asarray(x, np.float64)), to_array(np.asarray(t, np.float64))
    graph = record(function, [type_of(arrays[0])])
    (y,), (slope,) = run_jvp(graph, [arrays[0]], [arrays[1]])
    return to_numpy(y), None if slope is None else to_numpy(slope)


def test_extremes_share_their_slope_among_equals() -> None:
    y, slope = value_and_slope(lambda x: r.reduce_max(x, (0,)), [2, 1, 2], [3, 100, 5])
    assert (y, slope) == (2, 4)
    y, slope = value_and_slope(lambda x: r.reduce_min(x, (0,)), [1, 1, 1, 7], [3, 3, 6, 1])
    assert (y, slope) == (1, 4)


def test_extremes_of_infinities_have_a_slope() -> None:
    _, slope = value_and_slope(lambda x: r.reduce_max(x, (0,)), [_INF, 1], [3, _NAN])
    assert slope == 3


def test_extremes_of_nothing_have_none() -> None:
    y, slope = value_and_slope(lambda x: r.reduce_max(x, (0,)), np.zeros((0, 2)), np.zeros((0, 2)))
    assert y.tolist() == [-_INF, -_INF] and slope is None


@pytest.mark.parametrize("name", ["reduce_max", "reduce_min"])
def test_nan_wins(name: str) -> None:
    (found,) = run_one(lambda x: getattr(r, name)(x, (0,)), np.array([1.0, _NAN, _INF]))
    assert np.isnan(found)


def run_one(function: Callable[..., Any], *inputs: Any) -> list[Any]:
    arrays = list(map(to_array, inputs))
    return list(map(to_numpy, run(record(function, list(map(type_of, arrays))), arrays)))


@pytest.mark.parametrize("find", [r.argmax, r.argmin])
def test_positions_of_nan_and_of_equals(find: Any) -> None:
    x = np.array([[1, 1, 1], [0, _NAN, _NAN], [_INF, _INF, _INF]])
    assert run_one(lambda x: find(x, 1), x)[0].tolist() == [0, 1, 0]


def test_products_have_slopes_beside_an_infinite_factor() -> None:
    y, slope = value_and_slope(lambda x: c.cumprod(x, 0), [2, 0, _INF], [1, 1, 1])
    assert y[:2].tolist() == [2, 0] and slope[:2].tolist() == [1, 2]
    y, slope = value_and_slope(lambda x: c.cumprod(x, 0, True), [2, 3, _INF], [1, 1, 1])
    assert y[2] == _INF and slope[2] == 1


def test_cumulative_extremes_follow_the_latest_of_equals() -> None:
    _, slope = value_and_slope(lambda x: c.cummax(x, 0), [1, 1, 0, 2], [1, 2, 3, 4])
    assert slope.tolist() == [1, 2, 2, 4]
    _, slope = value_and_slope(lambda x: c.cummin(x, 0, True), [1, 1, 3, 2], [1, 2, 3, 4])
    assert slope.tolist() == [1, 2, 4, 4]


def test_log_of_sums_that_begin_with_nothing() -> None:
    numbers = [-_INF, -_INF, 0, 1]
    y, slope = value_and_slope(lambda x: c.cumlogsumexp(x, 0), numbers, [1, 1, 1, 1])
    np.testing.assert_allclose(y, [-_INF, -_INF, 0, np.logaddexp(0, 1)])
    np.testing.assert_allclose(slope, [0, 0, 1, 1])


def test_narrow_sums_are_rounded_once() -> None:
    x = np.full((4096,), 1.0, np.float16)
    (found,) = run_one(lambda x: r.reduce_sum(x, (0,)), np.concatenate([x, x[:1]]))
    assert found == np.float16(4097.0)
    (steps,) = run_one(lambda x: c.cumsum(x, 0), x)
    assert steps[-1] == 4096


def test_integers_wrap() -> None:
    (found,) = run_one(lambda x: r.reduce_sum(x, (0,)), np.full((3,), 100, np.int8))
    assert (found.dtype, found) == (np.int8, 300 - 256)


def test_cotangent_of_a_matrix_product_needs_no_transpose() -> None:
    op = DotGeneral((((1,), (0,)), ((), ())))
    x, w, ct = (parse_type(t) for t in ("f32[8,3]", "f32[3,5]", "f32[8,5]"))
    for undefined in (0, 1):

        def cotangent(ct: Any, known: Any, undefined: int = undefined) -> Any:
            inputs = [Undefined(x), known] if undefined == 0 else [known, Undefined(w)]
            return op.transpose([ct], inputs)[undefined]

        graph = record(cotangent, [ct, w if undefined == 0 else x])
        assert [eqn.op.name for eqn in graph.eqns] == ["dot_general"]
        assert graph.output_types[0] == (x, w)[undefined]


def test_precision_has_names() -> None:
    assert check_precision(("default", "HIGHEST")) == "highest"
    assert [check_precision(p) for p in (None, "high", "float32")] == [None, "high", "highest"]
    with pytest.raises(ArgumentError, match="'best' is not known"):
        check_precision("best")


_dtype = FROM_SHORT_NAME.__getitem__
_F, _I, _U = "f32[4,3]", "i32[4,3]", "u32[3]"
_MATMUL = (((1,), (0,)), ((), ()))
_WRONG: list[tuple[Callable[..., Any], tuple[str, ...], type[JitmlError], str]] = [
    (lambda x: r.reduce_sum(x, (2,)), (_F,), AxisError, "reduce_sum: axis 2 is out of range"),
    (lambda x: r.reduce_sum(x, (-1,)), (_F,), AxisError, "axis -1 is out of range"),
    (lambda x: r.reduce_max(x, (1, 1)), (_F,), AxisError, "named twice"),
    (lambda x: r.reduce_sum(x, (0,)), ("bool[3]",), DTypeError, "does not take bool"),
    (lambda x: r.reduce_sum(x, ()), ("bool[3]",), DTypeError, "does not take bool"),
    (lambda x: r.reduce_and(x, (0,)), (_F,), DTypeError, "reduce_and does not take float32"),
    (lambda x: r.reduce_max(x, (0,)), ("c64[3]",), DTypeError, "does not take complex64"),
    (lambda x: r.argmax(x, 0), ("f32[0]",), ShapeError, "axis 0 of f32\\[0\\] is empty"),
    (lambda x: r.argmax(x, 0, _dtype("i8")), ("f32[200]",), ArgumentError, "cannot number"),
    (lambda x: r.argmin(x, 0, _dtype("f32")), ("f32[2]",), DTypeError, "are integers"),
    (lambda x: c.cumsum(x, 2), (_F,), AxisError, "cumsum: axis 2"),
    (lambda x: c.cumlogsumexp(x, 0), (_I,), DTypeError, "does not take int32"),
    (lambda x, y: sort([x, y], 0), (_F, "f32[4]"), ShapeError, "sort: shapes differ"),
    (lambda x: sort([x], 0, True, 2), (_F,), ArgumentError, "num_keys=2 of 1"),
    (lambda x: sort([x], 0), ("f32[]",), AxisError, "axis 0 is out of range"),
    (lambda x: top_k(x, 4, 1), (_F,), ArgumentError, "k=4 of the 3 elements"),
    (lambda x, y: dot_general(x, y, _MATMUL), (_F, _F), ShapeError, r"\(3 != 4\)"),
    (lambda x, y: dot_general(x, y, _MATMUL), (_F, "f16[3,4]"), DTypeError, "dtypes differ"),
    (lambda x, y: dot_general(x, y, (((3,), (0,)), ((), ()))), (_F, _F), AxisError, "axes 3 and 0"),
    (lambda x, y: dot_general(x, y, (((0,), (0,)), ((0,), (0,)))), (_F, _F), AxisError, "twice"),
    (lambda x, y: dot_general(x, y, (((0, 1), (0,)), ((), ()))), (_F, _F), ShapeError, "2 axes"),
    (
        lambda x, y: dot_general(x, y, (((0,), (0,)), ((), ())), None, _dtype("i32")),
        (_F, _F), DTypeError, "float32 cannot give int32",
    ),
    (lambda x, y: dot_general(x, y, ((0,), (0,))), (_F, _F), ArgumentError, "dimension_numbers="),
    (lambda x: reduce_window(x, "mean", (2, 2)), (_F,), ArgumentError, "kind 'mean'"),
    (lambda x: reduce_window(x, "sum", (2,)), (_F,), ShapeError, "1 entries for 2 axes"),
    (lambda x: reduce_window(x, "sum", (0, 2)), (_F,), ArgumentError, "must be positive"),
    (lambda x: reduce_window(x, "sum", (2, 2), None, "FULL"), (_F,), ArgumentError, "'FULL'"),
    (lambda x: reduce_window(x, "sum", (2, 2)), ("bool[3,3]",), DTypeError, "does not take bool"),
    (
        lambda x, w: conv_general_dilated(x, w, (1,), "VALID"),
        ("f32[1,3,8]", "f32[2,4,3]"), ShapeError, "has 3 features, the kernel f32.* takes 4",
    ),
    (
        lambda x, w: conv_general_dilated(x, w, (1, 1), "VALID", None, (1,)),
        ("f32[1,3,8]", "f32[2,3,3]"), ShapeError, "window_strides has 2 entries for 1 axes",
    ),
    (
        lambda x, w: conv_general_dilated(x, w, (1,), "SAME", (2,)),
        ("f32[1,3,8]", "f32[2,3,3]"), ArgumentError, "padding 'SAME' with lhs_dilation",
    ),
    (
        lambda x, w: conv_general_dilated(x, w, (1,), "VALID", batch_group_count=2),
        ("f32[1,3,8]", "f32[2,3,3]"), ArgumentError, "batch_group_count=2",
    ),
    (
        lambda x, w: conv_general_dilated(
            x, w, (1,), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        ),
        ("f32[1,3,8]", "f32[2,3,3]"), ArgumentError, "do not fit arrays of 3 dimensions",
    ),
    (
        lambda x, w: conv_general_dilated(x, w, (1,), "VALID"),
        ("f32[1,3,8]", "f32[2,3]"), ShapeError, "same number of spatial axes",
    ),
    (lambda *x: threefry2x32(*x), (_U, _U, _U, "i32[3]"), DTypeError, "takes uint32 only"),
]  # fmt: skip


@pytest.mark.parametrize(("apply", "types", "error", "message"), _WRONG)
def test_wrong_arguments_are_named(
    apply: Callable[..., Any], types: tuple[str, ...], error: type[JitmlError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        record(apply, list(map(parse_type, types)))
    assert type(caught.value) is error


def test_only_sums_over_windows_are_linear() -> None:
    op = ReduceWindow("max", (2,), (1,), ((0, 0),), (1,), (1,))
    with pytest.raises(JitmlError, match="no transpose rule"):
        op.transpose([None], [parse_type("f32[3]")])
