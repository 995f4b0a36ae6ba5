"""Random programs in plain Python: under `jit` and `vmap` they give what Python gives."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitml

_ARGUMENTS = [(3, 1), (0, 5), (6, 2), (4, 9)]
_COMPARISONS = ["<", ">", "==", "!=", "<=", ">="]


class Writer:
    """Writes a function `f(n, a, xs)` of small integers, all of whose loops end."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lines: list[str] = []
        self._loops = 0

    def program(self) -> str:
        self._lines = ["def f(n, a, xs):", "    b, c = 1, n + 1"]
        for _ in range(3):
            self._statement(1, False)
        return "\n".join([*self._lines, "    return a % 1000, (b + c) % 1000", ""])

    # ---- expressions -----------------------------------------------------------------------------

    def _pick(self, *choices: Any) -> Any:
        return self._random.choice(choices)

    def _number(self, depth: int = 0) -> str:
        if depth > 1 or self._random.random() < 0.5:
            return str(self._pick("a", "b", "c", "n", self._random.randint(0, 5)))
        x, y = self._number(depth + 1), self._number(depth + 1)
        return str(
            self._pick(
                f"({x} {self._pick('+', '-', '*')} {y}) % 17",
                f"({x} if {self._test(depth + 1)} else {y})",
                f"{self._pick('min', 'max')}({x}, {y})",
            )
        )

    def _test(self, depth: int = 0) -> str:
        x, y, z = (self._number(depth + 1) for _ in range(3))
        simple = f"{x} {self._pick(*_COMPARISONS)} {y}"
        if depth > 1 or self._random.random() < 0.5:
            return simple
        return str(
            self._pick(
                f"{x} < {y} <= {z}",
                f"({simple} {self._pick('and', 'or')} {self._test(depth + 1)})",
                f"not {self._test(depth + 1)}",
                f"{x} in (1, 3, {y})",
                f"{x} % 2",
            )
        )

    # ---- statements ------------------------------------------------------------------------------

    def _write(self, depth: int, *lines: str) -> None:
        self._lines += ["    " * depth + line for line in lines]

    def _block(self, depth: int, in_loop: bool) -> None:
        for _ in range(self._random.randint(1, 2)):
            if self._statement(depth, in_loop):
                return

    def _statement(self, depth: int, in_loop: bool) -> bool:
        """Write a statement; whether it leaves the block."""
        kinds: list[Callable[[int, bool], bool]] = [self._assign, self._if, self._if, self._exit]
        if depth < 4:
            kinds += [self._while, self._for, self._for, self._try, self._match]
        chosen: Callable[[int, bool], bool] = self._pick(*kinds)
        return (self._assign if depth > 4 else chosen)(depth, in_loop)

    def _assign(self, depth: int, in_loop: bool) -> bool:
        name, value = self._pick("a", "b", "c"), self._number()
        self._write(
            depth, self._pick(f"{name} = {value}", f"{name} += {value}", f"a, b = b, {value}")
        )
        return False

    def _exit(self, depth: int, in_loop: bool) -> bool:
        if depth == 1:
            return self._assign(depth, in_loop)
        leave = f"return {self._number()}, {self._number()}"
        self._write(depth, self._pick("break", "continue", leave) if in_loop else leave)
        return True

    def _if(self, depth: int, in_loop: bool) -> bool:
        self._write(depth, f"if {self._test()}:")
        self._block(depth + 1, in_loop)
        for line in (f"elif {self._test()}:", "else:"):
            if self._random.random() < 0.5:
                self._write(depth, line)
                self._block(depth + 1, in_loop)
        return False

    def _while(self, depth: int, in_loop: bool) -> bool:
        self._loops += 1
        k = f"k{self._loops}"
        self._write(depth, f"{k} = 0", f"while {k} < {self._pick('4', 'n')} and {self._test()}:")
        self._write(depth + 1, f"{k} += 1")
        return self._body(depth, in_loop)

    def _for(self, depth: int, in_loop: bool) -> bool:
        self._loops += 1
        k = f"k{self._loops}"
        self._write(
            depth,
            self._pick(
                f"for {k} in range({self._pick('n', '3', 'a % 5')}):",
                f"for {k} in range(n, -1, -2):",
                f"for {k} in (1, 2, n):",
                f"for {k}, c in enumerate(xs):",
            ),
        )
        self._write(depth + 1, f"b += {k} % 7")
        return self._body(depth, in_loop)

    def _body(self, depth: int, in_loop: bool) -> bool:
        self._block(depth + 1, True)
        if self._random.random() < 0.3:
            self._write(depth, "else:")
            self._block(depth + 1, in_loop)
        return False

    def _try(self, depth: int, in_loop: bool) -> bool:
        self._write(depth, "try:")
        self._block(depth + 1, in_loop)
        self._write(depth, "except ValueError:", "    a = 1", "else:")
        self._block(depth + 1, in_loop)
        self._write(depth, "finally:", f"    c = {self._number()}")
        return False

    def _match(self, depth: int, in_loop: bool) -> bool:
        self._write(depth, f"match {self._number()} % 4:")
        for pattern in ("0", "1 | 2", self._pick("c", "_", "3 if a < b")):
            self._write(depth + 1, f"case {pattern}:")
            self._block(depth + 2, in_loop)
        return False


def _function(seed: int, folder: Path) -> Callable[..., Any]:
    text, path = Writer(seed).program(), folder / f"program{seed}.py"
    path.write_text(text)
    names: dict[str, Any] = {}
    exec(compile(text, str(path), "exec"), names)
    made: Callable[..., Any] = names["f"]
    return made


@pytest.mark.sampled
@pytest.mark.parametrize("seed", range(16))
def test_random_programs(seed: int, tmp_path: Path) -> None:
    function = _function(seed, tmp_path)
    wanted = [function(n, a, [n, 2, a]) for n, a in _ARGUMENTS]
    ns, starts = np.array(_ARGUMENTS).T
    rows = np.array([[n, 2, a] for n, a in _ARGUMENTS])
    jitted = jitml.jit(function)
    if seed % 2:
        found = [np.broadcast_to(x, 4) for x in jitml.vmap(jitted)(ns, starts, rows)]
        assert np.array_equal(np.stack(found, 1), wanted)
    else:
        for n, a, xs, result in zip(ns, starts, rows, wanted, strict=True):
            assert tuple(map(int, jitted(n, a, xs))) == result
