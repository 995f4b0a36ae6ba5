"""`jitml.inspect(f)(x)["name"]`: what variables held in the compiled run."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import inspect, lax
from jitml.errors import ArgumentError

X = jnp.asarray(np.arange(12, dtype=np.float32).reshape(4, 3) / 10)
W = jnp.asarray(np.arange(9, dtype=np.float32).reshape(3, 3) / 7)


def same(x: Any, y: Any) -> bool:
    return np.array_equal(np.asarray(x), np.asarray(y)) and x.dtype == y.dtype


def layer(h: Any, w: Any) -> Any:
    z = h @ w
    return jnp.tanh(z)


def network(x: Any, w: Any) -> Any:
    h1 = layer(x, w)
    h2 = layer(h1, w)
    total = h2.sum()
    return total * 2


LINE = network.__code__.co_firstlineno


@pytest.mark.parametrize("function", [network, jitml.jit(network), jitml.jit(jitml.jit(network))])
def test_values_by_name_and_line(function: Any) -> None:
    found = inspect(function)(X, W)
    h1 = jnp.tanh(X @ W)
    h2 = jnp.tanh(h1 @ W)
    assert same(found["h2"], h2) and same(found["network.h2"], h2)
    assert same(found[LINE + 2], h2) and same(found[f"test_inspect.py:{LINE + 2}"], h2)
    assert same(found["total"], h2.sum())
    assert same(found["z"], h1 @ W) and same(found["layer.z"], h1 @ W)
    first, second = found.history("z")
    assert same(first, X @ W) and same(second, h1 @ W)
    assert same(found.result, network(X, W)) and same(found[LINE + 4], found.result)
    assert same(found["x"], X)
    assert found.names == ["x", "w", "h", "z", "h1", "h2", "total"]
    assert list(found) == found.names and "h1" in found and "h9" not in found
    assert set(found.as_dict()) == set(found.names)


def test_a_compiled_function_is_not_changed() -> None:
    function = jitml.jit(network)
    before = function(X, W)
    inspect(function)(X, W)
    assert function.compiles == 1 and same(function(X, W), before)
    assert "observe" not in str(function.graph(X, W))
    trace = sys.gettrace()
    inspect(function)(X, W)
    assert sys.gettrace() is trace


def test_values_under_vmap_have_the_axis_in_front() -> None:
    found = inspect(jitml.vmap(network, (0, None)))(jnp.stack([X, 2 * X]), W)
    assert same(found["h1"][1], jnp.tanh(2 * X @ W))
    assert found["h1"].shape == (2, 4, 3) and found["w"].shape == (3, 3)
    turned = inspect(jitml.vmap(lambda x: layer(x, W), 1, 1))(jnp.stack([X, 2 * X], 1))
    assert same(turned["z"][0], X @ W)


@pytest.mark.parametrize("transform", [jitml.grad, jitml.value_and_grad, jitml.jacrev])
def test_values_under_grad_are_those_of_the_forward_pass(transform: Any) -> None:
    for function in (
        transform(network),
        transform(jitml.jit(network)),
        jitml.jit(transform(network)),
    ):
        found = inspect(function)(X, W)
        assert same(found["h2"], jnp.tanh(jnp.tanh(X @ W) @ W))
        assert len(found.history("z")) == 2


def test_values_of_gradients_in_maps() -> None:
    found = inspect(jitml.vmap(jitml.grad(network), (0, None)))(jnp.stack([X, 2 * X]), W)
    assert same(found["h1"][1], jnp.tanh(2 * X @ W))


def scanned(x: Any) -> Any:
    def body(carry: Any, row: Any) -> Any:
        after = carry * 0.5 + row
        return after, after.sum()

    last, sums = lax.scan(body, jnp.zeros(3), x)
    return last.sum() + sums


def steps_of(x: Any) -> np.ndarray[Any, Any]:
    rows, carry = [], np.zeros(3, np.float32)
    for row in np.asarray(x):
        carry = carry * np.float32(0.5) + row
        rows.append(carry)
    return np.array(rows)


def test_values_of_the_steps_of_a_scan_are_stacked() -> None:
    found = inspect(scanned)(X)
    assert same(found["after"], steps_of(X)) and found["sums"].shape == (4,)
    gradient = inspect(jitml.jit(jitml.grad(lambda x: scanned(x).sum())))(X)
    assert same(gradient["after"], steps_of(X))
    mapped = inspect(jitml.vmap(scanned))(jnp.stack([X, 2 * X]))
    assert same(mapped["after"][:, 1], steps_of(2 * X))


def test_values_of_loops_in_loops() -> None:
    def f(x: Any) -> Any:
        def outer(carry: Any, row: Any) -> Any:
            def inner(c: Any, element: Any) -> Any:
                here = c + element
                return here, None

            last, _ = lax.scan(inner, carry, row)
            return last, last

        return lax.scan(outer, 0.0, x)[1]

    found = inspect(f)(X)
    assert found["here"].shape == (4, 3)
    assert np.allclose(found["here"], np.cumsum(np.asarray(X).ravel()).reshape(4, 3))
    assert same(found["last"], found.result)


def test_values_of_while_loops_and_rewritten_python() -> None:
    @jitml.jit
    def f(x: Any) -> Any:
        n = 0
        while x.sum() < 100:
            x = x * 2
            n = n + 1
        if n > 3:  # noqa: SIM108
            y = x + 1
        else:
            y = x - 1
        return y

    found = inspect(f)(X)
    assert same(found["y"], f(X)) and found["n"] == 4


def test_what_did_not_run_says_so() -> None:
    def f(x: Any) -> Any:
        def big(x: Any) -> Any:
            huge = x * 1000
            return huge

        return lax.cond(x.sum() > 1e6, big, lambda x: x, x)

    found = inspect(f)(X)
    with pytest.raises(
        KeyError, match=r"'huge' was not computed in this run(.|\n)*huge = x \* 1000"
    ):
        found["huge"]
    with pytest.raises(
        KeyError, match=r"no variable or line 'hug'(.|\n)*hint: there are x"
    ) as error:
        found["hug"]
    assert isinstance(error.value, ArgumentError)


class Pair(NamedTuple):
    a: Any
    b: Any


def test_containers_come_back_as_they_are() -> None:
    def f(tree: Any) -> Any:
        pair = Pair(tree["x"] * 2, [tree["x"], 3])
        del tree
        return pair.a

    found = inspect(f)({"x": X})
    assert isinstance(found["pair"], Pair) and same(found["pair"].a, 2 * X)
    assert found["pair"].b[1] == 3 and same(found["tree"]["x"], X)


def test_static_and_donated_arguments() -> None:
    @jitml.jit
    def plain(x: Any) -> Any:
        return x

    def f(x: Any, n: int) -> Any:
        powers = x**n
        return plain(powers)

    x = X + 0
    jitted = jitml.jit(f, static_argnums=1, donate_argnums=0)
    assert same(inspect(jitted)(x, 3)["powers"], x**3)
    assert not x.is_deleted()


def test_text_and_html() -> None:
    found = inspect(network)(X, W)
    assert f"h2: float32[4, 3]  # test_inspect.py:{LINE + 2} in network" in str(found)
    page = found._repr_html_()
    assert "h2: float32[4, 3]" in page and "<script" not in page


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(ArgumentError, match="inspect takes a function, not a float"):
        inspect(1.0)  # type: ignore[arg-type]


def test_cotangents_if_asked_for() -> None:
    h1 = layer(X, W)
    wanted = {
        "grad h1": jitml.grad(lambda h: layer(h, W).sum() * 2)(h1),
        "grad h2": 2 * jnp.ones((4, 3)),
        "grad network.total": jnp.float32(2),
    }
    for function in (jitml.grad(network), jitml.jit(jitml.grad(network)),
                     jitml.grad(jitml.jit(network))):  # fmt: skip
        found = inspect(function, cotangents=True)(X, W)
        for name, value in wanted.items():
            assert np.allclose(found[name], value), name
        assert same(found["h2"], layer(h1, W)) and same(found[LINE + 2], layer(h1, W))
        assert np.allclose(found.result, function(X, W))
    assert "grad h2" not in inspect(network, cotangents=True)(X, W)
    mapped = inspect(jitml.vmap(jitml.grad(network), (0, None)), cotangents=True)
    assert mapped(jnp.stack([X, X]), W)["grad h1"].shape == (2, 4, 3)


def test_cotangents_in_a_scan_lie_at_their_steps() -> None:
    found = inspect(jitml.grad(lambda x: scanned(x)[0]), cotangents=True)(X)
    halves = np.array([0.125, 0.25, 0.5, 1.0], np.float32)
    own = np.eye(4, dtype=np.float32)[0]
    assert np.allclose(found["grad after"], (halves + own)[:, None] * np.ones(3))


def test_values_of_reverse_scans_lie_at_their_rows() -> None:
    def f(x: Any) -> Any:
        def body(carry: Any, row: Any) -> Any:
            after = carry + row
            return after, after

        return lax.scan(body, jnp.zeros(3), x, reverse=True)[1]

    found = inspect(f)(X)
    assert same(found["after"], found.result)
