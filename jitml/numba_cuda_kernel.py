"""PTX of kernels and device functions that numba-cuda compiles.

In: a function that `numba.cuda.jit` has made, types, the name of a GPU. Out: PTX whose `kernel`
takes what plans pass (buffers, sizes, the number of units), makes arrays of it, and calls the
function. No device and no driver take part. numba-cuda is imported here, when a user brings a
function of its.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np

from jitml.ir.errors import ArgumentError, DTypeError, JitmlError
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.numba_kernel import compile_failure, is_cuda_function
from jitml.ops.native import Extents, Grid

MOST_THREADS = 1024  # of a block
MOST_SHARED_BYTES = 48 << 10  # of a block, without asking the driver for more
_INSTALL = 'pip install "jitml[cuda]"'
_PASSED = ("extent", "slot", "launch", "scratch", "scratch_bytes")  # after buffers and sizes
_OPTIONS = ("fastmath", "launch_bounds")


def is_device_function(function: Any) -> bool:
    """Whether it is called by threads, with numbers, instead of launched."""
    return bool(function.targetoptions.get("device"))


def check_kernel(function: Any) -> None:
    """Raise unless it is of NVIDIA's package, which is newer than what numba has of its own."""
    if find_spec("numba_cuda") is None:
        raise ArgumentError(
            "numba_call: kernels of numba.cuda need the package numba-cuda",
            hint=_INSTALL,
            source=user_source(),
        )
    if not is_cuda_function(function):
        raise ArgumentError(
            f"numba_call: batch must be a kernel of numba.cuda, not a {type(function).__name__}",
            hint="decorate it with @numba.cuda.jit",
            source=user_source(),
        )


def grid_for(function: Any, grid: Any, block: Any, shared_bytes: int) -> Grid | None:
    """The grid of a kernel; None for a device function, which has none."""
    name = function.__name__
    if is_device_function(function):
        if (grid, block, shared_bytes) != (None, None, 0):
            raise ArgumentError(
                f"numba_call: {name} is a device function: it has no grid of its own",
                hint="leave grid, block and shared_bytes out, or decorate it with @numba.cuda.jit",
                source=user_source(),
            )
        return None
    if grid is None or block is None:
        raise ArgumentError(
            f"numba_call: {name} is a kernel of numba.cuda, and is given no grid or no block",
            hint="grid=-(-x.size // 128), block=128",
            source=user_source(),
        )
    if not 0 <= shared_bytes <= MOST_SHARED_BYTES:
        raise ArgumentError(
            f"numba_call: {name} asks for {shared_bytes} bytes of shared memory; "
            f"{MOST_SHARED_BYTES} are the most",
            source=user_source(),
        )
    return Grid(_extents(grid, "grid"), _extents(block, "block"), shared_bytes)


def check_call(function: Any, inputs: int, outputs: Sequence[ArrayType]) -> None:
    """Raise unless the function takes so many arguments, and its options can be kept."""
    name, count = function.__name__, function.py_func.__code__.co_argcount
    is_device = is_device_function(function)
    expected = inputs if is_device else inputs + len(outputs)
    if count != expected:
        how = "(*arguments)" if is_device else "(*results, *arguments), results being arrays"
        raise ArgumentError(
            f"numba_call: {name} takes {count} arguments, but is called with {inputs}, for "
            f"{len(outputs)} results",
            hint=f"a {'device function' if is_device else 'kernel'} is called as {name}{how}",
            source=user_source(),
        )
    if function.targetoptions.get("link"):
        raise ArgumentError(
            f"numba_call: {name} links files, which a program cannot hold",
            hint="write what they define as functions with @numba.cuda.jit(device=True)",
            source=user_source(),
        )


