"""Scaled dot-product attention, under the name and signature of `jax.nn`.

In: queries, keys and values, with masks, lengths and windows, in the ways in which users state
them. Out: the attended values. Queries and keys are cut into tiles here; `jitml.nn.tiles` goes
through those that meet, so that no array over all queries and all keys is made.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np

import jitml.numpy as jnp
from jitml.differentiation import stop_gradient
from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError, DTypeError, ShapeError
from jitml.nn.tiles import Attended, attention
from jitml.numpy.operands import fail
from jitml.ops.attention import HIDDEN, Operands, Tiling
from jitml.trace.core import type_of
from jitml.typing import ArrayLike

__all__ = ["dot_product_attention"]

Sizes: TypeAlias = tuple[int, int, int, int]  # batch, head, query, key
Window: TypeAlias = "tuple[int | None, int | None]"


class Limits(NamedTuple):
    """What is added to logits, and which keys queries may attend to; None: nothing, all."""

    bias: Any
    mask: Any
    query_lengths: Any
    key_lengths: Any
    window: Window


_TILE = 256  # queries and keys in a tile, at most


def dot_product_attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    bias: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    *,
    scale: float | None = None,
    is_causal: bool = False,
    query_seq_lengths: ArrayLike | None = None,
    key_value_seq_lengths: ArrayLike | None = None,
    local_window_size: int | tuple[int, int] | None = None,
    implementation: str | None = None,
    return_residual: bool = False,
) -> Any:
    """softmax(query · keyᵀ · scale + bias) · value, for each head, in memory linear in the lengths.

    query: f[B, T, N, H]; key, value: f[B, S, K, H], where N is a multiple of K: N / K heads of
    queries share one of keys. B may be left out of all three. `bias` and `mask` (True where a query
    may attend to a key) broadcast to [B, N, T, S]. `scale` is 1 / √H unless given. With `is_causal`
    query t sees the keys up to t; `local_window_size` = (left, right) keys around its own place.
    `query_seq_lengths` and `key_value_seq_lengths`, i32[B], tell where the sequences end: keys
    behind are hidden, queries behind give 0. A query that may attend to no key attends to all
    alike. With `return_residual` the logarithms of the sums of exponentials, f[B, T, N], come
    second; no derivative goes through them.

    >>> import jitml.numpy as jnp
    >>> x = jnp.ones((4, 2, 8))
    >>> dot_product_attention(x, x, x, is_causal=True).shape
    (4, 2, 8)
    """
    if implementation not in (None, "xla"):
        hint = "leave it out" if implementation == "cudnn" else "it is None or 'xla'"
        fail(ArgumentError, f"dot_product_attention: no implementation {implementation!r}", hint)
    q, k, v = (jnp.asarray(x) for x in (query, key, value))
    shape = q.shape
    q, k, v = (x[None] if x.ndim == 3 else x for x in (q, k, v))
    _check(q, k, v)
    sizes = (q.shape[0], q.shape[2], q.shape[1], k.shape[1])
    limits = Limits(
        _table("bias", bias, sizes),
        _table("mask", mask, sizes),
        _lengths("query_seq_lengths", query_seq_lengths, sizes[0]),
        _lengths("key_value_seq_lengths", key_value_seq_lengths, sizes[0]),
        _window(is_causal, local_window_size),
    )
    wide = jnp.promote_types(q.dtype, jnp.float32)
    factor = 1 / math.sqrt(q.shape[3]) if scale is None else scale
    scaled = q.astype(wide) * jnp.asarray(factor, wide)
    out, residual = _attended(scaled, k.astype(wide), v.astype(wide), limits)
    out = out.astype(q.dtype).reshape(shape)
    if not return_residual:
        return out
    return out, stop_gradient(residual).astype(q.dtype).reshape(shape[:-1])


# ---- what is given ------------------------------------------------------------------------------


def _check(q: Any, k: Any, v: Any) -> None:
    """Raise unless queries, keys and values fit together."""
    listed = f"query {type_of(q)}, key {type_of(k)} and value {type_of(v)}"
    if not dtypes.is_float(q.dtype) or not q.dtype == k.dtype == v.dtype:
        fail(
            DTypeError,
            f"dot_product_attention: dtypes do not fit: {listed}",
            "they must be floats of one dtype",
        )
    if not q.ndim == k.ndim == v.ndim == 4:
        fail(
            ShapeError,
            f"dot_product_attention: wants 3 or 4 dimensions, but got {listed}",
            "they are ([batch,] place, head, feature)",
        )
    if k.shape != v.shape or q.shape[0] != k.shape[0] or q.shape[3] != k.shape[3]:
        fail(
            ShapeError,
            f"dot_product_attention: shapes do not fit: {listed}",
            "key and value have one shape; batch and features are those of the query",
        )
    if not k.shape[2] or q.shape[2] % k.shape[2]:
        fail(
            ShapeError,
            f"dot_product_attention: {q.shape[2]} heads of queries for {k.shape[2]} of keys",
            "the heads of queries are a multiple of those of keys",
        )


def _table(name: str, table: ArrayLike | None, sizes: Sizes) -> Any:
    """A bias or mask, with 4 dimensions."""
    if table is None:
        return None
    x = jnp.asarray(table)
    if name == "mask" and x.dtype != bool:
        fail(
            DTypeError,
            f"dot_product_attention: the mask is {type_of(x)}, not bool",
            "what is added to the logits is passed as bias",
        )
    x = x.reshape((1,) * (4 - x.ndim) + x.shape)
    if x.ndim != 4 or any(n not in (1, size) for n, size in zip(x.shape, sizes, strict=True)):
        fail(
            ShapeError,
            f"dot_product_attention: {name} of shape {x.shape} does not broadcast to {sizes}",
            "its axes are (batch, head, query, key)",
        )
    return x


def _lengths(name: str, lengths: ArrayLike | None, batch: int) -> Any:
    if lengths is None:
        return None
    x = jnp.asarray(lengths)
    if x.dtype != jnp.int32 or x.shape != (batch,):
        fail(ShapeError, f"dot_product_attention: {name} is {type_of(x)}, not i32[{batch}]")
    return x


def _window(is_causal: bool, size: int | tuple[int, int] | None) -> Window:
    """How many keys before its own place a query sees, and how many behind; None: all."""
    left, right = (size, size) if isinstance(size, int) else size or (None, None)
    if is_causal:
        right = 0 if right is None else min(right, 0)
    return left, right


# ---- tiles --------------------------------------------------------------------------------------


def _attended(q: Any, k: Any, v: Any, limits: Limits) -> tuple[Any, Any]:
    """The result and the residual, for scaled queries."""
    if not q.size or not k.size:
        return jnp.zeros_like(q), jnp.full(q.shape[:3], -math.inf, q.dtype)
    tiling, pairs = _tiling(q.shape[1], k.shape[1], limits.window)
    heads = k.shape[2]
    given = Operands(
        _cut(q, heads, tiling.queries),
        _cut(k, heads, tiling.keys),
        _cut(v, heads, tiling.keys),
        jnp.asarray(np.array(pairs, np.int32).reshape(-1, 2)),
        _cut_table(limits.bias, heads, tiling),
        _cut_table(limits.mask, heads, tiling),
        limits.query_lengths,
        limits.key_lengths,
    )
    found = Attended(*attention(tiling)(given))
    out, top, total = (_joined(x, q.shape, tiling.queries) for x in found)
    if len(pairs) < given.q.shape[0] * given.k.shape[0]:
        alike = jnp.repeat(v.mean(1, keepdims=True), q.shape[2] // heads, 2)
        out = jnp.where(stop_gradient(top) > HIDDEN, out, alike)
    if limits.query_lengths is not None:
        place = jnp.arange(q.shape[1])[:, None, None]
        out = jnp.where(place < limits.query_lengths[:, None, None, None], out, 0)
    met = jnp.where(total == 0, 1, total)  # 0: no tile of keys at all
    return out, (top + jnp.log(met))[..., 0]


def _tiling(queries: int, keys: int, window: Window) -> tuple[Tiling, list[tuple[int, int]]]:
    """Tiles of nearly one size, and the pairs of which some query sees some key."""
    sizes = [-(-n // -(-n // _TILE)) for n in (queries, keys)]
    left, right = (math.inf if n is None else n for n in window)
    pairs = []
    for i in range(-(-queries // sizes[0])):
        first, last = i * sizes[0], min((i + 1) * sizes[0], queries) - 1
        for j in range(-(-keys // sizes[1])):
            begin, end = j * sizes[1], min((j + 1) * sizes[1], keys) - 1
            if end >= first - left and begin <= last + right:
                pairs.append((i, j))
    return Tiling(sizes[0], sizes[1], keys, *window), pairs


def _padded(x: Any, axis: int, size: int) -> Any:
    """Filled up with zeros to whole tiles along an axis."""
    lacking = -x.shape[axis] % size
    return jnp.pad(x, [(0, lacking if n == axis else 0) for n in range(x.ndim)]) if lacking else x


def _cut(x: Any, heads: int, size: int) -> Any:
    """f[B, T, N, H] as f[tile, B, K, N / K * size, H], K being `heads`."""
    x = _padded(x, 1, size)
    batch, _, count, features = x.shape
    apart = x.reshape(batch, -1, size, heads, count // heads, features)
    return apart.transpose(1, 0, 3, 4, 2, 5).reshape(
        -1, batch, heads, count // heads * size, features
    )


def _joined(x: Any, shape: tuple[int, ...], size: int) -> Any:
    """What belongs to the queries, as f[B, T, N, H] again; H is 1 for a number for each row."""
    batch, length, count, _ = shape
    tiles, heads = x.shape[0], x.shape[2]
    apart = x.reshape(tiles, batch, heads, count // heads, size, -1).transpose(1, 0, 4, 2, 3, 5)
    return apart.reshape(batch, tiles * size, count, -1)[:, :length]


def _cut_table(x: Any, heads: int, tiling: Tiling) -> Any:
    """A bias or mask as [B, K, N / K, T, S], filled up to whole tiles; 1 where all share."""
    if x is None:
        return None
    for axis, size in ((2, tiling.queries), (3, tiling.keys)):
        x = x if x.shape[axis] == 1 else _padded(x, axis, size)
    batch, count, *rest = x.shape
    kept = 1 if count == 1 else heads
    return x.reshape(batch, kept, count // kept, *rest)
