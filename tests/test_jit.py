"""`jit`: signatures, static and donated arguments, structures, nesting, threads."""

from __future__ import annotations

import dataclasses
import functools
import gc
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
import jitml_runtime
from jitml import jit
from jitml.errors import ArgumentError, UnexpectedTracerError
from jitml.pipeline.compile import STATISTICS

X = jnp.arange(3.0)


def counted(fun: Callable[..., Any]) -> tuple[Callable[..., Any], list[int]]:
    """`fun`, and a list with an entry for each run of its Python code."""
    runs: list[int] = []

    @functools.wraps(fun)
    def counting(*args: Any, **kwargs: Any) -> Any:
        runs.append(1)
        return fun(*args, **kwargs)

    return counting, runs


class Point(NamedTuple):
    x: Any
    y: Any


@jitml.tree_util.register_dataclass
@dataclasses.dataclass
class Pair:
    a: Any
    b: Any


@jitml.tree_util.register_pytree_node_class
class Box:
    def __init__(self, value: Any, name: str) -> None:
        self.value, self.name = value, name

    def tree_flatten(self) -> Any:
        return (self.value,), self.name

    @classmethod
    def tree_unflatten(cls, name: str, children: Any) -> Box:
        return cls(children[0], name)

    @jit
    def doubled(self) -> Any:
        return self.value * 2


# ---- signatures --------------------------------------------------------------------------------


def test_one_trace_for_each_signature() -> None:
    fun, runs = counted(lambda x: x + 1)
    f = jit(fun)
    for x in (X, X + 1, np.arange(3, dtype=np.float32)):
        assert np.array_equal(f(x), np.asarray(x) + 1)
    assert len(runs) == 1
    for x in (jnp.ones(4), jnp.ones(3, jnp.int32), 1.0, 2.0, np.float32(1), True, 3, 4, 1j):
        assert np.array_equal(f(x), np.asarray(x) + 1)
    assert len(runs) == 8


def test_python_numbers_are_weak() -> None:
    f = jit(lambda x, y: x * y)
    assert f(jnp.ones(2, jnp.float16), 2.0).dtype == jnp.float16
    assert f(jnp.ones(2, jnp.int8), 2).dtype == jnp.int8
    assert f(2.0, 3.0).weak_type
    assert f(np.float64(2.0), 3).dtype == np.float64


def test_default_width_is_part_of_the_signature() -> None:
    f = jit(lambda: jnp.zeros(2))
    assert f().dtype == np.float32
    with jitml.enable_x64():
        assert f().dtype == np.float64
    assert f().dtype == np.float32


@pytest.mark.parametrize(
    "tree",
    [
        {"b": X, "a": 2.0},
        OrderedDict(b=X, a=2.0),
        [X, (X, [2.0])],
        (),
        {"a": None, "b": [None, X]},
        Point(X, {"k": X}),
        Pair(X, [X]),
        Box(X, "n"),
        2.0,
        None,
        [1.0, 2, True],
    ],
    ids=lambda tree: type(tree).__name__,
)
def test_trees_go_in_and_out(tree: Any) -> None:
    fun, runs = counted(lambda t, *, k: (t, {"k": k}))
    f = jit(fun)
    for _ in range(2):
        result, named = f(tree, k=tree)
        for found in (result, named["k"]):
            assert jitml.tree.structure(found) == jitml.tree.structure(tree)
            for a, b in zip(jitml.tree.leaves(found), jitml.tree.leaves(tree), strict=True):
                assert isinstance(a, jitml.Array)
                assert np.array_equal(a, b)
    assert len(runs) == 1


def test_the_order_of_keys_does_not_matter() -> None:
    fun, runs = counted(lambda t, **named: t["a"] - t["b"] + named["p"] - named["q"])
    f = jit(fun)
    assert float(f({"a": 1.0, "b": 2.0}, p=3.0, q=5.0)) == -3.0
    assert float(f({"b": 2.0, "a": 1.0}, q=5.0, p=3.0)) == -3.0
    assert len(runs) == 1


def test_static_data_of_nodes_is_part_of_the_signature() -> None:
    f = jit(lambda box: box.value * len(box.name))
    assert np.array_equal(f(Box(X, "a")), X)
    assert np.array_equal(f(Box(X, "ab")), X * 2)
    assert np.array_equal(Box(X, "a").doubled(), X * 2)


