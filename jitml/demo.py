"""`python -m jitml.demo`: train a small convolutional network on the handwritten digits that
scikit-learn ships.

The network, its loss, its gradient and Adam are written in plain jitml; one jitted function is a
whole training step. Prints progress, the test accuracy and what was compiled; writes a picture of
the loss curve and some predictions. `--seed` draws another split, order and start; `--epochs` and
`--output` say how long to train and where the picture goes.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jitml
import jitml.numpy as jnp
from jitml import lax, nn, random
from jitml.pipeline.statistics import STATISTICS

BATCH = 64
LEARNING_RATE = 3e-3
SUMMARY = "Train a small convolutional network on scikit-learn's handwritten digits."

Parameters = dict[str, Any]


class AdamState(NamedTuple):
    """Step number and running means of the gradient and of its square."""

    step: Any
    mean: Parameters
    square: Parameters


def initial_parameters(key: Any) -> Parameters:
    """Weights scaled by fan-in, biases zero. Convolutions are [height, width, in, out]."""
    shapes = {"conv1": (3, 3, 1, 16), "conv2": (3, 3, 16, 32), "dense": (128, 10)}
    keys = random.split(key, len(shapes))
    return {
        name: {
            "weight": random.normal(k, shape) * (2 / math.prod(shape[:-1])) ** 0.5,
            "bias": jnp.zeros(shape[-1]),
        }
        for k, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def convolve(layer: Parameters, image: Any) -> Any:
    """image: f[h, w, in] → f[h, w, out], with a border of zeros."""
    out = lax.conv_general_dilated(
        image[None],
        layer["weight"],
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return nn.relu(out[0] + layer["bias"])


def halve(image: Any) -> Any:
    """The maximum of each 2×2 square: f[h, w, c] → f[h/2, w/2, c]."""
    h, w, c = image.shape
    return image.reshape(h // 2, 2, w // 2, 2, c).max(axis=(1, 3))


def scores(parameters: Parameters, image: Any) -> Any:
    """One image, f[8, 8] → f[10]."""
    x = convolve(parameters["conv1"], image[:, :, None])
    x = halve(convolve(parameters["conv2"], halve(x)))
    return x.reshape(-1) @ parameters["dense"]["weight"] + parameters["dense"]["bias"]


def loss_of_one(parameters: Parameters, image: Any, label: Any) -> Any:
    """Cross-entropy of one example."""
    return -nn.log_softmax(scores(parameters, image))[label]


def loss(parameters: Parameters, images: Any, labels: Any) -> Any:
    """Mean over a batch, which `vmap` makes of the loss of one."""
    return jitml.vmap(loss_of_one, in_axes=(None, 0, 0))(parameters, images, labels).mean()


@jitml.jit
def train_step(parameters: Parameters, state: AdamState, images: Any, labels: Any) -> Any:
    """One step of Adam (Kingma and Ba, 2015, algorithm 1)."""
    value, gradient = jitml.value_and_grad(loss)(parameters, images, labels)
    step = state.step + 1
    mean = jitml.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state.mean, gradient)
    square = jitml.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, state.square, gradient)
    rate = LEARNING_RATE * jnp.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    parameters = jitml.tree.map(
        lambda p, m, s: p - rate * m / (jnp.sqrt(s) + 1e-8), parameters, mean, square
    )
    return parameters, AdamState(step, mean, square), value


@jitml.jit
def predict(parameters: Parameters, images: Any) -> Any:
    """The most likely digit for each image."""
    return jitml.vmap(scores, in_axes=(None, 0))(parameters, images).argmax(axis=1)


class Digits(NamedTuple):
    """Images f32[n, 8, 8] in 0…1 and labels i32[n], for training and for testing."""

    train_images: Any
    train_labels: Any
    test_images: Any
    test_labels: Any


def load_digits(order: np.random.Generator) -> Digits:
    """scikit-learn's 1,797 digits, shuffled, a fifth of them for testing."""
    from sklearn.datasets import load_digits

    data = load_digits()
    shuffled = order.permutation(len(data.target))
    images = (data.images[shuffled] / 16).astype(np.float32)
    labels = data.target[shuffled].astype(np.int32)
    split = len(labels) * 4 // 5
    return Digits(images[:split], labels[:split], images[split:], labels[split:])


