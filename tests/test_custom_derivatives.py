"""`custom_jvp` and `custom_vjp` in every transform, against JAX and against formulas.

All pairs of functions and transforms run with JITML_GRID=full; without it every fourth does.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import (
    ArgumentError,
    DifferentiationError,
    MissingRuleError,
    TreeError,
    UnexpectedTracerError,
)
from jitml.ir.text import parse_graph
from jitml.ir.verify import verify

Module = Any

X = np.linspace(-1.5, 2.0, 4)
M = np.arange(12.0).reshape(3, 4) / 7 - 0.6


# ---- functions with rules, for any module with JAX's names ---------------------------------------


def softplus(jax: Module, jnp: Module) -> Any:
    """A rule that is stable where the function's own derivative is not, and calls the function."""

    @jax.custom_jvp
    def f(x: Any) -> Any:
        return jnp.log(1.0 + jnp.exp(x))

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return f(x), (1 - 1 / (1 + jnp.exp(x))) * t

    return f


def tree(jax: Module, jnp: Module) -> Any:
    """Containers as arguments and result; a derivative that is plainly the rule's."""

    @jax.custom_jvp
    def f(p: Any, y: Any) -> Any:
        return {"a": p["u"] * y, "b": (jnp.sin(p["v"]),)}

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        p, y = primals
        dp, dy = tangents
        tangent = {"a": 2 * (dp["u"] * y + p["u"] * dy), "b": (3 * jnp.cos(p["v"]) * dp["v"],)}
        return f(p, y), tangent

    return lambda x: jax.tree_util.tree_map(lambda z: z * z, f({"u": x, "v": x + 1}, jnp.cos(x)))


def by_argument(jax: Module, jnp: Module) -> Any:
    f = jax.custom_jvp(lambda x, y, z: x * jnp.sin(y) + z)
    f.defjvps(lambda t, out, x, y, z: 2 * jnp.sin(y) * t + out * t, None, lambda t, out, *_: t)
    return lambda x: f(x, x * x, jnp.tanh(x))


