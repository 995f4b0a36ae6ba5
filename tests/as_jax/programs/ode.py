"""The rates of a differential equation found by gradients through its solution."""

import json

import jax
import jax.numpy as jnp
from jax.experimental.ode import odeint


def lv(y, t, theta):
    a, b, c, d = theta
    return jnp.stack([a * y[0] - b * y[0] * y[1], -c * y[1] + d * y[0] * y[1]])


ts = jnp.linspace(0.0, 4.0, 9)
true = odeint(lv, jnp.array([1.0, 0.8]), ts, jnp.array([1.1, 0.4, 0.9, 0.5]), rtol=1e-6, atol=1e-6)


def loss(theta):
    return jnp.mean(
        (odeint(lv, jnp.array([1.0, 0.8]), ts, theta, rtol=1e-6, atol=1e-6) - true) ** 2
    )


th = jnp.array([1.0, 0.5, 1.0, 0.4])
f = jax.jit(jax.value_and_grad(loss))
out = []
for _ in range(8):
    l, g = f(th)
    th = th - 0.03 * g
    out.append(float(l))
print(json.dumps(out + [float(x) for x in th] + [float(x) for x in true.ravel()]))
