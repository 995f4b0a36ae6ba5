"""Where progress is shown: a cell of a notebook, a line of a terminal, or lines of a log.

In: something that shows itself, as HTML or as a line. Out: output. IPython is used where it runs.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from typing import Any, Protocol, TextIO


class Screen(Protocol):
    """A place that is drawn anew again and again, at most every `interval_s` seconds."""

    interval_s: float

    def draw(self, content: Any, is_last: bool) -> None:
        """Show the content; after the last time something else may be shown below."""


def current_screen() -> Screen:
    """The cell of the notebook that runs, or else the error stream of the process."""
    shell = running_shell()
    if shell is not None and hasattr(shell, "kernel"):
        return NotebookCell()
    return TerminalLine(sys.stderr) if sys.stderr.isatty() else LogLines(sys.stderr)


def running_shell() -> Any:
    """IPython's shell if this process runs in one."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


class NotebookCell:
    """An output of the cell, replaced each time."""

    interval_s = 0.25

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, content: Any, is_last: bool) -> None:
        if self._handle is None:
            display = importlib.import_module("IPython.display").display
            self._handle = display(content, display_id=True)
        else:
            self._handle.update(content)


class TerminalLine:
    """One line, written over."""

    interval_s = 0.25

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def draw(self, content: Any, is_last: bool) -> None:
        width = shutil.get_terminal_size().columns - 1
        end = "\n" if is_last else ""
        self._stream.write(f"\r{str(content)[:width]}\x1b[K{end}")
        self._stream.flush()


class LogLines:
    """A line now and then: the first after a second, each twice as long after the one before, at
    most a minute; none at the beginning.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._has_begun = False
        self.interval_s = 0.5

    def draw(self, content: Any, is_last: bool) -> None:
        if self._has_begun:
            self._stream.write(f"{content}\n")
            self._stream.flush()
        self._has_begun = True
        self.interval_s = min(60.0, 2 * self.interval_s)
