"""Functions of the user's own in machine code, as ops: `numba_call`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jitml.abstract import abstract_type
from jitml.custom_derivatives import custom_jvp, custom_vjp
from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.numpy.manipulation import broadcast_to
from jitml.ops.native import Grid, GridKernel, NativeCall, NativeFunction, Specialize
from jitml.trace.core import bind, type_of
from jitml.transforms.values import as_value, is_array_like
from jitml.tree_structure import Structure, flatten

__all__ = ["numba_call"]


def numba_call(
    fun: Any,
    *args: Any,
    result_shape_dtypes: Any,
    jvp: Callable[..., Any] | None = None,
    vjp: tuple[Callable[..., Any], Callable[..., Any]] | None = None,
    batch: Any = None,
    grid: Any = None,
    block: Any = None,
    shared_bytes: int = 0,
    cpu: Any = None,
) -> Any:
    """Call a function compiled by `numba.njit` or, on GPUs, one by `numba.cuda.jit`, also inside of
    compiled programs and their loops, without asking Python.

    It is called as `fun(*results, *args)`: results are arrays to write (of zeros, as
    `result_shape_dtypes` tells), arguments numbers and read-only arrays in C order. If all results
    are numbers, a function for the CPU may as well take arguments alone and return them. It must
    depend on its arguments alone.

    `jvp` is a rule as of `custom_jvp`, `vjp` a pair of rules as of `custom_vjp`. vmap calls
    `fun` for each element, or `batch` (compiled by numba, too) once, with an axis in front of all
    results and arguments.

    A kernel of `numba.cuda` is launched on `grid` blocks of `block` threads (numbers, or up to
    three of them), which have `shared_bytes` of dynamic shared memory; its `batch` on as many such
    grids along z. A device function (`device=True`) takes and returns numbers, and is called for
    each element of its arguments, which are broadcast to the results. On the CPU `cpu` takes their
    place, compiled by `numba.njit` and called with arrays as above.

    >>> import jitml, jitml.numpy as jnp, numba
    >>> @numba.njit
    ... def running_maximum(out, x):
    ...     best = x[0]
    ...     for i in range(x.size):
    ...         best = max(best, x[i])
    ...         out[i] = best
    >>> @jitml.jit
    ... def f(x):
    ...     return 2 * numba_call(running_maximum, x, result_shape_dtypes=x)
    >>> print(f(jnp.array([1.0, 3.0, 2.0])))
    [2. 6. 6.]
    """
    if jvp is not None and vjp is not None:
        raise ArgumentError("numba_call: give jvp or vjp, not both", source=user_source())
    described, structure = flatten(result_shape_dtypes)
    types = tuple([abstract_type(as_value(x) if is_array_like(x) else x) for x in described])
    functions = _checked(fun, batch, (grid, block, shared_bytes), cpu)
    return _with_rule(_Call(functions, types, structure), jvp, vjp)(*args)


class _Functions(NamedTuple):
    """The user's functions: for an element, for stacked arrays; of one for GPUs its grid and what
    the CPU has for it. A device function has no grid.
    """

    one: Any
    batch: Any = None
    is_for_gpus: bool = False
    grid: Grid | None = None
    cpu: Any = None


def _checked(fun: Any, batch: Any, launch: tuple[Any, Any, int], cpu: Any) -> _Functions:
    """The functions that were given; raises where they do not belong together."""
    from jitml.numba_kernel import check_function, is_cuda_function

    if not is_cuda_function(fun):
        if (*launch, cpu) != (None, None, 0, None):
            raise ArgumentError(
                "numba_call: grid, block, shared_bytes and cpu are for kernels of numba.cuda",
                hint="decorate the function with @numba.cuda.jit, or leave them out",
                source=user_source(),
            )
        checked = None if batch is None else check_function(batch)
        return _Functions(check_function(fun), checked)
    from jitml.numba_cuda_kernel import check_kernel, grid_for

    check_kernel(fun)
    if batch is not None:
        check_kernel(batch)
    on_cpu = None if cpu is None else check_function(cpu)
    return _Functions(fun, batch, True, grid_for(fun, *launch), on_cpu)


class _Call:
    """A function of arrays that calls one of numba's; equal to others that call the same."""

    def __init__(
        self, functions: _Functions, types: tuple[ArrayType, ...], structure: Structure
    ) -> None:
        self.functions = functions
        self.types = tuple([t.strong() for t in types])
        self.structure = structure
        self.__name__ = str(functions.one.__name__)

    @property
    def _key(self) -> tuple[Any, ...]:
        return (self.functions, self.types, self.structure)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Call) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __call__(self, *args: Any) -> Any:
        values = [as_value(x, "numba_call: an argument") for x in flatten(args)[0]]
        if self.functions.is_for_gpus and self.functions.grid is None:
            values = self._broadcast(values)
        types = tuple([type_of(x).strong() for x in values])
        function = _native(self.functions, types, self.types)
        dtypes, shapes = [t.dtype for t in self.types], [t.shape for t in self.types]
        op = NativeCall(function, tuple(dtypes), tuple(shapes))
        return self.structure.unflatten(bind(op, *values))

    def _broadcast(self, values: list[Any]) -> list[Any]:
        """The arguments of a device function in the shape of its results."""
        shape = self.types[0].shape
        if any(t.shape != shape for t in self.types):
            raise ArgumentError(
                f"numba_call: the results of the device function {self.__name__} differ in shape",
                hint="it is called for each element of them: let them have one shape",
                source=user_source(),
            )
        return [broadcast_to(x, shape) for x in values]