def test_results_of_all_kinds() -> None:
    constant = np.arange(2.0)

    def f(x: Any, y: Any) -> Any:
        s = x + y
        return x, x, s, [s, (s, None)], 3, 2.5, True, 1j, jnp.ones(2), constant, np.float32(4), {}

    result = jit(f)(X, 1.0)
    expected = f(X, 1.0)
    assert jitml.tree.structure(result) == jitml.tree.structure(expected)
    for a, b in zip(jitml.tree.leaves(result), jitml.tree.leaves(expected), strict=True):
        assert isinstance(a, jitml.Array)
        assert np.array_equal(a, b)
    assert [result[k].weak_type for k in (4, 5, 7, 10)] == [True, True, True, False]
    assert result[6].dtype == bool


def test_functions_without_arguments_or_results() -> None:
    assert np.array_equal(jit(lambda: jnp.arange(3))(), [0, 1, 2])
    assert jit(lambda x: None)(X) is None
    assert jit(lambda: ())() == ()
    assert float(jit(lambda: 2.0)()) == 2.0


def test_callables_of_all_kinds() -> None:
    class Adder:
        def __call__(self, x: Any) -> Any:
            return x + 1

        def method(self, x: Any) -> Any:
            return x + 2

    def plain(k: Any, x: Any) -> Any:
        """Adds."""
        return x + k

    assert np.array_equal(jit(Adder())(X), X + 1)
    assert np.array_equal(jit(Adder().method)(X), X + 2)
    assert np.array_equal(jit(functools.partial(plain, 3))(X), X + 3)
    assert np.array_equal(jit(functools.partial(plain, k=X))(x=X), X + X)
    assert np.array_equal(jit(jnp.sin)(X), jnp.sin(X))
    assert np.array_equal(jit(jit(lambda x: x))(X), X)
    assert jit(plain).__name__ == "plain"
    assert jit(plain).__doc__ == "Adds."
    assert "plain" in repr(jit(plain))


def test_decorator_with_options() -> None:
    @jit(static_argnames="n")
    def f(x: Any, n: int) -> Any:
        return x * n

    @functools.partial(jit, static_argnums=(1,))
    def g(x: Any, n: int) -> Any:
        return x * n

    assert np.array_equal(f(X, 2), X * 2)
    assert np.array_equal(g(X, 2), X * 2)


# ---- static arguments --------------------------------------------------------------------------


def power(x: Any, n: int = 2, *, mode: str = "up") -> Any:
    result = x
    for _ in range(n - 1):
        result = result * x
    return result if mode == "up" else 1 / result


@pytest.mark.parametrize(
    "options",
    [
        {"static_argnums": 1, "static_argnames": ("n", "mode")},
        {"static_argnames": ["n", "mode"]},
        {"static_argnums": (-1,), "static_argnames": "mode"},
        {"static_argnums": np.int64(1), "static_argnames": iter(["mode"])},
    ],
)
def test_static_arguments_by_position_and_name(options: dict[str, Any]) -> None:
    fun, runs = counted(power)
    f = jit(fun, **options)
    assert np.array_equal(f(X + 1, 3), (X + 1) ** 3)
    assert np.array_equal(f(X + 1), power(X + 1))
    assert np.array_equal(f(X + 1, n=4, mode="down"), power(X + 1, 4, mode="down"))
    assert np.array_equal(f(x=X + 1, n=4, mode="up"), power(X + 1, 4))
    assert len(runs) == 4
    f(X, 3)
    f(X, n=4, mode="down")
    assert len(runs) == 4


def test_static_arguments_among_many() -> None:
    def f(*args: Any) -> Any:
        return args[1] * args[0] + args[2] * args[3]

    g = jit(f, static_argnums=(0, -1))
    assert np.array_equal(g(2, X, X, 3), X * 5)
    assert np.array_equal(g(2, X, X, 4), X * 6)
    h = jit(lambda x, **options: x * options["k"], static_argnames="k")
    assert np.array_equal(h(X, k=2), X * 2)


def test_static_arguments_are_told_apart_by_type() -> None:
    f = jit(lambda x, n: x * 0 + isinstance(n, bool) + 2 * isinstance(n, float), static_argnums=1)
    assert [float(f(X, n)[0]) for n in (1, True, 1.0)] == [0.0, 1.0, 2.0]


def test_static_objects_and_functions() -> None:
    f = jit(lambda x, g: g(x), static_argnums=1)
    assert np.array_equal(f(X, jnp.cos), jnp.cos(X))
    assert np.array_equal(f(X, jnp.sin), jnp.sin(X))


