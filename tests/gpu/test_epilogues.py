"""What follows a product works on its elements before they leave the product's kernel: one launch,
the CPU's bits, and nothing moved but what the result and the other operands take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax, nn
from jitml.codegen.nvptx.assembler import find_assembler
from jitml.codegen.nvptx.target import gpu_target
from jitml.emulation.libcuda import EmulatedCuda
from jitml.emulation.machine import SECTOR_BYTES
from jitml.ir.graph import Graph
from jitml.pipeline.lowering import lower
from jitml.transforms.inline_calls import inline_calls
from jitml_runtime import Instruction
from tests.gpu.agreement import agree


class Row(NamedTuple):
    """A function of a product of its first two arguments, their shapes and dtype, and how many
    launches it is.
    """

    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    dtype: str = "float32"
    launches: int = 1


def narrowed(x: Any, y: Any, b: Any) -> Any:
    """Sums in float32, a bias in float32, a result in the operands' dtype."""
    return (jnp.matmul(x, y, preferred_element_type="float32") + b).astype(x.dtype)


def heads(x: Any, y: Any) -> Any:
    """The columns as heads in front of the rows."""
    batch, length, _ = x.shape
    return (x @ y).reshape(batch, length, -1, 16).transpose(0, 2, 1, 3) * 2


def with_mask(x: Any, y: Any) -> Any:
    z = x @ y
    return jnp.where(z > 0, z, 0), z > 0


def steps(x: Any, y: Any) -> Any:
    """Slices that move, a carry that is read and written."""
    return lax.scan(lambda c, s: (jnp.tanh(c + s @ y), c), jnp.zeros((37, 33)), x)


