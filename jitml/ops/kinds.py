"""The kinds of ops: what all elementwise, movement and reduction ops have in common.

What the code generator needs of an op is its kind's `lower`:
- elementwise: `lower(*values) -> value` (or a tuple): one element from one element of each input;
- movement: `lower(read, index) -> value`: the element at `index` by way of `read(k,
  index_in_input_k)`;
- reduction: `identity`, `element`, `combine`, `result`: a fold whose order the code generator
  fixes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from jitml.ir.dtypes import BOOL, DType, kind, real_dtype
from jitml.ir.errors import DTypeError, ShapeError
from jitml.ir.op import Op, Undefined
from jitml.ir.types import ArrayType
from jitml.scalar.value import Value, select
from jitml.trace.core import bind, bind1, type_of
from jitml.trace.numbers import literal
from jitml_runtime.record import frozen

# What a rule computes with: tracers, arrays, literals and, beside them, Python numbers.
Traced: TypeAlias = Any
Partial: TypeAlias = Callable[..., Traced] | None


@frozen
class Elementwise(Op):
    """An op whose output element depends on the same element of each input.

    A 0-d input beside shaped ones is used for every element. All rules follow from the row that
    `elementwise` makes.
    """

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return _inferred(self, types)

    def check_dtypes(self, types: Sequence[ArrayType]) -> None:
        """Raise DTypeError unless the op takes inputs of these dtypes."""

    def output_dtypes(self, *dtypes: DType) -> tuple[DType, ...]:
        return (dtypes[0],)

    def lower(self, *values: Any) -> Any:
        """One output element from one element of each input, in the scalar language."""
        raise self._lacks("lower")

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        aligned = align_batch(inputs, axes)
        outputs = bind(self, *aligned)
        return outputs, [0] * len(outputs)


@functools.lru_cache(1 << 12)
def _inferred(op: Elementwise, types: tuple[ArrayType, ...]) -> tuple[ArrayType, ...]:
    """What `op` gives for these types: remembered, for programs ask the same over and over."""
    shape = common_shape(op.name, types)
    op.check_dtypes(types)
    weak = all(t.weak for t in types)
    dtypes = op.output_dtypes(*(t.dtype for t in types))
    return tuple(ArrayType(d, shape, weak and d != BOOL) for d in dtypes)


def common_shape(name: str, types: Sequence[ArrayType]) -> tuple[int, ...]:
    """The one shape of all inputs that are not 0-d."""
    shapes = {t.shape for t in types if t.shape}
    if len(shapes) > 1:
        raise ShapeError(
            f"{name}: shapes differ: {', '.join(map(str, types))}",
            hint="broadcast the operands to one shape first (jitml.numpy does it by NumPy's rules)",
        )
    return shapes.pop() if shapes else ()


def align_batch(inputs: Sequence[Traced], axes: Sequence[int | None]) -> list[Traced]:
    """Bring the batch axes of elementwise inputs to the front and give all shaped inputs one
    rank."""
    from jitml.ops.movement import broadcast_in_dim, move_axis

    ranks = [len(type_of(x).shape) - (a is not None) for x, a in zip(inputs, axes, strict=True)]
    rank = max(ranks)
    size = next(type_of(x).shape[a] for x, a in zip(inputs, axes, strict=True) if a is not None)
    shape = next(
        (
            move_to_front(type_of(x).shape, a)[1:] if a is not None else type_of(x).shape
            for x, a, r in zip(inputs, axes, ranks, strict=True)
            if r == rank
        ),
        (),
    )
    aligned = []
    for x, axis, own in zip(inputs, axes, ranks, strict=True):
        if axis is not None:
            x = move_axis(x, axis, 0)
            if own < rank:
                x = broadcast_in_dim(x, (size, *shape), (0,))
        elif own:
            x = broadcast_in_dim(x, (size, *shape), tuple(range(1, rank + 1)))
        aligned.append(x)
    return aligned


def move_to_front(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (shape[axis], *shape[:axis], *shape[axis + 1 :])


class Row(Elementwise):
    """An elementwise op without parameters: one row of the table in `elementwise`.

    `partials[k](t, out, *inputs)` is the tangent of the output for tangent `t` of input k (None:
    zero); `transposes[k](ct, *inputs)` is the cotangent of input k where the op is linear in it.
    """

    name: str  # type: ignore[misc]

    def __init__(
        self,
        name: str,
        numpy_value: Callable[..., Any],
        kinds: str,
        partials: tuple[Partial, ...] = (),
        transposes: tuple[Partial, ...] = (),
        lower: Callable[..., Any] | None = None,
        output: Callable[..., DType] | None = None,
    ) -> None:
        object.__setattr__(self, "name", name)
        self._set("numpy_value", numpy_value)
        self._set("kinds", kinds)
        self._set("partials", partials)
        self._set("transposes", transposes)
        self._set("lowering", lower)
        self._set("output", output)
        Op.registry[name] = self

    numpy_value: Callable[..., Any]
    kinds: str
    partials: tuple[Partial, ...]
    transposes: tuple[Partial, ...]
    lowering: Callable[..., Any] | None
    output: Callable[..., DType] | None

    def _set(self, field: str, value: Any) -> None:
        object.__setattr__(self, field, value)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return self.name

    def __call__(self, *inputs: Traced) -> Traced:
        """Bind the op; Python numbers become literals of the other inputs' dtype."""
        return bind1(self, *with_literals(inputs))

    def check_dtypes(self, types: Sequence[ArrayType]) -> None:
        if any(t.dtype != types[0].dtype for t in types):
            raise DTypeError(
                f"{self.name}: dtypes differ: {', '.join(map(str, types))}",
                hint="convert one of them with .astype",
            )
        if kind(types[0].dtype) not in self.kinds:
            raise DTypeError(
                f"{self.name} does not take {types[0].dtype.name}",
                hint=f"it takes {_kinds_in_words(self.kinds)}",
            )

    def output_dtypes(self, *dtypes: DType) -> tuple[DType, ...]:
        return (self.output(*dtypes) if self.output else dtypes[0],)

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        with np.errstate(all="ignore"):
            result = np.asarray(self.numpy_value(*arrays))
        return (result.astype(self.output_dtypes(*(np.asarray(a).dtype for a in arrays))[0]),)

    def lower(self, *values: Any) -> Any:
        if self.lowering is not None:
            return self.lowering(*values)
        from jitml.scalar import math

        return getattr(math, self.name)(*values)

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        from jitml.ops.elementwise import add

        if not self.partials:
            raise self._lacks("jvp")
        out = bind1(self, *primals)
        total = None
        for tangent, partial in zip(tangents, self.partials, strict=True):
            if tangent is None or partial is None:
                continue
            part = partial(fit(tangent, type_of(out).shape), out, *primals)
            total = part if total is None else add(total, part)
        return [out], [total]

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        (ct,) = cotangents
        results: list[Traced | None] = []
        for x, rule in zip(inputs, self.transposes, strict=True):
            if ct is None or not isinstance(x, Undefined):
                results.append(None)
            elif rule is None:
                raise self._lacks("transpose")
            else:
                results.append(fit(rule(ct, *inputs), x.type.shape))
        return results

    def has(self, rule: str) -> bool:
        if rule == "jvp":
            return bool(self.partials)
        return bool(self.transposes) if rule == "transpose" else super().has(rule)


