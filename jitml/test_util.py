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
    check = functools.partial(_check_order, atol=atol, rtol=rtol, eps=eps)
    if "fwd" in modes:
        check(f, tuple(args), "fwd")
        tangents = tuple(args)
        if order > 1:
            moved = functools.partial(_pushed, f, len(tangents))
            check_grads(moved, (*args, *tangents), order - 1, modes, atol, rtol, eps)
    if "rev" in modes:
        check(f, tuple(args), "rev")
        if order > 1:
            check_grads(functools.partial(_pulled, f), args, order - 1, modes, atol, rtol, eps)


def _pushed(f: Callable[..., Any], count: int, *args: Any) -> Any:
    return jvp(f, args[:count], args[count:])


def _pulled(f: Callable[..., Any], *args: Any) -> Any:
    result, pull = vjp(f, *args)
    return pull(result)


def _check_order(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    mode: str,
    atol: float | None,
    rtol: float | None,
    eps: float | None,
) -> None:
    random = np.random.default_rng(0)
    tangents = tree.map(functools.partial(_random_like, random), args)
    bytes_ = min((_real_bytes(x) for x in tree.leaves(args) if _moves(x)), default=8)
    step = _STEPS[bytes_] if eps is None else eps
    wanted = _difference(f, args, tangents, step)
    scale = rtol if rtol is not None else _TOLERANCES[bytes_]
    close = functools.partial(_assert_close, rtol=scale, atol=scale if atol is None else atol)
    if mode == "fwd":
        found = jvp(f, args, tangents)[1]
        for got, want in zip(_inexact_leaves(found), wanted, strict=True):
            close(got, want, "forward mode differs from differences")
        return
    result, pull = vjp(f, *args)
    cotangents = tree.map(functools.partial(_random_like, random), result)
    back = _inexact_leaves(pull(cotangents))
    moving = [t for t in tree.leaves(tangents) if _moves(t)]
    forward = sum(_inner(ct, w) for ct, w in zip(_inexact_leaves(cotangents), wanted, strict=True))
    backward = sum(_inner(ct, np.asarray(t)) for ct, t in zip(back, moving, strict=True))
    close(backward, forward, "reverse mode differs from differences")


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


def _assert_close(got: Any, want: Any, message: str, rtol: float, atol: float) -> None:
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=message)
