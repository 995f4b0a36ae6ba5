"""Compiled functions as files: `save` writes one that `jitml_runtime.load` runs without jitml and
llvmlite, `save_c` a C header and an object file.

In: a function and example arguments, of which the types count. Out: files. Arrays that the function
reads from around it are stored with it; static arguments and other Python values are fixed.
"""

from __future__ import annotations

import os
import platform
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import jitml
from jitml.codegen.kernel import Site
from jitml.codegen.plan import Program
from jitml.codegen.target import Target, compile_object, named_target
from jitml.compilation import jit
from jitml.dispatch import Jitted
from jitml.exported import Exported, check_own, default_export_platform, deserialize, export
from jitml.ir.errors import ArgumentError, TransformError
from jitml.ir.source import user_source
from jitml.pipeline.c_interface import CProgram, c_header, c_object
from jitml.pipeline.faults import counted_by, failure_of
from jitml.pipeline.kernels import host_target
from jitml.pipeline.lowering import lower
from jitml.recording import argument_names
from jitml.stages import Traced
from jitml.tree_registry import is_named_tuple
from jitml.tree_structure import Spec
from jitml_runtime import ArraySpec, LoadError, load_object, processor, to_numpy
from jitml_runtime.deployment import Check, Deployment, GpuPart, pack
from jitml_runtime.deployment import Program as DeployedProgram
from jitml_runtime.deployment import load as load_program
from jitml_runtime.record import replace
from jitml_runtime.tree_format import DICT, LEAF, LIST, NAMED, NONE, TUPLE, Tree, paths_of

__all__ = ["Exported", "default_export_platform", "deserialize", "export", "load", "save", "save_c"]

_LEVEL = 2  # a file is made once and run often
_VECTOR_BYTES = {"x86-64-v3": 32, "x86-64-v4": 64}


def save(
    fun: Callable[..., Any],
    path: str | os.PathLike[str],
    /,
    *args: Any,
    cpu: str = "host",
    gpus: Sequence[str] = (),
    **kwargs: Any,
) -> None:
    """Compile `fun` for arguments of these types (arrays or ShapeDtypeStructs) to a file, which
    `jitml_runtime.load(path)` turns into a function: NumPy is all that it needs.

    The code runs on processors that can do what this one can; `cpu="x86-64-v3"` (AVX2) or
    `"x86-64-v4"` (AVX-512) makes it run on all that have that. Its results are the same bits.
    With `gpus=("sm_80", "sm_90")` the file holds the program for these GPUs, too, which need not be
    there: `jitml.export.load(path, device="cuda:0")` runs it on one, or on a later one.

    >>> import jitml, jitml.numpy as jnp, jitml_runtime, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "double.jitml")
    >>> jitml.export.save(lambda x: 2 * x, path, jitml.ShapeDtypeStruct((3,), "float32"))
    >>> double = jitml_runtime.load(path)
    >>> double(jnp.arange(3.0))
    array([0., 2., 4.], dtype=float32)
    """
    traced, program, target = _compile(fun, args, kwargs, cpu)
    texts = list(dict.fromkeys(code.text for code in program.kernels))
    objects = tuple([_object(text, target, cpu) for text in texts])
    kernels = tuple([(texts.index(code.text), code.function) for code in program.kernels])
    arguments, names = _arguments(fun, traced, len(args))
    deployment = Deployment(
        traced.fun_name,
        jitml.__version__,
        processor.platform_name(),
        _features(cpu),
        tuple(names),
        arguments,
        _tree(traced.out_tree.spec, "the result"),
        replace(program.plan, aliases=()),
        objects,
        kernels,
        _constants(traced, program),
        _checks(program),
        tuple([_gpu_part(traced, name) for name in gpus]),
    )
    _write(Path(path), pack(deployment))


def _gpu_part(traced: Traced, name: str) -> GpuPart:
    """The program for a GPU."""
    from jitml.codegen.nvptx.target import compile_ptx, gpu_target

    target = gpu_target(name)
    program = lower(traced.graph, target)
    if program.functions:
        raise TransformError(
            f"export: {traced.fun_name} has parts that only the host computes (libraries, native "
            f"functions), which a file for {name} cannot hold",
            hint="leave `gpus` out, or compute them before and pass their results",
            source=user_source(),
        )
    texts = tuple([compile_ptx(code.text, target).encode() for code in program.kernels])
    return GpuPart(name, replace(program.plan, aliases=()), texts, _checks(program))


def load(path: str | os.PathLike[str], device: Any = None) -> DeployedProgram:
    """The program in a file that `save` has written, to run on a device: a GPU that `JITML_DEVICE`
    lets programs use, if the file holds it for that; None means this processor.

    >>> import jitml, jitml.numpy as jnp, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "double.jitml")
    >>> jitml.export.save(lambda x: 2 * x, path, jnp.ones(2), gpus=["sm_80", "sm_90"])
    >>> jitml.export.load(path)(np.ones(2, np.float32))
    array([2., 2.], dtype=float32)
    """
    from jitml.hardware import CPU, find_device

    place = find_device(device, "export.load")
    if place is None or place is CPU:
        return load_program(path)
    from jitml.device.deployed import load_on

    return load_on(path, place.id)


