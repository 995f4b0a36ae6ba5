"""Running folds of several lines side by side have the bits of each alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.codegen.special import TOGETHER
from jitml.pipeline.compile import lower_graph
from tests.fuzz.check import small_chunks


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64", "int8"])
def test_lines_side_by_side(dtype: str, reverse: bool) -> None:
    random = np.random.default_rng(0)

    def running(x: Any) -> Any:
        return lax.cumsum(x, 1, reverse=reverse)

    for count in range(1, 2 * TOGETHER + 2):
        for shape in ((count, 1), (count, 37), (count, 5, 3), (count, 9, 70)):
            x = jnp.asarray(random.uniform(-9, 9, shape)).astype(dtype)
            with small_chunks():
                found = np.asarray(jitml.jit(running)(x))
            for k in range(count):
                alone = np.asarray(jitml.jit(running)(x[k : k + 1]))
                assert found[k : k + 1].tobytes() == alone.tobytes()


def test_a_long_line_is_compiled_with_its_state_in_a_register() -> None:
    def level(size: int) -> int:
        graph = jitml.make_graph(jnp.cumsum)(np.ones(size, np.float32))
        (kernel,) = lower_graph(graph).kernels
        return kernel.level

    assert (level(100_000), level(10)) == (1, 0)
