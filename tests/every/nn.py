"""Calls of `jax.nn`, `jax.ops` and `jax.image`."""

from __future__ import annotations

import numpy as np

from every.pools import (
    BRAIN,
    E2,
    FLOATS,
    HALF,
    ONE,
    SPD,
    SPECIAL,
    STACK,
    B,
    C,
    Call,
    E,
    I,
    J,
    M,
    T,
    V,
    W,
    calls,
    of_each,
    of_one,
    optional,
)  # fmt: skip

ACTIVATIONS = (
    "celu elu gelu hard_sigmoid hard_silu hard_swish hard_tanh identity leaky_relu log_sigmoid "
    "mish relu relu6 selu sigmoid silu soft_sign softplus sparse_plus sparse_sigmoid "
    "squareplus swish tanh"
)
Q = np.random.default_rng(5).normal(size=(2, 4, 2, 3))
K = np.random.default_rng(6).normal(size=(2, 5, 2, 3))
GROUPS = np.array([0, 2, 0, 1, 2])
PICTURE = np.random.default_rng(7).normal(size=(4, 5, 2))
METHODS = ("nearest", "linear", "cubic", "lanczos3", "lanczos5")
ALONG = [V, M, HALF, BRAIN, W, T, SPECIAL, STACK, SPD, -V]
SEGMENTS = [(V, GROUPS), (M, np.array([1, 0, 1])), (I, GROUPS), (HALF, GROUPS), (W, np.array([0,
    0, 0])),
            (T, np.array([1, 0])), (SPECIAL, np.array([0, 1, 2, 0, 1, 2, 1])), (C, GROUPS[:4]),
            (V, np.array([7, -1, 0, 1, 2])), (V, np.sort(GROUPS))]  # fmt: skip

CALLS: list[Call] = [
    *of_one("nn", ACTIVATIONS, FLOATS),
    *of_one("nn", "log_softmax softmax logsumexp logmeanexp standardize", ALONG),
    *of_each("nn", "log_softmax softmax logsumexp logmeanexp standardize", (M, 0), (T, 1), (T, (0,
        2))),
    *of_one("nn", "log1mexp", [np.abs(x) for x in FLOATS]),
    *optional("nn.gelu", (V,), {"approximate": False}), *optional("nn.celu", (-V, 2.0), {}),
    *optional("nn.elu", (-V, 2.0), {}), *optional("nn.leaky_relu", (-V, 0.3), {}),
    *optional("nn.logsumexp", (M,), {"axis": 0, "keepdims": True}, {"b": np.abs(M), "axis": 1},
              {"b": M, "return_sign": True}, {"where": M > 0, "axis": 1}),
    *optional("nn.softmax", (M,), {"where": M > 0, "axis": 1}),
    *calls("nn.glu", *((x,) for x in (M, -M, T, V[:4], HALF[:4], BRAIN[:4], E, STACK[..., :2])),
        (M, 1),
           (STACK, 0)),
    *calls("nn.one_hot", *((x, 3) for x in (I, J, GROUPS, np.array(1), np.array([5]),
        V[:0].astype(int))),
           (I, 0), (GROUPS, 4), (GROUPS, 3)),
    *optional("nn.one_hot", (GROUPS, 3), {"dtype": "int8"}, {"axis": 0}, {"dtype": "float16"}),
    *optional("nn.dot_product_attention", (Q, K, K * 2), {}, {"scale": 0.3}, {"is_causal": True},
              {"bias": np.random.default_rng(8).normal(size=(2, 2, 4, 5))},
              {"mask": np.random.default_rng(9).random((2, 1, 4, 5)) > 0.3},
              {"query_seq_lengths": np.array([3, 4]), "key_value_seq_lengths": np.array([5, 2])},
              {"local_window_size": 1}, {"is_causal": True, "scale": 1.0}),
    *calls("nn.dot_product_attention", (Q[0], K[0], K[0]), (Q[..., :1], K[..., :1], K[..., :1]),
           (Q.repeat(2, 2), K, K)),
    *of_each("ops", "segment_sum segment_prod segment_max segment_min", *SEGMENTS, num_segments=3),
    *of_each("ops", "segment_sum segment_max", (V, np.sort(GROUPS)), num_segments=4,
             indices_are_sorted=True),
    *(c for m in METHODS for c in calls("image.resize", (PICTURE, (7, 3, 2), m), (PICTURE, (2, 9,
        2), m),
                                        (PICTURE[0], (5, 2), m))),
    *optional("image.resize", (PICTURE, (2, 2, 2), "linear"), {"antialias": False}),
    *(c for m in METHODS[1:] for c in calls(
        "image.scale_and_translate", *((PICTURE, (3, 6, 2), (0, 1), np.array(s), np.array(t), m)
                                       for s in ([0.5, 1.3], [2.0, 1.0]) for t in ([0.0, 0.3],
                                           [1.0, -2]))
    )),
]  # fmt: skip
CALLS += of_one("nn", "relu sigmoid silu softplus", [ONE, E, E2, B.astype(float)])
