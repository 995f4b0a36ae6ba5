"""Planted faults, deep in programs: each error names the line, element, lane and step."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import checkify, grad, jit, lax, vmap
from jitml.errors import (
    ArgumentError,
    CheckError,
    DivisionByZeroError,
    FloatError,
    IntegerOverflowError,
    JitmlError,
    OutOfBoundsError,
)

TABLE = jnp.arange(5.0)
FIVE = np.arange(5.0, dtype=np.float32)
INSIDE = np.array([0, 1, 4, 2], np.int32)
OUTSIDE = np.array([0, 1, 7, 2], np.int32)
ROWS = np.array([[1.0, 2.0], [3.0, -4.0], [-5.0, 6.0]], np.float32)


class Fault(NamedTuple):
    """A function, arguments that are fine, others that make it fail, and what is to be told."""

    function: Callable[..., Any]
    fine: tuple[Any, ...]
    failing: tuple[Any, ...]
    kind: type[JitmlError]
    told: str
    marked: str  # the text of the line
    scope: str = ""  # a switch that must be on


FAULTS: dict[str, Fault] = {}


def fault(
    fine: Any, failing: Any, kind: type[JitmlError], told: str, marked: str, scope: str = ""
) -> Callable[[Callable[..., Any]], None]:
    def note(function: Callable[..., Any]) -> None:
        given = [x if isinstance(x, tuple) else (x,) for x in (fine, failing)]
        name = function.__name__
        FAULTS[name] = Fault(function, given[0], given[1], kind, told, marked, scope)

    return note


def thrown(function: Callable[..., Any], *args: Any) -> Any:
    """The result of a function with checks as values; what failed is raised."""
    error, result = jit(checkify.checkify(function, checkify.all_checks))(*args)
    error.throw()
    return result


# ---- indices -------------------------------------------------------------------------------------


@fault(INSIDE, OUTSIDE, OutOfBoundsError, "index 7 .* size 5 .* element 2 of", "waves = ")
def index_in_a_fused_kernel(i: Any) -> Any:
    def f(i: Any) -> Any:
        waves = jnp.sin(TABLE[i] * 2)
        return jnp.exp(waves).sum()

    return jit(f)(i)


@fault(INSIDE, OUTSIDE, OutOfBoundsError, "index 7 .* at loop step 2", "taken = ")
def index_in_a_scan(i: Any) -> Any:
    def body(carry: Any, k: Any) -> Any:
        taken = TABLE[k]
        return carry + taken, taken

    return jit(lambda i: lax.scan(body, 0.0, i))(i)


@fault(INSIDE, OUTSIDE, OutOfBoundsError, "index 9 .* element 2 of .* at loop step 2", "taken = ")
def index_in_a_scan_over_arrays(i: Any) -> Any:
    def body(carry: Any, k: Any) -> Any:
        taken = jnp.arange(9.0)[k + jnp.arange(3)]
        return carry @ carry.T + taken, None

    return jit(lambda i: lax.scan(body, jnp.zeros((3, 3)), i))(i)


@fault(4, 9, OutOfBoundsError, "index 5 .* at loop step 5", "total = total")
def index_in_a_while_loop(n: Any) -> Any:
    def body(state: Any) -> Any:
        k, total = state
        total = total + TABLE[k]
        return k + 1, total

    return jit(lambda n: lax.while_loop(lambda s: s[0] < n, body, (0, jnp.zeros(3))))(n)


@fault(INSIDE, OUTSIDE, OutOfBoundsError, r"index 7 .* element \[2, 0\] of", "pair = ")
def index_in_a_lane(i: Any) -> Any:
    def f(i: Any) -> Any:
        pair = TABLE[i + jnp.array([0, -1])]
        return pair.sum()

    return jit(vmap(f))(i)


@fault(
    (np.stack([INSIDE, INSIDE]),), (np.stack([INSIDE, OUTSIDE]),),
    OutOfBoundsError, "index 7 .* element 1 of .* at loop step 2", "taken = ",
)  # fmt: skip
def index_in_a_lane_of_a_scan(i: Any) -> Any:
    def body(carry: Any, k: Any) -> Any:
        taken = TABLE[k]
        return carry + taken, taken

    return jit(vmap(lambda i: lax.scan(body, 0.0, i)))(i)


@fault(INSIDE, OUTSIDE, OutOfBoundsError, "index 7 .* in lane 2", "here = ")
def index_in_a_branch_of_a_lane(i: Any) -> Any:
    def taken(i: Any) -> Any:
        here = TABLE[i]
        return here

    return jit(vmap(lambda i: lax.cond(i > 3, taken, lambda i: 0.0, i)))(i)


@fault(4, 7, OutOfBoundsError, "index 7 .* size 5", "here = ")
def index_in_a_branch(i: Any) -> Any:
    def taken(i: Any) -> Any:
        here = TABLE[i]
        return here * 2

    return jit(lambda i: lax.cond(i > 3, taken, lambda i: 0.0, i))(i)


@fault((FIVE, INSIDE), (FIVE, OUTSIDE), OutOfBoundsError, "index 7 .* element 2 of", "taken = ")
def index_in_a_gradient(x: Any, i: Any) -> Any:
    def f(x: Any, i: Any) -> Any:
        taken = x[i]
        return (taken**2).sum()

    return jit(grad(f))(x, i)


@fault((FIVE, INSIDE), (FIVE, OUTSIDE), OutOfBoundsError, "index 7 .* at loop step 2", "c * x")
def index_in_the_gradient_of_a_scan(x: Any, i: Any) -> Any:
    def f(x: Any, i: Any) -> Any:
        def body(c: Any, k: Any) -> Any:
            return c * x[k], None

        return lax.scan(body, 1.0, i)[0]

    return jit(grad(f))(x, i)


@fault(INSIDE, OUTSIDE, OutOfBoundsError, "index 7 .* element 2 of", "read = ")
def index_in_a_jitted_function_in_another(i: Any) -> Any:
    @jit
    def inner(i: Any) -> Any:
        read = TABLE[i]
        return read

    return jit(lambda i: inner(i + 0) * 3)(i)


@fault(INSIDE, OUTSIDE, OutOfBoundsError, "index 7 .* element 2 of", ".add(")
def index_of_an_update(i: Any) -> Any:
    def f(v: Any, i: Any) -> Any:
        return (TABLE.at[i].add(v) ** 2).sum()

    return jit(grad(f))(np.ones(4, np.float32), i)


# ---- NaN and infinity ----------------------------------------------------------------------------


@fault(FIVE + 3, FIVE, FloatError, r"log gives NaN at element \[0\]", "logs = ", "debug_nans")
def nan_in_a_fused_kernel(x: Any) -> Any:
    def f(x: Any) -> Any:
        shifted = x - 2
        logs = jnp.log(shifted)
        return (logs * 2 + 1).mean()

    return jit(f)(x)


@fault(
    np.float32(3), np.float32(20), FloatError, "sqrt gives NaN of s: .* at loop step 2",
    "s = jnp.sqrt", "debug_nans",
)  # fmt: skip
def nan_in_a_while_loop(x: Any) -> Any:
    @jit
    def f(x: Any) -> Any:
        s = x
        while s > 0:
            s = jnp.sqrt(s - 3)
        return s

    return f(x)


@fault(
    (np.abs(ROWS),), (ROWS,), FloatError, r"log gives NaN at element \[1, 1\]", "jnp.log(x)",
    "debug_nans",
)  # fmt: skip
def nan_in_a_lane(x: Any) -> Any:
    return jit(vmap(lambda x: jnp.log(x).sum()))(x)


@fault(
    (np.abs(ROWS),), (ROWS,), FloatError,
    r"log gives NaN at element \[1\] of hidden: .* at loop step 1", "hidden = ", "debug_nans",
)  # fmt: skip
def nan_in_a_scan(x: Any) -> Any:
    def body(carry: Any, row: Any) -> Any:
        hidden = jnp.log(row)
        return carry + hidden.sum(), hidden

    return jit(lambda x: lax.scan(body, 0.0, x))(x)


@fault(
    (np.array([1, 2, 1, 0], np.int32),), (np.array([1, 2, 1, 4], np.int32),), FloatError,
    "sqrt gives NaN of bad: .* in lane 3, at loop step 2", "bad = ", "debug_nans",
)  # fmt: skip
def nan_in_a_loop_of_a_lane(n: Any) -> Any:
    def body(state: Any) -> Any:
        k, x = state
        bad = jnp.sqrt(x - 2.0)
        return k + 1, bad + k

    return jit(vmap(lambda n: lax.while_loop(lambda s: s[0] < n, body, (0, 9.0))[1]))(n)


@fault(
    (np.full((2, 4, 3), 2, np.float32),), (np.linspace(2, -1, 24, dtype="f").reshape(2, 4, 3),),
    FloatError, r"log gives NaN at element \[1\] of logs: .* at loop step 2", "logs = ",
    "debug_nans",
)  # fmt: skip
def nan_in_the_gradient_of_a_lane_of_a_scan(x: Any) -> Any:
    def f(x: Any) -> Any:
        def body(carry: Any, row: Any) -> Any:
            logs = jnp.log(row.sum() + carry)
            return logs, None

        return lax.scan(body, 0.5, x)[0]

    return jit(vmap(grad(f)))(x)


@fault(
    np.float32([1, 2]), np.float32([1, 1e6]), FloatError,
    r"convert gives infinity at element \[1\] of halves: f16\[2\]", "halves = ", "debug_infs",
)  # fmt: skip
def infinity_in_a_cast(x: Any) -> Any:
    def f(x: Any) -> Any:
        halves = x.astype("float16")
        return halves * 2

    return jit(f)(x)


@fault(FIVE + 1, FIVE, FloatError, r"gives NaN at element \[0\]", "norm = ", "debug_nans")
def nan_in_a_gradient(x: Any) -> Any:
    def f(x: Any) -> Any:
        norm = jnp.sqrt(x * x)
        return norm.sum()

    return jit(grad(f))(x)


@fault(
    np.eye(3, dtype=np.float32), -np.eye(3, dtype=np.float32), FloatError,
    r"cholesky gives NaN at element \[0, 0\]", "root = ", "debug_nans",
)  # fmt: skip
def nan_in_a_library_call(x: Any) -> Any:
    def f(x: Any) -> Any:
        root = jnp.linalg.cholesky(x)
        return root.sum()

    return jit(f)(x)


@fault(
    FIVE + 3, FIVE, FloatError, r"div gives infinity at element \[2\]", "inverse = ", "debug_infs"
)
def infinity_in_a_fused_kernel(x: Any) -> Any:
    def f(x: Any) -> Any:
        inverse = 1 / (x - 2)
        return inverse.sum()

    return jit(f)(x)


@fault(FIVE + 1, FIVE - 3, FloatError, r"holds NaN at element \[1\]", "jit(f)(y)", "debug_nans")
def nan_that_comes_with_an_argument(x: Any) -> Any:
    def f(x: Any) -> Any:
        return x * 2 + 1

    y = np.where(x == -2, np.nan, x).astype(np.float32)
    return jit(f)(y)


# ---- integers ------------------------------------------------------------------------------------

ZEROS = np.array([3, 1, 0, 2], np.int32)


@fault(
    (INSIDE, ZEROS + 1), (INSIDE, ZEROS), DivisionByZeroError, "element 2 of the div", "parts = "
)
def integer_division_by_zero(x: Any, y: Any) -> Any:
    def f(x: Any, y: Any) -> Any:
        parts = x // y
        return parts.sum() * 2.5

    return jit(f)(x, y)


@fault(ZEROS + 1, ZEROS, DivisionByZeroError, "divided by 0 .* at loop step 2", "rest = 12 % k")
def integer_remainder_in_a_scan(x: Any) -> Any:
    def body(carry: Any, k: Any) -> Any:
        rest = 12 % k
        return carry + rest, rest

    return jit(lambda x: lax.scan(body, jnp.int32(0), x))(x)


@fault(ZEROS + 1, ZEROS, DivisionByZeroError, r"divided by 0 .*element \[?2", "whole = lax.div(")
def integer_quotient_in_a_lane(x: Any) -> Any:
    def f(k: Any) -> Any:
        whole = lax.div(jnp.int32(12), k)
        return jnp.sin(whole)

    return jit(vmap(f))(x)


@fault(
    (FIVE, ZEROS + 1), (FIVE, ZEROS), DivisionByZeroError, "divided by 0 .*element 2", "half = n //"
)
def integer_division_in_a_gradient(x: Any, k: Any) -> Any:
    def f(x: Any) -> Any:
        n = jnp.int32(8)
        half = n // k
        return jnp.sum(jnp.sin(x) * half.sum())

    return grad(f)(x)


@fault(4, 0, DivisionByZeroError, "divided by 0 .* at loop step 3", "y = y % (x - k)")
def integer_remainder_in_a_while_loop(extra: Any) -> Any:
    @jit
    def f(x: Any, n: Any) -> Any:
        y, k = 100, 0
        while k < n:
            y = y % (x - k)
            k = k + 1
        return y

    return f(extra + 3, 5)


@fault(INSIDE, INSIDE - 3, ArgumentError, "negative power -3 .*element 0 of the exp", "cubes = ")
def negative_power_of_integers(k: Any) -> Any:
    def f(k: Any) -> Any:
        cubes = 3**k
        return cubes.sum()

    return jit(f)(k)


@fault(FIVE, FIVE * 100, IntegerOverflowError, "300.0 does not fit uint8 .*3 of the", "pixels = ")
def conversion_of_what_does_not_fit(x: Any) -> Any:
    pixels = jnp.asarray(x).astype(jnp.uint8)
    return pixels


# ---- checks --------------------------------------------------------------------------------------


@fault(
    (INSIDE, INSIDE + 1), (INSIDE, INSIDE - 1), CheckError, r"division by zero\n  at element \[1\]",
    "ratio = ",
)  # fmt: skip
def division_by_zero(x: Any, y: Any) -> Any:
    def f(x: Any, y: Any) -> Any:
        ratio = x // y
        return ratio.sum()

    return thrown(f, x, y)


@fault(INSIDE + 1, INSIDE, CheckError, r"division by zero(.|\n)*at loop step 0", "part = 12 // k")
def division_by_zero_in_a_scan(x: Any) -> Any:
    def body(carry: Any, k: Any) -> Any:
        part = 12 // k
        return carry + part, part

    return thrown(lambda x: lax.scan(body, jnp.int32(0), x), x)


@fault(FIVE, FIVE + 1, CheckError, r"5.0 is large(.|\n)*at loop step 4", "checkify.check(")
def failed_check_in_a_scan(x: Any) -> Any:
    def body(carry: Any, r: Any) -> Any:
        checkify.check(r < 5, "{r} is large", r=r)
        return carry + r, None

    return thrown(lambda x: lax.scan(body, 0.0, x), x)


@fault(FIVE, FIVE + 1, CheckError, r"5.0 is large(.|\n)*in lane 4", "checkify.check(")
def failed_check_in_a_lane(x: Any) -> Any:
    def f(r: Any) -> Any:
        checkify.check(r < 5, "{r} is large", r=r)
        return r * 2

    return jit(vmap(f))(x)


@fault(
    (np.stack([FIVE, FIVE]),), (np.stack([FIVE, FIVE + 1]),), CheckError,
    r"5.0 is large(.|\n)*in lane 1(.|\n)*at loop step 4", "checkify.check(",
)  # fmt: skip
def failed_check_in_a_lane_of_a_scan(x: Any) -> Any:
    def body(carry: Any, r: Any) -> Any:
        checkify.check(r < 5, "{r} is large", r=r)
        return carry + r, None

    return thrown(vmap(lambda x: lax.scan(body, 0.0, x)), x)


@fault((4.0, 4), (4.0, 6), CheckError, r"x\[i\] failed(.|\n)*at loop step 2", "checkify.check(")
def failed_check_in_a_while_loop(x: Any, n: Any) -> Any:
    def body(state: Any) -> Any:
        k, x = state
        checkify.check(k < 4, "x[i] failed")
        return k + 1, x * 2

    return thrown(lambda x, n: lax.while_loop(lambda s: s[0] < n, body, (2, x)), x, n)


# ---- all of them ---------------------------------------------------------------------------------


def line_of(planted: Fault) -> int:
    """The number of the line that has the mark, in the function's own text."""
    import inspect

    lines, first = inspect.getsourcelines(planted.function)
    body = next(n for n, text in enumerate(lines) if text.startswith("def "))
    marked = [n for n, text in enumerate(lines) if planted.marked in text and n > body]
    assert len(marked) == 1, marked
    return first + marked[0]


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(name: str) -> None:
    planted = FAULTS[name]
    with getattr(jitml, planted.scope or "debug_nans")(bool(planted.scope)):
        jitml.block_until_ready(planted.function(*planted.fine))
        with pytest.raises(planted.kind, match=planted.told) as found:
            planted.function(*planted.failing)
    message = str(found.value)
    assert f"at {os.path.basename(__file__)}:{line_of(planted)}" in message
    assert len(message.splitlines()) <= 6


