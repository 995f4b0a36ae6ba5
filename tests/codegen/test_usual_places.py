"""Rows whose comparisons are those of most rows have a text of their own, and long rows begin where
vectors are aligned; results do not depend on either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen import emit
from jitml.codegen.kernel import Axis, Index, KernelBuilder
from jitml.codegen.segments import usual_segment
from jitml.pipeline.compile import Compiled, lower_graph


def _sweep(m: Any, x: Any) -> Any:
    around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return m.pad(around, [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)])


PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    "sweep": _sweep,
    "roll rows": lambda m, x: m.roll(x, 1, 0) + 2 * m.roll(x, -1, 0),
    "roll all": lambda m, x: m.roll(x, (3, -2), (0, -1)) * m.roll(x, -1, 0),
    "pad": lambda m, x: m.pad(x, 2) - 1,
    "stack": lambda m, x: m.concatenate([x, x[1:3] * 2], 0) * 3,
    "one row": lambda m, x: m.where(m.arange(x.shape[-2])[:, None] == 3, -x, x + m.roll(x, 1, -2)),
    "rows backwards": lambda m, x: m.where(m.arange(x.shape[-2])[::-1][:, None] > 1, x, 0),
}
SHAPES = [(70, 300), (9, 512), (6, 7, 40), (5, 3, 5, 33)]


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", PROGRAMS)
def test_results_are_numpys_with_texts_of_their_own_and_without(
    name: str, shape: tuple[int, ...], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = (3 * np.random.default_rng(0).normal(size=shape)).astype(dtype)
    wanted = PROGRAMS[name](np, x)
    graph = jitml.make_graph(lambda x: PROGRAMS[name](jnp, x))(x)
    texts = []
    for choose in (usual_segment, lambda *_: None):
        monkeypatch.setattr(emit, "usual_segment", choose)
        program = lower_graph(graph)
        texts.append("".join(code.text for code in program.kernels))
        for threads in (1, 3):
            with jitml.num_threads(threads):
                (found,) = Compiled(graph, program).run([jnp.asarray(x)])
            assert np.asarray(found).tobytes() == wanted.tobytes(), (choose, threads)
    assert texts[0] != texts[1] or shape != (70, 300)


def test_most_places_have_no_masks() -> None:
    graph = jitml.make_graph(lambda x: _sweep(jnp, x))(np.zeros((64, 512), np.float32))
    (code,) = lower_graph(graph).kernels
    usual, _, elsewhere = code.text.partition("\nelse")
    loop = usual[usual.rindex("\nloop") :]
    loop = loop[: loop.index("br i1")]
    assert "load <" in loop and "select" not in loop and "select" in elsewhere


def test_the_usual_segment_is_that_of_most_positions() -> None:
    axis, builder = Axis(64, 1), KernelBuilder()
    position = Index(builder, ((axis, 1),))
    ends = [(position >= 1).ref, (position < 63).ref]
    found = usual_segment(axis, ends)
    assert found is not None and (found.first, found.end) == (1, 63)
    assert set(found.known.values()) == {True}
    assert usual_segment(axis, [(position < 47).ref]) is None
    assert usual_segment(axis, [(position < 48).ref]) is not None
    assert usual_segment(axis, []) is None
    assert usual_segment(axis, ends + [(position < 3).ref] * 500) is None


def test_long_rows_begin_where_vectors_are_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those that begin anywhere."""

    def text(columns: int) -> str:
        x = np.random.default_rng(1).normal(size=(20, columns)).astype(np.float32)
        graph = jitml.make_graph(lambda x: _sweep(jnp, x))(x)
        program = lower_graph(graph)
        (found,) = Compiled(graph, program).run([jnp.asarray(x)])
        assert np.asarray(found).tobytes() == _sweep(np, x).tobytes()
        return program.kernels[0].text

    aheads: list[int | None] = []

    def ahead(index: Any, axis: Axis, first: int, width: int) -> int | None:
        found = original(index, axis, first, width)
        aheads.append(found)
        assert found is None or (index.constant + first + found) % width == 0
        return found

    original = emit._ahead
    monkeypatch.setattr(emit, "_ahead", ahead)
    text(1024)
    assert any(aheads)
    axis, row = Axis(512, 1), Axis(9, 2)
    index = Index(KernelBuilder(), ((axis, 1), (row, 512)), 6)
    assert original(index, axis, 1, 16) == 9 and original(index, axis, 1, 1024) is None
    aheads.clear()
    text(1023)
    assert aheads and not any(aheads)
