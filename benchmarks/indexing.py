"""What checked indices cost: reads and updates beside JAX's unchecked ones, on one thread each.

    python benchmarks/indexing.py [--rounds 15]

The rounds of all are interleaved; the least processor time of each counts. "clip" is jitml without
the check; JAX is told that indices are in bounds ("promise_in_bounds"), which it never checks.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import numpy as np

Function = Callable[..., Any]
DRAW = np.random.default_rng(0)


def floats(*shape: int) -> Any:
    return DRAW.random(shape, np.float32)


def places(size: int, *shape: int) -> Any:
    return DRAW.integers(0, size, shape).astype(np.int32)


def element(x: Any, i: Any, mode: str | None) -> Any:
    """Elements or rows of x."""
    return x.at[i].get(mode=mode)


def along(x: Any, i: Any, mode: str | None) -> Any:
    """For each row of x, elements of it."""
    rows = np.arange(x.shape[0])[:, None]
    return x.at[rows, i].get(mode=mode)


def summed(x: Any, i: Any, mode: str | None) -> Any:
    """Rows of x, of which only sums are kept."""
    return x.at[i].get(mode=mode).sum(-1)


def added(x: Any, i: Any, mode: str | None) -> Any:
    """x with something added."""
    return x.at[i].add(1.0, mode=mode)


def written(x: Any, i: Any, mode: str | None) -> Any:
    """x with elements replaced."""
    return x.at[i].set(1.0, mode=mode)


CASES: dict[str, tuple[Function, Any, Any]] = {
    "1e6 of 1e6": (element, floats(10**6), places(10**6, 10**6)),
    "1e6 of 1e4": (element, floats(10**4), places(10**4, 10**6)),
    "1e6 of 1e6, in order": (element, floats(10**6), np.sort(places(10**6, 10**6))),
    "2e4 rows of 64": (element, floats(50_000, 64), places(50_000, 20_000)),
    "2e4 rows of 64, summed": (summed, floats(50_000, 64), places(50_000, 20_000)),
    "1e5 rows of 4": (element, floats(50_000, 4), places(50_000, 100_000)),
    "along rows, 1000 × 500": (along, floats(1000, 700), places(700, 1000, 500)),
    "one of each row, 1e5 × 10": (along, floats(100_000, 10), places(10, 100_000, 1)),
    "add to 1e6 of 1e6": (added, floats(10**6), places(10**6, 10**6)),
    "write 1e6 of 1e6": (written, floats(10**6), places(10**6, 10**6)),
    "add to 2e4 rows of 64": (added, floats(50_000, 64), places(50_000, 20_000)),
}


def calls_of(name: str) -> dict[str, Callable[[], Any]]:
    """The case by each way to run it."""
    import jitml
    import jitml.numpy as jnp

    function, x, i = CASES[name]
    is_update = function in (added, written)
    unchecked = "drop" if is_update else "clip"
    given = jnp.asarray(x), jnp.asarray(i)
    checked = jitml.jit(lambda x, i: function(x, i, None))
    bare = jitml.jit(lambda x, i: function(x, i, unchecked))
    found = {"checked": lambda: checked(*given), unchecked: lambda: bare(*given)}
    try:
        import jax
    except ImportError:
        return found
    jax_given = jax.numpy.asarray(x), jax.numpy.asarray(i)
    jax_bare = jax.jit(lambda x, i: function(x, i, "promise_in_bounds"))
    return {**found, "JAX": lambda: jax_bare(*jax_given).block_until_ready()}


def best_ms(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The least processor time of each, in milliseconds."""
    best = dict.fromkeys(calls, np.inf)
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            begin = time.process_time()
            call()
            best[name] = min(best[name], 1e3 * (time.process_time() - begin))
    return best


def main() -> None:
    """A row for each case."""
    import jitml

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with jitml.num_threads(1):
        for name in CASES:
            found = best_ms(calls_of(name), rounds)
            shown = ", ".join(f"{how} {ms:.3f} ms" for how, ms in found.items())
            own = found["checked"]
            shares = [f"{own / ms:.2f} of {how}" for how, ms in found.items() if how != "checked"]
            print(f"{name}: {shown}; {', '.join(shares)}", flush=True)


if __name__ == "__main__":
    main()
