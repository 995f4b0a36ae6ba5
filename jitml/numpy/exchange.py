"""Arrays of other libraries, on the host and on GPUs; and `device=` of functions.

In: objects that export their memory. Out: arrays over it, without a copy where its layout allows.
"""

from __future__ import annotations

from typing import Any

from jitml.hardware import default_device
from jitml.typing import Array
from jitml_runtime import from_dlpack

_GPU = 2  # of DLPack's kinds of devices


def adopted(x: Any) -> Array:
    """An array over what an object exports by DLPack."""
    where = getattr(x, "__dlpack_device__", None)
    kind, number = (1, 0) if where is None else where()
    if kind != _GPU or default_device().platform != "gpu":
        return from_dlpack(x)
    from jitml.device.interchange import import_dlpack
    from jitml.pipeline.devices import device

    return import_dlpack(x, device(number))


def is_on_gpu(x: Any) -> bool:
    """Whether an object's memory is a GPU's, and programs run there."""
    return hasattr(x, "__cuda_array_interface__") and default_device().platform == "gpu"


def adopted_from_gpu(x: Any) -> Array:
    """An array over the memory of another library's array on a GPU."""
    from jitml.device.interchange import import_cuda_array
    from jitml.pipeline import devices

    address = x.__cuda_array_interface__["data"][0]
    number = devices.default_device().driver.ordinal_of(address) if address else 0
    return import_cuda_array(x, devices.device(number))


def on_device(x: Any, device: object) -> Any:
    """An array on the device that a function was given; None leaves it where it is."""
    if device is None:
        return x
    from jitml.transfers import device_put

    return device_put(x, device)
