"""`jit` and its kin: functions that users call to have theirs compiled, shown or measured.

In: functions. Out: `Jitted` functions, graphs, shapes, text.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from jitml.config import checked_threads
from jitml.dispatch import Jitted
from jitml.eager import clear_operations
from jitml.hardware import check_device
from jitml.ir.arguments import check_callable
from jitml.ir.errors import ArgumentError
from jitml.ir.source import user_source
from jitml.pipeline.compile import clear_compiled
from jitml.signature import choose_arguments

if TYPE_CHECKING:
    from jitml.reports.explanation import Explanation


def jit(
    fun: Callable[..., Any] | None = None,
    *,
    in_shardings: Any = None,
    out_shardings: Any = None,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
    keep_unused: bool = False,
    inline: bool = False,
    device: Any = None,
    backend: str | None = None,
    threads: int | None = None,
    python_control_flow: bool | None = None,
    compiler_options: dict[str, Any] | None = None,
    verify: int = 0,
) -> Any:
    """Compile `fun`: it is traced at the first call with new argument types, and runs as machine
    code from then on.

    Arguments may be nested containers of arrays and numbers. Static arguments are hashable Python
    values that a new compilation is made for; donated arrays are deleted after the call, and
    results take their memory where they can.

    `keep_unused` and `inline` are accepted: unused arguments cost nothing here, and nested jitted
    functions always become part of the outer program; so are shardings (there is one device) and
    `compiler_options`, which are XLA's. `threads` is the number of threads that it
    may use, whatever `num_threads` says; the result has the same bits for any.

    Python values that the function reads from around it (globals, closures, defaults, attributes,
    entries, also by way of the functions that it calls) may change: a scalar, string or container
    that is another one means a new trace, an array is fetched anew at each call. See
    `jitml.reading` for what is followed and what is not.

    Where Python would need the truth of a traced value (`if`, `while`, `for … in range(n)`,
    conditional expressions, `and`, `or`, `not`, comparisons in a row; with `break`, `continue` and
    early `return`), the function is traced a second time from its source, in which these become
    `lax.cond` and loops. That reaches the functions and methods of the user's own that it calls,
    not those of installed packages, nor code whose source is not at hand; there, and everywhere
    with `python_control_flow=False`, it is an error. What the function does besides (printing,
    appending to a log) is done again in the second trace. Values that are known while tracing
    decide as in Python, at once.

    With `verify=n`, the first n calls are compared, bit by bit, with the function's operations run
    one by one (what LAPACK and FFT libraries compute, up to rounding). A difference is a mistake of
    jitml's: the error names the first line, variable and element that differ, and a file that shows
    it again. Functions that do something beside (print, callbacks with effects) are not compared.

    >>> import jitml, jitml.numpy as jnp
    >>> @jitml.jit
    ... def f(x):
    ...     return 2 * x + 1
    >>> f(jnp.arange(3))
    Array([1, 3, 5], dtype=int32)
    >>> @jitml.jit
    ... def halvings(n):
    ...     count = 0
    ...     while n > 1:
    ...         n, count = n // 2, count + 1
    ...     return count
    >>> print(halvings(1000))
    9
    """
    if fun is None:
        return functools.partial(
            jit,
            static_argnums=static_argnums,
            static_argnames=static_argnames,
            donate_argnums=donate_argnums,
            donate_argnames=donate_argnames,
            device=device,
            backend=backend,
            threads=threads,
            python_control_flow=python_control_flow,
            verify=verify,
        )
    check_device(device, "jit")
    check_device(backend, "jit")
    if not callable(fun):
        raise ArgumentError(
            f"jit: {type(fun).__name__} is not a function",
            hint="pass the function itself, not what it returns",
            source=user_source(),
        )
    static = choose_arguments(fun, static_argnums, static_argnames, "static")
    donated = choose_arguments(fun, donate_argnums, donate_argnames, "donate")
    both = {*static.numbers} & {*donated.numbers} | {*static.names} & {*donated.names}
    if both:
        raise ArgumentError(
            f"jit: {', '.join(map(str, sorted(both, key=str)))} cannot be both static and donated",
            hint="only arrays can be donated, and arrays cannot be static",
            source=user_source(),
        )
    limit = None if threads is None else checked_threads(threads)
    return Jitted(fun, static, donated, limit, python_control_flow, checked_count(verify))


def checked_count(verify: Any) -> int:
    """The number of calls to verify."""
    if isinstance(verify, int) and verify >= 0:
        return int(verify)
    raise ArgumentError(
        f"jit: verify is a number of calls, not {verify!r}",
        hint="jit(f, verify=3) compares the first three",
        source=user_source(),
    )


def make_graph(
    fun: Callable[..., Any],
    static_argnums: int | Sequence[int] = (),
    return_shape: bool = False,
    static_argnames: str | Iterable[str] | None = None,
) -> Callable[..., Any]:
    """A function that gives the graph which `fun` records for its arguments (arrays or
    ShapeDtypeStructs).

    With `return_shape` it gives a pair: the graph, and ShapeDtypeStructs for the result.

    >>> import jitml, jitml.numpy as jnp
    >>> print(jitml.make_graph(lambda x: x + 1)(jnp.zeros(3)))  # doctest: +ELLIPSIS
    graph ...
    """
    jitted = jit(fun, static_argnums=static_argnums, static_argnames=static_argnames)

    @functools.wraps(fun, updated=())
    def graph_of(*args: Any, **kwargs: Any) -> Any:
        traced = jitted.trace(*args, **kwargs)
        return (traced.graph, traced.out_info) if return_shape else traced.graph

    return graph_of


make_jaxpr = make_graph


def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Shapes and dtypes of the result of `fun`, without computing it.

    >>> import jitml, jitml.numpy as jnp
    >>> jitml.eval_shape(jnp.dot, jitml.ShapeDtypeStruct((2, 3), "float32"), jnp.ones(3))
    ShapeDtypeStruct(shape=(2,), dtype=float32)
    """
    check_callable("eval_shape", fun)
    return Jitted(fun).eval_shape(*args, **kwargs)


def explain(
    fun: Callable[..., Any], *args: Any, assembly: bool = False, full: bool = False, **kwargs: Any
) -> Explanation:
    """Every stage that `fun` goes through for these arguments (arrays or ShapeDtypeStructs).

    Kernels are shown as LLVM text, or with `assembly` as machine code; long ones only with `full`.
    The result is text; `.as_dict()` has it as data, and in a notebook a click on a line of the
    source marks what it became.

    >>> import jitml, jitml.numpy as jnp
    >>> print(jitml.explain(lambda x: jnp.sin(x) * 2, jnp.zeros(3)))  # doctest: +ELLIPSIS
    == source ==
    ...
    """
    from jitml.reports.explanation import explain_graph

    jitted = fun if isinstance(fun, Jitted) else Jitted(fun)
    traced = jitted.trace(*args, **kwargs)
    return explain_graph(fun, traced.graph, assembly, full, traced.rewritten)


def clear_caches() -> None:
    """Forget everything that jitted functions and single operations have compiled.

    >>> clear_caches()
    """
    for function in Jitted.instances():
        function.clear_cache()
    clear_operations()
    clear_compiled()
