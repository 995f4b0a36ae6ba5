"""The command line: `python -m jitml ops` and `python -m jitml explain file.py:f [types…]`."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jitml.ir.errors import ArgumentError, JitmlError
from jitml.ir.op import RULES, Op


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m jitml", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ops", help="print which rules every op has")
    explain = commands.add_parser("explain", help="print every stage of a function")
    explain.add_argument("function", help="file.py:name")
    explain.add_argument("types", nargs="*", help="argument types such as f32[128,10] or i32[]")
    explain.add_argument("--assembly", action="store_true", help="assembly in place of LLVM text")
    given = parser.parse_args(arguments)
    try:
        print(rule_matrix() if given.command == "ops" else _explain(given))
    except JitmlError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def rule_matrix() -> str:
    """One line for each op: which rules it has."""
    import jitml.codegen.expand
    import jitml.lax  # noqa: F401  (every op registers itself when its file is imported)

    width = max(map(len, Op.registry)) + 2
    lines = ["op".ljust(width) + "  ".join(RULES)]
    for name, op in sorted(Op.registry.items()):
        sample = op if isinstance(op, Op) else op.__new__(op)
        marks = (("x" if sample.has(rule) else "-").ljust(len(rule)) for rule in RULES)
        lines.append((name.ljust(width) + "  ".join(marks)).rstrip())
    return "\n".join(lines)


def _explain(given: argparse.Namespace) -> str:
    from jitml.explanation import explain
    from jitml.ir.types import parse_type
    from jitml.dispatch import struct_of

    path, _, name = given.function.rpartition(":")
    if not path or not Path(path).is_file():
        raise ArgumentError(
            f"{given.function!r} does not name a function in a file", hint="write file.py:function"
        )
    function = _load(Path(path), name)
    try:
        structs = [struct_of(parse_type(text)) for text in given.types]
    except (KeyError, ValueError):
        raise ArgumentError(
            f"cannot read the types {' '.join(given.types)}", hint="write them as f32[128,10] or i32[]"
        ) from None
    wanted = _parameter_count(function)
    if len(structs) < wanted:
        raise ArgumentError(
            f"{name} takes {wanted} arguments, {len(structs)} types were given",
            hint=f"python -m jitml explain {given.function} " + " ".join(["f32[8]"] * wanted),
        )
    return explain(function, *structs, assembly=given.assembly)


def _load(path: Path, name: str) -> Any:
    """The function `name` of a Python file, which is run for it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.resolve().parent))
    spec.loader.exec_module(module)
    found = getattr(module, name, None)
    if not callable(found):
        raise ArgumentError(f"{path} has no function {name!r}")
    return found


def _parameter_count(function: Any) -> int:
    """How many arguments must be given."""
    import inspect

    parameters = inspect.signature(inspect.unwrap(function)).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.default is p.empty and p.kind in positional for p in parameters)


if __name__ == "__main__":
    sys.exit(main())
