"""Programs of conditionals and loops, inside each other and inside transforms, against JAX in
float64: values and derivatives to 1e-10.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy

jax = pytest.importorskip("jax")

Program = Callable[[Any], Callable[[Any], Any]]
PROGRAMS: dict[str, Program] = {}
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
X = np.array([0.3, 0.9, 1.4, 0.7])
STACK = np.stack([X, X[::-1] + 0.1, X * 0.8 - 0.5])


def program(build: Program) -> Program:
    """Add a program: given `jax` or `jitml`, a function from f64[4] to f64[]."""
    PROGRAMS[build.__name__] = build
    return build


@program
def sums(m: Any) -> Any:
    return lambda x: m.lax.scan(lambda c, y: (c * y + m.numpy.sin(y), c), x[0], x)[1].sum()


@program
def backwards(m: Any) -> Any:
    def f(x: Any) -> Any:
        carry, ys = m.lax.scan(lambda c, y: (c + y * y, c * y), 1.0, x, reverse=True)
        return (ys * x).sum() * carry

    return f


@program
def recurrent(m: Any) -> Any:
    w = np.linspace(-1, 1, 16).reshape(4, 4)

    def f(x: Any) -> Any:
        def step(h: Any, y: Any) -> Any:
            h = m.numpy.tanh(w @ h + y)
            return h, h.sum()

        return m.lax.scan(step, x, x)[1].sum()

    return f


@program
def powers(m: Any) -> Any:
    return lambda x: m.lax.fori_loop(0, 5, lambda i, v: v * x + i, x).sum()


@program
def newton(m: Any) -> Any:
    def root(y: Any) -> Any:
        return m.lax.fori_loop(0, 6, lambda _, r: 0.5 * (r + y / r), y + 1.0)

    return lambda x: (root(m.numpy.abs(x) + 1.0) * x).sum()


@program
def dictionary(m: Any) -> Any:
    def f(x: Any) -> Any:
        def step(c: Any, y: Any) -> Any:
            a, (b, n) = c["a"], c["b"]
            return {"a": a * b + y, "b": (b * 0.9, n + 1)}, {"out": (a, b)}

        carry, ys = m.lax.scan(step, {"a": x[1], "b": (x[2], 0)}, x)
        return carry["a"] * carry["b"][0] + (ys["out"][0] * ys["out"][1]).sum() * carry["b"][1]

    return f


@program
def nested_scans(m: Any) -> Any:
    def f(x: Any) -> Any:
        def outer(c: Any, y: Any) -> Any:
            inner, zs = m.lax.scan(lambda d, z: (d * 0.5 + z * y, d * z), c, x)
            return inner, zs.sum()

        carry, ys = m.lax.scan(outer, x[0], x)
        return carry * ys.sum()

    return f


@program
def choice(m: Any) -> Any:
    return lambda x: m.lax.cond(
        x.sum() > 2, lambda y: (m.numpy.sin(y) * x).sum(), lambda y: (y * y).sum(), x
    )


@program
def switched(m: Any) -> Any:
    def f(x: Any) -> Any:
        index = m.numpy.floor(x.sum()).astype(int) - 1
        branches = [lambda y: y.sum(), lambda y: (y * y).sum(), lambda y: m.numpy.exp(y).prod()]
        return m.lax.switch(index, branches, x * x[0])

    return f


@program
def choice_in_scan(m: Any) -> Any:
    def step(c: Any, y: Any) -> Any:
        c = m.lax.cond(y > 0.8, lambda a, b: a * b, lambda a, b: a + m.numpy.cos(b), c, y)
        return c, c * y

    def f(x: Any) -> Any:
        carry, ys = m.lax.scan(step, x[0], x)
        return carry + ys.sum()

    return f


@program
def scan_in_choice(m: Any) -> Any:
    def long(y: Any) -> Any:
        return m.lax.scan(lambda c, z: (c * z + 1, z), 1.0, y)[0]

    return lambda x: m.lax.cond(x[0] > 0.5, long, lambda y: long(y * y) * 2, x)


@program
def three_deep(m: Any) -> Any:
    def inner(i: Any, v: Any) -> Any:
        return m.lax.cond(v.sum() > 3, lambda u: u * 0.5, lambda u: u * u + 1, v)

    def f(x: Any) -> Any:
        def step(c: Any, y: Any) -> Any:
            return m.lax.fori_loop(0, 3, inner, c) + y, c[0]

        carry, ys = m.lax.scan(step, x, x)
        return carry.sum() + ys.prod()

    return f


@program
def shared(m: Any) -> Any:
    """A scan over what a conditional and another scan share with it."""

    def f(x: Any) -> Any:
        table = m.numpy.exp(x)
        ys = m.lax.scan(lambda c, y: (c, (table * y).sum()), 0.0, x)[1]
        return m.lax.cond(x[0] > 0.5, lambda: ys.sum(), lambda: (ys * table).sum())

    return f


@program
def prefixes(m: Any) -> Any:
    return lambda x: (m.lax.associative_scan(lambda a, b: a * b + b, x) * x).sum()


@program
def mapped(m: Any) -> Any:
    return lambda x: m.lax.map(lambda y: m.numpy.tanh(y * x).sum(), x).prod()


@program
def mapped_in_batches(m: Any) -> Any:
    return lambda x: m.lax.map(lambda y: m.numpy.sin(y * x).sum(), x, batch_size=3).prod()


@program
def indexed(m: Any) -> Any:
    def f(x: Any) -> Any:
        table = m.numpy.zeros(4)
        table = m.lax.fori_loop(0, 4, lambda i, t: t.at[i].set(x[3 - i] * x[i]), table)
        return (table * m.numpy.cos(x)).sum()

    return f


@program
def halved(m: Any) -> Any:
    """A while loop that no derivative goes through."""

    def f(x: Any) -> Any:
        limit = m.lax.stop_gradient(x).sum()
        count = m.lax.while_loop(lambda s: s[0] > 0.1, lambda s: (s[0] / 2, s[1] + 1), (limit, 0))
        return (x ** count[1].astype(float)).sum()

    return f


@program
def checkpointed(m: Any) -> Any:
    """Loops and a choice inside a checkpointed call, in a loop."""

    @m.checkpoint
    def block(x: Any) -> Any:
        ys = m.lax.scan(lambda c, y: (m.numpy.tanh(c * y), c * c), x[0], x)[1]
        x = m.lax.fori_loop(0, 2, lambda i, v: m.numpy.sin(v) * x, ys)
        return m.lax.cond(x[0] > 0.1, m.numpy.exp, lambda v: v * v, x)

    return lambda x: (m.lax.scan(lambda c, _: (block(c), c), x, None, length=2)[1] * x).sum()


TRANSFORMS: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {
    "value": (lambda m, f: f, X),
    "grad": (lambda m, f: m.grad(f), X),
    "jit_grad": (lambda m, f: m.jit(m.grad(f)), X),
    "jvp": (lambda m, f: lambda x: m.jvp(f, (x,), (np.cos(X),)), X),
    "vmap": (lambda m, f: m.vmap(f), STACK),
    "vmap_grad": (lambda m, f: m.vmap(m.grad(f)), STACK),
    "grad_vmap": (lambda m, f: m.grad(lambda s: m.vmap(f)(s).prod()), STACK),
    "hessian": (lambda m, f: m.jit(m.hessian(f)), X),
    "jacrev_grad": (lambda m, f: m.jit(m.jacrev(m.grad(f))), X),
    "vmap_jvp": (lambda m, f: m.jit(m.vmap(lambda x: m.jvp(f, (x,), (x,))[1])), STACK),
    "grad_in_scan": (
        lambda m, f: lambda x: m.lax.scan(lambda c, _: (c - 0.01 * m.grad(f)(c), None), x, None,
                                          length=3)[0], X,
    ),
    "vmap_of_scan_of_grad": (
        lambda m, f: m.vmap(lambda x: m.lax.scan(lambda c, y: (c + y, m.grad(f)(c * y)), x, x)[1]),
        STACK,
    ),
}  # fmt: skip


def _pairs() -> list[Any]:
    """Every program under four of the transforms."""
    names = list(TRANSFORMS)
    return [
        pytest.param(build, *TRANSFORMS[names[(3 * k + step) % len(names)]],
                     id=f"{names[(3 * k + step) % len(names)]}-{name}")
        for k, (name, build) in enumerate(PROGRAMS.items())
        for step in (0, 1, 4, 8)
    ]  # fmt: skip


@pytest.mark.sampled
@pytest.mark.parametrize(("build", "transform", "x"), _pairs())
def test_programs_equal_those_of_jax(build: Program, transform: Any, x: Any) -> None:
    with jax.enable_x64(True):
        compiled = jax.jit(transform(jax, build(jax)), compiler_options=QUICK)
        wanted = [np.asarray(w) for w in jax.tree.leaves(compiled(x))]
    with jitml.enable_x64():
        found = transform(jitml, build(jitml))(jitml.numpy.asarray(x))
        got = [np.asarray(g) for g in jitml.tree.leaves(found)]
    assert len(got) == len(wanted)
    for g, w in zip(got, wanted, strict=True):
        assert g.dtype == w.dtype
        np.testing.assert_allclose(g, w, rtol=1e-10, atol=1e-13)


def test_programs_are_enough() -> None:
    assert len(_pairs()) >= 60
