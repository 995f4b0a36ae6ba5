"""Groups that compute alike share a kernel, others do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen import fuse as fusion
from jitml.codegen.alike import Builds
from jitml.codegen.fuse import fuse
from jitml.codegen.kernel import Kernel
from jitml.pipeline.passes import PASSES
from jitml.transforms.runner import run_passes

X = np.random.default_rng(0).standard_normal((6, 70)).astype(np.float32)
Y = np.random.default_rng(1).standard_normal((6, 70)).astype(np.float32)


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small kernels that could be one stay two."""
    monkeypatch.setattr(fusion, "join_siblings", lambda groups, _: list(groups))
    jitml.clear_caches()


def kernels(function: Callable[..., Any], *arguments: Any) -> list[Kernel]:
    """The kernels of a function's groups."""
    graph = run_passes(jitml.make_graph(function)(*arguments), PASSES).graph
    return [group.built.kernel for group in fuse(graph).groups if group.built is not None]


def standardized(x: Any) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / jnp.sqrt((centred * centred).mean(axis=1, keepdims=True))


def test_equal_layers_share_a_kernel() -> None:
    def function(x: Any, y: Any) -> Any:
        return standardized(x), standardized(y)

    first, second = kernels(function, X, Y)
    assert first is second
    for result, given in zip(jitml.jit(function)(X, Y), (X, Y), strict=True):
        assert np.asarray(result).tobytes() == np.asarray(jitml.jit(standardized)(given)).tobytes()


def test_layers_behind_each_other_share_a_kernel() -> None:
    def layers(x: Any, w: Any) -> Any:
        for _ in range(3):
            x = jnp.tanh(x @ w) + 1
        return x

    first, second, third = kernels(layers, X[:, :6], Y[:, :6])
    assert first is second is third


def test_reports_know_the_variables_of_each_layer() -> None:
    def function(x: Any, y: Any) -> Any:
        return standardized(x), standardized(y)

    graph = run_passes(jitml.make_graph(function)(X, Y), PASSES).graph
    for group in fuse(graph).groups:
        assert group.built is not None
        (root,), (read,) = group.roots, group.reads
        own = group.built.computed
        assert root in own and read in graph.inputs and len(own) == len(graph.eqns) // 2
        assert {var for var, _ in group.built.nodes} == own


def test_a_shared_kernel_is_emitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from jitml.codegen import plan

    emitted: list[Kernel] = []

    def emit(kernel: Kernel, target: Any) -> Any:
        emitted.append(kernel)
        return original(kernel, target)

    original = plan.emit_kernel
    monkeypatch.setattr(plan, "emit_kernel", emit)
    jitml.jit(lambda x, y: (standardized(x) + 1.25, standardized(y) + 1.25))(X, Y)
    assert len(emitted) == 1


def sums(x: Any) -> Any:
    return x.sum(axis=0)


PAIRS: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "number": lambda x, y: (jnp.exp(x * 2.0), jnp.exp(y * 3.0)),
    "sign of zero": lambda x, y: (jnp.exp(x * 0.0), jnp.exp(y * -0.0)),
    "op": lambda x, y: (jnp.exp(x), jnp.log(y)),
    "parameter": lambda x, y: (jnp.roll(x, 1, 0) * 2, jnp.roll(y, 2, 0) * 2),
    "order of operands": lambda x, y: (x * 2 - y, y - x * 2),
    "side of a number": lambda x, y: (jnp.exp(x - 2), jnp.exp(2 - y)),
    "one input twice": lambda x, y: (x * 2 + x, x * 2 + y),
    "dtype": lambda x, y: (jnp.exp(x), jnp.exp(y.astype("float16"))),
    "shape": lambda x, y: (sums(jnp.exp(x)), sums(jnp.exp(y[:3]))),
}


@pytest.mark.parametrize("name", PAIRS)
def test_what_differs_is_not_shared(name: str) -> None:
    found = kernels(PAIRS[name], X, Y)
    assert len({*map(id, found)}) == len(found) > 1
    both = jitml.jit(PAIRS[name])(X, Y)
    for k, result in enumerate(both):
        alone = jitml.jit(lambda x, y, k=k: PAIRS[name](x, y)[k])(X, Y)
        assert np.asarray(result).tobytes() == np.asarray(alone).tobytes()


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_which_variables_are_stored_counts(order: slice) -> None:
    def function(x: Any, y: Any) -> Any:
        return jnp.exp(x) * 2, jnp.exp(y) * 2

    graph = jitml.make_graph(function)(X, Y)
    definitions = {var: eqn for eqn in graph.eqns for var in eqn.outputs}
    (one, both), (exponential, *_) = graph.outputs, (eqn.outputs[0] for eqn in graph.eqns[2:])
    assert graph.eqns[2].op.name == "exp"
    builds = Builds(definitions, {*graph.inputs, one, both, exponential})
    roots = [both, exponential][order]
    assert len(builds.build(roots).kernel.stores) == 2
    builds.buffers.discard(exponential)
    assert len(builds.build([one]).kernel.stores) == 1


def test_sums_of_blocks_know_what_was_summed() -> None:
    """Partial sums of both are float32; the results are not."""
    x = jnp.asarray(np.linspace(0, 1, 100_000), "float32")
    narrow = x.astype("float16")
    total, rounded = jitml.jit(lambda x, narrow: (x.sum(), narrow.sum()))(x, narrow)
    assert rounded.dtype == np.float16
    assert (float(total), float(rounded)) == (float(x.sum()), float(narrow.sum()))


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_failed_check_is_told_of_its_own_equation(name: str) -> None:
    def function(x: Any, first: Any, second: Any) -> Any:
        a = jnp.exp(x)[first]
        b = jnp.exp(x)[second]
        return a, b

    places = {"first": np.array([1, 2]), "second": np.array([1, 2]), name: np.array([1, 9])}
    with pytest.raises(jitml.errors.OutOfBoundsError, match=rf"\[{name}\]"):
        jitml.jit(function)(X, **places)


def test_what_has_a_buffer_is_read() -> None:
    def function(x: Any) -> Any:
        root = jnp.sqrt(jnp.abs(x))
        return root @ x.T, jnp.exp(root), jnp.exp(jnp.sqrt(jnp.abs(x + 1)))

    results = jitml.jit(function)(X)
    for result, wanted in zip(results, function(jnp.asarray(X)), strict=True):
        assert np.asarray(result).tobytes() == np.asarray(wanted).tobytes()
