"""Calls of foreign functions from inside of a program: `ForeignCall`; `Callback` and its kinds call
Python.

A function has a name and a number in the text of a graph; the graph holds it. It runs on the thread
that called the program, and gets Arrays of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import numpy as np

from jitml.ir.dtypes import DType
from jitml.ir.errors import DifferentiationError, JitmlError, TransformError
from jitml.ir.op import Op, Traced, Undefined
from jitml.ir.source import Source
from jitml.ir.types import ArrayType
from jitml.ops.custom import HostObject
from jitml.ops.layout import batch_to_front, broadcast_in_dim, reshape
from jitml.ops.scan import batch_by_element
from jitml.ops.slicing import concatenate, slice_
from jitml.trace.core import at_level, bind, current_source, type_of, using_source
from jitml_runtime import Array, from_numpy
from jitml_runtime.record import frozen, replace

Values = Sequence[Traced]
Data = np.ndarray[Any, Any]
# Arrays, and the types of outputs -> one NumPy array for each output, of its type.
Flat = Callable[[Sequence[Array], Sequence[ArrayType]], Sequence[Data]]


class HostFunction(HostObject):
    """A Python function as programs call it, and the user's line that made the call."""

    __slots__ = ("callback", "flat", "source")
    _known: ClassVar[WeakValueDictionary[tuple[Any, ...], HostFunction]] = WeakValueDictionary()

    def __init__(self, name: str, callback: Any, flat: Flat, source: Source) -> None:
        super().__init__(name)
        self.callback = callback  # the user's own
        self.flat = flat
        self.source = source

    @classmethod
    def of(
        cls, key: tuple[Any, ...], name: str, callback: Any, flat: Flat, source: Source
    ) -> HostFunction:
        """The function for a call that `key` tells from all others, while any program holds it: so
        what is traced again is equal, and is not compiled again.
        """
        found = cls._known.get(key)
        if found is None:
            found = cls._known[key] = HostFunction(name, callback, flat, source)
        return found

    def __call__(self, arrays: Sequence[Array], types: Sequence[ArrayType]) -> list[Array]:
        """The outputs, of these types, for arrays at hand."""
        return [from_numpy(x) for x in self._run(arrays, types)]

    def on_views(self, inputs: Sequence[Data], outputs: Sequence[Data]) -> None:
        """The same for views of a program's memory, as executors call it."""
        types = [ArrayType(view.dtype, view.shape) for view in outputs]
        results = self._run([from_numpy(view) for view in inputs], types)
        for view, result in zip(outputs, results, strict=True):
            view[...] = result

    def _run(self, arrays: Sequence[Array], types: Sequence[ArrayType]) -> Sequence[Data]:
        try:
            with at_level(None), using_source(None):
                return self.flat(arrays, types)
        except JitmlError as error:
            error.located(self.source)
            raise
        except BaseException as error:
            _add_line(error, f"raised in {self.name} called {self.source.describe()}")
            raise


def _add_line(error: BaseException, line: str) -> None:
    """Let the report of an error end with a line."""
    if hasattr(error, "add_note"):  # since Python 3.11
        error.add_note(line)
    elif error.__cause__ is None:
        error.__cause__ = RuntimeError(line)


