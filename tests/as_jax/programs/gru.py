"""A recurrent model of text, trained on batches of slices; and text drawn from it."""

import json

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

text = "the quick brown fox jumps over the lazy dog. pack my box with five dozen liquor jugs. "
chars = sorted(set(text))
ids = jnp.array([chars.index(c) for c in text])
V, H = len(chars), 24


def init(key):
    k = jax.random.split(key, 4)
    u = jax.nn.initializers.orthogonal()
    g = jax.nn.initializers.lecun_normal()
    return {
        "emb": jax.random.normal(k[0], (V, 12)) * 0.3,
        "wi": g(k[1], (12, 3 * H)),
        "wh": jax.random.normal(k[2], (H, 3 * H)) * 0.2,
        "b": jnp.zeros(3 * H),
        "out": g(k[3], (H, V)),
    }


def cell(p, h, x):
    gi = x @ p["wi"] + p["b"]
    gh = h @ p["wh"]
    ir, iz, in_ = jnp.split(gi, 3, -1)
    hr, hz, hn = jnp.split(gh, 3, -1)
    r = jax.nn.sigmoid(ir + hr)
    z = jax.nn.sigmoid(iz + hz)
    n = jnp.tanh(in_ + r * hn)
    return (1 - z) * n + z * h


def loss(p, seq):
    xs, ys = seq[:-1], seq[1:]

    def f(h, x):
        h = cell(p, h, p["emb"][x])
        return h, h @ p["out"]

    _, logits = lax.scan(f, jnp.zeros(H), xs)
    lp = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(lp, ys[:, None], axis=1).mean()


batched = lambda p, b: jax.vmap(loss, in_axes=(None, 0))(p, b).mean()


def clip(g, c):
    n = jnp.sqrt(sum(jnp.vdot(x, x) for x in jax.tree.leaves(g)))
    return jax.tree.map(lambda x: x * jnp.minimum(1.0, c / n), g), n


@jax.jit
def train(p, b):
    l, g = jax.value_and_grad(batched)(p, b)
    g, n = clip(g, 1.0)
    return jax.tree.map(lambda a, d: a - 0.5 * d, p, g), l, n


@jax.jit
def generate(p, start, key):
    def f(c, k):
        h, x = c
        h = cell(p, h, p["emb"][x])
        x = jax.random.categorical(k, h @ p["out"] * 3)
        return (h, x), x

    return lax.scan(f, (jnp.zeros(H), start), jax.random.split(key, 12))[1]


p = init(jax.random.PRNGKey(0))
ls = []
starts = np.random.default_rng(0).integers(0, len(text) - 21, (30, 8))
for s in starts:
    b = jax.vmap(lambda i: lax.dynamic_slice(ids, (i,), (20,)))(jnp.asarray(s))
    p, l, n = train(p, b)
    ls += [float(l), float(n)]
print(json.dumps(ls[::9] + generate(p, ids[0], jax.random.PRNGKey(5)).tolist()))
