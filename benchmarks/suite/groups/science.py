"""Scientific programs: grids, particles, sparse products, dynamic programming, statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suite import numba_programs
from benchmarks.suite.workload import workload


@workload("science", "heat in 3-D by roll, 64³ x 20", (64, 64, 64))
def heat(lib: Any, u: Any) -> Any:
    def step(_: Any, u: Any) -> Any:
        around = sum(lib.np.roll(u, s, axis) for axis in range(3) for s in (-1, 1))
        return u + 0.1 * (around - 6 * u)

    return lib.lax.fori_loop(0, 20, step, u)


@workload("science", "advection, upwind with limiter, 1e5 x 20", (100_000,))
def advection(lib: Any, u: Any) -> Any:
    jnp = lib.np

    def step(u: Any, _: Any) -> Any:
        left, right = jnp.roll(u, 1), jnp.roll(u, -1)
        a, b = u - left, right - u
        slope = jnp.where(a * b > 0, jnp.sign(a) * jnp.minimum(abs(a), abs(b)), 0)
        flux = u + 0.25 * slope
        return u - 0.5 * (flux - jnp.roll(flux, 1)), None

    return lib.lax.scan(step, u, None, length=20)[0]


@workload("science", "shallow water, 256² x 20", (256, 256))
def shallow_water(lib: Any, bumps: Any) -> Any:
    jnp = lib.np

    def slope(f: Any, axis: int) -> Any:
        return (jnp.roll(f, -1, axis) - jnp.roll(f, 1, axis)) * 0.5

    def step(_: Any, state: Any) -> Any:
        h, u, v = state
        u = u - 0.01 * (u * slope(u, 0) + v * slope(u, 1) + 9.8 * slope(h, 0) - 0.1 * v)
        v = v - 0.01 * (u * slope(v, 0) + v * slope(v, 1) + 9.8 * slope(h, 1) + 0.1 * u)
        h = h - 0.01 * (slope(h * u, 0) + slope(h * v, 1))
        return h, u, v

    still = jnp.zeros_like(bumps)
    return lib.lax.fori_loop(0, 20, step, (1 + 0.01 * bumps, still, still))


@workload("science", "ocean column mixing, 200x100x30 levels", (200, 100, 30), (200, 100, 30))
def mixing(lib: Any, t: Any, k: Any) -> Any:
    """An implicit step of vertical diffusion: tridiagonal systems by the Thomas algorithm."""
    jnp = lib.np
    k = jnp.abs(k) + 0.1
    upper = jnp.pad(-k[..., :-1], ((0, 0), (0, 0), (0, 1)))
    lower = jnp.pad(-k[..., :-1], ((0, 0), (0, 0), (1, 0)))
    diagonal = 1 - upper - lower

    def down(state: Any, x: Any) -> Any:
        c, d = state
        a, b, up, rhs = x
        scale = 1 / (b - a * c)
        c, d = up * scale, (rhs - a * d) * scale
        return (c, d), (c, d)

    def back(x: Any, row: Any) -> Any:
        c, d = row
        x = d - c * x
        return x, x

    columns = [jnp.moveaxis(f, -1, 0) for f in (lower, diagonal, upper, t)]
    zero = jnp.zeros(t.shape[:2], "float32")
    _, rows = lib.lax.scan(down, (zero, zero), tuple(columns))
    _, x = lib.lax.scan(back, zero, rows, reverse=True)
    return jnp.moveaxis(x, 0, -1)


@workload("science", "padded 3x3 blur and gradient, 1024²", (1024, 1024))
def blur(lib: Any, image: Any) -> Any:
    padded = lib.np.pad(image, 1, mode="edge")
    n, m = image.shape
    smooth = sum(padded[i : i + n, j : j + m] for i in range(3) for j in range(3)) / 9
    return lib.np.sqrt(
        (smooth[1:, :-1] - smooth[:-1, :-1]) ** 2 + (smooth[:-1, 1:] - smooth[:-1, :-1]) ** 2
    )


@workload("science", "gradient of a Poisson energy, 512²", (512, 512), (512, 512))
def poisson(lib: Any, u: Any, f: Any) -> Any:
    def energy(u: Any) -> Any:
        dx, dy = u[1:, :] - u[:-1, :], u[:, 1:] - u[:, :-1]
        return 0.5 * (dx**2).sum() + 0.5 * (dy**2).sum() - (f * u).sum()

    return lib.root.grad(energy)(u)


@workload("science", "gradient through 20 steps of diffusion, 128²", (128, 128))
def adjoint(lib: Any, u: Any) -> Any:
    def final(u: Any) -> Any:
        def step(u: Any, _: Any) -> Any:
            inner = u[1:-1, 1:-1]
            around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
            return u.at[1:-1, 1:-1].set(inner + 0.2 * (around - 4 * inner)), None

        return (lib.lax.scan(step, u, None, length=20)[0] ** 3).sum()

    return lib.root.grad(final)(u)


@workload(
    "science",
    "LU by fori_loop, 128²",
    arrays=lambda r: (r.standard_normal((128, 128), np.float32) + 20 * np.eye(128, dtype="f"),),
)
def lu(lib: Any, a: Any) -> Any:
    jnp = lib.np
    n = a.shape[0]
    rows = jnp.arange(n)

    def step(k: Any, a: Any) -> Any:
        below = rows > k
        factor = jnp.where(below, a[:, k] / a[k, k], 0)
        a = a - factor[:, None] * jnp.where(below, a[k], 0)[None, :]
        return a.at[:, k].set(jnp.where(below, factor, a[:, k]))

    return lib.lax.fori_loop(0, n - 1, step, a)


@workload("science", "Lennard-Jones forces by grad, 400", (400, 3))
def lennard_jones(lib: Any, x: Any) -> Any:
    jnp = lib.np

    def energy(x: Any) -> Any:
        apart = x[:, None] - x[None]
        r2 = (apart**2).sum(-1) + jnp.eye(400, dtype="float32") + 0.5
        inverse = 1 / (r2 * r2 * r2)
        return (inverse * inverse - inverse).sum()

    return lib.root.grad(energy)(x)


@workload(
    "science",
    "particles in cells: deposit and push, 1e5 on 256",
    arrays=lambda r: (r.random(100_000, np.float32) * 256, r.standard_normal(100_000, np.float32)),
)
def particles_in_cells(lib: Any, x: Any, v: Any) -> Any:
    jnp = lib.np
    left = jnp.floor(x).astype("int32")
    weight = x - left
    density = jnp.zeros(257, "float32").at[left].add(1 - weight).at[left + 1].add(weight)
    field = jnp.cumsum(density - density.mean())
    v = v + 0.01 * (field[left] * (1 - weight) + field[left + 1] * weight)
    return jnp.mod(x + 0.1 * v, 256), v


def _sparse(random: np.random.Generator) -> Any:
    rows = np.sort(random.integers(0, 10_000, 200_000)).astype(np.int32)
    columns = random.integers(0, 10_000, 200_000).astype(np.int32)
    return rows, columns, random.standard_normal(200_000, np.float32)


@workload(
    "science",
    "sparse matrix times vector by segment_sum, 2e5 of 1e4²",
    arrays=lambda r: (*_sparse(r), r.standard_normal(10_000, np.float32)),
    numba=numba_programs.sparse_product,
)
def sparse_product(lib: Any, rows: Any, columns: Any, values: Any, x: Any) -> Any:
    return lib.ops.segment_sum(values * x[columns], rows, num_segments=10_000)


@workload(
    "science",
    "graph convolution by segment_sum, 2e5 edges of 32",
    arrays=lambda r: (*_sparse(r)[:2], r.standard_normal((10_000, 32), np.float32)),
)
def graph_layer(lib: Any, rows: Any, columns: Any, x: Any) -> Any:
    return lib.ops.segment_sum(x[columns], rows, num_segments=10_000)


@workload("science", "conjugate gradients, 512², 30 steps", (512, 512), (512,))
def conjugate_gradients(lib: Any, a: Any, b: Any) -> Any:
    a = a @ a.T / 512 + lib.np.eye(512, dtype="float32")

    def step(_: Any, state: Any) -> Any:
        x, r, p, rr = state
        ap = a @ p
        alpha = rr / (p @ ap)
        x, r = x + alpha * p, r - alpha * ap
        after = r @ r
        return x, r, r + after / rr * p, after

    return lib.lax.fori_loop(0, 30, step, (b * 0, b, b, b @ b))[0]


@workload("science", "Viterbi, 500 steps of 64 states", (500, 64), (64, 64))
def viterbi(lib: Any, scores: Any, moves: Any) -> Any:
    def step(best: Any, score: Any) -> Any:
        paths = best[:, None] + moves
        return paths.max(0) + score, paths.argmax(0)

    return lib.lax.scan(step, scores[0], scores[1:])


@workload(
    "science",
    "knapsack, 100 items of 10000",
    arrays=lambda r: (r.integers(1, 500, 100, np.int32), r.random(100, np.float32)),
    numba=numba_programs.knapsack,
)
def knapsack(lib: Any, weights: Any, values: Any) -> Any:
    jnp = lib.np
    places = jnp.arange(10_000)

    def step(best: Any, item: Any) -> Any:
        weight, value = item
        taken = best[jnp.maximum(places - weight, 0)] + value
        return jnp.where(places >= weight, jnp.maximum(best, taken), best), None

    return lib.lax.scan(step, jnp.zeros(10_000, "float32"), (weights, values))[0]


@workload("science", "k-means step, 20000x8 and 16", (20_000, 8), (16, 8))
def k_means(lib: Any, x: Any, centres: Any) -> Any:
    jnp = lib.np
    nearest = ((x[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
    members = lib.nn.one_hot(nearest, 16, dtype="float32")
    return members.T @ x / jnp.maximum(members.sum(0), 1)[:, None]


@workload("science", "histogram of 1e6 in 100", (1_000_000,))
def histogram(lib: Any, x: Any) -> Any:
    return lib.np.histogram(x, 100, (-4, 4))[0]


@workload("science", "Kalman filter, 200 steps of 4 by 2", (200, 2))
def kalman(lib: Any, seen: Any) -> Any:
    jnp = lib.np
    f = jnp.eye(4, dtype="float32") + 0.1 * jnp.eye(4, k=2, dtype="float32")
    h = jnp.eye(2, 4, dtype="float32")

    def step(state: Any, z: Any) -> Any:
        x, p = state
        x, p = f @ x, f @ p @ f.T + 0.01 * jnp.eye(4, dtype="float32")
        s = h @ p @ h.T + 0.1 * jnp.eye(2, dtype="float32")
        gain = p @ h.T @ jnp.linalg.inv(s)
        x, p = x + gain @ (z - h @ x), p - gain @ h @ p
        return (x, p), x

    start = jnp.zeros(4, "float32"), jnp.eye(4, dtype="float32")
    return lib.lax.scan(step, start, seen)[1]


@workload("science", "Lorenz by RK4, 1000 systems x 100", (1000, 3))
def lorenz(lib: Any, x: Any) -> Any:
    jnp = lib.np

    def slope(s: Any) -> Any:
        x, y, z = s
        return jnp.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    def step(_: Any, s: Any) -> Any:
        a = slope(s)
        b = slope(s + 0.005 * a)
        c = slope(s + 0.005 * b)
        d = slope(s + 0.01 * c)
        return s + 0.01 / 6 * (a + 2 * b + 2 * c + d)

    return lib.root.vmap(lambda s: lib.lax.fori_loop(0, 100, step, s))(x)


@workload("science", "Ising sweeps by checkerboard, 256² x 10", (256, 256), (10, 2, 256, 256))
def ising(lib: Any, start: Any, noise: Any) -> Any:
    jnp = lib.np
    spins = jnp.where(start > 0, 1.0, -1.0)
    odd = (jnp.arange(256)[:, None] + jnp.arange(256)[None]) % 2

    def sweep(s: Any, random: Any) -> Any:
        for colour in range(2):
            around = sum(jnp.roll(s, d, axis) for axis in (0, 1) for d in (-1, 1))
            flip = (odd == colour) & (jnp.exp(-0.9 * s * around) > jnp.abs(random[colour]))
            s = jnp.where(flip, -s, s)
        return s, s.mean()

    return lib.lax.scan(sweep, spins, noise)[1]


@workload("science", "hessian of a chain of springs, 100", (100,))
def springs(lib: Any, x: Any) -> Any:
    def energy(x: Any) -> Any:
        stretch = x[1:] - x[:-1]
        return (stretch**2 + 0.1 * stretch**4).sum() + lib.np.cos(x).sum()

    return lib.root.hessian(energy)(x)


@workload("science", "gradients of 256 examples, convolution", (256, 16, 16), (5, 5))
def example_gradients(lib: Any, images: Any, kernel: Any) -> Any:
    def loss(kernel: Any, image: Any) -> Any:
        seen = lib.lax.conv_general_dilated(image[None, None], kernel[None, None], (1, 1), "VALID")
        return (lib.np.tanh(seen) ** 2).sum()

    return lib.root.vmap(lib.root.grad(loss), (None, 0))(kernel, images)


@workload("science", "Gaussian process likelihood and gradient, 200", (200, 3), (200,), (2,))
def gaussian_process(lib: Any, x: Any, y: Any, parameters: Any) -> Any:
    jnp = lib.np

    def likelihood(parameters: Any) -> Any:
        scale, noise = jnp.exp(parameters)
        squared = ((x[:, None] - x[None]) ** 2).sum(-1)
        k = jnp.exp(-squared / scale) + (noise + 0.01) * jnp.eye(200, dtype="float32")
        factor = jnp.linalg.cholesky(k)
        solved = lib.linalg.solve_triangular(factor, y, lower=True)
        return 0.5 * (solved**2).sum() + jnp.log(jnp.diag(factor)).sum()

    return lib.root.value_and_grad(likelihood)(parameters)


@workload("science", "wave equation with absorbing sponge, 300² x 20", (300, 300))
def wave(lib: Any, u: Any) -> Any:
    jnp = lib.np
    edge = jnp.minimum(jnp.arange(300), jnp.arange(300)[::-1]) / 20.0
    damp = jnp.minimum(jnp.minimum(edge[:, None], edge[None]), 1).astype("float32")

    def step(state: Any, _: Any) -> Any:
        now, before = state
        p = jnp.pad(now, 1)
        laplace = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * now
        after = damp * (2 * now - before + 0.2 * laplace)
        return (after, now), after[150, 150]

    return lib.lax.scan(step, (u, u), None, length=20)[1]
