"""Attention, a tile of queries and keys at a time: no array over all queries and all keys is made.

In: queries, keys and values cut into tiles, and which tiles meet. Out: the attended values, with
derivatives in both modes. Must not know: how users state shapes, masks and lengths.

A row keeps its greatest logit so far and the sum of exponentials below it; both are corrected as
greater logits come (Milakov and Gimelshein, "Online normalizer calculation for softmax"). The
derivative computes the probabilities again from what a row ended with (Dao et al.,
"FlashAttention", section 3).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

import jitml.numpy as jnp
from jitml import lax
from jitml.custom_derivatives import custom_jvp
from jitml.differentiation import jvp
from jitml.ops.attention import HIDDEN, Attention, Operands, Tiling
from jitml.ops.control import build, spread
from jitml.trace.core import bind, type_of


class Attended(NamedTuple):
    """The result, and for each row its greatest logit and the sum of exponentials below that."""

    out: Any
    top: Any
    total: Any


@functools.lru_cache(64)
def attention(tiling: Tiling) -> custom_jvp:
    """The function from operands to what is attended; `top` counts as a constant, by which all
    exponentials may be divided alike.
    """
    function = custom_jvp(functools.partial(_attended, tiling))
    moved = _moved(tiling)

    @function.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (given,), (slopes,) = primals, tangents
        found = function(given)
        out, mean = moved(given, found, _floats(slopes))
        return found, Attended(out, jnp.zeros_like(found.top), found.total * mean)

    return function


def _floats(given: Operands) -> tuple[Any, ...]:
    return given.q, given.k, given.v, given.bias


def _moved(tiling: Tiling) -> custom_jvp:
    """The tangents of the result and of the logarithms of `total`, linear in those of q, k, v and
    bias.
    """

    def tangent(given: Operands, found: Attended, slopes: Any) -> tuple[Any, Any]:
        return _tangent(tiling, given, found, slopes)

    function = custom_jvp(tangent)
    function.defjvp(lambda primals, tangents: jvp(tangent, primals, tangents))
    function.transposed = functools.partial(_cotangents, tiling)
    return function


# ---- one tile ------------------------------------------------------------------------------------


def _at(x: Any, number: Any) -> Any:
    return lax.dynamic_index_in_dim(x, number, 0, False, allow_negative_indices=False)


def _added_at(x: Any, number: Any, update: Any) -> Any:
    """x with an update added to one tile."""
    new = _at(x, number) + update
    return lax.dynamic_update_index_in_dim(x, new, number, 0, allow_negative_indices=False)


def _product(x: Any, y: Any, contracted: tuple[int, int]) -> Any:
    """Matrix products for each batch and head."""
    axes = ((contracted[:1], contracted[1:]), ((0, 1), (0, 1)))
    return lax.dot_general(x, y, axes)


def _place(tiling: Tiling, given: Any, i: Any, j: Any) -> tuple[list[Any], list[int]]:
    """Where tile (i, j) starts in an array over [batch, head, group, query, key], and its sizes."""
    starts: list[Any] = [0, 0, 0, i * tiling.queries, j * tiling.keys]
    sizes = [*given.shape[:3], tiling.queries, tiling.keys]
    for axis in (3, 4):
        if given.shape[axis] == 1:
            starts[axis], sizes[axis] = 0, 1
    return starts, sizes


def _part(tiling: Tiling, whole: Any, i: Any, j: Any) -> Any:
    """The tile (i, j) of a bias or mask."""
    return lax.dynamic_slice(whole, *_place(tiling, whole, i, j), allow_negative_indices=False)


def _grouped(tiling: Tiling, x: Any) -> Any:
    """[batch, head, group * query, …] as [batch, head, group, query, …]."""
    return x.reshape(*x.shape[:2], -1, tiling.queries, *x.shape[3:])


def _visible(tiling: Tiling, given: Operands, i: Any, j: Any) -> Any:
    """Which keys of a tile its queries may attend to; None where all."""
    shape = (1, 1, 1, tiling.queries, tiling.keys)
    query = lax.broadcasted_iota("int32", shape, 3) + i * tiling.queries
    key = lax.broadcasted_iota("int32", shape, 4) + j * tiling.keys
    rules = []
    if given.mask is not None:
        rules.append(_part(tiling, given.mask, i, j))
    if tiling.left is not None:
        rules.append(query <= key + tiling.left)
    if tiling.right is not None:
        rules.append(query >= key - tiling.right)
    if given.query_lengths is not None:
        rules.append(query < given.query_lengths[:, None, None, None, None])
    if given.key_lengths is not None:
        rules.append(key < given.key_lengths[:, None, None, None, None])
    return functools.reduce(jnp.logical_and, rules) if rules else None


def _logits(tiling: Tiling, given: Operands, visible: Any, i: Any, j: Any) -> Any:
    """The logits of a tile, [batch, head, group * query, key]."""
    flat = _product(_at(given.q, i), _at(given.k, j), (3, 3))
    logits = _grouped(tiling, flat)
    if given.bias is not None:
        logits = logits + _part(tiling, given.bias, i, j)
    if visible is not None:
        logits = jnp.where(visible, logits, HIDDEN)
    if tiling.last_key % tiling.keys:
        key = lax.broadcasted_iota("int32", (tiling.keys,), 0) + j * tiling.keys
        logits = jnp.where(key < tiling.last_key, logits, -np.inf)
    return logits.reshape(flat.shape)


def _masked(tiling: Tiling, visible: Any, slopes: Any) -> Any:
    """Tangents of logits: what is hidden has none."""
    if visible is None:
        return slopes
    return jnp.where(visible, _grouped(tiling, slopes), 0).reshape(slopes.shape)


# ---- over all tiles ------------------------------------------------------------------------------


def _over_pairs(given: Operands, step: Any, start: Any) -> Any:
    def body(carry: Any, pair: Any) -> tuple[Any, None]:
        return step(carry, pair[0], pair[1]), None

    return lax.scan(body, start, given.pairs)[0]


def _attended(tiling: Tiling, given: Operands) -> Attended:
    """An op, so that a backend may have a kernel for it: elsewhere it is `_forward`."""
    flags = tuple([x is not None for x in given])
    inputs = [x for x in given if x is not None]
    body = build(
        lambda *x: _forward(tiling, Operands(*spread(x, flags))),
        [type_of(x) for x in inputs],
        "attention",
    )
    return Attended(*bind(Attention(body, tiling, flags), *inputs))


def _forward(tiling: Tiling, given: Operands) -> Attended:
    rows = given.q.shape[:-1]
    dtype = given.q.dtype

    def step(carry: Attended, i: Any, j: Any) -> Attended:
        logits = _logits(tiling, given, _visible(tiling, given, i, j), i, j)
        before = _at(carry.top, i)
        top = jnp.maximum(before, logits.max(-1))
        shrink = jnp.exp(before - top)
        grown = jnp.exp(logits - top[..., None])
        out = _at(carry.out, i) * shrink[..., None] + _product(grown, _at(given.v, j), (3, 2))
        total = _at(carry.total, i) * shrink + grown.sum(-1)
        found = Attended(out, top, total)
        return Attended(*(
            lax.dynamic_update_index_in_dim(x, new, i, 0, allow_negative_indices=False)
            for x, new in zip(carry, found, strict=True)
        ))  # fmt: skip

    start = Attended(
        jnp.zeros(given.q.shape, dtype), jnp.full(rows, HIDDEN, dtype), jnp.zeros(rows, dtype)
    )
    found: Attended = _over_pairs(given, step, start)
    return found._replace(out=found.out / found.total[..., None])


def _probabilities(
    tiling: Tiling, given: Operands, found: Attended, visible: Any, i: Any, j: Any
) -> Any:
    logits = _logits(tiling, given, visible, i, j)
    return jnp.exp(logits - _at(found.top, i)[..., None]) / _at(found.total, i)[..., None]


def _tangent(tiling: Tiling, given: Operands, found: Attended, slopes: Any) -> tuple[Any, Any]:
    dq, dk, dv, dbias = slopes

    def step(carry: Any, i: Any, j: Any) -> Any:
        visible = _visible(tiling, given, i, j)
        p = _probabilities(tiling, given, found, visible, i, j)
        q, k, v = _at(given.q, i), _at(given.k, j), _at(given.v, j)
        slope = _product(_at(dq, i), k, (3, 3)) + _product(q, _at(dk, j), (3, 3))
        if dbias is not None:
            moved = _grouped(tiling, slope) + _part(tiling, dbias, i, j)
            slope = moved.reshape(slope.shape)
        weighted = p * _masked(tiling, visible, slope)
        out = _product(weighted, v, (3, 2)) + _product(p, _at(dv, j), (3, 2))
        return _added_at(carry[0], i, out), _added_at(carry[1], i, weighted.sum(-1))

    start = jnp.zeros_like(found.out), jnp.zeros_like(found.top)
    out, mean = _over_pairs(given, step, start)
    return out - mean[..., None] * found.out, mean


def _cotangents(tiling: Tiling, given: Operands, found: Attended, cts: tuple[Any, Any]) -> Any:
    ct, total_ct = cts
    mean = (ct * found.out).sum(-1) - total_ct

    def step(carry: Any, i: Any, j: Any) -> Any:
        visible = _visible(tiling, given, i, j)
        p = _probabilities(tiling, given, found, visible, i, j)
        back = _at(ct, i)
        slope = p * (_product(back, _at(given.v, j), (3, 3)) - _at(mean, i)[..., None])
        slope = _masked(tiling, visible, slope)
        dq, dk, dv, dbias = carry
        if dbias is not None:
            dbias = _added_to_part(tiling, dbias, slope, i, j)
        return (
            _added_at(dq, i, _product(slope, _at(given.k, j), (3, 2))),
            _added_at(dk, j, _product(slope, _at(given.q, i), (2, 2))),
            _added_at(dv, j, _product(p, back, (2, 2))),
            dbias,
        )

    start = tuple(None if x is None else jnp.zeros_like(x) for x in _floats(given))
    return _over_pairs(given, step, start)


def _added_to_part(tiling: Tiling, dbias: Any, slope: Any, i: Any, j: Any) -> Any:
    """The cotangent of the bias with that of a tile added, summed where the bias is shared."""
    starts, sizes = _place(tiling, dbias, i, j)
    grouped = _grouped(tiling, slope)
    axes = tuple(n for n, size in enumerate(sizes) if size == 1)
    old = lax.dynamic_slice(dbias, starts, sizes, allow_negative_indices=False)
    new = old + grouped.sum(axes, keepdims=True)
    return lax.dynamic_update_slice(dbias, new, starts, allow_negative_indices=False)
