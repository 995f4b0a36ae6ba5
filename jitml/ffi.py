"""Functions of the user's own in machine code, as ops: `numba_call`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from jitml.abstract import abstract_type
from jitml.custom_derivatives import custom_jvp, custom_vjp
from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.ops.native import NativeCall, NativeFunction
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
) -> Any:
    """Call a function compiled by `numba.njit`, also inside of compiled programs and their loops,
    without asking Python.

    It is called as `fun(*results, *args)`: results are arrays to write (of zeros, as
    `result_shape_dtypes` tells), arguments numbers and read-only arrays in C order. If all results
    are numbers, it may as well take arguments alone and return them. It must depend on its
    arguments alone.

    `jvp` is a rule as of `custom_jvp`, `vjp` a pair of rules as of `custom_vjp`. vmap calls
    `fun` for each element, or `batch` (compiled by numba, too) once, with an axis in front of all
    results and arguments.

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
    from jitml.numba_kernel import check_function

    if jvp is not None and vjp is not None:
        raise ArgumentError("numba_call: give jvp or vjp, not both", source=user_source())
    described, structure = flatten(result_shape_dtypes)
    types = tuple([abstract_type(as_value(x) if is_array_like(x) else x) for x in described])
    checked = None if batch is None else check_function(batch)
    call = _Call(check_function(fun), types, structure, checked)
    return _with_rule(call, jvp, vjp)(*args)


class _Call:
    """A function of arrays that calls one of numba's; equal to others that call the same."""

    def __init__(
        self, function: Any, types: tuple[ArrayType, ...], structure: Structure, batch: Any
    ) -> None:
        self.function = function
        self.types = tuple([t.strong() for t in types])
        self.structure = structure
        self.batch = batch
        self.__name__ = str(function.__name__)

    @property
    def _key(self) -> tuple[Any, ...]:
        return (self.function, self.types, self.structure, self.batch)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Call) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __call__(self, *args: Any) -> Any:
        values = [as_value(x, "numba_call: an argument") for x in flatten(args)[0]]
        types = tuple([type_of(x).strong() for x in values])
        function = _native(self.function, types, self.types, self.batch)
        dtypes, shapes = [t.dtype for t in self.types], [t.shape for t in self.types]
        op = NativeCall(function, tuple(dtypes), tuple(shapes))
        return self.structure.unflatten(bind(op, *values))


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
    function: Any, inputs: tuple[ArrayType, ...], outputs: tuple[ArrayType, ...], batch: Any
) -> NativeFunction:
    """The function in memory for these types, of any sizes."""
    from jitml.numba_kernel import call_in_python, compile_kernel

    of_any_size = [tuple([_any_size(t) for t in row]) for row in (inputs, outputs)]
    kernel = compile_kernel(function, *of_any_size)

    def batched(given: Sequence[ArrayType], wanted: Sequence[ArrayType]) -> NativeFunction:
        return _native(batch, tuple(given), tuple(wanted), None)

    return NativeFunction(
        str(function.__name__),
        kernel.address,
        kernel.kept,
        functools.partial(call_in_python, function),
        None if batch is None else batched,
        user_source(),
    )


def _any_size(type_: ArrayType) -> ArrayType:
    return type_.with_shape((-1,) * type_.ndim)
