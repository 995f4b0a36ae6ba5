"""Kernels of functions that numba compiles.

In: a function of arrays and numbers compiled by `numba.njit`, and types. Out: the address of a
function with the signature of a kernel, that finds its arrays in the program's memory: nothing is
allocated, and Python is not asked. Numba is imported here, when a user brings a function of its.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jitml.ir.dtypes import DType
from jitml.ir.errors import ArgumentError, DTypeError
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType

_SUPPORTED = "bool, integers, float32, float64, complex64 and complex128"


class Kernel(NamedTuple):
    """A compiled function: its address, and what keeps its code alive."""

    address: int
    kept: Any


def is_cuda_function(function: Any) -> bool:
    """Whether `numba.cuda.jit` has made it."""
    kind = type(function)
    return kind.__module__.startswith("numba.cuda.") and hasattr(function, "targetoptions")


def check_function(function: Any) -> Any:
    """The function as one compiled by `njit`; raises unless numba has made it."""
    kind = type(function)
    if kind.__module__.startswith("numba.") and not is_cuda_function(function):
        if hasattr(function, "py_func"):
            return function
        if hasattr(function, "_pyfunc"):
            return _of_cfunc(function)
    raise ArgumentError(
        f"numba_call takes a function compiled by numba.njit, not a {kind.__name__}",
        hint="decorate it with @numba.njit; pure_callback calls Python functions",
        source=user_source(),
    )


@functools.lru_cache(maxsize=256)
def _of_cfunc(function: Any) -> Any:
    """A `numba.cfunc` of numbers, for which pointers are not needed."""
    from numba import njit

    return njit(function._sig)(function._pyfunc)


def returns_numbers(function: Any, inputs: int, outputs: Sequence[ArrayType]) -> bool:
    """Whether a function returns its results (numbers), instead of writing them to arrays that come
    first among its arguments.
    """
    name, count = function.__name__, function.py_func.__code__.co_argcount
    if count == inputs + len(outputs):
        return False
    if count == inputs and not any(t.shape for t in outputs):
        return True
    raise ArgumentError(
        f"numba_call: {name} takes {count} arguments, but is called with {inputs}, for "
        f"{len(outputs)} results",
        hint=f"it is called as {name}(*results, *arguments), results being arrays to write; one "
        "whose results are all numbers may take arguments alone and return them",
        source=user_source(),
    )


@functools.lru_cache(maxsize=512)
def compile_kernel(
    function: Any, inputs: tuple[ArrayType, ...], outputs: tuple[ArrayType, ...]
) -> Kernel:
    """The kernel that calls a function for inputs and outputs of these types, of any sizes."""
    import numba
    from numba.core.errors import NumbaError

    for type_ in (*inputs, *outputs):
        _check_dtype(type_.dtype)
    returns = returns_numbers(function, len(inputs), outputs)
    text = _kernel_text(function, inputs, outputs, returns)
    names: dict[str, Any] = {"carray": vars(numba)["carray"], "function": function}
    names.update(_helpers())
    names.update({f"dtype{n}": t.dtype.type for n, t in enumerate((*outputs, *inputs))})
    exec(compile(text, "<string>", "exec"), names)
    types: Any = numba.types
    integers = types.CPointer(types.int64)
    signature = types.int32(
        types.CPointer(types.voidptr), integers, types.int64, types.int64, integers
    )
    try:
        compiled: Any = numba.cfunc(signature)(names["kernel"])
    except NumbaError as error:
        raise compile_failure(function, inputs, outputs, error) from None
    return Kernel(compiled.address, (compiled, function))


@functools.cache
def _helpers() -> dict[str, Any]:
    """Functions of compiled code: `readonly(array)` is an array that cannot be written,
    `nothing(result)` refuses what is not None.
    """
    from numba import types
    from numba.core import errors, imputils
    from numba.extending import intrinsic

    borrowed: Any = imputils.impl_ret_borrowed

    def readonly(typingctx: Any, array: Any) -> Any:
        result = array.copy(readonly=True)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return borrowed(context, builder, result, arguments[0])

        return result(array), generate

    def nothing(typingctx: Any, result: Any) -> Any:
        if not isinstance(result, types.NoneType):
            raise errors.TypingError("Error: it writes its results, but returns a value, too")
        return types.none(result), lambda context, *_: context.get_dummy_value()

    return {"readonly": intrinsic(readonly), "nothing": intrinsic(nothing)}


def _kernel_text(
    function: Any,
    inputs: Sequence[ArrayType],
    outputs: Sequence[ArrayType],
    returns: bool,
) -> str:
    """Python code of the kernel. Sizes are the address, then those of outputs and inputs in order;
    outputs start as zeros, so that what is not written does not differ from run to run.
    """
    arrays, size = [], 1
    for number, type_ in enumerate((*outputs, *inputs)):
        sizes = "".join([f"sizes[{size + axis}], " for axis in range(type_.ndim)])
        size += type_.ndim
        arrays.append(f"carray(buffers[{number}], ({sizes}), dtype{number})")
    count = len(outputs)
    # A function of a fixed signature takes no arrays that are read-only: it gets copies.
    guard = "readonly({})" if function._can_compile else "{}.copy()"
    given = [
        guard.format(array) if t.shape else f"{array}[()]"
        for array, t in zip(arrays[count:], inputs, strict=True)
    ]
    lines = [f"out{n} = {array}" for n, array in enumerate(arrays[:count])]
    lines += [f"out{n}[...] = 0" if t.shape else f"out{n}[()] = 0" for n, t in enumerate(outputs)]
    if returns:
        lines.append(f"result = function({', '.join(given)})")
        parts = ["result"] if count == 1 else [f"result[{n}]" for n in range(count)]
        lines += [f"out{n}[()] = {part}" for n, part in enumerate(parts)]
    else:
        written = [f"out{n}" for n in range(count)]
        lines.append(f"nothing(function({', '.join([*written, *given])}))")
    body = "\n        ".join(lines)
    return f"""
