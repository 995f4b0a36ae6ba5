"""Every rule that decides what is computed where, left out in turn: the same bits, other kernels.

And nothing decides by what a layer of a model is called: the compiler sees equations only.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen import build, emit, fold, fuse, memory, nest, plan, sharing, siblings
from jitml.codegen import control_plan as control
from jitml.codegen.fuse import _Fuser
from jitml.codegen.segments import Segment
from jitml.pipeline import lowering, passes
from jitml.pipeline.compile import Compiled, lower_graph
from tests.fuzz.check import same_bits, small_chunks

PACKAGE = Path(jitml.__file__).parent


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def integers(most: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(most).integers(0, most, shape).astype(np.int32)


def two_normalisations(x: Any) -> Any:
    centred = x - x.mean(1, keepdims=True)
    grown = jnp.exp(x - x.max(1, keepdims=True))
    return centred * jitml.lax.rsqrt((centred**2).mean(1, keepdims=True) + 1e-5), grown / grown.sum(
        1, keepdims=True
    )


def waves(x: Any) -> Any:
    """What is dear and needed by several, what is cheap and needed by several."""
    s, c = jnp.sin(x), x * 2 + 1
    return s.sum(0), (s * c).T, s[::2] + c[::2], c


def layers(x: Any, v: Any, w: Any, b: Any) -> Any:
    for _ in range(2):
        x = jnp.maximum(jnp.tanh(x @ v + b).T.T @ w, 0) + x
    return x, (x.T @ x).sum(1)


def deposit(x: Any, i: Any) -> Any:
    cells = jnp.zeros((50, 8)).at[jnp.minimum(i * 3 // 2, 49)].add(jnp.cos(x) * 2)
    return cells, jnp.take(cells, i % 50, axis=0) * 3


def stencil(x: Any) -> Any:
    padded = jnp.pad(x, 1)
    middle = padded[1:-1, 2:] + padded[1:-1, :-2] - jnp.roll(x, 3, 1)
    return jnp.concatenate([middle, x[:5]]), x[:, ::3] * 2


def relax(x: Any) -> Any:
    """In place in a loop, of which a part is the same in each step, and two go together."""
    inner = x[1:-1, 1:-1]

    def step(_: Any, carry: Any) -> Any:
        y, best = carry
        mean = (y[2:, 1:-1] + y[:-2, 1:-1]) * jnp.exp(inner) * 0.25
        return y.at[1:-1, 1:-1].set(mean), jnp.maximum(best, y)

    return jitml.lax.fori_loop(0, 4, step, (x, x))


def recurrences(x: Any, w: Any) -> Any:
    def step(carry: Any, row: Any) -> Any:
        carry = jnp.tanh(carry * 0.5 + row @ w)
        return carry, carry * 2

    _, rows = jitml.lax.scan(step, x[0], x)
    return rows, jitml.grad(lambda w: jitml.lax.scan(step, x[0], x @ w)[1].sum())(w)


def counter(n: Any) -> Any:
    def step(i: Any, table: Any) -> Any:
        return table.at[i].set(table[i - 1] * 3 % 1000 + i)

    return jitml.lax.fori_loop(1, 60, step, jnp.zeros(60, "int32") + n)


def short_rows(x: Any) -> Any:
    points = x.reshape(-1, 3)
    return (points**2).sum(1), jnp.stack([points[:, 1], points[:, 0]], 1), points.T.sum(1)


def several_of_one_fold(x: Any) -> Any:
    most = x.max(1, keepdims=True)
    return x - most, jnp.exp(x) * most


def parted(x: Any) -> Any:
    """Each step needs the one before element by element, and a mean over it."""
    for _ in range(60):
        y = jnp.tanh(x) * 0.5
        x = (y + x) - y.mean()
    return x


def blocks(x: Any) -> Any:
    """Parts of what a loop carries are replaced by others."""

    def step(i: Any, c: Any) -> Any:
        block = jitml.lax.dynamic_slice(c, (i, 0), (3, 50))
        return jitml.lax.dynamic_update_slice(c, block * 0.5 + x[i, :50], (i + 1, 0))

    return jitml.lax.fori_loop(0, 30, step, x)


def repeats_itself(x: Any) -> Any:
    """Common work, work that does nothing, and results of a loop that nobody needs."""

    def step(carry: Any, _: Any) -> Any:
        a, b, unused = carry
        return (a * 0.5 + jnp.exp(x * 2).sum(), b + a, unused * 2), (a, b)

    (a, b, _), (rows, _) = jitml.lax.scan(step, (x, x * 1, x), None, length=5)
    return a + jnp.exp(x * 2) + 0 * jnp.exp(x * 2), rows, b.T.T


def histories(x: Any, w: Any) -> Any:
    """Forward steps are needed for results, and for gradients."""

    def loss(w: Any) -> Any:
        last, rows = jitml.lax.scan(
            lambda c, row: (jnp.tanh(c @ w + row), c), jnp.zeros(x.shape[1]), x
        )
        return (last**2).sum(), rows

    return jitml.value_and_grad(loss, has_aux=True)(w)


def gathers_in_bounds(x: Any) -> Any:
    places = jnp.arange(400) % 100
    return x[places] + x.at[places * 2].get(), x[jnp.clip(jnp.int32(x[:50]), 0, 9)]


def many_functions(x: Any) -> Any:
    for function in (jnp.sin, jnp.arctan, jnp.expm1, jnp.log1p, jnp.tanh, jnp.cos, jnp.sinh):
        x = function(jnp.abs(x) + 0.1) + function(x * x + 0.1)
    return x


Program = tuple[Callable[..., Any], tuple[Any, ...]]
PROGRAMS: dict[str, Program] = {
    "normalisations": (two_normalisations, (normal(70, 200),)),
    "waves": (waves, (normal(96, 130),)),
    "layers": (layers, (normal(128, 64), normal(64, 96), normal(96, 64), normal(96))),
    "deposit": (deposit, (normal(300, 8), integers(33, 300))),
    "stencil": (stencil, (normal(60, 257),)),
    "relax": (relax, (normal(40, 70),)),
    "recurrences": (recurrences, (normal(12, 24), normal(24, 24))),
    "counter": (counter, (np.int32(1),)),
    "short rows": (short_rows, (normal(999),)),
    "transposes": (lambda x: (x.T * 2 + x.T, x.sum(0)), (normal(130, 300),)),
    "columns": (lambda x: (x.max(0), x.sum(0), (x * 2).mean(0)), (normal(1000, 40),)),
    "middles": (lambda x: (x * x).sum(1) + x.max(1), (normal(6, 300, 50),)),
    "stream": (lambda x: (x * 2, x + 1), (normal(3_000_000),)),
    "functions": (many_functions, (normal(500),)),
    "rows": (lambda x: x.sum(1), (normal(300, 1024),)),
    "several of one fold": (several_of_one_fold, (normal(70, 200),)),
    "parted": (parted, (normal(16, 256),)),
    "add rows": (lambda x, i: jnp.zeros((9, 37)).at[i].add(x), (normal(60, 37), integers(9, 60))),
    "blocks": (blocks, (normal(40, 80),)),
    "repeats itself": (repeats_itself, (normal(20, 30),)),
    "histories": (histories, (normal(30, 40), normal(40, 40))),
    "gathers in bounds": (gathers_in_bounds, (normal(500),)),
}


def one_segment(axis: Any, *_: Any) -> list[Segment]:
    return [Segment(0, axis.extent)]


def never(*_: Any) -> bool:
    return False


def always(*_: Any) -> bool:
    return True


def none(*_: Any) -> None:
    return None


def only(_: Any, var: Any) -> list[Any]:
    return [var]


# What each rule is for; where it stands; what does without it.
RULES: dict[str, tuple[Any, str, Any]] = {
    "reductions needed by several kernels join them": (_Fuser, "_unite", none),
    "a kernel stores what it computes anyway": (_Fuser, "_may_join", never),
    "what is cheap is computed again": (_Fuser, "_is_dear", always),
    "what is dear is stored": (_Fuser, "_is_dear", never),
    "what parted kernels share is stored": (_Fuser, "_give_shared_groups", only),
    "scatters compute what they write": (fuse, "_takes_in", never),
    "products read through strides": (fuse, "strided_view", none),
    "kernels that read the same are joined": (siblings, "_is_worth_it", never),
    "what follows a product runs on its rows": (plan, "can_follow", never),
    "short axes are written out": (build, "MOST_UNROLLED", 0),
    "short rows are read as a whole": (memory, "MOST_COLUMNS", 0),
    "large results bypass the caches": (memory, "STREAMED_BYTES", 1 << 60),
    "rows are kept in the cache": (nest, "ROW_BUFFER_BYTES", 0),
    "rows are read side by side": (emit, "choose_rows", none),
    "jumping loads are read in tiles": (emit, "choose_tiling", none),
    "columns are read in panels": (emit, "choose_panels", none),
    "loops are cut where conditions turn": (emit, "segments", one_segment),
    "short folds are unrolled": (fold, "UNROLLED_COST", 0),
    "large kernels share functions": (sharing, "LARGE_BODY", 1 << 60),
    "kernels run in vectors": (nest, "choose_vector_axis", none),
    "loops of numbers stay in registers": (control, "scalar_loop", none),
    "carries are updated in place": (control, "update_chain", none),
}
# Passes that what follows can do without. `windows` is not one of fusion: it makes products with
# vectors to products of matrices, which add in another order, as vmap does.
PASSES = ("cse", "simplify", "merge_scans", "hoist", "loop_updates", "ranges", "prune")


@pytest.fixture(scope="module")
def whole() -> dict[str, tuple[Compiled, list[np.ndarray]]]:
    """What becomes of each program with all rules, and its results."""
    with small_chunks():
        return {name: (compiled := lowered(name), run(name, compiled)) for name in PROGRAMS}


def lowered(name: str) -> Compiled:
    function, arguments = PROGRAMS[name]
    graph = jitml.jit(function).trace(*arguments).graph
    return Compiled(graph, lower_graph(graph))  # not from a file, where rules would not matter


def run(name: str, compiled: Compiled) -> list[np.ndarray]:
    arguments = [jnp.asarray(x) for x in PROGRAMS[name][1]]
    return [np.asarray(x) for x in compiled.run(arguments)]


@pytest.mark.parametrize("rule", RULES)
def test_no_bit_depends_on_a_rule(
    rule: str, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*RULES[rule])
    check(whole)


@pytest.mark.parametrize("name", PASSES)
def test_no_bit_depends_on_a_pass(
    name: str, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    others = tuple(p for p in passes.PASSES if p.__name__ != name)
    for module in (passes, lowering):
        monkeypatch.setattr(module, "PASSES", others)
    check(whole)


def check(whole: dict[str, tuple[Compiled, list[np.ndarray]]]) -> None:
    """Some programs are compiled to something else now; all results are the same."""
    changed = False
    with small_chunks():
        for name, (compiled, expected) in whole.items():
            other = lowered(name)
            before, after = compiled.program, other.program
            if (before.plan, before.kernels) == (after.plan, after.kernels):
                continue
            changed = True
            for a, b in zip(run(name, other), expected, strict=True):
                assert same_bits(a, b), name
    assert changed, "no program here shows what this is for"


# What models are made of, in words. Attention is an op that users ask for by its name.
LAYERS = re.compile(
    r"(?<![a-z])(soft_?max|logsumexp|(layer|batch|group|instance|rms)_?norm|gelu|silu|relu|swish|elu"
    r"|lstm|gru|rnn|mlp|cnn|resnet|transformer|embedding|dropout|adam|sgd|cross_?entropy)(?![a-z])",
    re.IGNORECASE,
)
COMPILER = ["codegen", "pipeline", "transforms", "ops", "scalar", "ir"]


def test_no_layer_is_known_by_name() -> None:
    """Of the code that decides how programs run; what is said about it may give examples."""
    sources = [p for part in COMPILER for p in (PACKAGE / part).rglob("*.py")]
    assert len(sources) > 100
    named = [f"{path}: {name}" for path in sources for name in names(path) if LAYERS.search(name)]
    assert not named


def names(path: Path) -> Iterator[str]:
    """The names, attributes, arguments and texts of a module, without its docstrings."""
    tree = ast.parse(path.read_text())
    said = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in said:
                yield text
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.alias(name=name):
                yield name
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
