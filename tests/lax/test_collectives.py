"""Collectives: what each one computes, on what trees, names and types, and inside what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import errors, grad, jit, lax, vmap

X = np.array([[1.0, 4.0], [2.0, -1.0], [0.5, 3.0]], np.float32)


def named(f: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    return vmap(f, axis_name="i", **options)


def same(found: Any, wanted: Any) -> None:
    np.testing.assert_array_equal(np.asarray(found), wanted)


# ---- what they compute ---------------------------------------------------------------------------


def test_reductions() -> None:
    same(named(lambda x: lax.psum(x, "i"))(X), np.stack([X.sum(0)] * 3))
    same(named(lambda x: lax.pmax(x, "i"))(X), np.stack([X.max(0)] * 3))
    same(named(lambda x: lax.pmin(x, "i"), out_axes=None)(X), X.min(0))
    same(named(lambda x: lax.pmean(x, "i"), in_axes=1)(X), np.stack([X.sum(1) / 2] * 2))
    same(named(lambda n: lax.pmean(n, "i"))(jnp.arange(4)), np.full(4, 1.5, np.float32))


def test_what_is_not_mapped_counts_once_for_each_element() -> None:
    shared = jnp.array([1, 2], jnp.int8)
    found = named(lambda x: lax.psum(shared, "i"), out_axes=None, axis_size=200)(jnp.ones(200))
    same(found, np.array([200, 400]).astype(np.int8))
    same(named(lambda x: lax.pmax(shared, "i"))(X), [[1, 2]] * 3)
    same(named(lambda x: lax.all_gather(7, "i"))(X), np.full((3, 3), 7))


def test_python_numbers_stay_python_numbers() -> None:
    def f(x: Any) -> Any:
        assert lax.psum(1, "i") == 3
        assert type(lax.psum(2.0, "i")) is float
        assert lax.pmax(5, "i") == 5
        return x * lax.axis_size("i")

    same(named(f)(X), X * 3)


def test_truth_values() -> None:
    found = named(lambda x: (lax.psum(x > 1, "i"), lax.pmax(x > 1, "i")), out_axes=None)(X)
    same(found[0], (X > 1).sum(0))
    assert found[0].dtype == jnp.int32
    same(found[1], (X > 1).any(0))


def test_gathers() -> None:
    same(named(lambda x: lax.all_gather(x, "i"))(X), np.stack([X] * 3))
    same(named(lambda x: lax.all_gather(x, "i", axis=-1))(X)[0], X.T)
    same(named(lambda x: lax.all_gather(x, "i", tiled=True))(X)[2], X.reshape(-1))
    same(named(lambda x: lax.pbroadcast(x, "i", 1))(X), np.stack([X[1]] * 3))


@pytest.mark.parametrize("perm", [[1, 2, 3, 0], [3, 2, 1, 0], [2, 0, 3, 1], [0, 1, 2, 3]])
def test_permutations(perm: list[int]) -> None:
    x = jnp.arange(8.0).reshape(4, 2)
    same(named(lambda x: lax.pshuffle(x, "i", perm))(x), np.asarray(x)[perm])
    pairs = [(source, target) for target, source in enumerate(perm)][1:]
    found = named(lambda x: lax.ppermute(x, "i", pairs), in_axes=1)(x.T)
    same(found[1:], np.asarray(x)[perm][1:])
    same(found[0], [0, 0])


def test_a_permutation_of_nothing() -> None:
    same(named(lambda x: lax.ppermute(x, "i", []))(X), np.zeros_like(X))
    same(named(lambda x: lax.ppermute(3, "i", [(0, 2)]))(X), [0, 0, 3])
    same(named(lambda x: lax.ppermute(3, "i", [(0, 2), (1, 0), (2, 1)]))(X), [3, 3, 3])


def test_what_is_sent_is_received() -> None:
    pairs = [(0, 2), (2, 1)]

    def received(x: Any) -> Any:
        tokens = lax.psend({"x": x}, "i", pairs)
        return jit(lambda token: lax.precv(token, x, "i", pairs))(tokens["x"])

    same(named(received)(X), named(lambda x: lax.ppermute(x, "i", pairs))(X))


def test_exchanges() -> None:
    x = jnp.arange(24.0).reshape(2, 4, 3)
    found = named(lambda x: lax.all_to_all(x, "i", 0, 1, tiled=True))(x)
    blocks = np.asarray(x).reshape(2, 2, 2, 3)  # element, piece, rows of a piece, columns
    same(found, np.stack([np.concatenate(blocks[:, k], 1) for k in range(2)]))
    square = jnp.arange(27.0).reshape(3, 3, 3)
    same(named(lambda x: lax.pswapaxes(x, "i", 1))(square), np.asarray(square).transpose(2, 1, 0))
    total = named(lambda x: lax.psum_scatter(x, "i", scatter_dimension=1))(square)
    same(total, np.asarray(square).sum(0).T)
    tiled = named(lambda x: lax.psum_scatter(x, "i", scatter_dimension=0, tiled=True))(x)
    same(tiled, np.asarray(x).sum(0).reshape(2, 2, 3))


def test_an_axis_of_no_element() -> None:
    empty = jnp.ones((0, 3))
    assert named(lambda x: lax.psum(x, "i"))(empty).shape == (0, 3)
    same(named(lambda x: lax.psum(x, "i"), out_axes=None)(empty), np.zeros(3))
    assert named(lambda x: lax.all_gather(x, "i"))(empty).shape == (0, 0, 3)


def test_trees_and_axes_of_the_array_itself() -> None:
    found = named(lambda t: lax.psum(t, "i"), out_axes=None)({"a": X, "b": (X[:, 0], X[:, :1])})
    same(found["b"][1], X[:, :1].sum(0))
    same(named(lambda x: lax.psum(x, ("i", 0)), out_axes=None)(X), X.sum())
    same(lax.psum(X, 1), X.sum(1))
    same(lax.pmax(X, (0, -1)), X.max())


# ---- names ---------------------------------------------------------------------------------------


def nested(f: Callable[..., Any]) -> Any:
    return vmap(vmap(f, axis_name="j"), axis_name="i")(X)


def test_several_names() -> None:
    same(nested(lambda x: lax.psum(x, ("i", "j"))), np.full((3, 2), X.sum()))
    same(nested(lambda x: lax.psum(x, "i")), np.stack([X.sum(0)] * 3))
    same(nested(lambda x: lax.axis_index(("i", "j"))), np.arange(6).reshape(3, 2))
    same(nested(lambda x: lax.axis_index("i") * 10 + lax.axis_index("j"))[2], [20, 21])
    same(nested(lambda x: lax.all_gather(x, ("i", "j")))[1, 1], X.reshape(-1))
    same(nested(lambda x: lax.pbroadcast(x, ("i", "j"), 3)), np.full((3, 2), X[1, 1]))
    assert nested(lambda x: x + lax.axis_size(("i", "j")) + lax.psum(1, "j")).shape == (3, 2)

    def scattered(x: Any) -> Any:
        return lax.psum_scatter(jnp.arange(6.0) * x, ("i", "j"))

    same(nested(scattered), np.arange(6.0).reshape(3, 2) * X.sum())


def test_the_innermost_axis_of_a_name_counts() -> None:
    def outer(row: Any) -> Any:
        return named(lambda x: lax.psum(x, "i"))(row) + lax.psum(row, "i")

    same(named(outer)(X), X.sum(1, keepdims=True) + X.sum(0))


def test_names_of_any_kind() -> None:
    key = object()
    for name in ("i", ("a", 1), key, frozenset("x")):
        names = (name,) if isinstance(name, tuple) else name
        same(vmap(lambda x, names=names: lax.psum(x, names), axis_name=name)(X)[0], X.sum(0))


def test_no_argument_is_mapped() -> None:
    same(named(lambda: lax.axis_index("i"), axis_size=3)(), [0, 1, 2])
    same(named(lambda x: x + lax.axis_index("i"), in_axes=None, axis_size=2)(3), [3, 4])
    same(vmap(lambda x: x * 2, spmd_axis_name="devices")(X), X * 2)
    same(vmap(lambda x: x * 2, spmd_axis_name=("a", "b"), axis_name="i")(X), X * 2)


# ---- inside other things -------------------------------------------------------------------------


def test_a_jitted_function_is_traced_again_for_other_axes() -> None:
    traces = []

    @jit
    def share(x: Any) -> Any:
        traces.append(1)
        return x / lax.psum(x, "i") * lax.axis_size("i")

    for size in (3, 2, 3):
        x = X[:size, 0]
        np.testing.assert_allclose(named(share)(x), x / x.sum() * size, rtol=1e-6)
    assert len(traces) == 2
    with pytest.raises(NameError):
        share(X)
    same(
        vmap(lambda x: vmap(jit(lambda y: y - lax.pmax(y, "i")))(x), axis_name="i")(X), X - X.max(0)
    )


def test_in_loops_and_branches() -> None:
    def f(x: Any) -> Any:
        total, _ = lax.scan(lambda c, _: (c + lax.psum(x, "i"), None), x, None, length=3)
        grown = lax.while_loop(lambda c: c < 100, lambda c: c + lax.pmax(c, "i"), total)
        return lax.cond(lax.axis_index("i") == 1, lambda y: lax.psum(y, "i"), jnp.negative, grown)

    x = np.array([1.0, 2.0, 4.0], np.float32)
    total = x + 3 * x.sum()
    while (total < 100).any():
        total = np.where(total < 100, total + total.max(), total)
    for run in (named(f), jit(named(f))):
        same(run(x), np.where(np.arange(3) == 1, total.sum(), -total))


def test_a_loop_that_all_elements_end_together_has_one_condition() -> None:
    def f(x: Any) -> Any:
        return lax.while_loop(lambda c: lax.psum(c, "i") < 50, lambda c: c * 2, x)

    graph = jitml.make_graph(named(f))(X[:, 0])
    assert [eqn.op.name for eqn in graph.eqns].count("while") == 1
    same(named(f)(X[:, 0]), X[:, 0] * 16)


def test_rules_of_users_may_use_collectives() -> None:
    @jitml.custom_vjp
    def centred(x: Any) -> Any:
        return x - lax.pmean(x, "i")

    centred.defvjp(
        lambda x: (x - lax.pmean(x, "i"), lax.axis_index("i")),
        lambda k, ct: (ct * (k + lax.psum(1, "i")),),
    )
    x = X[:, 0]
    same(named(grad(centred))(x), [3, 4, 5])
    same(grad(lambda x: named(centred)(x).sum())(x), [3, 4, 5])
    same(jit(grad(lambda x: named(jit(centred))(x).sum()))(x), [3, 4, 5])

    @jitml.custom_jvp
    def double(x: Any) -> Any:
        return x * 2

    double.defjvp(lambda xs, ts: (xs[0] * 2, lax.psum(ts[0], "i")))
    same(jitml.jvp(named(double), (x,), (x,))[1], np.full(3, x.sum()))


def test_extremes_have_derivatives() -> None:
    x = np.array([1.0, 3.0, 3.0, 2.0], np.float32)
    same(named(grad(lambda x: lax.pmax(x, "i")))(x), [0, 2, 2, 0])
    same(grad(lambda x: named(lambda x: lax.pmin(x, "i"), out_axes=None)(x))(x), [1, 0, 0, 0])
    same(jitml.jvp(named(lambda x: lax.pmax(x, "i")), (x,), (jnp.arange(4.0),))[1], [1.5] * 4)


def test_a_graph_with_free_names_says_so_when_it_is_run() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(jitml.make_graph(lambda x: lax.psum(x, "i") + lax.axis_index("i"))(x))
        return x

    named(f)(X)
    from jitml.ir.text import parse_graph
    from jitml.pipeline.compile import run_graph

    assert "all_reduce" in str(kept[0])
    assert parse_graph(str(kept[0])) == kept[0]
    with pytest.raises(errors.UnboundAxisError, match="unbound axis name: 'i'"):
        run_graph(kept[0], [jnp.asarray(X[0])])


# ---- errors --------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "unbound": (lambda x: lax.all_gather(x, "k"), "unbound axis name: 'k' .*mapped here are 'i'"),
    "groups": (lambda x: lax.psum(x, "i", axis_index_groups=[[0], [1, 2]]), "axis_index_groups"),
    "twice": (lambda x: lax.psum(x, ("i", "i")), "named twice"),
    "size": (lambda x: lax.all_to_all(x, "i", 0, 0), "size 2, which is not equal to 3"),
    "tiled": (lambda x: lax.psum_scatter(x, "i", tiled=True), "not a multiple of 3"),
    "axis": (lambda x: lax.all_gather(x, "i", axis=3), "axis 3 is out of range"),
    "received": (lambda x: lax.precv(lax.create_token(), x, "i", []), "nothing was sent along"),
    "other way": (
        lambda x: lax.precv(lax.psend(x, "i", [(0, 1)]), x, "i", [(1, 0)]),
        "nothing was sent along",
    ),
    "other shape": (
        lambda x: lax.precv(lax.psend(x, "i", []), jnp.ones(9), "i", []),
        "not as out_shape says",
    ),
    "source": (lambda x: lax.ppermute(x, "i", [(0, 1), (0, 2)]), "from or to an element twice"),
    "target": (lambda x: lax.ppermute(x, "i", [(0, 1), (2, 1)]), "from or to an element twice"),
    "pair": (lambda x: lax.ppermute(x, "i", [(0, 3)]), r"\(0, 3\) in an axis of 3 elements"),
    "shuffle": (lambda x: lax.pshuffle(x, "i", [0, 0, 1]), "not a permutation"),
    "broadcast": (lambda x: lax.pbroadcast(x, "i", 3), "source is 3"),
    "eager": (lambda x: lax.pcast(x, "k", to="varying"), "pcast: unbound"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_say_what_and_where(name: str) -> None:
    attempt, message = WRONG[name]
    with pytest.raises(errors.JitmlError, match=message) as caught:
        named(attempt)(X)
    assert "test_collectives.py" in str(caught.value)


def test_other_errors() -> None:
    with pytest.raises(errors.ArgumentError, match="axis_name is a list"):
        vmap(lambda x: x, axis_name=["i"])
    with pytest.raises(errors.TransformError, match="3 elements need 3 devices"):
        jitml.pmap(lambda x: x)(np.ones((3, 2)))


def test_pmap_maps_over_the_one_device() -> None:
    jax = pytest.importorskip("jax")
    x = np.arange(6, dtype=np.float32).reshape(1, 6)

    def call(api: Any) -> list[Any]:
        mean = api.pmap(lambda x, y: api.lax.pmean(x + y, "i"), axis_name="i", in_axes=(0, None))
        power = api.pmap(lambda x, n: x**n, static_broadcasted_argnums=1)
        shared = api.pmap(lambda p, x: {"a": p["a"] + x.sum()}, in_axes=(None, 0), out_axes=1)
        return [mean(x, 1.0), power(x, 3), shared({"a": x[0]}, x)["a"], api.pmap(lambda x: -x)(x)]

    for ours, theirs in zip(call(jitml), call(jax), strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_pmap_has_an_axis_for_each_argument_static_ones_too() -> None:
    power = jitml.pmap(lambda x, n, y: x**n + y, in_axes=(0, None, 1), static_broadcasted_argnums=1)
    x, y = np.full((1, 3), 2.0, np.float32), np.ones((3, 1), np.float32)
    assert power(x, 3, y).tolist() == [[9.0, 9.0, 9.0]]
