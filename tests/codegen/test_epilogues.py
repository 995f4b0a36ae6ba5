"""What follows a product runs on its rows as they are finished: the same bits, in fewer steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
import jitml_runtime
from jitml.codegen import plan as planning
from jitml.codegen.target import host
from jitml.pipeline.lowering import lower


def normal(*shape: int, dtype: Any = "float32") -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def relu(x: Any) -> Any:
    return jnp.maximum(x, 0)


def convolution(x: Any, w: Any, b: Any, layout: str) -> Any:
    dims = (layout, "OIHW" if layout == "NCHW" else "HWIO", layout)
    y = jitml.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=dims)
    return relu(y + (b[:, None, None] if layout == "NCHW" else b))


def in_a_loop(x: Any, w: Any) -> Any:
    """Results of products are what the loop hands on, and what it leaves."""

    def body(carry: Any, _: Any) -> Any:
        product = carry @ w
        after = jnp.tanh(product)
        return after, (product, after + 1)

    return jitml.lax.scan(body, x, None, length=3)


def sum_of_products(x: Any, w: Any) -> Any:
    """What follows the first product in the program is the second one."""

    def body(total: Any, x: Any) -> Any:
        product, other = x.T @ x, x @ w
        return total + product, other.sum()

    return jitml.lax.scan(body, jnp.zeros((128, 128), "float32"), x)


Case = tuple[Callable[..., Any], tuple[np.ndarray, ...]]
HALF, WIDE = (np.dtype(t) for t in ("float16", "float64"))
JOINED: dict[str, Case] = {
    "bias": (lambda x, w, b: relu(x @ w + b), (normal(300, 70), normal(70, 90), normal(90))),
    "alone": (lambda x, w: relu(x @ w) * 2, (normal(150, 600), normal(600, 128))),
    "residual": (lambda x, w, r: x @ w + 2 * r, (normal(99, 9), normal(9, 64), normal(99, 64))),
    "rows": (lambda x, w, s: (x @ w) * s[:, None], (normal(130, 9), normal(9, 65), normal(130))),
    "both kept": (lambda x, w: (x @ w, relu(x @ w)), (normal(140, 30), normal(30, 64))),
    "two": (lambda x, w: (jnp.exp(x @ w), relu(x @ w)), (normal(140, 30), normal(30, 64))),
    "batched": (lambda x, w: relu(x @ w) - 1, (normal(3, 101, 20), normal(3, 20, 192))),
    "3-d": (lambda x, w, b: relu(x @ w + b), (normal(5, 90, 20), normal(20, 33), normal(33))),
    "f16": (lambda x, w: relu(x @ w) / 3, (normal(80, 40, dtype=HALF), normal(40, 64, dtype=HALF))),
    "narrowed": (
        lambda x, w: (x @ w).astype("float32"),
        (normal(80, 40, dtype=WIDE), normal(40, 64, dtype=WIDE)),
    ),
    "its own operand": (lambda x: x @ x + x, (normal(128, 128),)),
    "NHWC": (
        lambda x, w, b: convolution(x, w, b, "NHWC"),
        (normal(3, 12, 11, 8), normal(3, 3, 8, 40), normal(40)),
    ),
    "NCHW": (
        lambda x, w, b: convolution(x, w, b, "NCHW"),
        (normal(3, 8, 12, 11), normal(70, 8, 3, 3), normal(70)),
    ),
    "sum in a loop": (sum_of_products, (normal(5, 20, 128), normal(128, 70))),
    "in a loop": (in_a_loop, (normal(100, 64), normal(64, 64))),
}


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A function from whose call on nothing is joined."""

    def switch() -> None:
        monkeypatch.setattr(planning, "can_follow", lambda product, after: False)
        jitml.clear_caches()

    yield switch
    jitml.clear_caches()


def labels(f: Callable[..., Any], arguments: tuple[np.ndarray, ...], joins: bool) -> list[str]:
    program = lower(jitml.jit(f).trace(*arguments).graph, host(), joins=joins)
    return [step.label for step in program.plan.instructions]


@pytest.mark.parametrize("name", JOINED)
def test_joined_and_apart_have_the_same_bits(name: str, apart: Callable[[], None]) -> None:
    f, arguments = JOINED[name]
    assert len(labels(f, arguments, True)) < len(labels(f, arguments, False))
    results = []
    for threads in (1, 2, 4):
        with jitml.num_threads(threads):
            results.append(jitml.tree.leaves(jitml.jit(f)(*arguments)))
    apart()
    results.append(jitml.tree.leaves(jitml.jit(f)(*arguments)))
    for found in results[:-1]:
        for x, y in zip(found, results[-1], strict=True):
            assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


