"""How far rewriting reaches, and that it changes nothing else: methods, closures, transforms,
guards, traces, and what `explain` and tracebacks show.
"""

from __future__ import annotations

import functools
import itertools
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import grad, jit, lax, vmap
from jitml.errors import TracerBoolConversionError, TracerError

SCALE = 2.0


def clipped(x: Any) -> Any:
    if x > SCALE:
        return SCALE * 1.0
    return x


class Base:
    def limit(self) -> float:
        return 2.0


class Model(Base):
    __extra = 3.0

    def __init__(self, weight: float) -> None:
        self.weight = jnp.float32(weight)

    def limit(self) -> float:
        return super().limit() + self.__extra

    def __call__(self, x: Any, *more: Any, flag: bool = True, **named: Any) -> Any:
        if x > self.limit():
            return x * self.weight if flag else super().limit()
        for y in more:
            x = x + y if y > 0 else x - y
        return x + named.get("b", 0)

    @staticmethod
    def positive(x: Any) -> Any:
        return x if x > 0 else -x

    @classmethod
    def shifted(cls, x: Any) -> Any:
        return x if x > 0 else cls.positive(x) + 1


def test_methods() -> None:
    model = Model(2.0)
    assert jit(model)(6.0) == 12 and jit(model)(1.0, 2.0, -3.0) == 6 and jit(model)(1.0, b=3) == 4
    assert jit(model.__call__)(6.0, flag=True) == 12
    assert jit(functools.partial(model, flag=False))(9.0) == 2
    assert jit(Model.positive)(-3.0) == 3 and jit(Model.shifted)(-3.0) == 4
    assert jit(model.shifted)(2.0) == 2


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@jit
@logged
def decorated(x: Any) -> Any:
    return 1.0 if x > 1 else x


def test_decorators_partials_and_lambdas() -> None:
    assert decorated(3.0) == 1 and decorated(0.5) == 0.5
    assert jit(functools.partial(clipped))(7.0) == 2
    first, second = jit(lambda x: x if x > 0 else -x), jit(lambda x: x + 1 if x > 0 else x - 1)
    assert first(-2.0) == 2 and second(-2.0) == -3 and second(2.0) == 3


def test_values_around_the_function_are_watched() -> None:
    global SCALE
    step, table = 1.0, {"bonus": [1.0]}

    def climbed(x: Any) -> Any:
        while x < 10:
            x = x + step * table["bonus"][0]
        return x

    jitted, limited = jit(climbed), jit(clipped)
    assert jitted(0.0) == 10 and limited(9.0) == 2
    step, SCALE = 7.0, 5.0
    assert jitted(0.0) == 14 and limited(9.0) == 5
    table["bonus"][0] = 2.0
    assert jitted(0.0) == 14 and jitted(1.0) == 15
    SCALE = 2.0


def test_functions_that_assign_variables_around_them() -> None:
    def counted(x: Any) -> Any:
        count = 0

        def tick() -> None:
            nonlocal count
            count += 1

        while x > 0:
            x = x - 1
            if x % 2 == 0:
                tick()
        return count

    assert jit(counted)(7) == 4 == counted(7)


def test_recursion_that_known_values_end() -> None:
    def power(x: Any, n: int) -> Any:
        if n == 0:
            return 1.0
        return x * power(x, n - 1) if x > 0 else power(-x, n - 1)

    assert jit(power, static_argnums=1)(-2.0, 3) == 4


def step(carry: Any, x: Any) -> Any:
    carry = carry + x if x > 0 else carry * 0.5
    return carry, carry


XS = jnp.array([1.0, -1.0, 2.0])


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (lambda xs: lax.scan(step, 0.0, xs)[0], 2.5),
        (lambda xs: lax.map(clipped, 2 * xs).sum(), 2 - 2 + 2),
        (lambda xs: vmap(clipped)(2 * xs).sum(), 2 - 2 + 2),
        (lambda xs: lax.fori_loop(0, 3, lambda i, c: c + i if c < 2 else c, 0), 3),
        (lambda xs: lax.while_loop(lambda c: c < 9, lambda c: c * 2 if c < 4 else 9, 1), 9),
        (lambda xs: lax.cond(xs[0] > 0, clipped, clipped, xs[2] * 3), 2),
        (lambda xs: jitml.checkpoint(clipped)(xs[1]), -1),
        (lambda xs: jit(clipped)(xs[2] * 3), 2),
        (lambda xs: sum(map(clipped, [xs[0], xs[2] * 3])), 3),
        (lambda xs: sum([clipped(x) for x in xs]), 2),
    ],
)
def test_functions_inside_of_transforms(function: Callable[[Any], Any], wanted: float) -> None:
    assert jit(function)(XS) == wanted