def test_looking_for_nan_repeats_no_effect(capfd: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        jitml.debug.print("x = {x}", x=x)
        return jnp.log(x) * 2

    with jitml.debug_nans(True), pytest.raises(FloatError, match="log gives NaN"):
        jit(f)(-1.0)
    assert capfd.readouterr().out == "x = -1.0\n"


def test_nothing_runs_again_to_find_nan() -> None:
    calls = []

    def noted(x: Any) -> Any:
        calls.append(float(x))
        return np.asarray(x)

    def f(x: Any) -> Any:
        def body(carry: Any, k: Any) -> Any:
            row = jitml.io_callback(noted, jitml.ShapeDtypeStruct((), "float32"), carry)
            bad = jnp.sqrt(row - k)
            return bad, None

        return lax.scan(body, x, jnp.arange(3.0))[0]

    told = "sqrt gives NaN of bad: .* at loop step 2"
    with jitml.debug_nans(True), pytest.raises(FloatError, match=told):
        jit(f)(9.0)
    assert len(calls) == 3


def test_nan_that_no_result_holds_is_fine() -> None:
    def f(x: Any, n: Any) -> Any:
        def body(state: Any) -> Any:
            k, total = state
            return k + 1, total + jnp.where(k > 2, jnp.sqrt(k - 3.0), 0.0) * x

        return lax.while_loop(lambda s: s[0] < n, body, (0, jnp.zeros(3)))[1].sum()

    expected = jit(f)(2.0, 6)
    with jitml.debug_nans(True):
        assert jit(f)(2.0, 6) == expected
        assert np.isfinite(jit(grad(f))(2.0, 6))


def test_donated_arguments_are_taken_where_nan_is_looked_for() -> None:
    f, x = jit(lambda x: jnp.log(x) * 2 + 1, donate_argnums=0), jnp.array([1.0, 2.0])
    with jitml.debug_nans(True):
        f(x)
        assert x.is_deleted()
        with pytest.raises(FloatError, match=r"log gives NaN at element \[1\]"):
            f(jnp.array([1.0, -2.0]))


def test_a_failed_check_raises_where_nan_is_looked_for() -> None:
    def f(x: Any) -> Any:
        checkify.check(x > 0, "{x} is not positive", x=x)
        return jnp.log(x) * 2

    with jitml.debug_nans(True), pytest.raises(CheckError, match=r"-1\.0 is not positive"):
        jit(f)(-1.0)


def test_there_are_enough() -> None:
    assert len(FAULTS) >= 20


def test_only_the_thread_that_asks_looks_for_nan() -> None:
    """A thread in the scope sees what others run, compiled and not, with its own eyes."""
    x = jnp.array([-1.0, 1.0])
    jitted = jit(lambda x: jnp.log(x) * 2)
    stop, problems = threading.Event(), []

    def unconcerned() -> None:
        while not stop.is_set():
            try:
                assert np.isnan(np.asarray(jnp.sqrt(x))[0]) and np.isnan(np.asarray(jitted(x))[0])
            except Exception as error:
                problems.append(error)
                return

    worker = threading.Thread(target=unconcerned)
    worker.start()
    try:
        for _ in range(50):
            with jitml.debug_nans(True):
                for call in (lambda: jnp.sqrt(x), lambda: jitted(x)):
                    with pytest.raises(FloatingPointError):
                        call()
            jnp.sqrt(x), jitted(x)
    finally:
        stop.set()
        worker.join()
    assert not problems
