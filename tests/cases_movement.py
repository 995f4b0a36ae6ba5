"""Rows of the movement ops, with and without positions known only at run time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from cases import Case, Input, shapes

from jitml.ops import movement as m
from jitml.ops.checkpoint import Barrier, CheckpointName
from jitml.trace.core import bind, bind1


def _row(name: str, apply: Callable[..., Any], *each: Sequence[int], **options: Any) -> Case:
    return Case(name, apply, shapes(*each), computes=False, **options)


def _broadcast(shape: Sequence[int], out: Sequence[int], dims: Sequence[int]) -> Case:
    name = f"broadcast_in_dim {shape} to {out} {dims}"
    return _row(name, lambda x: m.broadcast_in_dim(x, out, dims), shape)


def _reshape(shape: Sequence[int], out: Sequence[int]) -> Case:
    return _row(f"reshape {shape} to {out}", lambda x: m.reshape(x, out), shape)


def _transpose(shape: Sequence[int], permutation: Sequence[int]) -> Case:
    name = f"transpose {shape} {permutation}"
    return _row(name, lambda x: m.transpose(x, permutation), shape)


def _slice(shape: Sequence[int], *arguments: Any) -> Case:
    return _row(f"slice {shape} {arguments}", lambda x: m.slice_(x, *arguments), shape)


def _pad(shape: Sequence[int], *config: tuple[int, int, int]) -> Case:
    return _row(f"pad {shape} {config}", lambda x, fill: m.pad(x, fill, config), shape, ())


def _concatenate(axis: int, *each: Sequence[int]) -> Case:
    return _row(f"concatenate {each} {axis}", lambda *xs: m.concatenate(xs, axis), *each)


def _window(shape: Sequence[int], *arguments: Any) -> Case:
    return _row(f"window {shape} {arguments}", lambda x: m.window(x, *arguments), shape)


def _iota(dtype: str, shape: Sequence[int], axis: int) -> Case:
    return Case(f"iota {dtype} {shape} {axis}", lambda: m.iota(np.dtype(dtype), shape, axis), ())


def _starts(numbers: Sequence[int], dtype: str) -> list[Input]:
    return [Input((), numbers=n, dtype=dtype) for n in numbers]


def _dynamic_slice(
    shape: Sequence[int], sizes: Sequence[int], starts: Sequence[int], dtype: str = "i32"
) -> Case:
    return Case(
        f"dynamic_slice {shape} {sizes} {starts} {dtype}",
        lambda x, *at: m.dynamic_slice(x, at, sizes),
        (*shapes(shape), *_starts(starts, dtype)),
        computes=False,
    )


def _dynamic_update(
    shape: Sequence[int], sizes: Sequence[int], starts: Sequence[int], dtype: str = "i32"
) -> Case:
    return Case(
        f"dynamic_update_slice {shape} {sizes} {starts} {dtype}",
        lambda x, update, *at: m.dynamic_update_slice(x, update, at),
        (*shapes(shape, sizes), *_starts(starts, dtype)),
        computes=False,
    )


_MOVED = Input((), 0, 3, dtype="i32")

CASES: list[Case] = [
    _broadcast((), (2, 3), ()),
    _broadcast((), (), ()),
    _broadcast((3,), (2, 3), (1,)),
    _broadcast((2,), (2, 3), (0,)),
    _broadcast((1, 3), (2, 3), (0, 1)),
    _broadcast((2, 1), (2, 4, 3), (0, 2)),
    _broadcast((1,), (0, 2), (0,)),
    _broadcast((1, 1), (2, 1, 1), (1, 2)),
    _reshape((2, 3), (3, 2)),
    _reshape((2, 3, 4), (6, 4)),
    _reshape((6, 4), (2, 3, 2, 2)),
    _reshape((4, 3, 2), (2, 6, 2)),
    _reshape((1,), ()),
    _reshape((), (1, 1)),
    _reshape((0, 3), (5, 0)),
    _reshape((1, 6, 1), (2, 1, 3)),
    _transpose((2, 3), (1, 0)),
    _transpose((2, 3, 4), (1, 2, 0)),
    _transpose((2, 0, 1), (2, 0, 1)),
    _row("reverse", lambda x: m.reverse(x, (0, 2)), (2, 3, 4)),
    _row("reverse empty", lambda x: m.reverse(x, (1,)), (2, 0)),
    _row("move_axis", lambda x: m.move_axis(x, 0, 2), (2, 3, 4)),
    _row("squeeze", lambda x: m.squeeze(x, (0, 2)), (1, 3, 1)),
    _row("expand_dims", lambda x: m.expand_dims(x, (0, 2)), (3,)),
    _slice((5, 6), (1, 2), (4, 6)),
    _slice((5, 6), (1, 2), (5, 6), (3, 2)),
    _slice((5,), (2,), (2,), (2,)),
    _slice((7,), (1,), (7,), (4,)),
    _slice((0, 2), (0, 1), (0, 2)),
    _pad((3, 2), (1, 2, 0), (0, 1, 0)),
    _pad((3, 2), (0, 0, 2), (1, 0, 1)),
    _pad((5,), (-1, -2, 0)),
    _pad((5,), (-1, 2, 1)),
    _pad((5,), (2, -3, 2)),
    _pad((4,), (-3, -3, 3)),
    _pad((1,), (1, 1, 3)),
    _pad((0,), (2, 1, 3)),
    _pad((0, 2), (0, 0, 0), (1, 1, 0)),
    _row("pad 0-d", lambda x, fill: m.pad(x, fill, ()), (), ()),
    _row("pad with a number", lambda x: m.pad(x, 1, [(1, 1, 0)]), (3,)),
    _concatenate(0, (2, 3), (1, 3), (3, 3)),
    _concatenate(1, (2, 1), (2, 0), (2, 2)),
    _concatenate(0, (0,), (2,)),
    _concatenate(0, (0,), (0,)),
    _concatenate(0, (2,)),
    _row("concatenate of one twice", lambda x: m.concatenate((x, x), 0), (2, 2)),
    _window((7,), (0,), (3,)),
    _window((8, 3), (0,), (3,), (2,), (2,)),
    _window((5, 6), (0, 1), (2, 3), (1, 2), (2, 1)),
    _window((5, 2, 6), (2, 0), (2, 3), (3, 1)),
    _window((3,), (0,), (4,)),
    _window((3,), (0,), (3,), (5,)),
    _window((4,), (0,), (1,), (2,)),
    *(_iota(dtype, (2, 3), 1) for dtype in ("int8", "uint64", "float16", "float32", "complex64")),
    _iota("int32", (3, 2), 0),
    _iota("int32", (0,), 0),
    _iota("uint8", (300,), 0),
    _dynamic_slice((5, 6), (2, 3), (1, 2)),
    _dynamic_slice((5, 6), (2, 3), (-4, 9), "i64"),
    _dynamic_slice((5, 6), (5, 6), (3, 1)),
    _dynamic_slice((300,), (3,), (127,), "i8"),
    _dynamic_slice((5,), (2,), (2**63 + 5,), "u64"),
    _dynamic_slice((5,), (0,), (2,)),
    _dynamic_slice((), (), ()),
    _dynamic_update((5, 6), (2, 3), (1, 2)),
    _dynamic_update((5, 6), (2, 6), (-4, 3), "i64"),
    _dynamic_update((5, 6), (5, 6), (3, 1)),
    _dynamic_update((300,), (2,), (-128,), "i8"),
    _dynamic_update((5,), (2,), (2**63 + 5,), "u64"),
    _dynamic_update((5,), (0,), (2,)),
    _dynamic_update((), (), ()),
    Case(
        "dynamic_slice moved",
        lambda x, i, j: m.dynamic_slice(x, (i, j), (2, 2)),
        (Input((4, 3)), _MOVED, _MOVED),
        computes=False,
    ),
    Case(
        "dynamic_update_slice moved",
        lambda x, u, i, j: m.dynamic_update_slice(x, u, (i, j)),
        (Input((4, 3)), Input((2, 2)), _MOVED, _MOVED),
        computes=False,
    ),
    _row("barrier", lambda x, y: bind(Barrier(), x, y), (3,), (2, 2)),
    _row("checkpoint_name", lambda x: bind1(CheckpointName("a"), x), (3,)),
]