@jitml.custom_jvp
def leaky(x: Any) -> Any:
    return x if x > 0 else x * 0.1


@leaky.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    return leaky(x), dx if x > 0 else dx * 0.5


def test_derivatives_of_any_order_and_rules_of_users() -> None:
    def squared(x: Any) -> Any:
        while x < 100:
            x = x * x
        return x

    assert grad(jit(squared))(3.0) == 8 * 3.0**7 == jit(grad(squared))(3.0)
    assert jitml.jvp(jit(squared), (3.0,), (1.0,))[1] == 8 * 3.0**7
    assert jit(grad(grad(squared)))(3.0) == 56 * 3.0**6 == jitml.hessian(jit(squared))(3.0)
    assert jit(leaky)(-1.0) == np.float32(-0.1) and jit(grad(leaky))(-1.0) == 0.5
    assert np.array_equal(jit(vmap(grad(leaky)))(XS), [1, 0.5, 1])


def test_stages_and_graphs() -> None:
    assert jit(clipped).lower(5.0).compile()(5.0) == 2
    assert jitml.eval_shape(clipped, 5.0).shape == ()
    text = str(jitml.make_graph(clipped)(5.0))
    assert "cond" in text and "test_reach.py" in text


def test_explain_tells_what_became_of_which_line() -> None:
    text = jit(clipped).explain(1.0)
    assert "in clipped:  if x > SCALE:  -> conditional" in text
    assert "\n== rewritten" in text and "\n== rewritten" not in jit(abs).explain(1.0)


def test_equations_and_tracebacks_show_the_users_lines() -> None:
    def failing(x: Any) -> Any:
        if x > 0:
            y = x + 1
            return y.no_such_attribute
        return x

    with pytest.raises(AttributeError) as caught:
        jit(failing)(1.0)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert last.line == "return y.no_such_attribute" and last.name == "failing"
    conditional = jitml.make_graph(clipped)(1.0).eqns[-1]
    assert conditional.source.text == "if x > SCALE:" and conditional.source.function == "clipped"


def test_what_needs_no_rewriting_is_traced_once() -> None:
    traces = []

    @jit
    def plain(x: Any, n: int = 3) -> Any:
        traces.append("plain")
        while n > 0:
            x, n = x * 2, n - 1
        return x if isinstance(n, int) else -x

    @jit
    def branching(x: Any) -> Any:
        traces.append("branching")
        return x if x > 0 else -x

    plain(1.0)
    assert traces == ["plain"]
    branching(1.0)
    assert traces[1:] == ["branching"] * 2
    branching(1)  # other types: now it is known to need it
    assert traces[3:] == ["branching"]


def test_errors_that_the_function_catches_do_not_decide() -> None:
    def caught(x: Any) -> Any:
        try:
            y = 1.0 if x > 0 else 2.0
        except TypeError:
            y = 3.0
        return y

    assert jit(caught)(1.0) == 1 and jit(caught)(-1.0) == 2


def test_handlers_see_what_was_assigned_before_the_exception() -> None:
    def handled(x: Any) -> Any:
        y = 0.0
        try:
            if x > 0:
                y = 1.0
            int("no number")
            y = 5.0
        except ValueError:
            y = y + 10
        return y

    def handled_at_once(x: Any) -> Any:
        y = 0.0
        if x > 0:
            y = 1.0
        try:
            int("no number")
            y = 5.0
        except ValueError:
            y = y + 10
        return y

    for function in (handled, handled_at_once):
        assert jit(function)(1.0) == 11 and jit(function)(-1.0) == 10