def _extents(given: Any, what: str) -> Extents:
    """A grid or block as numba takes it, in three numbers."""
    numbers = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    is_whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in numbers)
    if not (is_whole and 1 <= len(numbers) <= 3 and all(n > 0 for n in numbers)):
        raise ArgumentError(
            f"numba_call: {what}={given!r} must be one to three positive integers",
            hint="grid=-(-x.size // 128), block=128",
            source=user_source(),
        )
    x, y, z = (*map(int, numbers), 1, 1)[:3]
    if what == "block" and x * y * z > MOST_THREADS:
        raise ArgumentError(
            f"numba_call: block={given!r} has {x * y * z} threads; {MOST_THREADS} are the most",
            hint="let the grid have more blocks",
            source=user_source(),
        )
    return x, y, z


@functools.lru_cache(maxsize=512)
def compile_ptx_of(
    function: Any, inputs: tuple[ArrayType, ...], outputs: tuple[ArrayType, ...], target: str
) -> str:
    """The PTX of the kernel that calls a function for inputs and outputs of these types, of any
    sizes.
    """
    from numba.cuda import compile as compile_function
    from numba.cuda import types

    is_device = is_device_function(function)
    arrays = [*((t, False) for t in outputs), *((t, True) for t in inputs)]
    names: dict[str, Any] = {"function": _device_function(function)}
    for number, (type_, is_input) in enumerate(arrays):
        names[f"view{number}"] = _view_of(_array_type(type_, 1 if is_device else None, is_input))
    if is_device:
        from numba.cuda import grid, gridsize

        names |= {"grid": grid, "gridsize": gridsize}
    text = (_elementwise_text if is_device else _kernel_text)(inputs, outputs)
    exec(compile(text, "<string>", "exec"), names)
    count = len(arrays) + _sizes_of(arrays) + len(_PASSED)
    signature = types.void(*[types.int64] * count)
    options = {name: function.targetoptions.get(name) for name in _OPTIONS}
    major, minor = _capability(target)
    try:
        with _compiling_for((major, minor)):
            found, _ = compile_function(
                names["kernel"], signature, device=False, abi="numba", cc=(major, minor), **options
            )
    except Exception as error:
        if _is_of(error, "NumbaError"):
            raise compile_failure(function, inputs, outputs, error) from None
        if type(error).__module__.startswith(("numba.", "cuda.")):
            raise _toolkit_failure(error) from error
        raise
    return _as_plans_take_it(found, target)


def _sizes_of(arrays: Sequence[tuple[ArrayType, bool]]) -> int:
    return sum(type_.ndim for type_, _ in arrays)


def _capability(target: str) -> tuple[int, int]:
    number = int(target.removeprefix("sm_"))
    return number // 10, number % 10


@functools.lru_cache(maxsize=256)
def _device_function(function: Any) -> Any:
    """The function as threads call it; the user's own object keeps no trace of that."""
    from numba import cuda

    if is_device_function(function):
        return function
    kept = {name: function.targetoptions.get(name) for name in ("fastmath", "opt")}
    return cuda.jit(device=True, **kept)(function.py_func)


@contextmanager
def _compiling_for(capability: tuple[int, int]) -> Iterator[None]:
    """Inside, functions that kernels call are compiled for this GPU, not for the one at hand (there
    may be none), of which numba would ask the driver.
    """
    from numba.cuda import dispatcher
    from numba.cuda.core.compiler_lock import global_compiler_lock

    with global_compiler_lock:
        before = dispatcher.get_current_device
        dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
        try:
            yield
        finally:
            dispatcher.get_current_device = before


# ---- arrays --------------------------------------------------------------------------------------


def _array_type(type_: ArrayType, ndim: int | None, is_input: bool) -> Any:
    """The type that numba gives an array."""
    from numba.cuda import types
    from numba.cuda.np.numpy_support import from_dtype

    if type_.dtype.kind not in "biufc" or type_.dtype == np.float16:
        raise DTypeError(
            f"numba_call: numba has no arrays of dtype {type_.dtype.name} on GPUs",
            hint="it has bool, integers, float32, float64, complex64 and complex128: "
            "convert the array",
            source=user_source(),
        )
    axes = type_.ndim if ndim is None else ndim
    return types.Array(from_dtype(type_.dtype), axes, "C", readonly=is_input)


