"""Calls of Python from inside of programs: `debug`, `pure_callback`, `io_callback`."""

from __future__ import annotations

import gc
import io
import logging
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import debug, io_callback, lax, pure_callback
from jitml.errors import (
    ArgumentError,
    DifferentiationError,
    DTypeError,
    OutOfBoundsError,
    ShapeError,
    TransformError,
    TreeError,
)
from jitml.ir.text import parse_graph
from jitml.ir.verify import verify
from jitml.pipeline.graph_key import graph_key

SCALAR = jitml.ShapeDtypeStruct((), "float32")
TOLD: list[tuple[float, ...]] = []


@pytest.fixture(autouse=True)
def nothing_told() -> None:
    TOLD.clear()


def tell(*values: Any) -> None:
    TOLD.append(tuple(float(np.asarray(x)) for x in values))


def told_by(function: Callable[..., Any], *args: Any) -> list[tuple[float, ...]]:
    TOLD.clear()
    function(*args)
    return list(TOLD)


# ---- where a program prints ----------------------------------------------------------------------


def straight(x: Any) -> Any:
    debug.callback(tell, x)
    y = jnp.sin(x)
    debug.callback(tell, y * 2)
    return y


def in_while(x: Any) -> Any:
    def body(state: Any) -> Any:
        debug.callback(tell, *state)
        return state[0] + 1, state[1] * 2

    return lax.while_loop(lambda state: state[0] < 3, body, (0, x))[1]


def in_condition(x: Any) -> Any:
    def condition(y: Any) -> Any:
        debug.callback(tell, y)
        return y * y < 64

    return lax.while_loop(condition, lambda y: y * 3, x)


def in_cond(x: Any) -> Any:
    def up(x: Any) -> Any:
        debug.callback(tell, x)
        return jnp.sin(x) * 2

    def down(x: Any) -> Any:
        debug.callback(tell, -x)
        return x * 3

    return lax.cond(x > 0, up, down, x)


def in_scan(x: Any) -> Any:
    def body(carry: Any, factor: Any) -> Any:
        debug.callback(tell, carry, factor)
        return jnp.sin(carry) * factor, carry

    return lax.scan(body, x, jnp.array([1.0, 2.0, 3.0]))[0]


def in_cond_in_scan(x: Any) -> Any:
    return lax.scan(lambda k, a: (in_cond(k * a), None), x, jnp.array([1.0, -1.0, 2.0]))[0]


def in_scan_in_while(x: Any) -> Any:
    return lax.while_loop(lambda s: s[0] < 2, lambda s: (s[0] + 1, in_scan(s[1])), (0, x))[1]


def in_checkpoint(x: Any) -> Any:
    return jitml.checkpoint(lambda x: straight(x) * in_cond(x))(x)


PLACES = [straight, in_while, in_condition, in_cond, in_scan, in_cond_in_scan, in_scan_in_while,
          in_checkpoint]  # fmt: skip
AGAIN: dict[str, Callable[[Any], Any]] = {
    "jit": jitml.jit,
    "grad": jitml.grad,
    "jit of grad": lambda f: jitml.jit(jitml.grad(f)),
    "grad of jit": lambda f: jitml.grad(jitml.jit(f)),
    "jvp": lambda f: lambda x: jitml.jvp(f, (x,), (1.0,)),
    "jit of jvp": lambda f: jitml.jit(lambda x: jitml.jvp(f, (x,), (1.0,))),
    "linearize": lambda f: lambda x: jitml.linearize(f, x)[1](1.0),
    "vjp": lambda f: lambda x: jitml.vjp(f, x)[1](1.0),
    "second derivative": lambda f: jitml.grad(jitml.grad(f)),
    "grad of checkpoint": lambda f: jitml.grad(jitml.checkpoint(f)),
    "jit of jit": lambda f: jitml.jit(jitml.jit(f)),
}