@functools.lru_cache(maxsize=256)
def _with_rule(
    call: _Call,
    jvp: Callable[..., Any] | None,
    vjp: tuple[Callable[..., Any], Callable[..., Any]] | None,
) -> Callable[..., Any]:
    """The call as a function with the derivative rule that is given."""
    if jvp is not None:
        forward = custom_jvp(call)
        forward.defjvp(jvp)
        return forward
    if vjp is not None:
        backward = custom_vjp(call)
        backward.defvjp(*vjp)
        return backward
    return call


@functools.lru_cache(maxsize=512)
def _native(
    functions: _Functions, inputs: tuple[ArrayType, ...], outputs: tuple[ArrayType, ...]
) -> NativeFunction:
    """The function in memory for these types, of any sizes."""
    from jitml.numba_kernel import call_in_python, compile_kernel

    types = tuple([_any_size(t) for t in inputs]), tuple([_any_size(t) for t in outputs])
    on_cpu = functions.cpu if functions.is_for_gpus else functions.one
    kernel = None if on_cpu is None else compile_kernel(on_cpu, *types)
    return NativeFunction(
        str(functions.one.__name__),
        kernel.address if kernel else 0,
        kernel and kernel.kept,
        functools.partial(call_in_python, on_cpu),
        _batched(functions),
        user_source(),
        _grid_kernel(functions, *types) if functions.is_for_gpus else None,
    )


def _batched(functions: _Functions) -> Specialize | None:
    """How the function for stacked arrays is made, if there is one."""
    from jitml.numba_kernel import looped

    is_elementwise = functions.is_for_gpus and functions.grid is None
    if functions.batch is None and not is_elementwise:
        return None

    def batched(given: Sequence[ArrayType], wanted: Sequence[ArrayType]) -> NativeFunction:
        if is_elementwise:
            return _native(functions, tuple(given), tuple(wanted))
        types = tuple(given), tuple(wanted)
        many = functions._replace(one=functions.batch, batch=None)
        if functions.grid is not None:
            (x, y, z), threads, shared_bytes = functions.grid
            grid = Grid((x, y, z * max(1, wanted[0].shape[0])), threads, shared_bytes)
            many = many._replace(grid=grid, cpu=functions.cpu and looped(functions.cpu, *types))
        return _native(many, *types)

    return batched


def _grid_kernel(
    functions: _Functions, inputs: tuple[ArrayType, ...], outputs: tuple[ArrayType, ...]
) -> GridKernel:
    """The function as GPUs run it; numba compiles it for each that asks."""
    from jitml.numba_cuda_kernel import check_call, compile_ptx_of

    check_call(functions.one, len(inputs), outputs)
    return GridKernel(
        functools.partial(compile_ptx_of, functions.one, inputs, outputs), functions.grid
    )


def _any_size(type_: ArrayType) -> ArrayType:
    return type_.with_shape((-1,) * type_.ndim)
