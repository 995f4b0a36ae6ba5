"""Rows of dot_general and convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cases import Case, Input, shapes

from jitml.ir.dtypes import FLOAT32, FLOAT64, bfloat16
from jitml.ops.contraction import dot_general
from jitml.ops.convolution import conv_general_dilated
from jitml.ops.window_products import ConvDimensionNumbers, WindowProduct
from jitml.trace.core import bind1

# Shapes of both operands; contracted axes of both, batch axes of both.
_DOTS: dict[str, tuple[tuple[int, ...], tuple[int, ...], Any]] = {
    "matmul": ((2, 3), (3, 4), (((1,), (0,)), ((), ()))),
    "transposed": ((3, 2), (4, 3), (((0,), (1,)), ((), ()))),
    "vectors": ((3,), (3,), (((0,), (0,)), ((), ()))),
    "matvec": ((2, 3), (3,), (((1,), (0,)), ((), ()))),
    "outer": ((2,), (3,), (((), ()), ((), ()))),
    "scalars": ((), (), (((), ()), ((), ()))),
    "scalar times matrix": ((), (2, 3), (((), ()), ((), ()))),
    "batched": ((2, 3, 4), (2, 4, 2), (((2,), (1,)), ((0,), (0,)))),
    "batch in the middle": ((3, 2, 4), (4, 5, 2), (((2,), (0,)), ((1,), (2,)))),
    "two batches crossed": ((2, 3, 4), (3, 4, 2), (((2,), (1,)), ((0, 1), (2, 0)))),
    "only batch": ((2, 3), (3, 2), (((), ()), ((0, 1), (1, 0)))),
    "two contracted crossed": ((2, 3, 4), (5, 4, 2), (((0, 2), (2, 1)), ((), ()))),
    "free on both sides": ((2, 3, 4), (5, 3, 2), (((1,), (1,)), ((), ()))),
    "all kinds": ((2, 3, 4, 5), (4, 2, 6, 3), (((1,), (3,)), ((2, 0), (0, 1)))),
    "empty contraction": ((2, 0), (0, 3), (((1,), (0,)), ((), ()))),
    "empty rows": ((0, 2), (2, 3), (((1,), (0,)), ((), ()))),
    "size 1": ((1, 1), (1, 1), (((1,), (0,)), ((), ()))),
}


def _dot(name: str, preferred: Any = None, kinds: str = "biufc") -> Case:
    left, right, numbers = _DOTS[name]
    return Case(
        f"dot_general {name}{_to(preferred)}",
        lambda x, y: dot_general(x, y, numbers, None, preferred),
        shapes(left, right),
        kinds,
        "fc" if preferred in (None, FLOAT64) else "",
    )


def _window_product(name: str) -> Case:
    left, right, numbers = _DOTS[name]
    op = WindowProduct(numbers)
    return Case(f"window_product {name}", lambda x, y: bind1(op, x, y), shapes(left, right), "iufc")


def _to(preferred: Any) -> str:
    return f" to {preferred.name}" if preferred else ""


_NHWC = ("NHWC", "HWIO", "NHWC")
_MIXED = ConvDimensionNumbers((2, 0, 3, 1), (1, 3, 0, 2), (3, 1, 2, 0))

# Shapes of array and kernel, and the parameters.
_CONVOLUTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "NCHW": ((2, 2, 4, 5), (3, 2, 2, 3), {"padding": "VALID"}),
    "NHWC same": ((2, 4, 3, 2), (3, 3, 2, 3), {"padding": "SAME", "dimension_numbers": _NHWC}),
    "strided": ((1, 5, 4, 2), (2, 2, 2, 2), {
        "window_strides": (2, 3), "padding": ((1, 0), (0, 1)), "dimension_numbers": _NHWC,
    }),
    "dilated kernel": ((1, 1, 6, 5), (2, 1, 2, 2), {
        "padding": ((2, 1), (0, 0)), "rhs_dilation": (2, 3),
    }),
    "dilated array": ((1, 1, 3, 2), (2, 1, 2, 3), {
        "padding": ((1, 1), (2, 2)), "lhs_dilation": (2, 3), "window_strides": (1, 2),
    }),
    "mixed axes": ((2, 4, 2, 3), (2, 3, 2, 2), {
        "padding": ((0, 1), (1, 0)), "dimension_numbers": _MIXED,
    }),
    "cropped": ((1, 1, 5), (1, 1, 2), {"padding": ((-1, -2),)}),
    "cropped and dilated": ((1, 1, 4), (1, 1, 2), {"padding": ((-2, 3),), "lhs_dilation": (2,)}),
    "grouped": ((1, 4, 4), (6, 2, 2), {"padding": "VALID", "feature_group_count": 2}),
    "depthwise": ((2, 3, 4, 3), (2, 2, 1, 3), {
        "padding": "SAME_LOWER", "feature_group_count": 3, "dimension_numbers": _NHWC,
    }),
    "depthwise strided": ((2, 5, 4, 3), (3, 2, 2, 1), {
        "window_strides": (2, 1), "padding": ((1, 0), (0, 2)), "rhs_dilation": (1, 2),
        "feature_group_count": 3, "dimension_numbers": ("NHWC", "OHWI", "NCHW"),
    }),
    "batch groups": ((4, 2, 4), (2, 2, 3), {"padding": ((1, 1),), "batch_group_count": 2}),
    "three dimensions": ((1, 2, 3, 2, 3), (2, 2, 2, 1, 2), {
        "padding": ((0, 1), (0, 0), (1, 0)), "window_strides": (2, 1, 1),
    }),
    "no space": ((2, 3), (4, 3), {"padding": ()}),
    "empty batch": ((0, 2, 4), (3, 2, 2), {"padding": "VALID"}),
    "no features": ((2, 0, 4), (3, 0, 2), {"padding": "VALID"}),
    "kernel beyond the array": ((1, 1, 2), (1, 1, 4), {"padding": "VALID"}),
}  # fmt: skip


def _convolution(name: str, preferred: Any = None, kinds: str = "iufc") -> Case:
    x, w, given = _CONVOLUTIONS[name]
    parameters = {"window_strides": (1,) * (len(x) - 2), **given}
    derivatives = "fc" if preferred in (None, FLOAT64) else ""
    row = f"conv_general_dilated {name}{_to(preferred)}"
    return Case(row, _convolve(parameters, preferred), shapes(x, w), kinds, derivatives)


def _convolve(parameters: dict[str, Any], preferred: Any) -> Callable[..., Any]:
    return lambda x, w: conv_general_dilated(x, w, preferred_element_type=preferred, **parameters)


CASES = [
    *map(_dot, _DOTS),
    *[_dot("all kinds", preferred, "f") for preferred in (FLOAT64, FLOAT32, bfloat16)],
    *map(_window_product, ("vectors", "matvec", "batched", "size 1")),
    Case(
        "dot_general with itself",
        lambda x: dot_general(x, x, (((0,), (0,)), ((), ()))),
        (Input((3, 2)),),
        "iufc",
    ),
    *map(_convolution, _CONVOLUTIONS),
    *[_convolution("strided", preferred, "f") for preferred in (FLOAT64, FLOAT32, bfloat16)],
]
