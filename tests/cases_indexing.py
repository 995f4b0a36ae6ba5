"""Rows of gather and scatter: the shapes of NumPy's and JAX's indexing, in all modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cases import Case, Input

from jitml.ops.indexing import GatherDimensionNumbers, gather
from jitml.ops.require import require
from jitml.ops.scatter import ScatterDimensionNumbers, scatter


class Form(NamedTuple):
    """How indices pick slices: shapes of all arrays, gather's parameters."""

    operand: tuple[int, ...]
    indices: tuple[int, ...]
    numbers: GatherDimensionNumbers
    sizes: tuple[int, ...]
    result: tuple[int, ...]


_NUMBERS = GatherDimensionNumbers

FORMS: dict[str, Form] = {
    "take": Form((5,), (3, 1), _NUMBERS((), (0,), (0,)), (1,), (3,)),
    "take 0-d": Form((5,), (1,), _NUMBERS((), (0,), (0,)), (1,), ()),
    "rows": Form((4, 3), (2, 2, 1), _NUMBERS((2,), (0,), (0,)), (1, 3), (2, 2, 3)),
    "columns": Form((4, 3), (2, 1), _NUMBERS((0,), (1,), (1,)), (4, 1), (4, 2)),
    "points": Form((4, 3), (5, 2), _NUMBERS((), (0, 1), (1, 0)), (1, 1), (5,)),
    "blocks": Form((4, 5), (3, 2), _NUMBERS((0, 2), (), (0, 1)), (2, 3), (2, 3, 3)),
    "along": Form((2, 4), (2, 3, 1), _NUMBERS((), (1,), (1,), (0,), (0,)), (1, 1), (2, 3)),
    "along two": Form(
        (2, 4, 3), (3, 2, 1), _NUMBERS((), (1,), (1,), (0, 2), (1, 0)), (1, 1, 1), (3, 2)
    ),
    "along with slices": Form(
        (2, 4, 3), (5, 2, 1), _NUMBERS((0,), (), (1,), (0,), (1,)), (1, 2, 3), (2, 5, 2)
    )._replace(numbers=_NUMBERS((0, 3), (), (1,), (0,), (1,)), result=(2, 5, 2, 3)),
    "nothing moves": Form((2, 3), (4, 0), _NUMBERS((1, 2), (), ()), (2, 3), (4, 2, 3)),
    "no rows": Form((4, 3), (0, 1), _NUMBERS((1,), (0,), (0,)), (1, 3), (0, 3)),
    "empty slices": Form((4, 0), (2, 1), _NUMBERS((1,), (0,), (0,)), (1, 0), (2, 0)),
}


def limits(form: Form) -> list[int]:
    """The last start position that is in bounds, per axis that moves."""
    return [form.operand[a] - form.sizes[a] for a in form.numbers.start_index_map]


def _indices(form: Form, beyond: bool, dtype: str = "i32") -> Input:
    highest = min(limits(form), default=0)
    low, high = (-2, highest + 2) if beyond else (0, highest)
    return Input(form.indices, low, high, dtype=dtype)


def _gather(name: str, mode: str, dtype: str = "i32", fill: Any = None, kinds: str = "") -> Case:
    form = FORMS[name]
    return Case(
        f"gather {name} {mode} {dtype} {'' if fill is None else repr(fill)}".strip(),
        lambda x, i: gather(x, i, form.numbers, form.sizes, mode, fill),
        (Input(form.operand), _indices(form, mode in ("clip", "fill"), dtype)),
        kinds or "biufc",
        computes=False,
    )


def _scatter(name: str, kind: str, mode: str, dtype: str = "i32", unique: bool = False) -> Case:
    form = FORMS[name]
    numbers = ScatterDimensionNumbers(*form.numbers)
    kinds = {"set": "biufc", "add": "iufc", "mul": "iufc"}.get(kind, "biuf")
    return Case(
        f"scatter {name} {kind} {mode} {dtype}{' unique' * unique}",
        lambda x, i, u: scatter(x, i, u, numbers, kind, mode, unique),
        (
            Input(form.operand, distinct=True),
            _indices(form, mode in ("clip", "drop"), dtype),
            Input(form.result, -1.9, 1.9, distinct=True),
        ),
        kinds,
        "" if kind == "mul" and not unique else "fc",
        computes=False,
    )


def _unique_product(mode: str, rows: Sequence[int]) -> Case:
    """A product whose indices are unique indeed, so that it has a derivative."""
    form = FORMS["rows"]
    numbers = ScatterDimensionNumbers((1,), (0,), (0,))
    return Case(
        f"scatter mul unique {mode} {rows}",
        lambda x, i, u: scatter(x, i, u, numbers, "mul", mode, True),
        (
            Input(form.operand),
            Input((len(rows), 1), numbers=rows, dtype="i32"),
            Input((len(rows), 3)),
        ),
        "iufc",
    )


_KINDS = ("set", "add", "mul", "min", "max")

CASES: list[Case] = [
    *(
        Case(
            f"require {condition}",
            lambda x, c=condition: require(x, c),
            (numbers,),
            kinds,
            computes=False,
        )
        for condition, numbers, kinds in (
            ("nonzero", Input((3, 4), 1, 9), "iu"),
            ("natural", Input((3, 4), 0, 9), "iu"),
            ("int8", Input((5,), -128.9, 127.9, distinct=True), "if"),
            ("uint16", Input((2, 3), 0, 9), "iuf"),
        )
    ),
    *(_gather(name, mode) for name in FORMS for mode in ("raise", "fill")),
    *(_gather(name, "clip") for name in ("points", "blocks", "along")),
    *(_gather("take", "promise_in_bounds", d) for d in ("i8", "i16", "i64", "u8", "u32", "u64")),
    *(_gather("take", "fill", d) for d in ("i8", "i64")),
    *(_gather("blocks", "clip", d) for d in ("u8", "u64")),
    _gather("take", "fill", fill=-0.0, kinds="fc"),
    _gather("take", "fill", fill=float("inf"), kinds="fc"),
    _gather("take", "fill", fill=7, kinds="iufc"),
    _gather("take", "fill", fill=True),
    _gather("take", "fill", fill=1 - 2j, kinds="c"),
    *(_scatter(name, kind, "raise") for name in FORMS for kind in ("set", "add")),
    *(_scatter(name, kind, "raise") for name in ("take", "blocks", "along") for kind in _KINDS[2:]),
    *(_scatter(name, kind, "drop") for name in ("points", "blocks", "along") for kind in _KINDS),
    *(_scatter("rows", kind, "clip") for kind in _KINDS),
    *(_scatter(name, "set", "clip") for name in ("points", "blocks", "along")),
    *(_scatter("take", "add", "promise_in_bounds", d) for d in ("i8", "i64", "u16", "u64")),
    _unique_product("raise", [2, 0, 3]),
    _unique_product("drop", [2, -1, 7, 1]),
]
