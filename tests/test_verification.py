"""`jit(f, verify=n)`: programs that are right pass, planted mistakes are found and shown again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import PACKAGES

import jitml
import jitml.nn as nn
import jitml.numpy as jnp
from jitml import lax
from jitml.errors import ArgumentError, VerificationError
from jitml.ir.graph import Graph
from jitml.ops.elementwise import add, cos, maximum, sin
from jitml.pipeline import passes
from jitml_runtime.record import replace

X = jnp.asarray(np.random.default_rng(0).standard_normal((33, 17), np.float32))


def loss(w: Any, x: Any) -> Any:
    hidden = jnp.tanh(x @ w)
    return (nn.softmax(hidden) * hidden).mean()


def looped(x: Any) -> Any:
    def body(carry: Any, row: Any) -> Any:
        after = carry * 0.5 + jnp.sin(row)
        return after, after.sum()

    return lax.scan(body, x[0], x)


RIGHT = {
    "gradient": (jitml.value_and_grad(loss), (X.T, X)),
    "scan": (looped, (X,)),
    "reverse scan": (
        lambda x: lax.scan(lambda c, row: (c * 0.5 + row, c), x[0], x, reverse=True),
        (X,),
    ),
    "while": (lambda x: lax.while_loop(lambda c: c.sum() < 100, lambda c: c + c * c, x), (X,)),
    "cond": (lambda x: lax.cond(x[0, 0] > 0, jnp.exp, jnp.cos, x), (X,)),
    "map": (jitml.vmap(lambda x: jnp.cumsum(x)[::-1] / x.max()), (X,)),
    "library": (lambda x: jnp.linalg.inv(x.T @ x + 20 * jnp.eye(17)), (X,)),
    "fft": (lambda x: jnp.fft.fft(x).real.sum(), (X,)),
    "random": (lambda key: jitml.random.normal(key, (50,)), (jitml.random.PRNGKey(0),)),
    "halves": (lambda x: jnp.exp(x.astype(jnp.bfloat16)) @ x.T.astype(jnp.bfloat16), (X,)),
    "wide": (lambda x: x.astype("float64").var(), (X,)),
    "nan": (lambda x: jnp.log(x).sum(0), (X,)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_programs_pass(name: str) -> None:
    function, args = RIGHT[name]
    verified, plain = jitml.jit(function, verify=1), jitml.jit(function)
    for _ in range(2):
        for x, y in zip(jitml.tree.leaves(verified(*args)), jitml.tree.leaves(plain(*args)),
                        strict=True):  # fmt: skip
            assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def wrong_sine(graph: Graph) -> Graph:
    """A pass with a mistake."""
    return graph.with_eqns([replace(e, op=cos) if e.op is sin else e for e in graph.eqns])


def wrong_maximum(graph: Graph) -> Graph:
    """A mistake that shows for some values only."""
    return graph.with_eqns([replace(e, op=add) if e.op is maximum else e for e in graph.eqns])


def only_fused(graph: Graph) -> Graph:
    """The mistake, where there is more than one equation."""
    return wrong_maximum(wrong_sine(graph)) if len(graph.eqns) > 1 else graph


@pytest.fixture
def fused_mistake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    from jitml.pipeline import lowering

    jitml.clear_caches()
    planted = (only_fused, *passes.PASSES)
    monkeypatch.setattr(lowering, "PASSES", planted)
    monkeypatch.setattr(passes, "PASSES", planted)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    jitml.clear_caches()


def test_a_mistake_is_named(fused_mistake: Path) -> None:
    def f(x: Any) -> Any:
        a = x * 2
        b = jnp.sin(a)
        c = b + 1
        return c * c

    with pytest.raises(VerificationError) as found:
        jitml.jit(f, verify=1)(X)
    message = str(found.value)
    line = f.__code__.co_firstlineno + 2
    assert "f, compiled, differs from itself op by op, first in b: f32[33,17] (sin)" in message
    assert f"at test_verification.py:{line} in f:  b = jnp.sin(a)" in message
    compiled, right = np.cos(2 * np.asarray(X[0, 0])), np.sin(2 * np.asarray(X[0, 0]))
    values = re.search(r"element \[0, 0\] is (\S+), should be (\S+)", message)
    assert values is not None
    assert float(values[1]) == pytest.approx(compiled, rel=1e-5)
    assert float(values[2]) == pytest.approx(right, rel=1e-5)


def test_a_mistake_in_a_loop_is_named_with_its_step(fused_mistake: Path) -> None:
    def f(x: Any) -> Any:
        def body(carry: Any, row: Any) -> Any:
            tall = jnp.where(row.sum() > 1e6, jnp.zeros_like(carry), carry)
            wave = jnp.sin(tall)
            return wave + 1, wave[0]

        return lax.scan(body, x[0], x)

    with pytest.raises(VerificationError, match=r"in wave: f32\[17\] \(sin\), at loop step 0"):
        jitml.jit(f, verify=1)(X)


def test_every_result_is_compared(fused_mistake: Path) -> None:
    with pytest.raises(VerificationError):
        jitml.jit(lambda x: (jnp.sin(x) + 1, x * 2), verify=1)(X)


def test_a_mistake_at_a_later_step(fused_mistake: Path) -> None:
    def f(x: Any) -> Any:
        def body(carry: Any, row: Any) -> Any:
            level = jnp.maximum(carry - 1, 0.0)
            return level * 1.5, row + level

        return lax.scan(body, jnp.float32(2.0), x)

    with pytest.raises(VerificationError, match=r"first in level: .*, at loop step 2"):
        jitml.jit(f, verify=1)(X)


def test_the_file_shows_it_again(fused_mistake: Path) -> None:
    def f(x: Any, y: Any) -> Any:
        return jnp.sin(x * y) - 1

    with pytest.raises(VerificationError) as found:
        jitml.jit(f, verify=1)(X, 3.0)
    path = re.search(r"python (\S+) shows", str(found.value))
    assert path is not None
    script = fused_mistake / path[1]
    # In a process where nothing is wrong there is no difference.
    environment = {"PYTHONPATH": PACKAGES, "PATH": ""}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "no difference\n", "")
    namespace: dict[str, Any] = {"__name__": "repro"}
    exec(script.read_text(), namespace)
    with pytest.raises(SystemExit):
        namespace["reproduce"](namespace["GRAPH"], namespace["INPUTS"], str(script))


def test_large_inputs_lie_beside_the_file(fused_mistake: Path) -> None:
    large = jnp.linspace(0, 1, 30_000)
    with pytest.raises(VerificationError):
        jitml.jit(lambda x: jnp.sin(x) + 1, verify=1)(large)
    (script,) = fused_mistake.glob("repro_*.py")
    (beside,) = fused_mistake.glob("repro_*.bytes")
    assert beside.stat().st_size == large.nbytes and script.stat().st_size < 2000


def test_only_the_first_calls_are_compared(fused_mistake: Path) -> None:
    f = jitml.jit(lambda x: jnp.sin(x) + 1, verify=2)
    for _ in range(2):
        with pytest.raises(VerificationError):
            f(X)
    assert f(X).shape == X.shape


def test_donated_arguments_are_compared_and_taken() -> None:
    f = jitml.jit(lambda x: x * 2 + 1, donate_argnums=0, verify=1)
    x = jnp.ones(3) + 0
    assert f(x).tolist() == [3, 3, 3] and x.is_deleted()


def test_effects_happen_once(capfd: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        jitml.debug.print("{x}", x=x)
        return x + 1

    jitml.jit(f, verify=1)(1.0)
    assert capfd.readouterr().out == "1.0\n"


def test_the_number_of_calls_is_checked() -> None:
    with pytest.raises(ArgumentError, match="verify is a number of calls, not 'yes'"):
        jitml.jit(lambda x: x, verify="yes")
