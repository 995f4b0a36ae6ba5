"""Whole training steps on the emulated device: one graph launch each, and the CPU's bits.

They take a minute, so they run with JITML_GPU=all.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import demo, nn, random
from jitml.emulation.libcuda import EmulatedCuda
from jitml.pipeline.compile import Compiled
from jitml.trace.core import trace_graph, type_of
from jitml.transforms.inline_calls import inline_calls

pytestmark = pytest.mark.skipif(os.environ.get("JITML_GPU") != "all", reason="takes a minute")


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(x).tobytes() for x in jitml.tree.leaves(tree)]


def steps_on_both(step: Any, state: Any, batches: Any, cuda: EmulatedCuda) -> None:
    """Some steps on the device, each a graph launch; the CPU takes the same ones."""
    here = there = state
    for count, batch in enumerate(batches, 1):
        flat = [jnp.asarray(x) for x in jitml.tree.leaves((there, *batch))]
        structure = jitml.tree.structure(there)
        whole = jitml.tree.structure((there, *batch))
        traced = trace_graph(
            lambda *x, whole=whole: jitml.tree.leaves(step(*jitml.tree.unflatten(whole, x))),
            [type_of(x) for x in flat],
            "step",
        )
        graph = inline_calls(traced.graph)
        flat += traced.captures
        if count == 1:
            on_device, on_host = Compiled(graph), Compiled(graph, on_host=True)
        found, expected = on_device.run(flat), on_host.run(flat)
        assert bits(found) == bits(expected)
        assert cuda.calls["cuGraphLaunch"] == count
        there = jitml.tree.unflatten(structure, found[: structure.num_leaves])
    assert bits(here) != bits(there)


def test_the_digits_network_trains_with_the_losses_of_the_cpu(emulated: EmulatedCuda) -> None:
    digits = demo.load_digits(np.random.default_rng(0))
    parameters = demo.initial_parameters(random.key(0))
    zeros = jitml.tree.map(jnp.zeros_like, parameters)
    state = (parameters, demo.AdamState(jnp.asarray(0), zeros, zeros))
    batches = [
        (digits.train_images[k : k + 16], digits.train_labels[k : k + 16]) for k in (0, 16, 32)
    ]

    def step(state: Any, images: Any, labels: Any) -> Any:
        parameters, adam, loss = demo.train_step(*state, images, labels)
        return (parameters, adam), loss

    emulated.calls.clear()
    steps_on_both(step, state, batches, emulated)


def by_products(q: Any, k: Any, v: Any) -> Any:
    return nn.softmax(q @ k.transpose(0, 2, 1) / 4.0) @ v


def by_the_kernel(q: Any, k: Any, v: Any) -> Any:
    heads = (x.reshape(*x.shape[:2], 2, -1) for x in (q, k, v))
    return nn.dot_product_attention(*heads, is_causal=True).reshape(q.shape)


@pytest.mark.parametrize("attend", [by_products, by_the_kernel])
def test_a_step_of_a_transformer_is_one_graph_launch(attend: Any, measured: EmulatedCuda) -> None:
    width, layers = 16, 2
    draw = np.random.default_rng(0)

    def matrix(*shape: int) -> Any:
        return (draw.standard_normal(shape) / 4).astype(np.float32)

    parameters = [
        {"qkv": matrix(width, 3 * width), "out": matrix(width, width),
         "up": matrix(width, 4 * width), "down": matrix(4 * width, width)}
        for _ in range(layers)
    ]  # fmt: skip

    def norm(x: Any) -> Any:
        x = x - x.mean(-1, keepdims=True)
        return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        for p in parameters:
            q, k, v = jnp.split(norm(x) @ p["qkv"], 3, axis=-1)
            x = x + attend(q, k, v) @ p["out"]
            x = x + nn.gelu(norm(x) @ p["up"]) @ p["down"]
        return ((x - y) ** 2).mean()

    def step(parameters: Any, x: Any, y: Any) -> Any:
        value, gradient = jitml.value_and_grad(loss)(parameters, x, y)
        return jitml.tree.map(lambda p, g: p - 0.1 * g, parameters, gradient), value

    batches = [(matrix(2, 8, width), matrix(2, 8, width)) for _ in range(2)]
    measured.calls.clear()
    steps_on_both(step, parameters, batches, measured)
    kernels = [launch for launch in measured.launches if "weights" in launch.text]
    assert len(kernels) == (layers * len(batches) if attend is by_the_kernel else 0)
    assert len(measured.launches) <= 110 * len(batches)
