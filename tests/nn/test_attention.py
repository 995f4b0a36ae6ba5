"""Attention by tiles: against JAX, and against the formula with all queries and keys at once."""

from __future__ import annotations

import os

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import nn
from jitml.errors import ArgumentError, DTypeError, ShapeError
from jitml.ir.text import format_graph, parse_graph
from jitml.nn import attention
from jitml.ops.attention import Attention
from jitml.ops.control import evaluate
from jitml.trace.core import trace_graph, type_of
from jitml.transforms.inline_calls import inline_calls

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def truths(*shape):
    return RNG.random(shape) > 0.3


def lengths(*values):
    return np.array(values, np.int32)


# Sizes (batch, queries, keys, heads of queries, heads of keys), and options.
CASES = {
    "plain": ((2, 6, 7, 4, 4), {}),
    "grouped": ((2, 6, 9, 4, 2), {"scale": 0.5}),
    "causal": ((1, 9, 9, 2, 2), {"is_causal": True}),
    "bias": ((2, 13, 9, 4, 2), {"bias": numbers(1, 4, 13, 9)}),
    "shared": ((2, 6, 9, 4, 2), {"bias": numbers(1, 9), "mask": truths(2, 1, 6, 9)}),
    "window": ((1, 13, 9, 2, 1), {"local_window_size": (2, 1)}),
    "neighbours": ((1, 8, 8, 1, 1), {"local_window_size": 1}),
    "hidden": ((1, 6, 7, 2, 2), {"mask": np.arange(6)[:, None] > np.ones(7)}),
    "blind": (
        (1, 9, 9, 2, 1),
        {"local_window_size": 2, "is_causal": True, "mask": truths(1, 2, 9, 9)},
    ),
    "lengths": (
        (2, 5, 7, 2, 2),
        {"query_seq_lengths": lengths(2, 5), "key_value_seq_lengths": lengths(7, 3)},
    ),
    "empty": ((2, 5, 7, 2, 2), {"key_value_seq_lengths": lengths(0, 3), "is_causal": True}),
}


def operands(sizes):
    batch, queries, keys, heads, shared = sizes
    return [numbers(batch, *rest, 3) for rest in ((queries, heads), (keys, shared), (keys, shared))]


def at_once(q, k, v, bias=None, mask=None, **options):
    """What attention means: the logits of all queries and keys, hidden where they must not meet."""
    count, groups = k.shape[1], q.shape[2] // k.shape[2]
    k, v = (jnp.repeat(x, groups, 2) for x in (k, v))
    scale = options.get("scale", q.shape[3] ** -0.5)
    logits = jnp.einsum("btnh,bsnh->bnts", q, k) * scale
    logits = logits if bias is None else logits + bias
    t, s = np.arange(q.shape[1])[:, None], np.arange(count)
    seen = np.ones((1, 1, 1, 1), bool) if mask is None else mask
    if options.get("is_causal"):
        seen = seen & (s <= t)
    if "local_window_size" in options:
        left, right = np.broadcast_to(options["local_window_size"], 2)
        seen = seen & (s >= t - left) & (s <= t + right)
    ends = [options.get(f"{n}_seq_lengths", np.array([99])) for n in ("query", "key_value")]
    inside = (t < ends[0][:, None, None, None]) & (s < ends[1][:, None, None, None])
    probabilities = nn.softmax(jnp.where(seen & inside, logits, attention.HIDDEN))
    out = jnp.einsum("bnts,bsnh->btnh", probabilities, v)
    return jnp.where(t[:, None] < ends[0][:, None, None, None], out, 0)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(attention, "_TILE", 4)


@pytest.mark.sampled
@pytest.mark.parametrize("name", CASES)
def test_value_and_derivatives_are_those_of_the_formula(name):
    sizes, options = CASES[name]
    rest = dict(options)
    tables = rest.pop("bias", None), rest.pop("mask", None)
    q, k, v = operands(sizes)
    weights = numbers(*q.shape)

    def both(function):
        def run(q, k, v, bias):
            out, pull = jitml.vjp(lambda *x: function(*x, tables[1], **rest), q, k, v, bias)
            moved = jitml.jvp(
                lambda *x: function(*x, bias, tables[1], **rest), (q, k, v), (k0, q0, v)
            )
            return out, pull(weights), moved[1]

        k0, q0 = jnp.flip(q, 1), jnp.flip(k, 1)
        return jitml.jit(run)(q, k, v, tables[0])

    ours, theirs = (
        jitml.tree.leaves(both(nn.dot_product_attention)),
        jitml.tree.leaves(both(at_once)),
    )
    assert len(ours) == len(theirs) == 5 + (tables[0] is not None)
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", CASES if "JITML_GRID" in os.environ else ["empty", "window"])
def test_value_and_residual_are_jaxs(name):
    jax = pytest.importorskip("jax")
    sizes, options = CASES[name]
    arrays = operands(sizes)
    found = nn.dot_product_attention(*arrays, **options, return_residual=True)
    attend = jax.nn.dot_product_attention
    theirs = jax.jit(lambda *x: attend(*x, **options, return_residual=True))(*arrays)
    for one, their in zip(found, theirs, strict=True):
        np.testing.assert_allclose(one, their, rtol=2e-5, atol=2e-6)


