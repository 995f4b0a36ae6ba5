"""What derivatives take and give: the chosen arguments, tangents and cotangents, and the checks
on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitml.ir.dtypes import is_complex, is_float, is_inexact
from jitml.ir.errors import DifferentiationError, JitmlError, ShapeError
from jitml.ir.source import user_source
from jitml.ir.types import ArrayType
from jitml.recording import Recorded, argument_names, record
from jitml.trace.core import type_of
from jitml.trace.forms import traced_form
from jitml.trace.numbers import check_supported
from jitml.transforms.values import as_value, float0_zeros, is_array_like, is_float0, retyped, zeros
from jitml.tree import flatten_with_path, keystr
from jitml.tree_structure import Structure, flatten
from jitml_runtime.record import frozen

Argnums = Any  # an integer or a sequence of integers


def failure(kind: type[JitmlError], message: str, hint: str = "") -> JitmlError:
    """An error of `kind` at the user's line."""
    return kind(message, hint=hint, source=user_source())


@frozen
class Chosen:
    """The arguments that are differentiated: their leaves as values, and how to put them back."""

    positions: tuple[int, ...]
    is_single: bool
    values: list[Any]
    paths: list[str]
    structure: Structure

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """Leaves in the form of the chosen arguments: one tree for an integer `argnums`, else a
        tuple.
        """
        trees = self.structure.unflatten(leaves)
        return trees[0] if self.is_single else trees

    def record(
        self, fun: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], has_aux: bool
    ) -> Recorded:
        """Run `fun` with tracers in place of the chosen arguments; the others pass as they are."""

        def call(*tracers: Any) -> Any:
            given = list(args)
            for position, tree in zip(
                self.positions, self.structure.unflatten(tracers), strict=True
            ):
                given[position] = tree
            return traced_form(fun)(*given, **kwargs)

        name = getattr(fun, "__name__", "")
        hint = (id(getattr(fun, "__code__", fun)), self.positions, self.structure)
        return record(call, self.values, name, self.paths, has_aux, hint)


def choose_arguments(
    name: str, fun: Callable[..., Any], argnums: Argnums, args: Sequence[Any]
) -> Chosen:
    """Find the arguments `argnums` among `args`."""
    is_single = not isinstance(argnums, (tuple, list))
    numbers = (argnums,) if is_single else tuple(argnums)
    for number in numbers:
        if not -len(args) <= number < len(args):
            raise failure(
                DifferentiationError,
                f"{name}: argnums={argnums} needs more positional arguments than "
                f"the {len(args)} given",
                "pass the differentiated arguments by position",
            )
    positions = tuple([n % len(args) for n in numbers])
    trees = tuple([args[p] for p in positions])
    leaves, structure = flatten(trees)
    paths = _leaf_paths(fun, positions, args, len(leaves), structure)
    values = [
        as_value(x, f"{name}: the argument {path}") for path, x in zip(paths, leaves, strict=True)
    ]
    return Chosen(positions, is_single, values, paths, structure)


def _leaf_paths(
    fun: Callable[..., Any],
    positions: Sequence[int],
    args: Sequence[Any],
    count: int,
    structure: Structure,
) -> list[str]:
    """How errors and graphs call the leaves of the chosen arguments."""
    called = argument_names(fun, len(args))
    if structure.has_only_leaves:
        return [called[p] for p in positions]
    return [
        f"{called[p]}{keystr(path)}" for p in positions for path, _ in flatten_with_path(args[p])[0]
    ]


def with_captures(flags: tuple[bool, ...], recorded: Recorded) -> tuple[bool, ...]:
    """Flags for all inputs of the recorded graph: what it captured is not differentiated."""
    return flags + (False,) * (len(recorded.graph.inputs) - len(flags))


def fill(types: Sequence[ArrayType], has: Sequence[bool], found: Sequence[Any]) -> list[Any]:
    """Found tangents, with zeros where they are symbolic and float0 for integers."""
    remaining = iter(found)
    return [
        retyped(next(remaining), type_) if is_there else _no_tangent(type_)
        for type_, is_there in zip(types, has, strict=True)
    ]


def _no_tangent(type_: ArrayType) -> Any:
    return zeros(type_) if is_inexact(type_.dtype) else float0_zeros(type_.shape)


