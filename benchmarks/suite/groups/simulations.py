"""More whole programs: fields, particles, lanes of solvers, images, a language model's decoder.

They were written as users write them for JAX, after the compiler, to see what it does with them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.suite.workload import workload

_VELOCITIES = ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (-1, -1), (1, -1))
_WEIGHTS = (4 / 9, *[1 / 9] * 4, *[1 / 36] * 4)
_OPPOSITE = (0, 3, 4, 1, 2, 7, 8, 5, 6)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled by Numba at its first call."""

    @functools.cache
    def compiled() -> Callable[..., Any]:
        import numba

        return numba.njit(function)  # type: ignore[no-any-return]

    return lambda *arrays: compiled()(*arrays)


@workload(
    "science",
    "lattice Boltzmann, 256x128 x 5",
    arrays=lambda r: (
        (np.array(_WEIGHTS) * (1 + 0.05 * r.random((256, 128, 1)))).astype(np.float32),
        r.random((256, 128)) < 0.05,
    ),
)
def lattice_boltzmann(lib: Any, f: Any, solid: Any) -> Any:
    jnp = lib.np
    moves = jnp.asarray(_VELOCITIES, "float32")
    weights = jnp.asarray(_WEIGHTS, "float32")

    def step(f: Any, _: Any) -> Any:
        density = f.sum(-1)
        u = jnp.einsum("xyq,qd->xyd", f, moves) / density[..., None]
        along = 3 * jnp.einsum("qd,xyd->xyq", moves, u)
        squared = 1.5 * (u**2).sum(-1, keepdims=True)
        balance = density[..., None] * weights * (1 + along + 0.5 * along**2 - squared)
        after = f - (f - balance) / 0.6
        after = jnp.where(solid[..., None], f[..., jnp.asarray(_OPPOSITE)], after)
        for q, move in enumerate(_VELOCITIES):
            after = after.at[..., q].set(jnp.roll(after[..., q], move, (0, 1)))
        return after, u[100, 60]

    return lib.lax.scan(step, f, None, length=5)