def scaled(jax: Module, jnp: Module) -> Any:
    """An argument that is a function."""

    def apply(fun: Any, x: Any, n: Any) -> Any:
        return fun(x) * n

    f = jax.custom_jvp(apply, nondiff_argnums=(0, 2))

    @f.defjvp
    def rule(fun: Any, n: Any, primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return f(fun, x, n), jax.jvp(fun, (x,), (5.0 * t,))[1] * n

    return lambda x: f(jnp.sin, x, 3) + f(lambda y: y * jnp.exp(y), x, n=2)


def with_array(jax: Module, jnp: Module) -> Any:
    """A rule that makes arrays, and works on a vector as a whole."""

    @jax.custom_jvp
    def f(x: Any) -> Any:
        return jnp.sum(x**3) * x

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        weights = jnp.array([1.0, 2.0, 3.0, 4.0])
        return f(x), jnp.sum(weights * t) * x + np.arange(4.0) * t

    return lambda x: f(x * jnp.array([2.0, 1.0, 0.5, 3.0]))


def clipped(jax: Module, jnp: Module) -> Any:
    """Gradient clipping: a backward rule that is not linear in the cotangent."""

    @jax.custom_vjp
    def f(x: Any, low: Any, high: Any) -> Any:
        return x

    def bwd(kept: Any, ct: Any) -> Any:
        return (jnp.clip(ct, kept[0], kept[1]), None, None)

    f.defvjp(lambda x, low, high: (x, (low, high)), bwd)
    return lambda x: f(x, -0.5, jnp.float32(0.75)) ** 2 * 3


def kept_tree(jax: Module, jnp: Module) -> Any:
    """Containers as arguments, residuals and result."""

    @jax.custom_vjp
    def f(p: Any, y: Any) -> Any:
        return [p["u"] * y, jnp.sin(p["v"])]

    def fwd(p: Any, y: Any) -> Any:
        return [p["u"] * y, jnp.sin(p["v"])], {"p": p, "y": y, "n": 2}

    def bwd(kept: Any, ct: Any) -> Any:
        p, y = kept["p"], kept["y"]
        return {"u": kept["n"] * ct[0] * y, "v": 3 * jnp.cos(p["v"]) * ct[1]}, ct[0] * p["u"]

    f.defvjp(fwd, bwd)
    return lambda x: jax.tree_util.tree_map(jnp.tanh, f({"u": x, "v": x * x}, jnp.cos(x)))


def backward_only(jax: Module, jnp: Module) -> Any:
    f = jax.custom_vjp(lambda fun, x: fun(x), nondiff_argnums=(0,))
    f.defvjp(lambda fun, x: (fun(x), jnp.cos(x)), lambda fun, cos, ct: (7 * cos * ct * fun(ct),))
    return lambda x: f(jnp.sin, x) * x


def nested(jax: Module, jnp: Module) -> Any:
    """A function with a rule inside one, and one around a rule's own call."""
    inner = softplus(jax, jnp)
    outer = jax.custom_vjp(lambda x: inner(inner(x)) * x)

    def fwd(x: Any) -> Any:
        y, pull = jax.vjp(inner, x)
        return inner(y) * x, (x, y, pull)

    def bwd(kept: Any, ct: Any) -> Any:
        x, y, pull = kept
        return (pull(ct * x)[0] + 2 * ct * inner(y),)

    outer.defvjp(fwd, bwd)
    return lambda x: outer(inner(x))


FORWARD = [softplus, tree, by_argument, scaled, with_array]
REVERSE = [clipped, kept_tree, backward_only, nested]

# ---- what is done with them ----------------------------------------------------------------------


def total(jax: Module, f: Any) -> Any:
    """`f` as a function with one number as its result."""
    return lambda x: sum((y * y).sum() for y in jax.tree_util.tree_leaves(f(x)))


FORWARD_USES: dict[str, Any] = {
    "jvp": lambda jax, f: lambda x: jax.jvp(f, (x,), (x * x,)),
    "linearize": lambda jax, f: lambda x: jax.linearize(f, x)[1](x * x),
    "jacfwd": lambda jax, f: jax.jacfwd(f),
    "hessian": lambda jax, f: jax.hessian(total(jax, f)),
    "jvp of jvp": lambda jax, f: (
        lambda x: jax.jvp(lambda y: jax.jvp(f, (y,), (y * y,))[1], (x,), (x,))
    ),
    "jit of jacfwd of jit": lambda jax, f: jax.jit(jax.jacfwd(jax.jit(f))),
    "jacrev of jvp": lambda jax, f: jax.jacrev(lambda y: jax.jvp(f, (y,), (y * y,))[1]),
}
USES: dict[str, Any] = {
    "call": lambda jax, f: f,
    "jit": lambda jax, f: jax.jit(f),
    "grad": lambda jax, f: jax.value_and_grad(total(jax, f)),
    "jit of grad": lambda jax, f: jax.jit(jax.value_and_grad(total(jax, f))),
    "grad of jit": lambda jax, f: jax.grad(total(jax, jax.jit(f))),
    "jacrev": lambda jax, f: jax.jacrev(f),
    "jacrev of jit": lambda jax, f: jax.jacrev(jax.jit(f)),
    "grad of grad": lambda jax, f: jax.grad(total(jax, jax.grad(total(jax, f)))),
    "jit of grad of grad": lambda jax, f: jax.jit(
        jax.grad(total(jax, jax.grad(total(jax, jax.jit(f)))))
    ),
    "jvp of grad": lambda jax, f: lambda x: jax.jvp(jax.grad(total(jax, f)), (x,), (x * x,)),
}
STACKED_USES: dict[str, Any] = {
    "vmap": lambda jax, f: jax.vmap(f),
    "jit of vmap": lambda jax, f: jax.jit(jax.vmap(f)),
    "vmap of grad": lambda jax, f: jax.vmap(jax.grad(total(jax, f))),
    "grad of vmap": lambda jax, f: jax.grad(total(jax, jax.vmap(f))),
    "vmap of grad of grad": lambda jax, f: jax.vmap(jax.grad(total(jax, jax.grad(total(jax, f))))),
    "grad of vmap of grad": lambda jax, f: jax.grad(total(jax, jax.vmap(jax.grad(total(jax, f))))),
    "jit of vmap of jit of grad": lambda jax, f: jax.jit(
        jax.vmap(jax.jit(jax.grad(total(jax, f))))
    ),
    "vmap along the last axis": lambda jax, f: lambda x: jax.vmap(f, 1, 1)(x.T),
    "vmap of vmap": lambda jax, f: jax.vmap(lambda x: jax.vmap(f, (None,), axis_size=2)(x)),
    "vmap of jacrev": lambda jax, f: jax.vmap(jax.jacrev(f)),
}


def compare(function: Any, use: Any, x: np.ndarray[Any, Any]) -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        wanted = use(jax, function(jax, jax.numpy))(jax.numpy.asarray(x))
    with jitml.enable_x64():
        found = use(jitml, function(jitml, jnp))(jnp.asarray(x))
    wanted_leaves, wanted_tree = jax.tree_util.tree_flatten(wanted)
    leaves, structure = jitml.tree_util.tree_flatten(found)
    assert str(structure) == str(wanted_tree)
    for a, b in zip(leaves, wanted_leaves, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-10, atol=1e-10)


def chosen(functions: list[Any], uses: dict[str, Any]) -> list[Any]:
    """The pairs of function and use; without JITML_GRID=full every fourth."""
    pairs = [
        pytest.param(f, use, id=f"{name} {f.__name__}")
        for name, use in uses.items()
        for f in functions
    ]
    return pairs if os.environ.get("JITML_GRID") == "full" else pairs[::4]


@pytest.mark.sampled
@pytest.mark.parametrize(("function", "use"), chosen([*FORWARD, *REVERSE], USES))
def test_against_jax(function: Any, use: Any) -> None:
    compare(function, use, X)


@pytest.mark.sampled
@pytest.mark.parametrize(("function", "use"), chosen(FORWARD, FORWARD_USES))
def test_forward_against_jax(function: Any, use: Any) -> None:
    compare(function, use, X)


@pytest.mark.sampled
@pytest.mark.parametrize(("function", "use"), chosen([*FORWARD, *REVERSE], STACKED_USES))
def test_stacked_against_jax(function: Any, use: Any) -> None:
    compare(function, use, M)


# ---- what is particular --------------------------------------------------------------------------


def test_a_rule_may_decide_by_values_outside_of_jit() -> None:
    @jitml.custom_jvp
    def f(x: Any) -> Any:
        return abs(x)

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return f(x), t if x >= 0 else -10 * t

    assert jitml.grad(f)(-3.0) == -10
    assert jitml.grad(f)(0.0) == 1
    assert jitml.grad(jitml.grad(lambda x: f(x) ** 2))(-3.0) == 100 * 2


def test_without_a_derivative_no_rule_runs() -> None:
    f = jitml.custom_jvp(lambda x: x + 1)
    f.defjvp(lambda primals, tangents: 1 / 0)
    assert f(1.0) == 2
    assert jitml.jit(f)(1.0) == 2
    assert jitml.grad(lambda x: x * f(2.0))(1.0) == 3
    assert jitml.grad(lambda x: x * f(jitml.lax.stop_gradient(x)))(1.0) == 2
    assert list(jitml.vmap(f)(jnp.arange(2.0))) == [1, 2]


def test_the_function_itself_does_not_run_where_its_rule_does() -> None:
    calls: list[str] = []

    @jitml.custom_vjp
    def f(x: Any) -> Any:
        calls.append("f")
        return x

    f.defvjp(lambda x: (calls.append("fwd"), (2 * x, None))[1], lambda kept, ct: (ct,))
    value, slope = jitml.value_and_grad(f)(3.0)
    assert (value, slope, calls) == (6, 1, ["fwd"])


@pytest.mark.parametrize("transform", [lambda f: f, jitml.jit], ids=["plain", "jit"])
def test_symbolic_zeros_of_tangents(transform: Any) -> None:
    seen: list[list[bool]] = []
    f = jitml.custom_jvp(lambda x, y, n: x * y * n)

    def rule(primals: Any, tangents: Any) -> Any:
        zeros = [isinstance(t, jitml.custom_derivatives.SymbolicZero) for t in tangents]
        seen.append(zeros)
        x, y, n = primals
        return x * y * n, 3.0 * tangents[0] * y

    f.defjvp(rule, symbolic_zeros=True)
    assert jitml.grad(transform(lambda x: f(x, 2.0, 3)))(1.0) == 6
    assert seen[-1] == [False, True, True]


def test_symbolic_zeros_of_arguments() -> None:
    seen: list[list[bool]] = []
    f = jitml.custom_vjp(lambda p, y: p["u"] * y + p["v"])

    def fwd(p: Any, y: Any) -> Any:
        seen.append([p["u"].perturbed, p["v"].perturbed, y.perturbed])
        return p["u"].value * y.value + p["v"].value, y.value

    f.defvjp(fwd, lambda y, ct: ({"u": y * ct, "v": None}, None), symbolic_zeros=True)
    assert jitml.grad(lambda x: f({"u": x, "v": 1.0}, 4.0))(2.0) == 4
    assert seen == [[True, False, False]]


def test_integers_have_float0_tangents_and_no_cotangents() -> None:
    @jitml.custom_jvp
    def f(x: Any, n: Any) -> Any:
        return x * n, n + 1

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        assert tangents[1].dtype == jitml.dtypes.float0
        return f(*primals), (tangents[0] * primals[1], tangents[1])

    g = jitml.custom_vjp(lambda x, n: (x * n, n + 1))

    def bwd(n: Any, cts: Any) -> Any:
        assert cts[1].dtype == jitml.dtypes.float0
        return cts[0] * n, None

    g.defvjp(lambda x, n: ((x * n, n + 1), n), bwd)
    n = jnp.int32(3)
    for h in (f, g, jitml.jit(f), jitml.jit(g)):
        assert jitml.grad(lambda x, h=h: h(x, n)[0])(2.0) == 3
        assert list(jitml.vmap(jitml.grad(lambda x, h=h: h(x, n)[0]))(jnp.ones(2))) == [3, 3]


@pytest.mark.parametrize("transform", [lambda f: f, jitml.jit], ids=["plain", "jit"])
def test_rules_that_close_over_traced_values(transform: Any) -> None:
    def program(scale: Any, x: Any) -> Any:
        f = jitml.custom_jvp(lambda y: y * scale)
        f.defjvp(lambda p, t: (f(*p), 10 * scale * t[0]))
        g = jitml.custom_vjp(lambda y: y * scale)
        g.defvjp(lambda y: (g(y), None), lambda _, ct: (100 * scale * ct,))
        inner = transform(lambda z: f(z) + g(z))
        return jitml.grad(inner)(x)

    assert program(2.0, 1.0) == 220
    assert jitml.jit(program)(2.0, 1.0) == 220
    assert list(jitml.vmap(program)(jnp.arange(3.0), jnp.ones(3))) == [0, 110, 220]
    with pytest.raises(DifferentiationError, match="closes over"):
        jitml.grad(program)(2.0, 1.0)
    outer = transform(lambda scale, x: program(scale, x) * x)
    assert jitml.grad(outer, argnums=1)(2.0, 1.0) == 220


def test_a_jitted_function_keeps_what_its_rule_closes_over() -> None:
    @jitml.jit
    def program(scale: Any, x: Any) -> Any:
        f = jitml.custom_jvp(lambda y: y)
        f.defjvp(lambda p, t: (f(*p), scale * t[0]))
        return f(x)

    assert jitml.grad(program, argnums=1)(3.0, 1.0) == 3
    many = jitml.vmap(jitml.grad(program, argnums=1))(jnp.arange(3.0), jnp.ones(3))
    assert list(many) == [0, 1, 2]
    both = jitml.grad(lambda s, x: jitml.vmap(program)(s, x).sum(), argnums=1)
    assert list(both(jnp.arange(3.0), jnp.ones(3))) == [0, 1, 2]


def test_changed_globals_of_a_rule_are_seen_by_jit() -> None:
    f = jitml.custom_jvp(lambda x: x)
    f.defjvp(lambda p, t: (f(*p), _FACTOR["now"] * t[0]))
    slope = jitml.jit(jitml.grad(lambda x: f(x)))
    assert slope(1.0) == 2
    _FACTOR["now"] = 5.0
    try:
        assert slope(1.0) == 5
    finally:
        _FACTOR["now"] = 2.0


_FACTOR = {"now": 2.0}


def test_defaults_and_keywords() -> None:
    @jitml.custom_jvp
    def f(x: Any, y: Any = 2.0) -> Any:
        return x * y

    f.defjvp(lambda p, t: (f(*p), 7 * t[0] + t[1]))
    assert f(3.0) == 6
    assert jitml.grad(lambda x: f(x))(3.0) == 7
    assert jitml.grad(lambda x: f(y=x, x=1.0))(3.0) == 1

    g = jitml.custom_jvp(lambda x, mode: x, nondiff_argnames=("mode",))
    g.defjvp(lambda mode, p, t: (g(*p, mode), {"a": 2, "b": 3}[mode] * t[0]))
    assert jitml.grad(g)(1.0, "b") == 3
    assert jitml.jit(lambda x: jitml.grad(g)(x, mode="a"))(1.0) == 2


def test_as_a_method() -> None:
    class Model:
        factor = 3.0

        @jitml.custom_jvp
        def apply(self, x: Any) -> Any:
            return x

        apply.nondiff_argnums = (0,)

        @apply.defjvp
        def apply_jvp(self, primals: Any, tangents: Any) -> Any:
            return primals[0], self.factor * tangents[0]

    assert jitml.grad(Model().apply)(1.0) == 3


def test_linear_transpose_goes_through_the_function() -> None:
    f = jitml.custom_jvp(lambda x: 3 * x)
    f.defjvp(lambda p, t: (f(*p), 100 * t[0]))
    assert jitml.linear_transpose(f, 1.0)(2.0) == (6,)


def test_the_text_reads_back() -> None:
    f = softplus(jitml, jnp)
    graph = jitml.make_graph(jitml.vmap(f))(jnp.ones(2))
    assert "custom_call" in str(graph)
    assert parse_graph(str(verify(graph))) == graph
    with pytest.raises(ArgumentError, match="there is no rule"):
        parse_graph(str(graph).replace("name='f'", "name='other'"))


def test_no_call_is_left_in_compiled_code() -> None:
    f = softplus(jitml, jnp)
    plain = jitml.jit(lambda x: jnp.log(1.0 + jnp.exp(x)) * 2).lower(1.0).compile()
    assert jitml.jit(lambda x: f(x) * 2).lower(1.0).compile().as_text() == plain.as_text()


# ---- errors --------------------------------------------------------------------------------------


def rule_of(function: Any) -> Any:
    f = jitml.custom_jvp(lambda x: x * 1.0)
    f.defjvp(function)
    return f


def pullback_of(fwd: Any, bwd: Any) -> Any:
    f = jitml.custom_vjp(lambda x: x * 1.0)
    f.defvjp(fwd, bwd)
    return f


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (jitml.custom_jvp(lambda x: x), MissingRuleError, "no derivative rule yet"),
    (jitml.custom_vjp(lambda x: x), AttributeError, "no derivative rule yet"),
    (rule_of(lambda p, t: t[0]), TypeError, "must return a pair"),
    (rule_of(lambda p, t: (p[0], (t[0],))), TreeError, "one structure"),
    (rule_of(lambda p, t: (p[0], jnp.ones(2))), ArgumentError, r"tangent of type f32\[2\]"),
    (rule_of(lambda p, t: (t[0], t[0])), DifferentiationError, "depends on tangents"),
    (pullback_of(lambda x: x, lambda k, ct: (ct,)), TypeError, "must return a pair"),
    (pullback_of(lambda x: (x, None), lambda k, ct: ct), TypeError, "must return a tuple"),
    (pullback_of(lambda x: (x, None), lambda k, ct: (ct, ct)), TreeError, "for each of 1"),
    (pullback_of(lambda x: (x, 0), lambda k, ct: (jnp.ones(2),)), ValueError, "cotangent of type"),
]