def test_second_derivatives_and_batches():
    q, k, v = operands((1, 6, 9, 2, 1))

    def bend(function):
        return jitml.grad(lambda q: (jitml.grad(lambda q: function(q, k, v).sum())(q) ** 2).sum())

    found = jitml.jit(jitml.vmap(bend(nn.dot_product_attention)))(q[None])
    np.testing.assert_allclose(found, bend(at_once)(q)[None], rtol=1e-3, atol=1e-5)


def test_dtypes_and_ranks():
    q, k, v = operands((1, 6, 9, 2, 1))
    expected = np.asarray(at_once(q, k, v))[0]
    flat = nn.dot_product_attention(q[0], k[0], v[0])
    np.testing.assert_allclose(flat, expected, rtol=1e-5, atol=1e-6)
    for dtype in (jnp.bfloat16, jnp.float16, jnp.float64):
        found = nn.dot_product_attention(*(jnp.asarray(x[0], dtype) for x in (q, k, v)))
        assert found.dtype == dtype
        np.testing.assert_allclose(np.asarray(found, np.float32), expected, rtol=0.05, atol=0.02)


def test_traced_scale_and_sizes_of_zero():
    q, k, v = operands((1, 6, 9, 2, 2))
    slope = jitml.grad(lambda s: nn.dot_product_attention(q, k, v, scale=s).sum())
    expected = jitml.grad(lambda s: at_once(q, k, v, scale=s).sum())(0.5)
    np.testing.assert_allclose(slope(0.5), expected, rtol=1e-4)
    assert nn.dot_product_attention(q[:, :0], k, v).shape == (1, 0, 2, 3)
    assert not np.any(nn.dot_product_attention(q, k[:, :0], v[:, :0]))


def test_no_array_over_all_queries_and_keys(monkeypatch):
    monkeypatch.setattr(attention, "_TILE", 128)
    length = 2048
    x = jitml.ShapeDtypeStruct((1, length, 1, 16), "float32")

    def memory(function):
        return jitml.jit(function).lower(x, x, x).compile().memory_analysis()

    def loss(q, k, v):
        return nn.dot_product_attention(q, k, v, is_causal=True).sum()

    for function in (loss, jitml.grad(loss, (0, 1, 2))):
        assert memory(function).temp_size_in_bytes < length * length * 4 / 8
    text = str(jitml.make_graph(jitml.grad(loss, (0, 1, 2)))(x, x, x))
    assert f"{length},{length}" not in text


def test_errors():
    q, k, v = operands((1, 6, 9, 2, 2))
    attend = nn.dot_product_attention
    with pytest.raises(ShapeError, match="2 heads of queries for 3 of keys"):
        attend(q, *(np.zeros((1, 9, 3, 3), np.float32),) * 2)
    with pytest.raises(ShapeError, match="key and value have one shape"):
        attend(q, k, v[:, :3])
    with pytest.raises(ShapeError, match="wants 3 or 4 dimensions"):
        attend(q[0, 0], k, v)
    with pytest.raises(DTypeError, match="floats of one dtype"):
        attend(q, k, v.astype(np.float64))
    with pytest.raises(DTypeError, match=r"the mask is f32\[6,9\], not bool"):
        attend(q, k, v, mask=numbers(6, 9))
    with pytest.raises(ShapeError, match=r"bias of shape \(1, 1, 6, 8\) does not broadcast"):
        attend(q, k, v, numbers(6, 8))
    with pytest.raises(ShapeError, match=r"key_value_seq_lengths is i32\[2\], not i32\[1\]"):
        attend(q, k, v, key_value_seq_lengths=lengths(1, 2))
    with pytest.raises(ArgumentError, match="no implementation 'cudnn'"):
        attend(q, k, v, implementation="cudnn")


@pytest.mark.parametrize("name", ["plain", "shared", "lengths"])
def test_the_op_reads_back_and_means_what_its_body_computes(name):
    sizes, options = CASES[name]
    arrays = operands(sizes)
    types = [type_of(jnp.asarray(x)) for x in arrays]
    traced = trace_graph(lambda *x: [nn.dot_product_attention(*x, **options)], types, "attended")
    graph = inline_calls(traced.graph)
    assert [isinstance(eqn.op, Attention) for eqn in graph.eqns].count(True) == 1
    assert str(parse_graph(format_graph(graph))) == str(graph)
    values = evaluate(graph, [*arrays, *map(np.asarray, traced.captures)])
    np.testing.assert_allclose(values[0], at_once(*arrays, **options), rtol=2e-4, atol=2e-5)
