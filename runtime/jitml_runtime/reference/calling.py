"""How calls go on this thread, in Python: the same attributes as the C core's `calling`.

In: what is set from above. Must not know what a recorder records.
"""

from __future__ import annotations

import threading
from typing import Any


class Calling(threading.local):
    """How calls go on the thread that asks.

    `recorder`: what records operations, or None: then compiled programs run. `is_off`: whether this
    thread runs no compiled functions. `is_checked`: whether results are looked through here, so
    that no call takes the short way; `checked_everywhere`: on all threads. `wide`: whether Python
    numbers are 64 bits wide on this thread; None: as everywhere.
    """

    recorder: Any = None
    is_off: bool = False
    is_checked: bool = False
    wide: bool | None = None

    @property
    def checked_everywhere(self) -> bool:
        """Whether results are looked through on all threads."""
        return _process["checked"]

    @checked_everywhere.setter
    def checked_everywhere(self, value: bool) -> None:
        _process["checked"] = bool(value)

    @property
    def wide_everywhere(self) -> bool:
        """Whether Python numbers are 64 bits wide in threads that do not say otherwise."""
        return _process["wide"]

    @wide_everywhere.setter
    def wide_everywhere(self, value: bool) -> None:
        _process["wide"] = bool(value)

    @property
    def is_wide(self) -> bool:
        """Whether Python numbers are 64 bits wide here."""
        return _process["wide"] if self.wide is None else self.wide


_process = {"wide": False, "checked": False}
calling = Calling()
