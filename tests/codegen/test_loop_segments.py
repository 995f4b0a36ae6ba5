"""Loops in segments: where comparisons turn, and that results do not depend on it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen import emit
from jitml.codegen.kernel import Axis, Index, KernelBuilder
from jitml.codegen.segments import Segment, segments
from jitml.pipeline.compile import Compiled, lower_graph

PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    "concatenate": lambda m, x: m.concatenate([x, x * 2, x[..., :5]], -1),
    "concatenate rows": lambda m, x: m.concatenate([x, x * 2], 0),
    "roll": lambda m, x: m.roll(x, 1, -1) - 2 * x + m.roll(x, -1, -1),
    "roll both": lambda m, x: m.roll(x, (3, -2), (0, -1)) + x,
    "pad": lambda m, x: m.pad(x, 3) + 1,
    "border": lambda m, x: m.where(
        m.arange(x.shape[-1]) % 2 == 0, x, m.pad(x[..., 1:-1], [(0, 0)] * (x.ndim - 1) + [(1, 1)])
    ),
    "middle": lambda m, x: m.where(
        (m.arange(x.shape[-1]) > 30) & (m.arange(x.shape[-1]) <= 700), x, m.roll(x, 1, 0)
    ),
    "one place": lambda m, x: m.where(m.arange(x.shape[-1]) == 77, -x, x),
    "backwards": lambda m, x: m.concatenate([x, x[..., ::-1]], -1),
    "triangle": lambda m, x: m.where(m.arange(x.shape[1]) <= m.arange(len(x))[:, None], x, 0),
    "columns of a roll": lambda m, x: m.roll(x, 1, -1).max(0),
    "a row less its maximum": lambda m, x: (
        m.roll(x, 3, -1) - m.roll(x, 1, -1).max(-1, keepdims=True)
    ),
    "maximum of a roll": lambda m, x: m.roll(x, 1, -1).max(-1),
}
SHAPES = [(3, 1500), (2, 2048), (1, 97), (4, 40)]


@pytest.mark.parametrize("name", ["lt", "le", "gt", "ge", "eq", "ne"])
@pytest.mark.parametrize("slope", [1, -1, 3, -4])
def test_comparisons_are_known_in_each_segment(name: str, slope: int) -> None:
    for start in range(-30, 31, 3):
        builder = KernelBuilder()
        axis = Axis(20, 1)
        index = Index(builder, ((axis, slope),), start)
        value = getattr(index, f"__{name}__")(Index(builder, (), 1))
        node = value.ref
        found = segments(axis, [node], 1) if node.name == name else [Segment(0, 20)]
        assert [s.first for s in found] == [0, *(s.end for s in found[:-1])] and found[-1].end == 20
        for segment in found:
            for position in range(segment.first, segment.end):
                holds = getattr(operator, name)(slope * position + start, 1)
                known = value.number if value.number is not None else segment.known.get(node.number)
                assert known == holds, (start, position)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", PROGRAMS)
def test_results_are_numpys_with_segments_and_without(
    name: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    wanted = PROGRAMS[name](np, x)
    graph = jitml.make_graph(lambda x: PROGRAMS[name](jnp, x))(x)
    texts = []
    for choose in (segments, lambda axis, *_: [Segment(0, axis.extent)]):
        monkeypatch.setattr(emit, "segments", choose)
        program = lower_graph(graph)
        texts.append("".join(code.text for code in program.kernels))
        for threads in (1, 3):
            with jitml.num_threads(threads):
                (found,) = Compiled(graph, program).run([jnp.asarray(x)])
            assert np.asarray(found).tobytes() == wanted.tobytes(), (choose, threads)
    is_split = shape[-1] > 1000 and name not in (
        "concatenate rows",
        "triangle",
        "maximum of a roll",
    )
    assert (texts[0] != texts[1]) == is_split or shape[-1] < 1000
    assert not is_split or "masked.load" not in _of_most_rows(texts[0]) or "less" in name


def _of_most_rows(text: str) -> str:
    """The part of a kernel's text, without declarations, that most rows run through."""
    return text.partition("\nelse")[0].rpartition("\ndeclare")[2]


def test_a_long_vector_in_chunks() -> None:
    """Chunks that begin before, in and behind a segment."""
    x = np.random.default_rng(1).normal(size=1_000_003).astype(np.float32)
    for function in ("roll", "concatenate", "pad"):
        for threads in (1, 4):
            with jitml.num_threads(threads):
                found = jitml.jit(lambda x, f=function: PROGRAMS[f](jnp, x))(x)
            assert np.array_equal(found, PROGRAMS[function](np, x))


def test_positions_that_wrap_in_their_type_are_compared_one_by_one() -> None:
    found = jitml.jit(lambda x: jnp.where(jitml.lax.iota("int8", 4000) < 5, x, -x))(jnp.ones(4000))
    positions = np.arange(4000).astype(np.int8)
    assert np.array_equal(found, np.where(positions < 5, 1.0, -1.0))


def test_short_axes_and_large_bodies_keep_their_masks() -> None:
    axis = Axis(64, 1)
    builder = KernelBuilder()
    inside = [(Index(builder, ((axis, 1),)) < k).ref for k in (1, 63)]
    assert len(segments(axis, inside, 16)) == 1 and len(segments(axis, inside, 1)) == 3
    axis.extent = 1 << 20
    many = [(Index(builder, ((axis, 1),)) < 999 * k).ref for k in range(1, 40)]
    assert len(segments(axis, many, 16)) == 1


def test_blocks_at_known_places_are_written_without_masks() -> None:
    x = np.random.default_rng(2).normal(size=(40, 2000)).astype(np.float32)

    def relax(x: Any) -> Any:
        middle = (x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:]) / 4
        return x.at[1:-1, 1:-1].set(middle)

    graph = jitml.make_graph(relax)(x)
    (code,) = lower_graph(graph).kernels
    assert "masked.load" in code.text and "masked.load" not in _of_most_rows(code.text)
    wanted = x.copy()
    wanted[1:-1, 1:-1] = (x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:]) / 4
    assert np.array_equal(jitml.jit(relax)(x), wanted)
