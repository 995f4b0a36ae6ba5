"""basic_reshape, basic_transpose and basic_index, and the Shortcuts that ask them first."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import numpy as np
import pytest

SHAPES = [(), (0,), (1,), (8,), (2, 3), (4, 1, 6), (0, 3), (2, 3, 4, 5), (1, 1), (7, 5), (16, 16)]
DTYPES = ["bool", "int8", "float16", "int32", "float64", "complex128"]


def filled(runtime: Any, shape: tuple[int, ...], dtype: str, weak: bool = False) -> Any:
    count = int(np.prod(shape))
    values = (np.arange(count) % 251).astype(dtype).reshape(shape)
    return runtime.from_numpy(values, weak=weak)


def expect(found: Any, values: np.ndarray[Any, Any], weak: bool = False) -> None:
    assert (found.shape, found.dtype, found.weak_type) == (values.shape, values.dtype, weak)
    np.testing.assert_array_equal(np.asarray(found), values)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_axes_are_reversed(runtime: Any, shape: tuple[int, ...], dtype: str) -> None:
    for weak in (False, True):
        x = filled(runtime, shape, dtype, weak)
        found = runtime.basic_transpose(x)
        if found is None:
            assert x.nbytes > 1024
            continue
        assert x.nbytes <= 1024
        expect(found, np.asarray(x).T, weak)
        assert (found is x) is (len(shape) < 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_elements_get_another_shape(runtime: Any, shape: tuple[int, ...]) -> None:
    x = filled(runtime, shape, "float32", weak=len(shape) == 1)
    values = np.asarray(x)
    sizes = [-1, 0, 1, 2, 3, 4, 6, 8, 120, values.size]
    for rank in range(4):
        for wanted in itertools.product(sizes, repeat=rank):
            try:
                expected = values.reshape(wanted)
            except ValueError:
                expected = None
            for given in ((wanted,), wanted):
                found = runtime.basic_reshape(x, *given) if given else None
                if expected is None or not given:
                    assert found is None
                    continue
                expect(found, expected, x.weak_type)
                assert (found is x) is (expected.shape == shape)


@pytest.mark.parametrize(
    "sizes",
    [
        ([2, 4],),
        ((2.0, 4),),
        ((True, 8),),
        ((2, -4),),
        ((-2, -4),),
        ((-1, -1),),
        ((1 << 62, 1 << 62),),
        ((1 << 70,),),
        ((-(1 << 70),),),
        (np.int64(8),),
        ((2, 4), "C"),
        ((0, -1),),
        (None,),
        ("8",),
        (),
        ((1,) * 65,),
    ],
)
def test_what_is_no_plain_shape_is_left_to_others(runtime: Any, sizes: Any) -> None:
    assert runtime.basic_reshape(filled(runtime, (8,), "float32"), *sizes) is None


def test_more_elements_than_can_be_counted_are_not_none(runtime: Any) -> None:
    assert runtime.basic_reshape(filled(runtime, (0,), "float32"), 1 << 32, 1 << 32) is None


def test_a_reshape_shares_memory_and_a_transpose_copies(runtime: Any) -> None:
    x = filled(runtime, (600, 2), "float32")
    y = runtime.basic_reshape(x, 2, -1)
    assert runtime.data_pointer(x) == runtime.data_pointer(y)
    assert runtime.basic_transpose(x) is None
    small = filled(runtime, (3, 2), "float32")
    turned, flat = runtime.basic_transpose(small), runtime.basic_reshape(small, 6)
    small.delete()
    expect(turned, np.arange(6, dtype="float32").reshape(3, 2).T)
    expect(flat, np.arange(6, dtype="float32"))


def test_what_is_no_usable_array_is_left_to_others(runtime: Any) -> None:
    x = filled(runtime, (2, 3), "float32")
    assert runtime.basic_transpose(x, (0, 1)) is None
    x.delete()
    for given in (x, np.ones((2, 3)), 3, None):
        assert runtime.basic_transpose(given) is None
        assert runtime.basic_reshape(given, 6) is None
    with pytest.raises(TypeError):
        runtime.basic_index(x)


# ---- shortcuts ---------------------------------------------------------------------------------


def named_function(x: Any, *args: Any, **kwargs: Any) -> Any:
    """What it does."""
    return ("function", x, args, kwargs)


def quick(x: Any, *args: Any) -> Any:
    return None if x == "slow" else ("quick", x, args)


def test_a_shortcut_is_tried_first(runtime: Any) -> None:
    made = runtime.Shortcut(quick, named_function)
    assert made(1) == ("quick", 1, ()) and made(1, 2) == ("quick", 1, (2,))
    assert made("slow", 2) == ("function", "slow", (2,), {})
    assert made(1, a=2) == ("function", 1, (), {"a": 2})
    runtime.calling.recorder = object()
    try:
        assert made(1) == ("function", 1, (), {})
    finally:
        runtime.calling.recorder = None
    assert made(1) == ("quick", 1, ())


def test_a_shortcut_passes_for_its_function_and_is_a_method(runtime: Any) -> None:
    made = runtime.Shortcut(quick, named_function)
    assert (made.__name__, made.__module__) == ("named_function", __name__)
    assert made.__wrapped__ is named_function and made.__doc__ == "What it does."
    assert inspect.signature(made) == inspect.signature(named_function)

    class Owner:
        method = made
        attribute = property(made)

    owner = Owner()
    assert owner.method(2) == ("quick", owner, (2,)) and owner.attribute == ("quick", owner, ())
    assert Owner.method is made
    with pytest.raises(TypeError):
        runtime.Shortcut(quick)


def test_errors_of_a_shortcut_are_those_of_what_it_calls(runtime: Any) -> None:
    def failing(x: Any) -> Any:
        raise KeyError(x)

    with pytest.raises(KeyError):
        runtime.Shortcut(failing, named_function)(1)
    with pytest.raises(KeyError):
        runtime.Shortcut(quick, failing)("slow")
