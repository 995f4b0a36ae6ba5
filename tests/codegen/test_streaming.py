"""Stores that go past the caches: of large arrays only, whole lines only, the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen import memory
from jitml.codegen.target import host
from jitml.pipeline.compile import Compiled, lower_graph
from tests.fuzz.check import small_chunks

needs_x86 = pytest.mark.skipif(not host().is_x86, reason="a machine without such stores")
PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "chain": lambda x: x * 2 + 1,
    "transpose": lambda x: x.T,
    "rows": jitml.nn.softmax,
    "columns": lambda x: x - x.max(0),
    "two of them": lambda x: (x + 1, x > 0),
    "pairs": lambda x: jnp.stack([x, x + 1], -1),
    "complex": lambda x: x * (x[:1] + 1j),
    "shifted": lambda x: x[:, 1:] * 2,
    "in a loop": lambda x: jitml.lax.scan(lambda s, _: (s + 1, s * 2), x, None, 3),
}


def text_of(function: Callable[[Any], Any], x: Any) -> str:
    program = lower_graph(jitml.make_graph(function)(x))
    return "".join(code.text for code in program.kernels)


@needs_x86
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_bits(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever in lines rows begin."""
    seen = dtype != "float32"  # of others a vector may be half a line
    for shape in ((64, 64), (33, 47), (5, 1000), (128, 16)):
        x = jnp.asarray(np.random.default_rng(0).normal(size=shape)).astype(dtype)
        graph = jitml.make_graph(PROGRAMS[name])(x)
        results = []
        for threshold in (1 << 60, 0):
            monkeypatch.setattr(memory, "STREAMED_BYTES", threshold)
            with small_chunks():
                program = lower_graph(graph)
                results.append([np.asarray(y) for y in Compiled(graph, program).run([x])])
            seen |= any("!nontemporal" in code.text for code in program.kernels)
        for one, other in zip(*results, strict=True):
            assert one.tobytes() == other.tobytes()
    assert seen


@needs_x86
def test_what_fits_stays_in_the_caches() -> None:
    large = np.ones((4096, 1024), np.float32)
    assert 2 * large.nbytes == memory.STREAMED_BYTES
    row = large[0]
    for function, x, is_streamed in (
        (lambda x: x + 1, large, True),
        (lambda x: x + 1, large[:-1], False),
        (lambda x: jnp.broadcast_to(x, large.shape) * 2, row, False),  # nothing else is there
        (lambda x: x.sum(0), np.ones((4096, 2048), np.float32), False),  # a small result
        (lambda x: x * 1j, large[:2048], False),
        (lambda x: x * 1j, large[: 4096 // 3 * 2 + 2], True),  # pairs are twice as large
    ):
        text = text_of(function, x)
        assert ("!nontemporal" in text) is is_streamed
        assert text.count("call void @llvm.x86.sse.sfence()") == is_streamed


def test_other_machines_have_no_such_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(host()), "is_x86", False)
    assert "sfence" not in text_of(lambda x: x + 1, np.ones((4096, 1024), np.float32))