@pytest.mark.parametrize("place", PLACES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", AGAIN)
def test_a_transform_tells_what_the_function_tells(place: Any, name: str) -> None:
    expected = told_by(place, 0.7)
    assert expected
    assert told_by(AGAIN[name](place), 0.7) == expected


@pytest.mark.parametrize("place", PLACES, ids=lambda f: f.__name__)
def test_vmap_tells_of_each_element(place: Any) -> None:
    xs = jnp.array([0.7, -0.4, 1.5])
    expected = sorted(row for x in xs for row in told_by(place, x))
    assert sorted(told_by(jitml.vmap(place), xs)) == expected
    assert sorted(told_by(jitml.jit(jitml.vmap(jitml.grad(place))), xs)) == expected


def test_derivatives_are_as_without_callbacks() -> None:
    def plain(x: Any) -> Any:
        return lax.scan(lambda c, f: (jnp.sin(c) * f, c), x, jnp.array([1.0, 2.0, 3.0]))[0]

    for transform in (jitml.grad, lambda f: jitml.grad(jitml.grad(f)), jitml.jit):
        np.testing.assert_array_equal(transform(in_scan)(0.7), transform(plain)(0.7))


def with_rules(place: Any) -> Any:
    @jitml.custom_vjp
    def f(x: Any) -> Any:
        return jnp.sin(x)

    def fwd(x: Any) -> Any:
        debug.callback(tell, 1, x)
        return jnp.sin(x), x

    def bwd(x: Any, ct: Any) -> Any:
        debug.callback(tell, 2, x)
        return (ct * jnp.cos(x),)

    f.defvjp(fwd, bwd)
    return place(f)


@pytest.mark.parametrize(
    "place",
    [
        lambda f: f,
        lambda f: lambda x: lax.cond(x > 0, f, lambda x: x, x),
        lambda f: lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=1)[0],
    ],
    ids=["straight", "cond", "scan"],
)
@pytest.mark.parametrize("wrap", [lambda f: f, jitml.jit])
def test_rules_of_users_tell_forwards_and_backwards(place: Any, wrap: Any) -> None:
    found = told_by(wrap(jitml.grad(with_rules(place))), 0.5)
    assert found == [(1.0, 0.5), (2.0, 0.5)]


def test_order_is_that_of_the_program() -> None:
    @jitml.jit
    def f(x: Any) -> Any:
        y = x.at[0].set(5.0)
        debug.callback(tell, y[0])
        debug.callback(tell, x[0])  # the update must not be made in place before this
        z = io_callback(lambda x: (tell(x), np.float32(7))[1], SCALAR, x[1])
        debug.callback(tell, z + x[2])
        return y

    f(jnp.arange(3.0))
    assert TOLD == [(5.0,), (0.0,), (1.0,), (9.0,)]


def test_order_whatever_is_computed_apart() -> None:
    size = 2000
    vector = jitml.ShapeDtypeStruct((size,), "float32")

    @jitml.jit
    def f(x: Any) -> Any:
        debug.callback(tell, 1)
        z = io_callback(lambda: (tell(2), np.zeros(size, "f"))[1], vector)
        debug.callback(tell, 3)
        w = io_callback(lambda: (tell(4), np.zeros(size, "f"))[1], vector)
        return jnp.tanh(jnp.exp(jnp.sin(w)))[:, None] * jnp.tanh(jnp.exp(jnp.sin(z))) + x

    f(0.0)
    assert TOLD == [(1.0,), (2.0,), (3.0,), (4.0,)]


def test_order_in_a_loop_that_updates_in_place() -> None:
    @jitml.jit
    def f(x: Any) -> Any:
        def body(i: Any, x: Any) -> Any:
            y = x.at[i].set(5.0)
            debug.callback(lambda x, i: tell(x[i]), y, i)
            debug.callback(lambda x, i: tell(x[i]), x, i)
            return y

        return lax.fori_loop(0, 3, body, x)

    np.testing.assert_array_equal(f(jnp.arange(3.0)), [5, 5, 5])
    assert TOLD == [(5.0,), (0.0,), (5.0,), (1.0,), (5.0,), (2.0,)]


