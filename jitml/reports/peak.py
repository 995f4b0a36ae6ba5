"""What this machine can do at most, measured with kernels of our own: how many multiply-adds, and
how fast memory is read and written.

Measured once for a processor and a number of threads; the cache folder keeps it. Out: `Peak`. Must
not know: what is compared with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jitml.codegen.target import Target, compile_object
from jitml.pipeline.cache import Cache
from jitml.pipeline.disk import PEAK, disk
from jitml.pipeline.environment import compiler_key
from jitml.pipeline.kernels import host_target
from jitml_runtime import (
    ArraySpec,
    Buffer,
    Executable,
    Instruction,
    Plan,
    from_numpy,
    get_num_threads,
    load_object,
)
from jitml_runtime.packing import FormatError, Packer, Unpacker, key_of

_CHAINS = 12  # independent sums, which hide how long a multiply-add takes
_STEPS = 4096
_UNITS = 64
_STREAM_BYTES = 32 << 20  # of each array: more than caches hold
_REPEATS = 8


class Peak(NamedTuple):
    """The most that was seen, with this number of threads: operations of f32 and f64 (a multiply-
    add is two) and bytes, each per second.
    """

    threads: int
    flops_f32: float
    flops_f64: float
    bytes_copied: float
    bytes_of_triad: float

    @property
    def bytes(self) -> float:
        """The faster of the two ways to move bytes."""
        return max(self.bytes_copied, self.bytes_of_triad)

    def __str__(self) -> str:
        return (
            f"{self.flops_f32 / 1e9:.0f} GFLOP/s (f32), {self.flops_f64 / 1e9:.0f} (f64), "
            f"{self.bytes / 1e9:.1f} GB/s, {self.threads} thread{'s' * (self.threads != 1)}"
        )


def machine_peak() -> Peak:
    """This machine's peak with as many threads as programs may use now."""
    return _PEAKS(get_num_threads())


def _find(threads: int) -> Peak:
    machine = compiler_key()
    key = key_of(machine, b"peak", str(threads).encode()) if machine else None
    kept = disk() if key else None
    found = kept.read(PEAK, key) if kept and key else None
    if found is not None:
        try:
            source = Unpacker(found)
            return Peak(threads, *[float(source.integer()) for _ in range(4)])
        except FormatError:
            pass
    peak = _measure(threads)
    if kept and key:
        out = Packer()
        for number in peak[1:]:
            out.integer(int(number))
        kept.write(PEAK, key, out.packed())
    return peak


_PEAKS: Cache[int, Peak] = Cache(_find, 64)


def _measure(threads: int) -> Peak:
    target = host_target()
    f32, f64 = (_multiply_adds(target, type_) for type_ in ("float", "double"))
    copied, triad = (_stream(target, reads) for reads in (1, 2))
    return Peak(threads, f32, f64, copied, triad)


def _best(run: Callable[[], object], amount: float) -> float:
    """The most of `amount` per second in several runs."""
    run()
    seconds = []
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return amount / min(seconds)


def _bound(text: str, plan: Plan, target: Target) -> Executable:
    code = load_object(compile_object(text, target, 2))
    return Executable(plan, [code.address("kernel")], code)


# ---- multiply-adds -------------------------------------------------------------------------------


def _multiply_adds(target: Target, type_: str) -> float:
    itemsize = 4 if type_ == "float" else 8
    lanes = target.lanes(itemsize)
    spec = ArraySpec(np.dtype(f"f{itemsize}"), (_UNITS * lanes,))
    plan = Plan(
        (),
        (spec,),
        (Buffer("output", 0, 0, spec.size_bytes),),
        (Instruction(0, (0,), (_STEPS,), _UNITS, 1, 0, "multiply_add"),),
    )
    executable = _bound(_multiply_add_text(type_, lanes), plan, target)
    return _best(lambda: executable.run(()), 2.0 * _CHAINS * lanes * _STEPS * _UNITS)


