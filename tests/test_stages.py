"""The stages of a jitted function, and shapes without values."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import ShapeDtypeStruct, errors, eval_shape, jit, make_graph, make_jaxpr

X = jnp.ones((4, 3))


def f(x: Any, params: dict[str, Any]) -> Any:
    return {"y": jnp.tanh(x @ params["w"]) + params["b"], "n": 3}


PARAMS = {"w": jnp.ones((3, 5)), "b": 1.0}


def test_trace_lower_compile() -> None:
    traced = jit(f).trace(X, PARAMS)
    lowered = traced.lower()
    compiled = lowered.compile()
    assert traced.fun_name == "f"
    assert traced.jaxpr is traced.graph is lowered.graph
    for stage in (traced, lowered, compiled):
        assert stage.in_tree == jitml.tree.structure(((X, PARAMS), {}))
        assert stage.out_tree == jitml.tree.structure(f(X, PARAMS))
        (x, params), named = stage.args_info
        assert (x.shape, params["b"].weak_type, named) == ((4, 3), True, {})
        assert stage.out_info["y"] == ShapeDtypeStruct((4, 5), "float32")
        assert stage.out_info["n"] == ShapeDtypeStruct((), "int32", weak_type=True)
    assert np.array_equal(compiled(X, PARAMS)["y"], jit(f)(X, PARAMS)["y"])
    assert int(compiled(X, PARAMS)["n"]) == 3


def test_text_cost_and_memory() -> None:
    lowered = jit(f).lower(X, PARAMS)
    compiled = lowered.compile()
    assert "dot_general" in lowered.as_text()
    assert "define" in lowered.as_text("llvm") == compiled.as_text()
    with pytest.raises(errors.ArgumentError, match="'graph' and 'llvm'"):
        lowered.as_text("stablehlo")
    cost = compiled.cost_analysis()
    assert cost == lowered.cost_analysis()
    assert cost["flops"] >= 2 * 4 * 3 * 5
    assert cost["bytes accessed"] == 4 * (12 + 15 + 1 + 20 + 1)
    memory = compiled.memory_analysis()
    assert memory.argument_size_in_bytes == 4 * (12 + 15 + 1)
    assert memory.output_size_in_bytes == 4 * (20 + 1)
    assert memory.temp_size_in_bytes >= 0
    assert memory.generated_code_size_in_bytes > 0


def test_compiled_calls_take_what_is_donated() -> None:
    for size in (3, 5000):
        x = jnp.ones(size)
        compiled = jit(lambda x: x + 1, donate_argnums=0).lower(x).compile()
        assert compiled.memory_analysis().alias_size_in_bytes == (4 * size if size > 1000 else 0)
        assert compiled(x)[0] == 2
        assert x.is_deleted()


def test_lowering_needs_no_values() -> None:
    compiled = jit(f).lower(ShapeDtypeStruct((4, 3), jnp.float32), PARAMS).compile()
    assert np.array_equal(compiled(X, PARAMS)["y"], jit(f)(X, PARAMS)["y"])


def test_static_arguments_are_left_out_of_compiled_calls() -> None:
    power = jit(lambda x, n, *, k: x**n + k, static_argnums=1, static_argnames="k")
    compiled = power.lower(X, 3, k=2).compile()
    assert np.array_equal(compiled(X), X**3 + 2)
    assert power.eval_shape(X, 3, k=2).shape == (4, 3)


def test_compiled_functions_take_their_signature_alone() -> None:
    compiled = jit(f).lower(X, PARAMS).compile()
    with pytest.raises(errors.ArgumentError, match=r"compiled for f32\[4,3\] as argument"):
        compiled(X[:2], PARAMS)
    with pytest.raises(errors.TreeError, match="compiled for arguments of structure"):
        compiled(X)


def test_compiled_functions_fetch_arrays_and_check_values() -> None:
    holder = SimpleNamespace(weight=jnp.ones(3), scale=2.0)
    compiled = jit(lambda x: x * holder.weight * holder.scale).lower(X).compile()
    holder.weight = holder.weight * 5
    assert float(compiled(X)[0, 0]) == 10.0
    holder.scale = 3.0
    with pytest.raises(errors.ArgumentError, match="has changed since"):
        compiled(X)


def test_lowering_and_calling_share_the_trace() -> None:
    runs: list[int] = []

    @jit
    def g(x: Any) -> Any:
        runs.append(1)
        return x + 1

    g.lower(X)
    g(X)
    g.eval_shape(X)
    g.trace(ShapeDtypeStruct(X.shape, X.dtype))
    assert len(runs) == 1


# ---- graphs and shapes -------------------------------------------------------------------------


def test_make_graph() -> None:
    graph = make_graph(f)(X, PARAMS)
    assert str(graph).startswith("graph f(%x: f32[4,3], %params['b']") or "%x" in str(graph)
    graph, shapes = make_jaxpr(lambda x, n: x * n, static_argnums=1, return_shape=True)(X, 2)
    assert shapes == ShapeDtypeStruct((4, 3), "float32")
    assert len(graph.inputs) == 1
    assert make_jaxpr is make_graph
    assert make_graph(f).__name__ == "f"


def test_make_graph_of_transformed_functions() -> None:
    graph = make_graph(jitml.grad(lambda x: jnp.sin(x).sum()))(X)
    assert [e.op.name for e in graph.eqns].count("cos") == 1


def test_eval_shape_computes_nothing() -> None:
    huge = ShapeDtypeStruct((10**6, 10**6), jnp.float32)
    result = eval_shape(lambda x, k: {"a": x @ x.T, "b": (x.sum(), k)}, huge, k=1)
    assert result["a"] == ShapeDtypeStruct((10**6, 10**6), "float32")
    assert result["b"][0].shape == ()
    assert eval_shape(jnp.add, np.ones(3), SimpleNamespace(shape=(2, 3), dtype="int8")).shape == (
        2,
        3,
    )


def test_shape_dtype_struct() -> None:
    struct = ShapeDtypeStruct([2, np.int64(3)], jnp.bfloat16)
    assert (struct.shape, struct.ndim, struct.size, len(struct)) == ((2, 3), 2, 6, 2)
    assert repr(struct) == "ShapeDtypeStruct(shape=(2, 3), dtype=bfloat16)"
    assert struct == ShapeDtypeStruct((2, 3), "bfloat16")
    assert struct != ShapeDtypeStruct((2, 3), "bfloat16", weak_type=True)
    assert struct != (2, 3)
    assert len({struct, ShapeDtypeStruct((2, 3), jnp.bfloat16)}) == 1
    assert pickle.loads(pickle.dumps(struct)) == struct
    assert struct.update(shape=(5,)) == ShapeDtypeStruct((5,), jnp.bfloat16)
    with pytest.raises(AttributeError, match="never changes"):
        struct.shape = (3,)
    with pytest.raises(TypeError, match="0 dimensions"):
        len(ShapeDtypeStruct((), "float32"))
    with pytest.raises(errors.ArgumentError, match="object are not supported"):
        ShapeDtypeStruct((), object)
