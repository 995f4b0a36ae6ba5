"""Rows of the elementwise ops."""

from __future__ import annotations

from cases import Case, Input, shapes

from jitml.ir.dtypes import FROM_SHORT_NAME
from jitml.ir.op import Op
from jitml.ops import elementwise as e
from jitml.ops.kinds import Row

_SHAPE = (2, 3)

# Where each unary op is looked at: (low, high).
_UNARY: dict[str, tuple[float, float]] = {
    "neg": (-9, 9), "real": (-2, 2), "imag": (-2, 2), "conj": (-2, 2),
    "exp": (-3, 3), "exp2": (-3, 3), "expm1": (-2, 2), "log": (0.2, 4), "log1p": (-0.7, 3),
    "sqrt": (0.2, 4), "rsqrt": (0.2, 4), "cbrt": (0.2, 4), "logistic": (-4, 4),
    "sin": (-4, 4), "cos": (-4, 4), "tan": (-1.2, 1.2), "asin": (-0.8, 0.8), "acos": (-0.8, 0.8),
    "atan": (-0.8, 0.8), "sinh": (-2, 2), "cosh": (-2, 2), "tanh": (-1.2, 1.2),
    "asinh": (-0.8, 0.8), "acosh": (1.2, 4), "atanh": (-0.8, 0.8),
    "erf": (-2, 2), "erfc": (-2, 2), "erf_inv": (-0.8, 0.8),
    "bessel_i0e": (-4, 4), "bessel_i1e": (-4, 4),
    "lgamma": (0.5, 5), "abs": (0.2, 9), "sign": (0.2, 9),
    "floor": (0.1, 0.9), "ceil": (0.1, 0.9), "trunc": (0.1, 0.9), "round_even": (0.6, 0.9),
    "round_away": (0.6, 0.9), "is_finite": (-9, 9), "not": (-9, 9), "population_count": (-9, 9),
    "count_leading_zeros": (-9, 9),
}  # fmt: skip

_BINARY: dict[str, tuple[float, float]] = {
    "add": (-9, 9), "sub": (-9, 9), "mul": (-9, 9), "div": (1, 9), "zero_times": (0.1, 2),
    "complex": (-2, 2), "pow": (0.5, 2), "atan2": (0.5, 2), "max": (-9, 9), "min": (-9, 9),
    "eq": (-2, 2), "ne": (-2, 2), "lt": (-2, 2), "le": (-2, 2), "gt": (-2, 2), "ge": (-2, 2),
    "and": (-9, 9), "or": (-9, 9), "xor": (-9, 9), "shift_left": (0, 9),
    "shift_right_logical": (0, 9), "shift_right_arithmetic": (0, 9),
}  # fmt: skip


# Special functions: where each of their inputs is looked at.
_SPECIAL: dict[str, tuple[tuple[float, float], ...]] = {
    "erfcx": ((-1, 3),), "dawsn": ((-3, 3),), "fresnel_sine": ((-3, 3),),
    "fresnel_cosine": ((-3, 3),), "ndtr": ((-3, 3),), "log_ndtr": ((-9, 3),),
    "ndtri": ((0.1, 0.9),), "logit": ((0.1, 0.9),), "owens_t": ((-2, 2), (0.2, 2)),
    "exp1": ((0.2, 4),), "expi": ((0.5, 4),), "sine_integral": ((-9, 9),),
    "cosine_integral": ((1, 3),), "spence": ((0.2, 4),), "xlogy": ((0.2, 2), (0.2, 2)),
    "xlog1py": ((0.2, 2), (0.2, 2)), "rel_entr": ((0.2, 2), (0.2, 2)),
    "kl_div": ((0.2, 2), (2.2, 4)), "gamma": ((0.5, 4),), "poch": ((0.5, 4), (0.5, 4)),
    "beta": ((0.5, 4), (0.5, 4)), "betaln": ((0.5, 3), (3.5, 9)), "zeta": ((1.5, 4), (0.5, 4)),
    "betainc": ((0.5, 4), (0.5, 4), (0.2, 0.8)), "igamma": ((0.5, 4), (0.5, 4)),
    "igammac": ((0.5, 4), (0.5, 4)), "hyp1f1": ((0.5, 3), (0.5, 3), (-2, 2)),
    "hyp2f1": ((0.5, 3), (0.5, 3), (0.5, 3), (-0.8, 0.7)),
}  # fmt: skip
# Of which second derivatives are compared too.
_TWICE = {"erfcx", "ndtr", "log_ndtr", "gamma", "exp1", "spence", "logit"}
# Derivatives that have none of their own.
_SLOPES: dict[str, tuple[tuple[float, float], ...]] = {
    "zeta_grad_x": _SPECIAL["zeta"], "betainc_grad_a": _SPECIAL["betainc"],
    "betainc_grad_b": _SPECIAL["betainc"], "igamma_grad_a": _SPECIAL["igamma"],
    "random_gamma_grad": _SPECIAL["igamma"], "hyp1f1_grad_a": _SPECIAL["hyp1f1"],
    "hyp1f1_grad_b": _SPECIAL["hyp1f1"], "hyp2f1_grad_a": _SPECIAL["hyp2f1"],
    "hyp2f1_grad_c": _SPECIAL["hyp2f1"],
}  # fmt: skip


