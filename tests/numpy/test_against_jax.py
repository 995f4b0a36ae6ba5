"""Functions against JAX: shape, dtype and weakness of every result over kinds of arguments, and
values with special numbers, eager and jitted.

The whole grid runs with JITML_GRID=full; without it every few cases do.
"""

from __future__ import annotations

import itertools
import os
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp

jax = pytest.importorskip("jax")

IS_FULL = os.environ.get("JITML_GRID") == "full"
NARROW = ["bool", "int8", "uint8", "int32", "uint32"]
NARROW += ["float16", "bfloat16", "float32", "complex64"]
WIDE = ["int64", "uint64", "float64", "complex128"]
SHAPES = [(), (1,), (0, 3), (2, 3)]
NUMBERS = [True, 2, -1, 1.5, float("nan"), 1j]


class Arg(NamedTuple):
    """An array argument, told by its type."""

    dtype: str
    shape: tuple[int, ...] = (2, 3)
    weak: bool = False


class Case(NamedTuple):
    """One call of a function."""

    name: str
    arguments: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...] = ()

    def call(self, module: Any, arrays: list[Any]) -> Any:
        given = iter(arrays)
        arguments = [next(given) if isinstance(a, Arg) else a for a in self.arguments]
        return getattr(module, self.name)(*arguments, **dict(self.options))

    @property
    def arrays(self) -> list[Arg]:
        return [a for a in self.arguments if isinstance(a, Arg)]


UNARY = [
    "absolute", "acos", "acosh", "angle", "arccos", "arcsin", "arcsinh", "arctan", "arctanh",
    "around", "cbrt", "ceil", "conj", "cos", "cosh", "deg2rad", "exp", "exp2", "expm1", "fabs",
    "floor", "imag", "invert", "iscomplex", "isfinite", "isinf", "isnan", "isneginf",
    "isposinf", "isreal", "log", "log1p", "log2", "log10", "logical_not", "nan_to_num",
    "negative", "positive", "rad2deg", "real", "reciprocal", "rint", "round", "sign", "signbit",
    "sin", "sinc", "sinh", "sqrt", "square", "tan", "tanh", "trunc", "bitwise_count", "frexp",
    "modf", "spacing",
]  # fmt: skip
BINARY = [
    "add", "arctan2", "bitwise_and", "bitwise_or", "bitwise_xor", "copysign", "divide",
    "divmod", "equal", "float_power", "floor_divide", "fmax", "fmin", "fmod", "greater",
    "greater_equal", "heaviside", "hypot", "ldexp", "left_shift", "less", "less_equal",
    "logaddexp", "logaddexp2", "logical_and", "logical_or", "logical_xor", "maximum", "minimum",
    "multiply", "nextafter", "not_equal", "power", "remainder", "right_shift", "subtract",
    "true_divide", "isclose", "allclose", "array_equal", "dot", "inner", "outer", "matmul",
    "vdot", "append", "searchsorted", "kron", "tensordot", "clip", "isin",
]  # fmt: skip
REDUCTIONS = [
    "all", "any", "argmax", "argmin", "count_nonzero", "max", "mean", "median", "min", "prod",
    "ptp", "std", "sum", "var", "nanargmax", "nanargmin", "nanmax", "nanmean", "nanmedian",
    "nanmin", "nanprod", "nanstd", "nansum", "nanvar", "average",
]  # fmt: skip
RUNNING = [
    "cumsum", "cumprod", "nancumsum", "nancumprod", "argsort", "sort",
]  # fmt: skip
# Calls with one array and fixed arguments: what comes after the array, and options.
OTHERS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("astype", ("float16",), {}), ("astype", ("int32",), {}), ("astype", (float,), {}),
    ("asarray", (), {}), ("array", (), {}), ("copy", (), {}), ("sum", (), {"dtype": "float32"}),
    ("sum", (), {"dtype": "int8"}), ("mean", (), {"dtype": "float16"}),
    ("cumsum", (0, "int8"), {}), ("prod", (), {"promote_integers": False}),
    ("sum", (), {"initial": 2}), ("max", (), {"initial": 2}), ("max", (), {"initial": 1.5}),
    ("sum", (), {"initial": 1.5}), ("var", (), {"ddof": 1}), ("var", (), {"dtype": "float32"}),
    ("diff", (), {}), ("diff", (2, 0), {}), ("diff", (), {"prepend": 1}), ("round", (1,), {}),
    ("round", (-1,), {}), ("nan_to_num", (), {"nan": 2}), ("quantile", (0.5,), {}),
    ("percentile", (30,), {"axis": 0}), ("nanquantile", (0.5,), {}), ("ravel", (), {}),
    ("reshape", ((-1,),), {}), ("transpose", (), {}), ("squeeze", (), {}),
    ("expand_dims", (0,), {}), ("broadcast_to", ((2, 2, 3),), {}), ("atleast_1d", (), {}),
    ("atleast_2d", (), {}), ("atleast_3d", (), {}), ("flip", (), {}), ("roll", (1,), {}),
    ("tile", (2,), {}), ("repeat", (2,), {}), ("diag", (), {}), ("diagonal", (), {}),
    ("trace", (), {}), ("tril", (), {}), ("triu", (), {}), ("pad", (1,), {}),
    ("pad", (1,), {"constant_values": 2}), ("pad", (1, "mean"), {}), ("pad", (1, "edge"), {}),
    ("pad", (1, "linear_ramp"), {}), ("full_like", (2,), {}), ("full_like", (1.5,), {}),
    ("zeros_like", (), {}), ("ones_like", (), {}), ("zeros_like", (), {"dtype": "int8"}),
    ("clip", (1, None), {}), ("clip", (None, 1.5), {}), ("clip", (0, 1), {}), ("clip", (), {}),
    ("angle", (True,), {}), ("take", (1,), {}), ("take", (1, 0), {}), ("linspace", (5, 4), {}),
    ("logspace", (2, 3), {}), ("geomspace", (5, 4), {}), ("swapaxes", (0, -1), {}),
    ("moveaxis", (0, -1), {}), ("rot90", (), {}), ("cumulative_sum", (), {}),
    ("cumulative_sum", (), {"axis": 0, "include_initial": True}), ("argpartition", (1,), {}),
    ("partition", (1,), {}), ("sort", (), {"descending": True}), ("sort_complex", (), {}),
    ("bincount", (), {"length": 4}), ("digitize", (np.array([0.5, 1.5], np.float32),), {}),
    ("result_type", (), {}), ("isscalar", (), {}), ("iscomplexobj", (), {}), ("size", (), {}),
    ("median", (), {"axis": 0, "keepdims": True}), ("std", (), {"axis": 0, "ddof": 1}),
    ("power", (2,), {}), ("power", (0,), {}), ("power", (0.5,), {}), ("float_power", (2,), {}),
    ("ptp", (), {"axis": 0}), ("average", (), {"axis": 0}),
    ("matrix_transpose", (), {}), ("resize", ((4,),), {}),
