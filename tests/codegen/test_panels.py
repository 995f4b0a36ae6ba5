"""Reductions down columns, row by row: the bits of those along rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen import emit

_FOLDS = {
    "sum": lambda x, axis: x.sum(axis),
    "max": lambda x, axis: x.max(axis),
    "argmax": lambda x, axis: jnp.argmax(x, axis),
    "of complex": lambda x, axis: jnp.prod(1.0 + 0.01j * x, axis),
    "mean and variance": lambda x, axis: (
        (x - x.mean(axis, keepdims=True)) * x.var(axis, keepdims=True)
    ),
    "any": lambda x, axis: jnp.any(x > 3.5, axis),
    "two": lambda x, axis: x.sum(axis) * jnp.min(jnp.exp(x), axis),
}


@pytest.mark.parametrize("name", _FOLDS)
@pytest.mark.parametrize(
    "shape", [(128, 70), (200, 1100), (321, 33), (3, 515, 64), (4101, 36), (8300, 20)]
)
def test_columns_have_the_bits_of_rows(
    name: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[Any] = []

    def choose(*arguments: Any) -> Any:
        chosen.append(choose_panels(*arguments))
        return chosen[-1]

    choose_panels = emit.choose_panels
    monkeypatch.setattr(emit, "choose_panels", choose)
    fold = _FOLDS[name]
    x = np.random.default_rng(len(name)).standard_normal(shape).astype(np.float32)
    down = jitml.jit(lambda x: fold(x, -2))
    with jitml.num_threads(2):
        found = np.asarray(down(x))
    # Where the result has rows and columns as well, few columns are not worth a kernel across them.
    if name != "mean and variance" or shape[-1] > 1000:
        assert any(panels is not None for panels in chosen)
    along = np.asarray(jitml.jit(lambda x: fold(x, -1))(np.swapaxes(x, -1, -2).copy()))
    if name == "mean and variance":
        along = np.swapaxes(along, -1, -2)
    assert found.tobytes() == along.tobytes()
