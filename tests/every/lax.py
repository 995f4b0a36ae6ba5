"""Calls of `jax.lax`."""

from __future__ import annotations

from typing import Any

import numpy as np

from every.pools import (
    B2,
    BITS,
    BRAIN,
    CM,
    COMPLEX,
    CSPD,
    E2,
    FLOATS,
    HALF,
    ONE,
    SPD,
    SPECIAL,
    SQUARE,
    STACK,
    B,
    C,
    Call,
    E,
    I,
    J,
    M,
    S,
    T,
    U,
    V,
    W,
    calls,
    of_each,
    of_one,
    optional,
    pairs,
)  # fmt: skip

IMAGE = np.random.default_rng(1).normal(size=(2, 3, 6, 5))
KERNEL = np.random.default_rng(2).normal(size=(4, 3, 3, 2))
LINE, LINE_KERNEL = IMAGE[:, :, :, 0], KERNEL[:, :, :, 0]
POSITIVE = [np.abs(x) + np.asarray(0.25, x.dtype) for x in (V, M, ONE, E, E2, HALF, BRAIN, W, T)]
ROWS = np.sort(np.abs(M), 0)

UNARY = (
    "abs acos acosh asin asinh atan atanh bessel_i0e bessel_i1e cbrt ceil cos cosh erf erf_inv "
    "erfc exp exp2 expm1 floor is_finite lgamma log log1p logistic neg reciprocal round "
    "rsqrt sign sin sinh sqrt square tan tanh stop_gradient"
)
OF_COMPLEX = (
    "abs acos acosh asin asinh atan atanh cos cosh exp exp2 expm1 log log1p logistic neg real imag "
    "conj rsqrt sign sin sinh sqrt square tan tanh"
)
CONVOLUTIONS: list[dict[str, Any]] = [
    {"window_strides": (1, 1), "padding": "SAME"}, {"window_strides": (2, 1), "padding": "VALID"},
    {"window_strides": (1, 1), "padding": [(1, 2), (0, 1)]},
    {"window_strides": (1, 1), "padding": "VALID", "lhs_dilation": (2, 1)},
    {"window_strides": (1, 1), "padding": "SAME", "rhs_dilation": (1, 2)},
    {"window_strides": (2, 2), "padding": "SAME_LOWER"},
]  # fmt: skip
REDUCING = [(M, (0,)), (M, (1,)), (M, (0, 1)), (M, ()), (T, (0, 2)), (V, (0,)), (E2, (0,)),
            (HALF, (0,)), (SPECIAL, (0,)), (I, (0,)), (J, (1,)), (BRAIN, (0,))]  # fmt: skip
RUNNING = [(M, 0), (M, 1), (V,), (V, 0, True), (T, 1), (T, 2, True), (HALF,), (SPECIAL,), (E,),
    (I,),
           (BRAIN,)]  # fmt: skip
GATHER: dict[str, Any] = {"slice_sizes": (1, 4), "mode": "clip"}