def test_effects_are_neither_dropped_nor_joined() -> None:
    @jitml.jit
    def f(x: Any) -> Any:
        for _ in range(2):
            debug.callback(tell, x)
            io_callback(tell, None, x)

    f(1.0)
    assert TOLD == [(1.0,)] * 4


def test_a_program_that_does_nothing_else() -> None:
    jitml.jit(lambda x: lax.cond(x > 0, lambda: debug.callback(tell, x), lambda: None))(1.0)
    jitml.jit(lambda: debug.callback(tell))()
    assert TOLD == [(1.0,), ()]


# ---- print ---------------------------------------------------------------------------------------


def test_print_formats(capsys: Any) -> None:
    @jitml.jit
    def f(x: Any) -> Any:
        debug.print("{} {x:.3f} {name:>4}|{!r}", x[0], x[1], x=x[2], name="n")
        debug.print(ordered=True)("{x}", x=x)
        debug.print("no fields, {{braces}}")
        return x

    f(jnp.array([1.0, 2.0, np.pi]))
    out = capsys.readouterr().out
    assert out == (
        "1.0 3.142    n|Array(2., dtype=float32)\n[1.        2.        3.1415927]\n"
        "no fields, {{braces}}\n"
    )


def test_print_skips_the_check_of_the_format(capsys: Any) -> None:
    debug.print("x =", 1.0, 2, skip_format_check=True)
    assert capsys.readouterr().out == "x = 1.0 2\n"


def test_log_goes_to_the_logger(caplog: Any) -> None:
    with caplog.at_level(logging.INFO, "jitml"):
        jitml.jit(lambda x: debug.log("x = {x}", x=x))(1.5)
    assert caplog.messages == ["x = 1.5"]


