"""dtypes as users write them.

`jnp.float32`, `finfo`, `issubdtype`, `result_type`, and constants.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from jitml.ir import dtypes
from jitml.ir.dtypes import DType
from jitml.numpy.creation import asarray
from jitml.numpy.operands import inexact as inexact_of
from jitml.numpy.operands import is_number, kind_of, named_dtype, operand, promoted_kind
from jitml.trace.conventions import canonical
from jitml.trace.core import Tracer
from jitml.trace.numbers import DEFAULT_DTYPES
from jitml.typing import Array, ArrayLike, ConcreteArray, DTypeLike

__all__ = [
    "bfloat16", "bool_", "can_cast", "cdouble", "character", "complex64", "complex128", "complex_",
    "complexfloating", "csingle", "double", "e", "euler_gamma", "finfo", "flexible", "float16",
    "float32", "float64", "float_", "floating", "generic", "iinfo", "inexact", "inf", "int8",
    "int16", "int32", "int64", "int_", "integer", "iscomplexobj", "isdtype", "isrealobj",
    "isscalar", "issubdtype", "iterable", "nan", "newaxis", "number", "object_", "pi",
    "promote_types", "result_type", "signedinteger", "single", "uint", "uint8", "uint16", "uint32",
    "uint64", "unsignedinteger",
]  # fmt: skip

pi, e, inf, nan, newaxis = math.pi, math.e, math.inf, math.nan, None
euler_gamma = 0.577215664901532860606512090082402431


class ScalarType:
    """A dtype that can be called: `float32(1)` is a 0-d array."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype

    def __call__(self, x: Any = 0) -> Array:
        return asarray(x, dtype=self.dtype)

    @property
    def type(self) -> Any:
        return self.dtype.type

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ScalarType):
            return self.dtype == other.dtype
        if other is None:  # which NumPy takes for float64
            return False
        try:
            return bool(self.dtype == other)
        except TypeError:
            return NotImplemented

    def __hash__(self) -> int:
        return hash(self.dtype.type)

    def __repr__(self) -> str:
        return f"jitml.numpy.{self.dtype.name}"


bool_ = ScalarType(np.dtype(np.bool_))
int8, int16, int32, int64 = (ScalarType(np.dtype(f"int{n}")) for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (ScalarType(np.dtype(f"uint{n}")) for n in (8, 16, 32, 64))
float16, float32, float64 = (ScalarType(np.dtype(f"float{n}")) for n in (16, 32, 64))
bfloat16 = ScalarType(dtypes.bfloat16)
complex64, complex128 = (ScalarType(np.dtype(f"complex{n}")) for n in (64, 128))
single, double, csingle, cdouble = float32, float64, complex64, complex128

generic, number, integer, signedinteger = np.generic, np.number, np.integer, np.signedinteger
unsignedinteger, inexact, floating = np.unsignedinteger, np.inexact, np.floating
complexfloating, character, flexible, object_ = (
    np.complexfloating,
    np.character,
    np.flexible,
    np.object_,
)


class _DefaultType:
    """`int_`, `float_` and their kin: the default dtype of a kind when it is asked."""

    __slots__ = ("_kind",)

    def __init__(self, kind: type) -> None:
        self._kind = kind

    @property
    def dtype(self) -> DType:
        return DEFAULT_DTYPES.of(self._kind)

    def __call__(self, x: Any = 0) -> Array:
        return ScalarType(self.dtype)(x)

    def __eq__(self, other: object) -> bool:
        return ScalarType(self.dtype) == other

    def __hash__(self) -> int:
        return hash(self._kind)

    def __repr__(self) -> str:
        return f"jitml.numpy.{self._kind.__name__}_"


class _DefaultUnsigned(_DefaultType):
    __slots__ = ()

    @property
    def dtype(self) -> DType:
        return np.dtype("u" + DEFAULT_DTYPES.of(int).name)

    def __repr__(self) -> str:
        return "jitml.numpy.uint"


int_, float_, complex_ = (_DefaultType(k) for k in (int, float, complex))
uint = _DefaultUnsigned(int)


class iinfo:
    """The limits of an integer dtype.

    >>> iinfo("int8").max
    127
    """

    def __init__(self, int_type: Any) -> None:
        dtype = _dtype_of(int_type)
        of_dtype: Any = ml_dtypes.iinfo
        limits = of_dtype(dtype)
        self.bits, self.dtype = limits.bits, dtype
        self.min, self.max, self.kind = int(limits.min), int(limits.max), limits.kind

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


class finfo:
    """The limits and the precision of a float dtype, or of a complex one's parts.

    >>> finfo("float32").eps
    1.1920928955078125e-07
    """

    def __init__(self, dtype: Any) -> None:
        of_dtype: Any = ml_dtypes.finfo
        own = _dtype_of(dtype)
        self.dtype = dtypes.real_dtype(own) if own.kind == "c" else own
        self._limits = of_dtype(self.dtype)

    def __getattr__(self, name: str) -> Any:
        """What NumPy says, its numbers as Python's, which leave the dtype of arrays as it is."""
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._limits, name)
        return float(value) if isinstance(value, (np.generic, np.ndarray)) else value

    def __repr__(self) -> str:
        return f"finfo(min={self.min}, max={self.max}, eps={self.eps}, dtype={self.dtype})"


