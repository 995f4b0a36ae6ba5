"""Functions against NumPy: a row for each call, in float64 and integers."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.errors import ArgumentError
from jitml.ir.dtypes import SHORT_NAMES

RNG = np.random.default_rng(3)
M = RNG.normal(size=(3, 4))
T = RNG.normal(size=(2, 3, 4))
V = np.array([3.0, 1.0, 2.0, 1.0, 5.0])
N = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, 2.0]])
SPECIAL = np.array([-np.inf, -2.5, -1.5, -0.5, -0.0, 0.0, 0.5, 1.5, 2.5, np.inf, np.nan])
W = np.array([2, 0, 1, -3, 7], np.int64)
B = T > 0
C = M + 1j * M[::-1]
SQUARE = RNG.normal(size=(4, 4))

ROWS = [
    # creation
    ("arange", (5,)),
    ("arange", (2, 9, 3)),
    ("arange", (1.0, 2.0, 0.25)),
    ("arange", (5, 0, -2)),
    ("linspace", (0, 1, 7)),
    ("linspace", (0, 1, 7, False)),
    ("linspace", (V, V + 1, 3)),
    ("logspace", (0, 2, 5)),
    ("eye", (3, 4, 1)),
    ("tri", (3, 4, -1)),
    ("identity", (3,)),
    ("full", ((2, 3), 7.5)),
    ("zeros", ((2, 0),)),
    ("ones", (3,)),
    ("meshgrid", (V, M[0])),
    ("tril", (T, 1)),
    ("triu", (T, -1)),
    ("diag", (V, 2)),
    ("diag", (M, -1)),
    ("diagflat", (M,)),
    # shapes
    ("reshape", (T, (4, -1))),
    ("reshape", (T, (-1, 6), "F")),
    ("ravel", (T,)),
    ("transpose", (T,)),
    ("transpose", (T, (1, 2, 0))),
    ("swapaxes", (T, 0, -1)),
    ("moveaxis", (T, (0, 1), (-1, 0))),
    ("rollaxis", (T, 2)),
    ("squeeze", (T[:, :1],)),
    ("expand_dims", (T, (0, 3))),
    ("broadcast_to", (V, (2, 5))),
    ("atleast_3d", (M,)),
    ("concatenate", ([M, M], 1)),
    ("concatenate", ([M, V], None)),
    ("stack", ([M, M], -1)),
    ("vstack", ([V, V],)),
    ("hstack", ([M, M],)),
    ("dstack", ([M, M],)),
    ("column_stack", ([V, V],)),
    ("block", ([[M, M], [M, M]],)),
    ("append", (M, V)),
    ("split", (T, 2, 2)),
    ("array_split", (V, 3)),
    ("split", (V, [1, 3])),
    ("tile", (M, (2, 1, 3))),
    ("repeat", (M, 2, 1)),
    ("repeat", (M, [1, 0, 2], 0)),
    ("flip", (T, (0, 2))),
    ("rot90", (M, 3)),
    ("roll", (M, 2)),
    ("roll", (T, (1, -2), (0, 2))),
    ("diagonal", (T, 1, 1, 2)),
    ("diagonal", (M, -2)),
    ("trace", (T, 0, 1, 2)),
    ("resize", (V, (2, 4))),
    # padding
    ("pad", (M, ((1, 2), (0, 3)))),
    ("pad", (M, 2, "edge")),
    ("pad", (M, 2, "reflect")),
    ("pad", (V, 9, "reflect")),
    ("pad", (V, 7, "symmetric")),
    ("pad", (V, 12, "wrap")),
    ("pad", (V, (2, 3), "linear_ramp")),
    ("pad", (M, 1, "maximum")),
    ("pad", (M, 1, "mean")),
    # reductions
    ("sum", (T,)),
    ("sum", (T, (0, 2))),
    ("sum", (T, -1)),
    ("prod", (T, 1)),
    ("max", (T, (1, 2))),
    ("min", (T,)),
    ("mean", (T, 0)),
    ("var", (T, 1)),
    ("std", (T,)),
    ("any", (B, 1)),
    ("all", (B, (0, 1))),
    ("argmax", (T, 1)),
    ("argmin", (T,)),
    ("cumsum", (T, 1)),
    ("cumprod", (T,)),
    ("ptp", (T, 2)),
    ("count_nonzero", (B, 0)),
    ("diff", (V, 2)),
    ("average", (M, 0)),
    ("median", (T, 1)),
    ("quantile", (T, [0.1, 0.5, 0.9], 1)),
    ("percentile", (V, 30.0)),
    ("sum", (np.zeros((0, 3)), 0)),
    ("sum", (W,)),
    ("sum", (W.astype(np.int8),)),
    ("mean", (W,)),
    ("prod", (B, 0)),
    ("max", (C,)),
    ("sum", (C, 1)),
    ("nansum", (N, 1)),
    ("nanmax", (N[:, 2],)),
    ("nanmean", (N, 1)),
    ("nanstd", (N, 1)),
    ("nanmedian", (N, 1)),
    ("nanargmax", (N, 1)),
    ("nancumsum", (N,)),
    ("max", (N, 1)),
    ("argmax", (N, 1)),
    ("median", (N, 0)),
    # sorting, searching
    ("sort", (T, 1)),
    ("argsort", (V,)),
    ("sort", (N, None)),
    ("lexsort", ((W, V),)),
    ("searchsorted", (np.sort(V), V)),
    ("searchsorted", (np.sort(V), V, "right")),
    ("digitize", (V, np.array([1.0, 2.5]))),
    ("unique", (W,)),
    ("nonzero", (B,)),
    ("flatnonzero", (W,)),
    ("argwhere", (B[0],)),
    ("where", (B, T, 0.0)),
    ("isin", (V, V[:2])),
    ("bincount", (np.array([0, 3, 3, 1]),)),
    ("histogram", (V, 3)),
    ("select", ([V > 2, V > 1], [V, -V], 9.0)),
    ("clip", (V, 1.5, 3.0)),
    ("unravel_index", (np.array([5, 11]), (3, 4))),
    ("sort", (C, 1)),
    # products
    ("dot", (M, M.T)),
    ("matmul", (T, M.T)),
    ("matmul", (T, np.swapaxes(T, 1, 2))),
    ("matmul", (M[0], T[0].T)),
    ("matmul", (V[:3], T)),
    ("vdot", (C, C)),
    ("inner", (T, M)),
    ("outer", (V, W)),
    ("tensordot", (T, M, ((1, 2), (0, 1)))),
    ("tensordot", (T, np.swapaxes(T, 0, 2), 1)),
    ("kron", (M, V[:2])),
    ("cross", (T[..., :3], M[:, :3])),
    ("dot", (T, M.T)),
    ("dot", (2.0, M)),
    ("einsum", ("ij,kj->ik", M, M)),
    ("einsum", ("...ij,jk", T, M.T)),
    ("einsum", ("ii->i", SQUARE)),
    ("einsum", ("ii", SQUARE)),
    ("einsum", ("abc,cd,bd->a", T, M.T, M[:, :3])),
    ("einsum", ("ij->", M)),
    ("einsum", ("i,j->ij", V, W)),
    ("einsum", ("bij,bjk->bik", T, np.swapaxes(T, 1, 2))),
    ("einsum", ("i...,i...->...", T, T)),
    ("vecdot", (T, M)),
    # rounding, remainders, powers
    ("round", (SPECIAL,)),
    ("round", (V / 3, 2)),
    ("round", (W * 25, -1)),
    ("floor", (SPECIAL,)),
    ("rint", (SPECIAL,)),
    ("trunc", (SPECIAL,)),
    ("sign", (SPECIAL,)),
    ("signbit", (SPECIAL,)),
    ("nan_to_num", (SPECIAL,)),
    ("floor_divide", (W, -2)),
    ("remainder", (W, -2)),
    ("fmod", (W, -2)),
    ("divmod", (W, 3)),
    ("floor_divide", (SPECIAL[1:-2], 0.7)),
    ("remainder", (SPECIAL, -0.7)),
    ("floor_divide", (W, 0 * W + 2)),
    ("power", (W, 3)),
    ("power", (V, -2)),
    ("power", (W, np.abs(W))),
    ("float_power", (W + 9, -1)),
    ("modf", (SPECIAL,)),
    ("frexp", (SPECIAL,)),
    ("ldexp", (V, W)),
    ("hypot", (SPECIAL, 2.0)),
    ("logaddexp", (SPECIAL, 1.0)),
    ("logaddexp2", (V, 1.0)),
    ("heaviside", (SPECIAL, 0.25)),
    ("copysign", (V, SPECIAL[1:6])),
    ("fmax", (SPECIAL, 0.0)),
    ("fmin", (SPECIAL, 0.0)),
    ("maximum", (SPECIAL, 0.0)),
    ("nextafter", (SPECIAL, 1.0)),
    ("isclose", (SPECIAL, SPECIAL + 1e-9)),
    ("array_equal", (M, M)),
    ("sinc", (V / 7,)),
    ("angle", (C, True)),
    ("arctan2", (V, W)),
    ("left_shift", (W, 3)),
    ("right_shift", (W, 1)),
    ("bitwise_xor", (W, 5)),
    ("invert", (W,)),
    ("bitwise_count", (W,)),
]


def _list(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


@pytest.mark.parametrize(
    ("name", "arguments"), ROWS, ids=[f"{n}-{i}" for i, (n, _) in enumerate(ROWS)]
)
def test_function(name, arguments):
    with np.errstate(all="ignore"):
        expected = _list(getattr(np, name)(*arguments))
    with jitml.enable_x64():
        found = _list(getattr(jnp, name)(*arguments))
    assert len(found) == len(expected)
    for ours, numpys in zip(found, expected, strict=True):
        assert ours.shape == np.shape(numpys)
        kinds = ours.dtype.kind, np.asarray(numpys).dtype.kind
        assert kinds[0] == kinds[1] or name in ("signbit", "histogram"), kinds
        np.testing.assert_allclose(np.asarray(ours), numpys, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "mean", "var", "any", "all"])
def test_where_initial_keepdims(name):
    mask = T > -0.5
    options = {"axis": (0, -1), "keepdims": True, "where": mask}
    if name in ("max", "min"):
        options["initial"] = 0.25
    expected = getattr(np, name)(T, **options)
    found = getattr(jnp, name)(jnp.asarray(T), **options)
    assert found.shape == expected.shape
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-12)


def test_narrow_floats_are_summed_wide():
    x = jnp.full((4096,), 1.0, jnp.float16)
    assert float(x.sum()) == 4096
    assert float(jnp.full((70000,), 1.0, jnp.float16).mean()) == 1
    assert jnp.var(jnp.asarray([1000.0, 1001.0], jnp.float16)).dtype == np.float16


def test_static_sizes_under_jit():
    f = jitml.jit(lambda x: jnp.nonzero(x, size=4, fill_value=-1)[0])
    assert f(jnp.array([0, 5, 0, 7])).tolist() == [1, 3, -1, -1]
    g = jitml.jit(lambda x: jnp.unique(x, size=4))
    assert g(jnp.array([3, 1, 3, 2])).tolist() == [1, 2, 3, 1]
    with pytest.raises(jitml.errors.ConcretizationTypeError, match="size="):
        jitml.jit(jnp.nonzero)(jnp.ones(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: jnp.ones((2, 3)) + jnp.ones(4),
            r"add: shapes do not broadcast: f32\[2,3\] and f32\[4\]",
        ),
        (
            lambda: jnp.ones((8, 3)) @ jnp.ones((4, 5)),
            r"inner sizes differ: f32\[8,3\] @ f32\[4,5\]  \(3 != 4\)",
        ),
        (
            lambda: jnp.ones((8, 3)) @ jnp.ones((5, 3)),
            r"hint: the second one transposed .* f32\[3,5\]",
        ),
        (lambda: jnp.reshape(jnp.ones(6), (4, -1)), "do not fill"),
        (
            lambda: jnp.sum(jnp.ones(3), axis=1),
            "axis 1 is out of range for an array of 1 dimensions",
        ),
        (lambda: jnp.sum(jnp.ones((2, 2)), axis=(0, -2)), "given twice"),
        (lambda: jnp.max(jnp.zeros((0,))), "no elements"),
        (
            lambda: jnp.concatenate([jnp.ones((2, 3)), jnp.ones((2, 4))]),
            "shapes differ beside axis 0",
        ),
        (lambda: jnp.sum([1, 2]), "list is not an array"),
        (lambda: -jnp.array([True]), "booleans have no negative"),
        (lambda: jnp.power(jnp.array([2]), -1), "negative power -1"),
        (lambda: jnp.einsum("ij,jk", jnp.ones((2, 3)), jnp.ones((4, 5))), "axis 'j' of"),
        (lambda: jnp.split(jnp.ones(5), 2), "no 2 equal parts"),
        (lambda: jnp.arange(0, 5, 0), "the step is 0"),
        (lambda: jnp.array([[1, 2], [3]]), "same length"),
    ],
)
def test_errors_name_the_shapes_and_the_line(call, message):
    with pytest.raises(jitml.errors.JitmlError, match=message) as caught:
        call()
    assert caught.value.source.file == __file__


@pytest.mark.parametrize("order", [None, 1, 2, 3, 0, np.inf, -np.inf])
def test_vector_norms(order):
    expected = np.linalg.norm(M, order, 1)
    with jitml.enable_x64():
        np.testing.assert_allclose(jnp.linalg.norm(M, order, 1), expected, rtol=1e-12)


@pytest.mark.parametrize("order", [None, "fro", 1, -1, np.inf, -np.inf])
def test_matrix_norms(order):
    np.testing.assert_allclose(jnp.linalg.norm(M, order), np.linalg.norm(M, order), rtol=1e-12)


@pytest.mark.parametrize("dtype", SHORT_NAMES, ids=str)
def test_a_scalar_type_spells_its_dtype(dtype):
    for spelling in (dtype, dtype.type, dtype.name, np.zeros(1, dtype)):
        assert jnp.zeros(1).astype(spelling).dtype == dtype


def test_logaddexp_of_complex_numbers_is_a_principal_logarithm():
    x, y = np.array([3j, 0.5 + 3j, -1 - 2j]), np.array([-3j, -0.5 - 3.1j, -0.5 + 3j])
    np.testing.assert_allclose(
        jnp.logaddexp(x[:, None], y), np.log(np.exp(x[:, None]) + np.exp(y)), rtol=1e-12
    )


def test_twins_are_pickled_and_called_as_their_models():
    for twin, model in ((jnp.nanmax, jnp.max), (jnp.std, jnp.var), (jnp.percentile, jnp.quantile)):
        assert pickle.loads(pickle.dumps(twin)) is twin
        assert inspect.signature(twin) == inspect.signature(model)


X = np.linspace(-2.0, 2.0, 7)
BRANCHES: list[Any] = [lambda x: -x, lambda x: x * x, 7.0, lambda x: 10 * x]


@pytest.mark.parametrize("functions", [BRANCHES, BRANCHES[:3]], ids=["with the rest", "or 0"])
def test_piecewise(functions: Any) -> None:
    conditions = [X < -1, X > 0, X > 1]
    expected = np.piecewise(X, conditions, functions)
    for piecewise in (jnp.piecewise, jitml.jit(jnp.piecewise, static_argnums=2)):
        found = piecewise(jnp.asarray(X), conditions, tuple(functions))
        np.testing.assert_array_equal(found, expected)
    slopes = jitml.grad(lambda x: jnp.piecewise(x, conditions, functions).sum())(jnp.asarray(X))
    np.testing.assert_allclose(slopes[:2], [-1, -1])


def test_piecewise_over_the_whole() -> None:
    found = jnp.piecewise(X, [False, True], [lambda x, a: x, lambda x, a: a * x], 3.0)
    np.testing.assert_array_equal(found, 3 * X)
    with pytest.raises(ArgumentError, match="1 functions for 2 conditions"):
        jnp.piecewise(X, [X > 0, X < 0], [1.0])


def test_bounds_of_clip_may_need_the_width_of_the_array() -> None:
    assert jnp.clip(jnp.array([0, 2**32 - 1], "uint32"), max=2**31).tolist() == [0, 2**31]
    with pytest.raises(jitml.errors.DTypeError, match="clip: complex numbers have no order"):
        jnp.clip(1.0, 1j)
