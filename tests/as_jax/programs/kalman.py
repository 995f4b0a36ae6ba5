"""A Kalman filter and smoother by scan; its likelihood is maximized by gradients."""

import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy as jsp
import numpy as np
from jax import lax


class Params(NamedTuple):
    F: jnp.ndarray
    H: jnp.ndarray
    log_q: jnp.ndarray
    log_r: jnp.ndarray


def kalman(p, ys):
    n = p.F.shape[0]
    Q = jnp.exp(p.log_q) * jnp.eye(n)
    R = jnp.exp(p.log_r) * jnp.eye(p.H.shape[0])

    def step(c, y):
        m, P = c
        m = p.F @ m
        P = p.F @ P @ p.F.T + Q
        S = p.H @ P @ p.H.T + R
        L = jnp.linalg.cholesky(S)
        v = y - p.H @ m
        K = jsp.linalg.cho_solve((L, True), p.H @ P).T
        ll = -0.5 * (
            v @ jsp.linalg.cho_solve((L, True), v)
            + 2 * jnp.sum(jnp.log(jnp.diag(L)))
            + v.size * jnp.log(2 * jnp.pi)
        )
        m = m + K @ v
        P = P - K @ S @ K.T
        return (m, P), (m, P, ll)

    _, (ms, Ps, ll) = lax.scan(step, (jnp.zeros(n), jnp.eye(n)), ys)

    def back(c, t):
        m, P = c
        mf, Pf = t
        mp = p.F @ mf
        Pp = p.F @ Pf @ p.F.T + Q
        G = jnp.linalg.solve(Pp, p.F @ Pf).T
        m = mf + G @ (m - mp)
        P = Pf + G @ (P - Pp) @ G.T
        return (m, P), m

    _, sm = lax.scan(back, (ms[-1], Ps[-1]), (ms[:-1], Ps[:-1]), reverse=True)
    return ll.sum(), ms, sm


rng = np.random.default_rng(0)
F = jnp.array([[1.0, 0.1], [0.0, 0.98]])
H = jnp.array([[1.0, 0.0]])
ys = jnp.asarray(
    np.cumsum(rng.normal(size=(60, 1)) * 0.1, 0) + rng.normal(size=(60, 1)) * 0.3, jnp.float32
)
p = Params(F, H, jnp.log(0.1), jnp.log(0.5))
f = jax.jit(jax.value_and_grad(lambda p: -kalman(p, ys)[0]))
out = []
for _ in range(10):
    l, g = f(p)
    p = p._replace(log_q=p.log_q - 0.02 * g.log_q, log_r=p.log_r - 0.02 * g.log_r)
    out.append(float(l))
ll, ms, sm = jax.jit(kalman)(p, ys)
Hs = jax.hessian(lambda v: -kalman(p._replace(log_q=v[0], log_r=v[1]), ys)[0])(
    jnp.stack([p.log_q, p.log_r])
)
print(
    json.dumps(
        out[::3]
        + [
            float(p.log_q),
            float(p.log_r),
            *map(float, ms[::20, 0]),
            *map(float, sm[::20, 1]),
            *map(float, Hs.ravel()),
        ]
    )
)
