"""Programs of named axes and collectives, inside each other and inside transforms and control flow,
against JAX in float64: values and derivatives to 1e-10.
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
ROWS = np.array([[0.3, 0.9, 1.4], [0.7, -0.2, 2.0], [1.1, 0.4, -0.6]])


def program(build: Program) -> Program:
    """Add a program: given `jax` or `jitml`, a function from f64[3,3] to f64[…]."""
    PROGRAMS[build.__name__] = build
    return build


def each(f: Callable[[Any, Any], Any], **options: Any) -> Program:
    """The program that maps `f(m, row)` over the rows, which it calls "i"."""
    return lambda m: m.vmap(lambda row: f(m, row), axis_name="i", **options)


def table(f: Callable[[Any, Any], Any]) -> Program:
    """The program that maps `f(m, x)` over rows "i", and over their elements "j"."""
    return lambda m: m.vmap(m.vmap(lambda x: f(m, x), axis_name="j"), axis_name="i")


PROGRAMS.update(
    softmax=each(lambda m, x: m.numpy.exp(x - m.lax.stop_gradient(x)) / m.lax.psum(x * x + 1, "i")),
    normalised=each(lambda m, x: (x - m.lax.pmean(x, "i")) * m.lax.axis_index("i")),
    product=each(lambda m, x: m.lax.psum(m.numpy.sin(x), "i") * m.lax.psum(x.sum(), "i")),
    gathered=each(lambda m, x: m.numpy.tanh(m.lax.all_gather(x, "i") @ x)),
    gathered_in_columns=each(lambda m, x: m.lax.all_gather(x * x, "i", axis=1)[:, 0] * x),
    gathered_in_a_row=each(lambda m, x: m.lax.all_gather(x, "i", tiled=True)[2:5] * x),
    shifted=each(lambda m, x: x * m.lax.ppermute(x, "i", [(0, 1), (1, 2), (2, 0)])),
    shuffled=each(lambda m, x: m.numpy.cos(m.lax.pshuffle(x * x, "i", [2, 1, 0]))),
    exchanged=each(lambda m, x: m.lax.all_to_all(x, "i", 0, 0) ** 2 * x),
    swapped=each(lambda m, x: m.lax.pswapaxes(x[:, None] * x, "i", 1)),
    scattered=each(lambda m, x: m.lax.psum_scatter(m.numpy.sin(x), "i")),
    scattered_in_blocks=each(
        lambda m, x: m.lax.psum_scatter(m.numpy.concatenate([x, x * x]), "i", tiled=True)
    ),
    shared=each(lambda m, x: m.lax.psum(x, "i"), out_axes=None),
    columns=each(lambda m, x: m.lax.psum(x, "i") + x, in_axes=1, out_axes=1),
    both=table(lambda m, x: x * m.lax.psum(x, ("i", "j")) + m.lax.pmean(x, "i")),
    either=table(lambda m, x: m.lax.psum(x * m.lax.psum(x, "j"), "i")),
    numbered=table(lambda m, x: x * m.lax.axis_index(("i", "j")) / m.lax.psum(1, "j")),
    looked_up=table(lambda m, x: m.lax.all_gather(x, "j")[m.lax.axis_index("i")] * x),
    jitted=each(lambda m, x: m.jit(lambda y: y * m.lax.psum(y, "i"))(x) + x),
    inner_gradient=each(
        lambda m, x: m.grad(lambda y: (y * m.lax.psum(m.numpy.sin(y), "i")).sum())(x)
    ),
    inner_tangent=each(lambda m, x: m.jvp(lambda y: m.lax.all_gather(y, "i") @ y, (x,), (x,))[1]),
    inner_jacobian=each(lambda m, x: m.jacrev(lambda y: m.lax.pmean(y * y, "i"))(x)),
    inner_gradient_of_shifted=each(
        lambda m, x: m.grad(
            lambda y: (y * m.lax.ppermute(y * y, "i", [(0, 1), (1, 2), (2, 0)])).sum()
        )(x)
    ),
    inner_gradient_of_gathered=each(
        lambda m, x: m.grad(lambda y: (m.lax.all_gather(y * y, "i") @ y).sum())(x)
    ),
    inner_gradient_of_exchanged=each(
        lambda m, x: m.grad(lambda y: (m.lax.all_to_all(y * y, "i", 0, 0) * y).sum())(x)
    ),
    inner_gradient_of_scattered=each(
        lambda m, x: m.grad(lambda y: m.lax.psum_scatter(m.numpy.sin(y), "i") * y[0])(x)
    ),
    checkpointed=each(
        lambda m, x: m.checkpoint(lambda y: m.numpy.sin(m.lax.psum(m.numpy.sin(y), "i")))(x) * x
    ),
)  # fmt: skip


@program
def in_a_scan(m: Any) -> Any:
    def f(x: Any) -> Any:
        def step(c: Any, y: Any) -> Any:
            return m.numpy.sin(c + m.lax.pmean(c * y, "i")), c * m.lax.axis_index("i")

        carry, ys = m.lax.scan(step, x, x)
        return carry + ys.sum(0)

    return m.vmap(f, axis_name="i")


@program
def power_iteration(m: Any) -> Any:
    def f(row: Any) -> Any:
        def step(_: int, v: Any) -> Any:
            w = m.lax.all_gather(row @ v, "i")
            return w / (1 + m.lax.psum((row @ v) ** 2, "i"))

        return m.lax.fori_loop(0, 4, step, m.numpy.ones(3)) * row

    return m.vmap(f, axis_name="i")


@program
def in_a_branch(m: Any) -> Any:
    def f(x: Any) -> Any:
        return m.lax.cond(
            m.lax.psum(x.sum(), "i") > 0, lambda y: y * m.lax.psum(y, "i"), lambda y: y, x
        )

    return m.vmap(f, axis_name="i")


@program
def in_a_branch_of_each(m: Any) -> Any:
    def f(x: Any) -> Any:
        return m.lax.cond(
            x.sum() > 1.5, lambda y: y * m.lax.psum(y, "i"), lambda y: m.numpy.sin(y), x
        )

    return m.vmap(f, axis_name="i")


@program
def in_a_switch_of_each(m: Any) -> Any:
    def f(x: Any) -> Any:
        branches = [lambda y: m.lax.pmean(y, "i"), lambda y: y * y, lambda y: y.sum() + y]
        return m.lax.switch(m.lax.axis_index("i"), branches, x)

    return m.vmap(f, axis_name="i")


@program
def rule_forward(m: Any) -> Any:
    @m.custom_jvp
    def centred(x: Any) -> Any:
        return x - m.lax.pmean(x, "i")

    centred.defjvp(lambda xs, ts: (centred(xs[0]), ts[0] * 2 - m.lax.pmean(ts[0], "i")))
    return m.vmap(lambda x: centred(x * x) * x, axis_name="i")


@program
def rule_backward(m: Any) -> Any:
    @m.custom_vjp
    def total(x: Any) -> Any:
        return m.lax.psum(m.numpy.sin(x), "i") * x

    # JAX knows no names when it runs the backward rule of what was mapped.
    total.defvjp(lambda x: (total(x), m.lax.pmean(x, "i")), lambda mean, ct: (ct * mean,))
    return m.vmap(lambda x: m.numpy.sin(total(x)), axis_name="i")


@program
def inner_pullback(m: Any) -> Any:
    def f(x: Any) -> Any:
        y, pull = m.vjp(lambda y: m.lax.psum_scatter(y * y, "i"), x)
        return pull(y * m.lax.axis_index("i"))[0]

    return m.vmap(f, axis_name="i")


@program
def batch_norm_step(m: Any) -> Any:
    def loss(w: Any, x: Any) -> Any:
        h = m.numpy.tanh(x * w)
        mean = m.lax.pmean(h, "i")
        var = m.lax.pmean((h - mean) ** 2, "i")
        return (((h - mean) / m.numpy.sqrt(var + 0.1)) ** 3).sum()

    def f(x: Any) -> Any:
        return m.lax.pmean(m.grad(loss)(x * 0 + 0.5, x), "i")

    return m.vmap(f, axis_name="i")


# JAX stops the derivatives that go from a branch that an element takes, by way of a collective, to
# the elements that do not take it; it knows no forward derivative of a backward rule.
FINITE = {"in_a_branch_of_each", "in_a_switch_of_each"}
NOT_IN_JAX = {(t, p) for t in ("grad", "jvp", "hvp") for p in FINITE} | {
    ("jvp", "rule_backward"), ("hvp", "rule_backward"),
}  # fmt: skip
TRANSFORMS: dict[str, Callable[[Any, Any], Any]] = {
    "value": lambda m, f: f,
    "jit": lambda m, f: m.jit(f),
    "grad": lambda m, f: m.grad(lambda x: (m.numpy.sin(f(x)) * 1.5).sum()),
    "jvp": lambda m, f: lambda x: m.jvp(f, (x,), (x * 0.5 + 1,))[1],
    "vmap": lambda m, f: lambda x: m.vmap(f)(m.numpy.stack([x, x * 2 - 1])),
    "hvp": lambda m, f: lambda x: m.jvp(m.grad(lambda x: m.numpy.sum(f(x) ** 2)), (x,), (x,))[1],
}


def _pairs() -> list[Any]:
    """Each program as it is, and under two or three of the transforms."""
    names = list(TRANSFORMS)[1:]
    found = []
    for number, name in enumerate(PROGRAMS):
        chosen = ["value", *(names[(number + k) % len(names)] for k in (0, 1))]
        pairs = [(t, name) for t in dict.fromkeys([*chosen, "grad"])]
        found += [pytest.param(*p, id="-".join(p)) for p in pairs if p not in NOT_IN_JAX]
    return found


@pytest.mark.sampled
@pytest.mark.parametrize(("transform", "name"), _pairs())
def test_programs_equal_those_of_jax(transform: str, name: str) -> None:
    change, build = TRANSFORMS[transform], PROGRAMS[name]
    with jax.enable_x64(True):
        compiled = jax.jit(change(jax, build(jax)), compiler_options=QUICK)
        wanted = [np.asarray(w) for w in jax.tree.leaves(compiled(ROWS))]
    with jitml.enable_x64():
        found = change(jitml, build(jitml))(jitml.numpy.asarray(ROWS))
        got = [np.asarray(g) for g in jitml.tree.leaves(found)]
    assert len(got) == len(wanted)
    for g, w in zip(got, wanted, strict=True):
        assert g.dtype == w.dtype
        np.testing.assert_allclose(g, w, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", sorted(FINITE))
def test_derivatives_equal_finite_differences(name: str) -> None:
    with jitml.enable_x64():
        f = PROGRAMS[name](jitml)
        along, step = ROWS * 0.5 + 1, 1e-6
        found = jitml.jvp(f, (jitml.numpy.asarray(ROWS),), (along,))[1]
        wanted = (np.asarray(f(ROWS + step * along)) - np.asarray(f(ROWS - step * along))) / 2e-6
        np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-8, atol=1e-8)
        slopes = jitml.grad(lambda x: f(x).sum())(jitml.numpy.asarray(ROWS))
        np.testing.assert_allclose((slopes * along).sum(), found.sum(), rtol=1e-12)


def test_programs_are_enough() -> None:
    assert len(PROGRAMS) >= 30
