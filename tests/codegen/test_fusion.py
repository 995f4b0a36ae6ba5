"""What fusion promises: normalisations are one kernel, chains have no temporaries, and no rule
changes a bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import Case, all_cases
from oracle import record, to_array

import jitml
from jitml.codegen.build import strided_view
from jitml.codegen.fuse import _Fuser, fuse
from jitml.codegen.plan import Program, make_plan
from jitml.codegen.target import host
from jitml.ir.errors import OutOfBoundsError
from jitml.ir.graph import Graph
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.ops import elementwise as e
from jitml.ops import reduction as r
from jitml.ops.contraction import dot_general
from jitml.ops.cumulative import cumsum
from jitml.ops.indexing import GatherDimensionNumbers, gather
from jitml.ops.layout import broadcast_in_dim, iota, reshape, transpose
from jitml.ops.random_bits import threefry2x32
from jitml.ops.slicing import pad, slice_
from jitml.pipeline.compile import Compiled, compile_graph, lower_graph
from jitml.pipeline.passes import PASSES
from jitml.trace.core import bind, type_of
from jitml.trace.numbers import literal
from jitml.transforms.runner import run_passes
from jitml_runtime import Instruction, get_num_threads, set_num_threads
from tests.fuzz.check import same_bits, small_chunks

ROWS, COLUMNS = 4096, 1024
F32 = np.dtype(np.float32)


def along(x: Any, like: Any) -> Any:
    """A value per row, repeated along the row."""
    return broadcast_in_dim(x, type_of(like).shape, (0,))


def mean(x: Any) -> Any:
    return e.div(r.reduce_sum(x, (1,)), float(type_of(x).shape[1]))


def softmax(x: Any) -> Any:
    exponentials = e.exp(e.sub(x, along(r.reduce_max(x, (1,)), x)))
    return e.div(exponentials, along(r.reduce_sum(exponentials, (1,)), x))


def masked_softmax(x: Any) -> Any:
    shape = type_of(x).shape
    int32 = np.dtype(np.int32)
    mask = e.ge(iota(int32, shape, 0), iota(int32, shape, 1))
    return softmax(e.select(mask, x, e.full_like(x, -np.inf)))


def layernorm(x: Any) -> Any:
    centred = e.sub(x, along(mean(x), x))
    return e.mul(centred, along(e.rsqrt(e.add(mean(e.mul(centred, centred)), 1e-5)), x))


def rmsnorm(x: Any) -> Any:
    return e.mul(x, along(e.rsqrt(e.add(mean(e.mul(x, x)), 1e-6)), x))


def logsumexp(x: Any) -> Any:
    largest = r.reduce_max(x, (1,))
    return e.add(largest, e.log(r.reduce_sum(e.exp(e.sub(x, along(largest, x))), (1,))))


def logsumexp_in_columns(x: Any) -> Any:
    """With axes of one element, and the largest elements used where they are not finite, too."""
    rows = (type_of(x).shape[0], 1)
    largest = reshape(r.reduce_max(x, (1,)), rows)
    shift = e.select(e.is_finite(largest), largest, e.full_like(largest, 0.0))
    grown = e.exp(e.sub(x, broadcast_in_dim(shift, type_of(x).shape, (0, 1))))
    return reshape(e.add(e.log(reshape(r.reduce_sum(grown, (1,)), rows)), shift), rows[:1])


NORMS = (softmax, masked_softmax, layernorm, rmsnorm, logsumexp, logsumexp_in_columns)


def graph_of(function: Callable[..., Any], *shapes: tuple[int, ...]) -> Graph:
    return record(function, [ArrayType(F32, shape) for shape in shapes])


@pytest.mark.parametrize("function", NORMS)
def test_normalisations_are_one_kernel(function: Callable[..., Any]) -> None:
    plan = lower_graph(graph_of(function, (ROWS, COLUMNS))).plan
    (instruction,) = plan.instructions
    kinds = [plan.buffers[number].kind for number in instruction.buffers]
    assert kinds == ["input", "output"]
    assert plan.arena_bytes == 0
    assert instruction.extent // max(instruction.grain, 1) >= 16


def test_a_fold_of_folds_reads_what_one_kernel_makes_of_each_row() -> None:
    def loss(x: Any) -> Any:
        return r.reduce_sum(logsumexp(x), (0,))

    steps = instructions(lower_graph(graph_of(loss, (ROWS, COLUMNS))))
    assert [step.extent for step in steps] == [ROWS, 1]

    def of_columns(x: Any) -> Any:
        """What it reads is as large as the rows: only the folds of these are stored."""
        return r.reduce_sum(softmax(x), (0,))

    plan = lower_graph(graph_of(of_columns, (ROWS, COLUMNS))).plan
    assert plan.arena_bytes < ROWS * COLUMNS * 4


def moments(x: Any) -> Any:
    centred = e.sub(x, along(mean(x), x))
    return mean(x), mean(e.mul(centred, centred))


def two_normalisations(x: Any) -> Any:
    return softmax(x), e.sub(x, along(logsumexp(x), x))


@pytest.mark.parametrize("function", [moments, two_normalisations])
def test_results_that_need_the_same_fold_are_one_kernel(function: Callable[..., Any]) -> None:
    plan = lower_graph(graph_of(function, (ROWS, COLUMNS))).plan
    (instruction,) = plan.instructions
    kinds = [plan.buffers[number].kind for number in instruction.buffers]
    assert kinds == ["input", "output", "output"]
    assert plan.arena_bytes == 0


def one_after_the_other(x: Any) -> Any:
    """The second needs the first, by way of a kernel of its own kind."""
    total = r.reduce_sum(x, (1,))
    first = e.mul(total, 0.5)
    return first, e.mul(total, cumsum(first, 0))


def test_results_that_wait_for_each_other_are_not() -> None:
    steps = instructions(lower_graph(graph_of(one_after_the_other, (ROWS, COLUMNS))))
    assert [step.label for step in steps][-2:] == ["cumsum", "mul"]


def chain(x: Any) -> Any:
    for number in range(4):
        x = e.tanh(e.mul(x, 1.0 + number))
    return x


def test_a_chain_makes_no_temporary_array() -> None:
    plan = lower_graph(graph_of(chain, (10_000_000,))).plan
    assert (len(plan.instructions), len(plan.buffers), plan.arena_bytes) == (1, 2, 0)


def test_dear_values_are_not_computed_for_each_row() -> None:
    """One value per column: a kernel of its own, though only one other kernel needs it."""

    def scaled(x: Any, y: Any) -> Any:
        dear = e.tanh(e.exp(e.sin(x)))
        return e.mul(y, broadcast_in_dim(dear, type_of(y).shape, (1,)))

    program = lower_graph(graph_of(scaled, (COLUMNS,), (ROWS, COLUMNS)))
    assert sorted(step.extent for step in instructions(program)) == [COLUMNS, ROWS]


def test_a_fold_is_not_repeated_for_each_matrix() -> None:
    """Sums of rows that many matrices are multiplied with: folded once, by a kernel before."""

    def weighted(x: Any, y: Any) -> Any:
        return e.mul(y, broadcast_in_dim(r.reduce_sum(x, (1,)), type_of(y).shape, (1,)))

    graph = graph_of(weighted, (64, COLUMNS), (32, 64, 64))
    assert len(instructions(lower_graph(graph))) == 2


def test_the_fold_of_a_long_row_is_ended_once() -> None:
    """Its parts are folded side by side; what combines them is not repeated for each quotient."""

    def normalised(x: Any) -> Any:
        return e.div(x, along(r.reduce_sum(x, (1,)), x))

    program = lower_graph(graph_of(normalised, (4, 100_000)))
    assert [step.label for step in instructions(program)] == ["partial", "combine", "div"]


@pytest.mark.parametrize("is_transposed", [False, True])
def test_what_every_sum_needs_is_computed_once(is_transposed: bool) -> None:
    """The vector that a matrix is multiplied with: not computed for each row, or column, again;
    nor read by jumps.
    """

    def product(x: Any, matrix: Any, activation: Any) -> Any:
        axis = 0 if is_transposed else 1
        repeated = broadcast_in_dim(activation(x), type_of(matrix).shape, (axis,))
        return r.reduce_sum(e.mul(matrix, repeated), (axis,))

    def labels(activation: Any, shape: tuple[int, ...], columns: int = COLUMNS) -> list[str]:
        graph = graph_of(
            lambda x, m: product(x, m, activation),
            shape,
            (COLUMNS, columns) if is_transposed else (columns, COLUMNS),
        )
        return [step.label for step in instructions(lower_graph(graph))]

    def column(x: Any) -> Any:
        return reshape(slice_(x, (0, 3), (COLUMNS, 4)), (COLUMNS,))

    assert labels(e.exp, (COLUMNS,)) == ["exp", "reduce_sum"]
    assert labels(column, (COLUMNS, 16)) == ["slice", "reduce_sum"]
    assert labels(lambda x: e.mul(x, x), (COLUMNS,)) == ["reduce_sum"]
    assert labels(column, (COLUMNS, 4), 2) == ["reduce_sum"]


def test_what_an_output_is_made_of_does_not_count() -> None:
    """It has a buffer: what is made of it costs what follows, and large arrays are not stored."""

    def apart(x: Any) -> Any:
        moved = e.add(e.mul(e.add(e.mul(e.add(e.mul(x, 2.0), x), 3.0), x), 4.0), x)
        shape = (2000, 2000)
        rows, columns = (broadcast_in_dim(moved, shape, (axis,)) for axis in (0, 1))
        difference = e.sub(rows, columns)
        nearest = r.reduce_min(e.mul(difference, difference), (1,))
        return moved, nearest, r.reduce_max(difference, (0,))

    program = lower_graph(graph_of(apart, (2000,)))
    assert max(buffer.size_bytes for buffer in program.plan.buffers) <= 1 << 20


def test_short_axes_are_no_vectors_where_much_is_computed() -> None:
    """Lengths of vectors in space: lanes across the three dimensions would leave most idle."""

    def lengths(x: Any, times: Any) -> Any:
        moved = e.tanh(e.mul(x, broadcast_in_dim(times, type_of(x).shape, (0,))))
        return e.sqrt(r.reduce_sum(e.mul(moved, moved), (1,)))

    (kernel,) = lower_graph(graph_of(lengths, (9000, 3), (9000,))).kernels
    assert f"call <{host().lanes(4)} x float> @llvm.sqrt" in kernel.text


def test_distances_are_not_stored() -> None:
    """Coordinates are read by jumps for each pair, but a buffer would not bring them together."""

    def pulls(x: Any, masses: Any) -> Any:
        count = type_of(x).shape[0]
        pairs = (count, count, 3)
        apart = e.sub(broadcast_in_dim(x, pairs, (1, 2)), broadcast_in_dim(x, pairs, (0, 2)))
        return r.reduce_sum(e.mul(apart, broadcast_in_dim(masses, pairs, (1,))), (1,))

    assert len(instructions(lower_graph(graph_of(pulls, (400, 3), (400,))))) == 1


def test_what_is_gathered_is_not_gathered_for_each_row() -> None:
    """Boxes in an order, each beside each: their corners are read where they have been put."""

    def widths(boxes: Any, order: Any) -> Any:
        dimensions = GatherDimensionNumbers((1,), (0,), (0,))
        chosen = gather(boxes, reshape(order, (200, 1)), dimensions, (1, 4), "inside")
        left, right = (reshape(slice_(chosen, (0, k), (200, k + 1)), (200,)) for k in (0, 2))
        first, second = (
            [broadcast_in_dim(x, (200, 200), (axis,)) for x in (left, right)] for axis in (0, 1)
        )
        return e.sub(e.minimum(first[1], second[1]), e.maximum(first[0], second[0]))

    types = [ArrayType(F32, (200, 4)), ArrayType(np.dtype(np.int32), (200,))]
    assert instructions(lower_graph(record(widths, types)))[0].label == "gather"


def test_an_output_that_others_need_at_its_neighbours_is_read() -> None:
    """It is stored anyway: to compute it again at each of their places takes longer."""

    def waves(h: Any, u: Any) -> Any:
        def slope(x: Any) -> Any:
            n, m = type_of(x).shape
            wide = pad(x, 0.0, ((1, 1, 0), (0, 0, 0)))
            return e.sub(slice_(wide, (2, 0), (n + 2, m)), slice_(wide, (0, 0), (n, m)))

        u = e.add(u, slope(h))
        return u, e.add(h, slope(u))

    labels = {n: len(instructions(lower_graph(graph_of(waves, (n, n), (n, n))))) for n in (50, 500)}
    assert labels == {50: 1, 500: 2}


def test_what_is_cheap_is_not_stored_in_large_arrays() -> None:
    """The exponentials of long rows are computed for their sum, and again for the quotients."""
    labels = {}
    for rows in (8, 64):
        program = lower_graph(graph_of(softmax, (rows, 32_000)))
        labels[rows] = [step.label for step in instructions(program)]
    assert "exp" in labels[8] and "exp" not in labels[64]


def test_reductions_that_read_along_different_axes_go_apart() -> None:
    def sums(x: Any) -> Any:
        y = e.mul(e.add(x, 1.0), x)
        return e.add(r.reduce_sum(y, (0,)), r.reduce_sum(y, (1,)))

    assert len(instructions(lower_graph(graph_of(sums, (400, 400))))) == 2


@pytest.mark.parametrize("is_view", [False, True])
def test_what_a_product_reads_is_not_stored_behind_it(
    is_view: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last kernel needs `h` too, but could not store it: the product before reads it."""

    def gate(x: Any, w: Any) -> Any:
        h = e.tanh(x)
        operand = transpose(h, (1, 0)) if is_view else h
        return e.mul(h, e.exp(dot_general(operand, w, (((1,), (0,)), ((), ())))))

    def refuse(fuser: Any, path: Any) -> None:
        raise AssertionError("kernels wait for each other")

    monkeypatch.setattr(_Fuser, "_split_one", refuse)
    assert len(instructions(lower_graph(graph_of(gate, (32, 32), (32, 32))))) == 3


