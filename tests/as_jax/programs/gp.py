"""A Gaussian process: likelihood, prediction, and second derivatives."""

import json

import jax
import jax.numpy as jnp
import numpy as np
from jax import jacfwd, jacrev, jit, value_and_grad, vmap
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import cho_factor, cho_solve, solve_triangular


def rbf(p, x, y):
    return jnp.exp(2 * p["s"]) * jnp.exp(-0.5 * jnp.sum(((x - y) / jnp.exp(p["l"])) ** 2))


gram = lambda p, a, b: vmap(lambda x: vmap(lambda y: rbf(p, x, y))(b))(a)


def nll(p, X, y):
    K = gram(p, X, X) + (jnp.exp(2 * p["n"]) + 1e-5) * jnp.eye(len(X))
    c, low = cho_factor(K, lower=True)
    a = cho_solve((c, low), y)
    return 0.5 * y @ a + jnp.log(jnp.diag(c)).sum() + 0.5 * len(X) * jnp.log(2 * jnp.pi)


rng = np.random.default_rng(0)
X = jnp.asarray(rng.uniform(-3, 3, (24, 2)), jnp.float32)
y = jnp.sin(X[:, 0]) * jnp.cos(X[:, 1]) + 0.1 * jnp.asarray(rng.normal(size=24), jnp.float32)
p = {"s": 0.0, "l": jnp.zeros(2), "n": -1.0}
f = jit(value_and_grad(nll))
out = []
for _ in range(15):
    v, g = f(p, X, y)
    p = jax.tree.map(lambda a, b: a - 0.02 * b, p, g)
    out.append(float(v))
Z = jnp.stack(jnp.meshgrid(jnp.linspace(-2, 2, 3), jnp.linspace(-2, 2, 3)), -1).reshape(-1, 2)
K = gram(p, X, X) + jnp.exp(2 * p["n"]) * jnp.eye(24)
L = jnp.linalg.cholesky(K)
Ks = gram(p, X, Z)
V = solve_triangular(L, Ks, lower=True)
mu = V.T @ solve_triangular(L, y, lower=True)
var = jnp.exp(2 * p["s"]) - (V**2).sum(0)
grad_mu = vmap(jax.grad(lambda z: (vmap(lambda x: rbf(p, x, z))(X)) @ jnp.linalg.solve(K, y)))(Z)
flat, un = ravel_pytree(p)
H = jacfwd(jacrev(lambda v: nll(un(v), X, y)))(flat)
print(
    json.dumps(
        out[::5]
        + [*map(float, mu), *map(float, var), *map(float, grad_mu.ravel()), *map(float, H.ravel())]
    )
)
