"""Compile functions over `Value`s to elementwise kernels and run them on NumPy arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitml.codegen.llvm import Emitter
from jitml.codegen.target import compile_object, host
from jitml.scalar.value import Value
from jitml_runtime import Code, load_object

Function = Callable[..., "Value | Sequence[Value]"]
_DTYPES: dict[str, type[Any]] = {
    "f32": np.float32, "f64": np.float64, "i8": np.int8, "i16": np.int16, "i32": np.int32,
    "i64": np.int64, "u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64,
}  # fmt: skip
_loaded: list[Code] = []  # kept, as kernels know only addresses


class Kernel:
    """One function over arrays: `types` go in, `outputs` come out, `lanes` at a time."""

    def __init__(
        self,
        function: Function,
        types: Sequence[str],
        outputs: Sequence[str],
        lanes: int,
        has_avx512: bool | None = None,
    ) -> None:
        self.function = function
        self.types = tuple(types)
        self.outputs = tuple(outputs)
        self.lanes = lanes
        self.has_avx512 = host().has_avx512 if has_avx512 is None else has_avx512
        self.address = 0

    def body(self, name: str) -> tuple[str, set[str]]:
        """LLVM text: a loop over full vectors, then one over what is left."""
        emit = Emitter(has_avx512=self.has_avx512)
        count = len(self.types) + len(self.outputs)
        pointers = [Value(emit, "ptr", 1, f"%p{k}") for k in range(count)]
        size, zero = Value(emit, "i64", 1, "%n"), emit.constant("i64", 0)
        full = emit.pure(f"and i64 %n, {-self.lanes}", "i64")

        def step(lanes: int) -> Callable[[Value, list[Value]], list[Value]]:
            def run(i: Value, _: list[Value]) -> list[Value]:
                inputs = [
                    emit.load(emit.address(p, i, t), t, lanes)
                    for p, t in zip(pointers, self.types, strict=False)
                ]
                results = self.function(*inputs)
                values = [results] if isinstance(results, Value) else results
                for p, v, t in zip(pointers[len(inputs) :], values, self.outputs, strict=True):
                    assert v.type == t, (v.type, t)
                    emit.store(emit.address(p, i, t), v, t)
                return []

            return run

        emit.loop(zero, full, self.lanes, [], step(self.lanes))
        if self.lanes > 1:
            emit.loop(full, size, 1, [], step(1))
        arguments = ", ".join(f"ptr %p{k}" for k in range(count))
        lines = "\n".join(emit.lines)
        text = f"define void @{name}({arguments}, i64 %n) {{\nentry:\n{lines}\n  ret void\n}}\n"
        return text, emit.declarations

    def __call__(self, *arrays: Any) -> Any:
        if not self.address:
            build([self])
        inputs = np.broadcast_arrays(*arrays)
        buffers = [
            np.ascontiguousarray(a, _DTYPES[t]) for a, t in zip(inputs, self.types, strict=True)
        ]
        results = [np.empty(buffers[0].shape, _DTYPES[t]) for t in self.outputs]
        pointers = [b.ctypes.data for b in (*buffers, *results)]
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(pointers), ctypes.c_int64)
        signature(self.address)(*pointers, buffers[0].size)
        return results[0] if len(results) == 1 else results


def build(kernels: Sequence[Kernel], level: int = 2) -> None:
    """Compile kernels together, as one module, at a codegen level."""
    texts, declarations = [], set[str]()
    for k, kernel in enumerate(kernels):
        text, needed = kernel.body(f"k{k}")
        texts.append(text)
        declarations |= needed
    code = load_object(compile_object("\n".join([*sorted(declarations), *texts]), host(), level))
    _loaded.append(code)
    for k, kernel in enumerate(kernels):
        kernel.address = code.address(f"k{k}")