@pytest.mark.parametrize(
    ("args", "kwargs", "problem"),
    [
        (("x {x}",), {"y": 1}, "there is no argument 'x'"),
        (("x", 1), {}, "the arguments 0 have no field"),
        (("{x}",), {"x": 1, "z": 2}, "the arguments z have no field"),
        ((3,), {}, "takes a format string, not a int"),
    ],
)
def test_print_checks_its_format(args: Any, kwargs: Any, problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        debug.print(*args, **kwargs)


# ---- callbacks with results ----------------------------------------------------------------------


def test_results_are_trees_of_any_dtype() -> None:
    shapes = {"a": jitml.ShapeDtypeStruct((2, 3), "bfloat16"), "b": [SCALAR, None]}

    def host(x: Any, scale: Any) -> Any:
        assert isinstance(x, jitml.Array)
        product = np.float32(x) * np.float32(scale)
        return {"a": jnp.full((2, 3), x, "bfloat16"), "b": [product, None]}

    def f(x: Any) -> Any:
        return pure_callback(host, shapes, x, scale=3.0)

    for function in (f, jitml.jit(f)):
        found = function(2.0)
        assert found["a"].dtype == "bfloat16" and found["a"].shape == (2, 3)
        assert float(found["b"][0]) == 6.0 and found["b"][1] is None


def test_what_a_callback_keeps_stays() -> None:
    kept: list[Any] = []

    def body(carry: Any, _: Any) -> Any:
        debug.callback(kept.append, carry)
        return carry + 1, None

    jitml.jit(lambda x: lax.scan(body, x, None, length=3))(jnp.zeros(100))
    assert [float(x[0]) for x in kept] == [0.0, 1.0, 2.0]


def test_pure_callback_may_be_dropped_but_io_callback_not() -> None:
    def told(x: Any) -> Any:
        tell(x)
        return np.asarray(x)

    jitml.jit(lambda x: [pure_callback(told, SCALAR, x), x][1])(1.0)
    assert TOLD == []
    jitml.jit(lambda x: [io_callback(told, SCALAR, x), x][1])(1.0)
    assert TOLD == [(1.0,)]


@pytest.mark.parametrize(
    ("method", "shapes"),
    [
        ("sequential", [((), ())] * 3),
        ("sequential_unrolled", [((), ())] * 3),
        ("expand_dims", [((3,), (1,))]),
        ("broadcast_all", [((3,), (3,))]),
        ("legacy_vectorized", [((3,), ())]),
    ],
)
def test_vmap_methods(method: str, shapes: Any) -> None:
    seen = []

    def host(x: Any, y: Any) -> Any:
        seen.append((x.shape, y.shape))
        return np.asarray(x) + np.asarray(y)

    def f(x: Any, y: Any) -> Any:
        return pure_callback(host, SCALAR, x, y, vmap_method=method)

    for g in (jitml.vmap(f, (0, None)), jitml.jit(jitml.vmap(f, (0, None)))):
        seen.clear()
        np.testing.assert_array_equal(g(jnp.arange(3.0), 1.0), [1, 2, 3])
        assert seen == shapes
    if method == "legacy_vectorized":  # which leaves it to the function to find out what is stacked
        return
    nested = jitml.vmap(jitml.vmap(f, (0, None)), (None, 0))(jnp.arange(3.0), jnp.arange(2.0))
    np.testing.assert_array_equal(nested, [[0, 1, 2], [1, 2, 3]])


def test_vmap_without_a_method_is_refused() -> None:
    f = jitml.vmap(lambda x: pure_callback(np.sin, SCALAR, x))
    with pytest.raises(TransformError, match="it has no vmap_method"):
        f(jnp.arange(3.0))
    with pytest.raises(ArgumentError, match="there is no vmap_method 'often'"):
        pure_callback(np.sin, SCALAR, 1.0, vmap_method="often")


def test_ordered_calls_are_not_vmapped() -> None:
    for f in (
        lambda x: debug.print("{x}", x=x, ordered=True),
        lambda x: io_callback(tell, None, x, ordered=True),
    ):
        with pytest.raises(TransformError, match="with ordered=True cannot be vmapped"):
            jitml.vmap(f)(jnp.arange(3.0))


def test_derivatives_come_from_the_user() -> None:
    def host(x: Any) -> Any:
        return pure_callback(lambda x: np.sin(np.asarray(x)), SCALAR, x)

    with pytest.raises(DifferentiationError, match="pure_callback has no derivative"):
        jitml.grad(host)(1.0)
    f = jitml.custom_jvp(host)
    f.defjvp(lambda xs, ts: (f(xs[0]), jnp.cos(xs[0]) * ts[0]))
    for transform in (jitml.grad, lambda f: jitml.jit(jitml.grad(f))):
        np.testing.assert_allclose(transform(f)(1.0), np.cos(1.0), rtol=1e-6)


def random_walk(x: Any) -> Any:
    def body(carry: Any, _: Any) -> Any:
        factor = io_callback(lambda: (tell(), np.float32(len(TOLD)))[1], SCALAR)
        return carry * factor, factor

    return lax.scan(body, x, None, length=3)[0]


def test_values_of_io_callbacks_in_loops_are_kept_for_derivatives() -> None:
    for function in (jitml.grad(random_walk), jitml.jit(jitml.grad(random_walk))):
        TOLD.clear()
        assert float(function(2.0)) == 6.0
        assert len(TOLD) == 3


def test_checkpoint_does_not_call_again() -> None:
    def f(x: Any) -> Any:
        factor = io_callback(lambda: (tell(), np.float32(3))[1], SCALAR)
        return jnp.sin(x) * factor

    for function in (jitml.grad(jitml.checkpoint(f)), jitml.jit(jitml.grad(jitml.checkpoint(f)))):
        TOLD.clear()
        np.testing.assert_allclose(function(0.5), 3 * np.cos(0.5), rtol=1e-6)
        assert len(TOLD) == 1


def test_io_callbacks_deep_in_loops_are_not_called_twice() -> None:
    def f(x: Any) -> Any:
        return lax.scan(lambda c, _: (random_walk(c), None), x, None, length=2)[0]

    with pytest.raises(DifferentiationError, match="needed twice by this derivative"):
        jitml.grad(f)(1.0)


# ---- errors --------------------------------------------------------------------------------------


def fails(x: Any) -> Any:
    raise ValueError("boom")


@pytest.mark.parametrize(
    "function",
    [
        lambda f: f,
        jitml.jit,
        lambda f: lambda x: jitml.jit(jitml.vmap(f))(jnp.ones(3) * x),
        lambda f: jitml.jit(lambda x: lax.fori_loop(0, 3, lambda i, x: f(x), x)),
        lambda f: jitml.jit(lambda x: pure_callback(lambda x: jitml.jit(f)(x), SCALAR, x)),
    ],
    ids=["eager", "jit", "vmap", "loop", "nested"],
)
def test_errors_of_callbacks_reach_the_user_with_the_line(function: Any) -> None:
    def called(x: Any) -> Any:
        debug.callback(fails, x)
        return x

    for _ in range(2):  # and the program can be run again
        with pytest.raises(ValueError, match="boom") as caught:
            function(called)(1.0)
        error: Any = caught.value
        lines = getattr(error, "__notes__", [str(error.__cause__)])
        assert any("raised in fails called at test_effects.py" in line for line in lines)
        assert "debug.callback(fails, x)" in lines[0]


@pytest.mark.parametrize("wrap", [lambda f: f, jitml.jit])
def test_effects_before_a_failed_check_happen_once(wrap: Any) -> None:
    def body(x: Any, i: Any) -> Any:
        debug.callback(tell, i)
        return x.at[i].set(1.0), None

    f = wrap(lambda x: lax.scan(body, x, jnp.arange(5))[0])
    for _ in range(2):
        TOLD.clear()
        with pytest.raises(OutOfBoundsError, match="index 3 is out of bounds"):
            f(jnp.zeros(3))
        assert TOLD == [(0.0,), (1.0,), (2.0,), (3.0,)]


def test_errors_of_callbacks_in_other_threads() -> None:
    found: list[BaseException] = []

    def work() -> None:
        try:
            jitml.jit(lambda x: debug.callback(fails, x))(1.0)
        except ValueError as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(found) == 1


def test_callbacks_run_on_the_calling_thread() -> None:
    names: list[int] = []
    f = jitml.jit(lambda x: debug.callback(lambda _: names.append(threading.get_ident()), x))
    thread = threading.Thread(target=f, args=(1.0,))
    thread.start()
    thread.join()
    f(1.0)
    assert names[1] == threading.get_ident() != names[0]


@pytest.mark.parametrize(
    ("result", "kind", "problem"),
    [
        (np.float64(1), DTypeError, "returned dtype float64 at result, but"),
        (np.ones(3, "f"), ShapeError, r"returned an array of shape \(3,\) at result, but f32\[\]"),
        ((np.float32(1),), TreeError, "returned PyTreeDef"),
    ],
)
def test_results_are_checked(result: Any, kind: Any, problem: str) -> None:
    f = jitml.jit(lambda x: pure_callback(lambda _: result, SCALAR, x))
    with pytest.raises(kind, match=problem):
        f(1.0)


def test_numbers_are_results() -> None:
    assert float(jitml.jit(lambda x: pure_callback(lambda _: 3, SCALAR, x))(1.0)) == 3.0


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"debug\.callback takes a Python function, not a int"):
        debug.callback(3, 4)
    with pytest.raises(ArgumentError, match="options alone, but also with"):
        debug.callback(x=1)


