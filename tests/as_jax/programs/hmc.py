"""NumPyro-style Hamiltonian Monte Carlo with dual averaging, on logistic regression."""

import json
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax, random
from jax.flatten_util import ravel_pytree
from jax.scipy.special import expit


class IntegratorState(NamedTuple):
    z: jax.Array
    r: jax.Array
    potential_energy: jax.Array
    z_grad: jax.Array


class HMCState(NamedTuple):
    i: jax.Array
    state: IntegratorState
    step_size: jax.Array
    accept: jax.Array
    key: jax.Array


def make_data(key):
    k1, k2, k3 = random.split(key, 3)
    x = random.normal(k1, (50, 3))
    w = jnp.array([1.0, -2.0, 0.5])
    y = random.bernoulli(k2, expit(x @ w)).astype(jnp.float32)
    return x, y


x, y = make_data(random.PRNGKey(0))
params0 = {"w": jnp.zeros(3), "b": jnp.array(0.0)}
flat0, unravel = ravel_pytree(params0)


def potential(flat):
    p = unravel(flat)
    logits = x @ p["w"] + p["b"]
    ll = jnp.sum(y * jax.nn.log_sigmoid(logits) + (1 - y) * jax.nn.log_sigmoid(-logits))
    prior = jax.tree_util.tree_reduce(
        lambda a, v: a + jnp.sum(jax.scipy.stats.norm.logpdf(v, 0.0, 2.0)), p, 0.0
    )
    return -(ll + prior)


@partial(jax.jit, static_argnums=(2,))
def leapfrog(s, eps, n):
    def body(i, s):
        r = s.r - 0.5 * eps * s.z_grad
        z = s.z + eps * r
        pe, g = jax.value_and_grad(potential)(z)
        return IntegratorState(z, r - 0.5 * eps * g, pe, g)

    return lax.fori_loop(0, n, body, s)


def hmc_step(carry, _):
    key, k_m, k_u = random.split(carry.key, 3)
    r = random.normal(k_m, carry.state.z.shape)
    s0 = carry.state._replace(r=r)
    s1 = leapfrog(s0, carry.step_size, 5)
    e0 = s0.potential_energy + 0.5 * jnp.dot(s0.r, s0.r)
    e1 = s1.potential_energy + 0.5 * jnp.dot(s1.r, s1.r)
    p = jnp.clip(jnp.exp(e0 - e1), None, 1.0)
    take = random.uniform(k_u) < p
    s = jax.tree.map(partial(jnp.where, take), s1, s0)
    n = carry.i + 1
    eps = carry.step_size * jnp.exp((p - 0.8) / jnp.sqrt(n))
    return HMCState(n, s, eps, carry.accept + (p - carry.accept) / n, key), s.z


pe, g = jax.value_and_grad(potential)(flat0)
init = HMCState(
    jnp.array(0),
    IntegratorState(flat0, jnp.zeros_like(flat0), pe, g),
    jnp.array(0.1),
    jnp.array(0.0),
    random.PRNGKey(3),
)
last, zs = jax.jit(lambda s: lax.scan(hmc_step, s, None, length=40))(init)
print(
    json.dumps(
        [
            float(last.step_size),
            float(last.accept),
            *map(float, zs[:10].mean(0)),
            *map(float, zs[9]),
        ]
    )
)
