"""`python -m jitml.demo`: train a small convolutional network on the handwritten digits that
scikit-learn ships.

The network, its loss, its gradient and Adam are written in plain jitml; one jitted function is a
whole training step. Prints progress, the test accuracy and what was compiled; writes a picture of
the loss curve and some predictions.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jitml
import jitml.numpy as jnp
from jitml import lax, nn, random
from jitml.pipeline.compile import STATISTICS

EPOCHS = 30
BATCH = 64
LEARNING_RATE = 3e-3

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


def train(data: Digits, order: np.random.Generator) -> tuple[Parameters, list[float]]:
    """Parameters after all epochs, and the loss of every step."""
    parameters = initial_parameters(random.key(0))
    zeros = jitml.tree.map(jnp.zeros_like, parameters)
    state = AdamState(jnp.zeros((), jnp.int32), zeros, zeros)
    steps = len(data.train_labels) // BATCH
    losses: list[float] = []
    for epoch in range(EPOCHS):
        shuffled = order.permutation(len(data.train_labels))[: steps * BATCH]
        for batch in shuffled.reshape(steps, BATCH):
            images, labels = data.train_images[batch], data.train_labels[batch]
            parameters, state, value = train_step(parameters, state, images, labels)
            losses.append(float(value))
        _show_progress(epoch + 1, losses[-1])
    return parameters, losses


def _show_progress(epoch: int, value: float) -> None:
    filled = epoch * 30 // EPOCHS
    bar = "█" * filled + "·" * (30 - filled)
    end = "\n" if epoch == EPOCHS or not sys.stdout.isatty() else ""
    start = "\r" if sys.stdout.isatty() else ""
    print(f"{start}training {bar} epoch {epoch}/{EPOCHS}  loss {value:.4f}", end=end, flush=True)


def draw(path: Path, losses: list[float], images: Any, labels: Any, predictions: Any) -> None:
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
    for number, cell in enumerate(shown.subplots(2, 10).flat):
        right = predictions[number] == labels[number]
        cell.imshow(images[number], cmap="gray_r")
        cell.set_title(f"{predictions[number]}", color="tab:green" if right else "tab:red")
        cell.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    """Load, train, test, draw."""
    order = np.random.default_rng(0)
    data = load_digits(order)
    print(f"{len(data.train_labels)} digits to learn from, {len(data.test_labels)} to test on")
    start = time.perf_counter()
    parameters, losses = train(data, order)
    seconds = time.perf_counter() - start
    predictions = np.asarray(predict(parameters, data.test_images))
    accuracy = float((predictions == data.test_labels).mean())
    picture = Path("demo-output") / "digits.png"
    draw(picture, losses, data.test_images, data.test_labels, predictions)
    print(f"{len(losses)} steps in {seconds:.1f} s ({1e3 * seconds / len(losses):.2f} ms a step)")
    print(
        f"compiled {STATISTICS.graphs} programs: {STATISTICS.kernels} kernels "
        f"in {1e3 * STATISTICS.seconds:.0f} ms"
    )
    print(f"wrote {picture}")
    print(f"test accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
