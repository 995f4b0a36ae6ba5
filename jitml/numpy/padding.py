"""`pad`: elements added around an array, in NumPy's modes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitml.ir.errors import ArgumentError
from jitml.numpy import extremes, quantiles, statistics
from jitml.numpy.joining import take_slice
from jitml.numpy.manipulation import expand_dims, moveaxis
from jitml.numpy.operands import cast, expand_to, fail, is_number, operand, settle
from jitml.numpy.ranges import linspace
from jitml.numpy.rounding import round
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.trace.core import type_of
from jitml.typing import Array, ArrayLike

__all__ = ["pad"]

Pairs = list[tuple[int, int]]


def pad(array: ArrayLike, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Array:
    """An array with elements added before and behind along each axis.

    Modes: "constant" (`constant_values`), "edge", "reflect", "symmetric" (`reflect_type`), "wrap",
    "linear_ramp" (`end_values`), "maximum", "minimum", "mean" (`stat_length`), "empty".

    >>> import jitml.numpy as jnp
    >>> print(pad(jnp.array([1, 2]), 1))
    [0 1 2 0]
    """
    x = operand(array, "pad")
    widths = _pairs("pad_width", pad_width, type_of(x).ndim)
    if any(a < 0 or b < 0 for a, b in widths):
        fail(ArgumentError, f"pad: a width is negative: {widths}")
    if mode in ("constant", "empty"):
        return settle(_pad_constant(x, widths, kwargs.get("constant_values", 0)))
    if mode not in _MODES:
        fail(
            ArgumentError,
            f"pad: mode {mode!r} is not known",
            f"modes are constant, empty, {', '.join(_MODES)}",
        )
    for axis, (before, behind) in enumerate(widths):
        if not before and not behind:
            continue
        if not type_of(x).shape[axis]:
            fail(
                ArgumentError,
                f"pad: axis {axis} is empty, mode {mode!r} has nothing to pad it with",
            )
        x = _MODES[mode](x, axis, before, behind, kwargs)
    return settle(x)


def _pairs(name: str, given: Any, rank: int) -> Pairs:
    """(before, behind) for each axis, of a number, a pair, pairs, or a dict by axis."""
    if isinstance(given, dict):
        pairs = [(0, 0)] * rank
        for axis, entry in given.items():
            pairs[axis] = tuple(np.broadcast_to(np.asarray(entry), (2,)).tolist())
        return pairs
    try:
        wide = np.broadcast_to(np.asarray(given), (rank, 2))
    except ValueError:
        fail(ArgumentError, f"pad: {name}={given!r} does not fit an array of {rank} dimensions")
    return [(operator.index(a), operator.index(b)) for a, b in wide.tolist()]


def _pad_constant(x: Any, widths: Pairs, values: Any) -> Any:
    type_ = type_of(x)
    if is_number(values) or not np.ndim(values):
        filler = cast(values if is_number(values) else operand(values), type_.dtype, type_.weak)
        return mv.pad(x, filler, [(a, b, 0) for a, b in widths])
    table = np.broadcast_to(np.asarray(values), (type_.ndim, 2))
    for axis, (before, behind) in enumerate(widths):
        for side, width in enumerate((before, behind)):
            config = [(0, 0, 0)] * type_.ndim
            config[axis] = (width, 0, 0) if side == 0 else (0, width, 0)
            filler = cast(table[axis, side].item(), type_.dtype, type_.weak)
            x = mv.pad(x, filler, config)
    return x


def _joined(x: Any, axis: int, before: Sequence[Any], behind: Sequence[Any]) -> Any:
    return mv.concatenate([*before, x, *behind], axis)


def _repeated(x: Any, axis: int, position: int, width: int) -> Any:
    """One slice along an axis, `width` times."""
    piece = take_slice(x, axis, position, position + 1)
    shape = type_of(x).shape
    return expand_to(piece, (*shape[:axis], width, *shape[axis + 1 :]))


def _pad_edge(x: Any, axis: int, before: int, behind: int, _: dict[str, Any]) -> Any:
    last = type_of(x).shape[axis] - 1
    front = [_repeated(x, axis, 0, before)] if before else []
    return _joined(x, axis, front, [_repeated(x, axis, last, behind)] if behind else [])


def _pad_wrap(x: Any, axis: int, before: int, behind: int, _: dict[str, Any]) -> Any:
    n = type_of(x).shape[axis]
    front, back = before % n, behind % n
    parts = [take_slice(x, axis, n - front, n)] if front else []
    parts += [x] * (before // n + 1 + behind // n)
    parts += [take_slice(x, axis, 0, back)] if back else []
    return mv.concatenate(parts, axis)


def _mirror(with_edge: bool) -> Callable[..., Any]:
    """Reflection: pieces as long as the array allows, until the width is filled."""

    def pad_mirror(x: Any, axis: int, before: int, behind: int, options: dict[str, Any]) -> Any:
        odd = options.get("reflect_type", "even") == "odd"
        n = type_of(x).shape[axis]
        if n == 1 and not with_edge:
            return _pad_edge(x, axis, before, behind, options)
        skip, longest = (0, n) if with_edge else (1, n - 1)
        while before > 0 or behind > 0:
            length = type_of(x).shape[axis]
            size = min(before, longest)
            front = [_reflected(x, axis, skip, size, 0, odd)] if size > 0 else []
            before -= max(size, 0)
            size = min(behind, longest)
            back = (
                [_reflected(x, axis, length - skip - size, size, length - 1, odd)]
                if size > 0
                else []
            )
            behind -= max(size, 0)
            x = _joined(x, axis, front, back)
        return x

    return pad_mirror


def _reflected(x: Any, axis: int, start: int, size: int, edge: int, odd: bool) -> Any:
    """A piece in reverse order; with `odd`, mirrored at the edge's value too."""
    piece = mv.reverse(take_slice(x, axis, start, start + size), (axis,))
    if not odd:
        return piece
    return ew.sub(ew.mul(_repeated(x, axis, edge, size), 2), piece)


