"""Rows of reductions, cumulative folds, sorting, window folds and random bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from cases import Case, Input, shapes

from jitml.ir.dtypes import FROM_SHORT_NAME
from jitml.ops import cumulative as c
from jitml.ops import reduction as r
from jitml.ops.random_bits import threefry2x32
from jitml.ops.reduce_window import reduce_window
from jitml.ops.sort import sort, take_along_axis
from jitml.ops.top_k import top_k

_SHAPE = (3, 2, 4)
_AXES = ((0,), (2,), (0, 1), (0, 2), (0, 1, 2))
_FOLDS: dict[str, Callable[..., Any]] = {
    "reduce_sum": r.reduce_sum,
    "reduce_prod": r.reduce_prod,
    "reduce_max": r.reduce_max,
    "reduce_min": r.reduce_min,
    "reduce_and": r.reduce_and,
    "reduce_or": r.reduce_or,
    "reduce_xor": r.reduce_xor,
}
_KINDS = {
    "reduce_sum": "iufc", "reduce_prod": "iufc", "reduce_max": "biuf", "reduce_min": "biuf",
    "reduce_and": "biu", "reduce_or": "biu", "reduce_xor": "biu",
}  # fmt: skip
_NUMERIC = ("reduce_sum", "reduce_prod", "reduce_max", "reduce_min")
_BITWISE = ("reduce_and", "reduce_or", "reduce_xor")
_CUMULATIVE: dict[str, tuple[Callable[..., Any], str]] = {
    "cumsum": (c.cumsum, "iufc"),
    "cumprod": (c.cumprod, "iufc"),
    "cummax": (c.cummax, "biuf"),
    "cummin": (c.cummin, "biuf"),
    "cumlogsumexp": (c.cumlogsumexp, "f"),
}
_ZEROS = Input((3, 4), numbers=[[0, 2, 0, 1], [3, 0, 0, 2], [0, 1, 2, -3]])


def _applied(function: Callable[..., Any], *parameters: Any) -> Callable[..., Any]:
    return lambda x: function(x, *parameters)


def _fold(name: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> Case:
    row = f"{name} {axes} of {shape}"
    extreme = name in ("reduce_max", "reduce_min")
    # Differences of the infinities that an empty fold gives are NaN.
    derivative = "" if extreme and shape[axes[0]] == 0 else "fc"
    inputs = shapes(shape, distinct=extreme)
    return Case(row, _applied(_FOLDS[name], axes), inputs, _KINDS[name], derivative)


def _folds() -> list[Case]:
    rows = [_fold(name, _SHAPE, axes) for name in _NUMERIC for axes in _AXES]
    rows += [_fold(name, shape, (0,)) for name in _NUMERIC for shape in ((0, 2), (2, 0), (1, 2))]
    rows += [_fold(name, _SHAPE, axes) for name in _BITWISE for axes in ((1,), (0, 2))]
    rows += [_fold(name, (0, 2), (0,)) for name in _BITWISE]
    rows += [
        Case("reduce_prod of zeros", _applied(r.reduce_prod, (0,)), (_ZEROS,), "fc"),
        Case("reduce_prod of all zeros", _applied(r.reduce_prod, (0, 1)), (_ZEROS,), "f"),
        Case("reduce_sum over no axis", _applied(r.reduce_sum, ()), shapes((2, 3)), "iufc"),
    ]
    for name, function in (("argmax", r.argmax), ("argmin", r.argmin)):
        for axis in (0, 2):
            kinds, inputs = "biuf", shapes(_SHAPE, distinct=True)
            rows.append(Case(f"{name} {axis}", _applied(function, axis), inputs, kinds))
        wide = FROM_SHORT_NAME["i64"]
        rows.append(Case(f"{name} i64", _applied(function, 0, wide), shapes((4,)), "biuf"))
    return rows


def _cumulative() -> list[Case]:
    rows = []
    for name, (function, kinds) in _CUMULATIVE.items():
        for shape, axis, reverse in (
            (_SHAPE, 0, False),
            (_SHAPE, 2, True),
            ((5,), 0, False),
            ((2, 1), 1, False),
            ((0, 2), 0, True),
        ):
            row = f"{name} axis {axis} of {shape}{' reversed' * reverse}"
            inputs = shapes(shape, distinct=True)
            rows.append(Case(row, _applied(function, axis, reverse), inputs, kinds))
    rows += [
        Case("cumprod of zeros", _applied(c.cumprod, 1), (_ZEROS,), "fc"),
        Case("cumprod of zeros reversed", _applied(c.cumprod, 0, True), (_ZEROS,), "f"),
    ]
    return rows


def _sorting() -> list[Case]:
    key = Input((3, 4), dtype="i32", numbers=[[1, 0, 1, 0], [2, 2, 2, 2], [3, 1, 2, 0]])
    distinct = Input((3, 4), distinct=True)
    plain = Input((3, 4))
    position = Input((3, 2), dtype="i32", numbers=[[1, 0], [3, 3], [2, 1]])
    return [
        Case("sort 0", lambda x: sort([x], 0), (distinct,)),
        Case("sort 1", lambda x: sort([x], 1), (distinct,)),
        Case("sort by ties", lambda k, x: sort([k, x], 1), (key, plain)),
        Case("sort along", lambda x, y: sort([x, y], 1), (distinct, plain)),
        Case("sort two keys", lambda k, x, y: sort([k, x, y], 1, True, 2), (key, distinct, plain)),
        Case("sort empty", lambda x: sort([x], 0), shapes((0, 2))),
        Case("sort size 1", lambda x: sort([x], 0), shapes((1, 2))),
        Case("top_k", lambda x: top_k(x, 2, 1), (distinct,), "biuf"),
        Case("top_k none", lambda x: top_k(x, 0, 0), (distinct,), "biuf"),
        Case("top_k all", lambda x: top_k(x, 3, 0), (distinct,), "biuf"),
        Case("take_along_axis", lambda x, i: take_along_axis(x, i, 1), (plain, position)),
    ]


_WINDOWS: dict[str, tuple[tuple[int, ...], tuple[Any, ...]]] = {
    "pool": ((4, 5), ((2, 2), (2, 2), "VALID")),
    "same": ((1, 5, 1), ((1, 3, 1), (1, 2, 1), "SAME")),
    "padded": ((3, 4), ((2, 3), (1, 2), ((1, 0), (2, 1)))),
    "dilated": ((3, 4), ((2, 2), (1, 1), ((1, 1), (0, 2)), (2, 1), (1, 2))),
    "strided only": ((5,), ((1,), (2,), ((0, 0),))),
    "longer than the array": ((2,), ((4,), (1,), ((0, 0),))),
    "all padding": ((1,), ((2,), (2,), ((2, 3),))),
    "0-d": ((), ((), (), ())),
    "empty": ((0, 3), ((2, 2), (1, 1), ((1, 1), (0, 0)))),
}
_WINDOW_KINDS = {
    "sum": "iufc", "prod": "iufc", "max": "biuf", "min": "biuf", "and": "biu", "or": "biu",
}  # fmt: skip


def _window(kind: str, name: str) -> Case:
    shape, parameters = _WINDOWS[name]
    inputs = shapes(shape, distinct=kind in ("max", "min"))
    # Differences of the infinities that max and min give for windows of padding are NaN.
    derivative = "fc" if kind in ("sum", "prod") or name not in ("all padding", "empty") else ""
    return Case(
        f"reduce_window {kind} {name}",
        _applied(reduce_window, kind, *parameters),
        inputs,
        _WINDOW_KINDS[kind],
        derivative,
    )


def _random_bits() -> list[Case]:
    def words(shape: tuple[int, ...]) -> Input:
        return Input(shape, 0, float(np.iinfo(np.uint32).max), dtype="u32")

    return [
        Case("threefry2x32", threefry2x32, (words(()), words(()), words((5,)), words((5,)))),
        Case("threefry2x32 of keys", threefry2x32, (*[words((2, 3))] * 3, words(()))),
    ]


CASES = [
    *_folds(),
    *_cumulative(),
    *_sorting(),
    *[_window(kind, name) for kind in ("sum", "max", "min", "prod") for name in _WINDOWS],
    *[_window(kind, name) for kind in ("and", "or") for name in ("padded", "dilated", "empty")],
    *_random_bits(),
]
