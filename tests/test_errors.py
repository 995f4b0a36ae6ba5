"""What users read when something cannot be: whole messages, with their line, in `golden/errors`.

The number of the line is left out there, for the line itself is shown.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import check_message

import jitml
import jitml.numpy as jnp
from jitml import checkify as checks
from jitml import debug, errors, grad, jit, vmap
from jitml.checkify import check, checkify
from jitml.ffi import numba_call

GOLDEN = Path(__file__).parent / "golden" / "errors"
X, MATRIX = jnp.ones(3), jnp.ones((8, 3))
OUTSIDE = jnp.array([0, 5, 1])
KEPT: list[Any] = []


def add(x: Any, y: Any) -> Any:
    return x + y


def layer(x: Any, w: Any) -> Any:
    h = x @ w
    return jnp.tanh(h)


def double(x: Any) -> Any:
    return x * 2


def branch(x: Any) -> Any:
    y = x * 2
    if y[0] > 0:
        return y
    return x


def count(n: Any) -> Any:
    return list(range(n))


def rows(x: Any, i: Any) -> Any:
    return jnp.sin(x)[i] * 2


def total(x: Any) -> Any:
    return rows(x, OUTSIDE).sum()


@functools.partial(jit, donate_argnums=0)
def step(state: Any) -> Any:
    return state + 1


def sorted_on_the_host(x: Any) -> Any:
    return jitml.pure_callback(np.sort, X, x)


def checked(x: Any) -> Any:
    check(x > 0, "{x} is not positive", x=x)
    return x


def checked_steps(x: Any) -> Any:
    return jitml.lax.fori_loop(0, 5, lambda i, x: checked(x) - 1, x)


def donated() -> Any:
    state = jnp.ones(3)
    step(state)
    return state


@jit
def keep(x: Any) -> Any:
    h = x * 3
    KEPT[:] = [h]
    return h


def leaked() -> Any:
    keep(X)
    return KEPT[0]


CASES: dict[str, Callable[[], Any]] = {
    "shapes_add": lambda: add(X, jnp.ones(4)),
    "shapes_add_in_jit": lambda: jit(add)(X, jnp.ones(4)),
    "shapes_matmul": lambda: layer(MATRIX, jnp.ones((4, 5))),
    "shapes_matmul_in_grad": lambda: grad(lambda w: layer(MATRIX, w).sum())(jnp.ones((4, 5))),
    "shapes_concatenate": lambda: jnp.concatenate([MATRIX, jnp.ones((2, 4))]),
    "shapes_reshape": lambda: MATRIX.reshape(5, 5),
    "dtype_bitwise": lambda: X | 1,
    "dtype_unknown": lambda: jnp.zeros(3, "text"),
    "dtype_object": lambda: jnp.asarray(np.array([None])),
    "axis": lambda: X.sum(axis=2),
    "grad_of_a_vector": lambda: grad(double)(X),
    "grad_by_an_integer": lambda: grad(double)(3),
    "grad_of_a_boolean": lambda: grad(lambda x: x > 1)(3.0),
    "static_unhashable": lambda: jit(add, static_argnums=1)(X, [1]),
    "static_number": lambda: jit(add, static_argnums=5),
    "static_name": lambda: jit(add, static_argnames="z"),
    "leaf_string": lambda: jit(add)(X, "text"),
    "leaf_object": lambda: jit(add)(X, {"k": [object()]}),
    "result_string": lambda: jit(lambda x: {"a": "text"})(X),
    "in_axes_range": lambda: vmap(add, in_axes=(0, 1))(X, X),
    "in_axes_count": lambda: vmap(add, in_axes=(0,))(X, X),
    "in_axes_sizes": lambda: vmap(add)(X, jnp.ones(4)),
    "axis_unbound": lambda: vmap(lambda x: jitml.lax.psum(x, "j"), axis_name="i")(X),
    "axis_unbound_in_jit": lambda: jit(lambda x: jitml.lax.pmean(x, "i"))(X),
    "tree_map": lambda: jitml.tree.map(add, {"a": 1, "b": 2}, {"a": 1, "c": 2}),
    "compiled_type": lambda: jit(double).lower(X).compile()(MATRIX),
    "compiled_tree": lambda: jit(double).lower(X).compile()(X, X),
    "donated": lambda: donated() + 1,
    "bounds_static": lambda: X[7],
    "bounds_static_in_jit": lambda: jit(lambda x: x[-9])(X),
    "bounds_eager": lambda: rows(X, OUTSIDE),
    "bounds_in_a_fused_kernel": lambda: jit(rows)(X, OUTSIDE),
    "bounds_in_grad": lambda: grad(total)(X),
    "bounds_in_jit_of_grad": lambda: jit(grad(total))(X),
    "bounds_in_vmap": lambda: vmap(rows, (None, 0))(X, OUTSIDE),
    "bounds_in_jit_of_vmap": lambda: jit(vmap(rows, (0, None)))(MATRIX, OUTSIDE),
    "bounds_of_the_second_axis": lambda: jit(lambda x, i: x[i, i])(MATRIX, jnp.array([0, 3])),
    "bounds_negative": lambda: MATRIX[jnp.array([0, -9])],
    "bounds_update": lambda: jit(lambda x, i: x.at[i].set(0))(X, OUTSIDE),
    "leaked": lambda: leaked() + 1,
    "leaked_into_jit": lambda: jit(add)(X, leaked()),
    "tracer_if": lambda: jit(branch, python_control_flow=False)(X),
    "tracer_range": lambda: jit(count)(3),
    "tracer_float": lambda: jit(lambda x: float(x))(1.0),
    "tracer_item": lambda: jit(lambda x: x.item())(1.0),
    "tracer_in_numpy": lambda: jit(lambda x: np.sin(x))(X),
    "tracer_as_shape": lambda: jit(lambda n: jnp.zeros(n))(3),
    "tracer_mask": lambda: jit(lambda x: x[x > 0])(X),
    "callback_result_dtype": lambda: jit(sorted_on_the_host)(X.astype("int32")),
    "callback_result_shape": lambda: jit(sorted_on_the_host)(MATRIX),
    "callback_result_structure": lambda: jitml.pure_callback(lambda x: (x,), X, X),
    "callback_vmap": lambda: vmap(sorted_on_the_host)(MATRIX),
    "callback_grad": lambda: grad(lambda x: sorted_on_the_host(x).sum())(X),
    "callback_ordered_vmap": lambda: vmap(lambda x: debug.print("{}", x, ordered=True))(X),
    "callback_exported": lambda: jitml.export.save(sorted_on_the_host, "unused", X),
    "print_format": lambda: debug.print(f"x = {X[0]}", x=X[0]),
    "print_field": lambda: debug.print("{x} {y}", x=X[0]),
    "check": lambda: jit(checked)(-1.0),
    "check_in_loop": lambda: checkify(jit(checked_steps))(3.0)[0].throw(),
    "check_nan": lambda: checkify(jnp.log, checks.nan_checks)(-1.0)[0].throw(),
    "check_index": lambda: checkify(rows, checks.index_checks)(X, OUTSIDE)[0].throw(),
    "numba_python_function": lambda: numba_call(add, X, X, result_shape_dtypes=X),
    "tree_leaf": lambda: jitml.tree_util.flatten_one_level(3),
    "overflow_operand": lambda: jnp.ones(3, jnp.int8) + 300,
    "overflow_argument": lambda: jit(double)(2**40),
}


def message_of(attempt: Callable[[], Any]) -> str:
    with pytest.raises(Exception) as caught:
        attempt()
    text = f"{type(caught.value).__name__}: {caught.value}\n"
    return re.sub(r"(test_errors\.py):\d+", r"\1:LINE", text)


@pytest.mark.parametrize("name", CASES)
def test_messages(name: str, update_golden: bool) -> None:
    found, path = message_of(CASES[name]), GOLDEN / f"{name}.txt"
    if not found.startswith("RuntimeError"):  # the runtime knows no lines; the traceback has them
        assert "  at test_errors.py:LINE" in found
    check_message(path, found, update_golden)


def test_there_is_a_case_for_each_golden_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(CASES)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("shapes_add", (errors.ShapeError, TypeError, ValueError)),
        ("bounds_eager", (errors.OutOfBoundsError, IndexError)),
        (
            "tracer_if",
            (errors.TracerBoolConversionError, errors.ConcretizationTypeError, TypeError),
        ),
        ("tracer_range", (errors.TracerIntegerConversionError, TypeError)),
        ("tracer_float", (errors.ConcretizationTypeError, TypeError)),
        ("tracer_item", (errors.ConcretizationTypeError,)),
        ("tracer_in_numpy", (errors.TracerArrayConversionError, TypeError)),
        ("tracer_mask", (errors.NonConcreteBooleanIndexError, IndexError)),
        ("leaked", (errors.UnexpectedTracerError,)),
        ("overflow_operand", (errors.IntegerOverflowError, OverflowError)),
        ("static_unhashable", (errors.ArgumentError, ValueError)),
        ("donated", (RuntimeError,)),
    ],
)
def test_errors_are_those_that_users_catch(name: str, kinds: tuple[type[Exception], ...]) -> None:
    for kind in kinds:
        with pytest.raises(kind):
            CASES[name]()


def test_the_line_is_the_one_that_failed() -> None:
    code = layer.__code__
    with pytest.raises(
        errors.ShapeError, match=f"test_errors.py:{code.co_firstlineno + 1} in layer"
    ):
        jit(layer)(MATRIX, jnp.ones((4, 5)))


def test_one_index_outside_among_many() -> None:
    """The first element in row-major order is told, whichever thread meets which first."""
    indices = np.zeros((300, 400), np.int32)
    indices[7, 5], indices[299, 399] = 50, -60
    with pytest.raises(errors.OutOfBoundsError, match=r"index 50 .* \(at element \[7, 5\] "):
        jit(lambda x, i: jnp.exp(x[i]) + 1)(jnp.ones(40), indices)
