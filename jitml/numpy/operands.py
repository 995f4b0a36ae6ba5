"""What users pass, made into operands of ops.

In: arrays, tracers, NumPy arrays, Python and NumPy scalars. Out: arrays, tracers and literals
of one dtype and of shapes that fit. Promotion and broadcasting live here and nowhere else; ops
know neither.
"""

from __future__ import annotations

import math
import operator
import sys
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn, TypeAlias

import numpy as np

import jitml.evaluation  # noqa: F401  (tells how operations at hand run)
from jitml.ir import dtypes
from jitml.ir.dtypes import DType
from jitml.ir.errors import (
    ArgumentError,
    AxisError,
    JitmlError,
    ShapeError,
    TypePromotionError,
)
from jitml.ir.graph import Literal
from jitml.ir.source import user_frame, user_source
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import convert
from jitml.ops.elementwise import real as real_part
from jitml.ops.movement import broadcast_in_dim
from jitml.ops.require import require
from jitml.trace.conventions import CONVENTIONS, canonical
from jitml.trace.core import Tracer, current_trace, note_origin, type_of
from jitml.trace.flags import flag
from jitml.trace.numbers import DEFAULT_DTYPES, check_supported, literal
from jitml_runtime import Array as ConcreteArray
from jitml_runtime import from_numpy

Operand: TypeAlias = Any  # an array, a tracer or a literal
_NUMBERS = (bool, int, float, complex)
_FUNCTIONS_OF = (
    "jitml.image", "jitml.lax", "jitml.nn", "jitml.numpy", "jitml.scipy", "jitml.segments",
)  # fmt: skip


def fail(kind: type[JitmlError], message: str, hint: str = "") -> NoReturn:
    """Raise `kind`, located at the user's line, in the name of the function that is called there:
    `message` may begin with the name of one that serves it.
    """
    called = _called_function()
    name, colon, rest = message.partition(": ")
    if called and colon and name.isidentifier():
        message = f"{called}: {rest}"
    raise kind(message, hint=hint, source=user_source())


def warn_user(kind: type[Warning], message: str) -> None:
    """Warn, at the user's line."""
    depth, user = 2, user_frame(2)
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame is not user:
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, kind, stacklevel=depth)


def _called_function() -> str:
    """The name of the public function of jitml that the user's line calls, if there is one."""
    frame: FrameType | None = sys._getframe(1)
    user, inner = user_frame(), None
    while frame is not None and frame is not user:
        if not frame.f_globals.get("__name__", "").startswith("jitml_runtime."):
            inner = frame
        frame = frame.f_back
    if inner is None or not inner.f_globals.get("__name__", "").startswith(_FUNCTIONS_OF):
        return ""
    name = inner.f_code.co_name
    return name if name in inner.f_globals.get("__all__", ()) else ""


def no_out(name: str, out: object) -> None:
    """Raise if a place for the result is given."""
    if out is not None:
        fail(
            ArgumentError, f"{name}: `out` is not supported", "arrays never change; use the result"
        )


def is_number(x: object) -> bool:
    """Whether `x` is a Python number, whose dtype is weak (np.float64 is one that is not)."""
    kind = type(x)
    if kind is ConcreteArray or kind is Tracer:
        return False
    return kind in _NUMBERS or (isinstance(x, _NUMBERS) and not isinstance(x, np.generic))


def operand(x: Any, name: str = "array") -> Operand:
    """`x` as an array, tracer or literal; `name` is the function that messages speak of."""
    if isinstance(x, (ConcreteArray, Tracer, Literal)):
        return x
    if isinstance(x, np.generic):
        return _numpy_scalar(x)
    if isinstance(x, _NUMBERS):
        return literal(x)
    if isinstance(x, np.ndarray):
        array = from_numpy(native(x))
        note_origin(array, x)
        return array
    if hasattr(x, "__jax_array__"):
        return operand(x.__jax_array__(), name)
    hint = "jitml.numpy.asarray makes an array of it" if isinstance(x, (list, tuple)) else ""
    fail(ArgumentError, f"{name}: {type(x).__name__} is not an array or a number", hint)


def _numpy_scalar(x: np.generic) -> Operand:
    dtype = canonical(check_supported(x.dtype))
    x = x.astype(dtype)
    number = x.astype(np.float32).item() if dtype == dtypes.bfloat16 else x.item()
    if not isinstance(number, _NUMBERS):  # wider than Python's own numbers
        return from_numpy(np.asarray(x))
    return literal(number, ArrayType(dtype, ()))