def _maxwell_in_loops(e: Any, inverse: Any) -> Any:
    e, (n, m) = e.copy(), e.shape
    hx, hy = np.zeros_like(e), np.zeros_like(e)
    for _ in range(20):
        for i in range(n):
            for j in range(m - 1):
                hx[i, j] -= np.float32(0.5) * (e[i, j + 1] - e[i, j])
        for i in range(n - 1):
            for j in range(m):
                hy[i, j] += np.float32(0.5) * (e[i + 1, j] - e[i, j])
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                curl = (hy[i, j] - hy[i - 1, j]) - (hx[i, j] - hx[i, j - 1])
                e[i, j] += np.float32(0.5) * inverse[i, j] * curl
        e[n // 2, m // 2] += np.float32(0.1)
    return e


@workload("science", "Maxwell's equations by FDTD, 400² x 20", arrays=lambda r: (
    np.zeros((400, 400), np.float32), 1 - 0.5 * r.random((400, 400), np.float32)
), numba=_compiled(_maxwell_in_loops))  # fmt: skip
def maxwell(lib: Any, e: Any, inverse: Any) -> Any:
    n, m = e.shape

    def step(_: Any, fields: Any) -> Any:
        e, hx, hy = fields
        hx = hx.at[:, :-1].add(-0.5 * (e[:, 1:] - e[:, :-1]))
        hy = hy.at[:-1, :].add(0.5 * (e[1:, :] - e[:-1, :]))
        curl = (hy[1:-1, 1:-1] - hy[:-2, 1:-1]) - (hx[1:-1, 1:-1] - hx[1:-1, :-2])
        e = e.at[1:-1, 1:-1].add(0.5 * inverse[1:-1, 1:-1] * curl)
        return e.at[n // 2, m // 2].add(0.1), hx, hy

    return lib.lax.fori_loop(0, 20, step, (e, e * 0, e * 0))[0]


@workload(
    "science",
    "n-body, leapfrog and einsum, 400 x 5",
    arrays=lambda r: (
        r.standard_normal((400, 3), np.float32),
        r.standard_normal((400, 3), np.float32),
        r.random(400, np.float32) / 400,
    ),
)
def leapfrog(lib: Any, places: Any, speeds: Any, masses: Any) -> Any:
    jnp = lib.np

    def pull(p: Any) -> Any:
        apart = p[None] - p[:, None]
        weight = ((apart**2).sum(-1) + 0.01) ** -1.5
        return jnp.einsum("ijk,ij,j->ik", apart, weight, masses)

    def step(state: Any, _: Any) -> Any:
        p, v, a = state
        v = v + 0.005 * a
        p = p + 0.01 * v
        a = pull(p)
        v = v + 0.005 * a
        return (p, v, a), 0.5 * (masses[:, None] * v**2).sum()

    return lib.lax.scan(step, (places, speeds, pull(places)), None, length=5)


@workload(
    "science",
    "molecular dynamics by neighbour lists, 4000 x 24",
    arrays=lambda r: (
        16 * r.random((4000, 3), np.float32),
        r.integers(0, 4000, (4000, 24), np.int32),
    ),
)
def neighbour_lists(lib: Any, places: Any, neighbours: Any) -> Any:
    jnp = lib.np

    def energy(p: Any) -> Any:
        apart = p[:, None] - p[neighbours]
        apart = apart - 16 * jnp.round(apart / 16)
        r2 = (apart**2).sum(-1) + 0.3
        r6 = 1 / r2**3
        return 0.5 * jnp.where(r2 < 6.25, 4 * (r6 * r6 - r6), 0.0).sum()

    return lib.root.value_and_grad(energy)(places)


@workload(
    "loops",
    "oscillators by adaptive Runge-Kutta, 5000 lanes",
    arrays=lambda r: (r.standard_normal((5000, 2), np.float32), 3 * r.random(5000, np.float32)),
)
def oscillators(lib: Any, starts: Any, stiffness: Any) -> Any:
    jnp = lib.np

    def solved(start: Any, mu: Any) -> Any:
        def slope(y: Any) -> Any:
            return jnp.stack([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]])

        def step(state: Any) -> Any:
            t, y, h, count = state
            a = slope(y)
            b = slope(y + h / 2 * a)
            c = slope(y + 0.75 * h * b)
            after = y + h * (2 / 9 * a + 1 / 3 * b + 4 / 9 * c)
            d = slope(after)
            off = h * (-5 / 72 * a + 1 / 12 * b + 1 / 9 * c - 1 / 8 * d)
            error = jnp.linalg.norm(off) / 1e-4
            accepted = error <= 1
            wanted = h * jnp.clip(0.9 * error ** (-1 / 3), 0.2, 5.0)
            t, y = jnp.where(accepted, t + h, t), jnp.where(accepted, after, y)
            return t, y, jnp.minimum(wanted, jnp.maximum(5 - t, 1e-3)), count + 1

        zero = start[0] * 0
        state = lib.lax.while_loop(
            lambda s: (s[0] < 5) & (s[3] < 500), step, (zero, start, zero + 0.01, 0)
        )
        return state[1]

    return lib.root.vmap(solved)(starts, stiffness)


@workload("loops", "Kepler's equation by Newton, 1e4 lanes", arrays=lambda r: (
    6 * r.random(10_000, np.float32), 0.8 * r.random(10_000, np.float32)
))  # fmt: skip
def kepler(lib: Any, means: Any, eccentricities: Any) -> Any:
    jnp = lib.np

    def solved(mean: Any, e: Any) -> Any:
        def step(state: Any) -> Any:
            at, _, count = state
            move = (at - e * jnp.sin(at) - mean) / (1 - e * jnp.cos(at))
            return at - move, move, count + 1

        start = (mean + e * jnp.sin(mean), mean * 0 + 1, 0)
        at, _, _ = lib.lax.while_loop(lambda s: (jnp.abs(s[1]) > 1e-5) & (s[2] < 20), step, start)
        return at

    return lib.root.vmap(solved)(means, eccentricities)


@workload("science", "sphere tracing of 160² rays, 32 steps", arrays=lambda r: (
    np.stack(np.meshgrid(*[np.linspace(-1, 1, 160, dtype=np.float32)] * 2), -1).reshape(-1, 2),
))  # fmt: skip
def sphere_tracing(lib: Any, places: Any) -> Any:
    jnp = lib.np

    def distance(p: Any) -> Any:
        return jnp.minimum(jnp.linalg.norm(jnp.mod(p + 2, 4) - 2) - 1, p[1] + 1.5)

    def shade(place: Any) -> Any:
        ray = jnp.array([place[0], place[1], 1.0])
        ray = ray / jnp.linalg.norm(ray)
        eye = jnp.array([0.0, 0.0, -3.0])
        t = lib.lax.fori_loop(0, 32, lambda _, t: t + distance(eye + t * ray), place[0] * 0)
        normal = lib.root.grad(distance)(eye + t * ray)
        return jnp.maximum(normal @ jnp.array([0.6, 0.6, -0.5]), 0.1)

    return lib.root.vmap(shade)(places)


def _boxes(random: np.random.Generator) -> Any:
    corner = random.random((500, 2), np.float32)
    size = 0.2 * random.random((500, 2), np.float32)
    return np.concatenate([corner, corner + size], 1), random.random(500, np.float32)


def _suppressed_in_loops(boxes: Any, scores: Any) -> Any:
    order, kept = np.argsort(-scores), np.ones(len(scores), np.bool_)
    for place, i in enumerate(order):
        if not kept[i]:
            continue
        for j in order[place + 1 :]:
            width = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0])
            height = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1])
            shared = max(width, np.float32(0)) * max(height, np.float32(0))
            first = (boxes[i, 2] - boxes[i, 0]) * (boxes[i, 3] - boxes[i, 1])
            second = (boxes[j, 2] - boxes[j, 0]) * (boxes[j, 3] - boxes[j, 1])
            if shared > np.float32(0.3) * (first + second - shared):
                kept[j] = False
    return kept


