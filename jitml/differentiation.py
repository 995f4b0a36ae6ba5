"""Derivatives of Python functions: grad, vjp, jvp, linearize and their kin, with the signatures of
JAX.

A user's function and its arguments come in; the function runs once, on values; the graph that it
recorded is linearized, transposed and executed. Knows nothing of kernels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from jitml.differentiation_arguments import (
    Argnums,
    as_tangent,
    check_input,
    check_reduce_axes,
    check_scalar,
    choose_arguments,
    described_type,
    failure,
    fill,
    fill_inputs,
    with_captures,
)
from jitml.ir.arguments import check_callable
from jitml.ir.dtypes import is_inexact
from jitml.ir.errors import DifferentiationError, TreeError
from jitml.ir.graph import Graph
from jitml.ir.tracebacks import hiding_frames
from jitml.ir.types import ArrayType
from jitml.ops.elementwise import stop_gradient as stop_gradient_op
from jitml.recording import Recorded, output_leaves, record
from jitml.trace.core import trace_graph, type_of
from jitml.trace.forms import traced_form
from jitml.transforms.execute import execute
from jitml.transforms.gradient import LinearMap, gradient, linear_map, pullback
from jitml.transforms.linearize import linearize as linearize_graph
from jitml.transforms.transpose import transpose
from jitml.transforms.values import as_value, is_array_like
from jitml.tree_structure import Structure, flatten
from jitml.tree_util import Partial
from jitml_runtime.record import frozen

# ---- forward mode --------------------------------------------------------------------------------


def jvp(fun: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """The value of `fun(*primals)` and its derivative along `tangents`.

    >>> jvp(lambda x: x * x, (3.0,), (1.0,))
    (Array(9., dtype=float32, weak_type=True), Array(6., dtype=float32, weak_type=True))
    """
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (tuple, list)):
            raise failure(
                DifferentiationError,
                f"jvp: {name} must be a tuple or a list of arguments, not a {type(given).__name__}",
                f"for a function of one argument write ({name},)",
            )
    leaves, structure = flatten(tuple(primals))
    moving, tangent_structure = flatten(tuple(tangents))
    if structure != tangent_structure:
        raise failure(
            TreeError,
            "jvp: primals and tangents differ in structure: "
            f"{structure.text} and {tangent_structure.text}",
            "give one tangent for each primal",
        )
    values = [as_value(x, "a primal of jvp") for x in leaves]
    given = [
        as_tangent(type_of(x), t, "jvp: the tangent") for x, t in zip(values, moving, strict=True)
    ]
    recorded = _record_positional(fun, structure, values, has_aux)
    flags = tuple([t is not None for t in given])
    linear = linearize_graph(recorded.graph, with_captures(flags, recorded), False)
    residuals = recorded.values_of(linear.residuals)
    found = execute(linear.graph, [*residuals, *(t for t in given if t is not None)])
    pushed = fill(recorded.graph.output_types, linear.has_tangent, found)
    tangents_out = recorded.structure.unflatten(pushed)
    return _with_aux((_result(recorded), tangents_out), recorded, has_aux)


def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of `fun(*primals)`, and its derivative there as a linear function of tangents.

    >>> y, f_jvp = linearize(lambda x: x * x, 3.0)
    >>> f_jvp(1.0)
    Array(6., dtype=float32, weak_type=True)
    """
    return _linear_part(_Pushforward, fun, primals, has_aux, "linearize")


@frozen
class _LinearFunction:
    """A derivative at known values: `graph` takes residuals, then tangents of `inputs`.

    `has_tangent` says which `outputs` it returns; `structure` and `result` are those of arguments
    and result. Equal for equal programs, so that a function which holds one can pass through jit.
    """

    graph: Graph
    inputs: tuple[ArrayType, ...]
    outputs: tuple[ArrayType, ...]
    has_tangent: tuple[bool, ...]
    structure: Structure
    result: Structure

    __repr__ = object.__repr__


