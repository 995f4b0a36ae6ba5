"""The functions of the doubles are those that nvmath-python binds, with their arguments."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from jitml.device import cufft as our_cufft
from jitml.device import cusolver as our_cusolver
from jitml.device.library import NO_MEMORY, NOT_THERE, TITLES
from tests.gpu.libraries.blas import DTYPES, Blas
from tests.gpu.libraries.fft import Fft
from tests.gpu.libraries.solver import Solver

pytest.importorskip("nvmath")

from nvmath.bindings import cublas, cublasLt, cufft, cusolver, cusolverDn

BOUND = {"cufft": cufft, "cusolverDn": cusolverDn, "cublas": cublas, "cublasLt": cublasLt}
DOUBLES: dict[str, Any] = {"cufft": Fft, "cusolverDn": Solver, "cublas": Blas}
# Arguments that have one name everywhere.
ALIKE = {
    "m", "n", "k", "lda", "ldb", "ldc", "ldu", "ldvt", "alpha", "beta", "uplo", "side", "trans",
    "diag", "jobz", "jobu", "jobvt", "batch", "lwork",
}  # fmt: skip
_OF_COMPLEX = {"orgqr": "ungqr", "ormqr": "unmqr", "syevd": "heevd", "sytrd": "hetrd"}


def parameters_of(binding: Any) -> list[str]:
    """Names from the first line of a function's text: `name(int n, intptr_t a) -> int`."""
    inside = re.match(r"\w+\((.*?)\)", binding.__doc__)
    assert inside, binding
    return [part.split()[-1] for part in inside[1].split(",") if part.strip()]


def functions(name: str) -> list[tuple[str, list[str]]]:
    """The functions of a double by the bindings' names, and their arguments."""
    found = []
    for attribute, function in inspect.getmembers(DOUBLES[name], inspect.isfunction):
        prefix, _, rest = attribute.partition("_")
        arguments = [*inspect.signature(function).parameters][1:]
        if prefix == "do":
            found.append((rest, arguments))
        elif prefix in ("typed", "size"):
            arguments = [x for x in arguments if x not in ("letter", "stream")]
            found += [(typed(letter, rest, prefix), arguments) for letter in letters(rest)]
    return found


def letters(family: str) -> str:
    return "sd" if family == "scal_64" else "sdcz"


def typed(letter: str, family: str, prefix: str) -> str:
    name = _OF_COMPLEX.get(family, family) if letter in "cz" else family
    return letter + name + ("_buffer_size" if prefix == "size" else "")


@pytest.mark.parametrize(("name", "module"), BOUND.items())
def test_bindings_are_found_by_these_names(name: str, module: Any) -> None:
    assert module.__name__ == f"nvmath.bindings.{name}" and name in TITLES


@pytest.mark.parametrize("name", DOUBLES)
def test_functions_take_these_arguments(name: str) -> None:
    checked = functions(name)
    assert len(checked) > 5
    for function, arguments in checked:
        theirs = parameters_of(getattr(BOUND[name], function))
        assert len(arguments) == len(theirs), (function, arguments, theirs)
        pairs = zip(arguments, theirs, strict=True)
        assert all(x == y for x, y in pairs if x in ALIKE), (function, arguments, theirs)


def test_transforms_have_these_functions() -> None:
    for rows in our_cufft._FORMS.values():
        for _, function in rows:
            binding = parameters_of(getattr(cufft, function))
            assert binding == ["plan", "idata", "odata"] + ["direction"] * (len(binding) > 3)
            assert (len(binding) == 4) == (function in ("exec_c2c", "exec_z2z"))


def test_numbers_stand_for_these_names() -> None:
    kinds = {"c2c": ("C2C", "Z2Z"), "r2c": ("R2C", "D2Z"), "c2r": ("C2R", "Z2D")}
    for kind, names in kinds.items():
        assert [row[0] for row in our_cufft._FORMS[kind]] == [cufft.Type[n].value for n in names]
    words = our_cusolver._WORD
    assert words["uplo"] == {"L": cublas.FillMode.LOWER, "U": cublas.FillMode.UPPER}
    assert words["side"] == {"L": cublas.SideMode.LEFT, "R": cublas.SideMode.RIGHT}
    assert words["trans"] == {name: cublas.Operation[name] for name in "NTC"}
    assert words["diag"] == {"N": cublas.DiagType.NON_UNIT, "U": cublas.DiagType.UNIT}
    assert words["jobz"] == {"N": cusolver.EigMode.NOVECTOR, "V": cusolver.EigMode.VECTOR}
    assert {*DTYPES} == {*"sdcz"}


def test_statuses_stand_for_these_names() -> None:
    statuses = {
        "cufft": cufft.Result, "cusolverDn": cusolver.Status,
        "cublas": cublas.Status, "cublasLt": cublas.Status,
    }  # fmt: skip
    refusals = {
        "INVALID_SIZE", "NOT_IMPLEMENTED", "NOT_SUPPORTED", "MISSING_DEPENDENCY", "ARCH_MISMATCH"
    }  # fmt: skip
    for name, status in statuses.items():
        assert status(NO_MEMORY[name]).name == "ALLOC_FAILED"
        there = {x.name for x in status} & refusals
        assert {status(x).name for x in NOT_THERE[name]} == there


def test_errors_have_a_status() -> None:
    for module, status in ((cufft, 2), (cusolver, 9)):
        with pytest.raises(Exception, match=r"ALLOC_FAILED|NOT_SUPPORTED") as raised:
            module.check_status(status)
        assert raised.value.status == status and not isinstance(raised.value, RuntimeError)
