"""`ufunc`: an elementwise function with the methods that NumPy gives it.

In: a function of arrays, or of scalars. Out: an object that is called like it, as fast, and has
`reduce`, `accumulate`, `outer`, `at` and `reduceat`; what these do is in ufunc_methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitml.eager import run_unknown
from jitml.ir.arguments import check_callable
from jitml.ir.errors import ArgumentError
from jitml.numpy.operands import fail
from jitml.typing import Array, ArrayLike, Axis, DTypeLike
from jitml_runtime import Operation

__all__ = ["frompyfunc", "ufunc"]

Rule = Callable[..., Any]


class ufunc(Operation):
    """An elementwise function of `nin` arrays with NumPy's methods.

    Made of a function of scalars; what is faster or more exact than calls of it one by one can be
    given as `call`, `reduce`, `accumulate`, `at` and `reduceat`.

    >>> import jitml.numpy as jnp
    >>> larger = ufunc(lambda x, y: jnp.where(x > y, x, y), 2, 1)
    >>> print(larger.reduce(jnp.array([1, 3, 2])))
    3
    """

    __slots__ = ("_rules", "identity", "nargs", "nin", "nout")

    def __new__(
        cls,
        func: Callable[..., Any],
        /,
        nin: int,
        nout: int,
        *,
        call: Rule | None = None,
        keeps_integer: bool = False,
        **options: Any,
    ) -> ufunc:
        function = call or _of_scalars(func, options.get("name"))
        return super().__new__(cls, function, run_unknown, True, keeps_integer)

    def __init__(
        self,
        func: Callable[..., Any],
        /,
        nin: int,
        nout: int,
        *,
        name: str | None = None,
        nargs: int | None = None,
        identity: Any = None,
        call: Rule | None = None,
        reduce: Rule | None = None,
        accumulate: Rule | None = None,
        at: Rule | None = None,
        reduceat: Rule | None = None,
        keeps_integer: bool = False,
    ) -> None:
        if nin < 1 or nout < 1:
            fail(ArgumentError, f"ufunc: {nin} arguments and {nout} results are too few")
        self.nin, self.nout, self.identity = nin, nout, identity
        self.nargs = nin if nargs is None else nargs
        self._rules = {"reduce": reduce, "accumulate": accumulate, "at": at, "reduceat": reduceat}

    def __getattribute__(self, name: str) -> Any:
        if name in ("__doc__", "__module__"):  # those of the class stand before those of the base
            return getattr(self.__wrapped__, name)
        return super().__getattribute__(name)

    def __repr__(self) -> str:
        return f"<ufunc {self.__name__}>"

    def _method(self, method: str, takes: int = 2) -> Rule:
        """What a method does: the rule that was given, or the general one."""
        from jitml.numpy import ufunc_methods

        if self.nin not in (takes, 2) or self.nout != 1:
            fail(
                ArgumentError,
                f"{self.__name__}.{method}: needs a function of two arguments and one result",
            )
        general = getattr(ufunc_methods, method)
        rule = self._rules.get(method) or ufunc_methods.RULES.get((self.__name__, method))
        return rule or (lambda *args, **options: general(self, *args, **options))

    def reduce(
        self,
        a: ArrayLike,
        axis: Axis = 0,
        dtype: DTypeLike | None = None,
        out: None = None,
        keepdims: bool = False,
        initial: ArrayLike | None = None,
        where: ArrayLike | None = None,
    ) -> Array:
        """The function applied to all elements along an axis, one after the other.

        >>> import jitml.numpy as jnp
        >>> print(jnp.add.reduce(jnp.array([1, 2, 3])))
        6
        """
        return self._method("reduce")(
            a, axis=axis, dtype=dtype, out=out, keepdims=keepdims, initial=initial, where=where
        )

    def accumulate(
        self, a: ArrayLike, axis: int = 0, dtype: DTypeLike | None = None, out: None = None
    ) -> Array:
        """What `reduce` gives up to each element.

        >>> import jitml.numpy as jnp
        >>> print(jnp.add.accumulate(jnp.array([1, 2, 3])))
        [1 3 6]
        """
        return self._method("accumulate")(a, axis=axis, dtype=dtype, out=out)

    def outer(self, A: ArrayLike, B: ArrayLike, /) -> Array:
        """The function of each pair of elements.

        >>> import jitml.numpy as jnp
        >>> print(jnp.add.outer(jnp.array([10, 20]), jnp.array([1, 2])))
        [[11 12]
         [21 22]]
        """
        return self._method("outer")(A, B)

    def at(
        self, a: ArrayLike, indices: Any, b: ArrayLike | None = None, /, *, inplace: bool = True
    ) -> Array:
        """`a` with the function applied to the elements at `indices`, as often as each is named.

        >>> import jitml.numpy as jnp
        >>> print(jnp.add.at(jnp.zeros(2), jnp.array([0, 0]), 1.0, inplace=False))
        [2. 0.]
        """
        return self._method("at", takes=1)(a, indices, b, inplace=inplace)

    def reduceat(
        self,
        a: ArrayLike,
        indices: Any,
        axis: int = 0,
        dtype: DTypeLike | None = None,
        out: None = None,
    ) -> Array:
        """What `reduce` gives from each index up to the next, or to the end.

        >>> import jitml.numpy as jnp
        >>> print(jnp.add.reduceat(jnp.array([1, 2, 3]), jnp.array([0, 2])))
        [3 3]
        """
        return self._method("reduceat")(a, indices, axis=axis, dtype=dtype, out=out)


def _of_scalars(func: Callable[..., Any], name: str | None) -> Rule:
    """A function of scalars as one of arrays."""
    from jitml.numpy.functional import vectorize

    def function(*args: Any, out: None = None, where: None = None) -> Any:
        if out is not None or where is not None:
            fail(ArgumentError, f"{function.__name__}: `out` and `where` are not supported")
        return vectorized(*args)

    vectorized = vectorize(func)
    function.__name__ = function.__qualname__ = name or str(getattr(func, "__name__", "ufunc"))
    function.__doc__ = func.__doc__
    return function


def elementwise(
    nin: int = 2, *, identity: Any = None, keeps_integer: bool = False
) -> Callable[[Callable[..., Any]], ufunc]:
    """Decorator: a function of arrays as a ufunc."""
    return lambda function: ufunc(
        function, nin, 1, call=function, identity=identity, keeps_integer=keeps_integer
    )


def frompyfunc(func: Callable[..., Any], /, nin: int, nout: int, *, identity: Any = None) -> ufunc:
    """A function of `nin` scalars with `nout` results as a ufunc.

    >>> import jitml.numpy as jnp
    >>> longer = frompyfunc(lambda x, y: 10 * x + y, 2, 1)
    >>> print(longer.reduce(jnp.array([1, 2, 3])))
    123
    """
    check_callable("frompyfunc", func)
    return ufunc(func, nin, nout, identity=identity)