def _pad_ramp(x: Any, axis: int, before: int, behind: int, options: dict[str, Any]) -> Any:
    type_ = type_of(x)
    ends = np.broadcast_to(np.asarray(options.get("end_values", 0)), (type_.ndim, 2))[axis]

    def ramp(position: int, end: float, width: int) -> Any:
        edge = settle(take_slice(x, axis, position, position + 1))
        start = mv.reshape(edge, (*type_.shape[:axis], *type_.shape[axis + 1 :]))
        line = linspace(end, settle(start), width, endpoint=False, dtype=type_.dtype)
        return moveaxis(line, 0, axis) if line.ndim else expand_dims(line, 0)

    front = [ramp(0, ends[0].item(), before)] if before else []
    last = type_.shape[axis] - 1
    back = [mv.reverse(ramp(last, ends[1].item(), behind), (axis,))] if behind else []
    return _joined(x, axis, front, back)


def _statistic(name: str) -> Callable[..., Any]:
    def pad_statistic(x: Any, axis: int, before: int, behind: int, options: dict[str, Any]) -> Any:
        n, dtype = type_of(x).shape[axis], type_of(x).dtype
        given = options.get("stat_length")
        lengths = (n, n) if given is None else _pairs("stat_length", given, type_of(x).ndim)[axis]
        fold: Any = {
            "maximum": extremes.max, "minimum": extremes.min,
            "mean": statistics.mean, "median": quantiles.median,
        }[name]  # fmt: skip

        def piece(start: int, stop: int, width: int) -> Any:
            value = fold(settle(take_slice(x, axis, start, stop)), axis, keepdims=True)
            if dtype.kind in "iu":
                value = round(value)
            shape = type_of(x).shape
            return expand_to(
                cast(operand(value), dtype), (*shape[:axis], width, *shape[axis + 1 :])
            )

        front = [piece(0, min(lengths[0], n), before)] if before else []
        return _joined(x, axis, front, [piece(max(n - lengths[1], 0), n, behind)] if behind else [])

    return pad_statistic


_MODES: dict[str, Callable[..., Any]] = {
    "edge": _pad_edge,
    "reflect": _mirror(with_edge=False),
    "symmetric": _mirror(with_edge=True),
    "wrap": _pad_wrap,
    "linear_ramp": _pad_ramp,
    "maximum": _statistic("maximum"),
    "minimum": _statistic("minimum"),
    "mean": _statistic("mean"),
    "median": _statistic("median"),
}
