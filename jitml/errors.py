"""The errors that jitml raises, by name."""

from __future__ import annotations

from jitml.ir.errors import (
    ArgumentError,
    AxisError,
    ConcretizationTypeError,
    DifferentiationError,
    DTypeError,
    IntegerOverflowError,
    InternalError,
    JitmlError,
    MissingRuleError,
    NonConcreteBooleanIndexError,
    OutOfBoundsError,
    ShapeError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerError,
    TracerIntegerConversionError,
    TransformError,
    TreeError,
    UnboundAxisError,
    UnexpectedTracerError,
)

__all__ = [
    "ArgumentError",
    "AxisError",
    "ConcretizationTypeError",
    "DTypeError",
    "DifferentiationError",
    "IntegerOverflowError",
    "InternalError",
    "JitmlError",
    "MissingRuleError",
    "NonConcreteBooleanIndexError",
    "OutOfBoundsError",
    "ShapeError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerError",
    "TracerIntegerConversionError",
    "TransformError",
    "TreeError",
    "UnboundAxisError",
    "UnexpectedTracerError",
]
