"""Movement ops: what they refuse, what they leave out, index maps spelled out by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import evaluating_by_value, record, run, to_array, to_numpy

from jitml.ir.errors import ArgumentError, AxisError, DTypeError, JitmlError, ShapeError
from jitml.ir.types import parse_type
from jitml.ops import movement as m
from jitml.ops.dynamic import DynamicSlice
from jitml.ops.layout import matching_axes
from jitml.trace.core import type_of


@pytest.fixture(autouse=True)
def _by_value() -> Iterator[None]:
    with evaluating_by_value():
        yield


F32 = "f32[2,3]"
I32 = "i32[]"

REFUSED: list[tuple[Callable[..., Any], tuple[str, ...], type[JitmlError]]] = [
    (lambda x: m.broadcast_in_dim(x, (2, 4), (0, 1)), (F32,), ShapeError),
    (lambda x: m.broadcast_in_dim(x, (3, 2), (1, 0)), (F32,), AxisError),
    (lambda x: m.broadcast_in_dim(x, (2, 3), (0,)), (F32,), AxisError),
    (lambda x: m.broadcast_in_dim(x, (2, 3), (1, 2)), (F32,), AxisError),
    (lambda x: m.broadcast_in_dim(x, (-1,), ()), ("f32[]",), ShapeError),
    (lambda x: m.reshape(x, (5,)), (F32,), ShapeError),
    (lambda x: m.reshape(x, (-2, -3)), (F32,), ShapeError),
    (lambda x: m.squeeze(x, (0,)), (F32,), ShapeError),
    (lambda x: m.squeeze(x, (2,)), (F32,), AxisError),
    (lambda x: m.expand_dims(x, (3,)), (F32,), AxisError),
    (lambda x: m.transpose(x, (0,)), (F32,), AxisError),
    (lambda x: m.transpose(x, (1, 1)), (F32,), AxisError),
    (lambda x: m.move_axis(x, 0, 2), (F32,), AxisError),
    (lambda x: m.reverse(x, (2,)), (F32,), AxisError),
    (lambda x: m.reverse(x, (-1,)), (F32,), AxisError),
    (lambda: m.iota(np.dtype(bool), (3,), 0), (), DTypeError),
    (lambda: m.iota(np.dtype("m8"), (3,), 0), (), DTypeError),
    (lambda: m.iota(np.dtype("i4"), (), 0), (), AxisError),
    (lambda: m.iota(np.dtype("i4"), (-3,), 0), (), ShapeError),
    (lambda x: m.slice_(x, (0,), (2,)), (F32,), ArgumentError),
    (lambda x: m.slice_(x, (0, 1), (2, 4)), (F32,), ShapeError),
    (lambda x: m.slice_(x, (0, 2), (2, 1)), (F32,), ShapeError),
    (lambda x: m.slice_(x, (0, -1), (2, 1)), (F32,), ShapeError),
    (lambda x: m.slice_(x, (0, 0), (2, 3), (1, 0)), (F32,), ArgumentError),
    (lambda x: m.pad(x, 0, [(1, 1, 0)]), (F32,), ArgumentError),
    (lambda x: m.pad(x, 0, [(0, 0, -1), (0, 0, 0)]), (F32,), ArgumentError),
    (lambda x: m.pad(x, 0, [(-1, -2, 0), (0, 0, 0)]), (F32,), ShapeError),
    (lambda x, v: m.pad(x, v, [(1, 1, 0)] * 2), (F32, "f64[]"), DTypeError),
    (lambda x, v: m.pad(x, v, [(1, 1, 0)] * 2), (F32, "f32[1]"), DTypeError),
    (lambda *xs: m.concatenate(xs, 0), (F32, "f32[2,4]"), ShapeError),
    (lambda *xs: m.concatenate(xs, 0), (F32, "f32[3]"), ShapeError),
    (lambda *xs: m.concatenate(xs, 0), (F32, "i32[2,3]"), DTypeError),
    (lambda *xs: m.concatenate(xs, 2), (F32, F32), AxisError),
    (lambda: m.concatenate((), 0), (), ArgumentError),
    (lambda *xs: m.concatenate(xs, 0), ("f32[]", "f32[]"), AxisError),
    (lambda x: m.window(x, (2,), (1,)), (F32,), AxisError),
    (lambda x: m.window(x, (0, 1), (1,)), (F32,), ArgumentError),
    (lambda x: m.window(x, (0,), (0,)), (F32,), ArgumentError),
    (lambda x: m.window(x, (0,), (1,), (0,)), (F32,), ArgumentError),
    (lambda x, *at: m.dynamic_slice(x, at, (2, 3)), (F32, I32), ArgumentError),
    (lambda x, *at: m.dynamic_slice(x, at, (2,)), (F32, I32, I32), ArgumentError),
    (lambda x, *at: m.dynamic_slice(x, at, (2, 4)), (F32, I32, I32), ShapeError),
    (lambda x, *at: m.dynamic_slice(x, at, (2, 3)), (F32, I32, "f32[]"), DTypeError),
    (lambda x, *at: m.dynamic_slice(x, at, (2, 3)), (F32, I32, "i32[1]"), DTypeError),
    (lambda x, u, *at: m.dynamic_update_slice(x, u, at), (F32, "f32[3,1]", I32, I32), ShapeError),
    (lambda x, u, *at: m.dynamic_update_slice(x, u, at), (F32, "f32[1]", I32, I32), ShapeError),
    (lambda x, u, *at: m.dynamic_update_slice(x, u, at), (F32, "i32[1,1]", I32, I32), DTypeError),
]


@pytest.mark.parametrize("function, types, error", REFUSED)
def test_what_does_not_fit_is_refused(
    function: Callable[..., Any], types: tuple[str, ...], error: type[JitmlError]
) -> None:
    with pytest.raises(error) as raised:
        record(function, list(map(parse_type, types)))
    # The message names the op, and the user's line is told.
    assert re.match(r"[a-z_]+(:| does not)", raised.value.message)
    assert raised.value.source is not None or "axis" in raised.value.message


@pytest.mark.parametrize(
    "function",
    [
        lambda x: m.broadcast_in_dim(x, (2, 3), (0, 1)),
        lambda x: m.reshape(x, (2, 3)),
        lambda x: m.transpose(x, (0, 1)),
        lambda x: m.move_axis(x, 1, 1),
        lambda x: m.reverse(x, ()),
        lambda x: m.slice_(x, (0, 0), (2, 3)),
        lambda x: m.pad(x, 0, [(0, 0, 0)] * 2),
        lambda x: m.concatenate((x,), 0),
        lambda x: m.window(x, (), ()),
        lambda x: m.squeeze(x, ()),
    ],
)
def test_what_changes_nothing_is_left_out(function: Callable[..., Any]) -> None:
    assert record(function, [parse_type(F32)]).eqns == ()


def test_window_lists_what_each_window_sees() -> None:
    graph = record(lambda x: m.window(x, (0,), (2,), (3,), (2,)), [parse_type("i32[9]")])
    (out,) = run(graph, [to_array(np.arange(9, dtype=np.int32))])
    assert to_numpy(out).tolist() == [[0, 2], [3, 5], [6, 8]]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_pad_means_what_jax_means(data: Any) -> None:
    lax = pytest.importorskip("jax.lax")
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=3)))
    config = [
        (data.draw(st.integers(-3, 3)), data.draw(st.integers(-3, 3)), data.draw(st.integers(0, 2)))
        for _ in shape
    ]
    dilated = [
        (n - 1) * (k + 1) + 1 if n else 0 for n, (_, _, k) in zip(shape, config, strict=True)
    ]
    assume(all(n + lo + hi >= 0 for n, (lo, hi, _) in zip(dilated, config, strict=True)))
    x = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    graph = record(lambda x: m.pad(x, -1, config), [type_of(to_array(x))])
    (out,) = run(graph, [to_array(x)])
    np.testing.assert_array_equal(to_numpy(out), np.asarray(lax.pad(x, np.float32(-1), config)))


@given(st.lists(st.integers(1, 4), max_size=4), st.randoms())
def test_matching_axes_hold_the_same_elements(factors: list[int], random: Any) -> None:
    def regroup() -> list[int]:
        shape = [1]
        for factor in factors:
            if random.random() < 0.5:
                shape.append(factor)
            else:
                shape[-1] *= factor
        return shape

    a, b = regroup(), regroup()
    runs = list(matching_axes(a, b))
    for left, right in runs:
        assert np.prod([a[i] for i in left]) == np.prod([b[i] for i in right])
    assert [i for left, _ in runs for i in left] == [i for i, n in enumerate(a) if n != 1]
    assert [i for _, right in runs for i in right] == [i for i, n in enumerate(b) if n != 1]


@pytest.mark.parametrize(("length", "dtype"), [(1000, "i32"), (2**31 + 9, "i64")])
def test_batched_starts_are_wide_enough_for_the_array(length: int, dtype: str) -> None:
    """Only the types are looked at: the array is never made."""
    types = [parse_type(f"f32[{length}]"), parse_type("i64[4]")]
    op = DynamicSlice((2,))
    graph = record(lambda x, starts: op.batch(4, (x, starts), (None, 0))[0], types)
    gathers = [eqn for eqn in graph.eqns if eqn.op.name == "gather"]
    assert [eqn.inputs[1].type for eqn in gathers] == [parse_type(f"{dtype}[4,1]")]