class _Pushforward(_LinearFunction):
    """A linear map from tangents to tangents, once the residuals are given."""

    def __call__(self, residuals: tuple[Any, ...], *tangents: Any) -> Any:
        leaves, structure = flatten(tangents)
        if structure != self.structure:
            raise failure(
                TreeError,
                f"the linearized function takes tangents of structure {self.structure}, "
                f"got {structure}",
                "a tangent has the structure of the argument that it belongs to",
            )
        given = [
            as_tangent(t, x, "linearize: the tangent")
            for t, x in zip(self.inputs, leaves, strict=True)
        ]
        found = execute(self.graph, [*residuals, *(t for t in given if t is not None)])
        return self.result.unflatten(fill(self.outputs, self.has_tangent, found))


# ---- reverse mode --------------------------------------------------------------------------------


def vjp(
    fun: Callable[..., Any], *primals: Any, has_aux: bool = False, reduce_axes: Sequence[Any] = ()
) -> Any:
    """The value of `fun(*primals)`, and the function that pulls cotangents of it back to the
    arguments.

    >>> y, f_vjp = vjp(lambda x: x * x, 3.0)
    >>> f_vjp(1.0)
    (Array(6., dtype=float32, weak_type=True),)
    """
    check_reduce_axes(reduce_axes)
    return _linear_part(_Pullback, fun, primals, has_aux, "vjp")


class _Pullback(_LinearFunction):
    """A linear map's transpose, from cotangents of outputs to those of inputs, once the
    residuals are given.
    """

    def __call__(self, residuals: tuple[Any, ...], cotangent: Any) -> Any:
        leaves, structure = flatten(cotangent)
        if structure != self.result:
            raise failure(
                TreeError,
                f"the cotangent has structure {structure}, the function's result {self.result}",
                "a cotangent has the structure of the function's result",
            )
        given = [
            as_tangent(t, x, "vjp: the cotangent")
            for t, x in zip(self.outputs, leaves, strict=True)
        ]
        seeds = [ct for ct, has in zip(given, self.has_tangent, strict=True) if has]
        back = pullback(self.graph, len(residuals))
        found = execute(back.graph, [*residuals, *seeds])
        return self.structure.unflatten(fill_inputs(self.inputs, back.has_cotangent, found))