_KIND_NAMES = {
    "b": "booleans", "i": "integers", "u": "integers", "f": "floats", "c": "complex numbers",
}  # fmt: skip


def _kinds_in_words(kinds: str) -> str:
    *most, last = dict.fromkeys(_KIND_NAMES[k] for k in kinds)
    return f"{', '.join(most)} and {last}" if most else last


def with_literals(inputs: Sequence[Traced]) -> list[Traced]:
    """Python numbers among `inputs` as literals of the others' dtype."""
    if not any(isinstance(x, (bool, int, float, complex)) for x in inputs):
        return list(inputs)
    model = next(
        (type_of(x) for x in inputs if not isinstance(x, (bool, int, float, complex))), None
    )
    scalar = None if model is None else ArrayType(model.dtype, (), model.weak)
    return [literal(x, scalar) if isinstance(x, (bool, int, float, complex)) else x for x in inputs]


def fit(x: Traced, shape: tuple[int, ...]) -> Traced:
    """Broadcast a 0-d tangent to `shape`, or sum a shaped cotangent down to a 0-d input's."""
    own = type_of(x).shape
    if own == shape:
        return x
    if not own:
        from jitml.ops.movement import broadcast_in_dim

        return broadcast_in_dim(x, shape, ())
    from jitml.ops.reduction import reduce_sum

    assert not shape, (own, shape)
    return reduce_sum(x, tuple(range(len(own))))