# ---- donation ----------------------------------------------------------------------------------


def test_donated_arrays_are_deleted() -> None:
    f = jit(lambda x, y: x + y, donate_argnums=0)
    x = jnp.ones(3)
    assert np.array_equal(f(x, X), X + 1)
    assert x.is_deleted()
    assert not X.is_deleted()
    with pytest.raises(RuntimeError, match="delete"):
        x + 1
    with pytest.raises(RuntimeError, match="delete"):
        f(x, X)


def test_donation_of_trees_by_name() -> None:
    f = jit(lambda x, state: jitml.tree.map(lambda s: s + x, state), donate_argnames="state")
    state = {"a": jnp.ones(3), "b": (jnp.ones(3), 2.0, np.ones(3))}
    kept = state["b"][2]
    for result in (f(1.0, state), f(1.0, state=jitml.tree.map(jnp.asarray, f(1.0, {"a": X + 0})))):
        assert result is not None
    assert state["a"].is_deleted()
    assert state["b"][0].is_deleted()
    assert np.array_equal(kept, np.ones(3)), "what NumPy owns is not given away"


def test_a_donated_array_may_be_returned() -> None:
    x = jnp.ones(3)
    result = jit(lambda x: (x, x + 1, x), donate_argnums=0)(x)
    assert x.is_deleted()
    assert [float(r[0]) for r in result] == [1.0, 2.0, 1.0]


@pytest.mark.parametrize("copy", [jnp.copy, jnp.array, lambda x: x.copy()])
def test_a_copy_outlives_a_donated_array(copy: Any) -> None:
    f = jit(lambda x: x * 2, donate_argnums=0)
    for size in (3, 5000):
        x = jnp.ones(size)
        kept = copy(x)
        assert np.array_equal(f(x), np.full(size, 2))
        assert np.array_equal(kept, np.ones(size))
        assert np.array_equal(f(kept), np.full(size, 2))


def test_donation_is_ignored_inside_a_trace() -> None:
    inner = jit(lambda x: x * 2, donate_argnums=0)
    assert np.array_equal(jit(lambda x: inner(x) + x)(X), X * 3)
    assert not X.is_deleted()


# ---- nesting -----------------------------------------------------------------------------------


def test_jit_in_jit_and_transforms() -> None:
    inner_fun, runs = counted(lambda x, k: jnp.sin(x) * k)
    inner = jit(inner_fun, static_argnums=1)

    @jit
    def outer(x: Any) -> Any:
        return inner(x, 2.0) + inner(x * 3, 2.0)

    assert np.array_equal(outer(X), inner(X, 2.0) + inner(X * 3, 2.0))
    assert len(runs) == 1
    assert len(jitml.make_graph(outer)(X).eqns) == 6, "the inner function's equations, twice"
    assert np.allclose(jitml.grad(lambda x: outer(x).sum())(X), 2 * jnp.cos(X) + 6 * jnp.cos(3 * X))
    assert np.array_equal(jitml.vmap(outer)(jnp.stack([X, X])), jnp.stack([outer(X), outer(X)]))


def test_a_jitted_closure_over_a_tracer() -> None:
    @jit
    def outer(x: Any) -> Any:
        inner = jit(lambda y: x * y)
        return inner(x) + inner(2.0)

    assert np.array_equal(outer(X), X * X + 2 * X)
    assert np.array_equal(outer(X + 1), (X + 1) ** 2 + 2 * (X + 1))

    @jit
    def shared(y: Any) -> Any:
        return holder[0] * y

    holder = [X]

    @jit
    def around(x: Any) -> Any:
        holder[0] = x
        try:
            return shared(x)
        finally:
            holder[0] = X

    assert np.array_equal(around(X + 1), (X + 1) ** 2)
    assert np.array_equal(shared(X), X * X)


def test_recursion_on_a_static_argument() -> None:
    @functools.partial(jit, static_argnums=1)
    def f(x: Any, n: int) -> Any:
        return x if n == 0 else f(x, n - 1) * 2

    assert np.array_equal(f(X, 3), X * 8)


def test_disable_jit() -> None:
    f = jit(lambda x: x if x[1] > 0 else -x, python_control_flow=False)
    with jitml.disable_jit():
        assert np.array_equal(f(X), X)
        with jitml.disable_jit(False), pytest.raises(jitml.errors.TracerBoolConversionError):
            f(X)


