"""Kernels' LLVM text run thread by thread: the CPU's bits in every order, and what is seen of
faults that are planted in it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml.codegen.nvptx.target import compile_ptx, gpu_target, optimized
from jitml.device import launches
from jitml.device.device import Device
from jitml.device.driver import Driver
from jitml.device.errors import DeviceError
from jitml.device.executable import DeviceExecutable, run_on_host
from jitml.device.launches import Code
from jitml.emulation.coroutines import LlvmTextError
from jitml.emulation.faults import EmulatedFault
from jitml.emulation.libcuda import EmulatedCuda
from jitml.emulation.llvm_cuda import LlvmCuda
from jitml.emulation.memory import Memory
from jitml.emulation.threads import ORDERS, ThreadKernel
from jitml.pipeline.compile import Compiled
from jitml.pipeline.lowering import lower
from jitml.transforms.inline_calls import inline_calls
from jitml_runtime import KernelFault, from_numpy
from tests.gpu.agreement import same_bits

TARGET = gpu_target("sm_90")


class Row(NamedTuple):
    """A function, the shapes of its floats, and of positions below 10; the dtype of floats."""

    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    positions: tuple[tuple[int, ...], ...] = ()
    dtype: str = "float32"


FAMILIES = {
    "elementwise": Row(lambda x, y: jnp.tanh(x * y) + 2, ((140,), (140,))),
    "elements with a rest": Row(lambda x, y: x * y + 2, ((142,), (142,))),
    "row sums": Row(lambda x: x.sum(1), ((9, 97),)),
    "row sums by vectors": Row(lambda x: x.sum(1), ((9, 260),)),
    "double row sums": Row(lambda x: x.sum(1), ((9, 130),), dtype="float64"),
    "sum of an odd row": Row(lambda x: x.sum(), ((259,),)),
    "row positions": Row(lambda x: x.argmax(1), ((9, 132),)),
    "softmax": Row(jitml.nn.softmax, ((9, 97),)),
    "softmax by vectors": Row(jitml.nn.softmax, ((9, 260),)),
    "rows that begin apart": Row(lambda x: (x[:, 1:] * x[:, :-1]).sum(1), ((9, 98),)),
    "column sums": Row(lambda x: x.sum(0), ((70, 9),)),
    "column folds by blocks": Row(
        lambda x: (x - x.max(1, keepdims=True)).sum(1), ((3, 70, 36),)
    ),
    "transpose": Row(lambda x: x.T + 1, ((70, 50),)),
    "transpose by vectors": Row(lambda x: x.T + 1, ((68, 72),)),
    "transpose of odd rows": Row(lambda x: x.T + 1, ((67, 33),)),
    "cumulative sum": Row(lambda x: jnp.cumsum(x, 1), ((40, 70),)),
    "one long cumulative sum": Row(lambda x: jnp.cumsum(x[::-1]), ((2101,),)),
    "cumulative sum of columns": Row(lambda x: jnp.cumsum(x, 0), ((40, 9),)),
    "sort": Row(lambda x: jnp.sort(x, 1), ((5, 90),)),
    "long sort": Row(jnp.argsort, ((2, 3000),)),
    "scatter": Row(lambda u, x, i: x.at[i].add(u), ((70, 40), (20, 40)), ((70,),)),
    "scatter in any order": Row(
        lambda u, x, i: x.at[i].add(u, order="any"), ((70, 8), (20, 8)), ((70,),), "int32"
    ),
    "unique updates": Row(
        lambda u, x, i: x.at[i[0] + jnp.arange(7)].add(u, unique_indices=True),
        ((7, 8), (20, 8)), ((1,),),
    ),
    "gather": Row(lambda x, i: x[i] * 2, ((20, 5),), ((17,),)),
    "product": Row(lambda x, y: x @ y, ((5, 7), (7, 6))),
    "tiles": Row(lambda x, y: x @ y, ((67, 18), (18, 66))),
    "tiles of large squares": Row(lambda x, y: x @ y.T, ((130, 17), (97, 17))),
    "tiles with an epilogue": Row(
        lambda x, y, b, r: jnp.tanh(x @ y + b) * r, ((67, 18), (18, 68), (68,), (67, 68))
    ),
    "top k": Row(lambda x: jitml.lax.top_k(x, 3), ((4, 50),)),
}  # fmt: skip

UNITS = {
    "tf32": Row(lambda x, y: jitml.lax.dot(x, y, precision="high"), ((99, 33), (33, 82))),
    "bfloat16": Row(lambda x, y: x @ y.T, ((70, 64), (140, 64)), dtype="bfloat16"),
    "bfloat16 with an epilogue": Row(
        lambda x, y, b: jitml.nn.relu(x @ y + b), ((66, 64), (64, 72), (72,)), dtype="bfloat16"
    ),
    "float16 not aligned": Row(lambda x, y: x.T @ y.T, ((65, 67), (66, 65)), dtype="float16"),
}


def samples_of(row: Row) -> list[Any]:
    random = np.random.default_rng(0)
    floats = [(random.standard_normal(s) * 9).astype(jnp.dtype(row.dtype)) for s in row.shapes]
    return floats + [random.integers(0, 10, s).astype(np.int32) for s in row.positions]


class Threads:
    """A row's program, on a double of libcuda that runs its LLVM text."""

    def __init__(self, row: Row, is_raw: bool = False, **how: Any) -> None:
        self.samples = samples_of(row)
        graph = jitml.make_graph(row.function)(*map(jnp.asarray, self.samples))
        self.graph = inline_calls(graph)
        self.program = lower(self.graph, TARGET)
        texts = [code.text for code in self.program.kernels]
        self.texts = texts if is_raw else [str(optimized(text, TARGET)) for text in texts]
        self.cuda: EmulatedCuda = LlvmCuda(memory_bytes=1 << 23, **how)

    def run(self) -> list[Any]:
        """What it gives."""
        checked = tuple([bool(sites) for sites in self.program.sites])
        code = Code(self.program.plan, tuple(self.texts), checked)
        executable = DeviceExecutable(code, lambda fault: fault, lambda error, _: error)
        return run_on_host(executable, Device(Driver(self.cuda)), self.samples)

    def agree(self) -> None:
        """The results have the CPU's bits."""
        arrays = [from_numpy(x) for x in self.samples]
        expected = Compiled(self.graph, on_host=True).run(arrays)
        for a, b in zip(self.run(), expected, strict=True):
            assert same_bits(np.asarray(a), np.asarray(b))


