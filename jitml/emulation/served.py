"""What coroutines call, in LLVM text: memory is looked at, and threads are run.

`access` looks at one access and gives the place that is to be reached: the place itself, or
nowhere. It logs what it has seen, but for what threads do with memory of their own. `copy` and
`await` bring bytes later, `run` lets threads go on, `drop` gives back what they have.

Comes in: where memory and lists lie. Goes out: text. It knows nothing of what the log is for.
"""

from __future__ import annotations

from string import Template

import numpy as np

from jitml.emulation.coroutines import ENDLESS, LOAD, OFFSETS, STORE, THREAD
from jitml.emulation.memory import ALLOCATED, UNALLOCATED, WRITTEN

ACCESS = np.dtype(
    [("address", "u8"), ("thread", "i4"), ("site", "i4"), ("size", "i4"), ("kind", "i4")]
)
OUTSIDE, UNWRITTEN, MISALIGNED = 8, 16, 32  # added to the kind of an access that must not be
_COPY = np.dtype(
    [("to", "u8"), ("thread", "i4"), ("group", "i4"), ("size", "u8"), ("bytes", "u1", (16,))]
)  # under way
_LEAST_ROOM = 1 << 12  # of a list: its address, how many records there are, for how many it is

SERVED = Template(f"""
define ptr @access(ptr %thread, ptr %place, i64 %size, i64 %align, i32 %kind, i32 %site) noinline {{
begin:
  %address = ptrtoint ptr %place to i64
  %offset = sub i64 %address, $base
  %last = sub i64 $memory_bytes, %size
  %is_memory = icmp ule i64 %offset, %last
  %states = getelementptr i8, ptr inttoptr (i64 $states to ptr), i64 %offset
  br i1 %is_memory, label %look, label %refuse
look:
  %k = phi i64 [0, %begin], [%next, %look]
  %before = phi i8 [{WRITTEN}, %begin], [%least, %look]
  %cell = getelementptr i8, ptr %states, i64 %k
  %state = load i8, ptr %cell
  %is_less = icmp ult i8 %state, %before
  %least = select i1 %is_less, i8 %state, i8 %before
  %next = add i64 %k, 1
  %more = icmp ult i64 %next, %size
  br i1 %more, label %look, label %decide
decide:
  %is_closed = icmp eq i8 %least, {UNALLOCATED}
  br i1 %is_closed, label %refuse, label %allow
allow:
  %is_store = icmp eq i32 %kind, {STORE}
  br i1 %is_store, label %mark, label %judge
mark:
  %m = phi i64 [0, %allow], [%m.next, %mark]
  %marked = getelementptr i8, ptr %states, i64 %m
  store i8 {WRITTEN}, ptr %marked
  %m.next = add i64 %m, 1
  %m.more = icmp ult i64 %m.next, %size
  br i1 %m.more, label %mark, label %judge
judge:
  %is_new = icmp eq i8 %least, {ALLOCATED}
  %is_read = xor i1 %is_store, true
  %unwritten = and i1 %is_new, %is_read
  %beyond = urem i64 %address, %align
  %misaligned = icmp ne i64 %beyond, 0
  %f1 = select i1 %unwritten, i32 {UNWRITTEN}, i32 0
  %f2 = select i1 %misaligned, i32 {MISALIGNED}, i32 0
  %f12 = or i32 %f1, %f2
  %from_own = sub i64 %address, $own
  %is_own = icmp ult i64 %from_own, $own_bytes
  %is_fine = icmp eq i32 %f12, 0
  %is_silent = and i1 %is_own, %is_fine
  br i1 %is_silent, label %out, label %log
refuse:
  br label %log
log:
  %given = phi ptr [%place, %judge], [inttoptr (i64 $nowhere to ptr), %refuse]
  %mark.log = phi i32 [%f12, %judge], [{OUTSIDE}, %refuse]
  %kind.log = or i32 %kind, %mark.log
  %tid.at = getelementptr i8, ptr %thread, i64 {OFFSETS["tid"]}
  %tid = load i32, ptr %tid.at
  %record = call ptr @appended(ptr inttoptr (i64 $log to ptr), i64 {ACCESS.itemsize})
  store i64 %address, ptr %record
  %r1 = getelementptr i32, ptr %record, i64 2
  store i32 %tid, ptr %r1
  %r2 = getelementptr i32, ptr %record, i64 3
  store i32 %site, ptr %r2
  %r3 = getelementptr i32, ptr %record, i64 4
  %size.log = trunc i64 %size to i32
  store i32 %size.log, ptr %r3
  %r4 = getelementptr i32, ptr %record, i64 5
  store i32 %kind.log, ptr %r4
  br label %out
out:
  %answer = phi ptr [%place, %judge], [%given, %log]
  ret ptr %answer
}}
define internal ptr @appended(ptr %list, i64 %size) noinline {{
begin:
  %count.at = getelementptr i64, ptr %list, i64 1
  %room.at = getelementptr i64, ptr %list, i64 2
  %count = load i64, ptr %count.at
  %room = load i64, ptr %room.at
  %data = load ptr, ptr %list
  %is_full = icmp eq i64 %count, %room
  br i1 %is_full, label %grow, label %out
grow:
  %twice = shl i64 %room, 1
  %room.after = add i64 %twice, {_LEAST_ROOM}
  %bytes = mul i64 %room.after, %size
  %data.after = call ptr @realloc(ptr %data, i64 %bytes)
  store i64 %room.after, ptr %room.at
  store ptr %data.after, ptr %list
  br label %out
out:
  %all = phi ptr [%data, %begin], [%data.after, %grow]
  %next = add i64 %count, 1
  store i64 %next, ptr %count.at
  %offset = mul i64 %count, %size
  %record = getelementptr i8, ptr %all, i64 %offset
  ret ptr %record
}}
define void @copy(ptr %thread, ptr %to, ptr %from, i64 %size, i64 %wanted, i32 %site) noinline {{
begin:
  %is_any = icmp ne i64 %wanted, 0
  br i1 %is_any, label %read, label %write
read:
  %source = call ptr @access(
    ptr %thread, ptr %from, i64 %wanted, i64 %size, i32 {LOAD}, i32 %site)
  br label %write
write:
  %bytes = phi ptr [inttoptr (i64 $nowhere to ptr), %begin], [%source, %read]
  %target = call ptr @access(ptr %thread, ptr %to, i64 %size, i64 %size, i32 {STORE}, i32 %site)
  %record = call ptr @appended(ptr inttoptr (i64 $copies to ptr), i64 {_COPY.itemsize})
  store ptr %target, ptr %record
  %r1 = getelementptr i64, ptr %record, i64 1
  %tid.at = getelementptr i8, ptr %thread, i64 {OFFSETS["tid"]}
  %tid = load i32, ptr %tid.at
  store i32 %tid, ptr %r1
  %r2 = getelementptr i32, ptr %record, i64 3
  %group.at = getelementptr i8, ptr %thread, i64 {OFFSETS["groups"]}
  %group = load i32, ptr %group.at
  store i32 %group, ptr %r2
  %r3 = getelementptr i64, ptr %record, i64 2
  store i64 %size, ptr %r3
  %r4 = getelementptr i64, ptr %record, i64 3
  store [16 x i8] zeroinitializer, ptr %r4
  %copied = call ptr @memcpy(ptr %r4, ptr %bytes, i64 %wanted)
  %is_there = icmp eq ptr %target, %to
  br i1 %is_there, label %hide, label %out
hide:
  %address = ptrtoint ptr %to to i64
  %offset = sub i64 %address, $base
  %states = getelementptr i8, ptr inttoptr (i64 $states to ptr), i64 %offset
  %hidden = call ptr @memset(ptr %states, i32 {ALLOCATED}, i64 %size)
  br label %out
out:
  ret void
}}
define void @await(ptr %thread, i32 %left, i32 %site) noinline {{
begin:
  %tid.at = getelementptr i8, ptr %thread, i64 {OFFSETS["tid"]}
  %tid = load i32, ptr %tid.at
  %groups.at = getelementptr i8, ptr %thread, i64 {OFFSETS["groups"]}
  %groups = load i32, ptr %groups.at
  %end = sub i32 %groups, %left
  %data = load ptr, ptr inttoptr (i64 $copies to ptr)
  %count = load i64, ptr inttoptr (i64 $copied to ptr)
  br label %each
each:
  %k = phi i64 [0, %begin], [%next, %on]
  %more = icmp ult i64 %k, %count
  br i1 %more, label %look, label %out
look:
  %record = getelementptr [{_COPY.itemsize} x i8], ptr %data, i64 %k
  %r1 = getelementptr i64, ptr %record, i64 1
  %by = load i32, ptr %r1
  %r2 = getelementptr i32, ptr %record, i64 3
  %group = load i32, ptr %r2
  %is_own = icmp eq i32 %by, %tid
  %is_due = icmp slt i32 %group, %end
  %arrives = and i1 %is_own, %is_due
  br i1 %arrives, label %arrive, label %on
arrive:
  store i32 -1, ptr %r1
  %to = load ptr, ptr %record
  %r3 = getelementptr i64, ptr %record, i64 2
  %size = load i64, ptr %r3
  %target = call ptr @access(ptr %thread, ptr %to, i64 %size, i64 %size, i32 {STORE}, i32 %site)
  %r4 = getelementptr i64, ptr %record, i64 3
  %copied = call ptr @memcpy(ptr %target, ptr %r4, i64 %size)
  br label %on
on:
  %next = add i64 %k, 1
  br label %each
out:
  ret void
}}
define void @run(ptr %threads, ptr %arguments, ptr %order, i64 %count) {{
begin:
  br label %each
each:
  %k = phi i64 [0, %begin], [%next, %on]
  %at = getelementptr i64, ptr %order, i64 %k
  %number = load i64, ptr %at
  %thread = getelementptr [{THREAD.itemsize} x i8], ptr %threads, i64 %number
  %handle = load ptr, ptr %thread
  %is_new = icmp eq ptr %handle, null
  br i1 %is_new, label %start, label %resume
start:
  %new = call ptr @kernel(ptr %thread, ptr %arguments)
  store ptr %new, ptr %thread
  br label %on
resume:
  call void @llvm.coro.resume(ptr %handle)
  br label %on
on:
  %state.at = getelementptr i8, ptr %thread, i64 {OFFSETS["state"]}
  %state = load i32, ptr %state.at
  %has_time = icmp ne i32 %state, {ENDLESS}
  %next = add i64 %k, 1
  %are_left = icmp ult i64 %next, %count
  %more = and i1 %are_left, %has_time
  br i1 %more, label %each, label %out
out:
  ret void
}}
define void @drop(ptr %threads, i64 %count) {{
begin:
  br label %each
each:
  %k = phi i64 [0, %begin], [%next, %on]
  %thread = getelementptr [{THREAD.itemsize} x i8], ptr %threads, i64 %k
  %handle = load ptr, ptr %thread
  %is_none = icmp eq ptr %handle, null
  br i1 %is_none, label %on, label %destroy
destroy:
  call void @llvm.coro.destroy(ptr %handle)
  store ptr null, ptr %thread
  br label %on
on:
  %next = add i64 %k, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %each, label %out
out:
  %data = load ptr, ptr inttoptr (i64 $log to ptr)
  call void @free(ptr %data)
  %copies = load ptr, ptr inttoptr (i64 $copies to ptr)
  call void @free(ptr %copies)
  ret void
}}
declare ptr @realloc(ptr, i64)
declare ptr @memcpy(ptr, ptr, i64)
declare ptr @memset(ptr, i32, i64)
declare void @llvm.coro.resume(ptr)
declare void @llvm.coro.destroy(ptr)
""")
