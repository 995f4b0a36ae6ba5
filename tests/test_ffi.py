"""`numba_call`: functions compiled by numba as ops."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import jit, lax, vmap
from jitml.errors import (
    ArgumentError,
    DifferentiationError,
    DTypeError,
    NativeError,
    TransformError,
)
from jitml.ffi import numba_call
from jitml.ir.text import parse_graph
from jitml.ir.verify import verify

numba = pytest.importorskip("numba")

SCALAR = jitml.ShapeDtypeStruct((), "float32")
X = jnp.array([1.0, 3.0, 2.0])
ROWS = jnp.array([[1.0, 3.0, 2.0], [3.0, 4.0, 1.0]])


@numba.njit
def maxima_kernel(out: Any, x: Any) -> None:
    best = x[0]
    for i in range(x.size):
        best = max(best, x[i])
        out[i] = best


@numba.njit
def maxima_of_rows_kernel(out: Any, x: Any) -> None:
    for j in range(x.shape[0]):
        best = x[j, 0]
        for i in range(x.shape[1]):
            best = max(best, x[j, i])
            out[j, i] = best


@numba.njit
def both(x: Any, y: Any) -> Any:
    return x * x + y, x - y


@numba.njit
def positive_kernel(out: Any, x: Any) -> None:
    if x[0] < 0:
        raise ValueError("negative")
    out[0] = x[0]


@numba.njit
def writes_its_argument(out: Any, x: Any) -> None:
    x[0] = 1.0


@numba.njit("void(f4[:], f4[:])")
def of_fixed_types(out: Any, x: Any) -> None:
    x[0] = 5.0
    out[0] = x[0] + x[1]


@numba.cfunc("f4(f4)")
def tripled(x: Any) -> Any:
    return x * 3


def maxima(x: Any, **options: Any) -> Any:
    return numba_call(maxima_kernel, x, result_shape_dtypes=x, **options)


def combined(x: Any, y: Any, **options: Any) -> Any:
    return numba_call(both, x, y, result_shape_dtypes=(SCALAR, SCALAR), **options)


def positive(x: Any) -> Any:
    return numba_call(positive_kernel, x, result_shape_dtypes=x)


@pytest.mark.parametrize("wrap", [lambda f: f, jit, lambda f: jit(jit(f))])
def test_values(wrap: Any) -> None:
    np.testing.assert_array_equal(wrap(lambda x: 2 * maxima(x + 1))(X), [4, 8, 8])
    assert [float(x) for x in wrap(combined)(3.0, 1.0)] == [10.0, 2.0]
    np.testing.assert_array_equal(wrap(maxima)(jnp.arange(7.0)), np.arange(7.0))


def test_in_loops_without_python() -> None:
    f = jit(lambda x: lax.fori_loop(0, 1000, lambda i, c: combined(c, 0.5)[1], x))
    assert float(f(1000.0)) == 500.0
    g = jit(lambda x: lax.while_loop(lambda c: c > 0.5, lambda c: combined(c, 1.0)[1], x))
    assert float(g(4.0)) == 0.0
    np.testing.assert_array_equal(jit(vmap(g))(jnp.array([4.0, 0.25, 2.5])), [0, 0.25, 0.5])
    h = jit(lambda xs: lax.scan(lambda c, x: (c, maxima(x)), 0, xs)[1])
    np.testing.assert_array_equal(h(ROWS), [[1, 3, 3], [3, 4, 4]])


def test_vmap() -> None:
    np.testing.assert_array_equal(vmap(maxima)(ROWS), [[1, 3, 3], [3, 4, 4]])
    found = jit(vmap(combined, (0, None)))(jnp.arange(3.0), 1.0)
    np.testing.assert_array_equal(found, [[1, 2, 5], [-1, 0, 1]])
    at_once = vmap(lambda x: maxima(x, batch=maxima_of_rows_kernel))
    np.testing.assert_array_equal(jit(at_once)(ROWS), [[1, 3, 3], [3, 4, 4]])
    (eqn,) = jitml.make_graph(at_once)(ROWS).eqns
    assert eqn.op.function.name == "maxima_of_rows_kernel"


def test_derivatives_are_the_users() -> None:
    def rule(primals: Any, tangents: Any) -> Any:
        (x, _), (dx, dy) = primals, tangents
        return combined(*primals), (2 * x * dx + dy, dx - dy)

    def f(x: Any) -> Any:
        return combined(x, x, jvp=rule)[0]

    def g(x: Any) -> Any:
        return maxima(x, vjp=(lambda x: (maxima(x), x), lambda x, ct: (7 * ct,))).sum()

    for wrap in (lambda f: f, jit):
        assert float(wrap(jitml.grad(f))(3.0)) == 7.0
        np.testing.assert_array_equal(wrap(jitml.grad(g))(X), [7, 7, 7])
        np.testing.assert_array_equal(wrap(vmap(jitml.grad(g)))(ROWS), np.full((2, 3), 7))
    with pytest.raises(DifferentiationError, match="has no derivative: nothing is known of the f"):
        jitml.grad(lambda x: maxima(x).sum())(X)
    with pytest.raises(ArgumentError, match="give jvp or vjp, not both"):
        maxima(X, jvp=rule, vjp=(rule, rule))


@pytest.mark.parametrize(
    ("wrap", "where"),
    [
        (lambda f: f, ""),
        (jit, ""),
        (lambda f: jit(lambda x: lax.scan(lambda c, _: (f(c) - 1, None), x, None, length=9)[0]),
         ", at loop step 2"),
    ],
)  # fmt: skip
def test_exceptions_are_told_with_the_line(wrap: Any, where: str) -> None:
    start = 1.0 if where else -1.0
    for _ in range(2):
        with pytest.raises(
            NativeError, match=f"positive_kernel has raised an exception{where}\n"
        ) as e:
            wrap(positive)(jnp.array([start, 0.0]))
        assert "numba_call(positive_kernel, x, result_shape_dtypes=x)" in str(e.value)


def test_what_is_not_written_is_zero() -> None:
    np.testing.assert_array_equal(jit(positive)(X), [1, 0, 0])


def test_arguments_are_not_written() -> None:
    with pytest.raises(DTypeError, match="Cannot modify readonly array"):
        numba_call(writes_its_argument, X, result_shape_dtypes=X)
    f = jit(lambda x: (numba_call(of_fixed_types, x, result_shape_dtypes=x), x))
    out, x = f(X)
    np.testing.assert_array_equal(out, [8, 0, 0])
    np.testing.assert_array_equal(x, [1, 3, 2])


def test_cfunc_of_numbers() -> None:
    assert float(jit(lambda x: numba_call(tripled, x, result_shape_dtypes=SCALAR))(2.0)) == 6.0


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match=r"compiled by numba\.njit, not a function"):
        numba_call(lambda x: x, 1.0, result_shape_dtypes=SCALAR)
    with pytest.raises(ArgumentError, match="both takes 2 arguments, but is called with 3"):
        numba_call(both, 1.0, 2.0, 3.0, result_shape_dtypes=SCALAR)
    with pytest.raises(DTypeError, match="writes its results, but returns a value"):
        numba_call(both, 1.0, result_shape_dtypes=SCALAR)
    with pytest.raises(DTypeError, match="no arrays of dtype bfloat16"):
        maxima(X.astype("bfloat16"))


def test_programs_are_not_stored(tmp_path: Any) -> None:
    with pytest.raises(TransformError, match="native_call of maxima_kernel"):
        jitml.export.save(maxima, tmp_path / "f.jitml", X)


def test_text_and_meaning() -> None:
    graph = jitml.make_graph(maxima)(X)
    assert parse_graph(str(graph)) == graph
    verify(graph)
    (found,) = graph.eqns[0].op.value(np.asarray(X))
    np.testing.assert_array_equal(found, jit(maxima)(X))
    (op,) = [
        eqn.op
        for eqn in jitml.make_graph(lambda x: combined(x, x))(1.0).eqns
        if eqn.op.name == "native_call"
    ]
    assert [float(x) for x in op.value(np.float32(2), np.float32(1))] == [5.0, 1.0]


def test_equal_calls_are_one() -> None:
    graph = jitml.make_graph(lambda x: maxima(x) + maxima(x))(X)
    assert graph.eqns[0].op == graph.eqns[1].op


@pytest.mark.skipif(find_spec("numba_cuda") is not None, reason="numba-cuda is installed")
def test_kernels_for_gpus_say_what_to_install() -> None:
    from numba import cuda

    kernel = cuda.jit(lambda out, x: None)
    with pytest.raises(ArgumentError, match="need the package numba-cuda") as raised:
        numba_call(kernel, X, result_shape_dtypes=X, grid=1, block=32)
    assert raised.value.hint == 'pip install "jitml[cuda]"'


def test_numba_is_imported_by_who_brings_it() -> None:
    code = "import sys, jitml.ffi; print([m for m in ('numba', 'cuda') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
