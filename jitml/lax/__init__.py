"""The layer below `jitml.numpy`: ops under JAX's names, without promotion or broadcasting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitml.lax.collectives import (
    all_gather,
    all_to_all,
    axis_index,
    axis_size,
    pbroadcast,
    pcast,
    pmax,
    pmean,
    pmin,
    ppermute,
    pshuffle,
    psum,
    psum_scatter,
    pswapaxes,
)
from jitml.lax.contraction import (
    Precision,
    batch_matmul,
    conv,
    conv_dimension_numbers,
    conv_general_dilated,
    conv_transpose,
    conv_with_general_padding,
    dot,
    dot_general,
    padtype_to_pads,
)
from jitml.lax.control_flow import cond, fori_loop, scan, switch, while_loop
from jitml.lax.conversion import (
    bitcast_convert_type,
    convert_element_type,
)
from jitml.lax.elementwise import (
    RoundingMethod,
    abs,
    acos,
    acosh,
    add,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    bessel_i0e,
    bessel_i1e,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    cbrt,
    ceil,
    clamp,
    clz,
    complex,
    conj,
    cos,
    cosh,
    digamma,
    div,
    eq,
    erf,
    erf_inv,
    erfc,
    exp,
    exp2,
    expm1,
    floor,
    full,
    full_like,
    ge,
    gt,
    imag,
    integer_pow,
    is_finite,
    le,
    lgamma,
    log,
    log1p,
    logistic,
    lt,
    max,
    min,
    mul,
    mulhi,
    ne,
    neg,
    nextafter,
    population_count,
    pow,
    real,
    reciprocal,
    reduce_precision,
    rem,
    round,
    rsqrt,
    select,
    select_n,
    shift_left,
    shift_right_arithmetic,
    shift_right_logical,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    stop_gradient,
    sub,
    tan,
    tanh,
)
from jitml.lax.indexing import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
    gather,
    index_take,
    scatter,
    scatter_add,
    scatter_apply,
    scatter_max,
    scatter_min,
    scatter_mul,
    scatter_sub,
)
from jitml.lax.mapping import associative_scan, map
from jitml.lax.movement import (
    broadcast,
    broadcast_in_dim,
    broadcast_shapes,
    broadcasted_iota,
    collapse,
    concatenate,
    dynamic_index_in_dim,
    dynamic_slice,
    dynamic_slice_in_dim,
    dynamic_update_index_in_dim,
    dynamic_update_slice,
    dynamic_update_slice_in_dim,
    expand_dims,
    index_in_dim,
    iota,
    pad,
    reshape,
    rev,
    slice,
    slice_in_dim,
    split,
    squeeze,
    stack,
    tile,
    transpose,
    unstack,
)
from jitml.lax.reduction import (
    approx_max_k,
    approx_min_k,
    argmax,
    argmin,
    cumlogsumexp,
    cummax,
    cummin,
    cumprod,
    cumsum,
    reduce,
    reduce_and,
    reduce_max,
    reduce_min,
    reduce_or,
    reduce_prod,
    reduce_sum,
    reduce_window,
    reduce_xor,
    sort,
    sort_key_val,
    top_k,
)
from jitml.lax.special import (
    betainc,
    igamma,
    igamma_grad_a,
    igammac,
    polygamma,
    random_gamma_grad,
    zeta,
)
from jitml.ops.window_products import ConvDimensionNumbers

if TYPE_CHECKING:
    from jitml.implicit import custom_linear_solve as custom_linear_solve
    from jitml.implicit import custom_root as custom_root
    from jitml.lax import linalg as linalg
    from jitml.lax.fourier import FftType as FftType
    from jitml.lax.fourier import fft as fft
    from jitml.lax.generators import rng_bit_generator as rng_bit_generator
    from jitml.lax.generators import rng_uniform as rng_uniform
    from jitml.lax.options import AccuracyMode as AccuracyMode
    from jitml.lax.options import (
        ConvGeneralDilatedDimensionNumbers as ConvGeneralDilatedDimensionNumbers,
    )
    from jitml.lax.options import DotAlgorithm as DotAlgorithm
    from jitml.lax.options import DotAlgorithmPreset as DotAlgorithmPreset
    from jitml.lax.options import DotDimensionNumbers as DotDimensionNumbers
    from jitml.lax.options import PrecisionLike as PrecisionLike
    from jitml.lax.options import RaggedDotDimensionNumbers as RaggedDotDimensionNumbers
    from jitml.lax.options import RandomAlgorithm as RandomAlgorithm
    from jitml.lax.options import Tolerance as Tolerance
    from jitml.lax.patches import conv_general_dilated_local as conv_general_dilated_local
    from jitml.lax.patches import conv_general_dilated_patches as conv_general_dilated_patches
    from jitml.lax.ragged import ragged_all_to_all as ragged_all_to_all
    from jitml.lax.ragged import ragged_dot as ragged_dot
    from jitml.lax.ragged import ragged_dot_general as ragged_dot_general
    from jitml.lax.scaled import scaled_dot as scaled_dot
    from jitml.lax.shapes import broadcast_like as broadcast_like
    from jitml.lax.shapes import broadcast_to_rank as broadcast_to_rank
    from jitml.lax.shapes import conv_general_permutations as conv_general_permutations
    from jitml.lax.shapes import conv_general_shape_tuple as conv_general_shape_tuple
    from jitml.lax.shapes import conv_shape_tuple as conv_shape_tuple
    from jitml.lax.shapes import conv_transpose_shape_tuple as conv_transpose_shape_tuple
    from jitml.lax.shapes import dtype as dtype
    from jitml.lax.shapes import empty as empty
    from jitml.lax.shapes import reduce_window_shape_tuple as reduce_window_shape_tuple
    from jitml.lax.shapes import shape_as_value as shape_as_value
    from jitml.lax.staging import after_all as after_all
    from jitml.lax.staging import composite as composite
    from jitml.lax.staging import create_token as create_token
    from jitml.lax.staging import dce_sink as dce_sink
    from jitml.lax.staging import optimization_barrier as optimization_barrier
    from jitml.lax.staging import platform_dependent as platform_dependent
    from jitml.lax.staging import stage as stage
    from jitml.lax.staging import with_sharding_constraint as with_sharding_constraint

_ELSEWHERE = {
    "jitml.implicit": "custom_linear_solve custom_root",
    "jitml.lax.fourier": "FftType fft",
    "jitml.lax.generators": "rng_bit_generator rng_uniform",
    "jitml.lax.options": (
        "AccuracyMode ConvGeneralDilatedDimensionNumbers DotAlgorithm DotAlgorithmPreset "
        "DotDimensionNumbers PrecisionLike RaggedDotDimensionNumbers RandomAlgorithm "
        "Tolerance"
    ),
    "jitml.lax.patches": "conv_general_dilated_local conv_general_dilated_patches",
    "jitml.lax.ragged": "ragged_all_to_all ragged_dot ragged_dot_general",
    "jitml.lax.scaled": "scaled_dot",
    "jitml.lax.shapes": (
        "broadcast_like broadcast_to_rank conv_general_permutations "
        "conv_general_shape_tuple conv_shape_tuple conv_transpose_shape_tuple dtype empty "
        "reduce_window_shape_tuple shape_as_value"
    ),
    "jitml.lax.staging": (
        "after_all composite create_token dce_sink optimization_barrier "
        "platform_dependent stage with_sharding_constraint"
    ),
}
_MODULES = {name: module for module, names in _ELSEWHERE.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """What needs derivatives or many ops is imported when it is first used."""
    import importlib

    if name == "linalg":
        return importlib.import_module("jitml.lax.linalg")
    if name not in _MODULES:
        raise AttributeError(f"module 'jitml.lax' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


__all__ = [
    "AccuracyMode",
    "ConvDimensionNumbers",
    "ConvGeneralDilatedDimensionNumbers",
    "DotAlgorithm",
    "DotAlgorithmPreset",
    "DotDimensionNumbers",
    "FftType",
    "GatherDimensionNumbers",
    "GatherScatterMode",
    "Precision",
    "PrecisionLike",
    "RaggedDotDimensionNumbers",
    "RandomAlgorithm",
    "RoundingMethod",
    "ScatterDimensionNumbers",
    "Tolerance",
    "abs",
    "acos",
    "acosh",
    "add",
    "after_all",
    "all_gather",
    "all_to_all",
    "approx_max_k",
    "approx_min_k",
    "argmax",
    "argmin",
    "asin",
    "asinh",
    "associative_scan",
    "atan",
    "atan2",
    "atanh",
    "axis_index",
    "axis_size",
    "batch_matmul",
    "bessel_i0e",
    "bessel_i1e",
    "betainc",
    "bitcast_convert_type",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "broadcast",
    "broadcast_in_dim",
    "broadcast_like",
    "broadcast_shapes",
    "broadcast_to_rank",
    "broadcasted_iota",
    "cbrt",
    "ceil",
    "clamp",
    "clz",
    "collapse",
    "complex",
    "composite",
    "concatenate",
    "cond",
    "conj",
    "conv",
    "conv_dimension_numbers",
    "conv_general_dilated",
    "conv_general_dilated_local",
    "conv_general_dilated_patches",
    "conv_general_permutations",
    "conv_general_shape_tuple",
    "conv_shape_tuple",
    "conv_transpose",
    "conv_transpose_shape_tuple",
    "conv_with_general_padding",
    "convert_element_type",
    "cos",
    "cosh",
    "create_token",
    "cumlogsumexp",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "custom_linear_solve",
    "custom_root",
    "dce_sink",
    "digamma",
    "div",
    "dot",
    "dot_general",
    "dtype",
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "dynamic_update_index_in_dim",
    "dynamic_update_slice",
    "dynamic_update_slice_in_dim",
    "empty",
    "eq",
    "erf",
    "erf_inv",
    "erfc",
    "exp",
    "exp2",
    "expand_dims",
    "expm1",
    "fft",
    "floor",
    "fori_loop",
    "full",
    "full_like",
    "gather",
    "ge",
    "gt",
    "igamma",
    "igamma_grad_a",
    "igammac",
    "imag",
    "index_in_dim",
    "index_take",
    "integer_pow",
    "iota",
    "is_finite",
    "le",
    "lgamma",
    "linalg",
    "log",
    "log1p",
    "logistic",
    "lt",
    "map",
    "max",
    "min",
    "mul",
    "mulhi",
    "ne",
    "neg",
    "nextafter",
    "optimization_barrier",
    "pad",
    "padtype_to_pads",
    "pbroadcast",
    "pcast",
    "platform_dependent",
    "pmax",
    "pmean",
    "pmin",
    "polygamma",
    "population_count",
    "pow",
    "ppermute",
    "pshuffle",
    "psum",
    "psum_scatter",
    "pswapaxes",
    "ragged_all_to_all",
    "ragged_dot",
    "ragged_dot_general",
    "random_gamma_grad",
    "real",
    "reciprocal",
    "reduce",
    "reduce_and",
    "reduce_max",
    "reduce_min",
    "reduce_or",
    "reduce_precision",
    "reduce_prod",
    "reduce_sum",
    "reduce_window",
    "reduce_window_shape_tuple",
    "reduce_xor",
    "rem",
    "reshape",
    "rev",
    "rng_bit_generator",
    "rng_uniform",
    "round",
    "rsqrt",
    "scaled_dot",
    "scan",
    "scatter",
    "scatter_add",
    "scatter_apply",
    "scatter_max",
    "scatter_min",
    "scatter_mul",
    "scatter_sub",
    "select",
    "select_n",
    "shape_as_value",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
    "sign",
    "sin",
    "sinh",
    "slice",
    "slice_in_dim",
    "sort",
    "sort_key_val",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "stage",
    "stop_gradient",
    "sub",
    "switch",
    "tan",
    "tanh",
    "tile",
    "top_k",
    "transpose",
    "unstack",
    "while_loop",
    "with_sharding_constraint",
    "zeta",
]
