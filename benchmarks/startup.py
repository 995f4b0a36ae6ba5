"""What a fresh process pays: import, and the first call of a program that an earlier process has
compiled; JAX with its persistent cache beside jitml, in turn.

    python benchmarks/startup.py [--rounds 5] [--layers 8]

Every number is from a new process: CPU milliseconds (all threads) and wall milliseconds, best and
median of the rounds. `import` is what comes beyond NumPy's own import; `first call` is
`value_and_grad` of a perceptron of eight layers 128 → 128, batch 32, tracing included, after the
import. JAX is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import json, sys, time

def clock():
    return time.process_time(), time.perf_counter()

def milliseconds(since):
    return [1e3 * (now - then) for now, then in zip(clock(), since)]

framework, layers = sys.argv[1], int(sys.argv[2])
import numpy as np
start = clock()
if framework == "jax":
    import jax as f
    f.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    f.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
else:
    import jitml as f
imported = milliseconds(start)
start = clock()
if framework == "jax":
    import jax.numpy as jnp
else:
    import jitml.numpy as jnp
with_numpy = milliseconds(start)

rng = np.random.default_rng(0)
parameters = [
    ((rng.standard_normal((128, 128)) / 11).astype(np.float32), np.zeros(128, np.float32))
    for _ in range(layers)
]
x = np.ones((32, 128), np.float32)

def loss(parameters, x, y):
    for w, b in parameters[:-1]:
        x = jnp.tanh(x @ w + b)
    w, b = parameters[-1]
    return jnp.mean((x @ w + b - y) ** 2)

start = clock()
value, _ = f.block_until_ready(f.jit(f.value_and_grad(loss))(parameters, x, x))
called = milliseconds(start)
start = clock()
float(f.jit(lambda x: x + 1)(np.float32(1)))
again = milliseconds(start)
print(json.dumps({
    "import": imported,
    "import of its numpy": with_numpy,
    "first call": called,
    "another program, x + 1": again,
    "value": float(value),
    "llvmlite": "llvmlite" in sys.modules,
}))
"""
ROWS = ("import", "import of its numpy", "first call", "another program, x + 1")
ROOT = Path(__file__).parent.parent


def measure(framework: str, layers: int, folder: str) -> dict[str, object]:
    """What one fresh process tells."""
    environment = {
        **os.environ,
        "JITML_CACHE": "1",
        "JITML_CACHE_DIR": f"{folder}/jitml",
        "JAX_COMPILATION_CACHE_DIR": f"{folder}/jax",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(
            [str(ROOT), str(ROOT / "runtime"), os.environ.get("PYTHONPATH", "")]
        ),
    }
    command = [sys.executable, "-c", CHILD, framework, str(layers)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{framework} failed:\n{done.stderr}")
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=8)
    given = parser.parse_args()
    frameworks = ["jitml"]
    if importlib.util.find_spec("jax"):
        frameworks.append("jax")
    else:
        print("jax is not installed: jitml alone")
    with tempfile.TemporaryDirectory() as folder:
        cold = {name: measure(name, given.layers, folder) for name in frameworks}
        warm: dict[str, list[dict[str, object]]] = {name: [] for name in frameworks}
        for _ in range(given.rounds):
            for name in frameworks:
                warm[name].append(measure(name, given.layers, folder))
    print(f"{'ms':<34}{'':>8}{'CPU best':>10}{'median':>9}{'wall best':>11}{'median':>9}")
    for name in frameworks:
        print(f"{'first call, nothing cached':<34}{name:>8}" + line([cold[name]["first call"]]))
    for row in ROWS:
        for name in frameworks:
            print(f"{row:<34}{name:>8}" + line([sample[row] for sample in warm[name]]))
    values = {name: samples[0]["value"] for name, samples in warm.items()}
    print(f"value: {values}; llvmlite imported by jitml: {warm['jitml'][0]['llvmlite']}")


def line(samples: list[object]) -> str:
    """CPU and wall, best and median."""
    columns = []
    for part, width in ((0, 10), (1, 11)):
        numbers = [sample[part] for sample in samples if isinstance(sample, list)]
        columns.append(f"{min(numbers):>{width}.1f}{statistics.median(numbers):>9.1f}")
    return "".join(columns)


if __name__ == "__main__":
    main()