def native(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """`x` in this machine's byte order, and of a dtype that arrays can have; else it raises."""
    dtype = canonical(check_supported(x.dtype.newbyteorder("=")))
    return x if x.dtype == dtype and x.dtype.isnative else x.astype(dtype)


def operands(name: str, *arguments: Any) -> list[Operand]:
    return [operand(x, name) for x in arguments]


def settle(x: Operand) -> Any:
    """`x` as users may hold it: a literal becomes an array, or a tracer while tracing."""
    if not isinstance(x, Literal):
        return x
    trace = current_trace()
    if trace is not None:
        return trace.tracer(x)
    return from_numpy(np.asarray(x.value).astype(x.type.dtype), weak=x.type.weak)


# ---- dtypes ---------------------------------------------------------------------------------

_PYTHON_KINDS: dict[Any, type] = {bool: bool, int: int, float: float, complex: complex}
_STRING_KINDS: dict[str, type] = {"bool": bool, "int": int, "float": float, "complex": complex}


def as_dtype(spelling: Any) -> DType:
    """The dtype that `spelling` names in any of NumPy's ways; Python's types by default widths."""
    return _available(named_dtype(spelling))


def named_dtype(spelling: Any) -> DType:
    """As `as_dtype`, of data that are not in an array yet."""
    if isinstance(spelling, np.dtype):
        return check_supported(spelling.newbyteorder("="))
    kind = _PYTHON_KINDS.get(spelling) if isinstance(spelling, type) else None
    if isinstance(spelling, str):
        kind = _STRING_KINDS.get(spelling)
        if spelling == "uint":
            return np.dtype("uint64" if DEFAULT_DTYPES.is_wide else "uint32")
    if kind is not None:
        return DEFAULT_DTYPES.of(kind)
    # A scalar type of NumPy has a `dtype` that is only a descriptor.
    spelled = spelling if isinstance(spelling, type) else getattr(spelling, "dtype", spelling)
    try:
        dtype = np.dtype(spelled)
    except TypeError:
        fail(
            ArgumentError,
            f"{spelling!r} is not a dtype",
            "write it as 'float32' or jitml.numpy.float32",
        )
    return check_supported(dtype.newbyteorder("="))


def _available(dtype: DType) -> DType:
    """A dtype that was asked for, or the one in its place, which a warning tells."""
    found = canonical(dtype)
    if found != dtype:
        warn_user(
            UserWarning,
            f"Explicitly requested dtype {dtype.name} is not available, and will be truncated to "
            f"dtype {found.name}. To enable more dtypes, set jax_enable_x64 or the environment "
            "variable JAX_ENABLE_X64",
        )
    return found


def as_dtype_or(spelling: Any, default: DType) -> DType:
    return default if spelling is None else as_dtype(spelling)


def kind_of(x: Any) -> tuple[DType, bool]:
    """dtype and weakness of an operand or a Python number."""
    if is_number(x):
        return DEFAULT_DTYPES.of(_number_kind(x)), not isinstance(x, bool)
    type_ = type_of(x)
    return type_.dtype, type_.weak


def kind(x: Operand) -> str:
    """The kind letter of an operand's dtype: one of b, i, u, f, c."""
    return dtypes.kind(type_of(x).dtype)


def _number_kind(x: Any) -> type:
    return next(k for k in _NUMBERS if isinstance(x, k))


def promoted_kind(kinds: Sequence[tuple[DType, bool]]) -> tuple[DType, bool]:
    """The dtype that operands of these kinds have together, and whether it is weak.

    A 64-bit integer that meets a Python float gets 64 bits: 64-bit input stays 64-bit.
    """
    first = kinds[0]
    if all(k == first for k in kinds[1:]):
        return first
    dtype, weak = dtypes.promote(*kinds)
    if flag("jax_numpy_dtype_promotion") == "strict":
        _check_strict(kinds, dtype)
    if CONVENTIONS.narrow and all(k[0] == canonical(k[0]) for k in kinds):
        return canonical(dtype), weak
    if weak and dtypes.is_inexact(dtype) and any(_is_wide_integer(*k) for k in kinds):
        return dtypes.FLOAT64 if dtypes.is_float(dtype) else dtypes.COMPLEX128, weak
    return dtype, weak


def _check_strict(kinds: Sequence[tuple[DType, bool]], joined: DType) -> None:
    """Raise if operands meet whose dtypes differ, numbers that their dtype takes aside."""
    strong_ones = {dtype for dtype, weak in kinds if not weak}
    if len(strong_ones) > 1 or (strong_ones and joined not in strong_ones):
        listed = ", ".join(dict.fromkeys(f"{'weak ' * weak}{dtype.name}" for dtype, weak in kinds))
        fail(
            TypePromotionError,
            f"dtypes {listed} meet, with jax_numpy_dtype_promotion='strict'",
            "convert with .astype",
        )


def _is_wide_integer(dtype: DType, weak: bool) -> bool:
    return not weak and dtypes.is_integer(dtype) and dtype.itemsize == 8


def inexact(dtype: DType, weak: bool = False) -> DType:
    """`dtype` if it is a float or complex, else the float that its division gives."""
    if dtypes.is_inexact(dtype):
        return dtype
    if weak:
        return DEFAULT_DTYPES.of(float)
    return dtypes.FLOAT64 if _is_wide_integer(dtype, weak) else dtypes.FLOAT32


def cast(x: Any, dtype: DType, weak: bool = False) -> Operand:
    """An operand or Python number as an operand of `dtype`; numbers cost no equation."""
    if is_number(x):
        return literal(_narrowed(x, dtype), ArrayType(dtype, (), weak))
    if type_of(x).dtype == dtype:
        return x
    if isinstance(x, Literal) and _holds(dtype, x.value):
        return literal(x.value, ArrayType(dtype, (), weak))
    return convert(x, dtype, weak)


def fitting(x: Operand, dtype: DType) -> Operand:
    """`x`; the program fails if its numbers do not fit `dtype`, which they are converted to."""
    if dtypes.is_integer(dtype) and not CONVENTIONS.are_of_jax and not _contains(dtype, x):
        return require(real_part(x) if kind(x) == "c" else x, dtype.name)
    return x


def _contains(dtype: DType, x: Operand) -> bool:
    """Whether an integer dtype holds all numbers of the dtype of `x`."""
    own = type_of(x).dtype
    if dtypes.is_bool(own):
        return True
    if not dtypes.is_integer(own):
        return False
    inner, outer = np.iinfo(own), np.iinfo(dtype)
    return bool(outer.min <= inner.min and inner.max <= outer.max)


def floated(name: str, x: Any) -> Operand:
    """`x` as an operand of a float or complex dtype."""
    x = operand(x, name)
    type_ = type_of(x)
    if dtypes.is_inexact(type_.dtype):
        return x
    return cast(x, inexact(type_.dtype, type_.weak), type_.weak)


def _narrowed(x: Any, dtype: DType) -> Any:
    """A Python number for a dtype of a smaller kind: the real part, the whole part, the truth."""
    if dtypes.is_bool(dtype):
        return bool(x)
    if isinstance(x, complex) and not dtypes.is_complex(dtype):
        x = x.real
    if isinstance(x, float) and dtypes.is_integer(dtype):
        if not math.isfinite(x):
            limits = np.iinfo(dtype)
            return 0 if math.isnan(x) else int(limits.max if x > 0 else limits.min)
        return int(x)
    return x


def _holds(dtype: DType, number: Any) -> bool:
    if dtypes.is_complex(dtype):
        return True
    if isinstance(number, complex) or dtypes.is_bool(dtype):
        return False
    if dtypes.is_float(dtype):
        return True
    limits = np.iinfo(dtype)
    return isinstance(number, int) and bool(limits.min <= number <= limits.max)


def strong(x: Operand) -> Operand:
    """`x` with a dtype that is not weak."""
    type_ = type_of(x)
    return convert(x, type_.dtype, False) if type_.weak else x


# ---- promotion and broadcasting together ----------------------------------------------------


def promoted(name: str, *arguments: Any, to_inexact: bool = False) -> list[Operand]:
    """The arguments as operands of their common dtype; numbers become literals of it at once."""
    raw = [x if is_number(x) else operand(x, name) for x in arguments]
    dtype, weak = promoted_kind([kind_of(x) for x in raw])
    if to_inexact:
        dtype = inexact(dtype, weak)
    return [cast(x, dtype, weak) for x in raw]


def broadcast_together(name: str, xs: Sequence[Operand]) -> list[Operand]:
    """Operands of one shape by NumPy's rules; 0-d ones stay 0-d, as elementwise ops take them."""
    shapes = {type_of(x).shape for x in xs}
    if len(shapes) - (() in shapes) <= 1:
        return list(xs)
    shape = common_shape(name, xs)
    _check_ranks(name, shapes)
    return [x if not type_of(x).shape else expand_to(x, shape) for x in xs]


def _check_ranks(name: str, shapes: set[tuple[int, ...]]) -> None:
    """Tell, as the switch wants, of operands that get more dimensions."""
    wanted = flag("jax_numpy_rank_promotion", "allow")
    if wanted == "allow" or len({len(shape) for shape in shapes if shape}) <= 1:
        return
    message = (
        f"{name}: shapes {' and '.join(map(str, sorted(shapes)))} broadcast, with "
        f"jax_numpy_rank_promotion={wanted!r}"
    )
    if wanted == "raise":
        fail(ShapeError, message, "give the smaller one the missing axes, as in x[None]")
    warn_user(UserWarning, message)


def common_shape(name: str, xs: Sequence[Operand]) -> tuple[int, ...]:
    """The shape that the operands broadcast to."""
    types = [type_of(x) for x in xs]
    try:
        return joined_shape([t.shape for t in types])
    except ValueError:
        listed = " and ".join(map(str, types))
        fail(
            ShapeError,
            f"{name}: shapes do not broadcast: {listed}",
            broadcast_hint([t.shape for t in types]),
        )


def joined_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """NumPy's broadcast of shapes; raises ValueError where they do not fit."""
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(s)) + tuple(s) for s in shapes]
    result = []
    for sizes in zip(*padded, strict=True):
        wanted = {n for n in sizes if n != 1}
        if len(wanted) > 1:
            raise ValueError(sizes)
        result.append(wanted.pop() if wanted else 1)
    return tuple(result)