("histogram", (3,), {}),
]  # fmt: skip
CREATION = [
    Case("arange", (5,)), Case("arange", (5.0,)), Case("arange", (1, 5.0)),
    Case("arange", (0, 5, 2), (("dtype", "float16"),)), Case("linspace", (0, 1, 5)),
    Case("linspace", (0, 1j, 5)), Case("linspace", (0, 9, 5), (("dtype", int),)),
    Case("logspace", (0, 1, 5)), Case("geomspace", (1, 8, 4)), Case("full", ((2,), 1)),
    Case("full", ((2,), 1.5)), Case("full", ((2,), True)), Case("full", ((2,), 1j)),
    Case("zeros", (2,)), Case("ones", ((2, 3), int)), Case("eye", (3,)), Case("identity", (2,)),
    Case("tri", (3,)), Case("array", ([1, 2],)), Case("array", ([1, 2.5],)),
    Case("array", ([True, False],)), Case("array", ([1j],)), Case("array", ([],)),
    Case("asarray", (1,)), Case("asarray", (1.5,)), Case("asarray", (True,)),
    Case("asarray", (1j,)), Case("array", (1,)), Case("asarray", ([1.0, True],)),
]  # fmt: skip

# Functions that take what JAX refuses: bits of NumPy, and names that JAX has dropped.
MORE_THAN_JAX = {
    "argpartition", "around", "cumprod", "cumsum", "dot", "histogram", "ldexp",
    "nancumprod", "nancumsum", "partition", "round", "var",
}  # fmt: skip
# Functions of which JAX is of two minds about what stays weak.
OF_OTHER_WEAKNESS = {
    "angle", "argpartition", "heaviside", "hypot", "logaddexp", "logaddexp2", "pad", "power",
    "round",
}  # fmt: skip


