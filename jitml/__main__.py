"""The command line: `python -m jitml ops`, `python -m jitml explain file.py:f [types…]` and
`python -m jitml cache info|clear`.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jitml.ir.errors import ArgumentError, JitmlError
from jitml.ir.op import Op

_RULES = ("infer", "value", "jvp", "transpose", "batch")
_LEGEND = """
x: the op has the rule   ·: it has none by nature (it is not linear)   -: it lacks the rule
kernel: map (an element from elements), fold (a reduction), own (a kernel of its own), expand (other
ops), call (a function of the user's)"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    given = _parser().parse_args(arguments)
    try:
        print(_COMMANDS[given.command](given), flush=True)
    except JitmlError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # who reads has had enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m jitml", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ops", help="print which rules every op has")
    cache = commands.add_parser("cache", help="compiled programs kept on disk")
    cache.add_argument("action", choices=("info", "clear"), help="tell of them, or delete them all")
    explain = commands.add_parser("explain", help="print every stage of a function")
    explain.add_argument("function", help="file.py:name")
    explain.add_argument("types", nargs="*", help="types such as f32[128,10] or i32[], or numbers")
    explain.add_argument("--assembly", action="store_true", help="assembly in place of LLVM text")
    explain.add_argument("--full", action="store_true", help="long kernels in full")
    return parser


# ---- ops -----------------------------------------------------------------------------------------


def rule_matrix() -> str:
    """One line for each op: which rules it has, and what kind of kernel computes it."""
    import importlib
    import pkgutil

    import jitml.ops
    from jitml.ops.library import LibraryCall

    for module in pkgutil.walk_packages(jitml.ops.__path__, "jitml.ops."):
        importlib.import_module(module.name)  # where ops register themselves
    samples = {
        name: op if isinstance(op, Op) else op.__new__(op) for name, op in Op.registry.items()
    }
    ours = {n: op for n, op in samples.items() if type(op).__module__.startswith("jitml.ops")}
    # Library calls are what other ops expand to, after all rules have been applied.
    public = {name: op for name, op in ours.items() if not isinstance(op, LibraryCall)}
    width = max(map(len, public)) + 2
    lines = [f"{'op':<{width}}" + "  ".join((*_RULES, "kernel"))]
    for name, op in sorted(public.items()):
        marks = [_mark(op, rule).ljust(len(rule)) for rule in _RULES]
        lines.append(f"{name:<{width}}" + "  ".join((*marks, _kernel_kind(op))))
    return "\n".join(lines) + "\n" + _LEGEND


def _mark(op: Op, rule: str) -> str:
    if op.has(rule):
        return "x"
    return "·" if rule == "transpose" and op.has("jvp") else "-"


def _kernel_kind(op: Op) -> str:
    from jitml.ops.kinds import Reduction

    if op.has("lower"):
        return "map"
    if op.is_of_this_process:
        return "call"
    if isinstance(op, Reduction):
        return "fold"
    return "expand" if op.has("expand") else "own"


# ---- cache ---------------------------------------------------------------------------------------


def cache_report() -> str:
    """Where compiled programs are kept, how many, and whether anything stands in the way."""
    from jitml.pipeline import disk

    found = disk.Disk(disk.default_folder(), disk.default_limit_bytes())
    entries = found.entries()
    kinds = [entry.kind for entry in entries]
    size_mb = sum(entry.size_bytes for entry in entries) / 2**20
    if not disk.is_wanted():
        state = "turned off by JITML_CACHE=0"
    elif found.problem:
        state = f"not used: {found.problem}"
    elif os.path.isdir(found.folder) and not os.access(found.folder, os.W_OK):
        state = "read, but not written: the folder is read-only"
    else:
        state = "in use"
    counts = f"{kinds.count(disk.PROGRAM)} programs, {kinds.count(disk.KERNEL)} kernels"
    size = f"{size_mb:.1f} MB of at most {found.limit_bytes / 2**20:.0f} MB"
    rows = {"folder": found.folder, "state": state, "content": counts, "size": size}
    return "\n".join([f"{name:<8} {value}" for name, value in rows.items()])


def clear_cache() -> str:
    """Delete all compiled programs; what was done, as a line."""
    from jitml.pipeline import disk

    found = disk.Disk(disk.default_folder())
    if found.problem:
        return f"nothing deleted: {found.problem}"
    return f"deleted {found.clear()} entries of {found.folder}"


# ---- explain -------------------------------------------------------------------------------------


def _explain(given: argparse.Namespace) -> str:
    from jitml.compilation import explain

    path, _, name = given.function.rpartition(":")
    if not path or not Path(path).is_file():
        raise ArgumentError(
            f"{given.function!r} does not name a function in a file", hint="write file.py:function"
        )
    function = _load(Path(path), name)
    arguments = [_argument(text) for text in given.types]
    least, most = _argument_counts(function)
    if not least <= len(arguments) <= most:
        raise ArgumentError(
            f"{name} takes {least if len(arguments) < least else most} arguments, "
            f"{len(arguments)} types were given",
            hint=" ".join([f"python -m jitml explain {given.function}", *["'f32[8]'"] * least]),
        )
    return explain(function, *arguments, assembly=given.assembly, full=given.full)


def _argument(text: str) -> Any:
    """A type as a ShapeDtypeStruct, a number as itself."""
    from jitml.abstract import struct_of
    from jitml.ir.types import parse_type

    try:
        number = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        number = None
    if isinstance(number, (bool, int, float, complex)):
        return number
    try:
        if text.endswith("]"):
            return struct_of(parse_type(text))
    except (KeyError, ValueError):
        pass
    raise ArgumentError(
        f"cannot read the type {text!r}", hint="write it as 'f32[128,10]' or 'i32[]', or a number"
    )


def _load(path: Path, name: str) -> Any:
    """The function `name` of a Python file, which is run for it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ArgumentError(f"{path} is not a Python file", hint="write file.py:function")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.resolve().parent))
    spec.loader.exec_module(module)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if callable(found):
        return found
    functions = [
        n
        for n, f in vars(module).items()
        if callable(f) and getattr(f, "__module__", "") == path.stem
    ]
    raise ArgumentError(
        f"{path} has no function {name!r}",
        hint=f"its functions are {', '.join(functions)}" if functions else "",
    )


def _argument_counts(function: Any) -> tuple[int, float]:
    """How many arguments must and can be given by position."""
    import inspect

    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return 0, float("inf")
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    takes_more = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return sum(p.default is p.empty for p in positional), (
        float("inf") if takes_more else len(positional)
    )


_COMMANDS: dict[str, Callable[[argparse.Namespace], str]] = {
    "ops": lambda given: rule_matrix(),
    "cache": lambda given: cache_report() if given.action == "info" else clear_cache(),
    "explain": _explain,
}

if __name__ == "__main__":
    sys.exit(main())