def broadcast_hint(shapes: Sequence[tuple[int, ...]]) -> str:
    """What to do about shapes that do not broadcast."""
    if len(shapes) == 2:
        for a, b, which in ((shapes[0], shapes[1], "first"), (shapes[1], shapes[0], "second")):
            if len(a) == 1 and len(b) == 2 and a[0] == b[0]:
                return f"[:, None] on the {which} makes it a column of shape {(a[0], 1)}"
    return "axes are matched from the last one; each pair must be equal or have a 1"


def expand_to(x: Operand, shape: tuple[int, ...]) -> Operand:
    """Broadcast an operand to `shape`, which must fit."""
    own = type_of(x).shape
    if own == shape:
        return x
    return broadcast_in_dim(x, shape, tuple(range(len(shape) - len(own), len(shape))))


# ---- shapes and axes ------------------------------------------------------------------------


def as_shape(shape: Any, name: str = "shape") -> tuple[int, ...]:
    """A shape given as an integer or a sequence of integers."""
    sizes: tuple[int, ...]
    try:
        sizes = (operator.index(shape),)
    except TypeError as error:
        if isinstance(error, JitmlError):
            raise
        try:
            sizes = tuple(operator.index(n) for n in shape)
        except JitmlError:
            raise
        except TypeError:
            fail(ShapeError, f"{name}: a shape is an integer or a tuple of integers, not {shape!r}")
    if any(n < 0 for n in sizes):
        fail(ShapeError, f"{name}: a shape cannot have negative sizes: {sizes}")
    return sizes


def as_axis(axis: Any, ndim: int, name: str) -> int:
    """`axis` counted from the front."""
    try:
        number = operator.index(axis)
    except TypeError as error:
        if isinstance(error, JitmlError):
            raise
        fail(AxisError, f"{name}: an axis is an integer, not {axis!r}")
    if not -ndim <= number < ndim:
        fail(
            AxisError,
            f"{name}: axis {number} is out of range for an array of {ndim} dimensions",
            f"axes run from {-ndim} to {ndim - 1}" if ndim else "a 0-d array has no axes",
        )
    return number + ndim if number < 0 else number


def as_axes(axis: Any, ndim: int, name: str) -> tuple[int, ...]:
    """One axis, several, or None for all, counted from the front; in the order given."""
    if axis is None:
        return tuple(range(ndim))
    given = tuple(axis) if isinstance(axis, (tuple, list, range)) else (axis,)
    axes = tuple(as_axis(a, ndim, name) for a in given)
    if len(set(axes)) < len(axes):
        fail(AxisError, f"{name}: an axis is given twice: {given}")
    return axes