def fill_inputs(types: Sequence[ArrayType], has: Sequence[bool], found: Sequence[Any]) -> list[Any]:
    """As `fill`, where `has` speaks of the inputs of inexact dtype alone."""
    smooth = iter(has)
    return fill(types, [is_inexact(t.dtype) and next(smooth) for t in types], found)


def as_tangent(type_: ArrayType, x: Any, what: str) -> Any | None:
    """`x` as a tangent or cotangent of `type_`; None for that of an integer."""
    if not is_inexact(type_.dtype):
        if not is_float0(x):
            raise failure(
                DifferentiationError,
                f"{what} of an integer or boolean value of type {type_} must have dtype float0",
                "use np.zeros(shape, jitml.dtypes.float0)",
            )
        return None
    if is_float0(x):
        raise failure(DifferentiationError, f"{what} of a value of type {type_} has dtype float0")
    value = as_value(x, what)
    given = type_of(value)
    if given.shape != type_.shape:
        raise failure(
            ShapeError, f"{what} has type {given}, but the value that it belongs to has {type_}"
        )
    widens = given.weak and not (is_complex(given.dtype) and is_float(type_.dtype))
    if given.dtype != type_.dtype and not widens:
        raise failure(
            DifferentiationError,
            f"{what} has type {given}, but the value that it belongs to has {type_}",
            f"convert it with .astype({type_.dtype.name!r})",
        )
    return retyped(value, type_)


def described_type(x: Any) -> ArrayType:
    """The type of an array, or of anything that has a shape and a dtype."""
    if is_array_like(x):
        return type_of(as_value(x))
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return ArrayType(check_supported(np.dtype(x.dtype)), tuple(x.shape))
    return type_of(as_value(x, "an argument of linear_transpose"))


# ---- what can be differentiated ------------------------------------------------------------------


def check_input(name: str, path: str, type_: ArrayType, holomorphic: bool, allow_int: bool) -> None:
    if holomorphic and not is_complex(type_.dtype):
        raise failure(
            DifferentiationError,
            f"{name}: holomorphic=True needs complex arguments, but {path} is {type_}",
            "convert the argument with .astype('complex64')",
        )
    if not is_inexact(type_.dtype) and not allow_int:
        raise failure(
            DifferentiationError,
            f"{name}: the argument {path} is {type_}; "
            "only floats and complex numbers have gradients",
            "convert it with .astype('float32'), choose other argnums, or set allow_int=True",
        )


def check_scalar(name: str, recorded: Recorded, holomorphic: bool) -> None:
    if recorded.structure.spec is not None:
        hint = "return extra results beside the number, with has_aux=True"
        if recorded.structure.num_leaves == 0:
            hint = "a function without a return statement returns None"
        raise failure(
            DifferentiationError,
            f"{name}: the function must return one number, "
            f"but it returned {recorded.structure.text}",
            hint,
        )
    (type_,) = recorded.graph.output_types
    if type_.shape:
        raise failure(
            DifferentiationError,
            f"{name}: gradients are of functions that return one number; this one returned {type_}",
            "reduce the result with .sum() or .mean(), or use jacrev or vjp",
        )
    check_output(name, type_, holomorphic)


def check_output(name: str, type_: ArrayType, holomorphic: bool) -> None:
    """Raise unless a result of `type_` can be differentiated by `name`."""
    if holomorphic:
        if not is_complex(type_.dtype):
            raise failure(
                DifferentiationError,
                f"{name}: holomorphic=True needs a complex result, "
                f"but the function returned {type_}",
            )
    elif is_complex(type_.dtype):
        raise failure(
            DifferentiationError,
            f"{name}: the function must return a real number, but it returned {type_}",
            "pass holomorphic=True if the function is, or use vjp",
        )
    elif not is_float(type_.dtype):
        raise failure(
            DifferentiationError,
            f"{name}: the function returned {type_}; integers and booleans have no derivative",
            "return a float",
        )


def check_reduce_axes(reduce_axes: Sequence[Any]) -> None:
    if reduce_axes:
        raise failure(
            DifferentiationError,
            "reduce_axes is not supported",
            "sum over the mapped axis with lax.psum in the function itself",
        )