def instructions(program: Program) -> list[Instruction]:
    return [step for step in program.plan.instructions if isinstance(step, Instruction)]


def separately(graph: Graph) -> Compiled:
    """The graph with a kernel for each equation."""
    graph = run_passes(graph, PASSES).graph
    program: Program = make_plan(graph, fuse(graph, separately=True), host(), graph.output_types)
    return Compiled(graph, program)


def through_maps(x: Any) -> Any:
    y = pad(e.sin(transpose(x, (1, 0))), literal(0.5, ArrayType(F32, ())), ((1, 2, 1), (0, 0, 0)))
    rows = type_of(y).shape[1]
    return e.mul(reshape(slice_(y, (1, 0), (3, rows)), (rows, 2)), 2.0)


def of_rows(x: Any) -> Any:
    return reshape(r.reduce_sum(e.mul(logsumexp(x), 0.5), (0,)), (1,))


def of_two_shapes(x: Any) -> Any:
    total = r.reduce_sum(x, (1,))
    return e.mul(total, 0.5), slice_(e.exp(total), (1,), type_of(total).shape), e.exp(total)


SEVERAL = (moments, two_normalisations, one_after_the_other, of_two_shapes)
FUSED = (*NORMS, *SEVERAL, chain, through_maps, of_rows)