CALLS: list[Call] = [
    *of_one("lax", UNARY, FLOATS),
    *of_one("lax", OF_COMPLEX, COMPLEX),
    *of_one("lax", "real imag conj", [C * k for k in (2, 1j, 0,
        -1)] + [CM[k] for k in range(3)] + [CM.T]),
    *of_one("lax", "digamma", [*POSITIVE, -W]),
    *of_one("lax", "bitwise_not clz population_count", [x for x in BITS if x.dtype != bool]),
    *of_one("lax", "bitwise_not", [B]),
    *of_one("lax", "optimization_barrier", [V, M, I, B, C, HALF, E, ONE, T, S]),
    # two operands
    *of_each("lax", "add div max min mul sub eq ne ge gt le lt", *pairs(FLOATS),
             (V, 2.0), (0.5, M), (I, 3), *pairs([I, J, S])),
    *of_each("lax", "add sub mul div eq ne", *pairs(COMPLEX)),
    *of_each("lax", "atan2 nextafter rem complex", *pairs([V, M, E, ONE, W, T, SPECIAL]), (V, 2.0),
             (0.5, M), (W, -W)),
    *of_each("lax", "rem", *pairs([I + 4, J + 2, S])),
    *of_each("lax", "pow", *pairs(POSITIVE), (V, 2.0), (V, 3), (W, np.array([2, 3, 0])), (C, C)),
    *of_each("lax", "bitwise_and bitwise_or bitwise_xor", *pairs(BITS), (I, 3), (U, np.uint8(5))),
    *of_each("lax", "shift_left shift_right_arithmetic shift_right_logical",
             *((x, np.ones_like(x) * 3) for x in BITS if x.dtype != bool), (I, 2)),
    *of_each("lax", "mulhi", *pairs([x for x in BITS if x.dtype != bool])),
    *of_each("lax", "igamma igammac igamma_grad_a random_gamma_grad zeta",
             *((a + np.asarray(1.5, a.dtype),
                 np.asarray(np.flip(a)).copy()) for a in POSITIVE if a.ndim),
             (ONE + 1, ONE), (V, V * 9), (V * 9, V)),
    *of_each("lax", "polygamma", *((np.ones_like(x), x) for x in POSITIVE), (V * 0 + 3, V)),
    *calls("lax.betainc", *((a, np.asarray(np.flip(a)).copy(), a / (a + 1)) for a in POSITIVE),
        (V * 9, V, V / 9)),
    *of_one("lax", "integer_pow", [V, M, I, ONE, C, HALF, E, W, T, SPECIAL], 3),
    *optional("lax.integer_pow", (V,), {"y": 0}, {"y": -2}, {"y": 1}, {"y": 7}),
    *of_each("lax", "clamp", *((x * 0 - 1, x, x * 0 + 1) for x in (V, M, HALF, I, W, E, T)),
             (-1.0, V, 1.0), (0, I, 3), (0.0, SPECIAL, 1.0)),
    *of_each("lax", "reduce_precision", *((x, 8, 23) for x in (V, M, ONE, E, SPECIAL, W, T)),
             (V, 8, 7), (M, 5, 10), (W, 5, 10)),
    # folds
    *of_each("lax", "reduce_sum reduce_prod reduce_max reduce_min", *REDUCING),
    *of_each("lax", "reduce_and reduce_or reduce_xor", (B, (0,)), (B2, (0,)), (B2, (1,)), (B2, ()),
             (B2, (0, 1)), (I, (0,)), (J, (0,)), (J, (1,)), (U, (0,)), (J, (0, 1))),
    *of_each("lax", "argmax argmin", *((x, a, "int32") for x, a in (
        (M, 0), (M, 1), (V, 0), (T, 0), (T, 2), (SPECIAL, 0), (I, 0), (J, 1), (HALF, 0), (B, 0)))),
    *of_each("lax", "cumsum cumprod cummax cummin cumlogsumexp",
             *(r for r in RUNNING if r[0].dtype.kind != "i")),
    *of_each("lax", "cumsum cumprod cummax cummin", (I,), (J, 1), (S, 0, True)),
    *of_each("lax", "sort", *RUNNING[:1], (M, 1), (V,), (I,), (E,), (SPECIAL,), (HALF,), (T, 0),
        (B,)),
    *calls("lax.sort", ([V, I],), ([I, V],), ([M, -M], 0)),
    *of_each("lax", "sort_key_val", (V, I), (I, V), (M, -M), (M, -M, 0), (HALF, V), (E, E),
        (SPECIAL,
             np.arange(7)), (B, I), (J, J * 2), (T, T, 1)),
    *of_each("lax", "top_k", *((x, 2) for x in (V, M, I, SPECIAL, HALF, J, T, BRAIN, S, U)), (V, 5),
             (V, 0)),
    *of_each("lax", "approx_max_k approx_min_k", *((x, 2) for x in (V, M, T, HALF, W, SQUARE, SPD,
             STACK, -V, M.T)), (V, 5)),
    # shapes
    *of_each("lax", "broadcast", *((x, (2,)) for x in (V, M, ONE, I, B, C, E, HALF)), (V, (2, 3)),
             (M, ())),
    *of_each("lax", "broadcast_in_dim", (V, (2, 5), (1,)), (V, (5, 2), (0,)), (M, (3, 4, 2), (0,
        1)),
             (ONE, (2, 2), ()), (I, (5,), (0,)), (W[:1], (3, 4), (0,)), (B, (2, 5), (1,)),
             (E, (2, 0), (1,)), (C, (4, 4), (0,)), (HALF, (1, 5), (1,))),
    *of_each("lax", "broadcast_to_rank", *((x, 3) for x in (V, M, ONE, I, B, C, E, HALF, T, J))),
    *of_each("lax", "collapse", (T, 0), (T, 1), (T, 0, 2), (T, 1, 3), (M, 0), (M, 0, 2), (STACK,
        0, 2),
             (IMAGE, 1), (IMAGE, 1, 3), (J, 0)),
    *calls("lax.concatenate", *(([x, x], 0) for x in (V, M, I, B, C, E, HALF, T)), ([M, M], 1),
           ([V, W, V], 0), ([T, T], 2)),
    *calls("lax.stack", *(([x, x],) for x in (V, M, I, B, C, E, HALF, ONE)), ([M, M], 1), ([T, T],
        2)),
    *of_each("lax", "unstack", *((x,) for x in (V, M, I, B, C, HALF, T)), (M, 1), (T, 2), (J, 1)),
    *of_each("lax", "dynamic_slice", (V, (1,), (2,)), (M, (1, 2), (2, 2)), (M, (9, -9), (2, 2)),
             (V, [np.array(3)], (2,)), (I, (0,), (5,)), (T, (0, 1, 1), (1, 2, 1)), (C, (2,), (2,)),
             (HALF, (1,), (1,)), (B, (4,), (1,)), (M, (0, 0), (0, 2))),
    *of_each("lax", "dynamic_slice_in_dim", (V, 1, 2), (M, 1, 2, 1), (M, -1, 2), (T, 0, 1, 2), (I,
        4, 3),
             (V, np.array(2), 2), (C, 0, 1), (HALF, 9, 2), (B, 1, 1), (M, 0, 0)),
    *of_each("lax", "dynamic_index_in_dim", (V, 1), (M, 1, 1), (M, -1), (T, 0, 2), (I, 4), (V,
             np.array(2)), (C, 0), (HALF, 9), (M, 1, 0, False), (T, 1, 1, False)),
    *of_each("lax", "dynamic_update_slice", (V, W, (1,)), (M, SQUARE, (0, 1)), (M, SQUARE, (9, 9)),
             (V, W, [np.array(2)]), (I, I[:2], (0,)), (C, C[:1], (3,)), (HALF, HALF[:2], (1,)),
             (B, B[:2], (1,)), (T, T[:1], (1, 0, 0)), (V, E, (2,))),
    *of_each("lax", "dynamic_update_slice_in_dim", (V, W, 1, 0), (M, SQUARE, 1, 1), (M, M[:1], 9,
        0),
             (V, W, np.array(2), 0), (I, I[:2], 0, 0), (C, C[:1], 3, 0), (HALF, HALF[:2], 1, 0),
             (B, B[:2], 1, 0), (T, T[:, :1], 2, 1), (V, E, 2, 0)),
    *of_each("lax", "dynamic_update_index_in_dim", (V, 9.0, 1, 0), (M, W, 1, 1), (M, M[0], 9, 0),
             (V, 7.0, np.array(2), 0), (I, 3, 0, 0), (C, 1j, 3, 0), (T, T[:, 0], 2, 1), (B, True,
                 1, 0),
             (HALF, 1.0, -1, 0), (M, M[:1], 1, 0)),
    *of_each("lax", "expand_dims", *((x, (0,)) for x in (V, M, ONE, I, B, C, E)), (M, (0, 2)), (V,
        (1,)),
             (T, (1, -1))),
    *of_each("lax", "squeeze", *((x[None], (0,)) for x in (V, M, ONE, I, B, C, E)), (M[:1], (0,)),
             (M[:, :1], (-1,)), (M[:1, None, :1], (0, 1))),
    *of_each("lax", "index_in_dim", (V, 1), (M, 1, 1), (M, -1), (T, 0, 2), (I, 4), (C, 0), (B, 2),
             (HALF, 3), (M, 1, 0, False), (T, 1, 1, False)),
    *of_each("lax", "index_take", *((M, [i], (0,)) for i in (np.array([0, 2]), np.array([1]),
        np.array(
             [2, 0, 1]))), *((x, [np.array([1, 0])], (0,)) for x in (V, I, C, HALF, T, B)),
             (M, [np.array([0, 1]), np.array([3, 2])], (0, 1)), (M, [np.array([3])], (1,))),
    *of_each("lax", "pad", *((x, x.dtype.type(0), [(1, 2, 0)]) for x in (V, I, C, HALF, E, W)),
             (M, 0.0, [(1, 0, 1), (-1, 2, 0)]), (V, 0.5, [(-1, -2, 1)]), (V, np.nan, [(0, 0, 2)]),
             (T, 1.0, [(0, 0, 0), (1, 1, 1), (-1, 0, 0)])),
    *of_each("lax", "reshape", (M, (4, 3)), (M, (12,)), (V, (5, 1)), (ONE, (1, 1)), (E, (0, 3)), (I,
             (1, 5)), (T, (12,)), (T, (6, 2)), (M, (2, 6), (1, 0)), (C, (2, 2)), (B, (5, 1))),
    *of_each("lax", "rev", *((x, (0,)) for x in (V, M, I, B, C, E, HALF, T)), (M, (1,)), (M, (0,
        1))),
    *of_each("lax", "transpose", (M, (1, 0)), (T, (2, 0, 1)), (T, (0, 2, 1)), (T, (0, 1, 2)), (V,
        (0,)),
             (J, (1, 0)), (CM, (1, 0)), (E2, (1, 0)), (B2, (1, 0)), (IMAGE, (0, 2, 3, 1))),
    *of_each("lax", "slice", (V, (1,), (4,)), (V, (0,), (5,), (2,)), (M, (1, 0), (3, 2)), (M, (0,
        0),
             (3, 4), (2, 3)), (I, (2,), (2,)), (C, (0,), (3,)), (HALF, (1,), (2,)), (B, (3,), (5,)),
             (T, (0, 1, 0), (1, 3, 2)), (E, (0,), (0,))),
    *of_each("lax", "slice_in_dim", (V, 1, 4), (V, 0, None, 2), (M, 1, -1, 1, 1), (M, -2, None),
        (I, 2,
             2), (C, 0, 3), (HALF, None, 2), (B, 3, 5), (T, 0, 1, 1, 2), (M, 0, 3, 2)),
    *of_each("lax", "split", (V, (2, 3)), (M, (1, 2)), (M, (2, 2), 1), (I, (5,)), (C, (1, 1, 2)),
        (HALF,
             (0, 5)), (T, (1, 2), 1), (B, (4, 1)), (E, (0, 0)), (M, (4,), 1)),
    *of_each("lax", "tile", (V, (2,)), (M, (2, 1)), (M, (1, 3)), (I, (0,)), (T, (1, 2, 1)), (C,
        (3,)), (B,
             (2,)), (HALF, (1,)), (E, (4,)), (ONE[None], (5,))),
    *of_each("lax", "select", *((x > 1, x, -x) for x in (V, M, ONE, E, HALF, I, W, T, SPECIAL)),
        (B, V, -V),
             (np.array(True), V, -V)),
    *of_each("lax", "select_n", *((x > 1, x, -x) for x in (V, M, ONE, E, HALF, I, W, T, SPECIAL)),
             (np.array([0, 2, 1]), W, -W, W * 9), (np.array(1), V, -V)),
    *of_each("lax", "full", ((2, 3), 1.5), ((), 2), ((0,), 1.0), ((2,), True), ((3,), 1, "float16"),
             ((2,), 1j), ((1, 1), 7, "int8"), ((2,), ONE), ((2, 2), np.nan), (4, 1.0)),
    *of_each("lax", "full_like", *((x, 2) for x in (V, M, I, C, HALF, E, ONE, T, S)), (V, 3,
        "int32"),
             (V, 1.5, None, (2,))),
    *of_each("lax", "iota", *((d, 5) for d in ("float32", "int32", "uint8", "float16", "bfloat16",
             "int8", "complex64", "uint32")), ("int32", 0), ("float32", 1)),
    *of_each("lax", "broadcasted_iota", *((d, (2, 3), a) for d in ("float32", "int32", "uint8",
             "float16") for a in (0, 1)), ("int32", (0, 2), 0), ("int32", (4,), 0)),
    *of_each("lax", "convert_element_type", *((x, d) for x in (V, I, B) for d in ("float16", "int8",
             "bool", "complex64")), (M, "bfloat16"), (HALF, "float32"), (ONE, "int32")),
    *of_each("lax", "bitcast_convert_type", *((x.astype("float32"), d) for x in (V, M, ONE,
        E) for d in (
             "int32", "uint32")), (HALF, "int16"), (HALF, "uint16"), (U, "int8"), (U, "uint32")),
    # products
    *of_each("lax", "dot", (V, V), (M, M.T), (M, M[0]), (M[:, 0], M), (I, I), (J, J.T), (C, C), (CM,
             CM.T), (HALF, HALF), (E, E), (E2, E2.T)),
    *of_each("lax", "batch_matmul", (STACK, STACK), (T, np.swapaxes(T, 1, 2)), (STACK,
        T.swapaxes(0, 1)[
             :2, :2].repeat(2, 1)[:, :3]), *((x[None], x.T[None]) for x in (M, J, CM, SQUARE, E2,
                 SPD)),
             (STACK[None], STACK[None])),
    *of_each("lax", "dot_general", *((a, b, d) for a, b, d in (
             (M, M, (((1,), (1,)), ((), ()))), (M, M, (((0,), (0,)), ((), ()))),
             (M, M, (((1,), (1,)), ((0,), (0,)))), (M, M, (((), ()), ((0, 1), (0, 1)))),
             (T, T, (((0, 2), (0, 2)), ((1,), (1,)))), (T, T, (((1,), (1,)), ((), ()))),
             (V, V, (((), ()), ((), ()))), (J, J, (((1,), (1,)), ((), ()))),
             (CM, CM, (((0,), (0,)), ((1,), (1,)))), (E2, E2, (((1,), (1,)), ((), ())))))),
    *optional("lax.conv_general_dilated", (IMAGE, KERNEL), *CONVOLUTIONS),
    *optional("lax.conv_general_dilated", (LINE, LINE_KERNEL), *({k: (v[:1] if isinstance(v, (
              tuple, list)) else v) for k, v in o.items()} for o in CONVOLUTIONS)),
    *of_each("lax", "conv", *((IMAGE, KERNEL, s, p) for p in ("SAME", "VALID") for s in (
             (1, 1), (2, 1), (1, 2))), *((LINE, LINE_KERNEL, (s,), p) for s in (1, 2)
             for p in ("SAME", "VALID"))),
    *of_each("lax", "conv_with_general_padding", *((IMAGE, KERNEL, (1, 1), p, None, None) for p in (
             [(0, 0), (0, 0)], [(1, 1), (0, 1)], [(2, 0), (1, 1)])),
             *((IMAGE, KERNEL, s, [(1, 1), (1, 1)], d, (1, 1)) for s in ((2, 1), (1, 2))
               for d in ((1, 1), (2, 2))), *((LINE, LINE_KERNEL, (s,), [(p, p)], (1,), (2,))
               for s in (1, 2) for p in (1, 2))),
    *of_each("lax", "conv_transpose", *((IMAGE.transpose(0, 2, 3, 1), KERNEL.transpose(2, 3, 1,
        0), s, p)
             for s in ((1, 1), (2, 1), (2, 3), (1, 2), (3, 3)) for p in ("SAME", "VALID"))),
    *of_each("lax", "conv_general_dilated_patches", *((x, (2, 2), s, p) for x in (IMAGE,
        IMAGE[:1], IMAGE[
             :, :1]) for s in ((1, 1), (2, 1)) for p in ("SAME", "VALID"))),
    *of_each("lax", "fft", *((x + 0j, k, (n,)) for x in (M, V, T) for k, n in (("fft",
        x.shape[-1]), (
             "ifft", x.shape[-1]))), (M, "rfft", (4,)), (CM, "irfft", (6,)), (V, "rfft", (5,)),
             (T, "rfft", (3, 2)), (CM, "fft", (3, 4))),
    *of_each("lax.linalg", "cholesky", *((x,) for x in (SPD, STACK, SPD[:1, :1], CSPD, SPD[:2,
        :2], STACK[
             :0], SPD * 9, np.eye(3), STACK[None], SPD.T))),
    *of_each("lax.linalg", "lu_pivots_to_permutation", *((np.array(p, "int32"), n) for p, n in (
             ([0, 1], 2), ([1, 1], 2), ([2, 2, 2], 3), ([0, 2, 2], 3), ([1], 4), ([3, 1, 2], 4),
             ([[0, 1], [1, 1]], 2), ([0], 1), ([2], 3), ([1, 2], 3)))),
    *of_each("lax.linalg", "tridiagonal_solve", *((np.array([0.0, 1, 2]) * s, np.array([4.0, 5,
        6]) + k,
             np.array([1.0, 2, 0]), M[:, :n]) for s in (1, 0.5) for k in (0, 1, 3) for n in (1,
                 3))),
    *of_each("lax.linalg", "symmetric_product", *((x, y) for x in (SQUARE, SPD,
        M) for y in (np.eye(3),
             SPD)), (STACK, STACK), (M.T, np.eye(4)), (SQUARE[:1], SPD[:1, :1]), (SPD[:, :1], SPD)),
]  # fmt: skip
CALLS = [c for c in CALLS if c.arguments]
