"""Jacobians and Hessians of Python functions, with the signatures of JAX."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jitml.differentiation import linear_at
from jitml.differentiation_arguments import (
    Argnums,
    Chosen,
    check_input,
    check_output,
    choose_arguments,
    failure,
)
from jitml.ir.arguments import check_callable
from jitml.ir.dtypes import is_complex, is_inexact
from jitml.ir.errors import DifferentiationError
from jitml.recording import Recorded
from jitml.trace.core import type_of
from jitml.transforms.execute import execute
from jitml.transforms.gradient import forward_jacobian, reverse_jacobian
from jitml.transforms.values import zeros


def jacfwd(
    fun: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The function that gives the Jacobian of `fun` column by column, in forward mode: good for few
    inputs.

    >>> jacfwd(lambda x: x * x)(3.0)
    Array(6., dtype=float32, weak_type=True)
    """
    check_callable("jacfwd", fun)

    @functools.wraps(fun, updated=())
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        chosen = choose_arguments("jacfwd", fun, argnums, args)
        _check_inputs("jacfwd", chosen, holomorphic, False)
        recorded = chosen.record(fun, args, kwargs, has_aux)
        for type_ in recorded.graph.output_types:
            _check_forward_output(type_.dtype, holomorphic, str(type_))
        linear, residuals = linear_at(recorded, (True,) * len(chosen.values))
        blocks = iter(execute(forward_jacobian(linear.graph, len(residuals)), residuals))
        rows = [
            [next(blocks) if has else None for _ in chosen.values] for has in linear.has_tangent
        ]
        return _assembled(rows, recorded, chosen, has_aux)

    return jacobian


def jacrev(
    fun: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """The function that gives the Jacobian of `fun` row by row, in reverse mode: good for few
    outputs.

    >>> jacrev(lambda x: x * x)(3.0)
    Array(6., dtype=float32, weak_type=True)
    """
    check_callable("jacrev", fun)

    @functools.wraps(fun, updated=())
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        chosen = choose_arguments("jacrev", fun, argnums, args)
        _check_inputs("jacrev", chosen, holomorphic, allow_int)
        recorded = chosen.record(fun, args, kwargs, has_aux)
        for type_ in recorded.graph.output_types:
            check_output("jacrev", type_, holomorphic)
        flags = tuple([is_inexact(type_of(x).dtype) for x in chosen.values])
        linear, residuals = linear_at(recorded, flags)
        graph, has_cotangent = reverse_jacobian(linear.graph, len(residuals))
        blocks, smooth = iter(execute(graph, residuals)), iter(has_cotangent)
        columns = []
        for moves in flags:
            has_blocks = moves and next(smooth)
            columns.append([next(blocks) if has_blocks and t else None for t in linear.has_tangent])
        rows = [list(row) for row in zip(*columns, strict=True)]
        return _assembled(rows, recorded, chosen, has_aux)

    return jacobian


jacobian = jacrev


def hessian(
    fun: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The function that gives all second derivatives of `fun`: forward over reverse.

    >>> hessian(lambda x: x * x)(3.0)
    Array(2., dtype=float32, weak_type=True)
    """
    return jacfwd(
        jacrev(fun, argnums, has_aux=has_aux, holomorphic=holomorphic),
        argnums,
        has_aux=has_aux,
        holomorphic=holomorphic,
    )


def _assembled(
    rows: list[list[Any | None]], recorded: Recorded, chosen: Chosen, has_aux: bool
) -> Any:
    """Blocks by output and input as a tree of results, each a tree of arguments; None is a block
    of zeros.
    """
    leaves = []
    inputs = [type_of(x) for x in chosen.values]
    for out, row in zip(recorded.graph.output_types, rows, strict=True):
        full = [
            zeros(out.with_shape(out.shape + x.shape)) if block is None else block
            for block, x in zip(row, inputs, strict=True)
        ]
        leaves.append(chosen.unflatten(full))
    result = recorded.structure.unflatten(leaves)
    return (result, recorded.aux) if has_aux else result


def _check_inputs(name: str, chosen: Chosen, holomorphic: bool, allow_int: bool) -> None:
    for path, x in zip(chosen.paths, chosen.values, strict=True):
        type_ = type_of(x)
        check_input(name, path, type_, holomorphic, allow_int)
        if is_complex(type_.dtype) and not holomorphic and name == "jacfwd":
            raise failure(
                DifferentiationError,
                f"{name}: the argument {path} is {type_}; a Jacobian needs real arguments",
                "pass holomorphic=True if the function is, or use jvp",
            )


def _check_forward_output(dtype: Any, holomorphic: bool, type_: str) -> None:
    if holomorphic and not is_complex(dtype):
        raise failure(
            DifferentiationError,
            f"jacfwd: holomorphic=True needs a complex result, but the function returned {type_}",
        )
    if not is_inexact(dtype):
        raise failure(
            DifferentiationError,
            f"jacfwd: the function returned {type_}; integers and booleans have no derivative",
            "return a float, or return it beside the result with has_aux=True",
        )