def test_variables_around_the_function_are_its_own() -> None:
    calls = 0

    def counted(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return x if x > 0 else -x

    assert jit(counted)(-2.0) == 2 and calls == 2  # both traces count


def test_it_can_be_switched_off() -> None:
    with pytest.raises(TracerBoolConversionError):
        jit(clipped, python_control_flow=False)(1.0)
    with pytest.raises(TracerBoolConversionError):
        jit(python_control_flow=False)(clipped)(1.0)
    with jitml.disable_jit():
        assert jit(clipped)(3.0) == 2.0


def test_the_source_must_be_what_was_compiled(tmp_path: Any) -> None:
    path = tmp_path / "changing.py"
    text = "def f(x):\n    if x > 0:\n        return x\n    return -x\n"
    path.write_text(text)
    names: dict[str, Any] = {}
    exec(compile(text, str(path), "exec"), names)
    path.write_text(text.replace("-x", "x + 7"))
    with pytest.raises(TracerError, match="its source has changed since it was compiled"):
        jit(names["f"])(1.0)
    path.write_text(text)
    assert jit(names["f"])(-1.0) == 1


def test_lists_and_dicts_stay_the_objects_that_they_are() -> None:
    def changed(x: Any) -> Any:
        grid = [[1.0, 2.0], [3.0, x]]
        row, state = grid[0], {"n": 0}
        if x > 0:
            grid[0][1] = x
            grid[1] = [5.0, 6.0]
        while state["n"] < x:
            state["n"] += 1
            row[0] = row[0] * 2
        return grid, row, state

    for x in (3, -3):
        found = jitml.tree_util.tree_leaves(jit(changed)(x))
        assert found == jitml.tree_util.tree_leaves(changed(x))


def test_a_known_loop_that_may_end_early_reads_python_lists() -> None:
    def looked_up(x: Any) -> Any:
        limits = [1.0, 2.0, 3.0, 4.0]
        for i in range(4):
            if limits[i] > x:
                break
            x = x - limits[i] * 0.5
        else:
            return -1, x
        return i, x

    for x in (2.5, 20.5, 0.5):
        assert jit(looked_up)(x) == looked_up(x)


def test_long_arrays_are_one_loop() -> None:
    def total(a: Any, b: Any) -> Any:
        found = 0
        for i, (x, y) in enumerate(zip(a, b, strict=False), 2):
            found += i * x * y
        return found

    a, b = jnp.arange(100), jnp.arange(120)
    assert len(jit(total).graph(a, b).eqns) < 10
    assert jit(total)(a, b) == sum(i * int(x) ** 2 for i, x in enumerate(range(100), 2))


def test_long_loops_whose_steps_differ_are_gone_through() -> None:
    def collected(a: Any) -> Any:
        found = []
        for x in a:
            found.append(x * len(found))
        return found[-1]

    assert jit(collected)(jnp.arange(70)) == 69 * 69
    with pytest.raises(TracerError, match="a list cannot grow"):
        jit(collected)(jnp.arange(20_000))


def test_ranges() -> None:
    def summed(n: Any) -> Any:
        found = 0
        for i in reversed(range(n)):
            found = found * 7 + i
        for i in range(0, n, n - 4):
            found += 2 * i
        for k, i in enumerate(range(n, -n, -3)):
            found += k * i
        return found

    def listed(start: Any, stop: Any, step: Any) -> Any:
        found = 1
        for i in range(start, stop, step):
            found = (found * 31 + i) % 10007
        return found

    for n in (0, 1, 2, 9):
        assert jit(summed)(n) == summed(n)
    jitted = jit(listed)
    for bounds in itertools.product((-3, 0, 4), (-2, 0, 5, 9), (-3, -1, 1, 3)):
        assert jitted(*bounds) == listed(*bounds)
    with pytest.raises(TypeError):
        jit(lambda n: list(range(n)))(3)


def test_types_follow_python() -> None:
    def halves(n: Any) -> Any:
        x = 0
        while x < n:
            x = x + 0.5
        return x

    found = jit(halves)(3.2)
    assert found == 3.5 and found.dtype == jnp.float32 and found.weak_type

    def either(x: Any, y: Any) -> Any:
        return x if y > 0 else 2

    assert jit(either)(jnp.float16(1), 1).dtype == jnp.float16
    assert jit(either)(jnp.int8(1), -1).dtype == jnp.int8
