"""Composed derivatives and vmaps of small programs, against JAX in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import jitml.differentiation as ours
from jitml import jacobians, vectorization

from .programs import SCALAR, VECTOR, Jax, Ops

jax = pytest.importorskip("jax")
pytestmark = pytest.mark.usefixtures("by_value")


class _Ours:
    grad, jvp, vjp, linearize = ours.grad, ours.jvp, ours.vjp, ours.linearize
    value_and_grad = ours.value_and_grad
    jacfwd, jacrev, hessian = jacobians.jacfwd, jacobians.jacrev, jacobians.hessian
    vmap = vectorization.vmap


QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
Of = Callable[[Any, Callable[[Any], Any]], Callable[[Any], Any]]
X = np.array([0.3, 0.9, 1.4, 0.7])
T = np.array([0.5, -1.0, 0.25, 2.0])
STACK = np.stack([X, X[::-1] + 0.1, X * 0.8 + 0.05])

OF_SCALAR: dict[str, tuple[Of, Any]] = {
    "grad": (lambda m, f: m.grad(f), X),
    "value_and_grad": (lambda m, f: m.value_and_grad(f), X),
    "jvp": (lambda m, f: lambda x: m.jvp(f, (x,), (T,)), X),
    "vjp": (lambda m, f: lambda x: m.vjp(f, x)[1](np.float64(2.0)), X),
    "linearize": (lambda m, f: lambda x: m.linearize(f, x)[1](T), X),
    "hessian": (lambda m, f: m.hessian(f), X),
    "jacrev_grad": (lambda m, f: m.jacrev(m.grad(f)), X),
    "jacfwd_jacfwd": (lambda m, f: m.jacfwd(m.jacfwd(f)), X),
    "jvp_grad": (lambda m, f: lambda x: m.jvp(m.grad(f), (x,), (T,)), X),
    "grad_jvp": (lambda m, f: m.grad(lambda x: m.jvp(f, (x,), (T,))[1]), X),
    "vjp_grad": (lambda m, f: lambda x: m.vjp(m.grad(f), x)[1](T), X),
    "vmap_grad": (lambda m, f: m.vmap(m.grad(f)), STACK),
    "vmap_value_and_grad": (lambda m, f: m.vmap(m.value_and_grad(f), in_axes=1), STACK.T),
    "vmap_hessian": (lambda m, f: m.vmap(m.hessian(f), out_axes=2), STACK),
    "jacrev_vmap": (lambda m, f: m.jacrev(m.vmap(f)), STACK),
    "jacfwd_vmap_grad": (lambda m, f: m.jacfwd(m.vmap(m.grad(f))), STACK),
    "third": (lambda m, f: m.jacfwd(m.jacfwd(m.jacrev(f))), X),
}
OF_VECTOR: dict[str, tuple[Of, Any]] = {
    "jacfwd": (lambda m, f: m.jacfwd(f), X),
    "jacrev": (lambda m, f: m.jacrev(f), X),
    "jacfwd_jacrev": (lambda m, f: m.jacfwd(m.jacrev(f)), X),
    "jacrev_jacfwd": (lambda m, f: m.jacrev(m.jacfwd(f)), X),
    "jvp_vjp": (
        lambda m, f: lambda x: m.jvp(lambda y: m.vjp(f, y)[1](T[:3])[0], (x,), (T,)), X
    ),
    "vmap_jacrev": (lambda m, f: m.vmap(m.jacrev(f)), STACK),
    "vmap_vmap": (lambda m, f: m.vmap(m.vmap(f), in_axes=1, out_axes=1), np.stack([STACK] * 2)),
}  # fmt: skip


def _pairs() -> Iterator[Any]:
    """Every program under two of the transforms, every transform on some program."""
    for programs, transforms in ((SCALAR, OF_SCALAR), (VECTOR, OF_VECTOR)):
        names = list(transforms)
        for number, program in enumerate(programs):
            step = len(names) if programs is VECTOR else 2
            for k in range(step):
                name = names[(number * 2 + k) % len(names)]
                yield pytest.param(program, *transforms[name], id=f"{name}-{program.__name__}")


@pytest.mark.sampled
@pytest.mark.parametrize(("program", "transform", "x"), list(_pairs()))
def test_derivatives_equal_those_of_jax(
    program: Callable[[Any, Any], Any], transform: Of, x: Any
) -> None:
    found = transform(_Ours, lambda v: program(Ops(), v))(x)
    with jax.enable_x64(True):
        compiled = jax.jit(transform(jax, lambda v: program(Jax(), v)), compiler_options=QUICK)
        wanted = compiled(x)
        leaves = [np.asarray(w) for w in jax.tree.leaves(wanted)]
    got = [np.asarray(g) for g in jax.tree.leaves(found, is_leaf=lambda v: hasattr(v, "dtype"))]
    assert len(got) == len(leaves)
    for g, w in zip(got, leaves, strict=True):
        assert g.dtype == w.dtype
        np.testing.assert_allclose(g, w, rtol=1e-10, atol=1e-12)


def test_programs_are_enough() -> None:
    assert len(list(_pairs())) >= 30
