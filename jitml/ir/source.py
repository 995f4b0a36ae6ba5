"""Where in the user's program an equation came from."""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
import threading
from types import CodeType, FrameType

import numpy as np

import jitml_runtime

PACKAGES = tuple(
    os.path.join(os.path.dirname(os.path.abspath(file)), "")
    for file in (os.path.dirname(__file__), jitml_runtime.__file__)
)
_NUMPY = os.path.join(os.path.dirname(np.__file__), "")  # calls back what users call it with
_OURS: dict[str, bool] = {}  # by file name: code objects are hashed anew each time
_MOST_FILES = 4096


def file_name(file: str) -> str:
    """What users call a file: its name without folders, or `In[3]` for a cell of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    cell = shell.compile.format_code_name(file) if shell is not None else None
    return cell[1] if cell else os.path.basename(file)


class Source:
    """A user's file and line. Made from a running frame at the price of two references; resolved
    when asked."""

    __slots__ = ("_code", "_file", "_function", "_instruction", "_line", "scope")

    def __init__(
        self,
        code: CodeType | None = None,
        instruction: int = 0,
        file: str = "",
        line: int = 0,
        function: str = "",
        scope: str = "",
    ) -> None:
        self.scope = scope  # the user's names for this part of the program: `layer/attention`
        self._code, self._instruction = code, instruction
        self._file, self._line, self._function = file, line, function

    @property
    def place(self) -> tuple[object, ...]:
        """What tells this line from others, while it exists."""
        if self._code is not None:
            return (id(self._code), self._instruction)
        return (self._file, self._line)

    @property
    def instruction(self) -> tuple[CodeType | None, int]:
        """The user's code and the offset of the instruction there, where they are known."""
        return self._code, self._instruction

    @property
    def file(self) -> str:
        return self._code.co_filename if self._code else self._file

    @property
    def function(self) -> str:
        return self._code.co_name if self._code else self._function

    @property
    def line(self) -> int:
        if self._code is None:
            return self._line
        for start, end, line in self._code.co_lines():
            if start <= self._instruction < end and line is not None:
                return line
        return self._code.co_firstlineno

    @property
    def text(self) -> str:
        """The source line itself, stripped; empty if the file is not at hand."""
        return linecache.getline(self.file, self.line).strip()

    def __bool__(self) -> bool:
        return self._code is not None or bool(self._file)

    def is_instruction_of(self, other: Source) -> bool:
        """Whether it is the same instruction of the same running program."""
        return self._code is other._code and self._instruction == other._instruction

    def __str__(self) -> str:
        return f"{file_name(self.file)}:{self.line}{self._scope_text()}" if self else ""

    def _scope_text(self) -> str:
        return f" [{self.scope}]" if self.scope else ""

    def inside(self, scope: str) -> Source:
        """The same line, its names within those of `scope`."""
        path = f"{scope}/{self.scope}" if self.scope else scope
        return Source(self._code, self._instruction, self._file, self._line, self._function, path)

    def describe(self) -> str:
        """`at model.py:41 in layer:  h = x @ w`, as error messages have it."""
        if not self:
            return ""
        where = f" in {self.function}" if self.function not in ("", "<module>") else ""
        text = f":  {self.text}" if self.text else ""
        return f"at {file_name(self.file)}:{self.line}{where}{self._scope_text()}{text}"


NOWHERE = Source()


class _Scope(threading.local):
    """The names that users give to what this thread records now."""

    path = ""


SCOPE = _Scope()


def _is_ours(file: str) -> bool:
    ours = file.startswith((*PACKAGES, _NUMPY, contextlib.__file__, "<frozen", "<string>"))
    if len(_OURS) >= _MOST_FILES:  # a notebook has one for each cell
        _OURS.clear()
    _OURS[file] = ours
    return ours


def is_of_user(frame: FrameType) -> bool:
    """Whether a frame runs code that is not jitml's."""
    return not frame.f_code.co_filename.startswith(PACKAGES)


def user_frame(depth: int = 1) -> FrameType | None:
    """The innermost frame on this thread's stack that is not jitml's own."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        file = frame.f_code.co_filename
        ours = _OURS.get(file)
        if not (_is_ours(file) if ours is None else ours):
            return frame
        frame = frame.f_back
    return None


def user_source(depth: int = 2) -> Source:
    """The line of the user's program that runs now."""
    frame = user_frame(depth)
    if frame is None:
        return NOWHERE
    return Source(frame.f_code, frame.f_lasti, scope=SCOPE.path)
