"""Conditionals and loops as users call them: results, types, errors, faults, interrupts."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.errors import JitmlError, OutOfBoundsError

X = np.arange(1.0, 5.0, dtype=np.float32)


def test_scan_carries_and_stacks() -> None:
    carry, ys = lax.scan(lambda c, x: (c + x, {"product": c * x}), 0.0, X)
    np.testing.assert_array_equal(carry, 10)
    np.testing.assert_array_equal(ys["product"], [0, 2, 9, 24])


def test_scan_in_reverse_and_without_arrays() -> None:
    np.testing.assert_array_equal(
        lax.scan(lambda c, x: (c + x, c), 0.0, X, reverse=True)[1], [9, 7, 4, 0]
    )
    carry, ys = lax.scan(lambda c, x: (c * 2, None), 1, None, length=5)
    assert (int(carry), ys) == (32, None)


@pytest.mark.parametrize("wrap", [lambda f: f, jitml.jit])
def test_loops_of_no_steps(wrap: Callable[[Any], Any]) -> None:
    carry, ys = wrap(lambda c, x: lax.scan(lambda c, y: (c + 1, c), c, x))(
        3, np.zeros((0, 2), np.float32)
    )
    assert int(carry) == 3 and ys.shape == (0,)
    assert int(wrap(lambda n: lax.fori_loop(5, n, lambda i, v: v + i, 7))(2)) == 7
    assert int(lax.fori_loop(5, 2, lambda i, v: v + i, 7)) == 7


def test_a_carry_that_swaps_and_one_that_stays() -> None:
    def step(state: Any, _: None) -> Any:
        a, b, c = state
        return (b, a, c), a + c

    state, ys = jitml.jit(lambda s: lax.scan(step, s, None, length=3))((1, 2, 10))
    assert tuple(map(int, state)) == (2, 1, 10)
    np.testing.assert_array_equal(ys, [11, 12, 11])


def test_numbers_take_the_type_that_the_body_gives_them() -> None:
    carry, _ = lax.scan(lambda c, x: (c + x, None), 0, X)
    assert carry.dtype == np.float32
    assert lax.while_loop(lambda c: c < 3, lambda c: c + jnp.float32(0.5), 0).dtype == np.float32


def test_fori_loop_with_bounds_known_or_not() -> None:
    def total(first: Any, last: Any) -> Any:
        return lax.fori_loop(first, last, lambda i, s: s + i * i, 0)

    wanted = sum(i * i for i in range(2, 9))
    assert int(total(2, 9)) == int(jitml.jit(total)(2, 9)) == wanted
    assert int(total(jnp.int32(2), np.int32(9))) == wanted


def test_while_loop_with_a_nested_loop() -> None:
    def collatz(n: Any) -> Any:
        def step(state: Any) -> Any:
            n, count = state
            return lax.cond(n % 2 == 0, lambda: n // 2, lambda: 3 * n + 1), count + 1

        return lax.while_loop(lambda s: s[0] != 1, step, (n, 0))[1]

    counts = [0, 1, 7, 2, 5, 8, 16, 3, 19]
    assert [int(jitml.jit(collatz)(n)) for n in range(1, 10)] == counts
    np.testing.assert_array_equal(jitml.vmap(collatz)(jnp.arange(1, 10)), counts)


def test_only_the_chosen_branch_checks_its_indices() -> None:
    def f(x: Any, i: Any) -> Any:
        return lax.cond(i < 4, lambda: x[i], lambda: -1.0)

    assert float(jitml.jit(f)(X, 7)) == -1
    np.testing.assert_array_equal(
        jitml.vmap(f, in_axes=(None, 0))(jnp.asarray(X), np.array([0, 9, 3, 5])), [1, -1, 4, -1]
    )


def test_an_element_that_has_ended_checks_no_index_more() -> None:
    def total(x: Any, n: Any) -> Any:
        return lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] + x[s[0]]), (0, 0.0))[1]

    np.testing.assert_array_equal(
        jitml.vmap(total, in_axes=(None, 0))(jnp.asarray(X), np.array([4, 0, 2])), [10, 0, 3]
    )


def test_switch_clamps_its_index() -> None:
    branches = [lambda x: x, lambda x: x * 10, lambda x: x * 100]
    found = [float(lax.switch(k, branches, X[1])) for k in (-3, 0, 1, 2, np.int64(2**40))]
    assert found == [2, 2, 20, 200, 200]
    np.testing.assert_array_equal(
        jitml.vmap(lambda k: lax.switch(k, branches, X[1]))(np.array([-1, 1, 5])), [2, 20, 200]
    )


def test_cond_takes_numbers_and_the_operand_by_name() -> None:
    assert float(lax.cond(0, lambda x: x + 1, lambda x: x - 1, operand=3.0)) == 2
    assert float(lax.cond(2.5, lambda x: x + 1, lambda x: x - 1, 3.0)) == 4


def test_disable_jit_runs_python() -> None:
    seen: list[float] = []

    def step(c: Any, x: Any) -> Any:
        seen.append(float(x))
        return c + x, c

    with jitml.disable_jit():
        carry, ys = lax.scan(step, 0.0, jnp.asarray(X))
        assert float(lax.while_loop(lambda v: v < 9, lambda v: v * 2, 1.0)) == 16
        assert int(lax.fori_loop(0, 3, lambda i, v: v + int(i), 0)) == 3
        assert float(lax.cond(True, lambda: 1.0, lambda: 2.0)) == 1
        assert float(lax.switch(1, [lambda: 1.0, lambda: 2.0])) == 2
    assert seen == [1, 2, 3, 4] and float(carry) == 10
    np.testing.assert_array_equal(ys, [0, 1, 3, 6])


def test_map_in_batches_and_associative_scan_of_trees() -> None:
    for size in (None, 1, 3, 4, 9):
        np.testing.assert_array_equal(lax.map(lambda x: x * x, X, batch_size=size), X * X)

    def compose(f: Any, g: Any) -> Any:
        return f[0] * g[0], f[1] * g[0] + g[1]

    a, b = lax.associative_scan(compose, (X, X * 0 + 1), reverse=True)
    np.testing.assert_array_equal(a, np.cumprod(X[::-1])[::-1])
    assert b.shape == X.shape


def test_a_failed_check_tells_the_loop_steps() -> None:
    def f(x: Any) -> Any:
        def outer(c: Any, k: Any) -> Any:
            return lax.fori_loop(0, 4, lambda i, v: v + x[i + k], c), None

        return lax.scan(outer, 0.0, jnp.arange(4))[0]

    with pytest.raises(OutOfBoundsError, match=r"index 4 .* at loop steps 1, 3\)") as caught:
        jitml.jit(f)(X)
    assert caught.value.source.text.startswith("return lax.fori_loop")


def fails(kind: type[Exception], call: Callable[[], Any]) -> list[str]:
    """The lines of the error, without where it happened."""
    with pytest.raises(kind) as caught:
        call()
    assert isinstance(caught.value, JitmlError) and caught.value.source
    lines = str(caught.value).splitlines()
    assert len(lines) <= 6
    return [lines[0], *[line.strip() for line in lines if line.startswith("  hint")]]


ERRORS: list[tuple[Callable[[], Any], list[str]]] = [
    (
        lambda: lax.scan(lambda c, x: ({"a": c["a"].astype(int)}, x), {"a": jnp.float32(0)}, X),
        [
            "scan: carry['a'] enters the body as f32[] and leaves it as i32[]",
            "hint: return it as .astype('float32'), or start from int32",
        ],
    ),
    (
        lambda: lax.scan(lambda c, x: (c + X, x), jnp.float32(0), X),
        [
            "scan: carry enters the body as f32[] and leaves it as f32[4]",
            "hint: a carry keeps its shape; scan stacks what is returned beside",
        ],
    ),
    (
        lambda: lax.scan(lambda c, x: ((c, c), x), 0.0, X),
        [
            "scan: the carry enters the body as PyTreeDef(*) and leaves it as PyTreeDef((*, *))",
            "hint: the body must return its carry in the structure in which it came",
        ],
    ),
    (
        lambda: lax.scan(lambda c, x: c, 0.0, X),
        [
            "scan: the body returned Tracer, not a pair",
            "hint: return (carry, output); the output may be None",
        ],
    ),
    (
        lambda: lax.scan(lambda c, x: (c, x), 0.0, (X, X[:3])),
        [
            "scan: the numbers of steps differ: 4 (xs[0]: f32[4]); 3 (xs[1]: f32[3])",
            "hint: all arrays in xs have one size along their first axis",
        ],
    ),
    (
        lambda: lax.scan(lambda c, x: (c, x), 0.0),
        ["scan: there is nothing to take slices of", "hint: give xs or length"],
    ),
    (
        lambda: lax.fori_loop(0, 3, lambda i, v: {"w": v["w"] > 0}, {"w": jnp.float32(1)}),
        [
            "fori_loop: carry['w'] enters the body as f32[] and leaves it as bool[]",
            "hint: return it as .astype('float32'), or start from bool",
        ],
    ),
    (
        lambda: lax.fori_loop(0, 2.5, lambda i, v: v, 0),
        ["fori_loop: a bound is f32~[], where an integer is needed"],
    ),
    (
        lambda: lax.while_loop(lambda v: v, lambda v: v, 1.0),
        [
            "while_loop: cond_fun returns f32~[], where one truth value (bool[]) is needed",
            "hint: compare, or reduce with jitml.numpy.all or any",
        ],
    ),
    (
        lambda: lax.cond(X > 2, lambda: 1, lambda: 2),
        [
            "cond: the predicate is bool[4], where one truth value is needed",
            "hint: reduce it with jitml.numpy.all or any, or choose elements with "
            "jitml.numpy.where",
        ],
    ),
    (
        lambda: lax.cond(True, lambda x: x, lambda x: 1, 2.0),
        [
            "cond: result is i32~[] from false_fun and f32~[] from true_fun",
            "hint: convert one of them with .astype",
        ],
    ),
    (
        lambda: lax.cond(True, 1.0, lambda x: x, 2.0),
        [
            "cond: true_fun is a float, not a function",
            "hint: the operands come after the functions",
        ],
    ),
    (
        lambda: lax.switch(1, [lambda: (1, 2), lambda: 3]),
        [
            "switch: branch 0 returns PyTreeDef((*, *)), branch 1 PyTreeDef(*)",
            "hint: all branches must return one structure",
        ],
    ),
    (
        lambda: lax.switch(0, []),
        ["switch: there are no branches", "hint: give at least one"],
    ),
]


@pytest.mark.parametrize(("call", "lines"), ERRORS)
def test_errors_say_what_and_how_to_go_on(call: Callable[[], Any], lines: list[str]) -> None:
    assert fails(TypeError, call) == lines


def test_an_endless_loop_is_interrupted() -> None:
    f = jitml.jit(lambda x: lax.while_loop(lambda v: v[0] > 0, lambda v: v + 1.0, x))
    f(-X)
    timer = threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,))
    start = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        f(X)
    assert time.monotonic() - start < 2