@workload(
    "science", "suppression of 500 boxes", arrays=_boxes, numba=_compiled(_suppressed_in_loops)
)
def suppression(lib: Any, boxes: Any, scores: Any) -> Any:
    jnp = lib.np
    order = jnp.argsort(-scores)
    b = boxes[order]
    low = jnp.maximum(b[:, None, :2], b[None, :, :2])
    high = jnp.minimum(b[:, None, 2:], b[None, :, 2:])
    width = jnp.maximum(high - low, 0)
    shared = width[..., 0] * width[..., 1]
    area = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    overlap = shared / (area[:, None] + area[None] - shared)
    numbers = jnp.arange(500)

    def visit(i: Any, kept: Any) -> Any:
        return kept & ~((overlap[i] > 0.3) & (numbers > i) & kept[i])

    kept = lib.lax.fori_loop(0, 500, visit, jnp.ones(500, bool))
    return jnp.zeros(500, bool).at[order].set(kept)


@workload(
    "science",
    "Arnoldi and least squares, 400², 20 steps",
    arrays=lambda r: (
        r.standard_normal((400, 400), np.float32) + 60 * np.eye(400, dtype=np.float32),
        r.standard_normal(400, np.float32),
    ),
)
def arnoldi(lib: Any, a: Any, b: Any) -> Any:
    jnp = lib.np
    size = jnp.linalg.norm(b)

    def step(j: Any, state: Any) -> Any:
        v, h = state
        w = a @ v[:, j]
        along = v.T @ w
        w = w - v @ along
        norm = jnp.linalg.norm(w)
        return v.at[:, j + 1].set(w / norm), h.at[:, j].set(along.at[j + 1].set(norm))

    v = jnp.zeros((400, 21), "float32").at[:, 0].set(b / size)
    v, h = lib.lax.fori_loop(0, 20, step, (v, jnp.zeros((21, 20), "float32")))
    rhs = jnp.zeros(21, "float32").at[0].set(size)
    return v[:, :20] @ jnp.linalg.solve(h.T @ h, h.T @ rhs)