def grad(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Sequence[Any] = (),
) -> Callable[..., Any]:
    """The function that gives the gradient of the scalar-valued `fun` in its arguments `argnums`.

    >>> grad(lambda x: x * x)(3.0)
    Array(6., dtype=float32, weak_type=True)
    """
    both = _value_and_grad("grad", fun, argnums, has_aux, holomorphic, allow_int, reduce_axes)

    @hiding_frames
    @functools.wraps(fun, updated=())
    def gradient_function(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return gradient_function


def value_and_grad(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Sequence[Any] = (),
) -> Callable[..., Any]:
    """As `grad`, but gives the value of `fun` (with `has_aux`: value and what came beside) and the
    gradient.

    >>> value_and_grad(lambda x: x * x)(3.0)
    (Array(9., dtype=float32, weak_type=True), Array(6., dtype=float32, weak_type=True))
    """
    return _value_and_grad(
        "value_and_grad", fun, argnums, has_aux, holomorphic, allow_int, reduce_axes
    )


def _value_and_grad(
    name: str,
    fun: Callable[..., Any],
    argnums: Argnums,
    has_aux: bool,
    holomorphic: bool,
    allow_int: bool,
    reduce_axes: Sequence[Any],
) -> Callable[..., Any]:
    check_callable(name, fun)
    check_reduce_axes(reduce_axes)

    @hiding_frames
    @functools.wraps(fun, updated=())
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        chosen = choose_arguments(name, fun, argnums, args)
        types = [type_of(x) for x in chosen.values]
        for path, type_ in zip(chosen.paths, types, strict=True):
            check_input(name, path, type_, holomorphic, allow_int)
        recorded = chosen.record(fun, args, kwargs, has_aux)
        check_scalar(name, recorded, holomorphic)
        flags = tuple([is_inexact(t.dtype) for t in types])
        backward = gradient(recorded.graph, with_captures(flags, recorded))
        found = execute(backward.graph, recorded.values_of(backward.residuals))
        gradients = chosen.unflatten(fill_inputs(types, backward.has_cotangent, found))
        value = _result(recorded)
        return ((value, recorded.aux) if has_aux else value), gradients

    return value_and_gradient


def linear_transpose(
    fun: Callable[..., Any], *primals: Any, reduce_axes: Sequence[Any] = ()
) -> Callable[..., Any]:
    """The transpose of the linear function `fun`; of `primals` only shapes and dtypes are used.

    >>> f_t = linear_transpose(lambda x: 3.0 * x, 1.0)
    >>> f_t(2.0)
    (Array(6., dtype=float32, weak_type=True),)
    """
    check_callable("linear_transpose", fun)
    check_reduce_axes(reduce_axes)
    leaves, structure = flatten(primals)
    types = [described_type(x) for x in leaves]
    for type_ in types:
        if not is_inexact(type_.dtype):
            raise failure(
                DifferentiationError,
                f"linear_transpose: an argument is of type {type_}; "
                "integers and booleans have no transpose",
                "close over it instead",
            )
    result: list[Structure] = []

    def flat(*tracers: Any) -> list[Any]:
        found, shape = output_leaves(traced_form(fun)(*structure.unflatten(tracers)))
        result.append(shape)
        return found

    traced = trace_graph(flat, types, getattr(fun, "__name__", ""))
    linear = [n < len(types) for n in range(len(traced.graph.inputs))]
    back = transpose(traced.graph, linear)
    outputs = traced.graph.output_types

    def transposed(cotangent: Any) -> Any:
        seeds, given_structure = flatten(cotangent)
        if given_structure != result[0]:
            raise failure(
                TreeError,
                f"the cotangent has structure {given_structure}, the function's result {result[0]}",
            )
        given = [
            as_tangent(t, x, "linear_transpose: the cotangent")
            for t, x in zip(outputs, seeds, strict=True)
        ]
        found = execute(back.graph, [*traced.captures, *given])
        return structure.unflatten(fill(types, back.has_cotangent, found))

    return transposed


def stop_gradient(x: Any) -> Any:
    """`x` (any tree), taken as constant by every derivative.

    >>> grad(lambda x: x * stop_gradient(x))(3.0)
    Array(3., dtype=float32, weak_type=True)
    """
    leaves, structure = flatten(x)
    return structure.unflatten([_stopped(leaf) for leaf in leaves])


def _stopped(leaf: Any) -> Any:
    if not is_array_like(leaf):
        return leaf
    value = as_value(leaf)
    return stop_gradient_op(value) if is_inexact(type_of(value).dtype) else value


# ---- what was recorded ---------------------------------------------------------------------------


def _linear_part(
    kind: type[_Pushforward] | type[_Pullback],
    fun: Callable[..., Any],
    primals: tuple[Any, ...],
    has_aux: bool,
    name: str,
) -> Any:
    """The result of `fun`, run once, and its linear part at `primals` as a map of this kind."""
    leaves, structure = flatten(primals)
    values = [as_value(x, f"a primal of {name}") for x in leaves]
    recorded = _record_positional(fun, structure, values, has_aux)
    flags = tuple([is_inexact(type_of(x).dtype) for x in values])
    linear, residuals = linear_at(recorded, flags)
    linear_map = kind(
        linear.graph,
        tuple([type_of(x) for x in values]),
        recorded.graph.output_types,
        linear.has_tangent,
        structure,
        recorded.structure,
    )
    results = _result(recorded), Partial(linear_map, tuple(residuals))
    return _with_aux(results, recorded, has_aux)


def _record_positional(
    fun: Callable[..., Any], structure: Structure, values: Sequence[Any], has_aux: bool
) -> Recorded:
    check_callable("jvp, vjp and linearize", fun)

    def call(*tracers: Any) -> Any:
        return traced_form(fun)(*structure.unflatten(tracers))

    name, hint = getattr(fun, "__name__", ""), (id(getattr(fun, "__code__", fun)), structure)
    return record(call, values, name, has_aux=has_aux, hint=hint)


def linear_at(recorded: Recorded, flags: tuple[bool, ...]) -> tuple[LinearMap, list[Any]]:
    """The linear map of what was recorded, and its residuals."""
    linear = linear_map(recorded.graph, with_captures(flags, recorded))
    return linear, execute(linear.known, recorded.values_of(linear.residuals))


def _result(recorded: Recorded) -> Any:
    return recorded.structure.unflatten(recorded.outputs)


def _with_aux(results: tuple[Any, ...], recorded: Recorded, has_aux: bool) -> tuple[Any, ...]:
    return (*results, recorded.aux) if has_aux else results