def test_programs_that_call_python_are_not_exported(tmp_path: Any) -> None:
    with pytest.raises(TransformError, match="straight calls functions of this process"):
        jitml.export.save(straight, tmp_path / "f.jitml", jnp.float32(1))
    with pytest.raises(TransformError, match="straight calls functions of this process"):
        jitml.export.save_c(straight, tmp_path / "f", jnp.float32(1))


# ---- graphs and caches ---------------------------------------------------------------------------


def test_text_reads_back() -> None:
    graph = jitml.make_graph(lambda x: (in_scan(x), straight(x)))(1.0)
    assert "debug_callback" in str(graph)
    assert parse_graph(str(graph)) == graph
    verify(graph)


@pytest.mark.parametrize("place", PLACES, ids=lambda f: f.__name__)
def test_programs_that_call_python_are_not_kept_on_disk(place: Any) -> None:
    assert graph_key(jitml.make_graph(place)(1.0)) is None


def test_a_program_calls_its_own_callback() -> None:
    def program(callback: Any) -> Any:
        return jitml.jit(lambda x: pure_callback(callback, SCALAR, x))

    first, second = program(lambda _: np.float32(1)), program(lambda _: np.float32(2))
    assert [float(f(0.0)) for f in (first, second, first)] == [1.0, 2.0, 1.0]


