"""Programs in files: what a compiled function needs to run where it was not compiled.

In: a file that `jitml.export.save` has written. Out: a `Program` to call with NumPy arrays. Neither
jitml nor llvmlite is imported. A file is sealed (see `packing`); its payload has, in this order:
number of the kernel interface; texts: name, who made it, platform; the processor features that its
code uses; names of the positional arguments; trees of arguments and results; the plan; object
files; for each kernel the number of its object file and the name of its function; constants (the
last inputs of the plan) with their types; for each instruction what its checks are about; and for
each GPU that it is compiled for as well: its name, the plan, the PTX of the kernels, the checks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from . import processor
from .code import load_object
from .errors import KernelFault, LoadError, place_of
from .library import with_addresses
from .packing import KEY_BYTES, FormatError, Packer, Unpacker, seal, unseal
from .plan import ArraySpec, Plan, check_plan
from .plan_format import read_plan, read_spec, write_plan, write_spec
from .tree_format import (
    Tree,
    count_leaves,
    leaves_of,
    paths_of,
    read_tree,
    rebuild,
    write_tree,
)

INTERFACE = 5  # of kernels: signature, faults, meaning of a plan
_KIND = 16
_KEY = bytes(KEY_BYTES)
Read = TypeVar("Read")


class Check(NamedTuple):
    """What the failure of a kernel's check means (of the number `{value}`), in which array, the
    line of the program that makes it, what the index of its fault counts, which of _ERRORS it is.
    """

    text: str
    subject: str
    where: str
    counted: str
    error: str


_ERRORS = {error.__name__: error for error in (IndexError, ZeroDivisionError, ValueError)}


class GpuPart(NamedTuple):
    """The same program for a GPU; who has a driver may run it."""

    target: str
    plan: Plan
    ptx: tuple[bytes, ...]
    checks: tuple[tuple[Check, ...], ...]


class Deployment(NamedTuple):
    """All that a file holds."""

    name: str
    made_by: str
    platform: str
    features: tuple[str, ...]
    parameters: tuple[str, ...]
    arguments: Tree  # a tuple of the positional ones, and a dict of those by keyword
    results: Tree
    plan: Plan
    objects: tuple[bytes, ...]
    kernels: tuple[tuple[int, str], ...]
    constants: tuple[tuple[ArraySpec, bytes], ...]
    checks: tuple[tuple[Check, ...], ...]
    gpus: tuple[GpuPart, ...] = ()


def pack(deployment: Deployment) -> bytes:
    """The bytes of a file."""
    out = Packer()
    out.integer(INTERFACE)
    for text in (deployment.name, deployment.made_by, deployment.platform):
        out.text(text)
    for texts in (deployment.features, deployment.parameters):
        _write_all(out, texts, out.text)
    write_tree(out, deployment.arguments)
    write_tree(out, deployment.results)
    write_plan(out, deployment.plan)
    _write_all(out, deployment.objects, out.data)
    out.integer(len(deployment.kernels))
    for number, function in deployment.kernels:
        out.integer(number)
        out.text(function)
    out.integer(len(deployment.constants))
    for spec, data in deployment.constants:
        write_spec(out, spec)
        out.data(data)
    _write_checks(out, deployment.checks)
    out.integer(len(deployment.gpus))
    for part in deployment.gpus:
        out.text(part.target)
        write_plan(out, part.plan)
        _write_all(out, part.ptx, out.data)
        _write_checks(out, part.checks)
    return seal(_KIND, _KEY, out.packed())


def _write_checks(out: Packer, checks: tuple[tuple[Check, ...], ...]) -> None:
    out.integer(len(checks))
    for each in checks:
        _write_all(out, [text for check in each for text in check], out.text)


def unpack(data: bytes) -> Deployment:
    """What the bytes of a file hold; FormatError if they are damaged or made by another version."""
    source = Unpacker(unseal(_KIND, data))
    interface = source.integer()
    name, made_by, made_for = (source.text() for _ in range(3))
    if interface != INTERFACE:
        raise FormatError(
            f"it was saved by jitml {made_by} for kernel interface {interface}, "
            f"this jitml_runtime has interface {INTERFACE}: save it again"
        )
    deployment = Deployment(
        name,
        made_by,
        made_for,
        _read_all(source, Unpacker.text),
        _read_all(source, Unpacker.text),
        read_tree(source),
        read_tree(source),
        read_plan(source),
        _read_all(source, Unpacker.data),
        _read_all(source, lambda s: (s.integer(), s.text())),
        _read_all(source, lambda s: (read_spec(s), s.data())),
        _read_all(source, _read_checks),
        _read_all(source, _read_gpu_part),
    )
    _check(deployment)
    return deployment


def _read_checks(source: Unpacker) -> tuple[Check, ...]:
    texts = _read_all(source, Unpacker.text)
    return tuple([Check(*texts[k : k + 5]) for k in range(0, len(texts) - 4, 5)])


def _read_gpu_part(source: Unpacker) -> GpuPart:
    target, plan = source.text(), read_plan(source)
    texts = _read_all(source, Unpacker.data)
    return GpuPart(target, plan, texts, _read_all(source, _read_checks))


def _check(deployment: Deployment) -> None:
    plan, constants = deployment.plan, deployment.constants
    try:
        check_plan(plan, len(deployment.kernels), 0)
        for part in deployment.gpus:
            check_plan(part.plan, len(part.ptx), 0)
    except ValueError as error:
        raise FormatError(str(error)) from None
    counts = (count_leaves(deployment.arguments) + len(constants), count_leaves(deployment.results))
    fits = counts == (len(plan.inputs), len(plan.outputs))
    specs = tuple(spec for spec, _ in constants)
    fits &= specs == plan.inputs[len(plan.inputs) - len(specs) :]
    fits &= all(spec.size_bytes == len(data) for spec, data in constants)
    fits &= all(0 <= number < len(deployment.objects) for number, _ in deployment.kernels)
    fits &= len(deployment.checks) == len(plan.instructions)
    fits &= _are_known(deployment.checks)
    for part in deployment.gpus:
        fits &= (part.plan.inputs, part.plan.outputs) == (plan.inputs, plan.outputs)
        fits &= len(part.checks) == len(part.plan.instructions) and _are_known(part.checks)
    groups = deployment.arguments.children
    fits &= len(groups) == 2 and len(groups[0].children) == len(deployment.parameters)
    if not fits:
        raise FormatError("its parts do not fit together")


def _write_all(out: Packer, items: Sequence[Any], write: Callable[[Any], None]) -> None:
    out.integer(len(items))
    for item in items:
        write(item)


def _read_all(source: Unpacker, read: Callable[[Unpacker], Read]) -> tuple[Read, ...]:
    return tuple([read(source) for _ in range(source.count())])


# ---- running -------------------------------------------------------------------------------------


def load(path: str | os.PathLike[str]) -> Program:
    """The program in a file that `jitml.export.save` has written.

    Raises LoadError, which says why, if it is damaged, was made by another version or for another
    kind of machine, or uses what this processor cannot do.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        return Program(unpack(data))
    except (FormatError, LoadError) as error:
        raise LoadError(f"{os.fspath(path)} cannot be loaded: {error}") from None