def _is_refused(case: Case) -> bool:
    """Whether we raise where JAX does not: the order or angle of complex numbers, the mean of
    nothing as padding, a negative number that an unsigned dtype would wrap.
    """
    given = case.arguments[:2] if case.name in BINARY else case.arguments[:1]
    arrays = [a for a in given if isinstance(a, Arg)]
    if case.name in ("arctan2", "digitize", "histogram", "logaddexp2"):
        return any(a.dtype.startswith("complex") for a in arrays) or 1j in given
    if case.name == "pad":
        return any(0 in a.shape for a in arrays)
    return case.name in BINARY and -1 in given and any(a.dtype.startswith("uint") for a in arrays)


def _is_decided(case: Case, ours: Any, theirs: Any) -> bool:
    """Whether a difference between descriptions of results is meant: only so much of them may
    differ as is said here.
    """
    if ours is None:
        return _is_refused(case)
    if theirs is None:
        return case.name in MORE_THAN_JAX
    shapes, types = ([[r[:k] for r in results] for results in (ours, theirs)] for k in (1, 2))
    if case.name == "angle" and all(a.shape == () for a in case.arrays):
        return bool(shapes[0] == shapes[1])  # JAX gives a scalar another dtype than a vector
    return case.name in OF_OTHER_WEAKNESS and bool(types[0] == types[1])


def _unary() -> list[Case]:
    return [
        Case(name, (argument,))
        for name in UNARY
        for argument in [
            *(Arg(d, s) for d in NARROW + WIDE for s in SHAPES),
            *(Arg(d, (2, 3), True) for d in ("int32", "float32", "complex64")),
            *NUMBERS,
        ]
    ]


def _binary() -> list[Case]:
    cases = []
    for name in BINARY:
        pairs: list[tuple[Any, Any]] = [
            (Arg(a), Arg(b)) for a, b in itertools.product(NARROW + WIDE, repeat=2)
        ]
        for d, n in itertools.product(NARROW + WIDE, NUMBERS):
            pairs += [(Arg(d), n), (n, Arg(d))]
        for d in NARROW:
            weak = [Arg(w, (), True) for w in ("int32", "float32", "complex64")]
            pairs += [p for w in weak for p in ((Arg(d), w), (w, Arg(d)))]
        pairs += itertools.product(NUMBERS, repeat=2)
        for a, b in itertools.product([*SHAPES, (3,), (2, 1), (3, 2)], repeat=2):
            pairs.append((Arg("float32", a), Arg("float32", b)))
            pairs.append((Arg("float32", a), Arg("int8", b)))
        cases += [Case(name, pair) for pair in pairs]
    return cases


def _reductions() -> list[Case]:
    cases = []
    for name, dtype, shape in itertools.product(REDUCTIONS, NARROW + WIDE, SHAPES):
        for axis, keepdims in itertools.product((None, 0, -1, (0, 1), (), 2), (False, True)):
            if dtype != "float32" and (axis == 2 or shape != (2, 3)):
                continue
            cases.append(Case(name, (Arg(dtype, shape), axis), (("keepdims", keepdims),)))
    cases += [Case(name, (n,)) for name in REDUCTIONS for n in NUMBERS]
    weak = ("int32", "float32", "complex64")
    cases += [Case(name, (Arg(d, (2, 3), True),)) for name in REDUCTIONS for d in weak]
    for name, dtype, shape in itertools.product(RUNNING, NARROW + WIDE, SHAPES):
        cases += [Case(name, (Arg(dtype, shape), axis)) for axis in (None, 0, -1)]
    return cases


def _others() -> list[Case]:
    arguments = [
        *(Arg(d) for d in NARROW + WIDE),
        *(Arg("float32", s) for s in [*SHAPES, (3,)]),
        *(Arg(d, (3,), True) for d in ("int32", "float32", "complex64")),
        *(Arg(d, (), True) for d in ("int32", "float32", "complex64")),
        *NUMBERS,
    ]
    cases = [
        Case(name, (a, *rest), tuple(options.items()))
        for (name, rest, options), a in itertools.product(OTHERS, arguments)
    ]
    three = [Arg("bool"), Arg("int8"), Arg("float32", (3,)), Arg("float32", (), True), 2, 1.5, 1j]
    cases += [Case("where", (Arg("bool"), *p)) for p in itertools.product(three, repeat=2)]
    cases += [
        Case("clip", (Arg(d), *p)) for d in NARROW for p in itertools.product(three, repeat=2)
    ]
    return cases + CREATION


