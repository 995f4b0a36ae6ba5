"""Solutions of equations, with the derivatives that the implicit function theorem gives:
`custom_root` and `custom_linear_solve`.

How a solution is found is the user's business, and is not differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitml.closures import Closed, close
from jitml.custom_calls import failure
from jitml.custom_derivatives import custom_jvp
from jitml.differentiation import jvp, linear_transpose, stop_gradient
from jitml.ir.dtypes import is_inexact
from jitml.ir.errors import ShapeError, TracerError, TreeError
from jitml.ops.elementwise import neg, sub
from jitml.trace.core import type_of
from jitml.trace.forms import traced_form
from jitml.transforms.values import as_value, float0_zeros, zeros
from jitml.tree import map as tree_map
from jitml.tree_structure import flatten

Solve = Callable[[Callable[..., Any], Any], Any]
Operator = Callable[[Any], Callable[[Any], Any]]  # of what it closes over
Run = Callable[..., Any]


def custom_root(
    f: Callable[..., Any],
    initial_guess: Any,
    solve: Solve,
    tangent_solve: Solve,
    has_aux: bool = False,
) -> Any:
    """The x for which `f(x)` is zero, as `solve(f, initial_guess)` finds it, differentiable in what
    `f` closes over.

    `tangent_solve(g, y)` solves the linear equation `g(x) = y`.

    >>> import jitml
    >>> def root(a):
    ...     def newton(f, x):
    ...         for _ in range(20):
    ...             x = x - f(x) / jitml.grad(f)(x)
    ...         return x
    ...     return custom_root(lambda x: x * x - a, 1.0, newton, lambda g, y: y / g(1.0))
    >>> print(jitml.grad(root)(4.0))
    0.25
    """
    closed, captures = _opened(close(f, (initial_guess,)))
    _check_same("custom_root: f(initial_guess)", closed, initial_guess)

    def at(parameters: Any) -> Callable[[Any], Any]:
        return lambda x: closed(parameters, x)

    def result(parameters: Any, guess: Any) -> tuple[Any, Any]:
        found = traced_form(solve)(at(parameters), guess)
        return found if has_aux else (found, None)

    function = custom_jvp(result)

    @function.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        parameters, guess = primals
        x, aux = function(parameters, guess)
        _, slope = jvp(lambda *p: closed(p, x), tuple(parameters), tuple(tangents[0]))

        def linear(v: Any) -> Any:
            return jvp(at(parameters), (x,), (v,))[1]

        dx = tree_map(lambda t: neg(as_value(t)), traced_form(tangent_solve)(linear, slope))
        return (x, aux), (dx, tree_map(_zero, aux))

    guess = stop_gradient(initial_guess)
    x, aux = function(captures, guess)
    return (x, aux) if has_aux else x


def custom_linear_solve(
    matvec: Callable[..., Any],
    b: Any,
    solve: Solve,
    transpose_solve: Solve | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """The x for which `matvec(x)` is `b`, as `solve(matvec, b)` finds it, differentiable in `b` and
    in what `matvec` closes over.

    Reverse mode needs `transpose_solve(vecmat, y)`, where `vecmat` is the transpose of `matvec`, or
    `symmetric`.

    >>> import jitml
    >>> def divide(a, b):
    ...     return custom_linear_solve(lambda x: a * x, b, lambda f, y: y / f(1.0), symmetric=True)
    >>> print(jitml.grad(divide)(2.0, 6.0))
    -1.5
    """
    closed, captures = _opened(close(matvec, (b,)))
    _check_same("custom_linear_solve: matvec(b)", closed, b)
    back = solve if symmetric and transpose_solve is None else transpose_solve

    def vecmat(parameters: Any) -> Callable[[Any], Any]:
        return lambda y: linear_transpose(lambda x: closed(parameters, x), b)(y)[0]

    def matvec_at(parameters: Any) -> Callable[[Any], Any]:
        return lambda x: closed(parameters, x)

    run, held = _explicit(matvec_at, solve, captures, b)
    forward = _solver(matvec_at, run, 1, has_aux)
    parameters = [captures, held]
    if back is not None:
        adjoint = matvec_at if symmetric else vecmat
        run_back, held_back = _explicit(adjoint, back, captures, b)
        backward = _solver(adjoint, run_back, 2, has_aux)
        parameters.append(held_back)
        forward.transposed = lambda parameters, ct: backward(parameters, ct[0])[0]
        backward.transposed = lambda parameters, ct: forward(parameters, ct[0])[0]
    x, aux = forward(parameters, b)
    return (x, aux) if has_aux else x


def _explicit(
    operator: Operator, solve: Solve, captures: list[Any], b: Any
) -> tuple[Run, list[Any]]:
    """The solver of `operator(captures)` as a function of what it closes over, of captures and of
    the right side; and what it closes over. One that needs values at hand stays as it is.
    """

    def solved(parameters: Any, y: Any) -> Any:
        return traced_form(solve)(operator(parameters), y)

    try:
        closed, held = _opened(close(solved, (captures, b)))
    except TracerError:
        return lambda _, parameters, y: solved(parameters, y), []
    return closed.__call__, held


def _solver(operator: Operator, run: Run, place: int, has_aux: bool) -> custom_jvp:
    """The function of parameters and right side that solves a linear equation. The first of the
    parameters are those of the operator, those at `place` what the solver closes over.
    """

    def linear_solve(parameters: Any, b: Any) -> tuple[Any, Any]:
        found = run(parameters[place], parameters[0], b)
        return found if has_aux else (found, None)

    function = custom_jvp(linear_solve)

    @function.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        parameters, b = primals
        x, aux = function(parameters, b)
        moved = tangents[1]
        if parameters[0]:
            slopes = tuple(tangents[0][0])
            _, slope = jvp(lambda *p: operator(list(p))(x), tuple(parameters[0]), slopes)
            moved = tree_map(lambda t, s: sub(as_value(t), as_value(s)), moved, slope)
        return (x, aux), (function(parameters, moved)[0], tree_map(_zero, aux))

    return function


def _opened(closed: Closed) -> tuple[Closed, list[Any]]:
    """A function, and apart from it what it captured."""
    return closed._replace(captures=()), list(closed.captures)


def _zero(x: Any) -> Any:
    type_ = type_of(as_value(x))
    return zeros(type_) if is_inexact(type_.dtype) else float0_zeros(type_.shape)


def _check_same(what: str, closed: Closed, like: Any) -> None:
    """Raise unless a function's result is like its argument."""
    leaves, structure = flatten(like)
    if closed.result != structure:
        raise failure(
            f"{what} has structure {closed.result}, the argument {structure}", kind=TreeError
        )
    wanted = [type_of(as_value(x)).shape for x in leaves]
    found = [t.shape for t in closed.graph.output_types]
    if found != wanted:
        raise failure(f"{what} has shapes {found}, the argument {wanted}", kind=ShapeError)