class Program:
    """A compiled function of fixed argument types: call it with NumPy arrays (or Arrays), and
    numbers for arguments without axes. Results are NumPy arrays, which cannot be written to.

    An `executable` runs it elsewhere than on this processor, with `checks` of its own.
    """

    def __init__(
        self,
        deployment: Deployment,
        executable: Any = None,
        checks: tuple[tuple[Check, ...], ...] = (),
    ) -> None:
        from . import from_numpy

        self._deployment = deployment
        self._executable = executable or _executable(deployment)
        self._checks = checks or deployment.checks
        self._constants = [
            from_numpy(np.frombuffer(data, spec.dtype).reshape(spec.shape), spec.weak)
            for spec, data in deployment.constants
        ]
        count = len(deployment.plan.inputs) - len(self._constants)
        self._inputs = tuple(zip(deployment.plan.inputs[:count], self._paths(), strict=True))
        self._forward = deployment.plan.forward or (None,) * len(deployment.plan.outputs)

    @property
    def name(self) -> str:
        """The name of the function."""
        return self._deployment.name

    @property
    def made_by(self) -> str:
        """The version of jitml that compiled it."""
        return self._deployment.made_by

    @property
    def features(self) -> tuple[str, ...]:
        """The processor features that its code may use."""
        return self._deployment.features

    @property
    def inputs(self) -> dict[str, ArraySpec]:
        """The types of the arguments' leaves, by their paths."""
        return {path: spec for spec, path in self._inputs}

    @property
    def outputs(self) -> dict[str, ArraySpec]:
        """The types of the results' leaves, by their paths."""
        paths = paths_of(self._deployment.results, "result")
        return dict(zip(paths, self._deployment.plan.outputs, strict=True))

    def __repr__(self) -> str:
        inputs = [f"{path}: {_type_text(spec)}" for spec, path in self._inputs]
        outputs = [f"{path}: {_type_text(spec)}" for path, spec in self.outputs.items()]
        return f"<program {self.name}({', '.join(inputs)}) -> {', '.join(outputs) or 'None'}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves = self._leaves(args, kwargs)
        values = [_as_array(x, *known) for x, known in zip(leaves, self._inputs, strict=True)]
        try:
            results = self._executable.run([*values, *self._constants])
        except KernelFault as fault:
            raise self._explained(fault) from None
        arrays = [
            # An argument that is passed through must not change with the caller's array.
            np.asarray(x) if source is None else np.array(x)
            for x, source in zip(results, self._forward, strict=True)
        ]
        return rebuild(self._deployment.results, iter(arrays))

    def _leaves(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        given, named = list(args), dict(kwargs)
        for name in self._deployment.parameters[len(args) :]:
            if name not in named:
                break
            given.append(named.pop(name))
        positional, by_name = self._deployment.arguments.children
        names = self._deployment.parameters
        if len(given) != len(positional.children):
            expected = ", ".join(names)
            raise TypeError(
                f"{self.name} takes {len(positional.children)} arguments by position "
                f"({expected}), {len(given)} were given"
            )
        found: list[Any] = []
        for name, tree, value in zip(names, positional.children, given, strict=True):
            leaves_of(tree, value, name, found)
        leaves_of(by_name, named, f"{self.name}'s keyword arguments", found)
        return found

    def _paths(self) -> list[str]:
        positional, by_name = self._deployment.arguments.children
        pairs = [*zip(self._deployment.parameters, positional.children, strict=True)]
        pairs += [(str(k), tree) for k, tree in zip(by_name.keys, by_name.children, strict=True)]
        return [path for name, tree in pairs for path in paths_of(tree, name)]

    def _explained(self, fault: KernelFault) -> Exception:
        return explain_check(self._checks, fault)


def explain_check(checks: tuple[tuple[Check, ...], ...], fault: KernelFault) -> Exception:
    """The error that a failed check is."""
    own = checks[fault.instruction]
    if not 0 <= fault.site < len(own):
        return IndexError(str(fault))
    text, subject, where, counted, error = own[fault.site]
    place = f"{text.format(value=fault.value)} ({place_of(fault, counted, subject)})"
    return _ERRORS[error](f"{place}\n  {where}" if where else place)


def _are_known(checks: tuple[tuple[Check, ...], ...]) -> bool:
    return all(check.error in _ERRORS for each in checks for check in each)


def _executable(deployment: Deployment) -> Any:
    """The program on this processor."""
    from . import Executable

    _check_machine(deployment)
    codes = [load_object(data) for data in deployment.objects]
    addresses = [codes[number].address(name) for number, name in deployment.kernels]
    return Executable(with_addresses(deployment.plan, addresses), addresses, tuple(codes), ())


def _check_machine(deployment: Deployment) -> None:
    if deployment.platform != processor.platform_name():
        raise LoadError(
            f"it was compiled for {deployment.platform}, this is {processor.platform_name()}"
        )
    known = processor.features()
    if known is None:
        raise LoadError("the system does not tell what its processor can do (/proc/cpuinfo)")
    missing = [feature for feature in deployment.features if feature not in known]
    if missing:
        raise LoadError(
            f"this processor lacks {', '.join(missing)}, which its code uses: save it with "
            "cpu='x86-64-v3' for any processor with AVX2"
        )


def _as_array(x: Any, spec: ArraySpec, path: str) -> Any:
    """An argument as an Array of the type that the program takes."""
    from . import Array, from_numpy

    if isinstance(x, (bool, int, float, complex)) and not isinstance(x, np.generic):
        x = _number(x, spec, path)
    if not isinstance(x, (np.ndarray, np.generic, Array)):
        raise TypeError(f"{path} must be {_type_text(spec)}, not a {type(x).__name__}")
    if x.dtype != spec.dtype or x.shape != spec.shape:
        found = _type_text(ArraySpec(x.dtype, x.shape))
        raise TypeError(f"{path} must be {_type_text(spec)}, not {found}")
    return x if isinstance(x, Array) else from_numpy(x, spec.weak, False)


def _number(x: complex, spec: ArraySpec, path: str) -> np.ndarray[Any, Any]:
    """A Python number in the dtype of the argument, if that can hold its kind."""
    rank = next(n for n, kind in enumerate((bool, int, float, complex)) if isinstance(x, kind))
    most = {"b": 0, "i": 1, "u": 1, "c": 3}.get(spec.dtype.kind, 2)
    if rank <= most:
        try:
            with np.errstate(over="ignore"):
                return np.array(x, spec.dtype)
        except OverflowError:
            pass
    raise TypeError(f"{path} must be {_type_text(spec)}, not {x!r}")


def _type_text(spec: ArraySpec) -> str:
    return f"{spec.dtype}[{','.join(map(str, spec.shape))}]"
