"""Check derivatives against differences of function values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitml import tree
from jitml.differentiation import jvp, vjp
from jitml.ir.dtypes import is_complex, is_inexact, real_dtype
from jitml.trace.core import type_of
from jitml.transforms.values import as_value, float0_zeros

# Relative tolerance and step by the size of a real number: differences lose about two thirds of the
# digits.
_TOLERANCES = {2: 5e-2, 4: 5e-3, 8: 1e-6}
_STEPS = {2: 1e-1, 4: 5e-3, 8: 1e-5}


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Raise AssertionError unless the derivatives of `f` at `args` equal central differences, up to
    `order`.

    >>> check_grads(lambda x: x * x, (3.0,), order=2)
    """
    if order < 1:
        return
    tolerances: dict[str, Any] = {"atol": atol, "rtol": rtol, "eps": eps}
    if "fwd" in modes:
        check_jvp(f, functools.partial(jvp, f), args, **tolerances)
        tangents = tuple(args)
        if order > 1:
            moved = functools.partial(_pushed, f, len(tangents))
            check_grads(moved, (*args, *tangents), order - 1, modes, atol, rtol, eps)
    if "rev" in modes:
        check_vjp(f, functools.partial(vjp, f), args, **tolerances)
        if order > 1:
            check_grads(functools.partial(_pulled, f), args, order - 1, modes, atol, rtol, eps)


def check_jvp(
    f: Callable[..., Any],
    f_jvp: Callable[..., Any],
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    err_msg: str = "",
) -> None:
    """Raise AssertionError unless `f_jvp(args, tangents)` gives `f(*args)`, and the central
    difference of `f` along random tangents.

    >>> import functools, jitml
    >>> square = lambda x: x * x
    >>> check_jvp(square, functools.partial(jitml.jvp, square), (3.0,))
    """
    at = _Point(f, args, eps, rtol, atol, err_msg)
    value, found = f_jvp(at.args, at.tangents)
    at.check_value(value)
    for got, want in zip(_inexact_leaves(found), at.difference, strict=True):
        at.check(got, want, "forward mode differs from differences")


def check_vjp(
    f: Callable[..., Any],
    f_vjp: Callable[..., Any],
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    err_msg: str = "",
) -> None:
    """Raise AssertionError unless `f_vjp(*args)` gives `f(*args)` and a function that agrees with
    the central difference of `f`, in random directions.

    >>> import functools, jitml
    >>> square = lambda x: x * x
    >>> check_vjp(square, functools.partial(jitml.vjp, square), (3.0,))
    """
    at = _Point(f, args, eps, rtol, atol, err_msg)
    value, pull = f_vjp(*at.args)
    at.check_value(value)
    cotangents = tree.map(functools.partial(_random_like, at.random), value)
    back = _inexact_leaves(pull(cotangents))
    moving = [t for t in tree.leaves(at.tangents) if _moves(t)]
    pairs = zip(_inexact_leaves(cotangents), at.difference, strict=True)
    forward = sum(_inner(ct, want) for ct, want in pairs)
    backward = sum(_inner(ct, np.asarray(t)) for ct, t in zip(back, moving, strict=True))
    at.check(backward, forward, "reverse mode differs from differences")


class _Point:
    """Arguments of a function, random tangents there, and what differences say along them."""

    def __init__(
        self,
        f: Callable[..., Any],
        args: Sequence[Any],
        eps: float | None,
        rtol: float | None,
        atol: float | None,
        message: str,
    ) -> None:
        self.args = tuple(args)
        self.random = np.random.default_rng(0)
        self.tangents = tree.map(functools.partial(_random_like, self.random), self.args)
        bytes_ = min((_real_bytes(x) for x in tree.leaves(args) if _moves(x)), default=8)
        step = _STEPS[bytes_] if eps is None else eps
        self._value = functools.partial(f, *tree.map(as_value, self.args))
        self.difference = _difference(f, self.args, self.tangents, step)
        self._rtol = _TOLERANCES[bytes_] if rtol is None else rtol
        self._atol = self._rtol if atol is None else atol
        self._message = f"{message}: " if message else ""

    def check_value(self, value: Any) -> None:
        """Check what a derivative gives as the function's value."""
        for got, want in zip(_inexact_leaves(value), _inexact_leaves(self._value()), strict=True):
            self.check(got, want, "the value differs from that of the function")

    def check(self, got: Any, want: Any, message: str) -> None:
        """Raise unless two numbers are close."""
        np.testing.assert_allclose(
            got, want, rtol=self._rtol, atol=self._atol, err_msg=self._message + message
        )


def _pushed(f: Callable[..., Any], count: int, *args: Any) -> Any:
    return jvp(f, args[:count], args[count:])


def _pulled(f: Callable[..., Any], *args: Any) -> Any:
    result, pull = vjp(f, *args)
    return pull(result)


def _moves(x: Any) -> bool:
    return getattr(x, "dtype", None) != float0_zeros(()).dtype and is_inexact(
        type_of(as_value(x)).dtype
    )


def _real_bytes(x: Any) -> int:
    return int(real_dtype(type_of(as_value(x)).dtype).itemsize)


def _random_like(random: np.random.Generator, x: Any) -> Any:
    """A random tangent of `x`."""
    type_ = type_of(as_value(x))
    if not is_inexact(type_.dtype):
        return float0_zeros(type_.shape)
    numbers = random.standard_normal(type_.shape)
    if is_complex(type_.dtype):
        numbers = numbers + 1j * random.standard_normal(type_.shape)
    return np.asarray(numbers).astype(type_.dtype)


def _inexact_leaves(x: Any) -> list[Any]:
    return [_wide(leaf) for leaf in tree.leaves(x) if _moves(leaf)]


def _wide(x: Any) -> Any:
    array = np.asarray(x)
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _difference(
    f: Callable[..., Any], args: tuple[Any, ...], tangents: tuple[Any, ...], step: float
) -> list[Any]:
    """The central difference of `f` at `args` along `tangents`, in 64 bits."""

    def shifted(amount: float) -> Any:
        def move(x: Any, t: Any) -> Any:
            if not _moves(x):
                return x
            array = np.asarray(as_value(x))
            return as_value((array + np.asarray(t) * amount).astype(array.dtype))

        return _inexact_leaves(f(*tree.map(move, args, tangents)))

    pairs = zip(shifted(step), shifted(-step), strict=True)
    return [(high - low) / (2 * step) for high, low in pairs]


def _inner(cotangent: Any, tangent: Any) -> Any:
    """The pairing of cotangents with tangents: the real part of their plain product."""
    return np.real(np.sum(cotangent * tangent))