# ---- types ----------------------------------------------------------------------------------


def _described(tree: Any) -> list[Any]:
    """Shape, dtype and weakness of every result; a boolean cannot be weak."""
    found = []
    for x in jax.tree_util.tree_leaves(tree):
        if hasattr(x, "shape") and hasattr(x, "dtype"):
            weak = bool(getattr(x, "weak_type", False)) and x.dtype != np.bool_
            found.append((tuple(x.shape), str(np.dtype(x.dtype)), weak))
        else:
            found.append(repr(x))
    return found


def _outcome(module: Any, api: Any, case: Case) -> Any:
    """What the types of the results are, or None where the call raises."""
    types = [api.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak) for a in case.arrays]
    try:
        return _described(api.eval_shape(lambda *xs: case.call(module, list(xs)), *types))
    except (TypeError, ValueError, NotImplementedError, OverflowError, IndexError):
        return None


def _type_difference(case: Case, is_wide: bool) -> str | None:
    if is_wide:
        wide = {"int32": "int64", "float32": "float64", "complex64": "complex128"}
        widened = [
            a._replace(dtype=wide[a.dtype]) if isinstance(a, Arg) and a.weak else a
            for a in case.arguments
        ]
        case = case._replace(arguments=tuple(widened))
    elif _needs_wide(case):
        return None
    with jax.enable_x64(is_wide), jitml.enable_x64(is_wide):
        theirs = _outcome(jax.numpy, jax, case)
        ours = _outcome(jnp, jitml, case)
    if ours == theirs or _is_decided(case, ours, theirs):
        return None
    return f"{case} {'wide' if is_wide else ''}: {ours}, in JAX {theirs}"


def _needs_wide(case: Case) -> bool:
    """Whether 64-bit types are met: uint32 has only int64 in common with signed integers."""
    met = {a.dtype for a in case.arrays if not a.weak}
    return bool(met & set(WIDE)) or ("uint32" in met and bool(met & {"int8", "int32"}))


@pytest.mark.parametrize(
    ("family", "step"), [(_unary, 17), (_binary, 71), (_reductions, 47), (_others, 19)]
)
@pytest.mark.filterwarnings("ignore")
def test_types(family, step):
    cases = family()[:: 1 if IS_FULL else step]
    found = [_type_difference(c, is_wide) for c in cases for is_wide in (False, True)]
    different = [line for line in found if line]
    assert not different, "\n".join(different)


# ---- values ---------------------------------------------------------------------------------

FLOATS = [0.0, -0.0, 1.0, -1.5, 2.5, np.nan, np.inf, -np.inf, 1e-3, 100.0, 0.5, -3.0]
COMPLEX = [1, -1.5, 2.5j, 1e-3, 3j, 1 + 1j, 2 - 1j, -1 - 2j, 0.5 + 0.1j, -0.5 + 3j, 7.25, 3]
TOLERANCES = {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 1e-5, "complex64": 3e-5}
TOLERANCES |= {"float64": 1e-12, "complex128": 1e-12}
# The kinds of dtypes for which JAX's values are not NumPy's, and ours are: quotients by 0, powers
# that wrap, the fraction of infinity, the gap below a negative number, imaginary numbers as truths,
# bfloat16 in two roundings.
BY_NUMPY = {
    "all": "c", "divmod": "biufV", "exp2": "V", "floor_divide": "biufV", "fmod": "b",
    "modf": "fV", "power": "iu", "spacing": "f",
}  # fmt: skip


def _numpy_spacing(x: Any) -> Any:
    """The distance to the next number away from 0, which NumPy gives of all floats but float16."""
    return np.nextafter(x, np.copysign(np.asarray(np.inf, x.dtype), x)) - x