@pytest.mark.parametrize(("function", "kind", "message"), ERRORS, ids=[e[2] for e in ERRORS])
@pytest.mark.parametrize("transform", [lambda f: f, jitml.jit], ids=["plain", "jit"])
def test_errors(function: Any, kind: type[Exception], message: str, transform: Any) -> None:
    with pytest.raises(kind, match=message) as caught:
        jitml.grad(transform(function))(1.0)
    assert "test_custom_derivatives.py" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 6


def test_outputs_of_rules_are_compared_with_the_function() -> None:
    f = rule_of(lambda p, t: (jnp.ones(2), jnp.ones(2)))
    with pytest.raises(ArgumentError, match="which is f32"):
        jitml.grad(jitml.jit(f))(1.0)
    f = rule_of(lambda p, t: ((p[0], p[0]), (t[0], t[0])))
    with pytest.raises(ArgumentError, match="which is f32"):
        jitml.jit(jitml.grad(lambda x: jitml.jit(f)(x)))(1.0)


@pytest.mark.parametrize("transform", [lambda f: f, jitml.jit], ids=["plain", "jit"])
def test_derivatives_in_closed_over_values_are_refused(transform: Any) -> None:
    def program(x: Any) -> Any:
        f = jitml.custom_jvp(lambda y: y * x)
        f.defjvp(lambda p, t: (f(*p), t[0] * x))
        return transform(f)(x)

    with pytest.raises(DifferentiationError, match="closes over"):
        jitml.grad(program)(2.0)


