"""Implicit derivatives and converted closures, against JAX."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import ShapeError, TreeError

Module = Any
X = np.array([2.0, 3.0, 5.0])
A = np.array([[4.0, 1, 0], [2, 5, 1], [0, 1, 6]])


def cube_root(jax: Module, jnp: Module) -> Any:
    def newton(f: Any, x: Any) -> Any:
        for _ in range(25):
            x = x - f(x) / jax.jvp(f, (x,), (jnp.ones_like(x),))[1]
        return x

    def root(a: Any) -> Any:
        return jax.lax.custom_root(
            lambda x: x**3 - a, jnp.ones_like(a), newton, lambda g, y: y / g(jnp.ones_like(y))
        )

    return root


def linear(jax: Module, jnp: Module) -> Any:
    """A system that is solved by Jacobi's iteration, the transposed one too."""

    def iterate(f: Any, y: Any) -> Any:
        z = jnp.zeros_like(y)
        for _ in range(50):
            z = z + (y - f(z)) / 5.0
        return z

    return lambda a, b: jax.lax.custom_linear_solve(lambda v: a @ v, b, iterate, iterate)


def direct(jax: Module, jnp: Module) -> Any:
    """A system whose solvers close over the matrix, too, and over one that is computed before."""

    def solve(a: Any, b: Any) -> Any:
        doubled = 2 * a
        return jax.lax.custom_linear_solve(
            lambda v: a @ v,
            b,
            lambda _, y: 2 * jnp.linalg.solve(doubled, y),
            lambda _, y: jnp.linalg.solve(a.T, y),
        )

    return solve


def own_gradient(jax: Module, jnp: Module) -> Any:
    return jax.custom_gradient(lambda x, y: (x * y, lambda g: (g * y, 3 * g * x * jnp.sin(g))))


def minimum(jax: Module, jnp: Module) -> Any:
    """A rule for a function that is given functions, with what these close over."""

    @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
    def inner(fun: Any, x: Any, *consts: Any) -> Any:
        return fun(x, *consts)

    def bwd(fun: Any, kept: Any, g: Any) -> Any:
        x, consts = kept
        return (None, *(7 * ct for ct in jax.vjp(lambda *c: fun(x, *c), *consts)[1](g)))

    inner.defvjp(lambda fun, x, *consts: (fun(x, *consts), (x, consts)), bwd)

    def outer(p: Any) -> Any:
        fun, consts = jax.closure_convert(lambda x: jnp.sum(x * p**2), jnp.ones(3))
        return inner(fun, jnp.ones(3), *consts)

    return outer


def squares(f: Any) -> Any:
    return lambda *args: (f(*args) ** 2).sum()


PROGRAMS: dict[str, Any] = {
    "root": lambda jax, jnp, x, a: cube_root(jax, jnp)(x),
    "hessian of root": lambda jax, jnp, x, a: jax.hessian(squares(cube_root(jax, jnp)))(x),
    "jit of vmap of grad of root": lambda jax, jnp, x, a: jax.jit(
        jax.vmap(jax.grad(cube_root(jax, jnp)))
    )(x),
    "grad of direct solve": lambda jax, jnp, x, a: jax.grad(squares(direct(jax, jnp)), (0, 1))(
        a, x
    ),
    "of a constant matrix": lambda jax, jnp, x, a: jax.jacrev(
        lambda b: direct(jax, jnp)(jnp.asarray(A), b)
    )(x),
    "jit of hessian of direct solve": lambda jax, jnp, x, a: jax.jit(
        jax.hessian(squares(direct(jax, jnp)), 1)
    )(a, x),
    "vmap of grad of direct solve": lambda jax, jnp, x, a: jax.vmap(
        jax.grad(squares(direct(jax, jnp)), (0, 1)), (None, 0)
    )(a, jnp.stack([x, 2 * x])),
    "grad of scan of direct solves": lambda jax, jnp, x, a: jax.grad(
        lambda b: jax.lax.scan(lambda c, _: (direct(jax, jnp)(a, c), c), b, None, 3)[0].sum()
    )(x),
    "grad of solve": lambda jax, jnp, x, a: jax.grad(squares(linear(jax, jnp)), (0, 1))(a, x),
    "jit of grad of jit of solve": lambda jax, jnp, x, a: jax.jit(
        jax.grad(squares(jax.jit(linear(jax, jnp))), (0, 1))
    )(a, x),
    "jacobians of solve": lambda jax, jnp, x, a: (
        jax.jacrev(linear(jax, jnp), 1)(a, x),
        jax.jacfwd(linear(jax, jnp), 0)(a, x),
    ),
    "grad of vmap of solve": lambda jax, jnp, x, a: jax.grad(
        lambda b: squares(jax.vmap(lambda row: linear(jax, jnp)(a, row)))(b)
    )(a),
    "grad of grad of solve": lambda jax, jnp, x, a: jax.grad(
        squares(jax.grad(squares(linear(jax, jnp)), 1))
    )(a, x),
    "custom gradient": lambda jax, jnp, x, a: jax.grad(
        squares(lambda x: own_gradient(jax, jnp)(x, x * x))
    )(x),
    "vmap of jit of grad of custom gradient": lambda jax, jnp, x, a: jax.vmap(
        jax.jit(jax.grad(lambda x: own_gradient(jax, jnp)(x, x)))
    )(x),
    "closure": lambda jax, jnp, x, a: jax.grad(minimum(jax, jnp))(x[0]),
    "jit of closure": lambda jax, jnp, x, a: jax.jit(jax.grad(minimum(jax, jnp)))(x[0]),
}


@pytest.mark.sampled
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_against_jax(program: Any) -> None:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        wanted = program(jax, jax.numpy, jax.numpy.asarray(X), jax.numpy.asarray(A))
    with jitml.enable_x64():
        found = program(jitml, jnp, jnp.asarray(X), jnp.asarray(A))
    pairs = zip(jitml.tree.leaves(found), jax.tree_util.tree_leaves(wanted), strict=True)
    for a, b in pairs:
        assert a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-10, atol=1e-12)


def test_extra_results_of_solvers() -> None:
    def root(a: Any) -> Any:
        return jitml.lax.custom_root(
            lambda x: x - a, 1.0, lambda f, x: (x - f(x), {"steps": 3}), lambda g, y: y, True
        )

    assert jitml.grad(root, has_aux=True)(4.0) == (1, {"steps": 3})

    def divide(b: Any) -> Any:
        solve = lambda f, y: (y / f(1.0), 7)  # noqa: E731
        return jitml.lax.custom_linear_solve(
            lambda x: 2 * x, b, solve, symmetric=True, has_aux=True
        )

    assert jitml.jit(jitml.grad(divide, has_aux=True))(4.0) == (0.5, 7)


def test_results_must_be_like_arguments() -> None:
    with pytest.raises(TreeError, match="has structure"):
        jitml.lax.custom_root(lambda x: (x, x), 1.0, lambda f, x: x, lambda g, y: y)
    with pytest.raises(ShapeError, match="has shapes"):
        jitml.lax.custom_linear_solve(lambda x: x[:1], jnp.ones(2), lambda f, y: y)
    f, hidden = jitml.closure_convert(lambda x: x + 1, 1.0)
    assert (f(2.0), hidden) == (3, [])
    with pytest.raises(TreeError, match="converted for arguments"):
        f((2.0,))