def test_ensure_compile_time_eval() -> None:
    @jit
    def f(x: Any) -> Any:
        with jitml.ensure_compile_time_eval():
            limit = int(jnp.sum(jnp.arange(4)))
            doubled = x * 2
        return doubled * limit if limit > 3 else x

    assert np.array_equal(f(X), X * 12)


def test_an_error_while_tracing_leaves_no_trace_behind() -> None:
    @jit
    def f(x: Any) -> Any:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            f(X)
    assert np.array_equal(X + 1, np.arange(1, 4))


# ---- leaks -------------------------------------------------------------------------------------


def test_a_leaked_tracer_is_detected() -> None:
    kept: list[Any] = []

    @jit
    def f(x: Any) -> Any:
        kept.append(x * 2)
        return x

    f(X)
    uses: list[Callable[[Any], Any]] = [
        lambda t: t + 1, lambda t: jit(lambda x: x + t)(X), bool, np.asarray, jnp.sin,
        lambda t: jitml.grad(lambda x: (x * t).sum())(X), lambda t: jit(lambda x: x)(t),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(UnexpectedTracerError, match=r"kept.append\(x \* 2\)"):
            use(kept[0])


def test_checking_leaks() -> None:
    kept: list[Any] = []

    def leaking(x: Any) -> Any:
        y = x * 2
        kept.append(y)
        return y

    with jitml.checking_leaks():
        assert np.array_equal(jit(lambda x: x * 2)(X), X * 2)
        with pytest.raises(UnexpectedTracerError, match=r"y = x \* 2"):
            jit(leaking)(X)


# ---- caches ------------------------------------------------------------------------------------


def test_equal_functions_share_their_program_but_not_their_lines() -> None:
    index = jnp.array([0, 9])
    first = jit(lambda x: x[index] * 1.75)
    second = jit(lambda x: x[index] * 1.75)
    before = STATISTICS.graphs
    for f in (first, second, first):
        line = f.__wrapped__.__code__.co_firstlineno
        with pytest.raises(jitml.errors.OutOfBoundsError, match=rf"test_jit\.py:{line} "):
            f(X)
    assert STATISTICS.graphs - before == 1


def test_clear_caches() -> None:
    fun, runs = counted(lambda x: x * 3)
    f = jit(fun)
    f(X)
    f.clear_cache()
    f(X)
    jitml.clear_caches()
    assert np.array_equal(f(X), X * 3)
    assert len(runs) == 3


def test_equal_programs_share_kernels() -> None:
    f, g = jit(lambda x: jnp.sin(x) * 1.25 + 7), jit(lambda y: jnp.sin(y) * 1.25 + 7)
    f(X)
    before = STATISTICS.kernels
    g(X)
    assert STATISTICS.kernels == before


# ---- threads -----------------------------------------------------------------------------------


def run_in_threads(work: Callable[[int], Any], count: int = 8) -> list[Any]:
    results: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = work(number)
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def test_first_calls_of_one_function_from_many_threads() -> None:
    f = jit(lambda x: jnp.cos(x) * 3.5 + jnp.arange(3) @ jnp.ones(3))
    before = STATISTICS.graphs
    results = run_in_threads(lambda n: np.asarray(f(X)))
    assert all(np.array_equal(r, results[0]) for r in results)
    assert STATISTICS.graphs - before == 1


def test_first_calls_of_functions_that_call_each_other() -> None:
    @functools.partial(jit, static_argnums=1)
    def f(x: Any, n: int) -> Any:
        return x if n == 0 else g(x, n - 1) + 1

    @functools.partial(jit, static_argnums=1)
    def g(x: Any, n: int) -> Any:
        return x if n == 0 else f(x, n - 1) * 2

    results = run_in_threads(lambda n: np.asarray((f if n % 2 else g)(X, 4)))
    for n, result in enumerate(results):
        assert np.array_equal(result, 4 * X + 3 if n % 2 else 4 * X + 6 - 0)


def test_each_thread_has_its_own_trace() -> None:
    def work(n: int) -> Any:
        f = jit(lambda x: jnp.sin(x) * n + sum(x for _ in range(n)))
        gradient = jitml.grad(lambda x: f(x).sum())
        return np.asarray(f(X)), np.asarray(gradient(X)), np.asarray(X + n)

    for n, (value, gradient, total) in enumerate(run_in_threads(work)):
        assert np.allclose(value, np.sin(X) * n + n * np.asarray(X), rtol=1e-6)
        assert np.allclose(gradient, np.cos(X) * n + n, rtol=1e-6)
        assert np.array_equal(total, np.arange(3) + n)


# ---- wrong use ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda: jit(3),
        lambda: jit(power, backend="tpu"),
        lambda: jit(power, static_argnums=5),
        lambda: jit(power, static_argnames="q"),
        lambda: jit(power, static_argnums="n"),
        lambda: jit(power, static_argnames=1.5 and [1]),
        lambda: jit(power, static_argnums=0, donate_argnums=0),
        lambda: jit(power, static_argnames="n")(X, [1]),
        lambda: jit(lambda x: x)("text"),
        lambda: jit(lambda x: x)(np.array(["a"])),
        lambda: jit(lambda x: "text")(X),
        lambda: jit(lambda x: x)(object()),
    ],
)
def test_wrong_use_is_told(use: Callable[[], Any]) -> None:
    with pytest.raises(ArgumentError, match=r"at test_jit\.py"):
        use()