LINEAR = ((70, 40), (40, 68), (68,))
ROWS = {
    "one by one": Row(lambda x, y, b: nn.relu(x @ y + b), ((5, 4), (4, 6), (6,))),
    "bias and activation": Row(lambda x, y, b: nn.gelu(x @ y + b), LINEAR),
    "large squares": Row(lambda x, y, b: nn.relu(x @ y + b), ((130, 17), (17, 132), (132,))),
    "rows that fill no vector": Row(
        lambda x, y, b: jnp.tanh(x @ y + b), ((67, 18), (18, 71), (71,))
    ),
    "pairs side by side": Row(lambda x, y, b: x @ y * b, ((65, 18), (18, 70), (70,))),
    "by rows": Row(lambda x, y, b: x @ y * b[:, None], ((67, 18), (18, 72), (67,))),
    "residual": Row(lambda x, y, r: r + 0.5 * (x @ y), ((66, 20), (20, 68), (66, 68))),
    "an operand again": Row(lambda x, y: x + x @ y, ((64, 64), (64, 64))),
    "inside of a border": Row(
        lambda x, y, r: jnp.pad(r, ((1, 0), (2, 0))) - x @ y, ((66, 20), (20, 68), (65, 66))
    ),
    "a scale at hand": Row(lambda x, y, s: x @ y * s, ((66, 20), (20, 68), ())),
    "two results": Row(with_mask, ((66, 20), (20, 68))),
    "the product, too": Row(lambda x, y: (x @ y, jnp.exp(x @ y)), ((66, 20), (20, 68))),
    "the product alone": Row(lambda x, y: x @ y, ((66, 20), (20, 68))),
    "a batch": Row(
        lambda x, y, b: jnp.einsum("bij,bjk->bik", x, y) + b, ((3, 40, 30), (3, 30, 40), (40,))
    ),
    "bias of each in a batch": Row(
        lambda x, y, b: jnp.einsum("bij,bjk->bik", x, y) + b, ((3, 40, 30), (3, 30, 40), (3, 1, 40))
    ),
    "axes apart": Row(lambda x, y, b: x @ y + b, ((3, 30, 20), (20, 36), (30, 1))),
    "heads in front": Row(heads, ((2, 40, 16), (16, 64))),
    "operands turned": Row(lambda x, y: nn.relu(x.T @ y.T), ((40, 68), (72, 40))),
    "bfloat16 in order": Row(
        lambda x, y, b: nn.silu(lax.dot(x, y, precision="highest") + b), LINEAR, "bfloat16"
    ),
    "float64": Row(lambda x, y, b: jnp.tanh(x @ y + b), LINEAR, "float64"),
    "int8": Row(lambda x, y: (x @ y).astype("int32") * 3 > 2, ((70, 30), (30, 70)), "int8"),
    "complex": Row(lambda x, y: jnp.exp(x @ y), ((9, 4), (4, 6)), "complex64", launches=2),
    "a long function": Row(
        lambda x, y: jitml.scipy.special.betainc(2.0, 3.0, nn.sigmoid(x @ y)),
        ((66, 20), (20, 68)),
        launches=2,
    ),
    "softmax": Row(lambda x, y: nn.softmax(x @ y), ((66, 20), (20, 68)), launches=2),
    "rows that end within a vector": Row(lambda x, y: nn.relu(x @ y), ((66, 20), (20, 70))),
    "written across": Row(lambda x, y: (x @ y).T + 1, ((66, 20), (20, 68)), launches=2),
    "read across": Row(lambda x, y: (x @ y) + (x @ y).T, ((66, 20), (20, 66)), launches=2),
    "read at two places": Row(lambda x, y: x @ y - (x @ y)[::-1], LINEAR[:2], launches=2),
    "part of it": Row(lambda x, y: jnp.exp((x @ y)[1:]), ((66, 20), (20, 66)), launches=2),
    "two products": Row(
        lambda x, y, z: nn.silu(x @ y) * (x @ z), ((66, 20), (20, 68), (20, 68)), launches=2
    ),
    "an empty result": Row(lambda x, y: nn.relu(x @ y) + 1, ((0, 20), (20, 6)), launches=0),
    "an empty sum": Row(lambda x, y, b: nn.relu(x @ y + b), ((7, 0), (0, 6), (6,))),
}
UNITS = {
    "bias and activation": Row(
        lambda x, y, b: nn.gelu(x @ y + b), ((131, 64), (64, 72), (72,)), "bfloat16"
    ),
    "sums in float32": Row(narrowed, ((128, 64), (64, 136), (136,)), "bfloat16"),
    "rows that fill no vector": Row(
        lambda x, y, b: nn.relu(x @ y + b), ((70, 40), (40, 67), (67,)), "float16"
    ),
    "residual of tf32": Row(
        lambda x, y, r: r + jnp.matmul(x, y, precision="high"), ((70, 40), (40, 70), (70, 70))
    ),
    "two results": Row(with_mask, ((64, 64), (64, 64)), "bfloat16"),
    "a batch": Row(
        lambda x, y, b: jnp.einsum("bij,bkj->bik", x, y) * b, ((2, 64, 32), (2, 64, 32), (64, 1)),
        "float16",
    ),
}  # fmt: skip


def samples_of(row: Row, whole: bool = False) -> list[Any]:
    random = np.random.default_rng(0)
    dtype = jnp.dtype(row.dtype)
    if whole or dtype.kind == "i":
        return [random.integers(-4, 5, s).astype(dtype) for s in row.shapes]
    parts = [random.standard_normal((2, *s)) for s in row.shapes]
    return [(p[0] + 1j * p[1] if dtype.kind == "c" else p[0]).astype(dtype) for p in parts]


def record(function: Callable[..., Any], samples: list[Any]) -> Graph:
    return inline_calls(jitml.make_graph(function)(*map(jnp.asarray, samples)))


@pytest.mark.parametrize("name", ROWS)
def test_what_follows_a_product_runs_with_it(name: str, measured: EmulatedCuda) -> None:
    row = ROWS[name]
    samples = samples_of(row)
    agree(record(row.function, samples), samples)
    assert len(measured.launches) == row.launches
    assert not any(launch.counts.bank_conflicts for launch in measured.launches)


@pytest.mark.parametrize("name", UNITS)
def test_what_follows_matrix_units_runs_with_them(name: str, measured: EmulatedCuda) -> None:
    row = UNITS[name]
    samples = samples_of(row, whole=True)
    agree(record(row.function, samples), samples)
    (launch,) = measured.launches
    assert "mma.sync" in launch.text and not launch.counts.bank_conflicts


def test_products_in_loops_take_what_follows(measured: EmulatedCuda) -> None:
    samples = samples_of(Row(steps, ((3, 37, 11), (11, 33))))
    agree(record(steps, samples), samples)
    products = [launch for launch in measured.launches if launch.counts.shared_turns]
    assert len(products) == 3


