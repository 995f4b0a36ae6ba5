"""What users pass as matrices, made into operands of ops: floats of one dtype, checked."""

from __future__ import annotations

from typing import Any

from jitml.ir.errors import JitmlError, ShapeError
from jitml.ir.source import user_source
from jitml.numpy.operands import fail, floated, promoted, settle, strong
from jitml.ops.linalg.matrices import check_matrix
from jitml.trace.core import type_of
from jitml.typing import ArrayLike


def matrices(name: str, x: ArrayLike, square: bool = False, what: str = "") -> Any:
    """`x` as matrices of floats; an error tells what they are not."""
    return checked(name, floated(name, x), square, what)


def square_matrices(name: str, x: ArrayLike, what: str = "") -> Any:
    """`x` as square matrices of floats."""
    return matrices(name, x, True, what)


def checked(name: str, x: Any, square: bool = False, what: str = "") -> Any:
    """An operand that is found to be matrices."""
    try:
        check_matrix(name, type_of(x), square, what)
    except JitmlError as error:
        raise error.located(user_source()) from None
    return settle(strong(x))


def system(name: str, a: ArrayLike, b: ArrayLike) -> tuple[Any, Any]:
    """A square matrix and a right-hand side of one dtype; the latter has at least one axis."""
    left, right = promoted(name, a, b, to_inexact=True)
    left = checked(name, left, True, "a")
    right = settle(strong(right))
    if right.ndim == 0:
        fail(ShapeError, f"{name}: b is a number; it must be a vector or a matrix")
    return left, right
