"""The outline of a tree: totals, folding, bounds; and what a jitted function says of itself."""

from __future__ import annotations

import re

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.display import tree

PARAMETERS = {
    "layers": [{"w": np.ones((3, 4), np.float32), "b": jnp.zeros(4)} for _ in range(2)],
    "step": 3,
    "nothing": None,
    "name": "<b>",
    "like": jitml.ShapeDtypeStruct((5,), "float64"),
}


def test_totals_are_of_all_below() -> None:
    assert str(tree(PARAMETERS)).splitlines() == [
        "dict · 5 arrays · 37 numbers · 168 bytes",
        "  ['layers'] list · 4 arrays · 32 numbers · 128 bytes",
        "    [0] dict · 2 arrays · 16 numbers · 64 bytes",
        "      ['b'] float32[4] · 16 bytes",
        "      ['w'] float32[3,4] · 48 bytes",
        "    [1] dict · 2 arrays · 16 numbers · 64 bytes",
        "      ['b'] float32[4] · 16 bytes",
        "      ['w'] float32[3,4] · 48 bytes",
        "  ['like'] float64[5] · 40 bytes",
        "  ['name'] '<b>'",
        "  ['nothing'] None",
        "  ['step'] 3",
    ]


def test_html_folds_and_says_the_same() -> None:
    shown = tree(PARAMETERS)._repr_html_()
    assert shown.count("<details open>") == 4
    text = re.sub(r"<[^>]*>", " ", shown.replace("&#x27;", "'"))
    words = re.findall(r"[\w.]+\[[\d,]*\]|\d+ bytes|\['\w+'\]", str(tree(PARAMETERS)))
    assert len(words) > 20
    assert [word for word in words if word not in text] == []
    assert "&lt;b&gt;" in shown


def test_a_large_tree_is_cut() -> None:
    large = tree([{str(k): np.ones(k) for k in range(60)} for _ in range(200)])
    assert len(large._repr_html_()) < 200_000
    assert len(repr(large)) < 50_000
    assert "… 187 more branches" in large._repr_html_()
    assert repr(large).splitlines()[-1].endswith("more lines")
    assert large._repr_html_().count("<details open>") == 1


def test_a_jitted_function_tells_what_it_was_compiled_for() -> None:
    pretty = pytest.importorskip("IPython.lib.pretty").pretty
    function = jitml.jit(lambda x, flag: x + flag, static_argnames="flag")
    assert "not compiled yet" in function._repr_html_()
    for size in (2, 3):
        function(jnp.ones(size), flag=1)
    html, text = function._repr_html_(), pretty(function)
    for told in ("traced and compiled 2 times", "x: f32[2], flag=1", "pad x to one shape"):
        assert told in html
        assert told in text
    assert pretty([function]) == f"[{function!r}]"
