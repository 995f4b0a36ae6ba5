"""`checkpoint`: the same derivatives, from values that are computed again."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.ad_checkpoint import checkpoint_name, checkpoint_policies
from jitml.errors import ArgumentError, TracerBoolConversionError
from jitml.ir.text import parse_graph
from jitml.ir.verify import verify

Module = Any
X = np.linspace(-1.5, 2.0, 4)
LAYERS, BATCH, WIDTH = 6, 64, 16
ACTIVATION_BYTES = BATCH * WIDTH * 4


def layer(w: Any, x: Any) -> Any:
    return jnp.tanh(checkpoint_name(jnp.sin(x @ w), "hidden"))


def loss_of(layer: Any) -> Any:
    def loss(ws: Any, x: Any) -> Any:
        for w in ws:
            x = layer(w, x)
        return (x * x).sum()

    return loss


def weights() -> tuple[list[Any], Any]:
    rng = np.random.default_rng(0)
    ws = [jnp.asarray(rng.normal(size=(WIDTH, WIDTH)).astype("f") / 4) for _ in range(LAYERS)]
    return ws, jnp.asarray(rng.normal(size=(BATCH, WIDTH)).astype("f"))


def residual_bytes(loss: Any) -> int:
    """Bytes that the backward pass keeps beside weights and input."""
    ws, x = weights()
    _, pull = jitml.vjp(loss, ws, x)
    given = {id(a) for a in (*ws, x)}
    kept = {id(a): a for a in jitml.tree.leaves(pull) if id(a) not in given}
    return sum(a.nbytes for a in kept.values())


def peak_bytes(loss: Any) -> int:
    compiled = jitml.jit(jitml.grad(loss)).lower(*weights()).compile()
    return int(compiled.memory_analysis().temp_size_in_bytes)


POLICIES: dict[str, Any] = {
    "default": None,
    "nothing": checkpoint_policies.nothing_saveable,
    "everything": checkpoint_policies.everything_saveable,
    "dots": checkpoint_policies.dots_saveable,
    "dots without batch": checkpoint_policies.dots_with_no_batch_dims_saveable,
    "names": checkpoint_policies.save_only_these_names("hidden"),
    "other names": checkpoint_policies.save_any_names_but_these("hidden"),
    "all but names": checkpoint_policies.save_anything_except_these_names("hidden"),
    "names or dots": checkpoint_policies.save_from_both_policies(
        checkpoint_policies.save_only_these_names("hidden"), checkpoint_policies.dots_saveable
    ),
    "own": lambda op, *types, **parameters: op.name == "tanh",
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_gradients_have_the_same_bits(policy: Any) -> None:
    ws, x = weights()
    plain = jitml.grad(loss_of(layer))(ws, x)
    loss = loss_of(jitml.checkpoint(layer, policy=policy))
    for gradient in (jitml.grad(loss), jitml.jit(jitml.grad(loss)), jitml.grad(jitml.jit(loss))):
        for found, wanted in zip(gradient(ws, x), plain, strict=True):
            assert np.array_equal(found, wanted)


# What a layer keeps, in activations: its input, unless that is the result of the one before, which
# is then counted there.
@pytest.mark.parametrize(
    ("policy", "kept"),
    [("default", 1), ("nothing", 1), ("dots", 2), ("names", 2), ("other names", 1), ("own", 1)],
)
def test_what_is_kept(policy: str, kept: int) -> None:
    loss = loss_of(jitml.checkpoint(layer, policy=POLICIES[policy]))
    # The last layer's result is kept by the loss; the first layer's input is given.
    assert residual_bytes(loss) == LAYERS * kept * ACTIVATION_BYTES


def test_one_checkpoint_around_all_keeps_nothing() -> None:
    assert residual_bytes(jitml.checkpoint(loss_of(layer))) == 0


def test_compiled_code_needs_less_memory() -> None:
    plain = peak_bytes(loss_of(layer))
    kept = {
        name: peak_bytes(loss_of(jitml.checkpoint(layer, policy=p))) for name, p in POLICIES.items()
    }
    assert kept["everything"] == plain >= 2 * LAYERS * ACTIVATION_BYTES
    assert kept["default"] == kept["nothing"] <= (LAYERS + 3) * ACTIVATION_BYTES

    def by_twos(ws: Any, x: Any) -> Any:
        block = jitml.checkpoint(lambda a, b, x: layer(b, layer(a, x)))
        for k in range(0, LAYERS, 2):
            x = block(ws[k], ws[k + 1], x)
        return (x * x).sum()

    assert peak_bytes(by_twos) < kept["nothing"]


def test_without_prevent_cse_compiled_code_computes_once() -> None:
    f = jitml.checkpoint(lambda x: jnp.sin(jnp.exp(x)), prevent_cse=False)
    once = jitml.jit(jitml.value_and_grad(f)).lower(1.0).compile().as_text()
    plain = jitml.jit(jitml.value_and_grad(lambda x: jnp.sin(jnp.exp(x)))).lower(1.0).compile()
    assert once == plain.as_text()


# ---- transforms ----------------------------------------------------------------------------------


def chain(jax: Module, jnp: Module) -> Any:
    return jax.checkpoint(lambda x: jnp.sin(jnp.exp(jnp.sin(x))) * x)


def nested(jax: Module, jnp: Module) -> Any:
    inner = jax.checkpoint(lambda x, n: jnp.tanh(x * n), static_argnums=1)
    outer = jax.remat(lambda p: {"a": inner(p["x"], 3) + jnp.exp(p["y"]), "b": inner(p["y"], 2)})
    return lambda x: outer({"x": x, "y": x * x})["a"] * outer({"x": x, "y": x})["b"]


def closed(jax: Module, jnp: Module) -> Any:
    def f(x: Any) -> Any:
        y = jnp.sin(x)
        return jax.checkpoint(lambda z: jnp.exp(z * y) + x)(x * 0.5)

    return f


def with_rules(jax: Module, jnp: Module) -> Any:
    f = jax.custom_jvp(lambda x: jnp.sin(x))
    f.defjvp(lambda p, t: (f(*p), 3 * jnp.cos(p[0]) * t[0] * jnp.array([1.0, 2, 3, 4])))
    return jax.checkpoint(lambda x: jnp.exp(f(x * x)))


def with_pullback(jax: Module, jnp: Module) -> Any:
    g = jax.custom_vjp(lambda x: x * x)
    g.defvjp(lambda x: (x * x, x), lambda x, ct: (5 * x * jnp.tanh(ct),))
    return jax.checkpoint(lambda x: jnp.sin(g(x * x)))


def total(jax: Module, f: Any) -> Any:
    return lambda x: (f(x) ** 2).sum()


USES: dict[str, Any] = {
    "call": lambda jax, f: jax.jit(f),
    "grad": lambda jax, f: jax.value_and_grad(total(jax, f)),
    "jit of grad": lambda jax, f: jax.jit(jax.grad(total(jax, f))),
    "grad of jit": lambda jax, f: jax.grad(total(jax, jax.jit(f))),
    "jacrev": lambda jax, f: jax.jacrev(f),
    "grad of grad": lambda jax, f: jax.grad(total(jax, jax.grad(total(jax, f)))),
    "jit of grad of jit of grad": lambda jax, f: jax.jit(
        jax.grad(total(jax, jax.jit(jax.grad(total(jax, jax.jit(f))))))
    ),
    "grad of checkpoint of grad": lambda jax, f: jax.grad(
        total(jax, jax.checkpoint(jax.grad(total(jax, f))))
    ),
    "vmap": lambda jax, f: lambda x: jax.vmap(f)(x * jax.numpy.ones((3, 1))),
    "vmap of grad": lambda jax, f: (
        lambda x: jax.vmap(jax.grad(total(jax, f)))(x * jax.numpy.ones((3, 1)))
    ),
    "grad of vmap": lambda jax, f: jax.grad(
        lambda x: total(jax, jax.vmap(f))(x * jax.numpy.ones((3, 1)))
    ),
    "checkpoint of vmap of checkpoint": lambda jax, f: jax.jit(
        jax.grad(lambda x: total(jax, jax.checkpoint(jax.vmap(f)))(x * jax.numpy.ones((3, 1))))
    ),
}
FORWARD_USES: dict[str, Any] = {
    "jvp": lambda jax, f: lambda x: jax.jvp(f, (x,), (x * x,)),
    "linearize": lambda jax, f: lambda x: jax.linearize(f, x)[1](x * x),
    "jit of hessian": lambda jax, f: jax.jit(jax.hessian(total(jax, f))),
    "jacfwd": lambda jax, f: jax.jacfwd(f),
    "jvp of grad": lambda jax, f: lambda x: jax.jvp(jax.grad(total(jax, f)), (x,), (x,)),
}


def chosen(functions: list[Any], uses: dict[str, Any]) -> list[Any]:
    """The pairs of function and use; without JITML_GRID=full every third."""
    pairs = [
        pytest.param(f, use, id=f"{name} {f.__name__}")
        for name, use in uses.items()
        for f in functions
    ]
    return pairs if os.environ.get("JITML_GRID") == "full" else pairs[::3]


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "use"),
    [
        *chosen([chain, nested, closed, with_rules, with_pullback], USES),
        *chosen([chain, nested, closed, with_rules], FORWARD_USES),
    ],
)
def test_against_jax(function: Any, use: Any) -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        wanted = use(jax, function(jax, jax.numpy))(jax.numpy.asarray(X))
    with jitml.enable_x64():
        found = use(jitml, function(jitml, jnp))(jnp.asarray(X))
    wanted_leaves = jax.tree_util.tree_leaves(wanted)
    for a, b in zip(jitml.tree.leaves(found), wanted_leaves, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-10, atol=1e-10)


# ---- what is particular --------------------------------------------------------------------------


def test_values_are_computed_again() -> None:
    f = jitml.checkpoint(lambda x: jnp.sin(jnp.exp(x)))
    text = str(jitml.make_graph(jitml.grad(f))(1.0))
    assert text.count(" exp ") == 2
    kept = jitml.checkpoint(
        lambda x: jnp.sin(jnp.exp(x)), policy=checkpoint_policies.everything_saveable
    )
    assert str(jitml.make_graph(jitml.grad(kept))(1.0)).count(" exp ") == 1


def test_static_arguments_and_keywords() -> None:
    @jitml.checkpoint
    def f(x: Any, *, factor: Any) -> Any:
        return x * factor

    assert jitml.grad(lambda x: f(x, factor=x))(3.0) == 6

    def by_mode(x: Any, mode: str) -> Any:
        return x * x if mode == "square" else x

    for options in ({"static_argnums": (1,)}, {"static_argnames": "mode"}):
        g = jitml.checkpoint(by_mode, **options)
        assert jitml.grad(g)(3.0, "square") == 6
        assert jitml.grad(lambda x, g=g: g(x, mode="other"))(3.0) == 1


def test_without_a_derivative_the_function_runs_as_it_is() -> None:
    f = jitml.checkpoint(lambda x: x if x > 0 else -x)
    assert f(-2.0) == 2
    assert checkpoint_name({"a": 1.0}, "x") == {"a": 1.0}


def test_the_text_reads_back() -> None:
    f = jitml.checkpoint(layer, policy=checkpoint_policies.dots_saveable)
    ws, x = weights()
    graph = jitml.make_graph(jitml.grad(loss_of(f)))(ws, x)
    assert "dots_saveable" in str(graph)
    assert parse_graph(str(verify(graph))) == graph


def test_errors() -> None:
    f = jitml.checkpoint(lambda x, mode: x)
    with pytest.raises(ArgumentError, match=r"argument \[1\] of <lambda> is a str"):
        jitml.grad(f)(1.0, "a")
    g = jitml.checkpoint(lambda x: x if x > 0 else -x)
    with pytest.raises(TracerBoolConversionError):
        jitml.grad(g)(1.0)
    with pytest.raises(TypeError, match="takes a function"):
        jitml.checkpoint(1)  # type: ignore[arg-type]