# ---- what a call costs -------------------------------------------------------------------------


def misses_of(jitted: Any, calls: Callable[[], Any]) -> int:
    """How many of the calls need Python code of jitml."""
    count: list[int] = []
    kind = type(jitted)
    slow = kind.miss

    def counting(self: Any, args: Any, kwargs: Any) -> Any:
        count.append(1)
        return slow(self, args, kwargs)

    kind.miss = counting
    try:
        calls()
    finally:
        kind.miss = slow
    return len(count)


@pytest.mark.skipif(jitml_runtime.EXECUTOR != "native", reason="the reference has no tables")
def test_known_calls_need_no_python_code() -> None:
    holder = {"scale": 2.0, "weights": np.ones(3, np.float32)}
    f = jit(lambda tree, n=1, *, k=0.0: jitml.tree.map(lambda x: x * n + k, tree), static_argnums=1)
    g = jit(lambda x: x * holder["scale"] + holder["weights"])
    h = jit(lambda x: x + 1, donate_argnums=0)

    def calls() -> None:
        for tree in (X, [X, {"b": X, "a": (X, None)}], {"a": X, "b": 2.0}, {"b": 2.0, "a": X},
                     Point(X, 1), Pair(X, X), Box(X, "name"), OrderedDict(b=X, a=X)):  # fmt: skip
            f(tree), f(tree, 2), f(tree, n=3), f(tree, 2, k=1.5), f(tree, k=X)
        f(np.arange(3.0)), f(np.float32(3)), f(True), f(3), f(2j), g(X), h(X + 0)

    calls()
    assert misses_of(f, calls) == 0
    holder["weights"] = jnp.zeros(3)
    assert misses_of(g, lambda: g(X)) == 0, "arrays are fetched anew"
    holder["scale"] = 3.0
    assert misses_of(g, lambda: g(X)) == 1, "numbers are compared"
    assert np.array_equal(g(X), X * 3)


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


STRESS = os.environ.get("JITML_STRESS") == "1"
CALLS = 2_000 if jitml_runtime.EXECUTOR == "native" else 100


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="asks Linux")
def test_calls_leave_memory_flat() -> None:
    f = jit(lambda x, tree, n: {"a": x * n, "b": [tree["k"] + x]}, static_argnums=2)
    donating = jit(lambda x: x + 1, donate_argnums=0)
    large = jnp.zeros(10_000)

    def calls(count: int) -> None:
        for number in range(count):
            f(X, {"k": 2.0}, number % 3)
            f(large, {"k": np.ones(1, np.float32)}, 1)
            (X + number)[1:].sum()
            donating(X + 0)

    calls(CALLS // 4)
    gc.collect()
    before = resident_bytes()
    calls(1_000_000 if STRESS else CALLS)
    gc.collect()
    assert resident_bytes() - before < 2 << 20


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="asks Linux")
def test_compiling_again_leaves_memory_flat() -> None:
    def compile_all(count: int) -> None:
        for number in range(count):
            f = jit(lambda x, number=number: jnp.sin(x) * (number % 5) + number % 7)
            f(X)
            f.itself = f  # a cycle, which only the collector finds
        del f
        gc.collect()

    compile_all(40)
    before = resident_bytes()
    compile_all(1000 if STRESS else 40)
    assert resident_bytes() - before < 2 << 20
