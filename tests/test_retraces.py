"""Why functions are traced again: the cause, as data and in two lines."""

from __future__ import annotations

import logging
import weakref
from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import jit, retraces, vmap

ones = jnp.ones
Pair = namedtuple("Pair", "left right")
SCALE, CONFIG, TABLE = 2.0, {"rate": 0.5, "names": ["a"]}, jnp.arange(3.0)
SETTINGS = SimpleNamespace(rate=1.0, depth=2)


def leaves(tree: Any, y: Any = 1.0, n: int = 2) -> Any:
    return [x * y * n for x in jitml.tree.leaves(tree)]


def case(*calls: tuple[Any, ...], **options: Any) -> Callable[[], Any]:
    def run() -> Any:
        f = jit(leaves, **options)
        for args in calls:
            f(*args)
        return f

    return run


def keyword_instead_of_position() -> Any:
    f = jit(leaves)
    f(ones(3), ones(3))
    f(ones(3), y=ones(3))
    return f


def reading(change: Callable[[Any], Any], read: Callable[[], Any]) -> Callable[[Any], Any]:
    def run(monkeypatch: Any) -> Any:
        f = jit(lambda x: x * read())
        f(ones(3))
        change(monkeypatch)
        f(ones(3))
        return f

    return run


def in_scopes(first: Any, second: Any) -> Callable[[], Any]:
    def run() -> Any:
        f, x = jit(leaves), ones(3)
        for scope in (first, second):
            with scope():
                f(x)
        return f

    return run


def closure_cell() -> Any:
    factor = 2.0

    def set_to(value: float) -> None:
        nonlocal factor
        factor = value

    f = jit(lambda x: x * factor)
    f(ones(3))
    set_to(3.0)
    f(ones(3))
    return f


def default_argument() -> Any:
    def scaled(x: Any, k: float = 2.0) -> Any:
        return x * k

    f = jit(lambda x: scaled(x))
    f(ones(3))
    scaled.__defaults__ = (4.0,)
    f(ones(3))
    return f


def cleared() -> Any:
    f = jit(leaves)
    f(ones(3))
    f.clear_cache()
    f(ones(3))
    return f


def made_in_a_loop() -> Any:
    for _ in range(5):
        f = jit(lambda x: x - 1)
        f(ones(3))
    return f


@pytest.fixture(autouse=True)
def _nothing_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retraces, "_MADE", weakref.WeakKeyDictionary())


class Model:
    rate = 1.0

    def __init__(self, width: int) -> None:
        self.width = width

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and other.width == self.width

    def __hash__(self) -> int:
        return hash(self.width)