def test_tracing_again_gives_the_same_graph() -> None:
    assert jitml.make_graph(straight)(1.0) == jitml.make_graph(straight)(1.0)


def current(x: Any) -> None:
    tell(x)


def test_a_callback_is_looked_up_by_its_name() -> None:
    f = jitml.jit(lambda x: debug.callback(current, x))
    f(1.0)
    before = current
    globals()["current"] = lambda x: tell(x, x)
    try:
        f(2.0)
    finally:
        globals()["current"] = before
    assert TOLD == [(1.0,), (2.0, 2.0)]


class Log:
    def __init__(self) -> None:
        self.rows: list[float] = []
        self.traces = 0

    def add(self, x: Any) -> None:
        self.rows.append(float(x))


def test_what_callbacks_change_is_not_watched() -> None:
    log, rows = Log(), []
    traces = []

    @jitml.jit
    def f(x: Any) -> None:
        traces.append(1)
        debug.callback(log.add, x)
        debug.callback(lambda x: rows.append(float(x)), x)
        debug.callback(tell, x)

    traces_read = len(traces)
    for n in range(3):
        f(float(n))
    assert log.rows == rows == [0.0, 1.0, 2.0]
    assert traces_read == 0 and TOLD == [(0.0,), (1.0,), (2.0,)]


COUNT: dict[str, int] = {"traces": 0}
ROWS: list[Any] = []


def test_programs_with_callbacks_are_traced_once() -> None:
    counter = iter(range(100))

    @jitml.jit
    def f(x: Any) -> None:
        next(counter)
        debug.callback(ROWS.append, x)

    for n in range(3):
        f(float(n))
    assert next(counter) == 1 and len(ROWS) == 3


def test_callbacks_are_freed_with_their_programs() -> None:
    class Held:
        pass

    held = Held()
    f = jitml.jit(lambda x, held=held: debug.callback(lambda x: held, x))
    f(1.0)
    reference = weakref.ref(held)
    del f, held
    jitml.clear_caches()
    gc.collect()
    assert reference() is None


# ---- breakpoint ----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@jitml.jit
def stops(x: Any) -> Any:
    y = jnp.sin(x)
    debug.breakpoint()
    return y


def test_breakpoint_opens_pdb_with_values(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("p float(y) + 1\nlist\nc\n"))
    stops(0.0)
    out = capsys.readouterr().out
    assert "test_effects.py" in out and "1.0" in out and "debug.breakpoint()" in out


def test_breakpoint_quits(monkeypatch: Any) -> None:
    from bdb import BdbQuit

    monkeypatch.setattr(sys, "stdin", Terminal("q\n"))
    with pytest.raises(BdbQuit):
        stops(0.0)


def test_breakpoint_without_terminal_tells_values(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    stops(0.0)
    err = capsys.readouterr().err
    assert "standard input is no terminal: no debugger is opened\n  x = Array(0." in err


def test_effects_barrier() -> None:
    assert jitml.effects_barrier() is None


def test_equal_equations_before_calls_do_not_repeat_them_under_grad() -> None:
    def f(x: Any) -> Any:
        debug.callback(tell, x + 1)
        y = x + 1
        debug.callback(tell, y)
        return y

    for function in (jitml.grad(f), jitml.jit(jitml.grad(f)), jitml.jit(jitml.grad(jitml.jit(f)))):
        assert told_by(function, 1.0) == [(2.0,), (2.0,)]