def kernel(buffers, sizes, begin, end, fault):
    try:
        {body}
        return 0
    except Exception:
        fault[0] = 0
        fault[1] = 0
        return 1
"""


@functools.lru_cache(maxsize=256)
def looped(function: Any, inputs: tuple[ArrayType, ...], outputs: tuple[ArrayType, ...]) -> Any:
    """A function of stacked arrays of these types that calls `function` for each element."""
    from numba import njit

    elements = [t.with_shape(t.shape[1:]) for t in outputs]
    given = ", ".join([f"x{n}[i]" for n in range(len(inputs))])
    names = [f"out{n}" for n in range(len(outputs))]
    if returns_numbers(function, len(inputs), elements):
        call = f"{', '.join([f'{name}[i]' for name in names])} = function({given})"
    else:
        views = [
            f"{name}[i]" if t.shape else f"{name}[i : i + 1].reshape(())"
            for name, t in zip(names, elements, strict=True)
        ]
        call = f"function({', '.join([*views, given])})"
    arguments = ", ".join([*names, *(f"x{n}" for n in range(len(inputs)))])
    known = {"function": function}
    text = f"def batched({arguments}):\n    for i in range(out0.shape[0]):\n        {call}\n"
    exec(compile(text, "<string>", "exec"), known)
    return njit(known["batched"])


def call_in_python(function: Any, outputs: Sequence[Any], inputs: Sequence[Any]) -> None:
    """Do with NumPy arrays what the kernel does with memory."""
    given = [x if x.shape else x[()] for x in inputs]
    types = [ArrayType(x.dtype, x.shape) for x in outputs]
    if not returns_numbers(function, len(inputs), types):
        function(*outputs, *given)
        return
    result = function(*given)
    for out, x in zip(outputs, [result] if len(outputs) == 1 else result, strict=True):
        out[...] = x


def _check_dtype(dtype: DType) -> None:
    if dtype.kind not in "biufc" or dtype == np.float16:
        raise DTypeError(
            f"numba_call: numba has no arrays of dtype {dtype.name}",
            hint=f"it has {_SUPPORTED}: convert the array",
            source=user_source(),
        )


def compile_failure(
    function: Any, inputs: Sequence[ArrayType], outputs: Sequence[ArrayType], error: Exception
) -> DTypeError:
    """What numba says of a function that it cannot compile, in short."""
    given = ", ".join([str(t).replace("-1", ":") for t in (*outputs, *inputs)])
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    before = lines[: next((n for n, x in enumerate(lines) if x.startswith("During:")), None)]
    told = [line for line in before if "Error: " in line][:1] or before[-1:]
    told += [line for line in lines if line.startswith("File ") and "<string>" not in line][:1]
    place = f"{function.__name__} of {given}"
    return DTypeError(
        f"numba_call: numba cannot compile {place}: " + "\n  ".join(told),
        hint="arguments are numbers and read-only arrays in C order; results come first, as arrays "
        "to write",
        source=user_source(),
    )
