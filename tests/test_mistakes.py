"""Mistakes that people bring from NumPy, JAX and plain Python: what they read, whole, in
`golden/mistakes`, and that what the hint says works.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import check_message

import jitml
import jitml.numpy as jnp
from jitml import grad, jit, lax, nn, random, vmap

GOLDEN = Path(__file__).parent / "golden" / "mistakes"
X, M, COUNTS, KEY = jnp.arange(3.0), jnp.ones((2, 3)), jnp.arange(3), random.key(0)


def set_item(x: Any) -> None:
    x[0] = 1


def no_return(x: Any) -> None:
    x * 2


def asserted(x: Any) -> Any:
    assert x.sum() > 0
    return x


def checked(x: Any) -> Any:
    jitml.checkify.check(x.sum() >= 0, "negative")
    return x


def formatted(x: Any) -> Any:
    print(f"x = {x:.2f}")
    return x


def printed(x: Any) -> None:
    jitml.debug.print("{x:.2f}", x=x)


def growing(x: Any) -> Any:
    found = []
    while x < 3:
        found.append(x)
        x = x + 1
    return found


def not_growing(x: Any) -> Any:
    found, count = jnp.zeros(5), 0
    while x < 3:
        found, count, x = found.at[count].set(x), count + 1, x + 1
    return found, count


def two_shapes(x: Any) -> Any:
    if x > 0:
        y = jnp.ones(2)
    else:
        y = jnp.ones(3)
        y = y * 2
    return y


def one_side(x: Any) -> Any:
    if x > 0:
        y = x
    return y


class Model:
    """Holds an array."""

    def __init__(self) -> None:
        self.weights = X

    @jit
    def apply(self, x: Any) -> Any:
        return self.weights + x


def without_rule() -> Any:
    return jitml.custom_vjp(lambda x: x)


def with_rule(backward: Any) -> Any:
    function = jitml.custom_vjp(lambda x: x)
    function.defvjp(lambda x: (x, None), backward)
    return function


Attempt = Callable[[], Any]
# What people write, and what the hint makes of it.
CASES: dict[str, tuple[Attempt, Attempt | None]] = {
    "set_item": (lambda: set_item(X), lambda: X.at[0].set(1)),
    "list_argument": (lambda: jnp.sum([1, 2]), lambda: jnp.sum(jnp.asarray([1, 2]))),
    "ragged_rows": (lambda: jnp.array([[1, 2], [3]]), lambda: jnp.array([[1, 2], [3, 0]])),
    "seed_for_key": (
        lambda: random.normal(0, (3,)),
        lambda: random.normal(random.key(0), (3,)),
    ),
    "no_key": (lambda: random.normal((3,)), lambda: random.normal(KEY, (3,))),
    "many_keys": (
        lambda: random.normal(random.split(KEY)),
        lambda: vmap(random.normal)(random.split(KEY)),
    ),
    "more_draws_than_there_are": (
        lambda: random.choice(KEY, 5, (9,), replace=False),
        lambda: random.choice(KEY, 5, (9,), replace=True),
    ),
    "no_return": (lambda: grad(no_return)(1.0), lambda: grad(lambda x: x * 2)(1.0)),
    "two_results": (
        lambda: grad(lambda x: (x, x))(1.0),
        lambda: grad(lambda x: (x, x), has_aux=True)(1.0),
    ),
    "argnums_beyond": (
        lambda: grad(lambda x: x, argnums=1)(1.0),
        lambda: grad(lambda x, y: x * y, argnums=1)(1.0, 2.0),
    ),
    "string_argument": (
        lambda: jit(lambda x, mode: x)(X, "a"),
        lambda: jit(lambda x, mode: x, static_argnames="mode")(X, "a"),
    ),
    "call_for_function": (lambda: jit(jnp.sin(X)), lambda: jit(jnp.sin)(X)),
    "array_static": (
        lambda: jit(lambda x, n: x, static_argnums=1)(X, X),
        lambda: jit(lambda x, n: x, static_argnums=1)(X, 3),
    ),
    "method": (lambda: Model().apply(X), lambda: jit(lambda x: Model().weights + x)(X)),
    "branches_differ_in_shape": (
        lambda: lax.cond(True, lambda: X, lambda: X[:2]),
        lambda: lax.cond(True, lambda: X[:2], lambda: X[:2]),
    ),
    "branches_differ_in_dtype": (
        lambda: lax.cond(True, lambda: COUNTS, lambda: X),
        lambda: lax.cond(True, lambda: COUNTS.astype(float), lambda: X),
    ),
    "array_for_condition": (
        lambda: lax.cond(X > 0, lambda: 1, lambda: 2),
        lambda: lax.cond(jnp.all(X > 0), lambda: 1, lambda: 2),
    ),
    "carry_changes_dtype": (
        lambda: lax.scan(lambda c, a: (c.astype(int), a), 0.0, X),
        lambda: lax.scan(lambda c, a: (c.astype(int), a), 0, X),
    ),
    "carry_grows": (
        lambda: lax.scan(lambda c, a: (jnp.stack([c, a]), a), 0.0, X),
        lambda: lax.scan(lambda c, a: (c, a), 0.0, X),
    ),
    "scan_without_pair": (
        lambda: lax.scan(lambda c, a: c + a, 0.0, X),
        lambda: lax.scan(lambda c, a: (c + a, None), 0.0, X),
    ),
    "scan_of_two_lengths": (
        lambda: lax.scan(lambda c, a: (c, a), 0.0, (X, jnp.ones(4))),
        lambda: lax.scan(lambda c, a: (c, a), 0.0, (X, jnp.ones(3))),
    ),
    "scan_of_nothing": (
        lambda: lax.scan(lambda c, a: (c, a), 0.0, None),
        lambda: lax.scan(lambda c, a: (c, a), 0.0, None, length=2),
    ),
    "while_without_truth": (
        lambda: lax.while_loop(lambda c: c, lambda c: c - 1, 3.0),
        lambda: lax.while_loop(lambda c: c > 0, lambda c: c - 1, 3.0),
    ),
    "vmap_of_a_number": (
        lambda: vmap(jnp.add)(X, 1.0),
        lambda: vmap(jnp.add, in_axes=(0, None))(X, 1.0),
    ),
    "nothing_mapped": (
        lambda: vmap(jnp.sin, in_axes=None)(X),
        lambda: vmap(jnp.sin, in_axes=None, axis_size=2)(X),
    ),
    "einsum_sizes": (lambda: jnp.einsum("ij,jk", M, M), None),
    "einsum_formula": (
        lambda: jnp.einsum("ij->ijk", M),
        lambda: jnp.einsum("ij->ji", M),
    ),
    "dot_sizes": (lambda: jnp.dot(M, M), lambda: jnp.dot(M, M.mT)),
    "times_for_matmul": (lambda: X @ 3, lambda: X * 3),
    "range_of_traced": (
        lambda: jit(lambda n: jnp.arange(n))(3),
        lambda: jit(lambda n: jnp.arange(n), static_argnames="n")(3),
    ),
    "slice_of_traced": (
        lambda: jit(lambda n: X[:n])(2),
        lambda: jit(lambda n: lax.dynamic_slice(X, (n,), (2,)))(1),
    ),
    "nonzero_of_traced": (
        lambda: jit(jnp.nonzero)(X),
        lambda: jit(lambda x: jnp.nonzero(x, size=3))(X),
    ),
    "unique_of_traced": (
        lambda: jit(jnp.unique)(X),
        lambda: jit(lambda x: jnp.unique(x, size=3))(X),
    ),
    "repeat_of_traced": (
        lambda: jit(jnp.repeat)(X, COUNTS),
        lambda: jit(lambda x, n: jnp.repeat(x, n, total_repeat_length=3))(X, COUNTS),
    ),
    "int_of_traced": (
        lambda: jit(lambda x: int(x[0]))(X),
        lambda: jit(lambda x: x[0].astype(int))(X),
    ),
    "float_index": (lambda: X[1.0], lambda: X[1]),
    "text_index": (lambda: X["a"], lambda: {"a": X}["a"]),
    "too_many_indices": (lambda: X[0, 0], None),
    "number_too_large": (lambda: jnp.int8(300), lambda: jnp.int16(300)),
    "conversion_that_does_not_fit": (
        lambda: jnp.array([1, 300]).astype(jnp.uint8),
        lambda: jnp.clip(jnp.array([1, 300]), 0, 255).astype(jnp.uint8),
    ),
    "integer_divided_by_zero": (
        lambda: jit(lambda x, y: jnp.where(y == 0, -1, x // y))(COUNTS, COUNTS),
        lambda: jit(lambda x, y: jnp.where(y == 0, -1, x // jnp.where(y == 0, 1, y)))(
            COUNTS, COUNTS
        ),
    ),
    "integers_to_negative_powers": (
        lambda: COUNTS ** jnp.array([1, -1, 2]),
        lambda: jnp.float_power(COUNTS, jnp.array([1, -1, 2])),
    ),
    "text_for_array": (lambda: jnp.array("abc"), lambda: jnp.array([97, 98, 99])),
    "update_of_another_shape": (lambda: X.at[:2].set(X), None),
    "inverse_of_oblong": (lambda: jnp.linalg.inv(M), None),
    "solve_sizes": (lambda: jnp.linalg.solve(jnp.eye(3), jnp.ones(2)), None),
    "rule_missing": (
        lambda: grad(without_rule())(1.0),
        lambda: grad(with_rule(lambda _, ct: (ct,)))(1.0),
    ),
    "rule_of_another_structure": (
        lambda: grad(with_rule(lambda _, ct: ct))(1.0),
        lambda: grad(with_rule(lambda _, ct: (ct,)))(1.0),
    ),
    "uneven_split": (lambda: jnp.split(X, 2), lambda: jnp.array_split(X, 2)),
    "axis_of_softmax": (lambda: nn.softmax(X, axis=1), lambda: nn.softmax(X, axis=0)),
    "assertion": (lambda: jit(asserted)(X), lambda: jit(checked)(X)),
    "list_grows": (lambda: jit(growing)(0.0), lambda: jit(not_growing)(0.0)),
    "if_of_two_shapes": (lambda: jit(two_shapes)(0.5), None),
    "assigned_on_one_side": (lambda: jit(one_side)(0.5), None),
    "unknown_dtype": (lambda: X.astype("flot32"), lambda: X.astype("float32")),
    "unknown_device": (
        lambda: jitml.device_put(X, "gpu"),
        lambda: jitml.device_put(X, jitml.devices()[0]),
    ),
    "bits_of_floats": (lambda: ~X, lambda: ~COUNTS),
    "tangent_shape": (lambda: jitml.jvp(jnp.sin, (X,), (jnp.ones(2),)), None),
    "tangent_dtype": (
        lambda: jitml.jvp(jnp.sin, (X,), (COUNTS,)),
        lambda: jitml.jvp(jnp.sin, (X,), (COUNTS.astype("float32"),)),
    ),
    "tangent_missing": (
        lambda: jitml.jvp(jnp.sin, (X,), ()),
        lambda: jitml.jvp(jnp.sin, (X,), (X,)),
    ),
    "joined_numbers": (
        lambda: jnp.concatenate(X, X),
        lambda: jnp.stack([X[0], X[1]]),
    ),
    "two_unknown_sizes": (lambda: X.reshape(-1, -1), lambda: X.reshape(-1, 1)),
    "negative_power": (lambda: COUNTS**-1, lambda: jnp.float_power(COUNTS + 1, -1)),
    "function_written_in_numpy": (
        lambda: jit(lambda x: np.linalg.norm(x))(X),
        lambda: jit(lambda x: jnp.linalg.norm(x))(X),
    ),
    "formatted_number": (lambda: jit(formatted)(1.0), lambda: (jit(printed)(1.0), X)),
    "rule_for_too_many": (
        lambda: grad(with_rule(lambda _, ct: (ct, ct)))(1.0),
        lambda: grad(with_rule(lambda _, ct: (ct,)))(1.0),
    ),
    "numpy_function": (lambda: jit(lambda x: np.exp(x))(X), lambda: jit(lambda x: jnp.exp(x))(X)),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_read(name: str, update_golden: bool) -> None:
    with pytest.raises(Exception) as caught:
        CASES[name][0]()
    text = f"{type(caught.value).__name__}: {caught.value}\n"
    found = re.sub(r"((?:test_mistakes\.py|line|on line)[: ])\d+", r"\1LINE", text)
    path = GOLDEN / f"{name}.txt"
    assert type(caught.value).__module__ == "builtins" or "  at test_mistakes.py:LINE" in found
    check_message(path, found, update_golden)


@pytest.mark.parametrize("name", [name for name, (_, mended) in CASES.items() if mended])
def test_what_the_hint_says_works(name: str) -> None:
    mended = CASES[name][1]
    assert mended is not None
    assert jitml.tree.leaves(mended())


def test_there_is_a_case_for_each_golden_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(CASES)