def save_c(
    fun: Callable[..., Any],
    path: str | os.PathLike[str],
    /,
    *args: Any,
    cpu: str = "host",
    **kwargs: Any,
) -> None:
    """Compile `fun` for arguments of these types to `path`.h and `path`.o: a C function, named as
    the file, that a C program links and calls. It needs no library and no memory but what it is
    given, and runs on one thread. The header says how to call it.

    >>> import jitml, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "double_it")
    >>> jitml.export.save_c(lambda x: 2 * x, path, jitml.ShapeDtypeStruct((3,), "float32"))
    >>> sorted(os.listdir(os.path.dirname(path)))
    ['double_it.h', 'double_it.o']
    """
    base = Path(path)
    if not (base.name.isidentifier() and base.name.isascii()):
        raise ArgumentError(
            f"save_c: {base.name!r} cannot be the name of a C function",
            hint="the last part of the path names header, object file and function",
            source=user_source(),
        )
    traced, program, target = _compile(fun, args, kwargs, cpu, joins=False)
    if program.plan.routines:
        called = ", ".join(name for _, name in program.plan.routines)
        raise TransformError(
            f"save_c: {traced.fun_name} calls a library ({called}), which C files cannot do",
            hint="export.save writes a file that jitml_runtime loads",
            source=user_source(),
        )
    arguments, names = _arguments(fun, traced, len(args))
    positional, by_name = arguments.children
    pairs = [*zip(names, positional.children, strict=True)]
    pairs += [(str(key), tree) for key, tree in zip(by_name.keys, by_name.children, strict=True)]
    result = _tree(traced.out_tree.spec, "the result")
    described = CProgram(
        base.name,
        program,
        [path for name, tree in pairs for path in paths_of(tree, name)],
        list(paths_of(result, "result")),
        _constants(traced, program),
        [check for checks in _checks(program) for check in checks],
        _features(cpu),
    )
    _write(base.with_suffix(".h"), c_header(described).encode())
    _write(base.with_suffix(".o"), c_object(described, target, _LEVEL))


def _compile(
    fun: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    cpu: str,
    joins: bool = True,
) -> tuple[Traced, Program, Target]:
    target = _target(cpu)
    traced = (fun if isinstance(fun, Jitted) else jit(fun)).trace(*args, **kwargs)
    program = lower(traced.graph, target, joins=joins)
    check_own(traced.graph)
    return traced, program, target


# ---- processors ----------------------------------------------------------------------------------


def _target(cpu: str) -> Target:
    if cpu == "host":
        return host_target()
    if cpu not in _VECTOR_BYTES or platform.machine() != "x86_64":
        raise ArgumentError(
            f"export: there is no cpu {cpu!r} for {platform.machine()}",
            hint=f"cpu is 'host' or, on x86_64, one of {', '.join(map(repr, _VECTOR_BYTES))}",
            source=user_source(),
        )
    return named_target(cpu, _VECTOR_BYTES[cpu])


def _features(cpu: str) -> tuple[str, ...]:
    return processor.compiled_features() if cpu == "host" else processor.LEVELS[cpu]


def _object(text: str, target: Target, cpu: str) -> bytes:
    data = compile_object(text, target, _LEVEL)
    try:
        load_object(data)
    except LoadError as error:
        raise ArgumentError(
            f"export: the program cannot be compiled for cpu {cpu!r}: {error}",
            hint="choose a processor that can do more",
            source=user_source(),
        ) from None
    return data


# ---- what a file tells ---------------------------------------------------------------------------


def _arguments(fun: Callable[..., Any], traced: Traced, count: int) -> tuple[Tree, list[str]]:
    """The containers of the arguments, and the names of the positional ones."""
    static = fun._static.positions(count) if isinstance(fun, Jitted) else []
    names = [n for k, n in enumerate(argument_names(fun, count)) if k not in static]
    assert traced.in_tree.spec is not None
    _, _, (positional, by_name) = traced.in_tree.spec
    trees = [
        _tree(spec, f"the argument {name}") for spec, name in zip(positional[2], names, strict=True)
    ]
    keywords = _tree(by_name, "the keyword arguments")
    return Tree(TUPLE, (), (Tree(TUPLE, (), tuple(trees)), keywords)), names


def _tree(spec: Spec, what: str) -> Tree:
    """A structure as files have it."""
    if spec is None:
        return Tree(LEAF)
    kind, data, children = spec
    inside = tuple([_tree(child, what) for child in children])
    if kind.type is type(None):
        return Tree(NONE)
    if kind.type in (tuple, list):
        return Tree(TUPLE if kind.type is tuple else LIST, (), inside)
    if kind.type in (dict, OrderedDict) and all(type(key) in (int, str) for key in data):
        return Tree(DICT, tuple(data), inside)
    if is_named_tuple(kind):
        named: Any = kind.type
        return Tree(NAMED, named._fields, inside, named.__name__)
    raise ArgumentError(
        f"export: {what} contains a {kind.type.__name__}, which only this program knows",
        hint="pass and return dicts with names for keys, lists, tuples, named tuples and arrays",
        source=user_source(),
    )


def _constants(traced: Traced, program: Program) -> tuple[tuple[ArraySpec, bytes], ...]:
    """The arrays that the function reads from around it: the last inputs of its plan."""
    values = [np.ascontiguousarray(to_numpy(x)) for x in traced.entry.hidden_values() or ()]
    specs = program.plan.inputs[len(program.plan.inputs) - len(values) :]
    return tuple([(spec, x.tobytes()) for spec, x in zip(specs, values, strict=True)])


def _checks(program: Program) -> tuple[tuple[Check, ...], ...]:
    def check(sites: Sequence[Site], instruction: int, number: int) -> Check:
        line = sites[number].eqn.source.describe()
        counted = counted_by(program, instruction, number)
        failure = failure_of(sites, number)
        # Python's own name for the error, where jitml is not at hand.
        error = next(e.__name__ for e in failure.error.__mro__ if e.__module__ == "builtins")
        return Check(failure.message, failure.subject, line, counted, error)

    return tuple(
        [
            tuple([check(sites, instruction, number) for number in range(len(sites))])
            for instruction, sites in enumerate(program.sites)
        ]
    )


def _write(path: Path, data: bytes) -> None:
    """Write a file whole: whoever reads it meanwhile sees the old one."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
