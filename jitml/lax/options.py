"""What JAX's options of accuracy, precision and layout are called; types of dimension numbers.

Products and functions here are exact to their dtype whatever the option says, so the precisions and
accuracies are taken and change nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from jitml.ir.errors import ArgumentError
from jitml.lax.contraction import Precision
from jitml.numpy.operands import fail
from jitml.ops.window_products import ConvDimensionNumbers
from jitml.typing import DTypeLike

__all__ = [
    "AccuracyMode",
    "ConvGeneralDilatedDimensionNumbers",
    "DotAlgorithm",
    "DotAlgorithmPreset",
    "DotDimensionNumbers",
    "PrecisionLike",
    "RaggedDotDimensionNumbers",
    "RandomAlgorithm",
    "Tolerance",
]

DotDimensionNumbers: TypeAlias = (
    "tuple[tuple[Sequence[int], Sequence[int]], tuple[Sequence[int], Sequence[int]]]"
)
ConvGeneralDilatedDimensionNumbers: TypeAlias = "tuple[str, str, str] | ConvDimensionNumbers | None"


class AccuracyMode(enum.Enum):
    """How exactly `exp`, `tanh` and their kin may be computed."""

    HIGHEST = 1
    DEFAULT = 2


class Tolerance:
    """How far a result may be off: absolutely, relatively, or in units of the last place.

    >>> Tolerance(ulps=2).ulps
    2
    """

    def __init__(self, atol: float = 0.0, rtol: float = 0.0, ulps: int = 0) -> None:
        given = (atol, rtol, ulps)
        if min(given) < 0 or not any(given):
            fail(
                ArgumentError,
                f"Tolerance: atol, rtol and ulps are {given}",
                "none of them may be negative, and one must be greater than 0",
            )
        self.atol, self.rtol, self.ulps = given


class DotAlgorithm(NamedTuple):
    """In which dtypes a product rounds its operands and adds up."""

    lhs_precision_type: DTypeLike
    rhs_precision_type: DTypeLike
    accumulation_type: DTypeLike | None
    lhs_component_count: int = 1
    rhs_component_count: int = 1
    num_primitive_operations: int = 1
    allow_imprecise_accumulation: bool = False


class DotAlgorithmPreset(enum.Enum):
    """Algorithms by name: dtypes of the operands and of the sums, in how many parts."""

    DEFAULT = None
    ANY_F8_ANY_F8_F32 = DotAlgorithm("float8", "float8", "float32")
    ANY_F8_ANY_F8_F32_FAST_ACCUM = DotAlgorithm("float8", "float8", "float32", 1, 1, 1, True)
    ANY_F8_ANY_F8_ANY = DotAlgorithm("float8", "float8", None)
    ANY_F8_ANY_F8_ANY_FAST_ACCUM = DotAlgorithm("float8", "float8", None, 1, 1, 1, True)
    F16_F16_F16 = DotAlgorithm("float16", "float16", "float16")
    F16_F16_F32 = DotAlgorithm("float16", "float16", "float32")
    BF16_BF16_BF16 = DotAlgorithm("bfloat16", "bfloat16", "bfloat16")
    BF16_BF16_F32 = DotAlgorithm("bfloat16", "bfloat16", "float32")
    BF16_BF16_F32_X3 = DotAlgorithm("bfloat16", "bfloat16", "float32", 2, 2, 3)
    BF16_BF16_F32_X6 = DotAlgorithm("bfloat16", "bfloat16", "float32", 3, 3, 6)
    BF16_BF16_F32_X9 = DotAlgorithm("bfloat16", "bfloat16", "float32", 3, 3, 9)
    TF32_TF32_F32 = DotAlgorithm("tensorfloat32", "tensorfloat32", "float32")
    TF32_TF32_F32_X3 = DotAlgorithm("tensorfloat32", "tensorfloat32", "float32", 2, 2, 3)
    F32_F32_F32 = DotAlgorithm("float32", "float32", "float32")
    F64_F64_F64 = DotAlgorithm("float64", "float64", "float64")

    @property
    def accumulation_type(self) -> DTypeLike | None:
        return None if self.value is None else self.value.accumulation_type


PrecisionLike: TypeAlias = (
    "str | Precision | tuple[str, str] | tuple[Precision, Precision] | DotAlgorithm | "
    "DotAlgorithmPreset | None"
)


class RandomAlgorithm(enum.Enum):
    """Where `rng_bit_generator` takes its bits from."""

    RNG_DEFAULT = 0
    RNG_THREE_FRY = 1
    RNG_PHILOX = 2


class RaggedDotDimensionNumbers(NamedTuple):
    """Contracted and batched axes as for `dot_general`, the axis of the first operand that is cut
    into groups, and the axis of the second that counts them.
    """

    dot_dimension_numbers: DotDimensionNumbers
    lhs_ragged_dimensions: Sequence[int]
    rhs_group_dimensions: Sequence[int]
