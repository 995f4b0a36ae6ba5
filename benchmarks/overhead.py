"""What `jitml.profile()` and `jitml.live` add to a training loop, counted in instructions by
valgrind: `python benchmarks/overhead.py`.

Each loop runs in processes of its own, for few and for many steps; the difference is what steps
cost, and so free of starting. A run that is not counted has compiled all before. Exits with 1 if
more is added than is promised.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jitml.pipeline import tiers

ROOT = Path(__file__).resolve().parent.parent
PROMISED = {"profile": 0.03, "live": 0.01, "live in a notebook": 0.01}
STEPS = {"perceptron": (50, 450), "convolutional network": (10, 60)}
BATCH = 64
_ENVIRONMENT = {
    "JITML_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}  # fmt: skip


# ---- in a process of its own: a loop -------------------------------------------------------------

Step = Callable[[Any, Any], Any]  # images and labels to the loss; it keeps the parameters


def perceptron() -> Step:
    """Three layers on the pixels of digits, trained by gradient descent."""
    import jitml
    import jitml.numpy as jnp
    from jitml import nn

    def loss(layers: Any, x: Any, y: Any) -> Any:
        for layer in layers[:-1]:
            x = nn.relu(x @ layer["weight"] + layer["bias"])
        scores = nn.log_softmax(x @ layers[-1]["weight"] + layers[-1]["bias"])
        return -scores[jnp.arange(BATCH), y].mean()

    @jitml.jit
    def train(layers: Any, x: Any, y: Any) -> Any:
        value, slopes = jitml.value_and_grad(loss)(layers, x.reshape(BATCH, 64), y)
        return jitml.tree.map(lambda a, b: a - 0.1 * b, layers, slopes), value

    draw = np.random.default_rng(0).normal
    kept = [
        {"weight": jnp.asarray(draw(size=(n, m), scale=0.1), "float32"), "bias": jnp.zeros(m)}
        for n, m in ((64, 128), (128, 128), (128, 10))
    ]

    def step(images: Any, labels: Any) -> Any:
        nonlocal kept
        kept, value = train(kept, images, labels)
        return value

    return step


def convolutional_network() -> Step:
    """The network of `jitml.demo`, trained by Adam."""
    import jitml
    import jitml.numpy as jnp
    from jitml import demo

    parameters = demo.initial_parameters(jitml.random.key(0))
    zeros = jitml.tree.map(jnp.zeros_like, parameters)
    state = demo.AdamState(jnp.zeros((), jnp.int32), zeros, zeros)

    def step(images: Any, labels: Any) -> Any:
        nonlocal parameters, state
        parameters, state, value = demo.train_step(parameters, state, images, labels)
        return value

    return step


MODELS = {"perceptron": perceptron, "convolutional network": convolutional_network}


def batches(count: int) -> Iterator[tuple[Any, Any]]:
    """Images and labels as the digits have them, drawn anew for each batch."""
    draw = np.random.default_rng(0)
    images = draw.random((1437, 8, 8), np.float32)
    labels = draw.integers(0, 10, 1437).astype(np.int32)
    for _ in range(count):
        chosen = draw.permutation(1437)[:BATCH]
        yield images[chosen], labels[chosen]


def loop(model: str, how: str, count: int) -> None:
    """Train for `count` steps, watched or not; the loss is looked at after each step."""
    import jitml

    step = MODELS[model]()
    for images, labels in batches(3):
        float(step(images, labels))
    if how == "plain":
        for images, labels in batches(count):
            float(step(images, labels))
    elif how == "profile":
        with jitml.profile():
            for images, labels in batches(count):
                float(step(images, labels))
    else:
        if how == "live in a notebook":
            _draw_html()
        run = jitml.live(range(count))
        for _, (images, labels) in zip(run, batches(count), strict=True):
            loss = step(images, labels)
            float(loss)
            run(loss=loss)


def _draw_html() -> None:
    """Let `live` draw as in a notebook, for nobody."""
    from jitml.display import live, screens

    class Cell(screens.NotebookCell):
        def draw(self, content: Any, is_last: bool) -> None:
            content._repr_html_(), repr(content)

    live.current_screen = Cell


# ---- in the first process: counts ----------------------------------------------------------------


VALGRIND = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]


def trained(model: str, how: str, count: int, cache: str, *, is_counted: bool) -> str:
    """What is told of a process that trains for `count` steps."""
    command = [*VALGRIND, sys.executable, __file__, "--loop", model, "--how", how]
    command += ["--steps", str(count), *["--counted"] * is_counted]
    sources = os.pathsep.join([str(ROOT), str(ROOT / "runtime")])
    environment = {**os.environ, **_ENVIRONMENT, "JITML_CACHE_DIR": cache, "PYTHONPATH": sources}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stderr


def instructions(model: str, how: str, count: int, cache: str) -> int:
    """How many instructions a process runs that trains for `count` steps."""
    told = trained(model, how, count, cache, is_counted=True)
    found = re.search(r"I +refs: +([\d,]+)", told)
    if not found:
        raise SystemExit(f"valgrind has counted nothing:\n{told[-2000:]}")
    return int(found[1].replace(",", ""))


def main() -> int:
    """Count, print, compare with what is promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=[*MODELS], action="append")
    for name in ("--loop", "--how", "--steps"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--counted", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.loop:
        if given.counted:  # better code would be made at another time in each run
            tiers.BUSY_NS = sys.maxsize
        loop(given.loop, given.how, int(given.steps))
        return 0
    kept = True
    with tempfile.TemporaryDirectory() as cache:
        for model in given.model or MODELS:
            few, many = STEPS[model]
            per_step = {}
            for how in ("plain", *PROMISED):
                trained(model, how, many, cache, is_counted=False)  # compiles
                counts = [instructions(model, how, n, cache) for n in (few, many)]
                per_step[how] = (counts[1] - counts[0]) / (many - few)
                more = per_step[how] / per_step["plain"] - 1
                kept = kept and more < PROMISED.get(how, 1.0)
                print(f"{model}, {how}: {per_step[how]:,.0f} a step, {more:+.2%}", flush=True)
    print("as promised" if kept else "more than promised")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
