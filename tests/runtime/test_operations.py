"""Operation: a function of arrays that finds its program by the types of its operands."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

Bind = Callable[..., Any]
F32 = np.float32


@pytest.fixture(autouse=True)
def forgetting(runtime: Any) -> Iterator[None]:
    """What a test installs is forgotten afterwards."""
    yield
    runtime.forget_operations()


class Calls:
    """What an Operation has asked for: its function, or a program that is not known."""

    def __init__(self, runtime: Any, **options: Any) -> None:
        self.plain: list[Any] = []
        self.unknown: list[Any] = []
        self.operation = runtime.Operation(self.function, self.missing, **options)

    def function(self, *args: Any, **kwargs: Any) -> Any:
        """The function itself."""
        self.plain.append((args, kwargs))
        return "plain"

    def missing(self, operation: Any, *operands: Any) -> Any:
        assert operation is self.operation
        self.unknown.append(operands)
        return "unknown"


def named_function(x: Any) -> Any:
    """What it does."""
    return x


def test_it_passes_for_its_function(runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = runtime.Operation(named_function, named_function)
    assert (made.__name__, made.__module__) == ("named_function", __name__)
    assert made.__wrapped__ is named_function and made.__doc__ == "What it does."
    assert inspect.signature(made) == inspect.signature(named_function)
    assert inspect.getdoc(made) == "What it does."
    assert repr(made) == f"<operation {__name__}.named_function>"
    monkeypatch.setitem(globals(), "named_function", made)
    assert pickle.loads(pickle.dumps(made)) is made and copy.deepcopy(made) is made


def test_as_a_method_it_is_bound(runtime: Any) -> None:
    calls = Calls(runtime)
    owner = type("Owner", (), {"method": calls.operation})
    instance = owner()
    assert instance.method(2) == "plain" and calls.plain == [((instance, 2), {})]
    assert owner.method is calls.operation


def test_arrays_alone_are_asked_for(runtime: Any) -> None:
    calls = Calls(runtime)
    x = runtime.from_numpy(np.ones(2, F32))
    assert runtime.Operation(calls.function, lambda *_: NotImplemented)(x) == "plain"
    assert calls.operation(x) == calls.operation(x, x) == calls.operation(x, x, x) == "unknown"
    assert calls.unknown == [(x,), (x, x), (x, x, x)]
    for args, kwargs in (((), {}), ((x,) * 4, {}), (("text", x), {}), ((x, None), {})):
        assert calls.operation(*args, **kwargs) == "plain"
    assert calls.operation(x, y=x) == "plain"
    runtime.calling.recorder = "somebody"
    try:
        assert calls.operation(x) == "plain"
    finally:
        runtime.calling.recorder = None


def test_what_is_installed_runs(runtime: Any, bind: Bind, programs: ModuleType) -> None:
    calls = Calls(runtime)
    program = bind(programs.add_one_plan(3))
    x = runtime.from_numpy(np.arange(3, dtype=F32))
    calls.operation.install((x,), program)
    if runtime.__name__.endswith("_core"):  # the reference looks nothing up
        for _ in range(3):
            assert np.asarray(calls.operation(x)).tolist() == [1, 2, 3]
        assert np.asarray(calls.operation(np.arange(3, dtype=F32))).tolist() == [1, 2, 3]
    others = (np.zeros(4, F32), np.zeros(3), np.zeros((1, 3), F32))
    for other in map(runtime.from_numpy, others):
        assert calls.operation(other) == "unknown"
    assert calls.operation(runtime.from_numpy(np.zeros(3, F32), weak=True)) == "unknown"
    assert Calls(runtime).operation(x) == "unknown"
    runtime.calling.wide = True
    try:
        assert calls.operation(x) == "unknown"
    finally:
        runtime.calling.wide = None
    runtime.forget_operations()
    assert calls.operation(x) == "unknown"


@pytest.fixture
def native(runtime: Any) -> Any:
    """The C core, which also takes numbers and NumPy's arrays."""
    if not runtime.__name__.endswith("_core"):
        pytest.skip("the reference looks nothing up")
    return runtime


def described(operands: tuple[Any, ...]) -> list[Any]:
    return [
        x if type(x) is int else (x.dtype.name, x.shape, x.weak_type, np.asarray(x).tolist())
        for x in operands
    ]


def test_numbers_take_the_dtype_of_the_arrays(native: Any) -> None:
    truths = native.from_numpy(np.array([True]))
    for dtype, numbers in (
        (np.float32, [1, 2.5, -0.0]),
        (np.int8, [1, -128]),
        (np.uint8, [255]),
        (np.complex64, [1, 2.5]),
    ):
        x = native.from_numpy(np.ones(1, dtype))
        for number in numbers:
            calls = Calls(native)
            for operands in ((x, number), (number, x), (truths, x, number), (truths, number, x)):
                assert calls.operation(*operands) == "unknown"
                made = described(calls.unknown.pop())[operands.index(number)]
                assert made == (np.dtype(dtype).name, (), True, number)