@pytest.mark.parametrize("threads", [1, 4])
def test_loops_of_joined_steps(threads: int) -> None:
    """Each step reads all of what the step before has left."""
    x, w = normal(200, 128), normal(128, 128) / 16
    wanted = x
    for _ in range(5):
        wanted = np.tanh(wanted @ w) + wanted
    with jitml.num_threads(threads):
        found = jitml.jit(
            lambda x, w: jitml.lax.fori_loop(0, 5, lambda i, c: jnp.tanh(c @ w) + c, x)
        )(x, w)
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-4, atol=1e-4)


SEPARATE: dict[str, Case] = {
    "with its transpose": (lambda x: x @ x + (x @ x).T, (normal(128, 128),)),
    "reversed": (lambda x, w: (x @ w)[::-1] + 1, (normal(200, 30), normal(30, 64))),
    "rows of two, in vectors across rows": (
        lambda x, w, s: (x @ w) / s[:, None],
        (normal(20000, 9), normal(9, 2), 1 + normal(20000) ** 2),
    ),
    "rows that fill no vector": (lambda x, w: relu(x @ w) * 2, (normal(160, 600), normal(600, 4))),
}


@pytest.mark.parametrize("name", SEPARATE)
def test_what_is_not_joined_has_the_same_bits(name: str, apart: Callable[[], None]) -> None:
    f, arguments = SEPARATE[name]
    first = np.asarray(jitml.jit(f)(*arguments)).tobytes()
    apart()
    assert np.asarray(jitml.jit(f)(*arguments)).tobytes() == first


TABLE, PLACES, DEEP = normal(9), np.arange(100) % 9, normal(100, 300)
OTHERS: dict[str, Callable[..., Any]] = {
    "turned": lambda x, w: (x @ w).T * 2,
    "summed": lambda x, w: (x @ w).sum(1),
    "every other": lambda x, w: (x @ w)[::2] + 1,
    "run along": lambda x, w: jnp.cumsum(x @ w, 1) + 1,
    "moved": lambda x, w: jnp.roll(x @ w, 1, 0) * 2,
    "cut": lambda x, w: (x @ w)[:64] + 1,
    "chosen": lambda x, w: (x @ w).at[PLACES].get(mode="clip") + 1,
    "with a check": lambda x, w: x @ w + jnp.asarray(TABLE)[PLACES][:, None],
    "with sums": lambda x, w: x @ w + jnp.sin(DEEP[:, None] * DEEP[None, :64]).sum(-1),
    "with columns of two": lambda x, w: jnp.stack([x @ w, (x @ w) * 2], -1),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_stay_apart(name: str) -> None:
    arguments = normal(100, 40), normal(40, 64)
    assert labels(lambda x, w: relu(x @ w), arguments, True) == ["dot_general max"]
    f = OTHERS[name]
    assert labels(f, arguments, True) == labels(f, arguments, False)


@pytest.mark.parametrize("threads", [1, 4])
def test_a_check_behind_a_product_tells_its_place(threads: int) -> None:
    places = np.where(np.arange(100) == 70, 11, PLACES)
    with jitml.num_threads(threads), pytest.raises(jitml.errors.OutOfBoundsError, match="index 11"):
        jitml.jit(lambda x, w, i: x @ w + jnp.asarray(TABLE)[i][:, None])(
            normal(100, 40), normal(40, 64), places
        )


def test_deployed_programs_join(tmp_path: Path) -> None:
    f, arguments = JOINED["bias"]
    wanted = np.asarray(jitml.jit(f)(*arguments))
    jitml.export.save(f, tmp_path / "layer.jitml", *arguments)
    loaded = jitml_runtime.load(tmp_path / "layer.jitml")
    assert np.asarray(loaded(*arguments)).tobytes() == wanted.tobytes()
    jitml.export.save_c(f, tmp_path / "layer", *arguments)
    assert (tmp_path / "layer.o").stat().st_size > 0


def test_donated_operands_are_not_overwritten_too_early() -> None:
    x, w = normal(128, 128), normal(128, 128)
    f = jitml.jit(lambda x, w: relu(x @ w) + x, donate_argnums=0)
    wanted = np.asarray(jitml.jit(lambda x, w: relu(x @ w) + x)(x, w))
    assert np.asarray(f(jnp.asarray(x), w)).tobytes() == wanted.tobytes()