@pytest.fixture
def few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads and blocks take several units each."""
    monkeypatch.setattr(Driver, "most_threads", 64)
    monkeypatch.setattr(launches, "BLOCK_THREADS", 32)


@pytest.mark.sampled
@pytest.mark.parametrize("name", FAMILIES)
def test_kernels_have_the_bits_of_the_cpu_in_every_order(name: str, few_threads: None) -> None:
    Threads(FAMILIES[name]).agree()


@pytest.mark.sampled
@pytest.mark.parametrize("name", UNITS)
def test_matrix_units_have_the_bits_of_the_emulator_of_ptx(name: str) -> None:
    threads = Threads(UNITS[name])
    assert all(word in threads.texts[-1] for word in ("nvvm.mma", "ldmatrix", "cp.async"))
    (found,) = threads.run()
    threads.texts = [compile_ptx(code.text, TARGET) for code in threads.program.kernels]
    threads.cuda = EmulatedCuda(memory_bytes=1 << 23)
    (expected,) = threads.run()
    assert same_bits(found, expected)


@pytest.mark.parametrize("name", ["softmax", "transpose", "scatter"])
def test_text_that_is_not_optimized_runs_too(name: str, few_threads: None) -> None:
    Threads(FAMILIES[name], is_raw=True).agree()


@pytest.mark.parametrize("orders", [("forward",), ("backward",), (1,), ORDERS])
def test_the_first_failed_check_does_not_depend_on_the_order(orders: Any) -> None:
    threads = Threads(FAMILIES["gather"], orders=orders)
    threads.samples[1][[3, 9, 12]] = 33, 34, 35
    with pytest.raises(KernelFault) as raised:
        threads.run()
    assert (raised.value.index, raised.value.value) == (15, 33)


# ---- planted faults ------------------------------------------------------------------------------

BARRIER = re.compile(r".*call void @llvm\.nvvm\.barrier.*\n")
HAVE_BARRIERS = [
    "transpose", "tiles", "tiles of large squares", "cumulative sum", "long sort",
    "softmax",
    "one long cumulative sum", "sort", "bfloat16", "row sums by vectors", "softmax by vectors",
]  # fmt: skip


@pytest.mark.sampled
@pytest.mark.parametrize("name", HAVE_BARRIERS)
def test_a_race_is_seen_wherever_a_barrier_is_dropped(name: str, few_threads: None) -> None:
    threads = Threads({**FAMILIES, **UNITS}[name])
    texts, dropped = threads.texts, 0
    for number, text in enumerate(texts):
        for barrier in BARRIER.finditer(text):
            changed = text[: barrier.start()] + text[barrier.end() :]
            threads.texts = [*texts[:number], changed, *texts[number + 1 :]]
            threads.cuda = LlvmCuda(memory_bytes=1 << 23, orders=("forward",))
            both = r"race: block 0, thread \d+ \w+ \d+ bytes at \w+\+\d+ \(line \d+: .*; block 0, "
            with pytest.raises(DeviceError, match=both):
                threads.run()
            dropped += 1
    assert dropped >= 2


PLANTED = {
    "an element too far": (
        "elementwise", r"(%any = icmp) slt", r"\1 sle",
        r"out-of-bounds: block 1, thread 3 reads 16 bytes at b\d\+560 \(line \d+: %.* = load <4 x",
    ),
    "rows of shared memory too long": (
        "transpose", r"(mul i64 %\S+), 64\b", r"\1, 66",
        r"out-of-bounds: block 0, thread \d+ writes 8 bytes at tile0\+16\d\d\d ",
    ),
    "nothing in shared memory": (
        "transpose", r"(?s)\A(.*?)\n  store <2 x float> [^\n]*", r"\1",
        r"uninitialised: block 0, thread 0 reads 4 bytes at tile0\+0 ",
    ),
    "copies that nobody waits for": (
        "bfloat16", r"wait\.group\(i32 1\)", "wait.group(i32 2)",
        r"uninitialised: block 0, thread \d+ reads 16 bytes at stages\+\d+ .*ldmatrix",
    ),
    "copies that arrive too late": (
        "bfloat16", r"  call void @llvm\.nvvm\.cp\.async\.commit\.group\(\)\n", "",
        r"uninitialised: block 0, thread \d+ reads 16 bytes at stages\+\d+ .*ldmatrix",
    ),
    "lines that overlap": (
        "cumulative sum", r"(mul i64 %v2), 33", r"\1, 31",
        r"race: block 0, thread \d+ \w+ 4 bytes at part0\+\d+ ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_planted_faults_are_seen(name: str, few_threads: None) -> None:
    family, pattern, mistake, message = PLANTED[name]
    threads = Threads({**FAMILIES, **UNITS}[family], is_raw=True)
    changed = [re.sub(pattern, mistake, text) for text in threads.texts]
    assert changed != threads.texts, threads.texts
    threads.texts = changed
    with pytest.raises(DeviceError, match=message):
        threads.run()


# ---- kernels by hand -----------------------------------------------------------------------------

HEAD = """
@area = internal addrspace(3) global [1024 x i8] undef, align 16
@ten = internal constant [1 x i32] [i32 10], align 4
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
declare i32 @llvm.nvvm.shfl.sync.down.i32(i32, i32, i32, i32) convergent
declare i32 @llvm.nvvm.shfl.sync.idx.i32(i32, i32, i32, i32) convergent
declare i32 @llvm.nvvm.vote.ballot.sync(i32, i1) convergent
declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32) convergent
define ptx_kernel void @kernel(ptr addrspace(1) %x, ptr addrspace(1) %y) {
entry:
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %block = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %base = mul i32 %block, 64
  %number = add i32 %base, %tid
  %xp = getelementptr i32, ptr addrspace(1) %x, i32 %number
  %yp = getelementptr i32, ptr addrspace(1) %y, i32 %number
  %sp = getelementptr i32, ptr addrspace(3) @area, i32 %tid
  %n = load i32, ptr addrspace(1) %xp, align 4
"""
EXCHANGE = """
  store i32 %n, ptr addrspace(3) %sp, align 4
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
  %other = sub i32 63, %tid
  %op = getelementptr i32, ptr addrspace(3) @area, i32 %other
  %o = load i32, ptr addrspace(3) %op, align 4
  store i32 %o, ptr addrspace(1) %yp, align 4
"""
SOME = """
  %is_low = icmp ult i32 %tid, 8
  br i1 %is_low, label %low, label %out
low:
"""


def run(body: str, blocks: int = 1, **how: Any) -> Any:
    """What 64 threads of each block make of 0, 1, 2, ..."""
    memory = Memory(1 << 20, None)
    x = np.arange(64 * blocks, dtype=np.int32)
    source, target = memory.allocate(x.nbytes), memory.allocate(x.nbytes)
    memory.view(source, x.nbytes, True)[:] = x.view(np.uint8)
    kernel = ThreadKernel(f"{HEAD}{body}\n  ret void\n}}\n", memory, **how)
    kernel.launch([source, target], (blocks, 1, 1), (64, 1, 1))
    return memory.view(target, x.nbytes, False).view(np.int32).copy()


def test_blocks_exchange_through_shared_memory() -> None:
    expected = np.arange(128).reshape(2, 64)[:, ::-1].ravel()
    np.testing.assert_array_equal(run(EXCHANGE, 2), expected)


def test_warps_shuffle_and_vote() -> None:
    answer = "store i32 %o, ptr addrspace(1) %yp, align 4"
    lane = np.arange(64) % 32
    down = "%o = call i32 @llvm.nvvm.shfl.sync.down.i32(i32 -1, i32 %n, i32 3, i32 31)\n  "
    expected = np.arange(64) + 3 * (lane < 29)
    np.testing.assert_array_equal(run(down + answer), expected)
    to_all = "%o = call i32 @llvm.nvvm.shfl.sync.idx.i32(i32 -1, i32 %n, i32 5, i32 31)\n  "
    np.testing.assert_array_equal(run(to_all + answer), np.arange(64) - lane + 5)
    vote = (
        "%b = icmp ugt i32 %n, 40\n  %o = call i32 @llvm.nvvm.vote.ballot.sync(i32 -1, i1 %b)\n  "
    )
    np.testing.assert_array_equal(run(vote + answer), np.repeat([0, -(1 << 9)], 32))


def test_threads_have_memory_of_their_own_and_constants() -> None:
    body = """
  %own = alloca [4 x i32], align 16
  %here = getelementptr i32, ptr %own, i64 2
  store i32 %n, ptr %here, align 4
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
  %again = load i32, ptr %here, align 4
  %c = load i32, ptr @ten, align 4
  %sum = add i32 %again, %c
  store i32 %sum, ptr addrspace(1) %yp, align 4
"""
    np.testing.assert_array_equal(run(body), np.arange(64) + 10)
    with pytest.raises(EmulatedFault, match=r"out-of-bounds: .*own"):
        run(body.replace("ptr %own, i64 2", "ptr %own, i64 4"))
    with pytest.raises(EmulatedFault, match=r"uninitialised: .*own"):
        run(body.replace("store i32 %n, ptr %here, align 4", ""))


def test_atomic_updates_do_not_race_unless_others_read() -> None:
    update = """
  %least = getelementptr i32, ptr addrspace(1) %x, i64 3
  %old = atomicrmw umin ptr addrspace(1) %least, i32 0 syncscope("device") monotonic
  store i32 7, ptr addrspace(1) %yp, align 4
"""
    own = update.replace("%least = getelementptr i32, ptr addrspace(1) %x, i64 3", "").replace(
        "%least", "%xp"
    )
    assert run(own, 2).tolist() == [7] * 128
    with pytest.raises(EmulatedFault, match=r"race: .* updates 4 bytes at x\+12 .* reads"):
        run(update)


FAULTS = {
    "race: block 0, thread 0 writes 4 bytes at area.*; block 0, thread 63 reads": EXCHANGE.replace(
        "call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)", ""
    ),
    r"race: block 0 writes 4 bytes at y\+0 .*; block 1 writes": (
        "%ty = getelementptr i32, ptr addrspace(1) %y, i32 %tid\n"
        "  store i32 %n, ptr addrspace(1) %ty, align 4"
    ),
    "uninitialised: block 0, thread 0 reads 4 bytes at area": EXCHANGE.replace(
        "store i32 %n, ptr addrspace(3) %sp, align 4", ""
    ),
    "uninitialised: block 0, thread 0 reads 4 bytes at y": (
        "%o = load i32, ptr addrspace(1) %yp, align 4"
    ),
    r"out-of-bounds: block 1, thread 0 reads 4 bytes at x\+512": (
        "%o = getelementptr i32, ptr addrspace(1) %xp, i64 64\n"
        "  %v = load i32, ptr addrspace(1) %o, align 4"
    ),
    "misaligned: block 0, thread 1 ": "%v = load i32, ptr addrspace(1) %xp, align 8",
    "divergent-barrier: threads of block 0 wait at a barrier, some have left": SOME
    + "  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)\n  br label %out\nout:",
    "shuffle: the mask names threads that do not come": SOME
    + "  %o = call i32 @llvm.nvvm.vote.ballot.sync(i32 -1, i1 true)\n  br label %out\nout:",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_seen(fault: str) -> None:
    with pytest.raises(EmulatedFault, match=fault + r".*line \d+: \S"):
        run(FAULTS[fault], 2)


def test_results_that_depend_on_the_order_are_seen() -> None:
    body = """
  store i32 %n, ptr addrspace(1) %yp, align 4
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
  %ticket = atomicrmw add ptr addrspace(1) %y, i32 1 syncscope("device") monotonic
  store i32 %ticket, ptr addrspace(1) %xp, align 4
"""
    run(body, orders=("backward",))
    with pytest.raises(EmulatedFault, match=r"order: what is at x\+0 depends"):
        run(body, orders=("forward", "backward"))
    with pytest.raises(EmulatedFault, match="order: "):
        run(body, orders=("forward", 7))


def test_threads_that_do_not_end_are_seen() -> None:
    again = """
  br label %again
again:
  %k = phi i32 [ 0, %entry ], [ %next, %again ]
  %v = load i32, ptr addrspace(1) %xp, align 4
  %next = add i32 %k, 1
  %more = icmp slt i32 %next, 100
  br i1 %more, label %again, label %out
out:
  store i32 %next, ptr addrspace(1) %yp, align 4
"""
    assert run(again).tolist() == [100] * 64
    with pytest.raises(EmulatedFault, match="endless: block 0, thread 0 does not come to an end"):
        run(again, most_steps=99)


def test_nothing_runs_after_a_thread_that_does_not_end() -> None:
    memory = Memory(1 << 20, None)
    x, y = memory.allocate(256), memory.allocate(256)
    memory.view(x, 256, True)
    body = (
        "store i32 %n, ptr addrspace(1) %yp, align 4\n  br label %again\nagain:\n  br label %again"
    )
    kernel = ThreadKernel(f"{HEAD}  {body}\n}}\n", memory, most_steps=10_000)
    with pytest.raises(EmulatedFault, match="endless: block 0, thread 0 "):
        kernel.launch([x, y], (1, 1, 1), (64, 1, 1))
    assert memory.view(y, 4, False).size == 4
    with pytest.raises(EmulatedFault, match="uninitialised"):
        memory.view(y + 4, 4, False)


def test_grids_of_several_axes_are_refused() -> None:
    kernel = ThreadKernel(HEAD + "  ret void\n}\n", Memory(1 << 20, None))
    with pytest.raises(EmulatedFault, match="launch: grids of one axis"):
        kernel.launch([0, 0], (1, 2, 1), (64, 1, 1))


def test_text_that_a_coroutine_cannot_run_is_refused() -> None:
    declared = "declare void @llvm.nvvm.membar.gl()\n"
    with pytest.raises(LlvmTextError, match=r"line \d+ is not supported: call void @llvm.nvvm.mem"):
        text = f"{declared}{HEAD}  call void @llvm.nvvm.membar.gl()\n  ret void\n}}\n"
        ThreadKernel(text, Memory(1 << 20, None))
    with pytest.raises(LlvmTextError, match="must have one function"):
        ThreadKernel("define void @f() {\n  ret void\n}\n", Memory(1 << 20, None))
    with pytest.raises(LlvmTextError, match=r"not supported: .* load volatile"):
        run("%v = load volatile i32, ptr addrspace(1) %xp, align 4")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_memory_becomes_writable_and_executable_at_once() -> None:
    def both() -> set[str]:
        maps = Path("/proc/self/maps").read_text().splitlines()
        return {line for line in maps if line.split()[1][1:3] == "wx"}

    before = both()  # ctypes makes some when it is imported
    kernel = ThreadKernel(HEAD + "  ret void\n}\n", Memory(1 << 20, None))
    assert kernel.code and both() <= before
