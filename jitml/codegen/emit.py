"""Kernels to LLVM text for a CPU: loops, vectors, loads and stores.

Comes in: a `Kernel`. Goes out: the text of one function of the kernel ABI, the `sizes` it is to be
called with, and how its units are shared out. Numbers that are sizes are arguments, so equal text
serves other sizes. The folds of reductions are in `fold`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jitml.codegen.kernel import Axis, Index, Kernel, Load, Node, Store
from jitml.codegen.llvm import STORAGE_BITS, Emitter, llvm_type, suffix
from jitml.codegen.target import Target
from jitml.scalar.complex import Complex
from jitml.scalar.value import BITS, Value

CHUNK_COST = 1 << 16  # scalar instructions that one chunk of parallel work should have at least
UNITS_STEP = (
    64  # elements of a vector axis that chunks are multiples of: any vector, whole cache lines
)
LONG_AXIS = 1024  # elements; along longer ones a vector may take several registers
SHORT_BODY = 40  # nodes; so many registers are there for two of each
ROW_BUFFER_BYTES = 1 << 18
RECOMPUTE_COST = 8  # instructions; dearer values that two loops need are kept in a row buffer
_FAIL = """
define internal void
@fail(ptr %f, i64 %site, i64 %index, i64 %value, i1 %bad) noinline nounwind {
entry:
  br i1 %bad, label %compare, label %out
compare:
  %pi = getelementptr i64, ptr %f, i64 1
  %pv = getelementptr i64, ptr %f, i64 2
  %s = load i64, ptr %f
  %i = load i64, ptr %pi
  %lower = icmp slt i64 %site, %s
  %same = icmp eq i64 %site, %s
  %before = icmp slt i64 %index, %i
  %tie = and i1 %same, %before
  %first = or i1 %lower, %tie
  br i1 %first, label %keep, label %out
keep:
  store i64 %site, ptr %f
  store i64 %index, ptr %pi
  store i64 %value, ptr %pv
  br label %out
out:
  ret void
}
"""


@dataclass(frozen=True)
class KernelText:
    """LLVM text of a kernel (its function is named `kernel`) and how one call of it is made."""

    text: str
    sizes: tuple[int, ...]
    extent: int
    grain: int
    scratch_bytes: int


def emit_kernel(kernel: Kernel, target: Target) -> KernelText:
    """Compile a kernel to LLVM text."""
    return KernelEmitter(kernel, target).kernel_text()


class KernelEmitter:
    def __init__(self, kernel: Kernel, target: Target) -> None:
        self.kernel = kernel
        self.target = target
        self.nodes = kernel.nodes()
        self.emit = Emitter()
        self.prefix: list[str] = []
        self.globals: set[str] = set()
        self.size_slots: dict[int, Value] = {}
        self.sizes: list[int] = []
        self.scratch_bytes = 0
        self.memory: list[dict[Any, Any]] = [{}]
        self.position: dict[Axis, Value] = {}
        self.lanes = 1
        self.vector = self._choose_vector_axis()
        self.width = self._choose_width()
        self.pointers = [
            Value(self.emit, "ptr", 1, f"%b{number}") for number in range(len(kernel.operands))
        ]
        self.buffers: dict[int, tuple[Axis, Value]] = {}
        self.filling: set[int] = set()
        self.filled: set[int] = set()

    # ---- shape of the nest -----------------------------------------------------------------

    def _choose_vector_axis(self) -> Axis | None:
        """The axis along which most accesses are contiguous; a reduced axis or the innermost outer
        one first.
        """
        if any(s.combine for s in self.kernel.stores):
            return None
        outer = self.kernel.live_outer()
        reduced = [
            n.data.axis
            for n in self.nodes
            if n.name == "reduce" and n.data.axis is not None and n.data.runs_along_lanes
        ]
        inner = [a for a in self.kernel.inner if not a.merged and a.extent != 1]
        # The extent of a reduction must be the same in all lanes.
        limits = [n.data.limit for n in self.nodes if n.name == "reduce" and n.data.limit]
        fixed = {axis for limit in limits for axis in limit.axes}
        candidates = [
            a for a in dict.fromkeys([*reduced, *inner, *reversed(outer)]) if a not in fixed
        ]
        return max(candidates, key=self._contiguity, default=None)

    def _contiguity(self, axis: Axis) -> float:
        score = 0.0
        accesses = [n.data.index for n in self.nodes if n.name == "load"]
        for index in (*accesses, *(s.index for s in self.kernel.stores)):
            stride = abs(index.coefficient(axis))
            score += {0: 0.5, 1: 3.0, 2: 1.0}.get(stride, -4.0)
        return score + (0.1 if axis.extent >= 64 else -2.0 if axis.extent < 8 else 0.0)

    def _choose_width(self) -> int:
        if self.vector is None:
            return 1
        widest = 1
        for node in self.nodes:
            if self.vector in node.axes and node.name not in ("index", "size", "reduce", "i1"):
                widest = max(widest, BITS.get(node.type, 0) // 8)
        width = self.target.lanes(max(widest, 1)) * self._unrolling()
        width = min(width, 64)
        while width > self.vector.extent:
            width //= 2
        return max(width, 1)

    def _unrolling(self) -> int:
        """How many registers a vector takes: several rows of accumulators side by side share the
        pages they read.
        """
        axis = self.vector
        assert axis is not None
        reductions = [n.data for n in self.nodes if n.name == "reduce" and n.data.axis is not None]
        if any(r.axis is axis for r in reductions) or axis.extent < LONG_AXIS:
            return 1
        if any(r.axis.extent >= UNITS_STEP for r in reductions):
            return 4
        return 2 if len(self.nodes) <= SHORT_BODY else 1

    # ---- the function --------------------------------------------------------------------------

    def kernel_text(self) -> KernelText:
        begin, end = (Value(self.emit, "i64", 1, f"%{name}") for name in ("begin", "end"))
        unit_axes, step = self._units(begin, end)
        checks = any(n.name == "check" for n in self.nodes)
        if checks:
            self.emit.line("%site = load i64, ptr %fault")
            self.emit.line(f"%failed = icmp ne i64 %site, {2**63 - 1}")
            self.emit.line("%code = zext i1 %failed to i32")
            self.emit.line("ret i32 %code")
        else:
            self.emit.line("ret i32 0")
        text = self._text(checks)
        extent = math.prod(a.extent for a in unit_axes)
        grain = self._grain(extent, self._unit_cost(set(unit_axes)), step)
        return KernelText(text, tuple(self.sizes), extent, grain, self.scratch_bytes)

    def _unit_cost(self, unit_axes: set[Axis]) -> int:
        """About how many scalar instructions one unit takes."""
        total = 1
        for node in self.nodes:
            if node.name not in ("constant", "size", "index", "state", "reduce", "rarely"):
                axes = (a for a in node.axes if not a.merged and a not in unit_axes)
                total += math.prod(a.extent for a in axes)
        return total

    def _grain(self, extent: int, cost_per_unit: int, step: int) -> int:
        """Units in a chunk of parallel work: by cost, in whole steps; 0 where it must or may be one
        chunk.
        """
        if extent * cost_per_unit < 2 * CHUNK_COST or any(s.combine for s in self.kernel.stores):
            return 0
        grain = max(1, CHUNK_COST // cost_per_unit)
        return (grain + step - 1) // step * step

    def _text(self, checks: bool) -> str:
        bits = 8 * self.target.vector_bytes
        attributes = f'"min-legal-vector-width"="{bits}" "prefer-vector-width"="{bits}"'
        head = (
            "define i32 @kernel(ptr noalias %buffers, ptr noalias %sizes, i64 %begin, i64 %end, "
            f"ptr noalias %fault) nounwind {attributes} {{"
        )
        pointers = [
            line
            for k in range(len(self.kernel.operands))
            for line in (
                f"  %pb{k} = getelementptr ptr, ptr %buffers, i64 {k}",
                f"  %b{k} = load ptr, ptr %pb{k}, align 8",
            )
        ]
        declarations = sorted(self.emit.declarations | self.globals)
        lines = [
            *declarations,
            head,
            "entry:",
            *pointers,
            *self.prefix,
            *self.emit.lines,
            "}",
            "!0 = !{i32 1}",
        ]
        return "\n".join(lines) + "\n" + (_FAIL if checks else "")

    def _units(self, begin: Value, end: Value) -> tuple[list[Axis], int]:
        """Write the loop over units [begin, end): the axes that it runs over, the step of
        chunks.
        """
        outer = self.kernel.live_outer()
        vector = self.vector if self.vector in outer else None
        others = [a for a in outer if a is not vector]
        count = math.prod(a.extent for a in others)
        if vector is not None and (not others or (count < 16 and vector.extent >= 2048)):
            self._nest(others, lambda: self._vector_loop(vector, begin, end, self._unit))
            return [vector], UNITS_STEP
        if not outer:
            self._unit()
            return [], 1

        def unit(number: Value, _: list[Value]) -> Sequence[Value]:
            self._locate(others, number)
            if vector is None:
                self._unit()
            else:
                self.prepare(self._roots())
                self._vector_loop(vector, self.number(0), self.size(vector.extent), self._unit)
            return []

        self.prepare(self._roots())
        with self._scope():
            self.emit.loop(begin, end, 1, [], unit)
        return others, 1

    def _locate(self, axes: Sequence[Axis], number: Value) -> None:
        """Set the positions along `axes` of the unit with this row-major number."""
        for axis in reversed(axes[1:]):
            extent = self.size(axis.extent)
            quotient = number / extent
            self.position[axis] = number - quotient * extent
            number = quotient
        if axes:
            self.position[axes[0]] = number

    def _roots(self) -> list[Node]:
        return [n for s in self.kernel.stores for n in s.roots]

    def _unit(self) -> None:
        """Everything for one position of the outer axes."""
        inner = [a for a in self.kernel.inner if not a.merged and a.extent != 1]
        inner.sort(key=lambda a: a is self.vector)
        within = set(inner)
        self._plan_buffers(inner)
        self.prepare(self._roots())
        late = []
        for store in self.kernel.stores:
            if within & (store.index.axes | {a for n in store.roots for a in n.axes}):
                late.append(store)
            else:
                self._store(store)
        if late:
            self._nest(inner, lambda: self._store_all(late))

    def _store_all(self, stores: Sequence[Store]) -> None:
        self.prepare([n for s in stores for n in s.roots])
        for store in stores:
            self._store(store)

    def _nest(self, axes: Sequence[Axis], body: Callable[[], None]) -> None:
        """Loops over `axes`, the innermost in vectors if it is the vector axis."""
        if not axes:
            body()
            return
        axis, rest = axes[0], axes[1:]
        self.prepare(self._roots())
        upper = self.size(axis.extent)
        if axis is self.vector:
            self._vector_loop(axis, self.number(0), upper, lambda: self._nest(rest, body))
            return

        def step(index: Value, _: list[Value]) -> Sequence[Value]:
            self.position[axis] = index
            self._nest(rest, body)
            return []

        with self._scope():
            self.emit.loop(self.number(0), upper, 1, [], step)
        del self.position[axis]

    def _vector_loop(
        self, axis: Axis, lower: Value, upper: Value, body: Callable[[], None]
    ) -> None:
        """Run `body` over [lower, upper) of `axis` in full vectors, then lane by lane what is
        left.
        """
        if self.width > 1:
            whole = upper - ((upper - lower) & (self.width - 1))
            self.run_loop(axis, lower, whole, self.width, body)
            if axis.extent % self.width == 0:
                return
            lower = whole
        self.run_loop(axis, lower, upper, 1, body)

    def run_loop(
        self, axis: Axis, lower: Value, upper: Value, lanes: int, body: Callable[[], None]
    ) -> None:
        """One loop over `axis` in steps of `lanes`."""

        def step(index: Value, _: list[Value]) -> Sequence[Value]:
            self.position[axis] = index
            body()
            return []

        before, self.lanes = self.lanes, lanes
        with self._scope():
            self.emit.loop(lower, upper, lanes, [], step)
        self.lanes = before
        del self.position[axis]

    # ---- nodes
    # ------------------------------------------------------------------------------------

    @contextmanager
    def _scope(self) -> Iterator[None]:
        self.memory.append({})
        try:
            yield
        finally:
            self.memory.pop()

    scope = _scope

    def number(self, n: int) -> Value:
        return self.emit.constant("i64", n)

    def size(self, n: int) -> Value:
        """A size as an argument of the kernel (0 and 1 are part of the text)."""
        if n in (0, 1):
            return self.number(n)
        if n not in self.size_slots:
            slot = len(self.sizes)
            self.sizes.append(n)
            self.prefix.append(f"  %pz{slot} = getelementptr i64, ptr %sizes, i64 {slot}")
            self.prefix.append(f"  %z{slot} = load i64, ptr %pz{slot}, align 8")
            self.size_slots[n] = Value(self.emit, "i64", 1, f"%z{slot}")
        return self.size_slots[n]

    def stack(self, size_bytes: int) -> Value:
        """Memory of fixed size in the function's frame."""
        name = f"%m{len(self.prefix)}"
        self.prefix.append(f"  {name} = alloca [{size_bytes} x i8], align 64")
        return Value(self.emit, "ptr", 1, name)

    def scratch(self, size_bytes: int) -> Value:
        """Memory whose size depends on sizes, in the worker's scratch area."""
        offset = self.scratch_bytes
        self.scratch_bytes += (size_bytes + 63) // 64 * 64
        if offset == 0:
            self.prefix.append("  %ps = getelementptr i64, ptr %fault, i64 4")
            self.prefix.append("  %scratch = load ptr, ptr %ps, align 8")
        base = Value(self.emit, "ptr", 1, "%scratch")
        return self.emit.address(base, self.size(offset), "u8")

    def find(self, key: Any) -> Any:
        for scope in reversed(self.memory):
            if key in scope:
                return scope[key]
        return None

    def prepare(self, roots: Sequence[Node]) -> None:
        """Write all nodes below `roots` that can be had at this point of the nest and are not
        yet.
        """
        bound = set(self.position)
        ready: dict[int, Node] = {}
        seen: set[int] = set()
        stack = list(roots)
        while stack:
            node = stack.pop()
            if node.number in seen or self.find(node.number) is not None:
                continue
            seen.add(node.number)
            if all(a in bound or a.merged or a.extent == 1 for a in node.axes):
                ready[node.number] = node
                if node.number in self.filled:
                    continue
            stack.extend(node.operands)
        for number in sorted(ready):
            if number in self.filled:
                self.memory[-1][number] = self._read_buffer(ready[number])
            else:
                self.memory[-1][number] = self._node(ready[number])
                self._fill_buffer(ready[number])

    @contextmanager
    def at(self, axis: Axis, index: Value, lanes: int | None) -> Iterator[None]:
        """Inside a loop over `axis`: at `index`, in vectors of `lanes` (None: as around)."""
        before = self.lanes
        self.lanes = before if lanes is None else lanes
        self.position[axis] = index
        with self._scope():
            yield
        del self.position[axis]
        self.lanes = before

    def value(self, node: Node) -> Value:
        """The value of a node that has been prepared."""
        found = self.find(node.number)
        assert isinstance(found, Value), node
        return found

    def _node(self, node: Node) -> Any:
        name = node.name
        if name == "constant":
            return self.emit.constant(node.type, node.data)
        if name == "size":
            return self.size(node.data)
        if name == "index":
            return self.index_value(node.data)
        if name == "load":
            return self._load(node)
        if name == "reduce":
            from jitml.codegen.fold import fold

            return fold(self, node)
        if name == "state":
            return self.find(node.operands[0].number)[node.data]
        if name == "check":
            return self._check(node)
        operands = [self.value(x) for x in node.operands]
        if name == "rarely":
            return self._rarely(node, operands)
        if name == "lookup":
            return self.emit.lookup(node.data, operands[0], node.type)
        if name == "round":
            return self.emit.round_to(operands[0], node.data)
        if name == "narrow":
            return self.emit.narrow(operands[0], node.data)
        if name == "widen":
            return self.emit.widen(operands[0], node.data)
        lanes = max(v.lanes for v in operands)
        together = tuple(self.emit.splat(v, lanes) for v in operands)
        return self.emit.instruction(name, node.type, lanes, together)

    def _rarely(self, node: Node, operands: list[Value]) -> list[Value]:
        """The values of a side path; what only it needs is computed on it."""
        lanes = max(v.lanes for v in operands)
        condition, *usual = (self.emit.splat(v, lanes) for v in operands)

        def rare() -> list[Value]:
            with self._scope():
                self.prepare(node.data)
                return [self.emit.splat(self.value(n), lanes) for n in node.data]

        return self.emit.rarely(condition, rare, usual)

    # ---- indices
    # -------------------------------------------------------------------------------------

    def index_parts(self, index: Index) -> tuple[Value, int, Value | None]:
        """An index as scalar + stride·lane + vector: its value at lane 0, its step per lane, and
        what else varies.
        """
        scalar, stride, vector = self.size(index.constant) if index.constant >= 0 else None, 0, None
        if scalar is None:
            scalar = self.number(0) - self.size(-index.constant)
        for axis, c in index.terms:
            if axis.merged or axis.extent == 1:
                continue
            if axis is self.vector and self.lanes > 1:
                stride = c
            scalar = self._plus(scalar, self.position[axis], c)
        for node, c in index.values:
            value = self.value(node)
            if value.lanes == 1:
                scalar = self._plus(scalar, value, c)
            else:
                zero = self.emit.constant("i64", 0, value.lanes)
                vector = self._plus(zero if vector is None else vector, value, c)
        return scalar, stride, vector

    def _plus(self, total: Value, value: Value, factor: int) -> Value:
        product = value if abs(factor) == 1 else value * self.size(abs(factor))
        return total - product if factor < 0 else total + product

    def index_value(self, index: Index) -> Value:
        scalar, stride, vector = self.index_parts(index)
        if stride:
            lanes = self.emit.lane_numbers(self.lanes)
            scaled = self._plus(self.emit.constant("i64", 0, self.lanes), lanes, stride)
            scalar = scaled + scalar
        return scalar if vector is None else vector + scalar

    # ---- memory
    # ---------------------------------------------------------------------------------------

    def _load(self, node: Node) -> Value:
        load: Load = node.data
        masked = len(node.operands) > len(load.index.nodes)
        mask = self.value(node.operands[0]) if masked else None
        pointer = self.pointers[load.operand]
        scalar, stride, vector = self.index_parts(load.index)
        if vector is None and stride == 0:
            if mask is not None and mask.lanes > 1:
                return self._gather(pointer, load, scalar, 0, None, mask)
            return self._load_one(pointer, load.storage, scalar, mask)
        if vector is None and stride == 1:
            address = self.emit.address(pointer, scalar, load.storage)
            if mask is None:
                return self.emit.load(address, load.storage, self.lanes)
            return self._masked_load(address, load.storage, mask)
        if vector is None and stride == 2 and load.is_part and mask is None:
            return self._load_part(pointer, load, scalar)
        if vector is None and stride == -1 and mask is None:
            first = self.emit.address(pointer, scalar - (self.lanes - 1), load.storage)
            forward = self.emit.load(first, load.storage, self.lanes)
            return self.emit.shuffle(forward, forward, range(self.lanes - 1, -1, -1))
        return self._gather(pointer, load, scalar, stride, vector, mask)

    def _load_one(self, pointer: Value, storage: str, index: Value, mask: Value | None) -> Value:
        address = self.emit.address(pointer, index, storage)
        if mask is not None:
            address = self._safe(mask, address)
        return self.emit.load(address, storage)

    def _safe(self, mask: Value, address: Value) -> Value:
        """`address`, or that of some zeros where `mask` is false."""
        self.globals.add("@nothing = internal constant [16 x i8] zeroinitializer, align 16")
        return self.emit.pure(f"select i1 {mask.ref}, ptr {address.ref}, ptr @nothing", "ptr")

    def _raw(self, storage: str) -> str:
        return storage if storage not in ("bool", "f16", "bf16") else f"u{STORAGE_BITS[storage]}"

    def _masked_load(self, address: Value, storage: str, mask: Value) -> Value:
        raw = self._raw(storage)
        vector = llvm_type(raw, self.lanes)
        function = f"@llvm.masked.load.{suffix(raw, self.lanes)}.p0"
        masks = llvm_type("i1", self.lanes)
        self.emit.declarations.add(f"declare {vector} {function}(ptr, i32, {masks}, {vector})")
        align = STORAGE_BITS[storage] // 8
        mask = self.emit.splat(mask, self.lanes)
        text = (
            f"call {vector} {function}(ptr {address.ref}, i32 {align}, {masks} {mask.ref}, "
            f"{vector} zeroinitializer)"
        )
        return self.emit.widen(self.emit.effect(text, raw, self.lanes), storage)

    def _load_part(self, pointer: Value, load: Load, scalar: Value) -> Value:
        """The real or imaginary parts of consecutive complex numbers, out of one wide load."""
        part = load.index.constant % 2
        first = self.emit.address(pointer, scalar - part, load.storage)
        key = ("pair", load.operand, first.ref)
        wide = self.find(key)
        if wide is None:
            wide = self.memory[-1][key] = self.emit.load(first, load.storage, 2 * self.lanes)
        return self.emit.shuffle(wide, wide, range(part, 2 * self.lanes, 2))

    def _gather(
        self,
        pointer: Value,
        load: Load,
        scalar: Value,
        stride: int,
        vector: Value | None,
        mask: Value | None,
    ) -> Value:
        lanes = self.lanes
        offsets = self.emit.constant("i64", 0, lanes) if vector is None else vector
        if stride:
            offsets = self._plus(offsets, self.emit.lane_numbers(lanes), stride)
        base = self.emit.address(pointer, scalar, load.storage)
        raw = self._raw(load.storage)
        addresses = self.emit.pure(
            f"getelementptr i{STORAGE_BITS[load.storage]}, ptr {base.ref}, "
            f"{llvm_type('i64', lanes)} {offsets.ref}",
            "ptr",
            lanes,
        )
        truth = self.emit.constant("i1", True, lanes) if mask is None else mask
        truth = self.emit.splat(truth, lanes)
        result, masks = llvm_type(raw, lanes), llvm_type("i1", lanes)
        function = f"@llvm.masked.gather.{suffix(raw, lanes)}.v{lanes}p0"
        pointers = f"<{lanes} x ptr>"
        self.emit.declarations.add(
            f"declare {result} {function}({pointers}, i32, {masks}, {result})"
        )
        text = (
            f"call {result} {function}({pointers} {addresses.ref}, "
            f"i32 {STORAGE_BITS[load.storage] // 8}, {masks} {truth.ref}, {result} zeroinitializer)"
        )
        return self.emit.widen(self.emit.effect(text, raw, lanes), load.storage)

    def _store(self, store: Store) -> None:
        if store.combine is not None:
            self._update(store)
            return
        values = [self.value(n) for n in store.nodes]
        lanes = self.lanes if self.vector in store.index.axes else 1
        values = [self.emit.splat(v, lanes) for v in values]
        scalar, stride, vector = self.index_parts(store.index)
        assert vector is None
        pointer = self.pointers[store.operand]
        if len(values) == 2:
            self._store_pair(pointer, store, values, scalar, stride)
        elif lanes == 1 or stride == 1:
            self.emit.store(
                self.emit.address(pointer, scalar, store.storage), values[0], store.storage
            )
        else:
            self._scatter(pointer, store, values, scalar, stride, 1)

    def _update(self, store: Store) -> None:
        """One update of a scatter: read, combine, write, if it lands inside."""
        where = self.emit.constant("i1", True) if store.where is None else self.value(store.where)
        assert store.combine is not None
        combine = store.combine
        scale = len(store.nodes)
        index, _, _ = self.index_parts(store.index)

        def write() -> None:
            places = [
                self.emit.address(self.pointers[store.operand], index * scale + part, store.storage)
                for part in range(scale)
            ]
            old = [self.emit.load(place, store.storage) for place in places]
            new = [self.value(n) for n in store.nodes]
            if scale == 1:
                results = [combine(old[0], new[0])]
            else:
                both = combine(Complex(*old), Complex(*new))
                results = [both.re, both.im]
            for place, value in zip(places, results, strict=True):
                self.emit.store(place, value, store.storage)

        self.emit.if_(where, write)

    def _store_pair(
        self, pointer: Value, store: Store, values: list[Value], scalar: Value, stride: int
    ) -> None:
        lanes = values[0].lanes
        if lanes > 1 and stride != 1:
            self._scatter(pointer, store, values, scalar, stride, 2)
            return
        order = [lane + part * lanes for lane in range(lanes) for part in (0, 1)]
        address = self.emit.address(pointer, scalar * 2, store.storage)
        self.emit.store(address, self._interleave(values, order), store.storage)

    def _interleave(self, values: list[Value], order: list[int]) -> Value:
        a, b = values
        if a.lanes > 1:
            return self.emit.shuffle(a, b, order)
        empty = Value(self.emit, a.type, 2, "poison")
        return self.emit.insert(self.emit.insert(empty, a, 0), b, 1)

    def _scatter(
        self,
        pointer: Value,
        store: Store,
        values: list[Value],
        scalar: Value,
        stride: int,
        width: int,
    ) -> None:
        for lane in range(values[0].lanes):
            index = self._plus(scalar, self.number(lane), stride) * width
            for part, value in enumerate(values):
                address = self.emit.address(pointer, index + part, store.storage)
                self.emit.store(address, self.emit.extract(value, lane), store.storage)

    def _check(self, node: Node) -> Value:
        """The condition of a check; where it fails, the fault is recorded on a side path."""
        ok, offending, linear = (self.value(x) for x in node.operands[:3])
        active = self.value(node.operands[3]) if len(node.operands) > 3 else None
        lanes = max(ok.lanes, active.lanes if active is not None else 1)
        ok = self.emit.splat(ok, lanes)
        bad = ~ok if active is None else ~ok & active

        def report() -> None:
            for lane in range(lanes):
                index, value, flag = (self.emit.extract(v, lane) for v in (linear, offending, bad))
                self.emit.line(
                    f"call void @fail(ptr %fault, i64 {node.data}, i64 {index.ref}, "
                    f"i64 {value.ref}, i1 {flag.ref})"
                )

        self.emit.if_(self.emit.any_lane(bad), report)
        return ok

    # ---- row buffers
    # --------------------------------------------------------------------------------------

    def _plan_buffers(self, inner: Sequence[Axis]) -> None:
        """Values that several loops over one axis need, and that are dear, are kept from the first
        to the others.
        """
        self.buffers, self.filling, self.filled = {}, set(), set()
        for axis in inner:
            loops = [n.operands for n in self.nodes if n.name == "reduce" and n.data.axis is axis]
            loops.append(tuple(n for s in self.kernel.stores for n in s.nodes if axis in n.axes))
            for node in _shared_nodes(loops, axis):
                lanes = self._lanes_beside(axis, node)
                size = axis.extent * lanes * max(1, BITS[node.type] // 8)
                if node.cost >= RECOMPUTE_COST and size <= ROW_BUFFER_BYTES:
                    self.buffers[node.number] = (axis, self.scratch(size))

    def _lanes_beside(self, axis: Axis, node: Node) -> int:
        """How many lanes one position of `axis` has."""
        is_across = axis is not self.vector and self.vector in node.axes
        return self.lanes if is_across else 1

    def _fill_buffer(self, node: Node) -> None:
        if node.number in self.buffers and node.number not in self.filled:
            self.filling.add(node.number)
            self.emit.store(self._buffer_address(node), self.value(node), node.type)

    def _read_buffer(self, node: Node) -> Value:
        along = self.buffers[node.number][0] is self.vector
        lanes = self.lanes if along else self._lanes_beside(self.buffers[node.number][0], node)
        return self.emit.load(self._buffer_address(node), node.type, lanes)

    def _buffer_address(self, node: Node) -> Value:
        axis, pointer = self.buffers[node.number]
        index = self.position[axis] * self._lanes_beside(axis, node)
        return self.emit.address(pointer, index, node.type)

    def loop_done(self, axis: Axis) -> None:
        """After a first loop over `axis`, buffered values are loaded instead of computed."""
        self.filled |= {n for n in self.filling if self.buffers[n][0] is axis}


def _shared_nodes(loops: Sequence[Sequence[Node]], axis: Axis) -> list[Node]:
    """The topmost nodes along `axis` that more than one loop computes."""
    reached = [_reach(roots, axis) for roots in loops]
    count: dict[int, int] = {}
    for nodes in reached:
        for number in nodes:
            count[number] = count.get(number, 0) + 1
    covered = {
        x.number
        for nodes in reached
        for node in nodes.values()
        if count[node.number] > 1
        for x in node.operands
    }
    shared = {n.number: n for nodes in reached for n in nodes.values() if count[n.number] > 1}
    kept = {"i1", "state"}
    return [n for n in shared.values() if n.number not in covered and n.type not in kept]


def _reach(roots: Sequence[Node], axis: Axis) -> dict[int, Node]:
    """The nodes below `roots` that vary along `axis`."""
    found: dict[int, Node] = {}
    stack = [n for n in roots if axis in n.axes]
    while stack:
        node = stack.pop()
        if node.number not in found:
            found[node.number] = node
            stack.extend(n for n in node.operands if axis in n.axes)
    return found