def zeros_like(x: Traced) -> Traced:
    """Zeros of the type of `x`."""
    return full_of(type_of(x), 0)


def full_like(x: Traced, number: bool | int | float) -> Traced:
    """An array of the type of `x`, full of `number`."""
    return full_of(type_of(x), number)


def full_of(type_: ArrayType, number: bool | int | float) -> Traced:
    """An array of `type_` full of `number`."""
    from jitml.ops.movement import broadcast_in_dim

    scalar = literal(number, ArrayType(type_.dtype, (), type_.weak))
    return broadcast_in_dim(scalar, type_.shape, ())


@frozen
class Movement(Op):
    """An op that moves elements and computes none: its output is an index map over its inputs."""

    def lower(self, read: Callable[[int, Sequence[Any]], Any], index: Sequence[Any]) -> Any:
        """The output's element at `index`; `read(k, index)` gives an element of input k.

        Indices take + − · with integers and each other, and compare into i1 values; reads must stay
        in bounds.
        """
        raise self._lacks("lower")


@frozen
class Reduction(Op):
    """A fold over `axes` with an associative `combine`, in the fixed order that the code generator
    gives it.

    State is a tuple of scalar values (one for a sum, value and position for argmax).
    """

    axes: tuple[int, ...]

    def identity(self, dtype: DType) -> tuple[Any, ...]:
        """The numbers of the state that changes no other, to the bit."""
        raise self._lacks("lower")

    def empty_value(self, dtype: DType) -> Any:
        """What a fold over no element gives."""
        raise self._lacks("lower")

    def state_types(self, dtype: DType) -> tuple[str, ...]:
        """Scalar types of the state for inputs of `dtype` (complex counts as two)."""
        raise self._lacks("lower")

    def element(self, x: Any, position: Any) -> tuple[Any, ...]:
        """The state of one element; `position` is its linear i64 index along the reduced axes."""
        return (x,)

    def combine(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        """The state of two adjacent runs, `a` before `b`."""
        raise self._lacks("lower")

    def append(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        """The same where `b` comes later than all of `a`, though not right behind it."""
        return self.combine(a, b)

    def result(self, state: tuple[Any, ...]) -> Any:
        return state[0]


def choose(condition: Any, x: Any, y: Any) -> Any:
    """`x` where the i1 value `condition` holds, else `y`; for scalar values and complex pairs
    alike."""
    if isinstance(x, Value):
        return select(condition, x, y)
    from jitml.scalar import complex as scalar_complex

    return scalar_complex.choose(condition, x, y)


def bool_dtype(*_: DType) -> DType:
    return BOOL


def real_part_dtype(dtype: DType, *_: DType) -> DType:
    return real_dtype(dtype)


def make_complex(re: Any, im: Any) -> Any:
    """The complex scalar of two real ones."""
    from jitml.scalar.complex import Complex

    return Complex(re, im)
