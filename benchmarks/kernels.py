"""Generated kernels beside JAX and PyTorch: one thread, rounds interleaved, the best of each.

`python benchmarks/kernels.py` prints milliseconds and, below 1, how much of the best peer's time
jitml takes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import numpy as np
import torch

import jitml_runtime
from jitml.ir.types import ArrayType
from jitml.ops import elementwise as e
from jitml.ops import reduction as r
from jitml.ops.layout import broadcast_in_dim, transpose
from jitml.pipeline.compile import compile_graph
from jitml.trace.core import trace_graph, type_of

ROUNDS = 12


def along(x: Any, like: Any, axis: int = 0) -> Any:
    """One value per row (axis 0) or column (axis 1), repeated."""
    return broadcast_in_dim(x, type_of(like).shape, (axis,))


def mean(x: Any) -> Any:
    return e.div(r.reduce_sum(x, (1,)), float(type_of(x).shape[1]))


def softmax(x: Any) -> Any:
    exponentials = e.exp(e.sub(x, along(r.reduce_max(x, (1,)), x)))
    return e.div(exponentials, along(r.reduce_sum(exponentials, (1,)), x))


def layernorm(x: Any) -> Any:
    centred = e.sub(x, along(mean(x), x))
    return e.mul(centred, along(e.rsqrt(e.add(mean(e.mul(centred, centred)), 1e-5)), x))


def logsumexp(x: Any) -> Any:
    largest = r.reduce_max(x, (1,))
    return e.add(largest, e.log(r.reduce_sum(e.exp(e.sub(x, along(largest, x))), (1,))))


def jax_layernorm(x: Any) -> Any:
    centred = x - x.mean(1, keepdims=True)
    return centred * jax.lax.rsqrt((centred * centred).mean(1, keepdims=True) + 1e-5)


Workload = tuple[
    str, tuple[tuple[int, ...], ...], Callable[..., Any], Callable[..., Any], Callable[..., Any]
]
WORKLOADS: tuple[Workload, ...] = (
    ("x*y+z*2 1e7", ((10_000_000,),) * 3, lambda x, y, z: e.add(e.mul(x, y), e.mul(z, 2)),
     lambda x, y, z: x * y + z * 2, lambda x, y, z: x * y + z * 2),
    ("tanh(x*y+z) 1e6", ((1_000_000,),) * 3, lambda x, y, z: e.tanh(e.add(e.mul(x, y), z)),
     lambda x, y, z: jax.numpy.tanh(x * y + z), lambda x, y, z: torch.tanh(x * y + z)),
    ("sin 1e6", ((1_000_000,),), e.sin, jax.numpy.sin, torch.sin),
    ("softmax 4096×1024", ((4096, 1024),), softmax, lambda x: jax.nn.softmax(x, 1),
     lambda x: torch.softmax(x, 1)),
    ("layernorm 4096×1024", ((4096, 1024),), layernorm, jax_layernorm,
     lambda x: torch.nn.functional.layer_norm(x, (1024,))),
    ("logsumexp 4096×1024", ((4096, 1024),), logsumexp, lambda x: jax.nn.logsumexp(x, 1),
     lambda x: torch.logsumexp(x, 1)),
    ("sum axis 1 4096²", ((4096, 4096),), lambda x: r.reduce_sum(x, (1,)), lambda x: x.sum(1),
     lambda x: x.sum(1)),
    ("sum axis 0 4096²", ((4096, 4096),), lambda x: r.reduce_sum(x, (0,)), lambda x: x.sum(0),
     lambda x: x.sum(0)),
    ("sum 4096²", ((4096, 4096),), lambda x: r.reduce_sum(x, (0, 1)), lambda x: x.sum(),
     lambda x: x.sum()),
    ("transpose 2048²", ((2048, 2048),), lambda x: transpose(x, (1, 0)), lambda x: x.T + 0,
     lambda x: x.T.contiguous()),
)  # fmt: skip


def runners(workload: Workload) -> Iterator[Callable[[], Any]]:
    """One call of the workload in jitml, JAX and PyTorch, ready to run."""
    _, shapes, own, in_jax, in_torch = workload
    random = np.random.default_rng(0)
    arrays = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    types = [ArrayType(np.dtype(np.float32), shape) for shape in shapes]
    compiled = compile_graph(trace_graph(lambda *xs: [own(*xs)], types).graph)
    inputs = [jitml_runtime.from_numpy(x) for x in arrays]
    yield lambda: compiled.run(inputs)
    jitted, device = jax.jit(in_jax), [jax.numpy.asarray(x) for x in arrays]
    yield lambda: jitted(*device).block_until_ready()
    tensors = [torch.from_numpy(x) for x in arrays]
    yield lambda: in_torch(*tensors)


def measure(workload: Workload) -> list[float]:
    """The best time of each in milliseconds."""
    calls = list(runners(workload))
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for number, call in enumerate(calls):
            start = time.perf_counter()
            call()
            best[number] = min(best[number], time.perf_counter() - start)
    return [1e3 * t for t in best]


def main() -> None:
    """Print the table."""
    jitml_runtime.set_num_threads(1)
    torch.set_num_threads(1)
    print(f"{'':22}{'jitml':>9}{'jax':>9}{'torch':>9}{'ratio':>9}")
    for workload in WORKLOADS:
        own, *peers = measure(workload)
        columns = "".join(f"{t:9.2f}" for t in (own, *peers))
        print(f"{workload[0]:22}{columns}{own / min(peers):9.2f}")


if __name__ == "__main__":
    main()