@pytest.mark.parametrize("function", FUSED)
@pytest.mark.parametrize("shape", [(5, 3), (3, 64), (2, 65), (17, 100)])
def test_fusion_changes_no_bit(function: Callable[..., Any], shape: tuple[int, ...]) -> None:
    graph = graph_of(function, shape)
    x = to_array(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    with small_chunks():
        fused, apart = compile_graph(graph).run([x]), separately(graph).run([x])
        assert len(separately(graph).program.plan.instructions) > 1
    for one, other in zip(fused, apart, strict=True):
        assert same_bits(np.asarray(one), np.asarray(other))


CASES = [case for case in all_cases() if case.inputs]


@pytest.mark.parametrize("case", CASES[::9], ids=lambda case: case.name)
def test_no_result_comes_from_numpy(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has elements is computed by native instructions: `value` is never asked."""

    def refuse(self: Op, *arrays: Any) -> Any:
        raise AssertionError(f"{self.name} asked for its value in NumPy")

    for op in Op.registry.values():
        kind = op if isinstance(op, type) else type(op)
        monkeypatch.setattr(kind, "value", refuse)
    dtype = case.dtypes()[-1]
    graph = record(case.apply, case.types(dtype))
    with small_chunks():
        arrays = [to_array(x) for x in case.samples(dtype)]
        program = lower_graph(graph)
        new = [
            t for t, k in zip(graph.output_types, program.plan.forward, strict=True) if k is None
        ]
        assert bool(program.plan.instructions) or not any(t.size for t in new)
        for eqn in graph.eqns[:1]:
            bind(
                eqn.op,
                *[arrays[graph.inputs.index(a)] if a in graph.inputs else a for a in eqn.inputs],
            )
        compile_graph(graph).run(arrays)


def test_only_an_index_map_is_a_view() -> None:
    """Of complex numbers, both parts must come from the same place of the same array."""
    c64 = ArrayType(np.dtype(np.complex64), (3, 4))

    def view_of(function: Callable[..., Any]) -> object:
        graph = record(function, [c64, c64])
        definitions = {v: eqn for eqn in graph.eqns for v in eqn.outputs}
        found = strided_view(definitions, set(graph.inputs), graph.outputs[0])  # type: ignore[arg-type]
        return found and (graph.inputs.index(found[0]), *found[1:])

    def turned(x: Any) -> Any:
        return transpose(slice_(x, (0, 1), (3, 4)), (1, 0))

    assert view_of(lambda x, y: turned(x)) == (0, 1, (1, 4))
    assert view_of(lambda x, y: turned(e.conj(x))) is None
    assert view_of(lambda x, y: e.complex_(e.imag(x), e.real(x))) is None
    assert view_of(lambda x, y: e.complex_(e.real(x), e.imag(y))) is None


def test_a_chain_of_thousands_of_equations() -> None:
    def long(x: Any) -> Any:
        for _ in range(2500):
            x = e.add(e.mul(x, 0.5), 1.0)
        return x

    graph = graph_of(long, (7,))
    x = np.linspace(-1, 1, 7, dtype=np.float32)
    with small_chunks():
        compiled = compile_graph(graph)
    (found,) = compiled.run([to_array(x)])
    assert 1 < len(compiled.program.plan.instructions) < 50
    np.testing.assert_allclose(np.asarray(found), 2.0, rtol=1e-6)


def test_shifts_behind_each_other_do_not_multiply() -> None:
    """Each step reads its predecessor at two places: without buffers the work would double with
    each.
    """

    def stencil(x: Any) -> Any:
        for _ in range(40):
            size = type_of(x).shape[0]
            x = e.add(slice_(x, (0,), (size - 1,)), slice_(x, (1,), (size,)))
        return x

    graph = graph_of(stencil, (100,))
    x = np.arange(100, dtype=np.float32)
    with small_chunks():
        (found,) = compile_graph(graph).run([to_array(x)])
    for _ in range(40):
        x = x[:-1] + x[1:]
    assert same_bits(np.asarray(found), x)


def test_one_of_two_outputs_with_a_buffer_of_its_own() -> None:
    """The first output is the same along the first axis, so it is computed apart; the second,
    which nobody reads, comes with it.
    """
    uint32 = np.dtype(np.uint32)

    def bits(x: Any) -> Any:
        repeated = broadcast_in_dim(x, (2, 5, 70), (1, 2))
        key = literal(2, ArrayType(uint32, ()))
        first, _ = threefry2x32(key, key, repeated, e.not_(repeated))
        return e.ne(first, repeated)

    graph = record(bits, [ArrayType(uint32, (5, 70))])
    with small_chunks():
        (found,) = compile_graph(graph).run([to_array(np.zeros((5, 70), np.uint32))])
    assert np.asarray(found).all()


POINTS = GatherDimensionNumbers((), (0,), (0,))


def two_gathers(x: Any, first: Any, second: Any) -> Any:
    """The first in the program is the first to fail, whatever order the kernel has them in."""
    a = gather(x, first, POINTS, (1,), "raise")
    b = gather(x, second, POINTS, (1,), "raise")
    return e.add(e.exp(b), a)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_first_fault_is_told(threads: int) -> None:
    size = 5000
    types = [ArrayType(F32, (10,)), *[ArrayType(np.dtype(np.int32), (size, 1))] * 2]
    graph = record(two_gathers, types)
    first = np.zeros((size, 1), np.int32)
    second = np.zeros((size, 1), np.int32)
    first[[4000, 3001], 0] = 77, 78
    second[5, 0] = -3
    before = get_num_threads()
    set_num_threads(threads)
    try:
        with small_chunks(), pytest.raises(OutOfBoundsError, match=r"index 78 .*element 3001"):
            compile_graph(graph).run(
                [to_array(x) for x in (np.ones(10, np.float32), first, second)]
            )
    finally:
        set_num_threads(before)


def test_a_gather_of_constants_checks_its_index() -> None:
    def constants(indices: Any) -> Any:
        return gather(
            broadcast_in_dim(literal(1, ArrayType(F32, ())), (5,), ()),
            indices,
            POINTS,
            (1,),
            "raise",
        )

    graph = record(constants, [ArrayType(np.dtype(np.int32), (3, 1))])
    with small_chunks(), pytest.raises(OutOfBoundsError, match="index 9 "):
        compile_graph(graph).run([to_array(np.array([[0], [9], [1]], np.int32))])


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_a_search_is_one_kernel(dtype: str) -> None:
    """Each of its reads tells where the next one is: a chain of gathers, in wide vectors."""
    random = np.random.default_rng(4)
    x, y = np.sort(random.integers(0, 99, 3000)).astype(dtype), random.integers(-5, 110, 5000)
    search = jitml.jit(lambda x, y: jitml.numpy.searchsorted(x, y.astype(dtype)))
    assert len(search.lower(x, y).compile()._program.plan.instructions) == 1
    np.testing.assert_array_equal(search(x, y), np.searchsorted(x, y.astype(dtype)))
