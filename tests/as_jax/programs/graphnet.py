"""A graph network with attention, by segment sums."""

import collections
import json

import jax
import jax.numpy as jnp
import numpy as np
from jax.ops import segment_sum

GraphsTuple = collections.namedtuple(
    "GraphsTuple", ["nodes", "edges", "senders", "receivers", "n_node", "globals"]
)
rng = np.random.default_rng(0)
n_node = np.array([5, 7, 4])
N = n_node.sum()
E = 30
off = np.repeat(np.concatenate([[0], np.cumsum(n_node)[:-1]]), 10)
sz = np.repeat(n_node, 10)
send = off + rng.integers(0, 1000, E) % sz
recv = off + rng.integers(0, 1000, E) % sz
g = GraphsTuple(
    jnp.asarray(rng.normal(size=(N, 4)), jnp.float32),
    jnp.asarray(rng.normal(size=(E, 3)), jnp.float32),
    jnp.asarray(send),
    jnp.asarray(recv),
    jnp.asarray(n_node),
    jnp.zeros((3, 2)),
)


def mlp(p, x):
    for i, (w, b) in enumerate(p):
        x = x @ w + b
        x = jax.nn.gelu(x) if i < len(p) - 1 else x
    return x


def make(key, *s):
    return [
        (jax.random.truncated_normal(k, -2, 2, (a, b)) / np.sqrt(a), jnp.zeros(b))
        for k, a, b in zip(jax.random.split(key, len(s)), s, s[1:])
    ]


def layer(p, g):
    gi_n = jnp.repeat(jnp.arange(3), g.n_node, total_repeat_length=g.nodes.shape[0])
    gi_e = gi_n[g.senders]
    e = mlp(
        p["e"],
        jnp.concatenate([g.edges, g.nodes[g.senders], g.nodes[g.receivers], g.globals[gi_e]], 1),
    )
    att = mlp(p["a"], e)[:, 0]
    mx = jax.ops.segment_max(att, g.receivers, num_segments=g.nodes.shape[0])
    w = jnp.exp(att - mx[g.receivers])
    w = w / segment_sum(w, g.receivers, num_segments=g.nodes.shape[0])[g.receivers]
    agg = segment_sum(e * w[:, None], g.receivers, num_segments=g.nodes.shape[0])
    n = mlp(p["n"], jnp.concatenate([g.nodes, agg, g.globals[gi_n]], 1))
    u = mlp(
        p["g"], jnp.concatenate([segment_sum(n, gi_n, 3), segment_sum(e, gi_e, 3), g.globals], 1)
    )
    return g._replace(nodes=n, edges=e, globals=u)


ks = jax.random.split(jax.random.PRNGKey(0), 4)
p = {
    "e": make(ks[0], 13, 8, 3),
    "a": make(ks[1], 3, 4, 1),
    "n": make(ks[2], 9, 8, 4),
    "g": make(ks[3], 9, 8, 2),
}
tgt = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


@jax.jit
def step(p, g):
    def loss(p):
        h = g
        for _ in range(2):
            h = layer(p, h)
        return jnp.mean((h.globals - tgt) ** 2)

    l, d = jax.value_and_grad(loss)(p)
    return jax.tree.map(lambda a, b: a - 0.05 * b, p, d), l


ls = []
for _ in range(12):
    p, l = step(p, g)
    ls.append(float(l))
deg = jnp.zeros(N, int).at[g.receivers].add(1)
print(
    json.dumps(
        ls
        + np.asarray(deg).tolist()
        + [float(x) for x in jnp.unique(g.senders, size=20, fill_value=-1)]
    )
)
