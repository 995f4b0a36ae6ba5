"""Checks whose outcome is a value, against `jax.experimental.checkify` where that is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import checkify, debug, lax
from jitml.checkify import (
    all_checks,
    check,
    debug_check,
    div_checks,
    float_checks,
    index_checks,
    nan_checks,
    user_checks,
)
from jitml.errors import ArgumentError, OutOfBoundsError
from jitml.ir.text import parse_graph

Make = Callable[[Any, Any, Any, Any], Callable[..., Any]]  # (jax, numpy, lax, checkify) -> function


def root(j: Any, np_: Any, lax_: Any, c: Any) -> Any:
    def f(x: Any) -> Any:
        c.check(x > 0, "{x} must be positive, {}", x + 1, x=x)
        return np_.sqrt(x)

    return f


def scanned(j: Any, np_: Any, lax_: Any, c: Any) -> Any:
    def step(k: Any, a: Any) -> Any:
        c.check(k < 5, "k is {k} at {a}", k=k, a=a)
        return k * 2, k

    return lambda x: lax_.scan(step, x, np_.arange(6.0))[0]


def chosen(j: Any, np_: Any, lax_: Any, c: Any) -> Any:
    def up(x: Any) -> Any:
        c.check(x < 10, "{x} is big", x=x)
        return x

    def down(x: Any) -> Any:
        c.check(x > -10, "{x} is small", x=x)
        return -x

    return lambda x: lax_.cond(x > 0, up, down, x)


def repeated(j: Any, np_: Any, lax_: Any, c: Any) -> Any:
    def body(s: Any) -> Any:
        c.check(s[1] < 20, "s is {s}", s=s[1])
        return s[0] + 1, s[1] * 2

    return lambda x: lax_.while_loop(lambda s: s[0] < 6, body, (0, x))[1]


def with_rule(j: Any, np_: Any, lax_: Any, c: Any) -> Any:
    @j.custom_jvp
    def f(x: Any) -> Any:
        c.check(x > 0, "{x} in a function with a rule", x=x)
        return np_.sin(x)

    f.defjvp(lambda xs, ts: (f(*xs), ts[0] * 7))
    return f


def passed_on(j: Any, np_: Any, lax_: Any, c: Any) -> Any:
    def f(x: Any) -> Any:
        error, y = c.checkify(root(j, np_, lax_, c))(x)
        error.throw()
        return y

    return f


def of(name: str, make: Make) -> Make:
    def made(j: Any, np_: Any, lax_: Any, c: Any) -> Any:
        wraps = {"vmap": j.vmap, "grad": j.grad, "jit": j.jit, "checkpoint": j.checkpoint}
        return wraps[name](make(j, np_, lax_, c))

    return made


ROWS: list[tuple[Make, tuple[Any, ...], str]] = [
    (root, (-2.0,), "user_checks"),
    (root, (2.0,), "all_checks"),
    (root, (-2.0,), "nan_checks"),
    (root, (-2.0,), "all_checks"),
    (scanned, (1.0,), "user_checks"),
    (scanned, (0.0,), "all_checks"),
    (of("vmap", scanned), ([0.0, 3.0, 0.5],), "user_checks"),
    (chosen, (5.0,), "user_checks"),
    (chosen, (20.0,), "user_checks"),
    (chosen, (-20.0,), "user_checks"),
    (of("vmap", chosen), ([5.0, -20.0],), "user_checks"),
    (repeated, (1.0,), "user_checks"),
    (repeated, (0.1,), "user_checks"),
    (of("vmap", repeated), ([0.1, 1.0],), "user_checks"),
    (of("grad", root), (-2.0,), "user_checks"),
    (of("grad", of("checkpoint", root)), (-2.0,), "user_checks"),
    (of("jit", root), (-2.0,), "user_checks"),
    (with_rule, (-2.0,), "user_checks"),
    (of("grad", with_rule), (-2.0,), "user_checks"),
    (passed_on, (-2.0,), "user_checks"),
    (passed_on, (2.0,), "user_checks"),
    (lambda j, n, m, c: lambda x: m.fori_loop(0, 5, lambda i, x: n.log(x), x), (2.0,),
     "nan_checks"),
    (lambda j, n, m, c: lambda x, y: x / y, ([1.0, 1.0], [2.0, 0.0]), "div_checks"),
    (lambda j, n, m, c: lambda x, y: x / y, ([1.0, 1.0], [2.0, 1.0]), "float_checks"),
    (lambda j, n, m, c: lambda x, y: x / y, ([0.0, 1.0], [0.0, 1.0]), "nan_checks"),
    (lambda j, n, m, c: lambda x, i: x[i], (np.ones(3), 5), "index_checks"),
    (lambda j, n, m, c: lambda x, i: x[i], (np.ones(3), -2), "index_checks"),
    (lambda j, n, m, c: lambda x, i: x[i], (np.ones((3, 4)), [0, 2, 7]), "index_checks"),
    (lambda j, n, m, c: lambda x, i: x.at[0, i].set(2.0), (np.ones((3, 4)), [0, 7]),
     "index_checks"),
    (lambda j, n, m, c: lambda x, i: m.dynamic_slice(x, (0, i), (1, 2)), (np.ones((3, 4)), 3),
     "index_checks"),
]  # fmt: skip


def outcome(message: str | None) -> str:
    """A message without the lines that ours tells beside."""
    return (message or "").partition("\n  ")[0].rstrip()


@pytest.mark.sampled
@pytest.mark.parametrize("number", range(len(ROWS)))
def test_as_in_jax(number: int) -> None:
    jax = pytest.importorskip("jax")
    from jax.experimental import checkify as in_jax

    make, args, errors = ROWS[number]
    arrays = [
        np.asarray(x, "float32" if np.asarray(x).dtype.kind == "f" else "int32") for x in args
    ]
    wanted, result = in_jax.checkify(
        make(jax, jax.numpy, jax.lax, in_jax), getattr(in_jax, errors)
    )(*map(jax.numpy.asarray, arrays))
    ours = checkify.checkify(make(jitml, jnp, lax, checkify), getattr(checkify, errors))
    for function in (ours, jitml.jit(ours)):
        error, y = function(*map(jnp.asarray, arrays))
        assert outcome(error.get()) == outcome(wanted.get())
        np.testing.assert_allclose(y, result, rtol=1e-6)


def failing(x: Any) -> Any:
    check(x > 0, "{x} is not positive", x=x)
    return jnp.sqrt(x)


def test_messages_tell_the_line() -> None:
    error, _ = jitml.jit(checkify.checkify(failing))(-1.0)
    message = error.get()
    assert message is not None
    assert message.startswith("-1.0 is not positive (`check` failed)\n  at test_checkify.py:")
    assert 'check(x > 0, "{x} is not positive", x=x)' in message
    assert str(error) == f"Error({message})"
    with pytest.raises(checkify.JaxRuntimeError, match="is not positive"):
        error.throw()
    fine, y = checkify.checkify(failing)(4.0)
    assert fine.get() is None and fine.throw() is None and float(y) == 2.0


def test_errors_of_a_map_are_told_by_element() -> None:
    error, _ = jitml.vmap(checkify.checkify(failing))(jnp.array([1.0, -2.0, -3.0]))
    lines = [line for line in (error.get() or "").splitlines() if "mapped index" in line]
    assert [line.partition(" is")[0] for line in lines] == [
        "at mapped index 1: -2.0",
        "at mapped index 2: -3.0",
    ]
    found = error.get_exception()
    assert isinstance(found, checkify.BatchedError) and set(found.error_mapping) == {(1,), (2,)}


def test_the_first_failure_of_a_program_is_told() -> None:
    def f(x: Any) -> Any:
        check(x < 0, "first")
        check(x < 0, "second")
        return jnp.log(-x)

    error, _ = jitml.jit(checkify.checkify(f, all_checks))(1.0)
    assert outcome(error.get()) == "first (`check` failed)"


@pytest.mark.parametrize("wrap", [lambda f: f, jitml.jit])
def test_checks_raise_where_they_are_not_values(wrap: Any) -> None:
    assert float(wrap(failing)(4.0)) == 2.0
    with pytest.raises(checkify.FailedCheckError, match=r"-1\.0 is not positive"):
        wrap(failing)(-1.0)
    with pytest.raises(checkify.FailedCheckError, match=r"-2\.0 is not positive"):
        wrap(jitml.vmap(failing))(jnp.array([1.0, -2.0, -3.0]))


def test_debug_checks_count_in_checkify_alone() -> None:
    def f(x: Any) -> Any:
        debug_check(x > 0, "not positive")
        return x

    assert float(f(-1.0)) == float(jitml.jit(f)(-1.0)) == -1.0
    assert outcome(checkify.checkify(f)(-1.0)[0].get()) == "not positive (`check` failed)"


def test_only_what_is_asked_for_is_checked() -> None:
    for errors in (nan_checks, div_checks, index_checks, frozenset()):
        assert (
            checkify.checkify(lambda x: (failing(x), 1)[1], errors - nan_checks)(-1.0)[0].get()
            is None
        )
    assert checkify.checkify(jnp.log, user_checks)(-1.0)[0].get() is None
    with pytest.raises(OutOfBoundsError):
        checkify.checkify(lambda x, i: x[i], float_checks)(jnp.ones(3), jnp.int32(5))


def test_derivatives_go_through() -> None:
    checked = checkify.checkify(failing, all_checks)
    for wrap in (lambda f: f, jitml.jit):
        slope, error = wrap(jitml.grad(lambda x: checked(x)[::-1], has_aux=True))(4.0)
        assert float(slope) == 0.25 and error.get() is None


def test_rules_of_users_are_kept() -> None:
    f = checkify.checkify(with_rule(jitml, jnp, lax, checkify))
    assert float(jitml.grad(lambda x: f(x)[1])(1.0)) == 7.0


def test_other_effects_happen_once() -> None:
    seen: list[float] = []

    @jitml.custom_jvp
    def f(x: Any) -> Any:
        debug.callback(lambda x: seen.append(float(x)), x)
        check(x > 0, "not positive")
        return x

    f.defjvp(lambda xs, ts: (xs[0], ts[0]))
    error, _ = jitml.jit(checkify.checkify(f))(-1.0)
    assert outcome(error.get()) == "not positive (`check` failed)" and seen == [-1.0]


def test_a_loop_with_a_failed_check_ends() -> None:
    def body(x: Any) -> Any:
        check(x < 3, "too far: {}", x)
        return x + 1

    f = checkify.checkify(lambda x: lax.while_loop(lambda x: x > 0, body, x))
    error, _ = jitml.jit(f)(1.0)
    assert outcome(error.get()) == "too far: 3.0 (`check` failed)"


def test_messages_hold_trees_and_text_reads_back() -> None:
    def f(x: Any) -> Any:
        check(jnp.all(x["a"] > 0), "{0[a]} of {n}", x, n=len(x))
        return x

    error, _ = jitml.jit(checkify.checkify(f))({"a": jnp.array([1.0, -1.0])})
    assert outcome(error.get()) == "[ 1. -1.] of 1 (`check` failed)"
    graph = jitml.make_graph(f)({"a": jnp.ones(2)})
    assert parse_graph(str(graph)) == graph


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match=r"check takes a 0-d bool, not bool\[2\]"):
        check(jnp.ones(2) > 0, "")
    with pytest.raises(ArgumentError, match="is no kind of check"):
        checkify.checkify(failing, errors={ValueError})  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="checkify takes a Python function, not a int"):
        checkify.checkify(3)  # type: ignore[arg-type]
