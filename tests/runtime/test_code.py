"""The object loader: what it loads, what it refuses, what it protects."""

from __future__ import annotations

import ctypes
import gc
import struct
import sys
from pathlib import Path
from types import ModuleType

import pytest

from jitml_runtime import LoadError, load_object
from jitml_runtime.code import has_own_loader, load_with_llvmlite

own_loader = pytest.mark.skipif(not has_own_loader(), reason="only where the own loader serves")

TABLE = """
@table = {linkage} constant [4 x i32] [i32 10, i32 20, i32 30, i32 40], align 64
@places = {linkage} constant [2 x ptr] [ptr @twice, ptr @pick]
define i32 @twice(i32 %x) noinline {{
  %y = mul i32 %x, 2
  ret i32 %y
}}
define i32 @pick(i64 %i) {{
  %from = getelementptr i32, ptr @table, i64 %i
  %value = load i32, ptr %from
  %slot = getelementptr ptr, ptr @places, i64 0
  %function = load ptr, ptr %slot
  %a = call i32 %function(i32 %value)
  %b = call i32 @twice(i32 %a)
  %half = uitofp i32 %b to double
  %scaled = fmul double %half, 0.75
  %result = fptosi double %scaled to i32
  ret i32 %result
}}
"""


@pytest.mark.parametrize("load", [load_object, load_with_llvmlite])
@pytest.mark.parametrize("linkage", ["private unnamed_addr", "internal", ""])
def test_constants_calls_and_addresses(programs: ModuleType, load: object, linkage: str) -> None:
    assert callable(load)
    code = load(programs.compile_text(TABLE.format(linkage=linkage)))
    pick = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64)(code.address("pick"))
    assert [pick(i) for i in range(4)] == [30, 60, 90, 120]
    with pytest.raises(LoadError, match="no symbol 'pock'"):
        code.address("pock")


@own_loader
def test_symbols_are_listed(programs: ModuleType) -> None:
    code = load_object(programs.compile_text(TABLE.format(linkage="internal")))
    assert set(code.symbols()) == {"twice", "pick"}


def permissions(address: int) -> str:
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, mode = line.split()[:2]
        begin, end = (int(edge, 16) for edge in span.split("-"))
        if begin <= address < end:
            return mode[:3]
    return "---"


@own_loader
def test_pages_are_never_writable_and_executable(programs: ModuleType) -> None:
    code = load_object(programs.compile_text(TABLE.format(linkage="")))
    assert permissions(code.address("pick")) == "r-x"
    assert permissions(code.address("table")) == "r--"
    assert "rwx" not in {permissions(code.address(name)) for name in code.symbols()}


@own_loader
def test_code_is_unmapped_with_its_owner(programs: ModuleType) -> None:
    code = load_object(programs.compile_text(TABLE.format(linkage="internal")))
    address = code.address("pick")
    del code
    gc.collect()
    assert permissions(address) != "r-x"


@own_loader
def test_undefined_symbols_are_refused(programs: ModuleType) -> None:
    text = "declare double @sin(double)\ndefine double @f(double %x) {\n"
    text += "  %y = call double @sin(double %x)\n  ret double %y\n}"
    with pytest.raises(LoadError, match="undefined symbol 'sin'"):
        load_object(programs.compile_text(text))


@own_loader
def test_unlisted_relocations_are_refused(object_code: bytes, programs: ModuleType) -> None:
    good = programs.compile_text(TABLE.format(linkage="internal"))
    pattern = struct.pack("<I", 4)  # R_X86_64_PLT32 becomes an unknown type
    at = next(
        i for i in range(0, len(good) - 24, 8)
        if good[i + 8 : i + 12] == pattern and struct.unpack_from("<q", good, i + 16)[0] == -4
    )  # fmt: skip
    bad = good[: at + 8] + struct.pack("<I", 99) + good[at + 12 :]
    with pytest.raises(LoadError, match="relocation type 99"):
        load_object(bad)


@own_loader
def test_truncated_and_foreign_files_are_refused(object_code: bytes) -> None:
    for size in [*range(0, 200), *range(200, len(object_code), 97)]:
        with pytest.raises(LoadError):
            load_object(object_code[:size])
    for foreign in (b"MZ" + object_code[2:], b"\x7fELF\x01\x01" + object_code[6:], b"x" * 5000):
        with pytest.raises(LoadError, match="not a 64-bit"):
            load_object(foreign)


@own_loader
def test_damaged_headers_never_crash_the_loader(object_code: bytes) -> None:
    (table,) = struct.unpack_from("<Q", object_code, 40)
    outcomes = set()
    for at in [*range(16, 64), *range(table, len(object_code))]:
        damaged = bytearray(object_code)
        damaged[at] ^= 0xFF
        try:
            load_object(bytes(damaged))
            outcomes.add("loaded")
        except LoadError:
            outcomes.add("refused")
    assert outcomes == {"loaded", "refused"}


@own_loader
def test_the_own_loader_needs_no_llvmlite(tmp_path: Path, object_code: bytes) -> None:
    import os
    import subprocess

    path = tmp_path / "kernels.o"
    path.write_bytes(object_code)
    script = (
        "import sys, jitml_runtime\n"
        f"jitml_runtime.load_object(open({str(path)!r}, 'rb').read()).address('add_one')\n"
        "assert not [m for m in sys.modules if m.split('.')[0] in ('llvmlite', 'jitml')]\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)
