"""The functions that differentiate: arguments, results, dtypes, Python control flow, nesting."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.differentiation import (
    grad,
    jvp,
    linear_transpose,
    linearize,
    stop_gradient,
    value_and_grad,
    vjp,
)
from jitml.ir.graph import Graph
from jitml.ir.types import ArrayType
from jitml.jacobians import hessian, jacfwd, jacrev
from jitml.ops.elementwise import (
    add,
    complex_,
    conj,
    convert,
    div,
    exp,
    gt,
    imag,
    log,
    lt,
    maximum,
    mul,
    neg,
    real,
    select,
    sin,
    sqrt,
    sub,
)  # fmt: skip
from jitml.ops.reduction import reduce_sum
from jitml.test_util import check_grads, check_jvp, check_vjp
from jitml.trace.core import Tracer, current_trace, trace_graph, type_of
from jitml.transforms import execute, gradient
from jitml.transforms.values import as_value, float0, float0_zeros
from jitml.tree_util import tree_leaves, tree_map
from jitml.vectorization import vmap

pytestmark = pytest.mark.usefixtures("by_value")
X = np.array([0.3, 0.9, 1.4, 0.7])


def total(x: Any) -> Any:
    return reduce_sum(x, tuple(range(type_of(x).ndim)))


def cube(x: Any) -> Any:
    return mul(x, mul(x, x))


def numbers(x: Any) -> Any:
    return tree_map(np.asarray, x)


# ---- results -------------------------------------------------------------------------------------


def test_python_numbers_stay_weak() -> None:
    value, gradient_ = value_and_grad(cube)(2.0)
    assert (float(value), float(gradient_)) == (8.0, 12.0)
    assert (gradient_.dtype, gradient_.weak_type) == (np.float32, True)
    strong = grad(cube)(np.float32(2.0))
    assert (strong.dtype, strong.weak_type) == (np.float32, False)
    assert grad(cube)(np.float64(2.0)).dtype == np.float64


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_gradients_have_the_dtype_of_their_argument(dtype: str) -> None:
    import ml_dtypes  # noqa: F401  (gives NumPy the name bfloat16)

    x = np.array([1.0, 2.0], dtype)
    assert grad(lambda x: total(cube(x)))(x).dtype == x.dtype
    assert jacfwd(cube)(x).dtype == x.dtype


def test_trees_argnums_and_aux() -> None:
    def loss(parameters: Any, x: Any, scale: Any) -> Any:
        h = add(mul(parameters["w"], x), parameters["b"][0])
        return mul(total(h), as_value(scale)), {"h": h, "note": "hi"}

    p = tree_map(as_value, {"w": np.array([1.0, 2.0]), "b": (np.float64(3.0),)})
    x = as_value(np.array([5.0, 7.0]))
    (value, aux), (gp, gs) = value_and_grad(loss, argnums=(0, -1), has_aux=True)(
        p, x, np.float64(2.0)
    )
    assert float(value) == 50.0
    np.testing.assert_array_equal(gp["w"], [10.0, 14.0])
    assert float(gp["b"][0]) == 4.0
    assert float(gs) == 25.0
    assert aux["note"] == "hi"
    np.testing.assert_array_equal(aux["h"], [8.0, 17.0])
    gx, aux = grad(loss, argnums=1, has_aux=True)(p, x, scale=np.float64(2.0))
    np.testing.assert_array_equal(gx, [2.0, 4.0])
    assert set(aux) == {"h", "note"}


def test_other_arguments_pass_as_they_are() -> None:
    seen = []

    def f(x: Any, mode: str, *, flag: Any) -> Any:
        seen.append((mode, flag))
        return cube(x) if mode == "cube" else x

    assert float(grad(f)(2.0, "cube", flag=[1])) == 12.0
    assert seen == [("cube", [1])]


def test_python_control_flow_on_values() -> None:
    def f(x: Any) -> Any:
        while lt(x, 100.0):
            x = mul(x, x) if gt(x, 3.0) else mul(x, 2.0)
        return x

    # 2 → 4 → 16 → 256: d/dx (2x)^4 = 64 x³ · … at 2
    assert float(grad(f)(2.0)) == 8 * 4.0**3
    assert float(grad(grad(f))(2.0)) == 4 * 8 * 3 * 4.0**2 / 2


def test_values_are_at_hand_while_tracing() -> None:
    def f(x: Any) -> Any:
        assert isinstance(x, Tracer)
        assert float(x) == 3.0
        assert float(mul(x, x)) == 9.0
        np.testing.assert_array_equal(np.asarray(x), 3.0)
        return mul(x, float(x))

    assert float(grad(f)(3.0)) == 3.0


def test_the_function_runs_once() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(1)
        return cube(x)

    for transform in (grad, value_and_grad, jacfwd, jacrev, hessian):
        calls.clear()
        transform(f)(2.0)
        assert len(calls) == 1, transform
    _, pull = vjp(f, 2.0)
    _, push = linearize(f, 2.0)
    calls.clear()
    assert (float(pull(1.0)[0]), float(push(1.0))) == (12.0, 12.0)
    assert calls == []


def test_constant_and_unused_arguments_have_zero_gradients() -> None:
    gx, gy = grad(lambda x, y: mul(y, y), argnums=(0, 1))(X, 3.0)
    np.testing.assert_array_equal(gx, np.zeros(4))
    assert gx.dtype == np.float64
    assert float(gy) == 6.0
    assert float(grad(lambda x: 5.0)(1.0)) == 0.0
    assert float(grad(lambda x: x)(1.0)) == 1.0


def test_one_variable_used_as_several_outputs() -> None:
    (a, b), pull = vjp(lambda x: (x, x), X)
    (ct,) = pull((X, 2 * X))
    np.testing.assert_array_equal(ct, 3 * X)
    np.testing.assert_array_equal(a, b)


def test_stop_gradient() -> None:
    assert float(grad(lambda x: mul(x, stop_gradient(x)))(3.0)) == 3.0
    assert stop_gradient({"a": 2, "b": "text"})["b"] == "text"
    assert float(grad(lambda x: mul(x, stop_gradient({"k": x})["k"]))(3.0)) == 3.0


# ---- integers ------------------------------------------------------------------------------------


def test_integers_have_float0_tangents() -> None:
    (x_ct, i_ct) = vjp(lambda x, i: (mul(x, 2.0), i), X, np.arange(3))[1]((X, float0_zeros((3,))))
    np.testing.assert_array_equal(x_ct, 2 * X)
    assert (i_ct.dtype, i_ct.shape) == (float0, (3,))
    out, tangent = jvp(lambda x, i: (x, i), (1.0, 2), (3.0, float0_zeros(())))
    assert (float(tangent[0]), tangent[1].dtype, int(out[1])) == (3.0, float0, 2)
    gx, gi = grad(lambda x, i: x, argnums=(0, 1), allow_int=True)(1.0, 2)
    assert (float(gx), gi.dtype) == (1.0, float0)


def test_no_derivative_passes_through_an_integer() -> None:
    def f(x: Any) -> Any:
        return mul(convert(convert(x, np.dtype("i4")), np.dtype("f8")), x)

    assert float(grad(f)(np.float64(2.5))) == 2.0


# ---- linear functions ----------------------------------------------------------------------------


def test_linearize_and_vjp_return_containers_of_residuals() -> None:
    _, pull = vjp(lambda x: total(sin(x)), X)
    (residual,) = tree_leaves(pull)
    np.testing.assert_allclose(residual, np.cos(X))
    doubled = tree_map(lambda x: mul(x, 2.0), pull)
    np.testing.assert_allclose(doubled(np.float64(1.0))[0], 2 * np.cos(X))


def test_what_is_known_is_computed_once() -> None:
    """Pulling back twice computes the slopes once: they are residuals."""
    ran: list[str] = []
    interpret = execute.interpret

    def noting(graph: Graph, values: Any) -> Any:
        ran.extend(eqn.op.name for eqn in graph.eqns)
        return interpret(graph, values)

    execute.set_executor(noting)
    _, pull = vjp(lambda x: total(sin(x)), X)
    assert ran == ["cos"]
    pull(np.float64(1.0))
    pull(np.float64(2.0))
    assert ran.count("cos") == 1


def test_linear_transpose() -> None:
    def f(x: Any, y: Any) -> Any:
        return {"out": sub(mul(x, as_value(X)), total(y))}

    transposed = linear_transpose(f, X, np.zeros((2, 3)))
    x_ct, y_ct = transposed({"out": np.ones(4)})
    np.testing.assert_array_equal(x_ct, X)
    np.testing.assert_array_equal(y_ct, np.full((2, 3), -4.0))


def test_linear_transpose_of_a_loop_with_a_counter() -> None:
    """What the loop carries beside is computed forward, in a loop of its own."""
    factors = np.linspace(-1, 1, 4)

    def f(x: Any) -> Any:
        def step(c: Any, y: Any) -> Any:
            count, power, v = c
            v = v * jnp.asarray(factors)[count % 4] + x[count % 3] * y
            return (count + 1, power * 2, v), (v * power, count)

        (_, _, v), (ys, _) = jitml.lax.scan(step, (0, 1.0, x[0] * 2), jnp.arange(5.0))
        return {"last": v, "all": ys}

    with jitml.enable_x64():
        matrix = np.stack([np.r_[np.asarray(f(e)["last"]), f(e)["all"]] for e in jnp.eye(3)], 1)
        for run in (lambda ct: linear_transpose(f, np.ones(3))(ct)[0], None):
            ct = {"last": jnp.asarray(0.5), "all": jnp.arange(5.0)}
            found = run(ct) if run else jitml.jit(linear_transpose(f, np.ones(3)))(ct)[0]
            np.testing.assert_allclose(found, np.r_[0.5, np.arange(5.0)] @ matrix, rtol=1e-12)


def test_equal_programs_share_derived_graphs() -> None:
    def program(x: Any) -> Any:
        return total(mul(sin(x), exp(x)))

    grad(program)(X)
    before = gradient.gradient.cache_info()
    for _ in range(3):
        grad(lambda x: total(mul(sin(x), exp(x))))(X + 1)
    after = gradient.gradient.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (0, 3)


# ---- complex -------------------------------------------------------------------------------------


def test_complex_gradients_follow_the_convention_of_jax() -> None:
    jax = pytest.importorskip("jax")
    z = np.array([1.0 + 2.0j, -0.5 + 0.25j])

    def f(z: Any) -> Any:
        return total(add(mul(real(z), imag(z)), real(mul(z, conj(mul(z, z))))))

    with jax.enable_x64(True):
        wanted = jax.grad(lambda z: (z.real * z.imag + (z * (z * z).conj()).real).sum())(z)
        holomorphic = jax.grad(lambda z: (z * z * z).sum(), holomorphic=True)(z)
        rows = jax.jacfwd(lambda z: z * z, holomorphic=True)(z)
    np.testing.assert_allclose(grad(f)(z), wanted)
    found = grad(lambda z: total(cube(z)), holomorphic=True)(z)
    np.testing.assert_allclose(found, holomorphic)
    np.testing.assert_allclose(jacfwd(lambda z: mul(z, z), holomorphic=True)(z), rows)
    check_grads(lambda x, y: cube(complex_(x, y)), (X, X[::-1].copy()), order=2)


# ---- gradients of where --------------------------------------------------------------------------


def _safe_root(x: Any) -> Any:
    positive = gt(x, 0.0)
    return total(select(positive, sqrt(x), mul(x, 0.0)))


def _safe_log_ratio(x: Any) -> Any:
    inside = gt(x, 0.0)
    zero = mul(x, 0.0)
    return total(select(inside, mul(log(x), div(exp(x), x)), zero))


WITH_ZERO = np.array([4.0, 0.0, 1.0, -1.0])


@pytest.mark.parametrize("f", [_safe_root, _safe_log_ratio])
def test_the_untaken_side_of_a_select_sends_no_nan(f: Callable[[Any], Any]) -> None:
    safe = np.array([4.0, 1.0])
    first, second = grad(f)(safe), hessian(f)(safe)
    for transform in (grad(f), jacfwd(f), jacrev(f)):
        found = np.asarray(transform(WITH_ZERO))
        np.testing.assert_allclose(found[[0, 2]], first)
        np.testing.assert_array_equal(found[[1, 3]], 0)
    for transform in (
        hessian(f), jacrev(grad(f)), jacrev(jacfwd(f)), jacfwd(jacfwd(f)), jacfwd(grad(f)),
    ):  # fmt: skip
        found = np.asarray(transform(WITH_ZERO))
        np.testing.assert_allclose(found[np.ix_([0, 2], [0, 2])], second)
        np.testing.assert_array_equal(found[[1, 3]], 0)
    np.testing.assert_array_equal(np.isnan(vmap(grad(f))(WITH_ZERO[None])), False)


def test_a_real_infinity_is_not_hidden() -> None:
    assert np.isinf(grad(lambda x: total(sqrt(x)))(np.zeros(1)))[0]
    assert np.isnan(grad(lambda x: total(mul(sqrt(x), 0.0)))(np.zeros(1)))[0]
    taken = grad(lambda x: total(select(gt(x, -1.0), sqrt(x), x)))(np.zeros(1))
    assert np.isinf(taken)[0]


def test_second_derivatives_where_a_gradient_vanishes() -> None:
    """The strong zero does not swallow the derivative of a cotangent that happens to be 0."""

    def f(x: Any) -> Any:
        y = select(gt(x, -1.0), mul(x, x), x)
        return mul(y, y)

    for transform in (grad(grad(f)), jacfwd(grad(f)), jacrev(jacfwd(f)), jacfwd(jacfwd(f))):
        assert float(transform(np.float64(0.0))) == 0.0
    fourth = grad(grad(grad(grad(f))))
    assert float(fourth(np.float64(0.0))) == 24.0


def test_rectifier_at_its_corner() -> None:
    assert float(grad(lambda x: maximum(x, 0.0))(0.0)) == 0.5
    assert float(grad(lambda x: maximum(log(x), -100.0))(np.float64(0.0))) == 0.0


# ---- nesting -------------------------------------------------------------------------------------


def test_closures_over_outer_tracers() -> None:
    def f(x: Any) -> Any:
        inner = grad(lambda y: mul(mul(x, x), cube(y)))
        return inner(x)

    assert float(grad(f)(2.0)) == 3 * 4 * 2.0**3
    outer = vmap(lambda a: grad(lambda x: total(mul(a, mul(x, x))))(X))(X)
    np.testing.assert_allclose(outer, 2 * np.outer(X, X))


def test_perturbations_are_not_confused() -> None:
    assert float(grad(lambda x: mul(x, grad(lambda y: add(x, y))(1.0)))(1.0)) == 1.0
    slope = jvp(lambda x: mul(x, jvp(lambda y: mul(x, y), (3.0,), (1.0,))[1]), (2.0,), (1.0,))
    assert float(slope[1]) == 4.0


def test_inside_an_abstract_trace_everything_is_recorded() -> None:
    """As under jit: values are abstract, and the derivative becomes part of the graph."""

    def f(x: Any) -> list[Any]:
        value, gradient_ = value_and_grad(lambda v: total(cube(v)))(x)
        rows = vmap(grad(cube))(x)
        return [value, gradient_, rows, jacrev(sin)(x), vjp(sin, x)[1](x)[0]]

    traced = trace_graph(f, [ArrayType(np.dtype("f8"), (4,))])
    found = execute.interpret(traced.graph, [as_value(X)])
    wanted = [np.sum(X**3), 3 * X**2, 3 * X**2, np.diag(np.cos(X)), X * np.cos(X)]
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got, want)
    assert traced.captures == ()
    assert current_trace() is None


def test_a_failing_function_leaves_no_trace_behind() -> None:
    def bad(x: Any) -> Any:
        raise KeyError("mine")

    for transform in (grad(bad), vmap(bad), jacfwd(bad)):
        with pytest.raises(KeyError, match="mine"):
            transform(X)
        assert current_trace() is None


def test_higher_derivatives() -> None:
    f: Callable[..., Any] = sin
    for n in range(1, 6):
        f = grad(f)
        np.testing.assert_allclose(float(f(np.float64(0.3))), np.sin(0.3 + n * np.pi / 2))


# ---- Jacobians -----------------------------------------------------------------------------------


def test_jacobians_of_trees() -> None:
    def f(p: Any, s: Any) -> Any:
        return {"y": mul(p["a"], s), "z": (total(p["a"]), mul(p["b"], 2.0))}

    p = {"a": X[:2], "b": np.ones((2, 3))}
    for jacobian in (jacfwd, jacrev):
        found = jacobian(f, argnums=(0, 1))(p, np.float64(3.0))
        by_p, by_s = found["y"]
        np.testing.assert_array_equal(by_p["a"], 3 * np.eye(2))
        assert by_p["b"].shape == (2, 2, 3)
        assert not np.any(by_p["b"])
        np.testing.assert_array_equal(by_s, X[:2])
        assert found["z"][1][0]["b"].shape == (2, 3, 2, 3)
        np.testing.assert_array_equal(found["z"][0][0]["a"], [1, 1])
    blocks = hessian(lambda p: total(mul(p["a"], mul(p["a"], p["c"]))))({"a": X, "c": X * 2})
    np.testing.assert_allclose(blocks["a"]["a"], np.diag(4 * X))
    np.testing.assert_allclose(blocks["a"]["c"], np.diag(2 * X))
    jacobian_, aux = jacfwd(lambda x: (sin(x), {"twice": mul(x, 2.0)}), has_aux=True)(X)
    np.testing.assert_allclose(jacobian_, np.diag(np.cos(X)))
    np.testing.assert_allclose(aux["twice"], 2 * X)


def test_jacobian_of_empty_arrays() -> None:
    assert jacrev(lambda x: mul(x, 2.0))(np.zeros(0)).shape == (0, 0)
    assert jacfwd(neg)(np.zeros((0, 2))).shape == (0, 2, 0, 2)


# ---- numerical checks ----------------------------------------------------------------------------


def test_check_grads_accepts_right_and_rejects_wrong_derivatives() -> None:
    check_grads(lambda x, y: {"a": mul(sin(x), y)}, (X, X[::-1].copy()), order=3)
    check_grads(cube, (np.float32(1.5),), order=2)
    with pytest.raises(AssertionError, match="forward"):
        check_grads(lambda x: mul(x, stop_gradient(x)), (X,), order=1, modes=["fwd"])
    with pytest.raises(AssertionError, match="reverse"):
        check_grads(lambda x: mul(x, stop_gradient(x)), (X,), order=1, modes=["rev"])


def test_check_jvp_and_check_vjp_accept_right_and_reject_wrong_rules() -> None:
    def square(x: Any) -> Any:
        return mul(x, x)

    def push(args: Any, tangents: Any, factor: float = 2.0, offset: float = 0.0) -> Any:
        x, t = (np.asarray(v) for v in (args[0], tangents[0]))
        return x * x + offset, factor * x * t

    def pull(x: Any, factor: float = 2.0) -> Any:
        at = np.asarray(x)
        return at * at, lambda ct: (factor * at * np.asarray(ct),)

    point = (X,)
    check_jvp(square, push, point)
    check_vjp(square, pull, point)
    with pytest.raises(AssertionError, match="here: forward mode differs from differences"):
        check_jvp(square, functools.partial(push, factor=3.0), point, err_msg="here")
    with pytest.raises(AssertionError, match="the value differs from that of the function"):
        check_jvp(square, functools.partial(push, offset=1.0), point)
    with pytest.raises(AssertionError, match="reverse mode differs from differences"):
        check_vjp(square, functools.partial(pull, factor=3.0), point)
