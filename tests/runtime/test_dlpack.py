"""DLPack: exports to and imports from other libraries."""

from __future__ import annotations

import gc
import subprocess
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jitml_runtime.dtypes import ROWS

Script = Callable[[str], "subprocess.CompletedProcess[str]"]
DTYPES = [row.dtype for row in ROWS]
SHAPES: list[tuple[int, ...]] = [(), (1,), (0, 3), (2, 3), (40, 5, 2)]


class Producer:
    """An object that exports through DLPack as the given array does."""

    def __init__(self, source: Any, *, old: bool = False) -> None:
        self.source = source
        self.old = old

    def __dlpack__(self, **options: Any) -> Any:
        if self.old and options:
            raise TypeError("unexpected keyword argument")
        return self.source.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.source.__dlpack_device__()


def sample(dtype: Any, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return (np.arange(int(np.prod(shape))) % 101).reshape(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("old", [False, True], ids=["versioned", "unversioned"])
def test_own_exports_come_back(runtime: Any, dtype: Any, old: bool) -> None:
    for shape in SHAPES:
        array = runtime.from_numpy(sample(dtype, shape))
        back = runtime.from_dlpack(Producer(array, old=old))
        assert back.dtype == array.dtype and back.shape == shape
        assert np.asarray(back).tobytes() == np.asarray(array).tobytes()
        if array.size:
            assert runtime.data_pointer(back) == runtime.data_pointer(array)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if str(d) != "bfloat16"], ids=str)
def test_numpy_reads_and_writes(runtime: Any, dtype: Any) -> None:
    for shape in SHAPES:
        source = sample(dtype, shape)
        array = runtime.from_dlpack(source)
        assert np.array_equal(np.asarray(array), source) and array.dtype == source.dtype
        view = np.from_dlpack(array)
        assert np.array_equal(view, source) and not view.flags.writeable
        if source.size:
            assert view.ctypes.data == source.ctypes.data


def test_strided_producers_are_copied_in_order(runtime: Any) -> None:
    base = np.arange(60).reshape(3, 4, 5)
    for source in (base.T, base[::-1], base[:, ::2, 1:], base[1:2, :, ::-2], base[:, :0]):
        assert np.array_equal(np.asarray(runtime.from_dlpack(source)), source)


def test_a_device_is_told(runtime: Any) -> None:
    array = runtime.from_numpy(np.zeros(2))
    assert array.__dlpack_device__() == (1, 0)
    with pytest.raises(BufferError, match="stream"):
        array.__dlpack__(stream=1)
    with pytest.raises(BufferError, match="CPU"):
        array.__dlpack__(dl_device=(2, 0))


def test_copies_are_apart(runtime: Any) -> None:
    array = runtime.from_numpy(np.arange(5))
    copy = np.from_dlpack(array, copy=True)
    assert copy.ctypes.data != runtime.data_pointer(array)
    assert copy.tolist() == [0, 1, 2, 3, 4]


def test_capsules_are_consumed_once(runtime: Any) -> None:
    capsule = runtime.from_numpy(np.arange(5)).__dlpack__(max_version=(1, 0))
    assert np.asarray(runtime.from_dlpack(capsule)).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(BufferError, match="consumed"):
        runtime.from_dlpack(capsule)


def test_objects_without_the_protocol_are_refused(runtime: Any) -> None:
    with pytest.raises(AttributeError, match="__dlpack__"):
        runtime.from_dlpack([1, 2])


# What is alive is counted in a process of its own: in this one, threads and garbage of other tests
# would be counted too.


def test_exports_outlive_the_array_and_end_with_the_consumer(run_script: Script) -> None:
    result = run_script(
        "import gc\n"
        "for size in (5, 5000):\n"
        "    view = np.from_dlpack(runtime.from_numpy(np.arange(size)))\n"
        "    gc.collect()\n"
        "    runtime.from_numpy(np.zeros(size))\n"
        "    assert view[4] == 4\n"
        "    del view\n"
        "    gc.collect()\n"
        "    assert runtime.memory_stats()['live_arrays'] == 0\n"
    )
    assert result.returncode == 0, result.stderr


def test_unused_capsules_give_everything_back(run_script: Script) -> None:
    result = run_script(
        "import gc\n"
        "for version in (None, (1, 0), (2, 0)):\n"
        "    runtime.from_numpy(np.arange(5)).__dlpack__(max_version=version)\n"
        "gc.collect()\n"
        "assert runtime.memory_stats()['live_arrays'] == 0\n"
    )
    assert result.returncode == 0, result.stderr


def test_imports_keep_the_producer_alive_and_no_longer(runtime: Any) -> None:
    source = np.arange(500)
    watch = weakref.ref(source)
    array = runtime.from_dlpack(source)
    view = np.asarray(array)
    del source, array
    gc.collect()
    assert view[499] == 499 and watch() is not None
    del view
    gc.collect()
    assert watch() is None


def test_torch_reads_and_writes(runtime: Any) -> None:
    torch = pytest.importorskip("torch")
    for dtype in DTYPES:
        source = sample(dtype, (3, 4))
        tensor = torch.from_dlpack(Producer(runtime.from_numpy(source), old=True))
        assert str(tensor.dtype).removeprefix("torch.") == str(dtype)
        back = runtime.from_dlpack(tensor.clone())
        assert back.dtype == dtype and np.asarray(back).tobytes() == source.tobytes()
    strided = torch.arange(12).reshape(3, 4).T
    assert np.asarray(runtime.from_dlpack(strided)).tolist() == strided.tolist()