def _dtype_of(x: Any) -> DType:
    """The dtype of an array, or the one that a spelling names."""
    return x.dtype if isinstance(getattr(x, "dtype", None), np.dtype) else named_dtype(x)


class _BFloat16(np.floating):
    """The place of bfloat16 in NumPy's hierarchy of types, which lacks it."""


_PYTHON_TYPES: dict[Any, Any] = {
    bool: np.bool_, int: np.integer, float: np.floating, complex: np.complexfloating,
}  # fmt: skip


def _class_of(x: Any) -> Any:
    """The class in NumPy's hierarchy of types that a dtype or kind of dtypes is."""
    if isinstance(x, type):
        if x is ml_dtypes.bfloat16:
            return _BFloat16
        if issubclass(x, np.generic):
            return x
        return _PYTHON_TYPES[x] if x in _PYTHON_TYPES else named_dtype(x).type
    own: Any = getattr(x, "type", None)
    if isinstance(own, type) and issubclass(own, dtypes.extended):
        return own
    dtype = _dtype_of(x)
    return _BFloat16 if dtype == dtypes.bfloat16 else dtype.type


def issubdtype(arg1: Any, arg2: Any) -> bool:
    """Whether a dtype is of a kind such as `floating`, or is another dtype.

    >>> import jitml.numpy as jnp
    >>> issubdtype("bfloat16", jnp.floating)
    True
    """
    return issubclass(_class_of(arg1), _class_of(arg2))


_KIND_NAMES = {
    "bool": "b", "signed integer": "i", "unsigned integer": "u", "integral": "iu",
    "real floating": "f", "complex floating": "c", "numeric": "iufc",
}  # fmt: skip


def isdtype(dtype: DTypeLike, kind: Any) -> bool:
    """Whether a dtype is of a kind of the array API standard, or one of several.

    >>> isdtype("int32", "integral")
    True
    """
    own = _dtype_of(dtype)
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return any(
        dtypes.kind(own) in _KIND_NAMES[k]
        if isinstance(k, str) and k in _KIND_NAMES
        else own == named_dtype(k)
        for k in kinds
    )


def result_type(*args: Any) -> DType:
    """The dtype that arrays, numbers and dtypes have together.

    >>> print(result_type("int32", 1.0))
    float32
    """
    return promoted_kind([_kind(x) for x in args])[0]


def _kind(x: Any) -> tuple[DType, bool]:
    if is_number(x):
        return kind_of(x)
    if x in (int, float, complex) if isinstance(x, type) else False:
        return DEFAULT_DTYPES.of(x), True
    if isinstance(x, (str, np.dtype, type, ScalarType, _DefaultType)):
        return canonical(named_dtype(x)), False
    return kind_of(operand(x, "result_type"))


def promote_types(a: DTypeLike, b: DTypeLike) -> DType:
    """The dtype that two dtypes have together.

    >>> print(promote_types("int32", "float16"))
    float16
    """
    return promoted_kind([_kind(a), _kind(b)])[0]


def can_cast(from_: Any, to: DTypeLike, casting: str = "safe") -> bool:
    """Whether NumPy's rules allow a conversion.

    >>> can_cast("int32", "float64")
    True
    """
    return np.can_cast(_dtype_of(from_), named_dtype(to), casting=casting)  # type: ignore[arg-type]


def to_inexact_dtype(dtype: DTypeLike) -> DType:
    """The dtype that a division of arrays of `dtype` has.

    >>> print(to_inexact_dtype("int32"))
    float32
    """
    return inexact_of(canonical(named_dtype(dtype)))


def isscalar(element: Any) -> bool:
    """Whether something is a number or a 0-d array.

    >>> isscalar(1.0)
    True
    """
    if is_number(element) or isinstance(element, np.generic):
        return True
    return isinstance(element, (ConcreteArray, Tracer)) and element.ndim == 0


def iterable(y: Any) -> bool:
    """Whether one can iterate over something.

    >>> iterable(1.0)
    False
    """
    try:
        iter(y)
    except TypeError:
        return False
    return True


def iscomplexobj(x: ArrayLike) -> bool:
    """Whether the dtype is complex, of an array or a dtype.

    >>> iscomplexobj(1j)
    True
    """
    if isinstance(x, (ScalarType, _DefaultType)):
        return dtypes.is_complex(x.dtype)
    return dtypes.is_complex(kind_of(x if is_number(x) else operand(x))[0])


def isrealobj(x: ArrayLike) -> bool:
    """Whether the dtype is not complex.

    >>> isrealobj(1j)
    False
    """
    return not iscomplexobj(x)
