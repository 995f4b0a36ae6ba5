"""Keys that are used twice are told with both lines, and no others are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax, random
from jitml.errors import KeyReuseError

normal, uniform, split = random.normal, random.uniform, random.split
W = jnp.ones(3)


def key() -> Any:
    return random.key(0)


def keys() -> Any:
    return split(key(), 4)


def noisy(w: Any, k: Any) -> Any:
    return jnp.sin(w * normal(k, (3,)))


def twice(k: Any) -> Any:
    return normal(k) + uniform(k)


def index_apart(ks: Any) -> None:
    normal(ks[0])
    jitml.vmap(normal)(ks[1:])


def chain(step: Callable[[Any], Any], k: Any) -> None:
    for _ in range(3):
        k, one = step(k)
        normal(one)


def scan_of(ks: Any, w: Any = W, body: Any = noisy) -> Any:
    return jnp.sum(lax.scan(lambda c, k: (body(c, k), None), w, ks)[0])


def walk(w: Any) -> Any:
    def body(state: Any) -> Any:
        k, x = state
        k, one = split(k)
        return k, x * 2 + 0 * normal(one)

    return lax.while_loop(lambda s: s[1] < 9, body, (key(), w))[1]


RIGHT: dict[str, Callable[[], Any]] = {
    "split": lambda: chain(split, key()),
    "split in jit": lambda: chain(jitml.jit(split), key()),
    "fold_in": lambda: (k := key(), normal(k), normal(random.fold_in(k, 1)), random.fold_in(k, 1)),
    "clone": lambda: (k := key(), normal(k), normal(random.clone(k))),
    "parts": lambda: index_apart(keys()),
    "rows": lambda: [normal(k) for k in keys()],
    "reshaped": lambda: (ks := keys().reshape(2, 2), normal(ks[0, 1]), normal(ks[1, 0])),
    "closed over in vmap": lambda: (k := key(), jitml.vmap(lambda x: normal(k) + x)(W)),
    "scan over keys": lambda: (scan_of(keys()), jitml.jit(scan_of)(keys())),
    "one of two branches": lambda: jitml.jit(lambda p, k: lax.cond(p, normal, uniform, k))(
        True, key()
    ),
    "while": lambda: walk(1.0),
    "derivative of while": lambda: jitml.jvp(walk, (1.0,), (1.0,)),
    "an index that is data": lambda: (
        ks := keys(),
        lax.fori_loop(0, 4, lambda n, c: c + normal(ks[n]), 0.0),
    ),
    "gradient": lambda: jitml.grad(lambda w, k: jnp.sum(noisy(w, k)))(W, key()),
    "gradient of scan": lambda: jitml.grad(lambda w, ks: scan_of(ks, w))(W, keys()),
    "gradient of scan in jit": lambda: jitml.jit(jitml.grad(lambda w, ks: scan_of(ks, w)))(
        W, keys()
    ),
    "gradient of cond": lambda: jitml.grad(
        lambda w, k: lax.cond(w > 0, lambda: w * normal(k), lambda: w)
    )(1.0, key()),
    "computed again": lambda: jitml.jit(
        jitml.grad(lambda w, k: jnp.sum(jitml.checkpoint(noisy)(w, k)))
    )(W, key()),
    "computed again in scan": lambda: jitml.jit(
        jitml.grad(
            lambda w, ks: scan_of(ks, w, jitml.checkpoint(noisy, prevent_cse=False))
        )
    )(W, keys()),
}  # fmt: skip
WRONG: dict[str, Callable[[], Any]] = {
    "eager": lambda: twice(key()),
    "plain": lambda: twice(random.PRNGKey(0)),
    "split twice": lambda: (k := key(), split(k), split(k)),
    "split and used": lambda: (k := key(), split(k), normal(k)),
    "in jit": lambda: jitml.jit(twice)(key()),
    "jit twice": lambda: (f := jitml.jit(normal), k := key(), f(k), f(k)),
    "passed through jit": lambda: (k := key(), normal(jitml.jit(lambda k: k)(k)), normal(k)),
    "used by jit and passed on": lambda: normal(jitml.jit(lambda k: (k, normal(k)))(key())[0]),
    "inner jit twice": lambda: (f := jitml.jit(normal), jitml.jit(lambda k: f(k) + f(k))(key())),
    "one of several": lambda: (ks := keys(), normal(ks[0]), normal(ks[1]), normal(ks[0])),
    "one of several in jit": lambda: jitml.jit(lambda ks: normal(ks[2]) + normal(ks[2:][0]))(
        keys()
    ),
    "all, then one": lambda: (ks := keys(), jitml.vmap(normal)(ks), normal(ks[1])),
    "in vmap": lambda: jitml.vmap(twice)(keys()),
    "closed over in scan": lambda: (k := key(), scan_of(W, W, lambda c, _: noisy(c, k))),
    "carried on": lambda: lax.scan(lambda k, x: (k, normal(k)), key(), W),
    "scan, then one": lambda: (ks := keys(), scan_of(ks), normal(ks[3])),
    "kept in while": lambda: lax.while_loop(
        lambda s: s[1] < 3, lambda s: (s[0], s[1] + 1 + abs(normal(s[0]))), (key(), 0.0)
    ),
    "in a branch and after": lambda: jitml.jit(
        lambda p, k: lax.cond(p, lambda: normal(k), lambda: 0.0) + normal(k)
    )(True, key()),
    "in a gradient": lambda: jitml.grad(lambda w, k: jnp.sum(noisy(w, k) + noisy(w, k)))(W, key()),
    "in a gradient in jit": lambda: jitml.jit(
        jitml.grad(lambda w, k: jnp.sum(noisy(w, k) + noisy(w, k)))
    )(W, key()),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_keys_used_once_are_right(name: str) -> None:
    with jitml.debug_key_reuse(True):
        RIGHT[name]()


@pytest.mark.parametrize("name", WRONG)
def test_keys_used_twice_are_told(name: str) -> None:
    with jitml.debug_key_reuse(True), pytest.raises(KeyReuseError, match="uses a key that"):
        WRONG[name]()
    WRONG[name]()  # outside of the scope nobody looks


def test_both_lines_are_told() -> None:
    k = key()
    with jitml.debug_key_reuse(True):
        normal(k)  # first
        with pytest.raises(KeyReuseError) as caught:
            uniform(k)  # second
    lines = [line.strip() for line in Path(__file__).read_text("utf-8").splitlines()]
    first, second = (1 + lines.index(x) for x in ("normal(k)  # first", "uniform(k)  # second"))
    assert str(caught.value) == (
        "random.uniform uses a key that random.normal has used\n"
        f"  first at test_key_reuse.py:{first} in test_both_lines_are_told:  normal(k)  # first\n"
        f"  at test_key_reuse.py:{second} in test_both_lines_are_told:  uniform(k)  # second\n"
        "  hint: make a key for each use: key, other = random.split(key)"
    )


# What functions take after the key.
GIVEN: dict[str, tuple[Any, ...]] = {
    "ball": (3,), "beta": (1.0, 2.0), "binomial": (3, 0.5), "categorical": (W,),
    "chisquare": (2.0,), "choice": (5,), "dirichlet": (W,), "double_sided_maxwell": (0.0, 1.0),
    "f": (2.0, 3.0),
    "gamma": (2.0,), "generalized_normal": (2.0,), "loggamma": (2.0,), "geometric": (0.5,),
    "multinomial": (4, W / 3), "multivariate_normal": (W, jnp.eye(3)), "orthogonal": (3,),
    "pareto": (2.0,), "permutation": (5,), "poisson": (3.0,), "randint": ((2,), 0, 9),
    "rayleigh": (2.0,), "t": (3.0,), "triangular": (0.0, 0.5, 1.0), "truncated_normal": (0.0, 1.0),
    "wald": (1.0,), "weibull_min": (1.0, 1.0),
}  # fmt: skip
NO_USES = {"Key", "PRNGKey", "clone", "fold_in", "key", "wrap_key_data"}
NO_USES |= {"key_data", "key_dtype", "key_impl"}


@pytest.mark.sampled
@pytest.mark.parametrize("name", sorted(set(random.__all__) - NO_USES))
def test_each_function_uses_its_key_once(name: str) -> None:
    with jitml.debug_key_reuse(True):
        k = key()
        getattr(random, name)(k, *GIVEN.get(name, ()))
        with pytest.raises(KeyReuseError, match=r"random\.bits uses a key that"):
            random.bits(k)


def test_the_switch_is_jaxs() -> None:
    jitml.config.update("jax_debug_key_reuse", True)
    try:
        with pytest.raises(KeyReuseError):
            twice(key())
    finally:
        jitml.config.update("jax_debug_key_reuse", False)
    twice(key())
