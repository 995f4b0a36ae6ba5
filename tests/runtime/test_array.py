"""Array: round trips, attributes, conversions, protocols, end of life."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import sys
import weakref
from typing import Any

import numpy as np
import pytest

import jitml_runtime
from jitml_runtime import ArraySpec
from jitml_runtime.dtypes import ROWS

DTYPES = [row.dtype for row in ROWS]
SHAPES: list[tuple[int, ...]] = [(), (1,), (0,), (3, 0, 2), (5,), (2, 3), (65,), (33, 7, 5)]
has_buffer = sys.version_info >= (3, 12)


def sample(dtype: Any, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    count = int(np.prod(shape))
    values = (np.arange(count) * 37 % 101).reshape(shape)
    if np.dtype(dtype).kind == "c":
        return (values + 1j * values[::-1] if shape else values + 2j).astype(dtype)
    return values.astype(dtype)


def exact(left: Any, right: Any) -> bool:
    left, right = np.asarray(left), np.asarray(right)
    same = left.dtype == right.dtype and left.shape == right.shape
    return bool(same and left.tobytes() == right.tobytes())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("copied", [True, False], ids=["copy", "adopt"])
def test_round_trip_keeps_every_value(runtime: Any, dtype: Any, copied: bool) -> None:
    for shape in SHAPES:
        source = sample(dtype, shape)
        array = runtime.from_numpy(source, copy=copied)
        assert exact(array, source) and exact(runtime.to_numpy(array), source)
        assert (array.shape, array.dtype, array.ndim) == (shape, np.dtype(dtype), len(shape))
        assert (array.size, array.nbytes) == (source.size, source.nbytes)
        assert array.itemsize == source.itemsize
        assert array.dtype is np.dtype(dtype)
        assert copied is False or source.size == 0 or runtime.data_pointer(array) % 64 == 0


def test_adopted_memory_is_shared_and_copied_memory_is_not(runtime: Any) -> None:
    for size in (4, 1000):
        source = np.zeros(size, np.float32)
        adopted = runtime.from_numpy(source, copy=False)
        copied = runtime.from_numpy(source)
        source[0] = 7
        assert np.asarray(adopted)[0] == 7 and np.asarray(copied)[0] == 0
        assert runtime.data_pointer(adopted) == source.ctypes.data


def test_adopted_memory_outlives_its_numpy_array(runtime: Any) -> None:
    source = np.arange(1000.0)
    watch = weakref.ref(source)
    array = runtime.from_numpy(source, copy=False)
    del source
    gc.collect()
    assert np.asarray(array)[999] == 999
    del array
    gc.collect()
    assert watch() is None


@pytest.mark.parametrize("copied", [True, False])
def test_irregular_numpy_arrays_are_copied_in_order(runtime: Any, copied: bool) -> None:
    base = np.arange(24, dtype=np.int32).reshape(4, 6)
    misaligned = np.frombuffer(b"\0" + base.tobytes(), np.uint8)[1:].view(np.int32).reshape(4, 6)
    sources = [base.T, base[::-1, ::2], base.astype(">i4"), misaligned, np.asfortranarray(base)]
    for source in sources:
        array = runtime.from_numpy(source, copy=copied)
        assert np.array_equal(np.asarray(array), source)
        assert array.dtype is np.dtype(np.int32)


def test_scalars_and_type_aliases_become_canonical(runtime: Any) -> None:
    assert runtime.from_numpy(np.float32(2.5)).shape == ()
    assert float(runtime.from_numpy(np.float32(2.5), copy=False)) == 2.5
    assert runtime.from_numpy(np.zeros(2, np.longlong)).dtype is np.dtype(np.int64)


@pytest.mark.parametrize("source", [np.array(["a"]), np.array([None]), np.zeros(1, "M8[s]")])
def test_unsupported_dtypes_are_refused(runtime: Any, source: Any) -> None:
    with pytest.raises(TypeError, match="not supported"):
        runtime.from_numpy(source)


def test_only_numpy_arrays_are_taken(runtime: Any) -> None:
    with pytest.raises(TypeError, match="NumPy array"):
        runtime.from_numpy([1, 2])
    with pytest.raises(TypeError, match="expected an Array"):
        runtime.to_numpy(np.zeros(2))


def test_weak_flag(runtime: Any) -> None:
    array = runtime.from_numpy(np.zeros(2), weak=True)
    assert array.weak_type and not runtime.from_numpy(np.zeros(2)).weak_type
    assert copy.copy(array).weak_type


def test_arrays_are_made_only_by_functions(runtime: Any) -> None:
    with pytest.raises(TypeError, match="cannot create"):
        runtime.Array()
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Sub", (runtime.Array,), {})


def test_attributes_cannot_be_set_but_the_type_takes_methods(runtime: Any) -> None:
    array = runtime.from_numpy(np.ones(2))
    with pytest.raises(AttributeError):
        array.shape = (1, 2)
    with pytest.raises(AttributeError):
        array.anything = 1
    runtime.Array.doubled = lambda self: np.asarray(self) * 2
    assert array.doubled().tolist() == [2, 2]
    del runtime.Array.doubled


def test_views_are_read_only_and_items_cannot_be_set(runtime: Any) -> None:
    array = runtime.from_numpy(np.zeros(3))
    for view in (runtime.to_numpy(array), np.asarray(array)):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 1
    with pytest.raises(TypeError, match=r"x\.at\[i\]\.set"):
        array[0] = 1
    with pytest.raises(TypeError, match="immutable"):
        del array[0]


def test_numpy_conversion_follows_numpy_2(runtime: Any) -> None:
    array = runtime.from_numpy(np.arange(3, dtype=np.int32))
    pointer = runtime.data_pointer(array)
    assert np.asarray(array).ctypes.data == pointer
    assert array.__array__().ctypes.data == pointer
    assert array.__array__(copy=True).ctypes.data != pointer
    assert array.__array__(np.float64).dtype == np.float64
    assert array.__array__(np.int32, copy=False).ctypes.data == pointer
    with pytest.raises(ValueError, match="Unable to avoid copy"):
        array.__array__(np.float64, copy=False)
    assert np.array(array, np.float32).tolist() == [0, 1, 2]


def test_views_keep_the_array_alive(runtime: Any) -> None:
    for size in (3, 1000):
        view = runtime.to_numpy(runtime.from_numpy(np.arange(float(size))))
        gc.collect()
        runtime.from_numpy(np.zeros(size))
        assert view[2] == 2


@pytest.mark.parametrize("convert", [int, float, complex, bool, lambda x: x.__index__()])
def test_python_numbers_are_numpys(runtime: Any, convert: Any) -> None:
    sources = [
        np.int32(3), np.float64(2.5), np.array(True), np.zeros(1), np.zeros((1, 1), int),
        np.zeros(0), np.zeros(2), np.array(7, np.uint8),
    ]  # fmt: skip
    for source in map(np.asarray, sources):
        array = runtime.from_numpy(source)
        try:
            expected = convert(source)
        except (TypeError, ValueError, DeprecationWarning) as error:
            with pytest.raises(type(error)) as raised:
                convert(array)
            assert str(raised.value) == str(error)
        else:
            result = convert(array)
            assert result == expected and type(result) is type(expected)


def test_length_hash_and_text(runtime: Any) -> None:
    array = runtime.from_numpy(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert len(array) == 2
    with pytest.raises(TypeError, match="unsized"):
        len(runtime.from_numpy(np.float32(1)))
    with pytest.raises(TypeError, match="unhashable"):
        hash(array)
    assert repr(array) == "A" + repr(np.asarray(array))[1:]
    assert str(array) == str(np.asarray(array))
    assert f"{runtime.from_numpy(np.float32(1.5)):.3f}" == "1.500"
    with pytest.raises(TypeError):
        f"{array:.3f}"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_copies_and_pickles(runtime: Any, dtype: Any) -> None:
    for shape in ((), (0, 2), (3,), (50, 2)):
        array = runtime.from_numpy(sample(dtype, shape), weak=True)
        for other in (copy.copy(array), copy.deepcopy(array)):
            assert exact(other, array) and other.weak_type
            assert array.size == 0 or runtime.data_pointer(other) != runtime.data_pointer(array)
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            other = pickle.loads(pickle.dumps(array, protocol))
            assert isinstance(other, jitml_runtime.Array)
            assert exact(other, array) and other.weak_type


def test_deleted_arrays_say_so(runtime: Any) -> None:
    for size in (3, 1000):
        array = runtime.from_numpy(np.zeros(size))
        assert not array.is_deleted()
        array.delete()
        array.delete()
        assert array.is_deleted() and array.shape == (size,)
        assert repr(array) == str(array) == "<deleted Array>"
        readers = [
            runtime.to_numpy, runtime.data_pointer, copy.copy, pickle.dumps, np.asarray, bool,
            runtime.from_dlpack, lambda x: runtime.share(x, (x.size, 1), False),
        ]  # fmt: skip
        for read in readers:
            with pytest.raises(RuntimeError, match="deleted"):
                read(array)


def test_deleting_waits_for_views(runtime: Any) -> None:
    for size in (3, 5000):
        array = runtime.from_numpy(np.arange(float(size)))
        view = np.asarray(array)
        array.delete()
        others = [runtime.from_numpy(np.full(size, 9.0)) for _ in range(4)]
        assert view[2] == 2 and len(others) == 4


def test_sharing_gives_another_header_over_the_same_values(runtime: Any) -> None:
    for size in (6, 6000):
        array = runtime.from_numpy(np.arange(size))
        other = runtime.share(array, (2, size // 2), True)
        assert other.shape == (2, size // 2) and other.weak_type
        array.delete()
        assert np.asarray(other)[1, 0] == size // 2
    with pytest.raises(ValueError, match="cannot have shape"):
        runtime.share(other, (4,), False)
    with pytest.raises(ValueError):
        runtime.share(other, (-1, -6000), False)


def test_weak_references(runtime: Any) -> None:
    array = runtime.from_numpy(np.zeros(3))
    watch = weakref.ref(array)
    assert watch() is array
    del array
    assert watch() is None


def test_arrays_are_not_tracked_by_the_collector(executor: str, runtime: Any) -> None:
    array = runtime.from_numpy(np.zeros(3))
    assert gc.is_tracked(array) is (executor == "python")


def test_references_and_memory_are_flat(runtime: Any) -> None:
    source = np.zeros(400, np.float32)
    array = runtime.from_numpy(source)

    def use() -> None:
        adopted = runtime.from_numpy(source, copy=False)
        for other in (array, adopted):
            np.asarray(other), other.shape, other.dtype, copy.copy(other), repr(other)
            runtime.share(other, (20, 20), False).delete()
            other.__dlpack__(), other.__dlpack__(max_version=(1, 0))
            runtime.from_dlpack(other)

    use()
    gc.collect()
    before = (sys.getrefcount(source), sys.getrefcount(array), runtime.memory_stats())
    for _ in range(100):
        use()
    gc.collect()
    after = (sys.getrefcount(source), sys.getrefcount(array), runtime.memory_stats())
    assert before[:2] == after[:2]
    for name in ("bytes_in_use", "live_arrays", "cached_bytes"):
        assert before[2][name] == after[2][name]


def test_memory_errors_are_raised_and_leave_everything_usable(runtime: Any) -> None:
    gc.collect()
    count = runtime.memory_stats()["live_arrays"]
    for shape in ((2**62,), (2**40, 2**40), (2**44,), (0, 2**62)):
        with pytest.raises(MemoryError):
            runtime.empty(ArraySpec(np.dtype(np.float64), shape))
    assert runtime.memory_stats()["live_arrays"] == count
    with pytest.raises(ValueError, match="negative"):
        runtime.empty(ArraySpec(np.dtype(np.float64), (-1,)))
    with pytest.raises(ValueError, match="dimensions"):
        runtime.empty(ArraySpec(np.dtype(np.float64), (1,) * 65))


def test_blocks_are_counted_and_recycled(executor: str, runtime: Any) -> None:
    runtime.release_cache()
    before = runtime.memory_stats(reset_peak=True)
    array = runtime.from_numpy(np.zeros(100_000))
    during = runtime.memory_stats()
    assert during["bytes_in_use"] - before["bytes_in_use"] >= 800_000
    assert during["peak_bytes"] >= during["bytes_in_use"] > before["peak_bytes"]
    assert during["allocations"] == before["allocations"] + 1
    place = runtime.data_pointer(array)
    del array
    after = runtime.memory_stats()
    assert after["bytes_in_use"] == before["bytes_in_use"]
    if executor == "native":
        assert after["cached_bytes"] - before["cached_bytes"] >= 800_000
        assert runtime.data_pointer(runtime.from_numpy(np.zeros(100_000))) == place
        assert runtime.release_cache() >= 800_000
    assert runtime.memory_stats()["cached_bytes"] == 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_buffer_protocol(executor: str, runtime: Any, dtype: Any) -> None:
    if executor == "python" and not has_buffer:
        pytest.skip("classes written in Python export buffers from 3.12 on")
    for shape in SHAPES:
        array = runtime.from_numpy(sample(dtype, shape))
        if str(dtype) == "bfloat16":
            with pytest.raises(BufferError, match=r"numpy\.asarray"):
                memoryview(array)
            continue
        view = memoryview(array)
        assert view.readonly and view.shape == shape and view.itemsize == array.itemsize
        assert exact(np.asarray(view), array)
        array.delete()
        assert view.nbytes == array.nbytes
    with pytest.raises(TypeError, match="read-write"):
        io.BytesIO(b"x").readinto(runtime.from_numpy(np.zeros(2)))
