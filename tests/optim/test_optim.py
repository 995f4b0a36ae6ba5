"""Optimisers go where Optax's go: the reference is that of tests/as_jax, made by Optax on JAX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import optim

TESTS = Path(__file__).parents[1]
REFERENCE: dict[str, Any] = json.loads((TESTS / "as_jax/optax_reference.json").read_text("utf-8"))

OPTIMIZERS = {
    "sgd": optim.sgd(0.05),
    "momentum": optim.momentum(0.02, nesterov=True),
    "adam": optim.adam(0.02),
    "adamw": optim.adamw(0.02, weight_decay=0.01),
    "lion": optim.lion(0.003),
    "lamb": optim.lamb(0.005),
    "rmsprop": optim.rmsprop(0.002, eps=1e-3, momentum=0.5),
    "schedule": optim.adam(optim.warmup_cosine(0.0, 0.05, 10, 100, last=0.001)),
    "piecewise": optim.sgd(optim.piecewise_constant(0.05, {30: 0.5, 60: 0.5})),
    "exponential": optim.sgd(optim.exponential(0.1, 20, 0.7, staircase=True)),
    "clip": optim.sgd(0.1),
    "global norm": optim.sgd(0.1),
}
CLIPS = {
    "clip": lambda g: optim.clip(g, 0.02),
    "global norm": lambda g: optim.clip_by_global_norm(g, 0.3),
}


def loss(parameters: Any, x: Any, y: Any) -> Any:
    hidden = jnp.tanh(x @ parameters["w"] + parameters["b"])
    size = sum(jnp.sum(p**2) for p in jitml.tree.leaves(parameters))
    return jnp.mean((hidden @ parameters["v"] - y) ** 2) + 0.003 * size


def problem() -> tuple[Any, Any, Any]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(16, 6)).astype(np.float32)
    w = jnp.asarray(generator.normal(size=(6, 8)) * 0.4, jnp.float32)
    v = jnp.asarray(generator.normal(size=(8, 2)) * 0.4, jnp.float32)
    return {"w": w, "b": jnp.full((8,), 0.1), "v": v}, x, np.tanh(x[:, :2])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trajectories_are_those_of_optax(name: str) -> None:
    optimizer = OPTIMIZERS[name]
    parameters, x, y = problem()
    state, values = optimizer.init(parameters), []

    @jitml.jit
    def step(parameters: Any, state: Any) -> Any:
        value, gradients = jitml.value_and_grad(loss)(parameters, x, y)
        clipped = CLIPS[name](gradients) if name in CLIPS else gradients
        updates, state = optimizer.update(clipped, state, parameters)
        return optim.apply_updates(parameters, updates), state, value

    for _ in range(100):
        parameters, state, value = step(parameters, state)
        values.append(float(value))
    last = np.concatenate([np.ravel(p) for p in jitml.tree.leaves(parameters)])
    np.testing.assert_allclose(values[9::10], REFERENCE[name]["losses"], 1e-5, 1e-5)
    np.testing.assert_allclose(last, REFERENCE[name]["last"], 1e-5, 1e-5)
    assert int(state.step) == 100


def test_dtypes_are_those_of_the_parameters() -> None:
    parameters = {"half": jnp.ones(2, jnp.bfloat16), "wide": jnp.ones(2, "float64")}
    rate = optim.cosine(0.5, 10)
    for optimizer in (optim.adamw(rate), optim.lamb(rate), optim.lion(rate), optim.rmsprop(rate)):
        updates, state = optimizer.update(parameters, optimizer.init(parameters), parameters)
        moved = optim.apply_updates(parameters, updates)
        for tree in (updates, moved, *state.moments):
            assert {k: x.dtype.name for k, x in tree.items()} == {
                "half": "bfloat16",
                "wide": "float64",
            }
    assert optim.clip_by_global_norm(parameters, 0.1)["half"].dtype == jnp.bfloat16


def test_without_parameters_nothing_moves() -> None:
    optimizer = optim.adam(0.1)
    updates, state = optimizer.update({}, optimizer.init({}), {})
    assert (updates, int(state.step), state.moments) == ({}, 1, ({}, {}))
    assert optim.global_norm({}) == 0


def test_schedules_at_their_ends() -> None:
    assert [float(optim.linear(1.0, 3.0, 2)(k)) for k in (0, 1, 2, 9)] == [1, 2, 3, 3]
    assert float(optim.cosine(1.0, 4, last=0.5)(100)) == 0.5
    assert [float(optim.exponential(1.0, 2, 0.5, staircase=True)(k)) for k in (1, 2)] == [1, 0.5]
    assert optim.constant(0.25)(7) == 0.25


def test_mistakes() -> None:
    optimizer = optim.adam(0.1)
    with pytest.raises(jitml.errors.TreeError, match="differentiate by the parameters"):
        optimizer.update([jnp.ones(1)], optimizer.init({"w": jnp.ones(1)}), {"w": jnp.ones(1)})
    with pytest.raises(jitml.errors.ArgumentError, match="a schedule over 0 steps"):
        optim.cosine(0.1, 0)