@frozen
class ForeignCall(Op):
    """Call a function of which nothing is known; outputs have these dtypes and shapes."""

    is_of_this_process = True
    derivative_hint: ClassVar[str] = "custom_jvp or custom_vjp around the call"
    function: Any
    dtypes: tuple[DType, ...]
    shapes: tuple[tuple[int, ...], ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        pairs = zip(self.dtypes, self.shapes, strict=True)
        return tuple([ArrayType(dtype, shape) for dtype, shape in pairs])

    def jvp(
        self, primals: Values, tangents: Sequence[Traced | None]
    ) -> tuple[Values, Sequence[Traced | None]]:
        raise DifferentiationError(
            f"{self.name} has no derivative: nothing is known of the function {self.function.name}",
            hint=f"give one by {self.derivative_hint}, or stop_gradient its arguments",
            source=current_source(),
        )

    def _each(
        self, size: int, inputs: Values, axes: Sequence[int | None]
    ) -> tuple[Values, Sequence[int | None]]:
        """One call for each element, in order."""
        return batch_by_element(self, size, inputs, axes, self.function.name)


@frozen
class Callback(ForeignCall):
    """Call a Python function."""

    runs_python = True

    function: HostFunction

    @property
    def callback(self) -> Any:
        """The user's function."""
        return self.function.callback

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        given = [from_numpy(np.asarray(x)) for x in arrays]
        return tuple(self.function.flat(given, self.infer()))

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for arrays at hand."""
        return self.function(arrays, self.infer())


@frozen
class EffectCallback(Callback):
    """Call a Python function for its effect."""

    ordered: bool = False

    @property
    def has_effect(self) -> bool:
        return True

    def batch(
        self, size: int, inputs: Values, axes: Sequence[int | None]
    ) -> tuple[Values, Sequence[int | None]]:
        if self.ordered:
            raise _ordered_error(self.name)
        return self._each(size, inputs, axes)


@frozen
class DebugCallback(EffectCallback):
    """Tell a Python function values, for its effect alone."""

    name = "debug_callback"

    def jvp(
        self, primals: Values, tangents: Sequence[Traced | None]
    ) -> tuple[Values, Sequence[Traced | None]]:
        return bind(self, *primals), []

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        return [None] * len(inputs)


@frozen
class IoCallback(EffectCallback):
    """Call a Python function for its outputs and its effect."""

    name = "io_callback"


def _ordered_error(name: str) -> TransformError:
    return TransformError(
        f"{name} with ordered=True cannot be vmapped: the calls of all elements have no order",
        hint="leave ordered out, or use lax.map in place of vmap",
        source=current_source(),
    )


@frozen
class PureCallback(Callback):
    """Call a Python function whose outputs depend on its inputs alone."""

    name = "pure_callback"
    vmap_method: str | None = None

    def batch(
        self, size: int, inputs: Values, axes: Sequence[int | None]
    ) -> tuple[Values, Sequence[int | None]]:
        method = self.vmap_method
        if method is None:
            raise TransformError(
                f"pure_callback of {self.function.name} cannot be vmapped: it has no vmap_method",
                hint="vmap_method='sequential' calls it once for each element, 'expand_dims' or "
                "'broadcast_all' once for all",
                source=current_source(),
            )
        if method == "sequential_unrolled" and size:
            return self._unrolled(size, inputs, axes)
        if method.startswith("sequential"):
            return self._each(size, inputs, axes)
        repeats = {"expand_dims": 1, "broadcast_all": size}.get(method)
        stacked = []
        for x, axis in zip(inputs, axes, strict=True):
            if axis is not None:
                x = batch_to_front(size, x, axis)
            elif repeats is not None:
                shape = type_of(x).shape
                x = broadcast_in_dim(x, (repeats, *shape), range(1, len(shape) + 1))
            stacked.append(x)
        shapes = tuple([(size, *shape) for shape in self.shapes])
        return bind(replace(self, shapes=shapes), *stacked), [0] * len(shapes)

    def _unrolled(
        self, size: int, inputs: Values, axes: Sequence[int | None]
    ) -> tuple[Values, Sequence[int | None]]:
        """One equation for each element."""
        rows = []
        for n in range(size):
            given = zip(inputs, axes, strict=True)
            rows.append(bind(self, *[x if a is None else _element(x, a, n) for x, a in given]))
        columns = zip(*rows, strict=True)
        stacked = [concatenate([batch_to_front(1, x, None) for x in c], 0) for c in columns]
        return stacked, [0] * len(self.shapes)


def _element(x: Traced, axis: int, number: int) -> Traced:
    """One slice of `x` along an axis."""
    shape = type_of(x).shape
    low, high = [0] * len(shape), list(shape)
    low[axis], high[axis] = number, number + 1
    return reshape(slice_(x, low, high), (*shape[:axis], *shape[axis + 1 :]))