f32, f64 = np.ones(3, np.float32), np.ones(3)
CASES: dict[str, tuple[Callable[..., Any], tuple[str, str, str, str]]] = {
    "length": (case((ones(3),), (ones(4),)), ("tree", "shape", "f32[3]", "f32[4]")),
    "last batch": (
        case(({"x": ones((8, 2)), "y": ones(8)},), ({"x": ones((5, 2)), "y": ones(8)},)),
        ("tree['x']", "shape", "f32[8,2]", "f32[5,2]"),
    ),
    "rank": (case((ones(3),), (ones((1, 3)),)), ("tree", "rank", "f32[3]", "f32[1,3]")),
    "second argument": (
        case((ones(3), ones(3)), (ones(3), ones(1))),
        ("y", "shape", "f32[3]", "f32[1]"),
    ),
    "dtype": (case((f32,), (f64,)), ("tree", "dtype", "f32[3]", "f64[3]")),
    "integers": (case((1,), (1.0,)), ("tree", "dtype", "i32~[]", "f32~[]")),
    "bool": (case((True,), (1,)), ("tree", "dtype", "bool[]", "i32~[]")),
    "number then array": (
        case((1.0,), (jnp.float32(1),)),
        ("tree", "weak type", "f32~[]", "f32[]"),
    ),
    "array then number": (
        case((ones(3), jnp.float32(1)), (ones(3), 2.0)),
        ("y", "weak type", "f32[]", "f32~[]"),
    ),
    "complex": (case((1.0,), (1j,)), ("tree", "dtype", "f32~[]", "c64~[]")),
    "longer list": (
        case(([1.0],), ([1.0, 2.0],)),
        ("tree[1]", "structure", "not there", "given"),
    ),
    "shorter list": (
        case(([1.0, 2.0],), ([1.0],)),
        ("tree[1]", "structure", "given", "not there"),
    ),
    "new key": (
        case(({"a": 1.0},), ({"a": 1.0, "b": 2.0},)),
        ("tree['b']", "structure", "not there", "given"),
    ),
    "None": (case((ones(3), 1.0), (None, 1.0)), ("tree", "structure", "given", "not there")),
    "an argument more": (
        case((ones(3),), (ones(3), 2.0)),
        ("y", "structure", "not there", "given"),
    ),
    "deep inside": (
        case(({"a": [Pair(1.0, f32)]},), ({"a": [Pair(1.0, f64)]},)),
        ("tree['a'][0].right", "dtype", "f32[3]", "f64[3]"),
    ),
    "static number": (
        case((1.0, 1.0, 2), (1.0, 1.0, 3), static_argnums=2),
        ("n", "static", "2", "3"),
    ),
    "static by name": (
        case((1.0, 1.0, 2), (1.0, 1.0, 2.0), static_argnames="n"),
        ("n", "static", "2", "2.0"),
    ),
    "static given now": (
        case((1.0, 1.0), (1.0, 1.0, 2), static_argnums=2),
        ("n", "static", "not given", "2"),
    ),
    "static object": (
        case((1.0, 1.0, np.float32(2)), (1.0, 1.0, np.float32(4)), static_argnums=2),
        ("n", "static", repr(np.float32(2)), repr(np.float32(4))),
    ),
    "x64": (
        in_scopes(lambda: jitml.enable_x64(False), lambda: jitml.enable_x64(True)),
        ("x64", "x64", "False", "True"),
    ),
    "global": (
        reading(lambda m: m.setitem(globals(), "SCALE", 3.0), lambda: SCALE),
        ("SCALE", "value", "2.0", "3.0"),
    ),
    "entry": (
        reading(lambda m: m.setitem(CONFIG, "rate", 0.25), lambda: CONFIG["rate"]),
        ("CONFIG['rate']", "value", "0.5", "0.25"),
    ),
    "length of a list": (
        reading(
            lambda m: m.setitem(CONFIG, "names", ["a", "b"]), lambda: float(len(CONFIG["names"]))
        ),
        ("len(CONFIG['names'])", "value", "1", "2"),
    ),
    "attribute": (
        reading(lambda m: m.setattr(SETTINGS, "rate", 2.0), lambda: SETTINGS.rate),
        ("SETTINGS.rate", "value", "1.0", "2.0"),
    ),
    "attribute of a class": (
        reading(lambda m: m.setattr(Model, "rate", 2.0), lambda: Model.rate),
        ("Model.rate", "value", "1.0", "2.0"),
    ),
    "type of a captured array": (
        reading(lambda m: m.setitem(globals(), "TABLE", ones((2, 3))), lambda: TABLE),
        ("TABLE", "value", "f32[3]", "f32[2,3]"),
    ),
    "closure cell": (closure_cell, ("factor", "value", "2.0", "3.0")),
    "default argument": (default_argument, ("scaled.__defaults__", "value", "(2.0,)", "(4.0,)")),
    "cleared": (cleared, ("the cache", "cache", "filled", "cleared")),
    "jit in a loop": (made_in_a_loop, ("jit", "jit", "called for the same code", "called again")),
}


@pytest.mark.parametrize("name", CASES)
def test_the_cause_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, expected = CASES[name]
    f = run(monkeypatch) if run.__code__.co_argcount else run()
    (found,) = f.explain_retraces()
    assert found[:4] == expected
    assert found.seconds > 0
    assert found.hint


def test_the_nearest_trace_counts() -> None:
    f = jit(leaves)
    for shapes in ((3, 3), (4, 4), (4, 1)):
        f(*map(ones, shapes))
    assert [r.argument for r in f.explain_retraces()] == ["tree", "y", "y"]
    assert f.compiles == 3
    f(ones(3), ones(3))
    assert f.compiles == 3


def test_the_second_retrace_is_told_in_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    @jit
    def double(x: Any) -> Any:
        return x * 2

    for n in range(1, 12):
        double(ones(n))
    texts = [record.getMessage() for record in caplog.records]
    assert [text.split(" has been traced ")[1].split(" times")[0] for text in texts] == [
        "3",
        "5",
        "9",
    ]
    first, hint = texts[0].split("\n")
    assert first.startswith("jitml: double (test_retraces.py:")
    assert first.endswith("s so far: x was f32[2], now f32[3]")
    assert hint == "  hint: pad x to one shape, or leave the odd one out"


def test_jit_in_a_loop_is_told(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        jit(lambda x: x * 5)(ones(3))
    (record,) = caplog.records
    assert "<lambda> (test_retraces.py:" in record.getMessage()
    assert "call jit once, outside of the loop" in record.getMessage()
    assert record.levelno == logging.WARNING


def test_what_is_traced_inside_of_others_is_not_counted() -> None:
    f = jit(lambda x: x + 1)
    jit(lambda x: f(x) * f(x[:2]).sum())(ones(3))
    vmap(f)(ones((2, 3)))
    assert f.compiles == 0 and not f.explain_retraces()
