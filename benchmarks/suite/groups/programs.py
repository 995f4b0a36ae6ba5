"""Loops, training steps, derivatives: whole programs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from benchmarks.suite import numba_programs
from benchmarks.suite.workload import workload


@workload("loops", "scan of 1e5 scalar steps", (100_000,), numba=numba_programs.smoothing)
def smoothing(lib: Any, x: Any) -> Any:
    return lib.lax.scan(lambda c, y: (c * 0.9 + y, c), np.float32(0), x)[1]


@workload("loops", "Jacobi, 512² x 100", (512, 512), numba=numba_programs.jacobi)
def jacobi(lib: Any, grid: Any) -> Any:
    def sweep(_: Any, u: Any) -> Any:
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        return u.at[1:-1, 1:-1].set(0.25 * around)

    return lib.lax.fori_loop(0, 100, sweep, grid)


@workload(
    "loops",
    "mandelbrot, 512², 50 steps",
    arrays=lambda r: np.meshgrid(
        np.linspace(-2, 1, 512, dtype=np.float32), np.linspace(-1, 1, 512, dtype=np.float32)
    ),
    numba=numba_programs.mandelbrot,
)
def mandelbrot(lib: Any, x: Any, y: Any) -> Any:
    def step(_: Any, state: Any) -> Any:
        a, b, count = state
        inside = a * a + b * b < 4
        a, b = lib.np.where(inside, a * a - b * b + x, a), lib.np.where(inside, 2 * a * b + y, b)
        return a, b, count + inside

    zero = lib.np.zeros_like(x)
    return lib.lax.fori_loop(0, 50, step, (zero, zero, zero.astype("int32")))[2]


@workload("loops", "n-body, 512 bodies, 10 steps", (3, 512), numba=numba_programs.bodies)
def bodies(lib: Any, places: Any) -> Any:
    def move(_: Any, state: Any) -> Any:
        p, v = state
        apart = p[:, None, :] - p[:, :, None]
        squared = (apart * apart).sum(0) + 1e-3
        v = v + 0.01 * (apart / (squared * lib.np.sqrt(squared))).sum(2)
        return p + 0.01 * v, v

    return lib.lax.fori_loop(0, 10, move, (places, places * 0))[0]


@workload(
    "loops",
    "edit distance, 256x256",
    arrays=lambda r: tuple(r.integers(0, 4, 256, np.int32) for _ in range(2)),
    numba=numba_programs.edit_distance,
)
def edit_distance(lib: Any, a: Any, b: Any) -> Any:
    def row(above: Any, letter: Any) -> Any:
        def cell(left: Any, x: Any) -> Any:
            diagonal, up, other = x
            best = lib.np.minimum(lib.np.minimum(left, up) + 1, diagonal + (letter != other))
            return best, best

        _, cells = lib.lax.scan(cell, above[0] + 1, (above[:-1], above[1:], b))
        return lib.np.concatenate([above[:1] + 1, cells]), None

    return lib.lax.scan(row, lib.np.arange(257, dtype="int32"), a)[0][-1]


@workload("loops", "x.at[i].set(…), 1e4 steps", (10_000,), numba=numba_programs.updates)
def updates(lib: Any, table: Any) -> Any:
    return lib.lax.fori_loop(1, 10_000, lambda i, c: c.at[i].set(c[i - 1] * 0.5 + table[i]), table)


@workload("loops", "power iteration, 256², 100 steps", (256, 256), (256,))
def power_iteration(lib: Any, a: Any, v: Any) -> Any:
    def step(_: Any, v: Any) -> Any:
        w = a @ v
        return w / lib.np.linalg.norm(w)

    return lib.lax.fori_loop(0, 100, step, v)


@workload(
    "loops",
    "Newton in 1e5 lanes",
    arrays=lambda r: (r.random(100_000, np.float32) * 100 + 1,),
    numba=numba_programs.newton,
)
def newton(lib: Any, x: Any) -> Any:
    def root(a: Any) -> Any:
        return lib.lax.while_loop(
            lambda s: abs(s * s - a) > 1e-3 * a, lambda s: 0.5 * (s + a / s), a
        )

    return lib.root.vmap(root)(x)


# ---- training steps ------------------------------------------------------------------------------


def _layers(*sizes: int) -> Any:
    def make(random: np.random.Generator) -> Any:
        return [
            {
                "w": (random.standard_normal((m, n)) / np.sqrt(m)).astype(np.float32),
                "b": np.zeros(n, np.float32),
            }
            for m, n in itertools.pairwise(sizes)
        ]

    return make


def _adam(lib: Any, loss: Any, state: Any, *data: Any) -> Any:
    params, first, second = state
    value, grads = lib.root.value_and_grad(loss)(params, *data)
    first = lib.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
    second = lib.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
    params = lib.tree.map(
        lambda p, m, v: p - 1e-3 * m / (lib.np.sqrt(v) + 1e-8), params, first, second
    )
    return (params, first, second), value


def _with_state(params: Any) -> Any:
    def zeros(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {k: zeros(v) for k, v in tree.items()}
        return [zeros(v) for v in tree] if isinstance(tree, list) else np.zeros_like(tree)

    return params, zeros(params), zeros(params)


def _mlp(lib: Any, params: Any, x: Any) -> Any:
    for layer in params[:-1]:
        x = lib.np.tanh(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


@workload(
    "training",
    "MLP 784-512-512-10, Adam, batch 128",
    arrays=lambda r: (
        _with_state(_layers(784, 512, 512, 10)(r)),
        r.standard_normal((128, 784), np.float32),
        r.integers(0, 10, 128, np.int32),
    ),
)
def mlp_step(lib: Any, state: Any, x: Any, y: Any) -> Any:
    def loss(params: Any, x: Any, y: Any) -> Any:
        logs = lib.nn.log_softmax(_mlp(lib, params, x))
        return -lib.np.take_along_axis(logs, y[:, None], 1).mean()

    return _adam(lib, loss, state, x, y)


@workload(
    "training",
    "small MLP 8-32-32-1, Adam, batch 32",
    arrays=lambda r: (
        _with_state(_layers(8, 32, 32, 1)(r)),
        r.standard_normal((32, 8), np.float32),
        r.standard_normal((32, 1), np.float32),
    ),
)
def small_mlp_step(lib: Any, state: Any, x: Any, y: Any) -> Any:
    return _adam(lib, lambda p, x, y: ((_mlp(lib, p, x) - y) ** 2).mean(), state, x, y)


def _cnn(random: np.random.Generator) -> Any:
    def normal(*shape: int) -> Any:
        return (random.standard_normal(shape) * 0.1).astype(np.float32)

    return {
        "c1": normal(3, 3, 1, 16),
        "c2": normal(3, 3, 16, 32),
        "w": normal(7 * 7 * 32, 10),
        "b": np.zeros(10, np.float32),
    }


@workload(
    "training",
    "CNN on 28x28, Adam, batch 64",
    arrays=lambda r: (
        _with_state(_cnn(r)),
        r.standard_normal((64, 28, 28, 1), np.float32),
        r.integers(0, 10, 64, np.int32),
    ),
)
def cnn_step(lib: Any, state: Any, x: Any, y: Any) -> Any:
    def conv(x: Any, w: Any) -> Any:
        return lib.lax.conv_general_dilated(
            x, w, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def loss(p: Any, x: Any, y: Any) -> Any:
        h = lib.nn.relu(conv(lib.nn.relu(conv(x, p["c1"])), p["c2"]))
        logs = lib.nn.log_softmax(h.reshape(len(h), -1) @ p["w"] + p["b"])
        return -lib.np.take_along_axis(logs, y[:, None], 1).mean()

    return _adam(lib, loss, state, x, y)


def _transformer(random: np.random.Generator) -> Any:
    def normal(*shape: int) -> Any:
        return (random.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    def block() -> Any:
        ones = np.ones(128, np.float32)
        sizes = {"qkv": (128, 384), "out": (128, 128), "up": (128, 512), "down": (512, 128)}
        return {"g1": ones, "g2": ones, **{name: normal(*shape) for name, shape in sizes.items()}}

    blocks = [block() for _ in range(2)]
    return {"embed": normal(64, 128), "blocks": blocks, "head": normal(128, 64)}


@workload(
    "training",
    "transformer, 2 layers of 128, batch 8x64",
    arrays=lambda r: (_with_state(_transformer(r)), r.integers(0, 64, (8, 65), np.int32)),
)
def transformer_step(lib: Any, state: Any, tokens: Any) -> Any:
    jnp = lib.np

    def norm(x: Any, g: Any) -> Any:
        return x * lib.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6) * g

    def attend(x: Any, p: Any) -> Any:
        q, k, v = jnp.split((x @ p["qkv"]).reshape(8, 64, 3, 4, 32).transpose(2, 0, 3, 1, 4), 3)
        scores = (q[0] @ k[0].swapaxes(-1, -2)) / np.float32(np.sqrt(32))
        mask = jnp.tril(jnp.ones((64, 64), bool))
        mixed = lib.nn.softmax(jnp.where(mask, scores, -1e9)) @ v[0]
        return mixed.transpose(0, 2, 1, 3).reshape(8, 64, 128) @ p["out"]

    def loss(p: Any, tokens: Any) -> Any:
        x = p["embed"][tokens[:, :-1]]
        for block in p["blocks"]:
            x = x + attend(norm(x, block["g1"]), block)
            x = x + lib.nn.gelu(norm(x, block["g2"]) @ block["up"]) @ block["down"]
        logs = lib.nn.log_softmax(x @ p["head"])
        return -jnp.take_along_axis(logs, tokens[:, 1:, None], -1).mean()

    return _adam(lib, loss, state, tokens)


@workload(
    "training",
    "LSTM scan, 64 steps of 128, batch 32, gradient",
    arrays=lambda r: (
        {
            "w": (r.standard_normal((256, 512)) / 16).astype(np.float32),
            "b": np.zeros(512, np.float32),
        },
        r.standard_normal((64, 32, 128), np.float32),
    ),
)
def lstm_step(lib: Any, params: Any, xs: Any) -> Any:
    jnp = lib.np

    def loss(p: Any, xs: Any) -> Any:
        def step(state: Any, x: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(jnp.concatenate([x, h], 1) @ p["w"] + p["b"], 4, 1)
            c = lib.nn.sigmoid(f) * c + lib.nn.sigmoid(i) * jnp.tanh(g)
            h = lib.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zero = jnp.zeros((32, 128), "float32")
        return (lib.lax.scan(step, (zero, zero), xs)[1] ** 2).mean()

    return lib.root.value_and_grad(loss)(params, xs)


@workload("training", "logistic regression, 10000x100, gradient", (10_000, 100), (10_000,), (100,))
def logistic(lib: Any, x: Any, y: Any, w: Any) -> Any:
    return lib.root.grad(lambda w: lib.nn.softplus(-y * (x @ w)).mean())(w)


# ---- derivatives ---------------------------------------------------------------------------------


def _field(lib: Any, x: Any) -> Any:
    return lib.np.tanh(x) * lib.np.roll(x, 1) + lib.np.sin(x * x)


@workload("transforms", "jacfwd of 128", (128,))
def jacobian(lib: Any, x: Any) -> Any:
    return lib.root.jacfwd(lambda x: _field(lib, x))(x)


@workload("transforms", "jacrev of 128", (128,))
def reverse_jacobian(lib: Any, x: Any) -> Any:
    return lib.root.jacrev(lambda x: _field(lib, x))(x)


@workload("transforms", "hessian of 64", (64,))
def hessian(lib: Any, x: Any) -> Any:
    return lib.root.hessian(lambda x: (_field(lib, x) ** 2).sum())(x)


@workload(
    "transforms",
    "gradient per example, MLP, batch 64",
    arrays=lambda r: (
        _layers(32, 64, 1)(r),
        r.standard_normal((64, 32), np.float32),
        r.standard_normal((64, 1), np.float32),
    ),
)
def per_example(lib: Any, params: Any, x: Any, y: Any) -> Any:
    gradient = lib.root.grad(lambda p, x, y: ((_mlp(lib, p, x) - y) ** 2).sum())
    return lib.root.vmap(gradient, (None, 0, 0))(params, x, y)


@workload(
    "transforms",
    "hessian times vector, MLP",
    arrays=lambda r: (_layers(32, 64, 1)(r), r.standard_normal((64, 32), np.float32)),
)
def curvature(lib: Any, params: Any, x: Any) -> Any:
    gradient = lib.root.grad(lambda p: (_mlp(lib, p, x) ** 2).mean())
    return lib.root.jvp(gradient, (params,), (params,))[1]


@workload("transforms", "vmap of a polynomial, 1e5", (100_000,))
def mapped(lib: Any, x: Any) -> Any:
    return lib.root.vmap(lib.root.grad(lambda t: t**3 - lib.np.sin(t) * t))(x)