@workload("science", "Gray-Scott by convolve2d, 256² x 10", arrays=lambda r: (
    r.random((256, 256), np.float32), r.random((256, 256), np.float32)
))  # fmt: skip
def gray_scott(lib: Any, a: Any, b: Any) -> Any:
    kernel = lib.np.array([[0.05, 0.2, 0.05], [0.2, -1, 0.2], [0.05, 0.2, 0.05]], "float32")

    def spread(x: Any) -> Any:
        return lib.scipy.signal.convolve2d(x, kernel, mode="same")

    def step(_: Any, state: Any) -> Any:
        a, b = state
        met = a * b * b
        return (
            a + spread(a) - met + 0.055 * (1 - a),
            b + 0.5 * spread(b) + met - 0.117 * b,
        )

    return lib.lax.fori_loop(0, 10, step, (a, b))


def _decoder(random: np.random.Generator) -> Any:
    def weights(*shape: int) -> Any:
        return random.standard_normal(shape, np.float32) / np.float32(shape[0] ** 0.5)

    layers = [
        {"qkv": weights(128, 384), "out": weights(128, 128), "up": weights(128, 512),
         "down": weights(512, 128)}
        for _ in range(2)
    ]  # fmt: skip
    return layers, 3 * weights(200, 128)


@workload("training", "decoding of 64 tokens with a cache, 2 layers of 128", arrays=_decoder)
def decoding(lib: Any, layers: Any, table: Any) -> Any:
    jnp, nn, lax = lib.np, lib.nn, lib.lax
    length, heads, width = 64, 4, 32

    def normed(x: Any) -> Any:
        return x * lax.rsqrt((x * x).mean() + 1e-6)

    def step(state: Any, t: Any) -> Any:
        token, keys, values = state
        x = table[token]
        for number, layer in enumerate(layers):
            q, k, v = jnp.split(normed(x) @ layer["qkv"], 3)
            place = (number, t, 0, 0)
            keys = lax.dynamic_update_slice(keys, k.reshape(1, 1, heads, width), place)
            values = lax.dynamic_update_slice(values, v.reshape(1, 1, heads, width), place)
            scores = jnp.einsum("hd,shd->hs", q.reshape(heads, width), keys[number]) / 5.6
            shares = nn.softmax(jnp.where(jnp.arange(length) <= t, scores, -1e9))
            x = x + jnp.einsum("hs,shd->hd", shares, values[number]).reshape(-1) @ layer["out"]
            x = x + nn.silu(normed(x) @ layer["up"]) @ layer["down"]
        token = jnp.argmax(x @ table.T)
        return (token.astype("int32"), keys, values), token

    empty = jnp.zeros((2, length, heads, width), "float32")
    start = (jnp.zeros((), "int32"), empty, empty)
    return lax.scan(step, start, jnp.arange(length))[1]


@workload(
    "transforms",
    "gradient of a heat equation's residual by a network, 1000 points",
    arrays=lambda r: (
        [r.standard_normal((n, m), np.float32) / n for n, m in ((2, 32), (32, 32), (32, 1))],
        r.random((1000, 2), np.float32),
    ),
)
def residual(lib: Any, layers: Any, points: Any) -> Any:
    jnp, grad = lib.np, lib.root.grad

    def u(layers: Any, x: Any, t: Any) -> Any:
        h = jnp.stack([x, t])
        for w in layers[:-1]:
            h = jnp.tanh(h @ w)
        return (h @ layers[-1])[0]

    def off(layers: Any, x: Any, t: Any) -> Any:
        return grad(u, 2)(layers, x, t) - 0.1 * grad(grad(u, 1), 1)(layers, x, t)

    def loss(layers: Any) -> Any:
        found = lib.root.vmap(off, (None, 0, 0))(layers, points[:, 0], points[:, 1])
        return (found**2).mean()

    return lib.root.value_and_grad(loss)(layers)
