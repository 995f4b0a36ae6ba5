"""What this machine can do at most, measured with kernels of our own: how many multiply-adds, and
how fast memory and caches are read and written.

Measured once for a processor and a number of threads; the cache folder keeps it, until somebody has
seen more: then the machine was busy, and is measured again. Out: `Peak`. Must not know: what is
compared with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from jitml.codegen.target import Target, compile_object
from jitml.pipeline.cache import Cache
from jitml.pipeline.disk import PEAK, Disk, disk
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
_CACHED_BYTES = (
    16 << 10,
    128 << 10,
    1 << 20,
    6 << 20,
)  # of all arrays, on each thread: what caches hold
_CACHED_ROUNDS_BYTES = 8 << 20  # a run goes over small arrays so often that they sum up to this
_LEAST_REPEATS, _LEAST_SECONDS = 8, 0.06


class Peak(NamedTuple):
    """The most that was seen, with this number of threads: operations of f32 and f64 (a multiply-
    add is two) and bytes, each per second; `bytes_cached` of arrays of `_CACHED_BYTES`.
    """

    threads: int
    flops_f32: float
    flops_f64: float
    bytes_copied: float
    bytes_of_triad: float
    bytes_cached: tuple[float, ...] = ()

    @property
    def bytes(self) -> float:
        """The faster of the two ways to move bytes."""
        return max(self.bytes_copied, self.bytes_of_triad)

    def bytes_within(self, size_bytes: float) -> float:
        """Bytes per second where all that is read and written again and again is so large: between
        the sizes that were measured, along a line of logarithms.
        """
        sizes = [size * self.threads for size in _CACHED_BYTES[: len(self.bytes_cached)]]
        rates = [max(rate, self.bytes) for rate in self.bytes_cached]
        levels = np.log([*sizes, 2 * _STREAM_BYTES]), np.log([*rates, self.bytes])
        return float(np.exp(np.interp(np.log(max(size_bytes, 1.0)), *levels)))

    def best_of(self, other: Peak) -> Peak:
        """The higher number of each."""
        cached = zip_longest(self.bytes_cached, other.bytes_cached, fillvalue=0.0)
        return Peak(
            self.threads,
            max(self.flops_f32, other.flops_f32),
            max(self.flops_f64, other.flops_f64),
            max(self.bytes_copied, other.bytes_copied),
            max(self.bytes_of_triad, other.bytes_of_triad),
            tuple([max(pair) for pair in cached]),
        )

    def __str__(self) -> str:
        return (
            f"{self.flops_f32 / 1e9:.0f} GFLOP/s (f32), {self.flops_f64 / 1e9:.0f} (f64), "
            f"{self.bytes / 1e9:.1f} GB/s, {self.threads} thread{'s' * (self.threads != 1)}"
        )


def machine_peak() -> Peak:
    """This machine's peak with as many threads as programs may use now."""
    return _PEAKS(get_num_threads())


def measure_again(peak: Peak) -> Peak:
    """The peak after another look at the machine, which has done more than `peak` says; one look
    in a process.
    """
    if peak.threads in _LOOKED_AGAIN:
        return peak
    _LOOKED_AGAIN.add(peak.threads)
    found = peak.best_of(_measure(peak.threads))
    _keep(found)
    _PEAKS.clear()
    return found


def _find(threads: int) -> Peak:
    kept, key = _place(threads)
    found = kept.read(PEAK, key) if kept and key else None
    if found is not None:
        try:
            source = Unpacker(found)
            f32, f64, copied, triad, *cached = [
                float(source.integer()) for _ in range(4 + len(_CACHED_BYTES))
            ]
            return Peak(threads, f32, f64, copied, triad, tuple(cached))
        except FormatError:
            pass
    peak = _measure(threads)
    _keep(peak)
    return peak


def _keep(peak: Peak) -> None:
    kept, key = _place(peak.threads)
    if kept and key:
        out = Packer()
        rates = (peak.flops_f32, peak.flops_f64, peak.bytes_copied, peak.bytes_of_triad)
        for number in (*rates, *peak.bytes_cached):
            out.integer(int(number))
        kept.write(PEAK, key, out.packed())


def _place(threads: int) -> tuple[Disk | None, bytes | None]:
    """Where the peak is kept on disk, if anywhere."""
    machine = compiler_key()
    key = key_of(machine, b"peaks", str(threads).encode()) if machine else None
    return (disk() if key else None), key


_PEAKS: Cache[int, Peak] = Cache(_find, 64)
_LOOKED_AGAIN: set[int] = set()


def _measure(threads: int) -> Peak:
    target = host_target()
    f32, f64 = (_multiply_adds(target, type_) for type_ in ("float", "double"))
    copied, triad = (_stream(target, reads) for reads in (1, 2))
    cached = tuple([_stream(target, 1, size * threads) for size in _CACHED_BYTES])
    return Peak(threads, f32, f64, copied, triad, cached)


def _best(run: Callable[[], object], amount: float) -> float:
    """The most of `amount` per second in several runs."""
    run()
    seconds: list[float] = []
    while len(seconds) < _LEAST_REPEATS or sum(seconds) < _LEAST_SECONDS:
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


def _stream(target: Target, reads: int, size_bytes: int | None = None) -> float:
    """Bytes per second of a copy (one array read), or of `a + 2 * b` (two): of large arrays, or,
    again and again, of arrays that together have `size_bytes`.
    """
    lanes = target.lanes(4)
    count = _STREAM_BYTES // 4 if size_bytes is None else size_bytes // 4 // (reads + 1)
    rounds = 1 if size_bytes is None else max(2, _CACHED_ROUNDS_BYTES // size_bytes)
    vectors = count // lanes
    spec = ArraySpec(np.dtype(np.float32), (count,))
    # A round of small arrays is all that a thread has; large ones go to whoever has time.
    chunk = vectors // (_UNITS if size_bytes is None else get_num_threads())
    inputs = [Buffer("input", k, 0, spec.size_bytes) for k in range(reads)]
    output = Buffer("output", 0, 0, spec.size_bytes)
    plan = Plan(
        (spec,) * reads,
        (spec,),
        (*inputs, output),
        (Instruction(0, tuple(range(reads + 1)), (rounds,), vectors, chunk, 0, "stream"),),
    )
    executable = _bound(_stream_text(reads, lanes, size_bytes is None), plan, target)
    arguments = [from_numpy(np.ones(count, np.float32)) for _ in range(reads)]
    return _best(lambda: executable.run(arguments), (reads + 1.0) * count * 4 * rounds)


def _stream_text(reads: int, lanes: int, is_large: bool) -> str:
    """A kernel that copies its first array, or adds the double of its second one, `sizes[0]` times;
    large arrays are written past the caches.
    """
    hint = ", !nontemporal !0" if is_large else ""
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
  %rounds = load i64, ptr %sizes
  br label %round
round:
  %u = phi i64 [ 0, %entry ], [ %v, %done ]
  br label %step
step:
  %n = phi i64 [ %begin, %round ], [ %m, %step ]
{lines}
  store {vector} {result}, ptr %r{reads}, align {align}{hint}
  %m = add i64 %n, 1
  %more = icmp slt i64 %m, %end
  br i1 %more, label %step, label %done
done:
  %v = add i64 %u, 1
  %again = icmp slt i64 %v, %rounds
  br i1 %again, label %round, label %leave
leave:
  ret i32 0
}}
!0 = !{{i32 1}}
"""