def _numpy_power(x: Any, y: Any) -> Any:
    """NumPy's, and the whole part of the inverse where it refuses a negative power."""
    if x.dtype.kind == "u":
        return np.power(x, y)
    inverse = np.where(np.abs(x) == 1, np.where(y % 2 == 0, 1, x), 0)
    return np.where(y < 0, inverse, np.power(x, np.maximum(y, 0)))


def _numpy_floor_divide(x: Any, y: Any) -> Any:
    """NumPy's, and of infinity what the array API standard says: infinity by finite numbers."""
    found = np.floor_divide(x, y)
    return found if x.dtype.kind in "biu" else np.where(np.isinf(x), np.true_divide(x, y), found)


def _numpy_divmod(x: Any, y: Any) -> Any:
    return _numpy_floor_divide(x, y), np.remainder(x, y)


OF_NUMPY = {
    "divmod": _numpy_divmod, "floor_divide": _numpy_floor_divide, "power": _numpy_power,
    "spacing": _numpy_spacing,
}  # fmt: skip


def _values(dtype: str) -> np.ndarray[Any, Any]:
    kind = np.dtype(jnp.bfloat16.dtype if dtype == "bfloat16" else dtype)
    if dtype == "bool":
        return np.array([False, True, True, False] * 3)
    if kind.kind == "c":
        return np.array(COMPLEX, kind)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return np.array([0, 1, 2, 3, 5, 7, limits.max, limits.min, 10, 9, 4, 6], kind)
    return np.array(FLOATS).astype(kind)


def _leaves(tree: Any) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(x) for x in jax.tree_util.tree_leaves(tree)]


def _by_numpy(case: Case, arrays: list[Any], dtypes: list[Any]) -> list[Any]:
    """NumPy's values of a call, in the dtypes that our results have."""
    if dtypes[0].kind not in "biu":
        arrays = [x.astype(dtypes[0]) for x in arrays]
    with np.errstate(all="ignore"):
        function = OF_NUMPY.get(case.name)
        found = function(*arrays) if function else case.call(np, arrays)
        results = found if isinstance(found, tuple) else (found,)
        return [np.asarray(x).astype(d) for x, d in zip(results, dtypes, strict=True)]


def _compare_values(case: Case, arrays: list[np.ndarray[Any, Any]]) -> None:
    with jax.enable_x64(True), jitml.enable_x64(True):
        try:
            theirs = _leaves(case.call(jax.numpy, [jax.numpy.asarray(x) for x in arrays]))
        except (TypeError, ValueError, NotImplementedError):
            return
        own = [jnp.asarray(x) for x in arrays]
        eager = _leaves(case.call(jnp, own))
        jitted = _leaves(jitml.jit(lambda *xs: case.call(jnp, list(xs)))(*own))
    types = [(x.dtype, x.shape) for x in eager]
    assert types == [(x.dtype, x.shape) for x in theirs], case
    if arrays[0].dtype.kind in BY_NUMPY.get(case.name, ""):
        theirs = _by_numpy(case, arrays, [x.dtype for x in eager])
    for one, two, their in zip(eager, jitted, theirs, strict=True):
        assert one.tobytes() == two.tobytes(), case
        wide = np.complex128 if one.dtype.kind == "c" else np.float64
        if one.dtype.kind in "biu":
            np.testing.assert_array_equal(one, their, str(case))
        else:
            tolerance = TOLERANCES[one.dtype.name]
            np.testing.assert_allclose(
                one.astype(wide), their.astype(wide), tolerance, tolerance / 10, err_msg=str(case)
            )


@pytest.mark.filterwarnings("ignore")
def test_values():
    cases: list[tuple[Case, list[np.ndarray[Any, Any]]]] = []
    for name, dtype in itertools.product(UNARY, NARROW + WIDE):
        cases.append((Case(name, (Arg(dtype),)), [_values(dtype)]))
    for name, dtype in itertools.product(BINARY[:38], NARROW + WIDE):
        x = _values(dtype)
        cases.append((Case(name, (Arg(dtype), Arg(dtype))), [x[:, None], x]))
    for name, dtype in itertools.product(REDUCTIONS + RUNNING, NARROW + WIDE):
        cases.append((Case(name, (Arg(dtype), -1)), [np.stack([_values(dtype)] * 2)[:, :5]]))
    for case, arrays in cases[:: 1 if IS_FULL else 61]:
        if not _is_refused(case):
            _compare_values(case, arrays)
