"""Calls of functions of `jitml.numpy` beyond the families of test_against_jax: name, arguments,
options. Arrays are NumPy's; what a call should give, JAX's or NumPy's function of the name says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from every.pools import Call, calls, optional

R = np.random.default_rng(1)
V = np.array([3.0, 1.0, 2.0, 1.0, 5.0])
W = np.array([0.5, 2.0, -1.0])
M = R.normal(size=(3, 4))
T = R.normal(size=(2, 3, 2))
I = np.array([2, 0, 1, -3, 7])  # noqa: E741
J = np.array([1, 0])
B = np.array([True, False, True, True, False])
S = np.array([0.0, 1.0, 2.5, 4.0])
Z = np.array([0, 0, 1, 0, 2, 0])
E = np.zeros((0,))
N = np.zeros((0,), int)
C = V + 1j * V[::-1]
CC = np.stack([C, C**2])
ROWS = np.array([[1, 2], [0, 1], [1, 2]])
BYTES = np.array([[1, 2], [255, 4]], "uint8")
NANS = np.array([1.0, np.nan, np.nan])
NEAR = np.array([-1.0, 0.0, 0.5, 1.0, 3.0, 9.0, np.nan])
TURNS = np.array([0, 4, 8, -3, 3, 10])
SETS = ("intersect1d", "setdiff1d", "setxor1d", "union1d")
UNIQUE = ("unique_counts", "unique_inverse", "unique_all", "unique_values")
OUT: dict[str, Any] = {"inplace": False}


CALLS: list[Call] = [
    # windows
    *(c for n in ("bartlett", "blackman", "hamming", "hanning")
      for c in calls(n, (0,), (1,), (2,), (3,), (7,), (8,))),
    *calls("kaiser", *((k, b) for k in (0, 1, 5, 8) for b in (0.0, 3.0, 14.5))),
    *calls("i0", (V,), (np.array([0.0, -1, 20]),), (np.array([80]),), (I,), (E,), (T,)),
    # choosing, putting in, taking out
    *calls("choose", (np.array([0, 1, 1, 0, 1]), [V, V * 2]), (np.array([[0], [1]]), [W * 0, W])),
    *(c for m in ("clip", "wrap") for c in calls("choose", (np.array([0, 5, -1]), [W, W * 2]),
                                                 (np.array([[3], [-7]]), [W, W * 2, 1.5]), mode=m)),
    *calls("delete", (V, 1), (V, -1), (V, np.array([0, 2])), (V, slice(1, 4, 2)), (M, 1, 0),
           (M, np.array([0, -1]), 1), (M, 2), (V, B), (M, J, 1), (V, N)),
    *calls("insert", (V, 1, 9.0), (V, np.array([1, 3]), 9.0), (V, -1, 9.0), (V, 5, 9.0),
           (V, np.array([3, 1]), np.array([8.0, 9.0])), (V, 1, np.array([7.0, 8.0, 9.0])),
           (M, 1, 9.0, 0), (M, 1, np.arange(3.0), 1),
           (M, np.array([1]), np.arange(3.0)[:, None], 1),
           (M, np.array([0, 2]), 9.0, 1), (M, np.array([0, 2]), np.arange(6.0).reshape(3, 2), 1),
           (V, slice(1, 3), 9.0), (V, np.array([1, 1, 1]), np.array([1.0, 2.0, 3.0])), (M, 2, 9.0)),
    *calls("fill_diagonal", (M, 5.0), (M.T, 5.0), (M, W), (np.zeros((3, 3, 3)), W),
           (np.zeros((3, 3), int), I), (np.zeros((3, 3)), W[:2]), (np.zeros((0, 3)), 2.0), **OUT),
    *calls("place", (V, B, W), (M, M > 0, W), (I, B, np.array([9])), (E, E > 0, W), **OUT),
    *calls("put", (V, np.array([0, 2]), 9.0), (M, np.array([0, -1]), np.array([8.0, 9.0])),
           (V, np.array([0, 1, 2, 3]), np.array([8.0, 9.0])), (V, N, 9.0), **OUT),
    *calls("put", (V, np.array([0, 12]), 9.0), mode="clip", **OUT),
    *calls("put", (V, np.array([0, 12]), 9.0), mode="wrap", **OUT),
    *calls("put_along_axis", (M, np.array([[0], [1], [2]]), 9.0, 1), (M, np.array([[0, 1, 2, 0]]),
           9.0, 0), (M, np.array([0, 3]), np.array([8.0, 9.0]), None),
           (V, np.array([0, 3]), np.array([8.0, 9.0]), 0), **OUT),
    *(c for t in ("f", "b", "fb") for c in calls("trim_zeros", (Z, t), (np.array([0.0, 0]), t),
                                                 (np.array([1.0, 0]), t), (V, t))),
    # filters
    *(c for n in ("convolve", "correlate") for m in ("full", "same", "valid") for c in calls(
        n, (V, W), (W, V), (I, Z), (C, W), (C, C[:3] * 1j), (W, C), (B, B[:2]), mode=m)),
    *calls("ediff1d", (V,), (M,), (E,), (I,), (C,)),
    *optional("ediff1d", (V,), {"to_end": 7}, {"to_begin": np.array([1.0, 2.0]), "to_end": 5}),
    *calls("gradient", (V,), (V, 2.0), (M,), (M, 1.0, 2.0), (I,), (C,), (T,)),
    *optional("gradient", (M,), {"axis": 1}, {"axis": (1, 0)}, {"axis": -2}),
    *calls("interp", (NEAR, S, S**2), (M, S, S * 1j), (2, S, S), (I, np.arange(5), np.arange(5)),
           (V, S[:1], S[:1]), (E, S, S)),
    *optional("interp", (NEAR * 2, S, S**2), {"left": -1.0}, {"left": "extrapolate"},
              {"right": "extrapolate", "left": 3}),
    *calls("trapezoid", (V,), (V, np.array([0.0, 1, 3, 4, 9])), (M,), (M, None, 0.5), (I,), (C,)),
    *optional("trapezoid", (M,), {"axis": 0}, {"axis": 0, "x": np.arange(3.0)}, {"axis": 0, "x": M},
              {"x": M}),
    *calls("unwrap", (V * 3,), (np.array([0.0, 4, 8, -3, 3, 10]),), (I,), (M * 9,), (V[:1],)),
    *optional("unwrap", (TURNS,), {"period": 4}, {"period": 5}, {"period": 3.5}),
    *optional("unwrap", (M * 9,), {"axis": 0}, {"discont": 4.0}, {"period": 3}),
    # statistics
    *calls("cov", (M,), (V,), (V, V**2), (C,), (I,), (CC,)),
    *optional("cov", (M,), {"rowvar": False}, {"bias": True}, {"ddof": 0},
              {"fweights": np.array([1, 2, 0, 3])}, {"aweights": np.array([1.0, 2, 0.5, 3])},
              {"fweights": np.array([1, 2, 0, 3]), "aweights": np.array([1.0, 2, 0.5, 3])}),
    *calls("corrcoef", (M,), (V, V**2), (V,), (CC,), (I, I**2), (T[0],), (M.T,), (M, M[::-1])),
    *optional("corrcoef", (M,), {"rowvar": False}, {"y": M * M}),
    *optional("histogram2d", (V, V**2), {}, {"bins": 3}, {"bins": [2, 3]},
              {"bins": 3, "density": True}, {"bins": 3, "weights": V}, {"bins": [S, 3]},
              {"bins": 3, "range": [[0, 4], [0, 9]]}, {"bins": S}),
    *optional("histogramdd", (M,), {"bins": 2}, {"bins": [2, 3, 2, 1]},
              {"bins": 2, "density": True}, {"bins": 2, "weights": np.arange(3.0)},
              {"bins": 2, "range": [(-1, 1)] * 4}),
    # positions
    *calls("diag_indices", (3,), (3, 3), (0,), (2, 1)),
    *calls("indices", ((2, 3),), ((4,),), ((),), ((2, 0),)),
    *optional("indices", ((2, 3),), {"sparse": True}, {"dtype": "float32"}),
    *calls("diag_indices_from", (np.ones((3, 3)),), (np.ones((2, 2, 2)),)),
    *(c for n in ("tril_indices", "triu_indices")
      for c in calls(n, (3,), (3, 1), (3, -1, 5), (0,), (4, 2, 2))),
    *(c for n in ("tril_indices_from", "triu_indices_from")
      for c in calls(n, (M,), (M, 1), (M.T, -1))),
    *calls("ix_", (I[:3] % 2, J), (I,), (J, J, J), (E, J)),
    # integers and bits
    *(c for n in ("gcd", "lcm") for c in calls(
        n, *((np.array([12, -18, 0, 0], t), np.array([8, 27, 5, 0], u))
             for t in ("int8", "int32", "int64") for u in ("int16", "int32")),
        (np.array([[4], [6]]), np.array([6, 9])), (12, 18), (N, 3),
        (np.array([12], "uint8"), np.array([8], "uint8")))),
    *(c for a in (B, Z, np.array([[1, 0, 1], [0, 0, 1]])) for c in optional(
        "packbits", (a,), {}, {"bitorder": "little"}, {"axis": 0}, {"axis": -1})),
    *(c for a in (BYTES[1], BYTES) for c in optional(
        "unpackbits", (a,), {}, {"bitorder": "little"}, {"axis": 0}, {"axis": -1}, {"count": 5},
        {"count": -3}, {"count": 40}, {"axis": 0, "count": 3})),
    # sets
    *(c for n in SETS for c in calls(n, (I, Z), (V, W), (Z, I), (I, I), (B, B), (M, V), (C, V),
                                     (np.array([1, 1, 2]), N), (N, Z))),
    *(c for n in SETS for o in ({"size": 2}, {"size": 6}, {"size": 6, "fill_value": -9})
      for c in calls(n, (I, Z), (V, W), (I, I), **o)),
    *(c for o in ({}, {"size": 4}) for c in calls(
        "intersect1d", (I, Z), (V, np.array([5.0, 1, 1])), return_indices=True, **o)),
    *calls("intersect1d", (I, I[::-1]), assume_unique=True),
    *(c for n in UNIQUE for c in calls(n, (I,), (Z,), (V,), (B,), (M,), (C,), (NANS,))),
    *(c for n in UNIQUE
      for c in optional(n, (Z,), {"size": 2}, {"size": 5}, {"size": 5, "fill_value": -1})),
    *(c for a in (ROWS, ROWS.T) for x in (0, 1, -1, None) for c in calls(
        "unique", (a,), axis=x, return_index=True, return_inverse=True, return_counts=True)),
    *optional("unique", (ROWS,), {"axis": 0, "size": 4, "return_counts": True},
              {"axis": 0, "size": 4, "fill_value": -1}, {"axis": 0, "size": 1}),
    *optional("unique", (NANS,), {}, {"equal_nan": False}),
    *calls("isin", (I, np.arange(40)), (V, np.arange(40.0)), (M, V), (I, N), (2, I)),
    *optional("isin", (I, Z), {"method": "sort"}, {"invert": True}, {"method": "compare_all"}),
    # polynomials
    *calls("poly", (V,), (I,), (C,), (E,)),
    *(c for n in ("polyadd", "polysub", "polymul")
      for c in calls(n, (V, W), (W, V), (I, Z), (C, W), (V, V), (I, W))),
    *calls("polymul", (Z, Z), trim_leading_zeros=True),
    *calls("polydiv", (V, W), (W, V), (I, np.array([1, 2])), (V, V[:1]), (C, W)),
    *calls("polyder", (V,), (V, 2), (V, 0), (I,), (V, 5), (C,)),
    *calls("polyint", (V,), (V, 2), (V, 2, 3.0), (V, 2, np.array([1.0, 2.0])), (I,), (V, 0)),
    *calls("polyval", (V, W), (I, 3), (V, M), (np.arange(20.0) / 10, W), (C, W), (E, W), (I, Z)),
    *calls("polyfit", (S, S**2, 2), (V, W[:1] * V, 1), (S, np.stack([S, S], 1), 2)),
    *optional("polyfit", (S, S**2, 1), {"w": S + 1}, {"cov": True}, {"cov": "unscaled"}),
    *calls("roots", (np.array([1.0, -3.0, 2.0]),), (np.array([5.0]),), (np.array([0.0, 2, 1]),)),
    *calls("vander", (V,), (I, 3), (V, 3, True), (C, 2), (W, 0), (Z, 3)),
]  # fmt: skip