def row(name: str) -> Row:
    found = Op.registry[name]
    assert isinstance(found, Row)
    return found


def _unary(name: str, low: float, high: float) -> Case:
    op = row(name)
    return Case(name, op, shapes(_SHAPE, low=low, high=high), op.kinds, tolerance=1e-5)


def _special(name: str, domain: tuple[tuple[float, float], ...]) -> Case:
    """All are computed in float64: two dtypes stand for all. Slopes are judged by differences."""
    op, is_slope = row(name), name in _SLOPES
    return Case(
        name, op, tuple(Input(_SHAPE, *ends) for ends in domain), "f",
        derivative_kinds="" if is_slope else "f", tolerance=1e-5, second=name in _TWICE,
        computes=False, rounding=1 << 17 if is_slope else 32,
    )  # fmt: skip


def _binary(name: str, low: float, high: float) -> list[Case]:
    op = row(name)
    each: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = [
        (name, _SHAPE, _SHAPE),
        (f"{name}, scalar left", (), _SHAPE),
        (f"{name}, scalar right", _SHAPE, ()),
        (f"{name}, 0-d", (), ()),
        (f"{name}, empty", (0, 3), ()),
    ]
    chosen = each if name in ("add", "div", "max", "lt") else each[:1]
    return [
        Case(label, op, shapes(a, b, low=low, high=high), op.kinds, tolerance=1e-5)
        for label, a, b in chosen
    ]


def _convert(source: str, target: str) -> Case:
    dtype = FROM_SHORT_NAME[target]
    inputs = (Input(_SHAPE, -3, 3, dtype=source),)
    narrow = {source, target} & {"f16", "bf16", "f32", "c64"}
    kinds = "" if narrow else "fc"
    return Case(
        f"convert {source} to {target}",
        lambda x: e.convert(x, dtype),
        inputs,
        derivative_kinds=kinds,
    )


def _bitcast(source: str, target: str) -> Case:
    dtype = FROM_SHORT_NAME[target]
    inputs = (Input(_SHAPE, -3, 3, dtype=source),)
    return Case(
        f"bitcast {source} to {target}",
        lambda x: e.bitcast(x, dtype),
        inputs,
        derivative_kinds="",
    )


def _power(exponent: int) -> Case:
    inputs = shapes(_SHAPE, low=0.5, high=2)
    kinds = "fc" if exponent < 0 else "iufc"
    return Case(f"integer_pow {exponent}", lambda x: e.integer_pow(x, exponent), inputs, kinds)


def _select(*each: tuple[int, ...]) -> Case:
    condition, x, y = each
    inputs = (Input(condition, dtype="bool"), *shapes(x, y))
    return Case(f"select {condition} {x} {y}", e.select, inputs)


def _clamp(label: str, bounds: tuple[int, ...]) -> Case:
    inputs = (Input(bounds, 1, 3), Input(_SHAPE, 0, 9), Input(bounds, 5, 7))
    return Case(label, e.clamp, inputs, "biuf")


# Of each dtype to and from f32 and c128, and among the narrow ones.
_CONVERSIONS = [
    (a, b)
    for a in FROM_SHORT_NAME
    for b in FROM_SHORT_NAME
    if a != b and ({a, b} & {"f32", "c128"} or {a, b} <= {"bool", "i8", "u8", "f16", "bf16"})
]

_BITCASTS = [
    ("f32", "i32"), ("u32", "f32"), ("f64", "u64"), ("i64", "f64"), ("u8", "i8"),
    ("f16", "u16"), ("i16", "bf16"), ("f16", "bf16"), ("f32", "f32"),
]  # fmt: skip

CASES: list[Case] = [
    *(_unary(name, *domain) for name, domain in _UNARY.items()),
    *(case for name, domain in _BINARY.items() for case in _binary(name, *domain)),
    *(_special(name, domain) for name, domain in {**_SPECIAL, **_SLOPES}.items()),
    Case("digamma", e.digamma, shapes(_SHAPE, low=0.5, high=5), "f", tolerance=1e-5),
    Case("expn", lambda x: e.expn(e.full_like(x, 2), x), shapes(_SHAPE, low=0.5, high=4), "f"),
    Case(
        "polygamma", lambda x: e.polygamma(e.full_like(x, 2), x), shapes(_SHAPE, low=1, high=4), "f"
    ),
    _clamp("clamp", _SHAPE),
    _clamp("clamp, scalar bounds", ()),
    Case("wofz", e.wofz, shapes(_SHAPE, low=0.1, high=2), "c"),
    Case("nextafter", e.nextafter, shapes(_SHAPE, _SHAPE), "f", derivative_kinds=""),
    Case("rem", e.rem, (Input(_SHAPE, 5.1, 5.9), Input(_SHAPE, 2, 2.5)), "iuf"),
    Case("stop_gradient", lambda x: e.mul(x, e.stop_gradient(x)), shapes(_SHAPE), "iufc", ""),
    *(_convert(a, b) for a, b in _CONVERSIONS),
    *(_bitcast(a, b) for a, b in _BITCASTS),
    *map(_power, (-2, -1, 0, 2, 3, 5)),
    _select(_SHAPE, _SHAPE, _SHAPE),
    _select((), _SHAPE, _SHAPE),
    _select(_SHAPE, (), _SHAPE),
    _select(_SHAPE, (), ()),
    _select((), (), ()),
]