def test_products_read_their_operands_before_those_are_overwritten(emulated: Any) -> None:
    def steps(c: Any, w: Any, x: Any) -> Any:
        def step(c: Any, s: Any) -> Any:
            following = c.at[2].set(s)
            return following, c @ w + following

        return lax.scan(step, c, x)

    samples = samples_of(Row(steps, ((5, 4), (4, 4), (3, 4))))
    agree(record(steps, samples), samples)


class Moved(NamedTuple):
    """A function, the same without its epilogue, shapes, dtype, and the most sectors that the
    epilogue reads over the ideal ones. Biases are read by each warp, once.
    """

    function: Callable[..., Any]
    product: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    dtype: str = "float32"
    most: float = 1.0


def product(x: Any, y: Any, *rest: Any) -> Any:
    return x @ y


MOVED = {
    "residual": Moved(lambda x, y, r: r + x @ y, product, ((128, 24), (24, 128), (128, 128))),
    "residual of small squares": Moved(
        lambda x, y, r: r * (x @ y), product, ((64, 40), (40, 64), (64, 64))
    ),
    "residual of units": Moved(
        lambda x, y, r: r + x @ y, product, ((128, 64), (64, 128), (128, 128)), "bfloat16"
    ),
    "bias of units": Moved(
        lambda x, y, b: x @ y + b, product, ((256, 64), (64, 128), (128,)), "bfloat16", 16.0
    ),
    "bias": Moved(lambda x, y, b: x @ y + b, product, ((128, 24), (24, 128), (128,)), most=8.0),
}


@pytest.mark.parametrize("name", MOVED)
def test_epilogues_move_what_they_must(name: str, measured: EmulatedCuda) -> None:
    row = MOVED[name]
    samples = samples_of(Row(row.function, row.shapes, row.dtype), whole=True)
    sectors = []
    for function in (row.function, row.product):
        measured.launches.clear()
        (found,) = agree(record(function, samples), samples)
        (launch,) = measured.launches
        assert launch.counts.store_sectors == np.asarray(found).nbytes // SECTOR_BYTES
        sectors.append(launch.counts.load_sectors)
    ideal = samples[-1].nbytes / SECTOR_BYTES
    assert 0 < sectors[0] - sectors[1] <= row.most * ideal


def launches_of(function: Callable[..., Any], samples: list[Any], donated: Any = ()) -> int:
    program = lower(record(function, samples), gpu_target("sm_90"), donated)
    return sum(isinstance(step, Instruction) for step in program.plan.instructions)


def test_updates_run_with_the_products_that_make_gradients() -> None:
    """One launch each: two products forward, two of gradients with updates, the other one with the
    derivative of the activation; the derivative of the loss.
    """

    def step(w: Any, v: Any, x: Any, y: Any) -> Any:
        def loss(w: Any, v: Any) -> Any:
            return ((jnp.tanh(x @ w) @ v - y) ** 2).sum()

        dw, dv = jitml.grad(loss, (0, 1))(w, v)
        return w - 0.1 * dw, v - 0.1 * dv

    shapes = ((40, 48), (48, 36), (32, 40), (32, 36))
    samples = samples_of(Row(step, shapes))
    assert launches_of(step, samples) == 5
    plan = lower(record(step, samples), gpu_target("sm_90"), (0, 1)).plan
    assert set(plan.aliases) == {(0, 0), (1, 1)}


def test_an_operand_is_not_overwritten_by_what_follows() -> None:
    samples = samples_of(Row(product, ((64, 64), (64, 64))))
    plan = lower(record(lambda x, y: x + x @ y, samples), gpu_target("sm_90"), (0,)).plan
    assert not plan.aliases


@pytest.mark.skipif(find_assembler() is None, reason="there is no ptxas")
@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100", "sm_120"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_a_layer_spills_nothing(dtype: str, target: str) -> None:
    shapes = [jitml.ShapeDtypeStruct(s, dtype) for s in ((256, 128), (128, 384), (384,))]
    (kernel,) = jitml.aot(ROWS["bias and activation"].function, *shapes, target=target).kernels
    assert kernel.resources and kernel.resources.spilled_bytes == 0