def _view_of(array: Any) -> Callable[..., Any]:
    """A function of compiled code: `view(address, shape)` is an array of this type."""
    from numba.cuda import cgutils, types
    from numba.cuda.extending import intrinsic
    from numba.cuda.np.arrayobj import populate_array

    def view(typingctx: Any, address: Any, shape: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            made = context.make_array(array)(context, builder)
            data = builder.inttoptr(arguments[0], made.data.type)
            extents = cgutils.unpack_tuple(builder, arguments[1], array.ndim)
            size = context.get_abi_sizeof(context.get_data_type(array.dtype))
            strides: list[Any] = []
            step = context.get_constant(types.intp, size)
            for extent in reversed(extents):
                strides.insert(0, step)
                step = builder.mul(step, extent)
            populate_array(
                made, data=data, shape=extents, strides=strides, itemsize=size, meminfo=None
            )
            return made._getvalue()

        return array(address, shape), generate

    made: Callable[..., Any] = intrinsic(view)
    return made


def _head(arrays: int, sizes: int) -> str:
    names = [*(f"b{n}" for n in range(arrays)), *(f"z{n}" for n in range(sizes)), *_PASSED]
    return f"def kernel({', '.join(names)}):\n"


def _kernel_text(inputs: Sequence[ArrayType], outputs: Sequence[ArrayType]) -> str:
    """Python code that calls a kernel. Sizes are those of outputs and inputs, in order."""
    views, size = [], 0
    for number, type_ in enumerate((*outputs, *inputs)):
        shape = "".join([f"z{size + axis}, " for axis in range(type_.ndim)])
        size += type_.ndim
        is_number = number >= len(outputs) and not type_.ndim
        views.append(f"view{number}(b{number}, ({shape})){'[()]' if is_number else ''}")
    return f"{_head(len(views), size)}    function({', '.join(views)})\n"


def _elementwise_text(inputs: Sequence[ArrayType], outputs: Sequence[ArrayType]) -> str:
    """Python code that calls a device function for each element."""
    count = len(outputs)
    arrays = [*outputs, *inputs]
    lines = [f"x{n} = view{n}(b{n}, (extent,))" for n in range(len(arrays))]
    given = ", ".join([f"x{count + n}[i]" for n in range(len(inputs))])
    lines += ["i = grid(1)", "while i < extent:", f"    result = function({given})"]
    parts = ["result"] if count == 1 else [f"result[{n}]" for n in range(count)]
    lines += [f"    x{n}[i] = {part}" for n, part in enumerate(parts)]
    lines += ["    i += gridsize(1)"]
    sizes = sum(t.ndim for t in arrays)
    return _head(len(arrays), sizes) + "".join([f"    {line}\n" for line in lines])


# ---- PTX -----------------------------------------------------------------------------------------

_ENTRY = re.compile(r"\.entry\s+(\w+)")
_VERSION = re.compile(r"^\.version .*$", re.MULTILINE)
_UNROUNDED = re.compile(r"\b(add|sub|mul)\.(f16|f32|f64)\b")


def _as_plans_take_it(text: str, target: str) -> str:
    """The PTX with its kernel under the name that plans know, of the version that the GPU needs
    (numba's is that of its newest assembler, which older drivers refuse), and with every rounding
    in it: else the assembler would fuse as it likes, and bits would be the driver's.
    """
    from jitml.codegen.nvptx.target import ptx_version

    entry = _ENTRY.search(text)
    assert entry is not None, text
    text = text.replace(entry[1], "kernel")
    text = _VERSION.sub(f".version {ptx_version(target)}", text, count=1)
    return _UNROUNDED.sub(r"\1.rn.\2", text)


def _is_of(error: Exception, name: str) -> bool:
    """Whether an error is of this class of numba's, which has two of each: its own and CUDA's."""
    return any(kind.__name__ == name for kind in type(error).__mro__)


def _toolkit_failure(error: Exception) -> JitmlError:
    """What is missing of NVIDIA's compiler."""
    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return ArgumentError(
        f"numba_call: numba-cuda cannot compile here: {first.strip()}",
        hint=f"{_INSTALL} brings the compiler, libnvvm",
        source=user_source(),
    )
