"""Kernels by which a graph decides for itself: they count steps and set what its nodes ask.

Comes in: how many buffers move. Goes out: PTX, whose parameters are 64 bits wide. Nothing is
compiled for it, so that programs of files have it too; the driver knows `cudaGraphSetConditional`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from jitml.device.calls import NO_KEY

MOST_MOVED = 64  # buffers of one launch
_HEAD = """\
.version 8.0
.target sm_80
.address_size 64
.extern .func cudaGraphSetConditional (.param .b64 handle, .param .b32 value);
.visible .entry kernel(
{parameters}
)
{{
  .reg .pred %p<6>;
  .reg .b32 %r<9>;
  .reg .b64 %rd<40>;
"""
_SET = """\
  {{
  .param .b64 param0;
  st.param.b64 [param0], {handle};
  .param .b32 param1;
  st.param.b32 [param1], {value};
  call.uni cudaGraphSetConditional, (param0, param1);
  }}
"""


def _kernel(parameters: Sequence[str], body: str) -> str:
    """A kernel; registers %rd0, … hold the parameters."""
    told = ",\n".join(f"  .param .u64 {name}" for name in parameters)
    loads = "".join(f"  ld.param.u64 %{name}, [{name}];\n" for name in parameters)
    names = ", ".join(f"%{name}" for name in parameters)
    head = _HEAD.format(parameters=told)
    return f"{head}  .reg .b64 {names};\n{loads}{body}  ret;\n}}\n"


# Whether no check has failed. The first failure is put aside when it is met, for later steps might
# tell of checks that come before it in the program; then the slot takes no other (nothing is less).
_IS_WELL = f"""\
  mov.b64 %rd1, {NO_KEY};
  setp.eq.u64 %p1, %slot, 0;
  @%p1 bra KNOWN;
  ld.global.u64 %rd1, [%slot];
KNOWN:
  setp.eq.u64 %p1, %rd1, {NO_KEY};
"""
_COUNT = f"""\
{_IS_WELL}  ld.global.u64 %rd2, [%at];
  mad.lo.u64 %rd2, %rd2, %keeps, %adds;
  st.global.u64 [%at], %rd2;
  @%p1 bra WELL;
  ld.global.u64 %rd3, [%first];
  setp.ne.u64 %p2, %rd3, {NO_KEY};
  @%p2 bra TOLD;
  st.global.u64 [%first], %rd1;
  st.global.u64 [%slot], 0;
  bra TOLD;
WELL:
  st.global.u64 [%step], %rd2;
TOLD:
"""
_MOVE = """\
  and.b64 %rd4, %rd2, %mask{k};
  mad.lo.u64 %rd4, %rd4, %stride{k}, %start{k};
  setp.eq.u64 %p3, %whole{k}, 0;
  @%p3 bra OWN{k};
  ld.global.u64 %rd5, [%whole{k}];
  add.u64 %rd4, %rd4, %rd5;
OWN{k}:
  st.global.u64 [%offset{k}], %rd4;
"""
_GO_ON = f"""\
  setp.eq.u64 %p4, %handle, 0;
  @%p4 bra DONE;
  setp.lt.u64 %p5, %rd2, %length;
  selp.u32 %r1, 1, 0, %p5;
{_SET.format(handle="%handle", value="%r1")}DONE:
"""


@cache
def count_kernel(moved: int) -> str:
    """Count: `at` becomes at * keeps + adds, and `step` too unless a check has failed. For each
    buffer that moves, offset becomes start + (at & mask) * stride, behind that of its whole. If
    there is a handle, it says whether at < length.
    """
    rows = [("offset", "whole", "start", "stride", "mask") for _ in range(moved)]
    names = [f"{name}{k}" for k, row in enumerate(rows) for name in row]
    head = ["at", "step", "slot", "first", "keeps", "adds", "length", "handle"]
    moves = "".join(_MOVE.format(k=k) for k in range(moved))
    return _kernel([*head, *names], _COUNT + moves + _GO_ON)


@cache
def decide_kernel(type_: str) -> str:
    """Set a handle to whether the number at an address (and an offset, if there is one) is between
    two; to 0 where a check has failed, if there is a slot.
    """
    return _kernel(
        ["handle", "address", "offset", "least", "most", "slot"],
        f"""\
  setp.eq.u64 %p2, %offset, 0;
  @%p2 bra PLACED;
  ld.global.u64 %rd2, [%offset];
  add.u64 %address, %address, %rd2;
PLACED:
  ld.global.{type_} %rd3, [%address];
  setp.ge.s64 %p2, %rd3, %least;
  setp.le.s64 %p3, %rd3, %most;
  and.pred %p2, %p2, %p3;
{_IS_WELL}  and.pred %p2, %p2, %p1;
  selp.u32 %r1, 1, 0, %p2;
{_SET.format(handle="%handle", value="%r1")}""",
    )


@cache
def settle_kernel() -> str:
    """Put the first failure back into the slot."""
    return _kernel(
        ["slot", "first"],
        f"""\
  ld.global.u64 %rd1, [%first];
  setp.eq.u64 %p1, %rd1, {NO_KEY};
  @%p1 bra DONE;
  st.global.u64 [%slot], %rd1;
DONE:
""",
    )


_WIDTHS = {16: ("v2.u64", "{%rd8, %rd9}"), 4: ("u32", "%r8"), 1: ("u8", "%r8")}


@cache
def copy_kernel() -> str:
    """Copy bytes between two addresses that may have offsets, as many at a time as both allow."""
    body = """\
  setp.eq.u64 %p1, %source_offset, 0;
  @%p1 bra READS;
  ld.global.u64 %rd1, [%source_offset];
  add.u64 %source, %source, %rd1;
READS:
  setp.eq.u64 %p1, %target_offset, 0;
  @%p1 bra WRITES;
  ld.global.u64 %rd1, [%target_offset];
  add.u64 %target, %target, %rd1;
WRITES:
  mov.u32 %r1, %ctaid.x;
  mov.u32 %r2, %ntid.x;
  mov.u32 %r3, %tid.x;
  mov.u32 %r4, %nctaid.x;
  mad.lo.u32 %r5, %r1, %r2, %r3;
  mul.lo.u32 %r6, %r2, %r4;
  cvt.u64.u32 %rd2, %r5;
  cvt.u64.u32 %rd3, %r6;
  or.b64 %rd4, %source, %target;
  or.b64 %rd4, %rd4, %bytes;
"""
    for width, (type_, register) in _WIDTHS.items():
        body += f"""\
  and.b64 %rd5, %rd4, {width - 1};
  setp.ne.u64 %p1, %rd5, 0;
  @%p1 bra NOT{width};
  mul.lo.u64 %rd6, %rd2, {width};
  mul.lo.u64 %rd7, %rd3, {width};
AGAIN{width}:
  setp.ge.u64 %p2, %rd6, %bytes;
  @%p2 bra DONE;
  add.u64 %rd10, %source, %rd6;
  add.u64 %rd11, %target, %rd6;
  ld.global.{type_} {register}, [%rd10];
  st.global.{type_} [%rd11], {register};
  add.u64 %rd6, %rd6, %rd7;
  bra AGAIN{width};
NOT{width}:
"""
    names = ["source", "source_offset", "target", "target_offset", "bytes"]
    return _kernel(names, body + "DONE:\n")
