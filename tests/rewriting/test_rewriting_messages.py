"""What users read where control flow cannot be rewritten: whole messages, in golden files."""

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
from jitml import jit
from jitml.errors import TracerError, UnassignedVariableError

GOLDEN = Path(__file__).parents[1] / "golden" / "control_flow"


def unassigned(x: Any) -> Any:
    if x > 0:
        y = 1.0
    return x + y


def unassigned_after_loop(n: Any) -> Any:
    for i in range(n):
        last = i
    return last


def none_returned(x: Any) -> Any:
    if x > 0:
        return x


def shapes(x: Any) -> Any:
    y = jnp.zeros(4)
    if x > 0:
        y = jnp.zeros(3)
    return y


def dtypes(x: Any) -> Any:
    y = {"total": jnp.int32(1)}
    if x > 0:
        y = {"total": jnp.float32(1)}
    return y


def strings(x: Any) -> Any:
    return "up" if x > 0 else "down"


def growing_list(x: Any) -> Any:
    found = []
    while x > 1:
        x = x / 2
        found.append(x)
    return found


def growing_on_one_side(x: Any) -> Any:
    found = []
    if x > 1:
        found.append(x)
    return found


def growing_array(n: Any) -> Any:
    x = jnp.zeros(1)
    for i in range(n):
        x = jnp.append(x, i)
    return x


def growing_dict(n: Any) -> Any:
    state = {"count": 0}
    while state["count"] < n:
        state["count"] += 1
        state["twice"] = 2 * state["count"]
    return state


def carried_dtype(n: Any) -> Any:
    x = jnp.int32(0)
    while x < n:
        x = x + jnp.float32(0.5)
    return x


def none_first(n: Any) -> Any:
    best = None
    for i in range(n):
        best = i
    return best


def raising(x: Any) -> Any:
    if x < 0:
        raise ValueError("negative")
    return jnp.sqrt(x)


class Counter:
    count = 0


def attribute(x: Any) -> Any:
    counter = Counter()
    if x > 0:
        counter.count = 1
    return counter.count


TOTAL = 0


def global_assigned(x: Any) -> Any:
    global TOTAL
    while x > 0:
        x, TOTAL = x - 1, TOTAL + 1
    return x


def numpy_changed(x: Any) -> Any:
    a = np.zeros(3)
    if x > 0:
        a[0] = 1
    return a


def recursive(n: Any) -> Any:
    return 1 if n <= 1 else n * recursive(n - 1)


def whole_array(x: Any) -> Any:
    if x > 0:
        return x
    return -x


def list_index(n: Any) -> Any:
    names = [1.0, 2.0, 3.0]
    total = 0.0
    for i in range(n):
        total += names[i]
    return total


def of_a_generator(x: Any) -> Any:
    def steps() -> Any:
        if x > 0:
            yield x

    return sum(steps())


def leaving_finally(x: Any) -> Any:
    for _ in range(2):
        try:
            y = x
        finally:
            break  # noqa: B012
    return y if x > 0 else -y


def without_source() -> Callable[[Any], Any]:
    names: dict[str, Any] = {}
    exec("def made(x):\n    return x if x > 0 else -x", names)
    made: Callable[[Any], Any] = names["made"]
    return made


CASES: dict[str, Callable[[], Any]] = {
    "unassigned": lambda: jit(unassigned)(1.0),
    "unassigned_after_loop": lambda: jit(unassigned_after_loop)(3),
    "none_returned": lambda: jit(none_returned)(1.0),
    "shapes": lambda: jit(shapes)(1.0),
    "dtypes": lambda: jit(dtypes)(1.0),
    "strings": lambda: jit(strings)(1.0),
    "growing_list": lambda: jit(growing_list)(9.0),
    "growing_on_one_side": lambda: jit(growing_on_one_side)(9.0),
    "growing_array": lambda: jit(growing_array)(9),
    "growing_dict": lambda: jit(growing_dict)(9),
    "carried_dtype": lambda: jit(carried_dtype)(2.0),
    "none_first": lambda: jit(none_first)(2),
    "raising": lambda: jit(raising)(2.0),
    "attribute": lambda: jit(attribute)(2.0),
    "global_assigned": lambda: jit(global_assigned)(2.0),
    "numpy_changed": lambda: jit(numpy_changed)(2.0),
    "recursive": lambda: jit(recursive)(5),
    "whole_array": lambda: jit(whole_array)(jnp.ones(3)),
    "list_index": lambda: jit(list_index)(2),
    "of_a_generator": lambda: jit(of_a_generator)(2.0),
    "leaving_finally": lambda: jit(leaving_finally)(2.0),
    "without_source": lambda: jit(without_source())(2.0),
    "vmap_alone": lambda: jitml.vmap(none_returned)(jnp.ones(3)),
}


def message_of(attempt: Callable[[], Any]) -> str:
    with pytest.raises(Exception) as caught:
        attempt()
    text = f"{type(caught.value).__name__}: {caught.value}\n"
    first, second = r"(test_rewriting_messages\.py):\d+", r"line \d+"
    return re.sub(second, "line N", re.sub(first, r"\1:N", text))


@pytest.mark.parametrize("name", CASES)
def test_messages(name: str, update_golden: bool) -> None:
    found, path = message_of(CASES[name]), GOLDEN / f"{name}.txt"
    assert "  at test_rewriting_messages.py:N" in found
    check_message(path, found, update_golden)


def test_there_is_a_case_for_each_golden_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(CASES)


def test_errors_are_those_that_python_raises() -> None:
    assert issubclass(UnassignedVariableError, NameError)
    with pytest.raises(TypeError):
        jit(strings)(1.0)
    with pytest.raises(TracerError):
        jit(raising)(1.0)


def test_what_is_refused_has_no_effect() -> None:
    with pytest.raises(TracerError):
        jit(global_assigned)(2.0)
    assert TOTAL == 0
