"""Kernels that read beside elements, over arrays of many sizes, against NumPy.

Run by test_guarded_blocks.py in a process of its own, with a core whose blocks end where memory
that nobody may touch begins.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import jitml
import jitml.numpy as jnp


def programs(m: Any, x: Any) -> dict[str, Any]:
    """Results of `m`, NumPy or jitml.numpy."""
    return {
        "roll": m.roll(x, 1, 0) + m.roll(x, -1, 1),
        "concatenate": m.concatenate([x, x + 1, x], 1),
        "stack": m.stack([x, x], 1),
        "pad": m.pad(x, 2) * 2,
        "transpose": x.T + 1,
        "strided": x[::2, ::3] + 1,
        "backwards": x[::-1, ::-1] + 1,
        "border": m.where(m.arange(x.shape[1]) < 2, x, -x),
        "sums": (m.concatenate([x, x], 1).max(0), m.pad(x, 1).max(1), x.max(1)),
        "shifted": m.pad(x, 1)[2:, 2:] + x,
        "gather": x[:, m.arange(x.shape[1]) // 2],
        "cumulative": m.cumsum(x.astype("float32"), 1),
        "sort": m.sort(x, 1),
    }


def main() -> None:
    jitted: Callable[[Any], Any] = jitml.jit(lambda x: programs(jnp, x))
    rng = np.random.default_rng(0)
    shapes = [*itertools.product((1, 2, 5, 33), (1, 3, 16, 31, 65)), (3, 1500), (1400, 2)]
    for shape in shapes:
        for dtype in (np.float32, np.int8):
            x = rng.integers(-9, 9, shape).astype(dtype)
            found, wanted = jitted(x), programs(np, x)
            for name, value in wanted.items():
                for a, b in zip(
                    jitml.tree.leaves(found[name]), jitml.tree.leaves(value), strict=True
                ):
                    assert np.array_equal(np.asarray(a), b), (name, shape, dtype)
    print("all inside")


if __name__ == "__main__":
    main()