def train(data: Digits, epochs: int, seed: int) -> tuple[Parameters, list[float]]:
    """Parameters after all epochs, and the loss of every step."""
    order = np.random.default_rng(seed)
    parameters = initial_parameters(random.key(seed))
    zeros = jitml.tree.map(jnp.zeros_like, parameters)
    state = AdamState(jnp.zeros((), jnp.int32), zeros, zeros)
    steps = len(data.train_labels) // BATCH
    losses: list[float] = []
    show_progress(0, epochs, losses)
    for epoch in range(epochs):
        shuffled = order.permutation(len(data.train_labels))[: steps * BATCH]
        for batch in shuffled.reshape(steps, BATCH):
            images, labels = data.train_images[batch], data.train_labels[batch]
            parameters, state, value = train_step(parameters, state, images, labels)
            losses.append(float(value))
        show_progress(epoch + 1, epochs, losses)
    return parameters, losses


def show_progress(epoch: int, epochs: int, losses: Sequence[float]) -> None:
    """A bar that fills in a terminal; five plain lines where the output is kept."""
    state = f"loss {losses[-1]:.4f}" if losses else "compiling"
    text = f"epoch {epoch}/{epochs}  {state}"
    if sys.stdout.isatty():
        full, empty = "█·" if (sys.stdout.encoding or "").lower().startswith("utf") else "#."
        filled = epoch * 30 // epochs
        bar = full * filled + empty * (30 - filled)
        print(f"\rtraining {bar} {text:<32}", end="\n" if epoch == epochs else "", flush=True)
    elif losses and epoch * 5 // epochs > (epoch - 1) * 5 // epochs:
        print(f"training: {text}", flush=True)


def draw(path: Path, losses: Sequence[float], data: Digits, predictions: Any) -> None:
    """A PNG: the loss curve, and two rows of test digits with what the network says."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(10, 6), layout="constrained")
    curve, shown = np.asarray(figure.subfigures(2, 1, height_ratios=(1.2, 1))).flat
    axes = curve.subplots()
    axes.semilogy(losses, linewidth=0.8)
    axes.set_xlabel("step")
    axes.set_ylabel("cross-entropy of the batch")
    axes.set_title("Handwritten digits, trained with jitml")
    shown.suptitle("Test digits and what the network says; mistakes in red", fontsize="medium")
    chosen = examples(predictions, data.test_labels)
    for cell in (cells := shown.subplots(2, 10)).flat:
        cell.axis("off")
    for number, cell in zip(chosen, cells.flat, strict=False):
        right = predictions[number] == data.test_labels[number]
        cell.imshow(data.test_images[number], cmap="gray_r")
        cell.set_title(f"{predictions[number]}", color="tab:green" if right else "tab:red")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def examples(predictions: Any, labels: Any) -> Any:
    """The numbers of 20 test digits: up to five mistakes come last."""
    wrong = np.flatnonzero(predictions != labels)[:5]
    right = np.flatnonzero(predictions == labels)[: 20 - len(wrong)]
    return np.concatenate([right, wrong])


def run(data: Digits, epochs: int, seed: int, folder: Path) -> float:
    """Train, test, draw; the test accuracy."""
    print(f"{len(data.train_labels)} digits to learn from, {len(data.test_labels)} to test on")
    start = time.perf_counter()
    parameters, losses = train(data, epochs, seed)
    seconds = time.perf_counter() - start
    predictions = np.asarray(predict(parameters, data.test_images))
    accuracy = float((predictions == data.test_labels).mean())
    picture = folder / "digits.png"
    draw(picture, losses, data, predictions)
    print(f"{len(losses)} steps in {seconds:.1f} s ({1e3 * seconds / len(losses):.2f} ms a step)")
    print(
        f"compiled {STATISTICS.graphs} programs: {STATISTICS.kernels} kernels "
        f"in {1e3 * STATISTICS.seconds:.0f} ms"
    )
    if STATISTICS.graphs_found:
        print(f"found {STATISTICS.graphs_found} programs that earlier runs have compiled")
    print(f"wrote {picture}")
    print(f"test accuracy {accuracy:.3f}")
    return accuracy


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options and run; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m jitml.demo", description=SUMMARY)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    given = parser.parse_args(arguments)
    if given.epochs < 1 or given.seed < 0:
        parser.error("--epochs must be at least 1, --seed at least 0")
    missing = [m for m in ("sklearn", "matplotlib") if importlib.util.find_spec(m) is None]
    if missing:
        print("the demo needs two more packages: pip install scikit-learn matplotlib")
        return 1
    run(load_digits(np.random.default_rng(given.seed)), given.epochs, given.seed, given.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
