"""A program written for JAX and Optax, in which nothing knows of jitml.

It prints, as JSON, losses and last parameters of 100 steps by each optimiser. `lbfgs`, whose line
search magnifies what rounding does, runs in 64 bits: `JAX_ENABLE_X64=1 program.py lbfgs`. With JAX
itself, `python optax_program.py --write` writes what it prints to optax_reference.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

STEPS = 100
DTYPE = jnp.zeros(()).dtype
RATE = optax.warmup_cosine_decay_schedule(0.0, 0.05, 10, STEPS, 0.001)

OPTIMISERS = {
    "sgd": lambda: optax.sgd(0.05),
    "momentum": lambda: optax.sgd(0.02, momentum=0.9, nesterov=True),
    "adam": lambda: optax.adam(0.02),
    "adamw": lambda: optax.adamw(0.02, weight_decay=0.01),
    "lion": lambda: optax.lion(0.003),
    "lamb": lambda: optax.lamb(0.005),
    "adafactor": lambda: optax.adafactor(0.003, min_dim_size_to_factor=4),
    "rmsprop": lambda: optax.rmsprop(0.002, eps=1e-3, momentum=0.5),
    "novograd": lambda: optax.novograd(0.02),
    "muon": lambda: optax.contrib.muon(0.02),
    "lbfgs": lambda: optax.lbfgs(memory_size=10),
    "schedule": lambda: optax.adam(RATE),
    "piecewise": lambda: optax.sgd(optax.piecewise_constant_schedule(0.05, {30: 0.5, 60: 0.5})),
    "exponential": lambda: optax.sgd(optax.exponential_decay(0.1, 20, 0.7, staircase=True)),
    "clip": lambda: optax.chain(optax.clip(0.02), optax.sgd(0.1)),
    "global norm": lambda: optax.chain(optax.clip_by_global_norm(0.3), optax.sgd(0.1)),
}


def loss(parameters, x, y):
    hidden = jnp.tanh(x @ parameters["w"] + parameters["b"])
    size = sum(jnp.sum(p**2) for p in jax.tree.leaves(parameters))
    return jnp.mean((hidden @ parameters["v"] - y) ** 2) + 0.003 * size


def trajectory(name):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(16, 6)).astype(DTYPE)
    y = np.tanh(x[:, :2])
    parameters = {
        "w": jnp.asarray(generator.normal(size=(6, 8)) * 0.4, DTYPE),
        "b": jnp.full((8,), 0.1),
        "v": jnp.asarray(generator.normal(size=(8, 2)) * 0.4, DTYPE),
    }
    optimiser = OPTIMISERS[name]()
    value_and_grad = jax.value_and_grad(loss)

    @jax.jit
    def step(parameters, state):
        value, gradient = value_and_grad(parameters, x, y)
        more = {}
        if name == "lbfgs":
            more = {"value": value, "grad": gradient, "value_fn": lambda p: loss(p, x, y)}
        updates, state = optimiser.update(gradient, state, parameters, **more)
        return optax.apply_updates(parameters, updates), state, value

    state = optimiser.init(parameters)
    values = []
    for _ in range(STEPS):
        parameters, state, value = step(parameters, state)
        values.append(float(value))
    last = np.concatenate([np.ravel(v) for v in jax.tree.leaves(parameters)])
    return {"losses": rounded(values[9::10]), "last": rounded(last)}


def rounded(numbers):
    return [float(f"{x:.7g}") for x in numbers]


def write():
    """The reference, made in two processes."""
    known = {}
    for wide, names in (("0", [n for n in OPTIMISERS if n != "lbfgs"]), ("1", ["lbfgs"])):
        command = [sys.executable, __file__, *names]
        environment = {**os.environ, "JAX_ENABLE_X64": wide}
        known |= json.loads(subprocess.check_output(command, env=environment))
    rows = ",\n".join(f'"{name}": {json.dumps(found)}' for name, found in known.items())
    Path(__file__).with_name("optax_reference.json").write_text("{\n" + rows + "\n}\n", "utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    else:
        print(json.dumps({name: trajectory(name) for name in sys.argv[1:]}))