@pytest.mark.parametrize("use", ["jvp", "jacfwd", "linearize"])
def test_forward_mode_of_custom_vjp_is_refused(use: str) -> None:
    f = clipped(jitml, jnp)
    with pytest.raises(TypeError, match="custom_vjp"):
        FORWARD_USES[use](jitml, f)(jnp.ones(2))
    with pytest.raises(TypeError, match="custom_vjp"):
        jitml.jit(FORWARD_USES[use](jitml, f))(jnp.ones(2))


def test_traced_values_cannot_be_nondiff_arguments_of_custom_vjp() -> None:
    f = jitml.custom_vjp(lambda n, x: n * x, nondiff_argnums=(0,))
    f.defvjp(lambda n, x: (n * x, None), lambda n, kept, ct: (n * ct,))
    assert jitml.grad(lambda x: f(2.0, x))(1.0) == 2
    with pytest.raises(UnexpectedTracerError, match="nondiff_argnums"):
        jitml.jit(lambda x: f(x, x))(1.0)


def test_a_recorded_derivative_can_be_batched() -> None:
    """What a derivative records of a function with a rule, stacked, and differentiated then."""
    from jitml.recording import record
    from jitml.transforms.batch import batch
    from jitml.transforms.jvp import jvp

    f = jitml.custom_jvp(lambda x: x * x)
    f.defjvp(lambda p, t: (f(*p), 10 * p[0] * t[0]))
    graph = record(f, [jnp.float32(3.0)]).graph
    assert [eqn.op.name for eqn in graph.eqns] == ["custom_tangents"]
    axes = [0] + [None] * (len(graph.inputs) - 1)
    batched = batch(graph, 2, axes)
    assert batched.axes == (0,)
    pushed = jvp(batched.graph, [axis == 0 for axis in axes])
    assert verify(pushed.graph).output_types[1].shape == (2,)
