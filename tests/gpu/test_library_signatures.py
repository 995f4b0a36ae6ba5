"""The functions of the doubles are those that nvmath-python binds, with their arguments."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

from jitml.device import cublaslt as our_cublaslt
from jitml.device import cufft as our_cufft
from jitml.device import cusolver as our_cusolver
from jitml.device.library import NO_MEMORY, NOT_THERE, TITLES
from tests.gpu.libraries.blas import DTYPES, Blas
from tests.gpu.libraries.blas_lt import BlasLt
from tests.gpu.libraries.fft import Fft
from tests.gpu.libraries.solver import OF_COMPLEX, Solver

pytest.importorskip("nvmath")

from nvmath.bindings import cublas, cublasLt, cufft, cusolver, cusolverDn

BOUND = {"cufft": cufft, "cusolverDn": cusolverDn, "cublas": cublas, "cublasLt": cublasLt}
DOUBLES: dict[str, Any] = {
    "cufft": Fft, "cusolverDn": Solver, "cublas": Blas, "cublasLt": BlasLt
}  # fmt: skip
# Arguments that have one name everywhere.
ALIKE = {
    "m", "n", "k", "lda", "ldb", "ldc", "ldu", "ldvt", "alpha", "beta", "uplo", "side", "trans",
    "diag", "jobz", "jobu", "jobvt", "batch", "lwork",
}  # fmt: skip


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
    name = {v: k for k, v in OF_COMPLEX.items()}.get(family, family) if letter in "cz" else family
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


def test_numbers_of_products_stand_for_these_names() -> None:
    ours, compute = our_cublaslt, cublas.ComputeType
    sums = ours._COMPUTE_32F, ours._COMPUTE_TF32, ours._COMPUTE_64F
    names = ("COMPUTE_32F", "COMPUTE_32F_FAST_TF32", "COMPUTE_64F")
    assert [compute(x).name for x in sums] == [*names]
    desc, layout = cublasLt.MatmulDescAttribute, cublasLt.MatrixLayoutAttribute
    assert (ours._FIRST_IS_TURNED, ours._SECOND_IS_TURNED) == (desc.TRANSA, desc.TRANSB)
    assert (ours._BATCH_COUNT, ours._BATCH_STEP) == (
        layout.BATCH_COUNT,
        layout.STRIDED_BATCH_OFFSET,
    )
    preference = cublasLt.MatmulPreferenceAttribute
    assert preference.MAX_WORKSPACE_BYTES == ours._MOST_WORKSPACE
    assert [preference(x).name for x in ours._ALIGNMENTS] == [
        f"MIN_ALIGNMENT_{x}_BYTES" for x in "ABCD"
    ]
    theirs = cublasLt.get_matmul_desc_attribute_dtype(desc.TRANSA)
    assert np.dtype(theirs) == np.int32
    types = [np.int32, np.int64, np.uint64, *[np.uint32] * 4]
    places = [
        *map(cublasLt.get_matrix_layout_attribute_dtype, (5, 6)),
        *map(cublasLt.get_matmul_preference_attribute_dtype, (1, 5, 6, 7, 8)),
    ]
    assert [np.dtype(x) for x in places] == [np.dtype(x) for x in types]
    result = np.dtype(cublasLt.matmul_heuristic_result_dtype)
    assert result.itemsize == ours.RESULT.itemsize
    offsets = [row[1] for row in result.fields.values()]
    assert offsets == [row[1] for row in ours.RESULT.fields.values()]


def test_types_of_data_stand_for_these_names() -> None:
    names = {"f32": "R_32F", "f64": "R_64F", "f16": "R_16F", "bf16": "R_16BF",
             "c64": "C_32F", "c128": "C_64F"}  # fmt: skip
    types = pytest.importorskip("cuda.bindings.runtime").cudaDataType
    assert {
        k: getattr(types, f"CUDA_{v}").value for k, v in names.items()
    } == our_cublaslt.DATA_TYPES


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
