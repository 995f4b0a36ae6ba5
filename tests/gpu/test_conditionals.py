"""Loops and branches on the emulated device: one graph that decides for itself, and the same bits
where the driver is too old for that and a number is read back instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import lax
from jitml.device import errors, executable, launches
from jitml.device.device import Device
from jitml.device.driver import Driver
from jitml.device.executable import DeviceExecutable, run_on_host
from jitml.device.launches import Code, GraphShape, IsRecorded, graph_shape
from jitml.emulation import graphs
from jitml.emulation.libcuda import EmulatedCuda
from jitml.ir.errors import OutOfBoundsError
from jitml.pipeline import devices
from jitml.transforms.inline_calls import inline_calls
from jitml_runtime import Plan, remote_of
from tests.gpu.agreement import agree

X = np.arange(12, dtype=np.float32).reshape(3, 4)
SQUARE = np.random.default_rng(0).standard_normal((16, 16)).astype(np.float32) / 4
NEW = 12040
OLD = pytest.param(12030, marks=pytest.mark.sampled)  # the way that was there before


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """No scan is written out."""

    def shape(plan: Plan, has_conditionals: bool, is_recorded: IsRecorded) -> GraphShape | None:
        found = graph_shape(plan, has_conditionals, is_recorded)
        return found and GraphShape(found.nodes, 0 if has_conditionals else found.most_unrolled)

    monkeypatch.setattr(executable, "graph_shape", shape)


@pytest.fixture
def device(emulated: EmulatedCuda) -> Device:
    return devices.default_device()


def matrix_power(x: Any, n: Any) -> Any:
    return lax.while_loop(lambda s: s[1] < n, lambda s: (s[0] @ x, s[1] + 1), (x, 0))


def halve(x: Any) -> Any:
    """Ends when the numbers say so."""
    return lax.while_loop(lambda x: jnp.abs(x).sum() > 3, lambda x: jnp.sort(x @ x) * 0.25, x)


def branches(x: Any, k: Any) -> Any:
    sides = [jnp.sort, lambda x: x @ x, lambda x: x, lambda x: jnp.cumsum(x, 0)]
    return lax.switch(k, sides, x)


def branch_in_loop(x: Any, n: Any) -> Any:
    def body(state: Any) -> Any:
        x, k = state
        return lax.cond(x.sum() > 0, lambda x: x @ x * 0.25, lambda x: jnp.sort(x) + 1, x), k + 1

    return lax.while_loop(lambda s: s[1] < n, body, (x, 0))


def loop_in_loop(x: Any, n: Any) -> Any:
    """Both loops change places of carries; the inner one takes other numbers of steps."""

    def body(state: Any) -> Any:
        x, k = state
        x, _ = lax.while_loop(lambda s: s[1] < k, lambda s: (jnp.sort(s[0] @ x), s[1] + 1), (x, 0))
        return x / (1 + jnp.abs(x).max()), k + 1

    return lax.while_loop(lambda s: s[1] < n, body, (x, 0))


def loop_in_branch(x: Any, k: Any) -> Any:
    x = lax.cond(k > 1, lambda x: matrix_power(x, k)[0], lambda x: -x, x)
    return lax.cond(k > 2, lambda x: jnp.sort(x), lambda x: matrix_power(x, k)[0], x)


def scan(x: Any, rows: Any) -> Any:
    def step(carry: Any, row: Any) -> Any:
        carry = jnp.sort(carry @ x + row)
        return carry, (carry.sum(1), row[0])

    return lax.scan(step, x, rows)


def scan_from_the_end(x: Any, rows: Any) -> Any:
    return lax.scan(lambda c, row: (jnp.tanh(c @ x) + row, c), x, rows, reverse=True)


def scan_in_scan(x: Any, rows: Any) -> Any:
    """The inner slices are slices of the outer ones, and both stack results."""

    def inner(carry: Any, number: Any) -> Any:
        carry = jnp.sort(carry @ x * number)
        return carry, carry[0]

    def outer(carry: Any, row: Any) -> Any:
        carry, rows = lax.scan(inner, carry, row[:5])
        last, more = lax.scan(inner, carry, rows[0][:4], reverse=True)
        return last, (rows, more)

    return lax.scan(outer, x, rows)


def loop_in_scan(x: Any, rows: Any) -> Any:
    def step(carry: Any, row: Any) -> Any:
        carry = lax.while_loop(lambda c: jnp.abs(c).sum() > 9, lambda c: jnp.sort(c @ x) / 2, carry)
        carry = lax.cond(row[0] > 0, lambda c: c + row, lambda c: c @ c, carry)
        return carry, carry[1]

    return lax.scan(step, x, rows)


def in_place(x: Any, rows: Any) -> Any:
    """A carry that is updated where it is, and one that stands still."""

    def step(carry: Any, k: Any) -> Any:
        table, same = carry
        return (table.at[k].set(jnp.sort(same[k])), same), None

    return lax.scan(step, (x, rows), jnp.arange(4))[0]


def copies(x: Any, rows: Any) -> Any:
    """Slices that are passed on as they are, of sizes that allow other widths of copies."""
    steps = (rows, rows[:, :3].astype(jnp.int8), rows[:, 0])
    return lax.scan(lambda c, row: (row[0], (row, jnp.sort(c))), rows[0], steps)


def many(x: Any, rows: Any) -> Any:
    """More buffers that move than one launch counts."""
    start = tuple(x[k % 16] + k for k in range(33))
    return lax.scan(lambda c, row: (tuple(jnp.sort(y + row) for y in c), None), start, rows)[0]


def gradient_of_scan(x: Any, rows: Any) -> Any:
    return jitml.grad(lambda x: scan_from_the_end(x, rows)[0].sum())(x)


def gradient_of_loop_in_scan(x: Any, rows: Any) -> Any:
    def loss(x: Any) -> Any:
        def step(carry: Any, row: Any) -> Any:
            carry = lax.fori_loop(0, 3, lambda _, c: jnp.tanh(c @ x), carry)
            return lax.cond(row[0] > 0, lambda c: c + row, lambda c: c * row, carry), row

        return lax.scan(step, x, rows)[0].sum()

    return jitml.grad(loss)(x)


def switch_on_slices(x: Any, numbers: Any) -> Any:
    def step(carry: Any, k: Any) -> Any:
        return lax.switch(k, [jnp.sort, lambda c: c @ x, lambda c: -c], carry), carry[0]

    return lax.scan(step, x, numbers)


def batched_loop(x: Any, n: Any) -> Any:
    return jitml.vmap(lambda k: matrix_power(x, k))(n + jnp.arange(3))


ROWS = np.random.default_rng(1).standard_normal((5, 16)).astype(np.float32)


class Row(NamedTuple):
    function: Callable[..., Any]
    others: tuple[Any, ...]  # second arguments, each of which is tried


PROGRAMS = {
    "while": Row(matrix_power, (0, 1, 2, 5)),
    "numbers decide": Row(lambda x, n: halve(x * n), (0, 1, 9)),
    "switch": Row(branches, (-3, 0, 1, 2, 3, 7)),
    "branch in loop": Row(branch_in_loop, (0, 4)),
    "loop in loop": Row(loop_in_loop, (0, 1, 4)),
    "loop in branch": Row(loop_in_branch, (1, 2, 3)),
    "scan": Row(scan, (ROWS, ROWS[:1], ROWS[:2], ROWS[:0])),
    "scan from the end": Row(scan_from_the_end, (ROWS,)),
    "scan in scan": Row(scan_in_scan, (ROWS[:3],)),
    "loop in scan": Row(loop_in_scan, (ROWS, ROWS[:2])),
    "switch on slices": Row(switch_on_slices, (np.array([2, 1, -7, 0, 9]),)),
    "in place": Row(in_place, (SQUARE + 1,)),
    "copies": Row(copies, (ROWS, ROWS.astype(np.float64))),
    "many": Row(many, (ROWS[:3],)),
    "gradient of scan": Row(gradient_of_scan, (ROWS,)),
    "gradient of loop in scan": Row(gradient_of_loop_in_scan, (ROWS[:3],)),
    "batched loop": Row(batched_loop, (0, 3)),
}


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("name", PROGRAMS)
def test_one_graph_or_read_backs_the_bits_are_those_of_the_cpu(
    name: str, version: int, emulated: EmulatedCuda, loops: None
) -> None:
    emulated.version = version
    function, others = PROGRAMS[name]
    for other in others:
        second = np.asarray(other, None if isinstance(other, np.ndarray) else np.int32)
        graph = inline_calls(jitml.make_graph(function)(SQUARE, second))
        agree(graph, [SQUARE, second])
    device = devices.default_device()
    if version == NEW:
        assert device.counts.read_backs == 0
        assert device.counts.graph_launches > 0 and device.counts.launches <= len(others)
        assert emulated.calls["cuGraphConditionalHandleCreate"] > 0


@pytest.mark.parametrize("name", ["loop in scan", "gradient of loop in scan"])
def test_scans_that_are_written_out_have_loops_within(name: str, emulated: EmulatedCuda) -> None:
    function, others = PROGRAMS[name]
    agree(inline_calls(jitml.make_graph(function)(SQUARE, others[0])), [SQUARE, others[0]])
    assert devices.default_device().counts.graph_launches == 1


def test_long_scans_are_loops_of_the_graph_and_short_ones_written_out(
    emulated: EmulatedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sums(x: Any, rows: Any) -> Any:
        return lax.scan(lambda c, row: (jnp.sort(c + row), c[0]), x, rows)

    for length, is_whole in ((600, True), (60_000, False)):
        rows = jitml.ShapeDtypeStruct((length, 4), "float32")
        plan = jitml.aot(sums, X[0], rows).program.plan
        shape = graph_shape(plan, has_conditionals=True)
        assert shape is not None and (shape.nodes > length) == is_whole
        assert (graph_shape(plan, has_conditionals=False) is not None) == is_whole
    monkeypatch.setattr(launches, "MOST_NODES", 60)
    for length, handles in ((15, 0), (40, 1)):
        rows = np.random.default_rng(2).standard_normal((length, 4)).astype(np.float32)
        agree(inline_calls(jitml.make_graph(sums)(X[0], rows)), [X[0], rows])
        assert emulated.calls.get("cuGraphConditionalHandleCreate", 0) == handles
    assert devices.default_device().counts.read_backs == 0


def test_a_program_with_loops_is_recorded_once_and_launched_again(
    emulated: EmulatedCuda, device: Device
) -> None:
    power = jitml.jit(lambda x, n: matrix_power(x, n)[0])
    x = jnp.asarray(SQUARE)
    for n in (1, 2, 3, 3):
        found = power(x, jnp.int32(n))
        expected = np.linalg.multi_dot([SQUARE] * (n + 1))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
        del found
    assert device.counts.graph_launches == 4 and device.counts.read_backs == 0
    recorded = emulated.calls["cuLaunchKernel"]
    np.asarray(power(x, jnp.int32(30)))
    assert emulated.calls["cuLaunchKernel"] == recorded  # whatever the number of steps
    assert emulated.calls["cuGraphInstantiateWithFlags"] <= 2


def test_loops_take_the_memory_of_donated_arguments(device: Device) -> None:
    step = jitml.jit(lambda x, n: lax.fori_loop(0, n, lambda _, x: jnp.sort(x @ x), x),
                     donate_argnums=0)  # fmt: skip
    x = jitml.device_put(SQUARE, jitml.devices()[0])
    kept = jitml.jit(lambda x, n: lax.fori_loop(0, n, lambda _, x: jnp.sort(x @ x), x))(x, 3)
    np.testing.assert_array_equal(step(x, 3), kept)
    assert x.is_deleted()


# ---- what goes wrong -----------------------------------------------------------------------------


def walk(x: Any, places: Any) -> Any:
    """Two checks in each step, of which the later one fails first."""

    def step(total: Any, k: Any) -> Any:
        total = jnp.sort(total + x[places[k, 0]])
        return jnp.sort(total + x[places[k, 1]]), total

    return lax.scan(step, jnp.zeros(4, x.dtype), jnp.arange(len(places)))


def walk_while(x: Any, places: Any) -> Any:
    return lax.while_loop(
        lambda s: x[places[s[1], 0], 0] < 100,
        lambda s: (jnp.sort(s[0] + x[places[s[1], 1]]), s[1] + 1),
        (jnp.zeros(4, x.dtype), 0),
    )


def walk_twice(x: Any, places: Any) -> Any:
    """The check is of a loop within, which others follow."""

    def outer(total: Any, row: Any) -> Any:
        inner = lambda s: (jnp.sort(s[0] + x[row[s[1]]]), s[1] + 1)  # noqa: E731
        total, _ = lax.while_loop(lambda s: s[1] < 2, inner, (total, 0))
        again, _ = lax.while_loop(lambda s: s[1] < 2, inner, (total, 0))
        return total + again, again

    return lax.scan(outer, jnp.zeros(4, x.dtype), places)


PLACES = np.array([[0, 1], [1, 2], [2, 9], [8, 0], [0, 0]])
WALKS: dict[str, tuple[Callable[..., Any], Any, str]] = {
    "the first of two that fail": (walk, PLACES, r"index 9 .*step 2"),
    "a later step's": (walk, PLACES[3:], r"index 8 .*step 0"),
    "of a body": (walk_while, PLACES, r"index 9 .*step 2"),
    "of a condition": (walk_while, PLACES[[0, 1, 3]], r"index 8 .*step 2"),
    "of a condition before the first step": (walk_while, PLACES[3:], r"index 8 .*step 0"),
    "of a loop within": (walk_twice, PLACES, r"index 9 .*steps 2, 1"),
}


def test_calls_of_one_graph_that_are_on_their_way_together_tell_their_own_steps(
    emulated: EmulatedCuda, device: Device, loops: None
) -> None:
    walking = jitml.jit(lambda x, places: walk(x, places)[0])
    x, places = (jitml.device_put(array, jitml.devices()[0]) for array in (X, PLACES))
    calls = []
    for shift in (0, 1):
        with device.entered():
            device.copy_in(remote_of(places).block.address, np.roll(PLACES, shift, 0))
        calls.append(remote_of(walking(x, places)).maker)  # the next one has the same memory
    assert emulated.calls["cuGraphInstantiateWithFlags"] == 1
    with device.entered():
        device.wait()
    assert [re.findall(r"step \d", str(call.error)) for call in calls] == [["step 2"], ["step 3"]]


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("name", WALKS)
def test_a_check_within_a_loop_tells_the_step_and_ends_loops(
    name: str, version: int, emulated: EmulatedCuda, loops: None
) -> None:
    emulated.version = version
    function, places, message = WALKS[name]
    walking = jitml.jit(function)
    for _ in range(2):
        with pytest.raises(OutOfBoundsError, match=message) as raised:
            jitml.block_until_ready(walking(X, places))
        assert "test_conditionals.py" in str(raised.value)
    good = places % 3
    if function is walk_while:
        good = np.array([[0, 1], [1, 2]])
        with pytest.raises(OutOfBoundsError, match=r"index 2 is out of bounds .*step 2"):
            jitml.block_until_ready(walking(X, good))
    else:
        jitml.block_until_ready(walking(X, good))


FAILURES = {
    ("cuGraphConditionalHandleCreate", 801): (errors.LaunchError, "does not support this"),
    ("cuGraphAddNode", 1): (errors.LaunchError, "does not take these"),
    ("cuStreamBeginCaptureToGraph", 900): (errors.LaunchError, "cannot be part of a graph"),
    ("cuStreamUpdateCaptureDependencies", 1): (errors.LaunchError, "does not take these"),
    ("cuStreamGetCaptureInfo_v2", 999): (errors.DeviceLostError, "has been lost"),
    ("cuLaunchKernel", 701): (errors.LaunchError, "more registers or shared memory"),
    ("cuGraphLaunch", 719): (errors.DeviceLostError, "a kernel has failed"),
    ("cuStreamSynchronize", 702): (errors.DeviceLostError, "has run for too long"),
}


@pytest.mark.parametrize("planted", FAILURES)
def test_what_the_driver_refuses_has_a_name_and_the_users_line(
    planted: tuple[str, int], emulated: EmulatedCuda, device: Device
) -> None:
    function, status = planted
    kind, message = FAILURES[planted]
    kept = jnp.asarray(SQUARE)
    np.asarray(jitml.jit(lambda x: x + 1)(kept))
    emulated.always[function] = status
    failing = jitml.jit(lambda x, n: lax.fori_loop(0, n, lambda _, x: x @ x, x))
    with pytest.raises(kind, match=message) as raised:
        failing(kept, np.int32(3)).block_until_ready()
    assert f"{function} gives CUDA error {status}" in str(raised.value)
    assert "failing = jitml.jit(" in str(raised.value)
    emulated.always.clear()
    cube = np.linalg.matrix_power(SQUARE.astype(np.float64), 8)
    np.testing.assert_allclose(failing(kept, np.int32(3)), cube, rtol=1e-3, atol=1e-5)


def test_a_loop_without_end_and_a_body_that_goes_astray_are_named(
    emulated: EmulatedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "MOST_TURNS", 50)
    endless = jitml.jit(lambda x: lax.while_loop(lambda s: s.sum() > -1, lambda s: jnp.sort(s), x))
    with pytest.raises(errors.DeviceLostError, match="does not come to an end") as raised:
        endless(X).block_until_ready()
    assert "endless = jitml.jit(" in str(raised.value)
    ptx = devices._ptx
    monkeypatch.setattr(
        devices, "_ptx", lambda *a: re.sub(r"(st\.global\S+ \t\[%rd\d+)", r"\1+4096", ptx(*a))
    )
    stray = jitml.jit(lambda x: lax.while_loop(lambda s: s.sum() > 0, lambda s: jnp.sort(s) - 1, x))
    with pytest.raises(errors.IllegalAccessError, match="out-of-bounds: 1 bytes at") as raised:
        stray(X).block_until_ready()
    assert "stray = jitml.jit(" in str(raised.value)


def test_each_device_has_graphs_of_its_own() -> None:
    cuda = EmulatedCuda(device_count=2)
    found = []
    for ordinal in (0, 1):
        device = Device(Driver(cuda, ordinal))
        code = jitml.aot(lambda x, n: matrix_power(x, n)[0], SQUARE, np.int32(2))
        texts = tuple(kernel.ptx for kernel in code.kernels)
        checked = (False,) * len(code.program.plan.instructions)
        loop = DeviceExecutable(Code(code.program.plan, texts, checked), print, lambda e, _: e)
        found.append(run_on_host(loop, device, [SQUARE, np.int32(2)])[0])
        assert device.counts.graph_launches == 1 and device.counts.read_backs == 0
    np.testing.assert_array_equal(*found)


def test_python_within_a_loop_keeps_the_program_on_the_host(
    emulated: EmulatedCuda, device: Device
) -> None:
    seen: list[int] = []

    def body(k: int, x: Any) -> Any:
        jitml.debug.callback(lambda v: seen.append(int(v)), k)
        return jnp.sort(x @ x)

    loop = jitml.jit(lambda x, n: lax.fori_loop(0, n, body, x))
    np.asarray(loop(SQUARE, np.int32(3)))
    assert seen == [0, 1, 2] and device.counts.graph_launches == 0
