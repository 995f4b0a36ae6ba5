"""NVIDIA's libraries on a device: cuFFT, cuSOLVER, cuBLAS, cuBLASLt, through nvmath-python.

In: steps of plans that a library may take over. Out: `Routine`s for them, kept for the next plan;
NoLibraryError says why there is none. No library is looked for before a plan has such a step. All
is asked inside of `Device.entered`: a library has one handle for each device.
"""

from __future__ import annotations

import atexit
import importlib
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from jitml.codegen.nvptx.library import LibraryStep, ProductStep
from jitml.device.cublaslt import Multiplication
from jitml.device.cufft import Transform
from jitml.device.cusolver import dense_routine
from jitml.device.errors import DeviceError, NoLibraryError
from jitml.device.library import TITLES, Library, Routine
from jitml_runtime import HostCall, Plan

if TYPE_CHECKING:
    from jitml.device.driver import Driver

Taken: TypeAlias = LibraryStep | ProductStep
MOST_ROUTINES = 128  # that are kept although no program has them


class Libraries:
    """The libraries of one device, as far as they are needed."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._found: dict[str, Library | NoLibraryError] = {}
        self._routines: OrderedDict[Any, Routine] = OrderedDict()
        self._closers: list[Callable[[], Any]] = []
        self._owned: list[weakref.finalize[..., object]] = []
        self._retired: deque[Callable[[], Any]] = deque()

    def library(self, name: str) -> Library:
        """A library by the name of its bindings, ready for this device."""
        if name not in self._found:
            try:
                self._found[name] = self._open(name)
            except DeviceError as error:
                self._found[name] = NoLibraryError(str(error))
        found = self._found[name]
        if isinstance(found, NoLibraryError):
            raise NoLibraryError(str(found))
        return found

    def _open(self, name: str) -> Library:
        library = Library(name, _bindings(name, self.driver.bindings), self.driver)
        atexit.unregister(self.close)
        atexit.register(self.close)
        if name == "cufft":  # has no handles; this loads it
            library.call("get_version")
            return library
        library.handle = library.call("create")
        self._closers.append(lambda: library.call("destroy", library.handle))
        if name != "cublasLt":  # which takes the stream with each call
            library.follow()
        return library

    def routine(self, step: Taken) -> Routine:
        """What computes a step; NoLibraryError where only the host does, or a kernel."""
        key: Any = (step.call, step.input_specs) if isinstance(step, LibraryStep) else step.product
        if key not in self._routines:
            self._routines[key] = self._make(step)
            if len(self._routines) > MOST_ROUTINES:
                self._routines.popitem(last=False)
        self._routines.move_to_end(key)
        return self._routines[key]

    def _make(self, step: Taken) -> Routine:
        if isinstance(step, ProductStep):
            return Multiplication(self, step.product)
        if step.call.routine.startswith("fft "):
            return Transform(self, step)
        return dense_routine(self, step)

    @property
    def has_retired(self) -> bool:
        """Whether there is anything to be given back."""
        return bool(self._retired)

    def own(self, owner: object, closer: Callable[[], Any]) -> None:
        """Call `closer` some time after the owner has gone."""
        finalizer = weakref.finalize(owner, self._retired.append, closer)
        finalizer.atexit = False
        self._owned = [f for f in self._owned if f.alive]
        self._owned.append(finalizer)

    def collect(self) -> None:
        """Give back what was owned; nothing may be on its way."""
        while self._retired:
            with suppress(DeviceError):
                self._retired.popleft()()

    def abandon(self) -> None:
        """The device has begun anew: nothing is left to be given back."""
        atexit.unregister(self.close)
        for finalizer in self._owned:
            finalizer.detach()
        self._retired.clear()
        self._closers.clear()

    def close(self) -> None:
        """Give everything back; no program may run any more."""
        atexit.unregister(self.close)
        with suppress(DeviceError):
            self.driver.make_current()
            self.driver.synchronize()
        for finalizer in self._owned:
            finalizer()
        self.collect()
        while self._closers:
            with suppress(DeviceError):
                self._closers.pop()()


def _bindings(name: str, doubles: Mapping[str, Any] | None) -> Any:
    """The bindings of a library, or its double."""
    if doubles is not None:
        if name not in doubles:
            raise NoLibraryError(f"an emulated device has no {TITLES[name]}")
        return doubles[name]
    try:
        return importlib.import_module(f"nvmath.bindings.{name}")
    except ImportError as error:
        raise NoLibraryError(
            f"{TITLES[name]} is reached through nvmath-python, which cannot be imported: {error}; "
            'pip install "jitml[cuda]"'
        ) from None


def find_routines(
    plan: Plan, libraries: Libraries, locate: Callable[[DeviceError, int], BaseException]
) -> dict[int, Routine]:
    """What the libraries take over of a plan, by the number of the step; what is in their way on
    this device is told with the step's line.
    """
    found = {}
    for number, step in enumerate(plan.instructions):
        if isinstance(step, (LibraryStep, ProductStep)):
            try:
                found[number] = libraries.routine(step)
            except NoLibraryError:
                continue
            except DeviceError as error:
                raise locate(error, number) from None
    return found


def reason_for_host(libraries: Libraries | None, step: HostCall) -> str | None:
    """Why the host makes a call; None where a library does. Without a device, nobody knows."""
    if not isinstance(step, LibraryStep):
        return ""
    if libraries is None:
        return "unless the device has a library for it"
    return why_not(libraries, step)


def why_not(libraries: Libraries, step: Taken) -> str | None:
    """Why no library takes a step over; None where one does."""
    try:
        libraries.routine(step)
    except NoLibraryError as error:
        return str(error)
    return None


def is_recorded(libraries: Libraries, step: HostCall) -> bool:
    """Whether a call of the host is part of a graph, because a library makes it."""
    is_taken = reason_for_host(libraries, step) is None
    return is_taken and libraries.routine(step).is_recordable  # type: ignore[arg-type]