def test_numbers_that_could_change_a_dtype_are_left_alone(native: Any) -> None:
    def array(dtype: Any, weak: bool = False) -> Any:
        return native.from_numpy(np.ones(1, dtype), weak=weak)

    truths = array(bool)
    for operands in (
        (array(np.int32), 2.5), (array(np.float32), 1j), (array(np.int8), 128),
        (array(np.uint8), -1), (truths, 1), (array(np.float32), True), (array(np.float16), 2.0),
        (array(np.float32), array(np.float64), 2.5), (array(np.int32, True), 2.5), (1, 2),
        (truths, 1.0, 2.0), (array(np.float32, True), 2), (array(np.int64), 2**64),
    ):  # fmt: skip
        calls = Calls(native)
        assert calls.operation(*operands) == "plain" and not calls.unknown
        assert all(x is y for x, y in zip(calls.plain[0][0], operands, strict=True))
    calls = Calls(native, takes_numbers=False)
    assert calls.operation(array(np.float32), 2.0) == calls.operation(2.0) == "plain"


def test_a_number_alone_has_its_own_dtype(native: Any) -> None:
    for number, dtype, weak in (
        (2.5, "float32", True), (2, "int32", True), (True, "bool", False), (1j, "complex64", True),
    ):  # fmt: skip
        calls = Calls(native)
        assert calls.operation(number) == "unknown"
        assert described(calls.unknown[0]) == [(dtype, (), weak, number)]
    assert Calls(native).operation(2**31) == "plain"


def test_an_integer_may_be_kept(native: Any, bind: Bind, programs: ModuleType) -> None:
    calls = Calls(native, keeps_integer=True)
    x = native.from_numpy(np.arange(3, dtype=F32))
    program = bind(programs.add_one_plan(3))
    calls.operation.install((x, 2), program)
    assert np.asarray(calls.operation(x, 2)).tolist() == [1, 2, 3]
    assert calls.operation(x, 3) == calls.operation(x, -2) == "unknown"
    assert calls.unknown == [(x, 3), (x, -2)]
    assert calls.operation(x, 2.0) == calls.operation(2, x) == "unknown"
    assert described(calls.unknown[2])[1] == ("float32", (), True, 2.0)
    assert described(calls.unknown[3])[0] == ("float32", (), True, 2)
    assert calls.operation(x, 2**70) == "plain"


def test_numpy_operands_are_copied(native: Any) -> None:
    calls = Calls(native)
    source = np.arange(3, dtype=F32)
    assert calls.operation(source, np.float64(2)) == "unknown"
    source[0] = 7
    assert described(calls.unknown[0]) == [
        ("float32", (3,), False, [0, 1, 2]), ("float64", (), False, 2),
    ]  # fmt: skip
    class_ = type("Sub", (np.ndarray,), {})
    for odd in (source.view(class_), np.array(["text"])):
        assert calls.operation(odd) == "plain"


def test_only_what_fits_is_installed(native: Any, bind: Bind, programs: ModuleType) -> None:
    operation = Calls(native).operation
    x = native.from_numpy(np.ones(3, F32))
    program = bind(programs.add_one_plan(3))
    for operands, given in (((), program), ((x,) * 4, program), (("x",), program), ((x,), None)):
        with pytest.raises(ValueError, match="install needs"):
            operation.install(operands, given)
    for others in (np.ones(4, F32), np.ones((1, 3), F32), np.ones(3, np.int32)):
        with pytest.raises(ValueError, match="install needs"):
            operation.install((native.from_numpy(others),), program)
    with pytest.raises(TypeError):
        operation.install(3, program)


def test_errors_propagate(native: Any) -> None:
    def fail(*operands: Any) -> None:
        raise ZeroDivisionError

    operation = native.Operation(fail, fail)
    for operand in (native.from_numpy(np.ones(2)), "text"):
        with pytest.raises(ZeroDivisionError):
            operation(operand)
    x = native.from_numpy(np.ones(3, F32))
    x.delete()
    assert Calls(native).operation(x) == "unknown", "who runs it tells that it is deleted"


def test_operands_must_be_there_at_each_call(native: Any, bind: Bind, programs: ModuleType) -> None:
    class Elsewhere:
        def read(self) -> Any:
            return np.full(3, 7, F32)

    calls = Calls(native)
    x = native.from_numpy(np.arange(3, dtype=F32))
    calls.operation.install((x,), bind(programs.add_one_plan(3)))
    assert np.asarray(calls.operation(x)).tolist() == [1, 2, 3]
    far = native.remote_array(np.dtype(F32), (3,), False, Elsewhere())
    assert np.asarray(calls.operation(far)).tolist() == [8, 8, 8]
    seen = np.asarray(x)  # keeps the elements where they are
    x.delete()
    for gone in (x, native.from_numpy(np.ones(3, F32))):
        gone.delete()
        with pytest.raises(RuntimeError, match="deleted"):
            calls.operation(gone)
    assert seen.tolist() == [0, 1, 2]


def test_many_programs_are_bounded(native: Any, bind: Bind, programs: ModuleType) -> None:
    program = bind(programs.add_one_plan(3))
    calls = Calls(native, keeps_integer=True)
    x = native.from_numpy(np.arange(3, dtype=F32))
    for number in range(5000):
        calls.operation.install((x, number), program)
    assert np.asarray(calls.operation(x, 4999)).tolist() == [1, 2, 3]
    assert calls.operation(x, 0) == "unknown"
