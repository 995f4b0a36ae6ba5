"""`fwd_and_bwd`: the two passes of reverse mode as two functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitml.compilation import jit
from jitml.differentiation import vjp
from jitml.ir.arguments import as_integer, check_callable

__all__ = ["fwd_and_bwd"]


def fwd_and_bwd(
    fun: Callable[..., Any],
    argnums: int | Sequence[int],
    has_aux: bool = False,
    jitted: bool = True,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Two functions: `fwd(*args)` gives the result of `fun` and residuals (with `has_aux` also what
    comes beside the result), `bwd(residuals, cotangent)` the cotangents of the arguments `argnums`.

    >>> fwd, bwd = fwd_and_bwd(lambda x, y: x * y, argnums=(0, 1))
    >>> product, residuals = fwd(3.0, 4.0)
    >>> print(product, *bwd(residuals, 1.0))
    12.0 4.0 3.0
    """
    check_callable("fwd_and_bwd", fun)
    is_single = not isinstance(argnums, Sequence)
    given: Any = [argnums] if is_single else argnums
    numbers = [as_integer("fwd_and_bwd: argnums", n) for n in given]
    function = jit(fun) if jitted else fun

    def fwd(*args: Any) -> Any:
        def of_moving(*moving: Any) -> Any:
            every = list(args)
            for n, x in zip(numbers, moving, strict=True):
                every[n] = x
            return function(*every)

        return vjp(of_moving, *[args[n] for n in numbers], has_aux=has_aux)

    def bwd(residuals: Any, cotangent: Any) -> Any:
        cotangents = residuals(cotangent)
        return cotangents[0] if is_single else cotangents

    return fwd, bwd