def _multiply_add_text(type_: str, lanes: int) -> str:
    """A kernel whose units run `sizes[0]` steps of independent multiply-adds."""
    vector, suffix = f"<{lanes} x {type_}>", f"v{lanes}f{32 if type_ == 'float' else 64}"
    half = "<" + ", ".join([f"{type_} 0.5"] * lanes) + ">"
    function = f"@llvm.fma.{suffix}"
    phis = "\n".join(
        f"  %a{k} = phi {vector} [ %one, %unit ], [ %b{k}, %step ]" for k in range(_CHAINS)
    )
    sums = "\n".join(
        f"  %b{k} = call {vector} {function}({vector} %a{k}, {vector} {half}, {vector} %one)"
        for k in range(_CHAINS)
    )
    total = "\n".join(
        f"  %t{k + 1} = fadd {vector} %{'b0' if k == 0 else f't{k}'}, %b{k + 1}"
        for k in range(_CHAINS - 1)
    )
    return f"""
declare {vector} {function}({vector}, {vector}, {vector})
define i32 @kernel(ptr %buffers, ptr %sizes, i64 %begin, i64 %end, ptr %fault) nounwind {{
entry:
  %steps = load i64, ptr %sizes
  %target = load ptr, ptr %buffers
  br label %unit
unit:
  %u = phi i64 [ %begin, %entry ], [ %next, %done ]
  %number = uitofp i64 %u to {type_}
  %first = insertelement {vector} zeroinitializer, {type_} %number, i32 0
  %one = shufflevector {vector} %first, {vector} %first, <{lanes} x i32> zeroinitializer
  br label %step
step:
  %n = phi i64 [ 0, %unit ], [ %m, %step ]
{phis}
{sums}
  %m = add i64 %n, 1
  %more = icmp slt i64 %m, %steps
  br i1 %more, label %step, label %done
done:
{total}
  %place = getelementptr {vector}, ptr %target, i64 %u
  store {vector} %t{_CHAINS - 1}, ptr %place, align {lanes * (4 if type_ == "float" else 8)}
  %next = add i64 %u, 1
  %again = icmp slt i64 %next, %end
  br i1 %again, label %unit, label %leave
leave:
  ret i32 0
}}
"""


# ---- memory --------------------------------------------------------------------------------------


def _stream(target: Target, reads: int) -> float:
    """Bytes per second of a copy (one array read), or of `a + 2 * b` (two)."""
    count = _STREAM_BYTES // 4
    lanes = target.lanes(4)
    vectors = count // lanes
    spec = ArraySpec(np.dtype(np.float32), (count,))
    inputs = [Buffer("input", k, 0, spec.size_bytes) for k in range(reads)]
    output = Buffer("output", 0, 0, spec.size_bytes)
    plan = Plan(
        (spec,) * reads,
        (spec,),
        (*inputs, output),
        (Instruction(0, tuple(range(reads + 1)), (), vectors, vectors // _UNITS, 0, "stream"),),
    )
    executable = _bound(_stream_text(reads, lanes), plan, target)
    arguments = [from_numpy(np.ones(count, np.float32)) for _ in range(reads)]
    return _best(lambda: executable.run(arguments), (reads + 1.0) * count * 4)


def _stream_text(reads: int, lanes: int) -> str:
    """A kernel that copies its first array, or adds the double of its second one; written past the
    caches.
    """
    vector, align = f"<{lanes} x float>", 4 * lanes
    two = "<" + ", ".join(["float 2.0"] * lanes) + ">"
    pointers, loads = [], []
    for k in range(reads + 1):
        pointers.append(f"  %q{k} = getelementptr ptr, ptr %buffers, i64 {k}")
        pointers.append(f"  %p{k} = load ptr, ptr %q{k}")
        loads.append(f"  %r{k} = getelementptr {vector}, ptr %p{k}, i64 %n")
        if k < reads:
            loads.append(f"  %x{k} = load {vector}, ptr %r{k}, align {align}")
    result = "%x0"
    if reads == 2:
        loads.append(f"  %d = fmul {vector} %x1, {two}")
        loads.append(f"  %s = fadd {vector} %x0, %d")
        result = "%s"
    lines = "\n".join(loads)
    start = "\n".join(pointers)
    return f"""
define i32 @kernel(ptr %buffers, ptr %sizes, i64 %begin, i64 %end, ptr %fault) nounwind {{
entry:
{start}
  br label %step
step:
  %n = phi i64 [ %begin, %entry ], [ %m, %step ]
{lines}
  store {vector} {result}, ptr %r{reads}, align {align}, !nontemporal !0
  %m = add i64 %n, 1
  %more = icmp slt i64 %m, %end
  br i1 %more, label %step, label %leave
leave:
  ret i32 0
}}
!0 = !{{i32 1}}
"""
