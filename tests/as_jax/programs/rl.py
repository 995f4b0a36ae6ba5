"""Policy gradient on a cart-pole written in JAX; episodes by while_loop and by scan."""

import json
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax, random


def dynamics(s, a):
    x, xd, th, thd = s
    force = jnp.where(a == 1, 10.0, -10.0)
    c, sn = jnp.cos(th), jnp.sin(th)
    tmp = (force + 0.05 * thd**2 * sn) / 1.1
    acc = (9.8 * sn - c * tmp) / (0.5 * (4.0 / 3.0 - 0.1 * c**2 / 1.1))
    xa = tmp - 0.05 * acc * c / 1.1
    s = jnp.array([x + 0.02 * xd, xd + 0.02 * xa, th + 0.02 * thd, thd + 0.02 * acc])
    return s, (jnp.abs(s[0]) > 2.4) | (jnp.abs(s[2]) > 0.209)


def policy(p, s):
    return jnp.tanh(s @ p["w1"] + p["b1"]) @ p["w2"]


def rollout(p, key, n=60):
    k0, key = random.split(key)

    def f(c, k):
        s, done = c
        a = random.categorical(k, policy(p, s))
        s2, d = dynamics(s, a)
        s2 = lax.select(done, s, s2)
        return (s2, done | d), (s, a, 1.0 - done.astype(jnp.float32))

    _, out = lax.scan(
        f,
        (random.uniform(k0, (4,), minval=-0.05, maxval=0.05), jnp.array(False)),
        random.split(key, n),
    )
    return out


def returns(r, gamma=0.97):
    return lax.scan(lambda c, x: (x + gamma * c,) * 2, 0.0, r, reverse=True)[1]


def loss(p, key):
    s, a, m = jax.vmap(partial(rollout, p))(random.split(key, 8))
    G = jax.vmap(returns)(m)
    adv = jnp.where(m > 0, (G - G.mean()) / (G.std() + 1e-6), 0.0)
    lp = jax.nn.log_softmax(jax.vmap(jax.vmap(partial(policy, p)))(s))
    pick = jnp.take_along_axis(lp, a[..., None], -1)[..., 0]
    ent = -(jnp.exp(lp) * lp).sum(-1)
    return -jnp.sum(pick * lax.stop_gradient(adv) * m + 0.01 * ent * m) / m.sum(), m.sum(1).mean()


@jax.jit
def train(p, key):
    def one(p, k):
        (l, n), g = jax.value_and_grad(loss, has_aux=True)(p, k)
        return jax.tree.map(lambda a, b: a - 0.1 * b, p, g), (l, n)

    return lax.scan(one, p, random.split(key, 6))


def episode(p, key):
    return lax.while_loop(
        lambda c: ~c[1] & (c[2] < 100),
        lambda c: (*dynamics(c[0], jnp.argmax(policy(p, c[0]))), c[2] + 1),
        (jnp.array([0.0, 0.0, 0.02, 0.0]), False, 0),
    )


k = random.split(random.PRNGKey(0), 3)
p = {
    "w1": random.normal(k[0], (4, 8)) * 0.5,
    "b1": jnp.zeros(8),
    "w2": random.normal(k[1], (8, 2)) * 0.3,
}
p, (l, n) = train(p, k[2])
s, d, t = jax.jit(episode, static_argnums=1)(p, None)
print(json.dumps([*map(float, l), *map(float, n), int(t), bool(d)]))
